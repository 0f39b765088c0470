"""The Metadata API's calls: requests against the platform's own WSDL where it is at
hand, answers as good and bad servers write them."""

from __future__ import annotations

import base64
import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree
from raw_server import http

from metadeploy.connection import Connection
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Component, DeployOptions, Manifest, Ref, Secret
from metadeploy.package import pack, zip_files
from metadeploy.reach import LOOPBACK

TOKEN = "00Dxx0000000001!canary.token"
M = "http://soap.sforce.com/2006/04/metadata"
S = "http://schemas.xmlsoap.org/soap/envelope/"
APP = Component(Ref("ConnectedApp", "Portal"), b"<a/>")


def answer(operation, *results, status=200):
    """The SOAP answer to an operation; each result is the inside of <result>."""
    inside = "".join(f"<result>{r}</result>" for r in results)
    return http(
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{S}"'
        f' xmlns="{M}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body><{operation}Response>{inside}</{operation}Response>"
        f"</soapenv:Body></soapenv:Envelope>",
        status,
        Content_Type="text/xml;charset=UTF-8",
    )


def fault(code, text, status=500):
    return http(
        f'<soapenv:Envelope xmlns:soapenv="{S}" xmlns:sf="{M}"><soapenv:Body>'
        f"<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>"
        f"</soapenv:Fault></soapenv:Body></soapenv:Envelope>",
        status,
        Content_Type="text/xml;charset=UTF-8",
    )


@pytest.fixture
def api(raw_server):
    """api(reply, ...) → MetadataApi of a server that so replies; `.server` is it."""
    made = []

    def to(*replies, version="66.0"):
        server = raw_server(*replies)
        made.append(Connection(server.url, Secret(TOKEN), reach=LOOPBACK))
        found = MetadataApi(made[-1], version)
        found.server = server
        return found

    yield to
    for connection in made:
        connection.close()


def deploy(api):
    return api.deploy(b"zip", DeployOptions())


def status(api):
    return api.check_deploy_status("0Af000000000001AAA")


def retrieved(api):
    return api.check_retrieve_status("09S000000000001AAA")


# Requests.

_WSDL = Path(__file__).parents[2] / "shared" / "wsdl" / "metadata-66.0.wsdl"
needs_wsdl = pytest.mark.skipif(
    not _WSDL.exists(), reason=f"there is no {_WSDL.name} to compare with"
)

CALLS = {
    "deploy": (
        lambda api: api.deploy(
            b"zip",
            DeployOptions(check_only=True, test_level="RunLocalTests"),
        ),
        answer("deploy", "<id>0Af1</id>"),
    ),
    "checkDeployStatus": (
        status,
        answer("checkDeployStatus", "<id>0Af1</id><status>Pending</status>"),
    ),
    "cancelDeploy": (
        lambda api: api.cancel_deploy("0Af000000000001AAA"),
        answer("cancelDeploy", "<done>true</done><id>0Af1</id>"),
    ),
    "retrieve": (
        lambda api: api.retrieve(
            Manifest("66.0", {"ConnectedApp": ("A & B", "C"), "Profile": ("Admin",)})
        ),
        answer("retrieve", "<id>09S1</id>"),
    ),
    "retrieve of nothing": (
        lambda api: api.retrieve(Manifest("66.0", {})),
        answer("retrieve", "<id>09S1</id>"),
    ),
    "checkRetrieveStatus": (
        retrieved,
        answer("checkRetrieveStatus", "<done>false</done>"),
    ),
    "listMetadata": (
        lambda api: api.list_metadata(["ConnectedApp", "ExternalClientApplication"]),
        answer("listMetadata"),
    ),
}


@pytest.fixture(scope="module")
def platform():
    """The platform's own schema of requests. Compiling takes a second, so once."""
    root = etree.parse(str(_WSDL)).getroot()
    schema = root.find(".//{http://www.w3.org/2001/XMLSchema}schema")
    # Written out and read again, it has its own namespace declarations.
    return etree.XMLSchema(etree.fromstring(etree.tostring(schema)))


