"""SOAP envelopes: read leniently, written exactly as real clients need them.

Sources: what jsforce, sf, simple-salesforce and CumulusCI send and accept, measured;
docs/emulator.md lists the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lxml import etree
from msgspec import Struct

from metadeploy.emulator.faults import Fault
from metadeploy.emulator.tree import XmlFault, escape, local_name, parse
from metadeploy.emulator.wire import Answer
from metadeploy.model import METADATA_NS

METADATA = METADATA_NS
PARTNER = "urn:partner.soap.sforce.com"
PARTNER_FAULT = "urn:fault.partner.soap.sforce.com"
SOBJECT = "urn:sobject.partner.soap.sforce.com"
CONTENT_TYPE = "text/xml;charset=UTF-8"
_ENVELOPE_NS = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XSD = "http://www.w3.org/2001/XMLSchema"
_BIG = 9_000_000


class Raw(Struct, frozen=True):
    """XML that is already written; attributes go on its element, with a space."""

    xml: str
    attributes: str = ""


class Nil(Struct, frozen=True):
    """An element that is there and says that it has no value."""


Content: TypeAlias = (
    "str | int | float | bool | bytes | Raw | Nil"
    " | Mapping[str, Content] | Sequence[Content] | None"
)


class Call(Struct, frozen=True):
    """One SOAP request: the operation's element, its session, what else is said."""

    operation: etree._Element
    session_id: str
    headers: Mapping[str, etree._Element]

    @property
    def name(self) -> str:
        return local_name(self.operation)


class NotSoap(Exception):
    """A body that is no SOAP request, in the words of the platform's parser."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def read_call(body: bytes) -> Call:
    """Read a request by local names: prefixes, namespaces and order do not count.

    Raises NotSoap.
    """
    try:
        root = parse(body, huge=len(body) > _BIG)
    except XmlFault as fault:
        raise NotSoap(fault.message) from None
    if local_name(root) != "Envelope":
        raise NotSoap("Not a SOAP envelope")
    headers: dict[str, etree._Element] = {}
    operation = None
    for part in root:
        if local_name(part) == "Header":
            headers = {local_name(h): h for h in part}
        elif local_name(part) == "Body" and len(part):
            operation = part[0]
    if operation is None:
        raise NotSoap("The SOAP body holds no operation")
    session = headers.get("SessionHeader")
    session_id = child_text(session, "sessionId") if session is not None else ""
    return Call(operation, session_id, headers)


def child(element: etree._Element, name: str) -> etree._Element | None:
    """Return the first child of that local name, or None."""
    return next((c for c in element if local_name(c) == name), None)


def children(element: etree._Element, name: str) -> list[etree._Element]:
    """Return all children of that local name."""
    return [c for c in element if local_name(c) == name]


def child_text(element: etree._Element, name: str) -> str:
    """Return the trimmed text of a child, "" where there is none."""
    found = child(element, name)
    return (found.text or "").strip() if found is not None else ""


def flag(element: etree._Element, name: str, default: bool) -> bool:
    """Return a boolean child; "True" counts too (observed: simple-salesforce)."""
    text = child_text(element, name).lower()
    return text in ("true", "1") if text else default


def write(name: str, value: Content, out: list[str]) -> None:
    """Write one element, or none for None, or one an item for a sequence."""
    if value is None:
        return
    if isinstance(value, str):
        out.append(f"<{name}>{escape(value)}</{name}>")
    elif isinstance(value, bool):
        out.append(f"<{name}>{'true' if value else 'false'}</{name}>")
    elif isinstance(value, int | float):
        out.append(f"<{name}>{value}</{name}>")
    elif isinstance(value, Mapping):
        out.append(f"<{name}>")
        for key, inner in value.items():
            write(key, inner, out)
        out.append(f"</{name}>")
    elif isinstance(value, Raw):
        out.append(f"<{name}{value.attributes}>{value.xml}</{name}>")
    elif isinstance(value, Nil):
        out.append(f'<{name} xsi:nil="true"/>')
    elif isinstance(value, bytes):
        out.append(f"<{name}>{value.decode('ascii')}</{name}>")
    else:
        for item in value:
            write(name, item, out)


def answer(operation: str, result: Content, *, namespace: str = METADATA) -> Answer:
    """Return `<opResponse><result>…`: Envelope and Body prefixed, the rest not.

    Measured: jsforce, sf and CumulusCI fail on anything else.
    """
    out = [_head(namespace), f"<{operation}Response>"]
    write("result", result, out)
    out.append(f"</{operation}Response>{_TAIL}")
    return Answer(200, CONTENT_TYPE, "".join(out).encode())


def _head(namespace: str) -> str:
    more = f' xmlns:sf="{SOBJECT}"' if namespace == PARTNER else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE_NS}" xmlns="{namespace}"'
        f'{more} xmlns:xsi="{_XSI}" xmlns:xsd="{_XSD}"><soapenv:Body>'
    )


_TAIL = "</soapenv:Body></soapenv:Envelope>"


def fault_answer(fault: Fault, *, namespace: str = METADATA) -> Answer:
    """Return a SOAP fault, HTTP 500: `sf:CODE`, and the text behind the code.

    Observed: the metadata endpoint sends no detail; the partner endpoint one whose
    children bear the prefix `sf` (simple-salesforce reads them by that name).
    """
    text = escape(fault.message)
    code = escape(fault.code)
    detail = ""
    fault_ns = METADATA
    if namespace == PARTNER:
        fault_ns = PARTNER_FAULT
        kind = _FAULT_TYPES.get(fault.code, "UnexpectedErrorFault")
        detail = (
            f'<detail><sf:{kind} xsi:type="sf:{kind}">'
            f"<sf:exceptionCode>{code}</sf:exceptionCode>"
            f"<sf:exceptionMessage>{text}</sf:exceptionMessage>"
            f"{_FAULT_EXTRA.get(kind, '')}</sf:{kind}></detail>"
        )
    return _fault(f"sf:{code}", f"{code}: {text}", detail, fault_ns)


_FAULT_TYPES = {
    "INVALID_LOGIN": "LoginFault",
    "LOGIN_MUST_USE_SECURITY_TOKEN": "LoginFault",
    "PASSWORD_LOCKOUT": "LoginFault",
    "MALFORMED_QUERY": "MalformedQueryFault",
    "INVALID_FIELD": "InvalidFieldFault",
    "INVALID_TYPE": "InvalidSObjectFault",
    "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "MALFORMED_ID": "InvalidIdFault",
}
_PLACE = "<sf:row>-1</sf:row><sf:column>-1</sf:column>"
_FAULT_EXTRA = {
    "MalformedQueryFault": _PLACE,
    "InvalidFieldFault": _PLACE,
    "InvalidSObjectFault": _PLACE,
}


def client_fault(message: str) -> Answer:
    """Return the fault for what is no request of any operation (recalled)."""
    return _fault("soapenv:Client", escape(message), "", METADATA)


def no_operation(call: Call) -> Answer:
    """Return the fault for an operation that the endpoint does not have (recalled)."""
    tag = etree.QName(call.operation)
    return client_fault(
        f"No operation available for request {{{tag.namespace or ''}}}{tag.localname}"
    )


def _fault(code: str, text: str, detail: str, fault_ns: str) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE_NS}" xmlns:sf="{fault_ns}"'
        f' xmlns:xsi="{_XSI}"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring>{detail}"
        f"</soapenv:Fault>{_TAIL}"
    )
    return Answer(500, CONTENT_TYPE, body.encode())
