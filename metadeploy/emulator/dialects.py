"""A refusal as each protocol says it: SOAP, REST or OAuth, told by the path."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metadeploy.emulator.faults import Fault, OAuthFault
from metadeploy.emulator.wire import Answer, json_answer

SOAP_TYPE = "text/xml;charset=UTF-8"
_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_SESSION_ID": 401,
        "INVALID_AUTH_HEADER": 401,
        "API_DISABLED_FOR_ORG": 403,
        "API_CURRENTLY_DISABLED": 403,
        "REQUEST_LIMIT_EXCEEDED": 403,
        "FUNCTIONALITY_NOT_ENABLED": 403,
        "INSUFFICIENT_ACCESS": 403,
        "INSUFFICIENT_ACCESS_OR_READONLY": 403,
        "NOT_FOUND": 404,
        "METHOD_NOT_ALLOWED": 405,
        "UNKNOWN_EXCEPTION": 500,
        "SERVER_UNAVAILABLE": 503,
    }
)


def rest_fault(fault: Fault) -> Answer:
    """Return a REST error: a list of one object, and the status its code asks for.

    Source: REST API Developer Guide, "Status Codes and Error Responses".
    """
    error: dict[str, str | list[str]] = {
        "message": fault.message,
        "errorCode": fault.code,
    }
    if fault.fields:
        error["fields"] = list(fault.fields)
    return json_answer([error], fault.status or _STATUS.get(fault.code, 400))


def oauth_fault(fault: OAuthFault) -> Answer:
    """Return an OAuth error object (RFC 6749 section 5.2)."""
    return json_answer(
        {"error": fault.error, "error_description": fault.description},
        fault.status,
        headers=(("Cache-Control", "no-store"),),
    )


def soap_fault(fault: Fault) -> Answer:
    """Return a SOAP 1.1 fault: status 500, `sf:CODE`, text beginning with the code.

    The Metadata API's faults carry no detail; observed.
    """
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:sf="http://soap.sforce.com/2006/04/metadata"><soapenv:Body>'
        f"<soapenv:Fault><faultcode>sf:{_escaped(fault.code)}</faultcode><faultstring>"
        f"{_escaped(f'{fault.code}: {fault.message}')}</faultstring></soapenv:Fault>"
        "</soapenv:Body></soapenv:Envelope>"
    )
    return Answer(500, SOAP_TYPE, text.encode())


def _escaped(text: str) -> str:
    """Escape XML text. xml.sax.saxutils would load urllib.request for it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fault_answer(path: str, fault: Fault) -> Answer:
    """Return `fault` in the dialect that clients of `path` understand."""
    if path.startswith("/services/Soap/"):
        return soap_fault(fault)
    if path.startswith("/services/oauth2/"):
        code = fault.code.lower() if fault.code.isupper() else fault.code
        return oauth_fault(OAuthFault(code, fault.message, status=fault.status or 400))
    return rest_fault(fault)