@needs_wsdl
@pytest.mark.parametrize(("call", "reply"), CALLS.values(), ids=CALLS)
def test_requests_are_what_the_platform_wants(api, platform, call, reply):
    made = api(reply)
    call(made)
    envelope = etree.fromstring(made.server.requests[0].partition(b"\r\n\r\n")[2])
    assert envelope.tag == f"{{{S}}}Envelope"
    header, body = envelope
    assert [header.tag, body.tag] == [f"{{{S}}}Header", f"{{{S}}}Body"]
    for part in (*header, *body):
        platform.assertValid(part)
    assert header.findtext(f".//{{{M}}}sessionId") == TOKEN
    assert len(body) == 1


@needs_wsdl
def test_only_the_test_level_is_left_to_the_org(api, platform):
    # The WSDL demands it; the platform does not, and production refuses NoTestRun.
    made = api(answer("deploy", "<id>0Af1</id>"))
    deploy(made)
    body = etree.fromstring(made.server.requests[0].partition(b"\r\n\r\n")[2])[1]
    assert not platform.validate(body[0])
    (said,) = platform.error_log
    assert "Missing child element(s)" in said.message
    assert "testLevel" in said.message


def test_where_and_how_a_request_is_sent(api):
    made = api(answer("deploy", "<id>0Af1</id>"), version="65.0")
    assert deploy(made) == "0Af1"
    head, _, body = made.server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /services/Soap/m/65.0 HTTP/1.1\r\n")
    assert b'\r\nSOAPAction: ""' in head
    assert b"\r\nContent-Type: text/xml; charset=UTF-8" in head
    assert f"<{{{M}}}ZipFile>".partition("}")[2].encode() in body
    assert base64.b64encode(b"zip") in body


def test_every_deploy_option_is_said(api):
    made = api(answer("deploy", "<id>0Af1</id>"))
    made.deploy(b"zip", DeployOptions(check_only=True, ignore_warnings=True))
    body = etree.fromstring(made.server.requests[0].partition(b"\r\n\r\n")[2])
    options = body.find(f".//{{{M}}}DeployOptions")
    said = {etree.QName(e).localname: e.text for e in options}
    assert said == {
        "allowMissingFiles": "false",
        "autoUpdatePackage": "false",
        "checkOnly": "true",
        "ignoreWarnings": "true",
        "performRetrieve": "false",
        "purgeOnDelete": "false",
        "rollbackOnError": "true",
        "singlePackage": "false",
    }


# Answers.


def test_a_deploy_in_all_its_detail(api):
    made = api(
        answer(
            "checkDeployStatus",
            "<checkOnly>true</checkOnly><completedDate>2026-01-01T00:00:00.000Z"
            "</completedDate><details><componentFailures><changed>false</changed>"
            "<columnNumber>7</columnNumber><componentType>Profile</componentType>"
            "<created>false</created><deleted>false</deleted><fileName>profiles/A."
            "profile</fileName><fullName>A</fullName><lineNumber>3</lineNumber>"
            "<problem>no &amp; never</problem><problemType>Error</problemType>"
            "<success>false</success></componentFailures><componentSuccesses>"
            "<changed>true</changed><componentType></componentType><created>1</created>"
            "<deleted>0</deleted><fileName>package.xml</fileName><fullName>package.xml"
            "</fullName><success>true</success></componentSuccesses><runTestResult>"
            "<numFailures>0</numFailures></runTestResult></details><done>true</done>"
            "<errorMessage>whole</errorMessage><errorStatusCode>X</errorStatusCode>"
            "<id>0Af1</id><numberComponentErrors>1</numberComponentErrors>"
            "<numberComponentsDeployed>2</numberComponentsDeployed>"
            "<numberComponentsTotal>3</numberComponentsTotal><stateDetail>now"
            "</stateDetail><status>Failed</status><success>false</success>",
        )
    )
    found = status(made)
    assert (found.id, found.status, found.done, found.success) == (
        "0Af1",
        "Failed",
        True,
        False,
    )
    assert (found.check_only, found.error_code, found.error_message) == (
        True,
        "X",
        "whole",
    )
    assert (found.components_total, found.components_deployed) == (3, 2)
    assert (found.component_errors, found.state_detail) == (1, "now")
    failure, package = found.messages
    assert (failure.component_type, failure.full_name) == ("Profile", "A")
    assert (failure.line, failure.column, failure.success) == (3, 7, False)
    assert (failure.problem, failure.problem_type) == ("no & never", "Error")
    assert (package.created, package.changed, package.deleted) == (True, True, False)
    assert package.success


