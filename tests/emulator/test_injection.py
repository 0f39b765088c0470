"""Faults on request strike the request they are meant for, where they are meant to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from metadeploy.emulator.injection import (
    KINDS,
    Injection,
    Injections,
    Point,
    Subject,
)
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.wire import Answer, Request

ORG = "00D000000000001"
ZIP = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
RESULT = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="e">'
    f"<soapenv:Body><deployResponse><result><done>true</done><zipFile>{ZIP}</zipFile>"
    "</result></deployResponse></soapenv:Body></soapenv:Envelope>"
)


def envelope(operation: str, org: str = ORG) -> bytes:
    return (
        f"<soapenv:Envelope><soapenv:Header><sessionId>{org}EAA!EMU.x</sessionId>"
        f"</soapenv:Header><soapenv:Body>\n <m:{operation}><m:x/></m:{operation}>"
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


class Orgs:
    """Counts what was applied."""

    def __init__(self) -> None:
        self.applied = 0

    def __call__(self, request: Request) -> Answer:
        self.applied += 1
        return Answer(200, "text/xml;charset=UTF-8", RESULT.encode())


@pytest.fixture
def orgs() -> Orgs:
    return Orgs()


@pytest.fixture
def server(orgs: Orgs) -> Iterator[RunningServer]:
    with RunningServer(orgs) as running:
        yield running


def post(server: RunningServer, operation: str = "deploy") -> requests.Response:
    url = server.url + "/services/Soap/m/66.0"
    return requests.post(
        url, data=envelope(operation), timeout=10, allow_redirects=False
    )


@pytest.mark.parametrize(
    ("kind", "applied"),
    [
        ("refuse", 0),
        ("reset-before-body", 0),
        ("reset-before-apply", 0),
        ("reset-after-apply", 1),
        ("cut", 1),
        ("short", 1),
        ("chunked-cut", 1),
    ],
)
def test_a_lost_answer_says_nothing_about_what_was_applied(
    server: RunningServer, orgs: Orgs, kind: str, applied: int
):
    key = server.injections.add(Injection(kind))
    with pytest.raises(requests.RequestException):
        post(server)
    assert orgs.applied == applied
    assert server.injections.fired(key) == 1
    assert post(server).text == RESULT
    assert orgs.applied == applied + 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("injection", "status", "text"),
    [
        (Injection("status", status=420, message="enhance"), 420, "enhance"),
        (Injection("maintenance"), 503, "We are down for maintenance."),
        (Injection("maintenance", status=200), 200, "<!DOCTYPE html>"),
        (Injection("empty"), 200, ""),
        (Injection("fault"), 500, "<faultcode>sf:SERVER_UNAVAILABLE</faultcode>"),
        (
            Injection("fault", code="UNABLE_TO_LOCK_ROW", message="a < b"),
            500,
            "<faultstring>UNABLE_TO_LOCK_ROW: a &lt; b</faultstring>",
        ),
        (
            Injection("session-expired"),
            500,
            "<faultcode>sf:INVALID_SESSION_ID</faultcode>",
        ),
        (Injection("redirect", location="http://localhost:1/"), 307, ""),
        (Injection("redirect", status=301, location="/x"), 301, ""),
    ],
    ids=lambda value: value.kind if isinstance(value, Injection) else None,
)
def test_another_answer_comes_before_or_after_the_act(
    server: RunningServer, orgs: Orgs, injection: Injection, status, text, *, after
):
    values = {k: v for k, v in vars(injection).items() if k != "id"}
    server.injections.add(Injection(**{**values, "applied": after}))
    answer = post(server)
    assert answer.status_code == status
    assert text in answer.text
    assert (answer.text == "") == (text == "")
    assert answer.headers.get("Location", "") == injection.location
    assert orgs.applied == int(after)


def body_after(server: RunningServer, injection: Injection) -> requests.Response:
    server.injections.add(injection)
    answer = post(server)
    assert answer.status_code == 200
    return answer


def test_distorted_answers(server: RunningServer):
    def of(kind: str, **values: str) -> bytes:
        return body_after(server, Injection(kind, **values)).content

    plain = RESULT.encode()
    wrong = body_after(server, Injection("wrong-type"))
    assert (wrong.headers["Content-Type"], wrong.content) == ("text/plain", plain)
    assert body_after(server, Injection("json-body")).json() == {"unexpected": True}
    with pytest.raises(UnicodeDecodeError):
        of("bad-charset").decode()
    assert of("bom") == b"\xef\xbb\xbf" + plain
    assert b"\x0b</soapenv:Envelope>" in of("control-character")
    assert b'?><!DOCTYPE lolz [<!ENTITY lol "lol">' in of("dtd")
    assert of("deep").count(b"<a>") == 100_000
    assert b'<soapenv:Envelope huge="xxx' in of("huge-attribute")
    assert b"<somethingNew>1</somethingNew></result>" in of("unknown-element")
    assert f"<zipFile>{ZIP[:-3]}</zipFile>".encode() in of("truncated-base64")
    assert b"<zipFile></zipFile>" in of("empty-zip")
    assert b"<zipFile>dGhpcyBpcyBub3QgYSB6aXA=</zipFile>" in of("corrupt-zip")
    assert b"<done>maybe</done>" in of("replace", find="(?<=<done>)true", put="maybe")


def test_an_answer_without_length_looks_good_and_is_not(server: RunningServer):
    answer = body_after(server, Injection("no-length", size=70))
    assert answer.text == RESULT[:70]
    assert "Content-Length" not in answer.headers


def test_slow_answers_are_slow_and_whole(server: RunningServer):
    start = time.monotonic()
    assert body_after(server, Injection("slow-headers", seconds=0.3)).text == RESULT
    assert time.monotonic() - start >= 0.3
    start = time.monotonic()
    drip = Injection("slow-drip", seconds=0.1, size=100)
    assert body_after(server, drip).text == RESULT
    assert time.monotonic() - start >= 0.1 * (len(RESULT) // 100)


def test_stop_does_not_wait_for_a_slow_answer(orgs: Orgs):
    with RunningServer(orgs) as running:
        running.injections.add(Injection("slow-headers", seconds=3600))
        with pytest.raises(requests.Timeout):
            requests.get(running.url, timeout=0.2)
        start = time.monotonic()
    assert time.monotonic() - start < 5


def test_every_kind_is_of_use(server: RunningServer, orgs: Orgs):
    """No kind is named that leaves the answer as it would be without."""
    for kind in set(KINDS) - {"deploy-fails"}:  # that one needs an org
        before = orgs.applied
        injection = Injection(kind, seconds=0.01, find="done", put="o")
        server.injections.add(injection)
        try:
            answer = post(server)
        except requests.RequestException:
            changed = True
        else:
            same = (answer.status_code, answer.text) == (200, RESULT)
            like = answer.headers.get("Content-Type", "").startswith("text/xml")
            changed = not (same and like)
        late = injection.point in (Point.AFTER_APPLY, Point.ANSWER)
        assert orgs.applied - before == int(late), kind
        assert changed or kind.startswith("slow"), kind


def subject(path: str = "/x", operation: str = "", org: str = ORG) -> Subject:
    return Subject(path, operation, org)


def test_a_fault_waits_for_its_request():
    injections = Injections()
    assert not injections
    key = injections.add(Injection("cut", on="checkDeploy*", skip=1, times=2))
    assert injections
    assert injections.take(subject(operation="deploy")) is None
    found = [injections.take(subject(operation="checkDeployStatus")) for _ in range(4)]
    assert [bool(i) for i in found] == [False, True, True, False]
    assert injections.fired(key) == 2
    assert not injections


def test_times_0_is_until_cleared():
    injections = Injections()
    key = injections.add(Injection("cut", on="*/oauth2/token", times=0))
    path = subject("/services/oauth2/token")
    assert all(injections.take(path) for _ in range(50))
    assert injections.take(subject("/services/oauth2/revoke")) is None
    assert injections.clear(key)
    assert not injections.clear(key)
    assert injections.take(path) is None


def test_one_org_among_many():
    injections = Injections()
    injections.add(Injection("cut", org=ORG + "EAA"))
    assert injections.take(subject(org="00D000000000002")) is None
    assert injections.take(subject()) is not None


def test_the_older_fault_goes_first():
    injections = Injections()
    for status in (500, 503):
        injections.add(Injection("status", status=status))
    assert [i.status for i in injections.programmed()] == [500, 503]
    taken = [injections.take(subject()) for _ in range(2)]
    assert [i.status for i in taken if i] == [500, 503]


@pytest.mark.parametrize("prefix", ["soapenv", "soap-env", "s.1", ""])
def test_the_subject_of_a_soap_request(prefix: str):
    colon = f"{prefix}:" if prefix else ""
    body = f"<{colon}Body id='1'>\r\n<cancelDeploy xmlns='x'>".encode()
    found = Subject.of("/services/Soap/m/66.0", "", body)
    assert found.operation == "cancelDeploy"


def test_the_org_is_told_by_the_session():
    path = "/services/data/v66.0/limits"
    assert Subject.of(path, f"Bearer {ORG}EAA!EMU.a", b"").org == ORG
    assert Subject.of(path, f"Bearer {ORG}!EMU.a", b"").org == ORG
    assert Subject.of("/services/Soap/m/66.0", "", envelope("deploy")).org == ORG
    assert Subject.of(path, "", b"").org == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "nonsense"}, "no fault is called 'nonsense'"),
        ({"kind": "cut", "colour": 1}, "a fault has no 'colour'"),
        ({"kind": "cut", "times": "1"}, "times must be int"),
        ({"kind": "cut", "times": True}, "times must be int"),
        ({"kind": "cut", "times": -1}, "cannot be negative"),
        ({"kind": "status", "status": 99}, "status must be 200 to 599"),
        ({"kind": "replace", "find": "("}, "find is not a pattern"),
        ({"kind": "cut", "id": "f1"}, "a fault has no 'id'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(values: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Injection.of(values)
