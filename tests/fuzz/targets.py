"""What is fuzzed: by hypothesis in every test run, by atheris with `make fuzz`.

A target takes any bytes. It returns when they were read or refused as they should be,
and raises for whatever else happens.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fake_org import app, holder
from planning import actual_of, wanted_of
from test_hostile_xml import Canned
from test_strict_answers import CALLS, CannedJson

from metadeploy import orgfile, package, planfile, xmlfile, yamlfile
from metadeploy.auth import client_credentials
from metadeploy.credentials_api import CredentialsApi
from metadeploy.data_api import DataApi
from metadeploy.emulator import http1, judge, zips
from metadeploy.emulator.state import open_world
from metadeploy.emulator.wire import Request
from metadeploy.errors import ApiFault, AuthError, ConfigError, LostAnswer
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import METADATA_NS, Component, Ref, Secret
from metadeploy.plan import make_plan
from metadeploy.render import Renderer

Check = Callable[[bytes], None]
EXAMPLE = Path(package.__file__).parent / "_scaffold"


@dataclass(frozen=True)
class Target:
    """What takes any bytes.

    seeds: good inputs, of which damaged ones are made. words: what they consist of.
    """

    check: Check
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def xml(data: bytes) -> None:
    try:
        root = xmlfile.parse(data)
    except xmlfile.XmlError:
        root = None
    reading = xmlfile.Reading(("a", "b"), str, held=0)
    reading.feed(data)
    with contextlib.suppress(xmlfile.XmlError):
        reading.root()
    with contextlib.suppress(judge.BadFile):
        judge.read_file(data, "PermissionSet", 66.0)
    if root is not None:
        written = xmlfile.canonical(root)
        assert xmlfile.canonical(xmlfile.parse(written)) == written


def zip_bytes(data: bytes) -> None:
    with contextlib.suppress(zips.BadZip):
        zips.read_zip(data)
    try:
        found = package.unpack(data)
    except ApiFault:
        return
    with contextlib.suppress(ConfigError):
        assert package.unpack(package.pack(found, "66.0")) == found


def yaml(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    document = yamlfile.read(text, "orgs/x.yaml")
    found, problems = orgfile.read("x", "orgs/x.yaml", document, None)
    assert found is not None or problems
    for problem in (*document.problems, *problems):
        assert str(problem).startswith("orgs/x.yaml:"), problem
    json.dumps(document.value)  # plain values only


TEMPLATE = "templates/connectedApps/Portal.connectedApp.j2"


@cache
def org() -> orgfile.Org:
    text = (
        "kind: emulated\nvalues: {label: 'R&D <x>', n: 3, on: true, none: ~,"
        " apps: [{name: A, scopes: [Api, Web]}, {name: B, scopes: []}]}\n"
    )
    document = yamlfile.read(text, "orgs/x.yaml")
    found, problems = orgfile.read("x", "orgs/x.yaml", document, None)
    assert not problems
    return found


def template(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    rendered = Renderer({TEMPLATE: text}).render(org())
    for problem in rendered.problems:
        assert problem.path == TEMPLATE and problem.line >= 1, problem
    for component in rendered.components:
        component.body.decode()


def soap(data: bytes) -> None:
    for call in CALLS.values():
        with contextlib.suppress(ApiFault, LostAnswer):
            call(MetadataApi(Canned(data), "66.0"))


def json_answer(data: bytes) -> None:
    for status in (200, 400):
        connection = CannedJson(data, status)
        known = contextlib.suppress(ApiFault, AuthError, ConfigError, LostAnswer)
        with known:
            DataApi(connection, "66.0").facts()
        with known:
            DataApi(connection, "66.0").survey()
        with known:
            client_credentials(connection, "key", Secret("secret"))
        with known:
            CredentialsApi(connection, "66.0").consumer("Portal")


def plan(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        found = planfile.loads(data)
        assert planfile.loads(planfile.dumps(found)) == found


def http(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(data[:100_000])
        theirs.shutdown(socket.SHUT_WR)
        connection = http1.Connection(ours, limit=1000)
        with contextlib.suppress(http1.BadRequest, http1.PeerGone):
            while head := connection.read_head():
                connection.peek_body(head, 16)
                assert len(connection.read_body(head)) <= 1000


@cache
def _world() -> tuple[object, str]:
    folder = tempfile.mkdtemp(prefix="fuzz-")
    world = open_world(Path(folder) / "world.db")
    made = world.create_org("dev")
    from metadeploy.emulator.seed import admin_of

    return world, made.issue_token(admin_of(made))


def soql(data: bytes) -> None:
    """As an org's user asks: over REST, whatever the text."""
    from metadeploy.emulator import rest

    world, token = _world()
    text = data.decode("utf-8", "replace")
    answer = rest.handle(world, _request(token, text))
    said = json.loads(answer.body)
    assert answer.status in (200, 400, 431, 414), answer
    if answer.status != 200:
        assert said[0]["errorCode"] not in ("UNKNOWN_EXCEPTION", "INTERNAL"), said


def _request(token: str, text: str) -> Request:
    from urllib.parse import quote

    return Request(
        "GET",
        "/services/data/v66.0/query",
        "q=" + quote(text),
        {"authorization": f"Bearer {token}"},
        b"",
        "http://127.0.0.1:1",
    )


def _zip() -> bytes:
    parts = [
        Component(Ref("Profile", "Admin"), b"<Profile/>" * 20),
        Component(Ref("ConnectedApp", "Portal"), b"<ConnectedApp/>"),
    ]
    return package.pack(parts, "66.0")