ODD = {
    "unknown elements": "<new>1</new><id>0Af1</id><status>Pending</status><x><y/></x>",
    "another order": "<status>Pending</status><details/><id>0Af1</id>",
    "nil": '<id>0Af1</id><status>Pending</status><errorMessage xsi:nil="true"/>'
    '<details xsi:nil="true"/><numberComponentsTotal xsi:nil="true"/>',
    "numbers that are none": "<id>0Af1</id><status>Pending</status>"
    "<numberComponentsTotal>²</numberComponentsTotal><numberComponentErrors>-1"
    "</numberComponentErrors><numberComponentsDeployed>" + "9" * 5000 + "</"
    "numberComponentsDeployed>",
    "a comment": "<!-- new --><id>0Af1</id><?pi x?><status>Pending</status>",
}


@pytest.mark.parametrize("inside", ODD.values(), ids=ODD)
def test_what_the_org_adds_or_leaves_out_is_no_matter(api, inside):
    found = status(api(answer("checkDeployStatus", inside)))
    assert (found.id, found.status, found.done, found.success) == (
        "0Af1",
        "Pending",
        False,
        False,
    )
    assert (found.components_total, found.messages) == (0, ())


def test_a_status_that_nobody_knows_yet(api):
    inside = "<id>0Af1</id><status>Polishing</status><done>false</done>"
    assert status(api(answer("checkDeployStatus", inside))).status == "Polishing"


@pytest.mark.parametrize(
    ("code", "text", "found", "said"),
    [
        (
            "sf:INVALID_SESSION_ID",
            "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader",
            "INVALID_SESSION_ID",
            "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader",
        ),
        ("soapenv:Client", "odd", "Client", "Client: odd"),
        ("", "", "", "a fault without a text"),
    ],
)
@pytest.mark.parametrize("http_status", [200, 500])
def test_a_fault_is_the_orgs_own_word(api, code, text, found, said, http_status):
    with pytest.raises(ApiFault) as caught:
        deploy(api(fault(code, text, http_status)))
    assert (caught.value.code, str(caught.value)) == (found, said)


HTML = "<!DOCTYPE html><html><body>Down for maintenance<br></body></html>"
DEEP = "<a>" * 100_000 + "</a>" * 100_000
LOST = {
    "a page": (http(HTML, Content_Type="text/html"), "HTTP 200 with text/html"),
    "a page, 503": (http(HTML, 503, Content_Type="text/html"), "503 with text/html"),
    "a whole XML page": (http("<html/>"), "HTTP 200 with <html>"),
    "JSON": (http("{}", Content_Type="application/json"), "200 with application/json"),
    "nothing": (http(""), "HTTP 200 with nothing"),
    "nothing, 500": (http("", 500), "HTTP 500 with nothing"),
    "a redirect": (http("", 307, Location="https://evil.example"), "HTTP 307"),
    "cut XML": (http(answer("deploy", "<id>0Af1</id>")[150:250]), "HTTP 200"),
    "a DTD": (
        http('<!DOCTYPE x [<!ENTITY e "0Af1">]><x>&e;</x>', Content_Type="text/xml"),
        "with text/xml instead of an answer to deploy",
    ),
    "an empty body": (
        http(f'<e:Envelope xmlns:e="{S}"><e:Body/></e:Envelope>'),
        "HTTP 200 with <Envelope>",
    ),
    "no body": (http(f'<e:Envelope xmlns:e="{S}"/>'), "HTTP 200 with <Envelope>"),
    "another answer": (answer("retrieve", "<id>1</id>"), "HTTP 200 with <Envelope>"),
    "a good answer, 502": (answer("deploy", "<id>1</id>", status=502), "HTTP 502"),
    "no result": (answer("deploy"), "0 results in the answer to deploy"),
    "two results": (answer("deploy", "<id>1</id>", "<id>2</id>"), "2 results"),
    "no id": (answer("deploy", "<done>false</done>"), "the org's answer has no id"),
    "an empty id": (answer("deploy", "<id></id>"), "the org's answer has no id"),
    "too deep": (answer("deploy", f"<id>1</id>{DEEP}"), "instead of an answer"),
    "a huge text": (answer("deploy", "x" * 11_000_000), "instead of an answer"),
    "not UTF-8": (http(b"<x>\xff\xfe</x>", Content_Type="text/xml"), "with text/xml"),
    "a control character": (http("<x>\x0b</x>"), "with nothing instead of"),
}


