"""Edge: SOAP login(): username and password. Retired in Summer '27, so on request only.

Source: SOAP API Developer Guide, login(); "SOAP API login() Call is Being Retired": it
is absent from API 65.0, and off by default in orgs made since Winter '26.
"""

from __future__ import annotations

from lxml import etree

from metadeploy import xmlfile
from metadeploy.auth import Session
from metadeploy.connection import Connection
from metadeploy.errors import ApiFault, AuthError, LostAnswer
from metadeploy.model import Secret, id18
from metadeploy.reach import Reach, checked_url

NEWEST = 64.0
RETIREMENT = (
    "SOAP login() retires in Summer '27 and is absent from API 65.0: move this org's"
    " login to another flow"
)
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_PARTNER = "urn:partner.soap.sforce.com"


def log_in(
    connection: Connection, username: str, password: Secret, *, api_version: str
) -> Session:
    """Return the session of a user, by API 64.0 at most. Raises AuthError.

    password: with the security token behind it, where the org asks for one.
    """
    version = min(float(api_version), NEWEST)
    try:
        answer = connection.call(
            "POST",
            f"/services/Soap/u/{version}",
            body=_envelope(username, password),
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
        )
        root = xmlfile.parse(answer.body)
    except (LostAnswer, xmlfile.XmlError) as error:
        what = f"no session from {connection.url}: {error.message}"
        hint = "Check the URL, then run the same command again."
        raise AuthError(what, hint=hint) from error
    fault = root.find(f".//{{{_SOAP}}}Fault")
    if fault is not None:
        code = (fault.findtext("faultcode") or "").rpartition(":")[2]
        words = (fault.findtext("faultstring") or "").removeprefix(f"{code}: ")
        raise AuthError(
            f"no session from {connection.url}: {code}: {words}",
            code=code,
            words=words,
            hint=f"{RETIREMENT}.",
        )
    try:
        return _session(root, connection.reach)
    except (ValueError, ApiFault) as error:
        what = f"no session from {connection.url}: {error}"
        raise AuthError(what) from error


def _envelope(username: str, password: Secret) -> bytes:
    root = etree.Element(f"{{{_SOAP}}}Envelope", nsmap={"soap": _SOAP})
    body = etree.SubElement(root, f"{{{_SOAP}}}Body")
    call = etree.SubElement(body, f"{{{_PARTNER}}}login", nsmap={None: _PARTNER})
    etree.SubElement(call, f"{{{_PARTNER}}}username").text = username
    etree.SubElement(call, f"{{{_PARTNER}}}password").text = password.reveal()
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _session(root: etree._Element, reach: Reach) -> Session:
    def text(name: str) -> str:
        found = root.findtext(f".//{{*}}{name}", "")
        if not found:
            raise ValueError(f"its answer has no {name}")
        return found

    return Session(
        checked_url(text("serverUrl"), reach),
        Secret(text("sessionId")),
        id18(text("organizationId")),
        text("userId"),
        frozenset(),
    )