def _files(pattern: str) -> tuple[bytes, ...]:
    return tuple(p.read_bytes() for p in sorted(EXAMPLE.glob(pattern)))


def _envelope(inside: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e='
        f'"http://schemas.xmlsoap.org/soap/envelope/" xmlns="{METADATA_NS}"><e:Body>'
        f"{inside}</e:Body></e:Envelope>"
    ).encode()


def _words(text: str) -> tuple[bytes, ...]:
    return tuple(word.encode() for word in text.split())


def _targets() -> Iterator[tuple[str, Target]]:
    document = (
        f'<?xml version="1.0"?><PermissionSet xmlns="{METADATA_NS}"><!-- c --><label>'
        "R&amp;D</label><description><![CDATA[<x>]]>\r\n</description><?p?></PermissionSet>"
    ).encode()
    yield (
        "xml",
        Target(
            xml,
            (document, b"<a><b>x</b></a>", document.decode().encode("utf-16")),
            _words(
                "<!DOCTYPE <!ENTITY &e; %p; <![CDATA[ ]]> <!-- --> <?xml ?> xmlns:x="
            ),
        ),
    )
    yield "zip", Target(zip_bytes, (_zip(),), (b"PK\x01\x02", b"\xff\xff", b"../"))
    yield (
        "yaml",
        Target(
            yaml,
            (
                *_files("orgs/**/*.yaml"),
                b"a: &x [1, 2]\nb: *x\n<<: {c: ~}\n? [k] : v\n",
            ),
            (
                *_words(
                    "&x *x <<: !!str !!python/object: ? : | > --- ... .inf 0x 1:30"
                ),
                b"\t",
            ),
        ),
    )
    yield (
        "template",
        Target(
            template,
            (
                *_files("templates/**/*.j2"),
                b"{% for a in apps %}<a>{{ a.name ~ label|upper }}</a>{% endfor %}",
                b"{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(n + 1) }}",
                b"{# metadeploy: for_each: apps\n as: app #}{{ app.name }}",
            ),
            _words(
                "{{ }} {% %} {# #} for in endfor if endif set macro endmacro label n on"
                " none apps . | ( ) [ ] ~ + * ** % / 'x' 0 10 __class__ range loop self"
                " join replace format sum map list length default - , = =="
            ),
        ),
    )
    yield (
        "soap",
        Target(
            soap,
            (
                _envelope(
                    "<checkDeployStatusResponse><result><details><componentFailures>"
                    "<lineNumber>1</lineNumber></componentFailures></details><done>true"
                    "</done><id>0Af</id><status>Succeeded</status><success>true</success>"
                    "</result></checkDeployStatusResponse>"
                ),
                _envelope(
                    "<checkRetrieveStatusResponse><result><done>true</done><status>"
                    "Succeeded</status><zipFile>UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==</zipFile>"
                    "</result></checkRetrieveStatusResponse>"
                ),
                _envelope(
                    "<e:Fault><faultcode>sf:X</faultcode><faultstring>X: y"
                    "</faultstring></e:Fault>"
                ),
            ),
            _words(
                "<result> </result> <zipFile> true 99999999999 -1 <e:Fault> xsi:nil="
            ),
        ),
    )
    yield (
        "json",
        Target(
            json_answer,
            (
                b'{"done": true, "records": [{"Id": "00D000000000001", "Name": "x"}]}',
                b'[{"errorCode": "X", "message": "y"}]',
                b'{"access_token": "x", "instance_url": "https://a.my.salesforce.com",'
                b' "id": "https://x/id/00D000000000001/005000000000001"}',
                b'{"apps": [{"developerName": "Portal", "identifier": "0x000000000"}]}',
            ),
            _words('null true 1e999 {} [] \\u0000 \\ud800 -0 NaN Infinity ""'),
        ),
    )
    saved = make_plan(actual_of(), wanted_of(app(), holder("P", "Portal")))
    yield (
        "plan",
        Target(
            plan,
            (planfile.dumps([saved]), planfile.dumps([])),
            _words('null true 1e999 -1 {} [] "" "metadeploy_plan" "plans" \\ud800'),
        ),
    )
    yield (
        "http",
        Target(
            http,
            (
                b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1"
                b"\r\n\r\n",
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0"
                b"\r\n\r\n",
                b"GET http://x/ HTTP/1.0\r\nExpect: 100-continue\r\n"
                b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
            ),
            (b"\r\n", b"\r\n\r\n", b": ", b"Content-Length: ", b"chunked", b"ffffffff"),
        ),
    )
    yield (
        "soql",
        Target(
            soql,
            (
                b"SELECT Id, Profile.Name FROM User WHERE Name LIKE 'a%' OR NOT Id=1",
                b"SELECT COUNT(Id) c FROM User GROUP BY ProfileId HAVING COUNT(Id) > 0",
                b"SELECT FIELDS(ALL) FROM User ORDER BY Name DESC NULLS LAST LIMIT 5",
                b"SELECT Id FROM User WHERE CreatedDate > LAST_N_DAYS:3 AND Id IN"
                b" (SELECT AssigneeId FROM PermissionSetAssignment)",
            ),
            _words(
                "SELECT FROM WHERE ( ) , ' \\ = != < IN NOT null true 1 2026-01-01 : ."
            ),
        ),
    )


TARGETS = dict(_targets())