@pytest.mark.parametrize(("reply", "said"), LOST.values(), ids=LOST)
def test_what_only_looks_like_an_answer_is_a_lost_one(api, reply, said):
    made = api(reply)
    with pytest.raises(LostAnswer) as caught:
        deploy(made)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 120  # never the body itself
    assert len(made.server.requests) == 1


def test_a_status_without_an_id_decides_nothing(api):
    with pytest.raises(LostAnswer, match="has no id"):
        status(api(answer("checkDeployStatus", "<done>true</done>")))


def test_canceled_at_once_or_later(api):
    assert api(answer("cancelDeploy", "<done>true</done>")).cancel_deploy("0Af1")
    assert not api(answer("cancelDeploy", "<done>false</done>")).cancel_deploy("0Af1")


def zip_answer(data, more=""):
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return answer(
        "checkRetrieveStatus",
        f"<done>true</done>{more}<status>Succeeded</status><success>true</success>"
        f"<zipFile>{text}</zipFile>",
    )


def test_what_a_retrieve_brings(api):
    more = (
        "<messages><fileName>unpackaged/package.xml</fileName>"
        "<problem>Entity of type 'Profile' named 'X' cannot be found</problem>"
        "</messages>"
    )
    found = retrieved(api(zip_answer(pack([APP], "66.0"), more)))
    assert found.components == (APP,)
    assert found.messages == ("Entity of type 'Profile' named 'X' cannot be found",)


def test_a_retrieve_that_still_runs(api):
    assert retrieved(api(answer("checkRetrieveStatus", "<done>false</done>"))) is None


def test_a_zip_whose_base64_is_in_lines(api):
    text = base64.encodebytes(pack([APP], "66.0")).decode()
    assert retrieved(api(zip_answer(text))).components == (APP,)


def noise(size):
    """Text that does not pack well, the same each time."""
    bits = random.Random(size).randbytes(size * 3 // 4)
    return base64.b64encode(bits)


def test_a_zip_larger_than_a_text_may_be_elsewhere(api):
    # Above 10 MB libxml2 drops a text unless it is told not to.
    large = Component(APP.ref, b"<a>" + noise(10_500_000) + b"</a>")
    data = pack([large], "66.0")
    assert len(base64.b64encode(data)) > 10_500_000
    assert retrieved(api(zip_answer(data))).components == (large,)


READER = """
import sys
from metadeploy.connection import Connection
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Secret
from metadeploy.reach import LOOPBACK

def peak():
    with open("/proc/self/status") as about:
        return next(int(row.split()[1]) for row in about if row.startswith("VmHWM"))

connection = Connection(sys.argv[1], Secret("token"), reach=LOOPBACK)
api = MetadataApi(connection, "66.0")
assert api.check_retrieve_status("09S000000000001AAA").messages == ("small",)
before = peak()
found = api.check_retrieve_status("09S000000000002AAA")
print(len(found.components), (peak() - before) * 1024)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc tells of memory here"
)
def test_a_large_retrieve_is_held_once(raw_server):
    # Of the answer and its zip nothing is held as a whole: only what is in it.
    parts = [
        Component(Ref("Profile", f"P{n}"), b"<a>" + noise(1_000_000 + n) + b"</a>")
        for n in range(30)
    ]
    data = zip_files({f"profiles/{c.ref.full_name}.profile": c.body for c in parts})
    held = sum(len(c.body) for c in parts)
    small = zip_answer(
        pack([APP], "66.0"), "<messages><problem>small</problem></messages>"
    )
    server = raw_server(small, zip_answer(data))
    done = subprocess.run(
        [sys.executable, "-c", READER, server.url],
        capture_output=True,
        text=True,
        check=True,
    )
    count, more = map(int, done.stdout.split())
    assert count == 30
    assert more < 1.5 * held


def test_a_large_answer_that_is_none(api):
    page = "<html>" + "<p>Down for maintenance</p>" * 100_000 + "</html>"
    for reply in (
        http(page, Content_Type="text/html"),
        http("{" + '"a": 1,' * 200_000, Content_Type="text/html"),
    ):
        with pytest.raises(LostAnswer) as caught:
            retrieved(api(reply))
        assert str(caught.value).startswith("HTTP 200 with ")


def test_a_large_zip_that_is_cut_off(api):
    whole = zip_answer(pack([Component(APP.ref, noise(3_000_000))], "66.0"))
    body = whole.partition(b"\r\n\r\n")[2]
    for end in (1_500_000, len(body) - 1):
        short = b"HTTP/1.1 200 X\r\nX: y\r\ncontent-length: %d\r\n\r\n" % len(body)
        with pytest.raises(LostAnswer, match="the connection broke"):
            retrieved(api(short + body[:end]))
        with pytest.raises(LostAnswer, match="instead of an answer to checkRetrieve"):
            retrieved(api(http(body[:end])))


def test_a_large_zip_of_broken_base64(api):
    text = base64.b64encode(pack([Component(APP.ref, noise(3_000_000))], "66.0"))
    for bad in (text[:-1], text[:2_000_000] + b"=" + text[2_000_000:], text + b"!"):
        with pytest.raises(ApiFault, match="the zip's base64 is broken"):
            retrieved(api(zip_answer(bad.decode())))


BAD_ZIPS = {
    "not base64": ("!!!", "the zip's base64 is broken"),
    "cut base64": (base64.b64encode(pack([APP], "66.0")).decode()[:-5], "base64"),
    "not a zip": (b"<html>", "the zip cannot be read"),
    "a cut zip": (pack([APP], "66.0")[:-30], "the zip cannot be read"),
    "nothing": (b"", "the zip cannot be read"),
}


@pytest.mark.parametrize(("data", "said"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_a_bad_zip_is_never_an_empty_org(api, data, said):
    with pytest.raises(ApiFault, match=said):
        retrieved(api(zip_answer(data)))


def test_a_retrieve_without_its_zip(api):
    inside = "<done>true</done><status>Succeeded</status><zipFile xsi:nil='true'/>"
    with pytest.raises(ApiFault, match="the zip cannot be read"):
        retrieved(api(answer("checkRetrieveStatus", inside)))


def test_a_deep_answer_to_a_retrieve(api):
    # Here the parser's limits are lower, since a zip needs that of size off.
    reply = answer("checkRetrieveStatus", f"<done>false</done><x>{DEEP}</x>")
    with pytest.raises(LostAnswer, match="instead of an answer to checkRetrieve"):
        retrieved(api(reply))


@pytest.mark.parametrize(
    ("inside", "code", "said"),
    [
        (
            "<errorMessage>busy</errorMessage><errorStatusCode>UNKNOWN_EXCEPTION"
            "</errorStatusCode><status>Failed</status>",
            "UNKNOWN_EXCEPTION",
            "UNKNOWN_EXCEPTION: busy",
        ),
        ("<status>Failed</status>", "", "the retrieve failed"),
        ("", "", "the retrieve failed"),
    ],
)
def test_a_retrieve_that_failed(api, inside, code, said):
    made = api(answer("checkRetrieveStatus", f"<done>true</done>{inside}"))
    with pytest.raises(ApiFault) as caught:
        retrieved(made)
    assert (caught.value.code, str(caught.value)) == (code, said)


def test_what_the_org_has(api):
    rows = [
        "<createdById>005</createdById><fileName>connectedApps/A.connectedApp</fileName>"
        "<fullName>A</fullName><id>0H4000000000001AAA</id><type>ConnectedApp</type>",
        "<fullName>B</fullName><type>ConnectedApp</type>",
    ]
    found = api(answer("listMetadata", *rows)).list_metadata(["ConnectedApp"])
    assert [(f.ref.full_name, f.id) for f in found] == [
        ("A", "0H4000000000001AAA"),
        ("B", ""),
    ]
    assert api(answer("listMetadata")).list_metadata(["ConnectedApp"]) == ()


def test_the_session_id_is_in_no_log_and_no_error(api, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("zeep", "zeep.transports", "zeep.client", "urllib3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    replies = [reply for reply, _ in LOST.values()]
    made = api(answer("deploy", "<id>0Af1</id>"), fault("sf:X", "X: y"), *replies)
    deploy(made)
    said: list[str] = []
    for _ in range(len(replies) + 1):
        with pytest.raises((LostAnswer, ApiFault)) as caught:
            deploy(made)
        error: BaseException | None = caught.value
        while error is not None:
            said.append(repr(error))
            error = error.__cause__ or error.__context__
    assert len(made.server.requests) == len(replies) + 2
    assert all(TOKEN.encode() in r for r in made.server.requests)
    assert caplog.records
    assert "canary" not in caplog.text + "".join(said)
