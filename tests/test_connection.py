"""What a connection makes of servers that misbehave. Source of the cases: faults that
users of Salesforce tools met, and what requests does about them by itself."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw_server import http, reset
from tunnel import Tunnel

from metadeploy import auth
from metadeploy.connection import (
    MOST_RENEWALS,
    Connection,
    read_json,
)
from metadeploy.credentials_api import CredentialsApi
from metadeploy.data_api import DataApi
from metadeploy.emulator.injection import Injection
from metadeploy.errors import ApiFault, AuthError, LostAnswer, Unreachable
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import DeployOptions, Secret
from metadeploy.reach import LOOPBACK, Reach

TOKEN = "00Dxx0000000001!canary.token"


@pytest.fixture
def connect():
    made = []

    def to(server, **how):
        url = server if isinstance(server, str) else server.url
        made.append(Connection(url, Secret(TOKEN), **{"reach": LOOPBACK, **how}))
        return made[-1]

    yield to
    for connection in made:
        connection.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_whole_answer(raw_server, connect):
    server = raw_server(http('{"a": 1}', Content_Type="application/json"))
    answer = connect(server).call("POST", "/x?q=1", body=b"asked", headers={"A": "b"})
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert answer.content_type == "application/json"
    assert server.requests[0].startswith(b"POST /x?q=1 HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"\r\n\r\nasked")
    assert b"\r\nA: b\r\n" in server.requests[0]


def test_the_connection_is_used_again(raw_server, connect):
    server = raw_server(http("one"), http("two"))
    connection = connect(server)
    assert [connection.call("GET", "/").body for _ in range(2)] == [b"one", b"two"]
    assert server.connections == 1


def test_chunks_make_a_whole_answer(raw_server, connect):
    chunks = (
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    assert connect(raw_server(chunks)).call("GET", "/").body == b"abc"


def test_no_packed_answer_is_asked_for(raw_server, connect):
    server = raw_server(http("x", Content_Encoding="identity"))
    assert connect(server).call("GET", "/").body == b"x"
    assert b"\r\nAccept-Encoding: identity\r\n" in server.requests[0]


def test_no_content_needs_no_length(raw_server, connect):
    answer = connect(raw_server(b"HTTP/1.1 204 X\r\n\r\n")).call("DELETE", "/")
    assert (answer.status, answer.body) == (204, b"")


def test_a_refused_port_means_that_nothing_was_sent(connect):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable) as caught:
        connect(url).call("POST", "/", body=b"x")
    assert (
        str(caught.value) == f"cannot reach {url}: connection refused or host unknown"
    )
    assert caught.value.hint


def test_a_host_that_cannot_be(connect):
    host = "a." * 140 + "example"
    reach = Reach(allowed_hosts=frozenset({host}))
    with pytest.raises(Unreachable, match="host unknown"):
        connect(f"https://{host}", reach=reach).call("GET", "/")


def test_a_server_without_tls(raw_server, connect):
    server = raw_server(greeting=b"220 mail.example.com ESMTP\r\n")
    with pytest.raises(Unreachable, match="it does not speak TLS"):
        connect(f"https://127.0.0.1:{server.port}").call("GET", "/")


@pytest.fixture
def tls_server(tmp_path):
    """The emulator by https, with a certificate that nobody trusts."""
    from metadeploy.emulator.server import serve
    from metadeploy.emulator.state import open_world

    world = open_world(tmp_path / "w" / "world.db")
    with serve(world, tls_port=0) as server:
        yield server
    world.close()


def test_a_certificate_of_nobody(tls_server, connect):
    with pytest.raises(Unreachable) as caught:
        connect(str(tls_server.https_url)).call("GET", "/services/data")
    assert "its certificate is not trusted" in str(caught.value)


def test_whom_the_user_trusts(tls_server, connect):
    url = tls_server.https_url
    place = url.removeprefix("https://")
    with pytest.raises(ApiFault, match=f"{place} is no host of Salesforce's"):
        connect(url, reach=Reach(ca_bundle=str(tls_server.ca_path)))
    reach = Reach(frozenset({place}), str(tls_server.ca_path))
    assert connect(url, reach=reach).call("GET", "/services/data").status == 200


def test_the_proxy_that_the_user_names(tls_server, connect):
    tunnel = Tunnel(int(tls_server.https_url.rpartition(":")[2]))
    proxy = Secret(tunnel.url.replace("//", "//me:canary-pass@"))
    url = "https://localhost:6101"
    reach = Reach(frozenset({"localhost:6101"}), str(tls_server.ca_path), proxy)
    connection = connect(url, reach=reach)
    assert connection.call("GET", "/services/data").status == 200
    (asked,) = tunnel.asked
    assert asked.startswith(b"CONNECT localhost:6101 HTTP/1.")
    assert b"Proxy-Authorization: Basic " in asked and TOKEN.encode() not in asked
    assert "canary" not in repr(connection)
    tunnel.stop()


@pytest.mark.parametrize("kind", ["reset-before-body", "reset-after-apply", "cut"])
def test_a_line_that_breaks_behind_a_proxy(tls_server, connect, kind):
    tunnel = Tunnel(int(tls_server.https_url.rpartition(":")[2]))
    reach = Reach(
        frozenset({"localhost:6101"}), str(tls_server.ca_path), Secret(tunnel.url)
    )
    tls_server.injections.add(Injection(kind))
    with pytest.raises(LostAnswer):  # the org may have had it
        connect("https://localhost:6101", reach=reach).call("POST", "/", body=b"x")
    tunnel.stop()


def test_a_proxy_that_refuses(raw_server, connect):
    proxy = raw_server(http("no", 407))
    url = "https://acme.my.salesforce.com"
    reach = Reach(proxy=Secret(proxy.url))
    with pytest.raises(Unreachable, match="the proxy does not let us through"):
        connect(url, reach=reach).call("POST", "/", body=b"x")
    assert [r.split()[:2] for r in proxy.requests] == [
        [b"CONNECT", b"acme.my.salesforce.com:443"]
    ]


def test_an_emulated_token_stays_on_this_machine(connect):
    emulated = Secret("00D7oBUDdHTp3am!EMU.abc")
    url = "https://acme.my.salesforce.com"
    with pytest.raises(AuthError, match="does not go to") as caught:
        Connection(url, emulated)
    assert "EMU" not in str(caught.value)
    connection = Connection(url, Secret(TOKEN), renew=lambda: emulated)

    def expired(token):
        raise ApiFault("INVALID_SESSION_ID", "Session expired or invalid")

    with pytest.raises(AuthError, match="does not go to"):
        connection.in_session(expired)
    assert Connection("http://127.0.0.1:1", emulated, reach=LOOPBACK).token == emulated


CUT = {
    "reset": reset,
    "closed without an answer": b"HTTP/1.1",
    "cut in the head": b"HTTP/1.1 200 X\r\nContent-Le",
    "short of its length": b"HTTP/1.1 200 X\r\nX: y\r\ncontent-length: 9\r\n\r\n<ok/>",
    "cut between chunks": (
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<ok/>\r\n"
    ),
    "cut in a chunk": (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<ok"),
    "without a length": b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<ok/>",
    "with a length that is none": (
        b"HTTP/1.1 200 X\r\ncontent-length: five\r\n\r\n<ok/>"
    ),
    "with another transfer encoding": (
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: identity\r\n\r\n<ok/>"
    ),
    "packed, and cut": http(gzip.compress(b"a" * 99)[:-9], Content_Encoding="gzip"),
    "not HTTP": b"220 mail.example.com ESMTP\r\n\r\n",
    "with 300 headers": b"HTTP/1.1 200 X\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    "with a head without end": b"HTTP/1.1 200 X\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("reply", CUT.values(), ids=CUT)
def test_an_answer_that_is_not_whole_is_lost(raw_server, connect, reply):
    server = raw_server(reply)
    with pytest.raises(LostAnswer) as caught:
        connect(server).call("POST", "/services/Soap/m/66.0", body=b"<deploy/>")
    assert len(server.requests) == 1  # never sent twice
    assert len(str(caught.value)) < 120


def test_a_reset_in_the_middle_of_the_request(raw_server, connect):
    server = raw_server(reset, read_body=False)
    with pytest.raises(LostAnswer, match=r"no whole answer .*: the connection broke"):
        connect(server).call("POST", "/", body=bytes(5_000_000))


def test_a_server_that_answers_before_it_has_read_all(raw_server, connect):
    server = raw_server(http("too large", 413), read_body=False)
    try:
        assert connect(server).call("POST", "/", body=bytes(5_000_000)).status == 413
    except LostAnswer:
        assert len(server.requests) == 1  # the rest of the body met a reset first


CALLS = {
    "a SOAP call": lambda c: MetadataApi(c, "66.0").deploy(b"zip", DeployOptions()),
    "a retrieve": lambda c: MetadataApi(c, "66.0").check_retrieve_status("09S"),
    "a query": lambda c: DataApi(c, "66.0").query("SELECT Id FROM User"),
    "a grant": lambda c: DataApi(c, "66.0").grant("0PS", "0H4"),
    "a revocation": lambda c: DataApi(c, "66.0").revoke("0J0"),
    "a secret": lambda c: CredentialsApi(c, "66.0").consumer("Portal"),
    "a token by secret": lambda c: auth.client_credentials(c, "key", Secret("canary")),
    "a token by refresh": lambda c: auth.refresh(
        c, "key", refresh_token=Secret("canary"), consumer_secret=None
    ),
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_redirect_is_followed(raw_server, connect, status, call):
    other = raw_server(http("stolen"))
    server = raw_server(http("", status, Location=f"{other.url}/steal?sid=canary"))
    with pytest.raises((LostAnswer, AuthError)) as caught:
        call(connect(server))
    said = f"HTTP {status} leads to {other.url}/steal, and is not followed"
    assert said in str(caught.value)
    assert other.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/login", "/login"),
        ("//evil.example/x", "://evil.example/x"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
        (
            "https://me:canary@evil.example/x?sid=canary#canary",
            "https://evil.example/x",
        ),
        ("https://evil.example/\x1b[2Jx", "https://evil.example/[2Jx"),
        ("javascript:alert(1)", "alert(1)"),
        ("https://[::1", "no address"),
        ("https://evil.example:port/x", "https://evil.example:port/x"),
        ("/\u00ff\u0100", "/"),
        ("/" + "a" * 200, "/" + "a" * 99),
        ("", ""),
    ],
)
def test_where_a_redirect_leads_is_told_without_secrets(
    raw_server, connect, location, shown
):
    server = raw_server(http("", 302, Location=location))
    with pytest.raises(LostAnswer) as caught:
        connect(server).call("POST", "/")
    assert str(caught.value) == f"HTTP 302 leads to {shown}, and is not followed"
    assert "My Domain" in caught.value.hint
    assert len(server.requests) == 1


def test_the_environment_decides_nothing(raw_server, connect, monkeypatch, tmp_path):
    other = raw_server(http("stolen"))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password canary-pass")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
        monkeypatch.setenv(name.lower(), other.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = raw_server(http("ok"))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert connect(server).call("GET", "/", headers=bearer).body == b"ok"
    assert f"Authorization: Bearer {TOKEN}".encode() in server.requests[0]
    assert b"Basic" not in server.requests[0]
    assert other.requests == []


def took(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


HEAD = b"HTTP/1.1 200 X\r\nContent-Length: 400\r\n\r\n"
SLOW = {
    "silence": lambda talk: talk.silence(),
    "silence after the head": lambda talk: (talk.send(HEAD), talk.silence()),
    "a head byte by byte": lambda talk: talk.drip(HEAD, 0.05),
    "a body byte by byte": lambda talk: (
        talk.send(HEAD),
        talk.drip(b"x" * 400, 0.05),
    ),
    "chunks byte by byte": lambda talk: (
        talk.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
        talk.drip(b"1\r\nx\r\n" * 100, 0.05),
    ),
}


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
def test_a_call_ends_in_time_whatever_drips(raw_server, connect, reply):
    connection = connect(raw_server(reply), timeout=0.4)

    def call():
        with pytest.raises(LostAnswer, match="timed out"):
            connection.call("POST", "/", body=b"x")

    assert 0.3 < took(call) < 2  # each byte comes within 0.05 s; all would take 20 s


@pytest.mark.parametrize("left", [0.4, -100.0], ids=["soon over", "over"])
def test_a_call_ends_with_the_run(raw_server, connect, left):
    server = raw_server(lambda talk: talk.silence())
    connection = connect(server, grace=0.4)
    connection.until = time.monotonic() + left

    def call():
        with pytest.raises(LostAnswer, match="timed out"):
            connection.call("GET", "/")

    assert 0.3 < took(call) < 2  # a call of its own has 10 minutes


def test_a_call_may_answer_though_the_run_is_over(raw_server, connect):
    connection = connect(raw_server(http("a")))
    connection.until = time.monotonic() - 100
    assert connection.call("GET", "/").body == b"a"


def test_a_peer_that_reads_nothing(connect):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        connection = connect(url, timeout=0.4)

        def call():
            with pytest.raises(LostAnswer):
                connection.call("POST", "/", body=bytes(50_000_000))

        assert took(call) < 5


def test_a_slow_answer_leaves_the_next_call_its_time(raw_server, connect):
    def late(talk):
        talk.drip(http("late"), 0.004)

    server = raw_server(http("a"), late)
    connection = connect(server, timeout=3)
    assert [connection.call("GET", "/").body for _ in range(2)] == [b"a", b"late"]


def test_an_answer_may_not_be_endless(raw_server, connect):
    server = raw_server(http("x" * 200_001))
    with pytest.raises(LostAnswer, match="larger than 200000 bytes"):
        connect(server, limit=200_000).call("GET", "/")
    assert connect(server, limit=200_001).call("GET", "/").status == 200


def test_a_path_cannot_lead_elsewhere(raw_server, connect):
    other = raw_server(http("stolen"))
    connection = connect(raw_server(http("ok")))
    with pytest.raises(ApiFault, match="is no path"):
        connection.call("GET", f"@127.0.0.1:{other.port}/steal")
    assert other.requests == []


@pytest.mark.parametrize("token", ["a b", "a\nb", "a\r\nX: y", "tökén", "a\x00"])
def test_what_cannot_be_a_token_is_told_without_it(token):
    with pytest.raises(AuthError) as caught:
        Connection("https://acme.my.salesforce.com", Secret(token))
    assert str(caught.value) == "the access token has characters that no token has"


def test_nothing_secret_is_logged_or_said(raw_server, connect, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    connection = connect(raw_server(http("ok"), reset))
    connection.call("POST", "/", body=TOKEN.encode(), headers=bearer)
    with pytest.raises(LostAnswer) as caught:
        connection.call("POST", "/", body=TOKEN.encode(), headers=bearer)
    said = [repr(connection)]
    error: BaseException | None = caught.value
    while error is not None:
        said.append(repr(error))
        error = error.__cause__ or error.__context__
    assert len(said) > 2  # what was translated stays known
    assert caplog.records  # urllib3 does log at this level
    assert "canary" not in caplog.text + "".join(said)


def test_what_json_says(raw_server, connect):
    def read(reply):
        return read_json(connect(raw_server(reply)).call("GET", "/"))

    assert read(http('{"a": [1, null]}')) == {"a": [1, None]}
    assert read(http('\ufeff{"a": 1}')) == {"a": 1}
    assert read(http("", 204)) is None


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (
            400,
            '[{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}]',
            "MALFORMED_QUERY",
            "MALFORMED_QUERY: unexpected token",
        ),
        (
            400,
            '{"error": "invalid_grant", "error_description": "ip restricted"}',
            "invalid_grant",
            "invalid_grant: ip restricted",
        ),
        (500, "{}", "500", "500: refused"),
        (401, "[]", "401", "401: refused without a reason"),
        (503, '"busy"', "503", "503: refused without a reason"),
    ],
)
def test_what_json_says_of_a_fault(raw_server, connect, status, body, code, message):
    answer = connect(raw_server(http(body, status))).call("GET", "/")
    with pytest.raises(ApiFault) as caught:
        read_json(answer)
    assert (caught.value.code, str(caught.value)) == (code, message)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            http("<html>", 503, Content_Type="text/html; charset=x"),
            "503 with text/html",
        ),
        (http("<html>", Content_Type="text/html"), "200 with text/html"),
        (http(""), "200 with nothing"),
        (http("", 307), "307 with nothing"),
        (http('{"a": '), "200 with nothing"),
        (http(b"\xff\xfe\xff"), "200 with nothing"),
        (http("[" * 100_000), "200 with nothing"),
        (http("1" * 10_000), "200 with nothing"),
    ],
)
def test_what_is_no_json_is_lost(raw_server, connect, reply, said):
    answer = connect(raw_server(reply)).call("GET", "/")
    with pytest.raises(LostAnswer) as caught:
        read_json(answer)
    assert str(caught.value) == f"HTTP {said} where JSON was expected"


# Sessions that end.

POLICIES = (
    "This session is not valid for use with the REST API",
    "This session is not valid for use with the API",
    "Connected app is not attached to Agent",
)


class Logins:
    """Gives tokens 1, 2, …; only those from `good` on are taken."""

    def __init__(self, good=1):
        self.made, self.good = 0, good

    def renew(self):
        self.made += 1
        return Secret(str(self.made))

    def send(self, token):
        if int(token.reveal()) < self.good:
            raise ApiFault("INVALID_SESSION_ID", "Session expired or invalid")
        return token.reveal()


@pytest.fixture
def session():
    """session(logins) → a Connection with token 0, which goes nowhere."""
    made = []

    def to(logins, **how):
        how = {"renew": logins.renew, **how}
        made.append(Connection("https://a.my.salesforce.com", Secret("0"), **how))
        return made[-1]

    yield to
    for connection in made:
        connection.close()


@pytest.mark.parametrize("good", range(MOST_RENEWALS + 1))
def test_a_call_is_made_again_in_a_new_session(session, good):
    logins = Logins(good)
    connection = session(logins)
    assert connection.in_session(logins.send) == str(good)
    assert connection.token == Secret(str(good))
    assert logins.made == good


def test_logging_in_again_does_not_go_on_for_ever(session):
    logins = Logins(good=MOST_RENEWALS + 1)
    with pytest.raises(ApiFault, match="Session expired") as caught:
        session(logins).in_session(logins.send)
    assert "New sessions are refused too" in caught.value.hint
    assert logins.made == MOST_RENEWALS


def test_a_good_call_ends_the_row(session):
    logins = Logins()
    connection = session(logins)
    for good in range(1, 3 * MOST_RENEWALS):
        logins.good = good
        assert connection.in_session(logins.send) == str(good)


def test_calls_without_a_good_one_between_share_the_row(session):
    logins = Logins(good=99)
    connection = session(logins)
    for _ in range(3):
        with pytest.raises(ApiFault):
            connection.in_session(logins.send)
    assert logins.made == MOST_RENEWALS


def test_one_thread_logs_in_for_all(session):
    everybody = threading.Barrier(8)
    logins = Logins()

    def send(token):
        if token == Secret("0"):
            everybody.wait(10)  # all have met the end before the first logs in
        return logins.send(token)

    connection = session(logins)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: connection.in_session(send), range(8)))
    assert found == ["1"] * 8
    assert logins.made == 1


def test_a_token_from_outside_cannot_be_renewed(session):
    logins = Logins()
    with pytest.raises(ApiFault, match="Session expired") as caught:
        session(logins, renew=None).in_session(logins.send)
    assert "set a new one" in caught.value.hint


@pytest.mark.parametrize("renews", [True, False])
def test_a_token_in_jwt_format_is_named(session, renews):
    def send(token):
        raise ApiFault("INVALID_SESSION_ID", "Invalid Session ID found")

    def renew():
        return Secret("eyJhbGciOi.canary")

    connection = session(Logins(), renew=renew if renews else None)
    connection.token = renew()
    with pytest.raises(ApiFault) as caught:
        connection.in_session(send)
    assert "no access token in JWT format" in caught.value.hint
    assert "canary" not in caught.value.hint


@pytest.mark.parametrize("words", POLICIES)
def test_a_policy_is_not_the_end_of_a_session(session, words):
    def send(token):
        raise ApiFault("INVALID_SESSION_ID", words)

    logins = Logins()
    with pytest.raises(ApiFault, match=words):
        session(logins).in_session(send)
    assert logins.made == 0


def test_a_login_that_fails_is_not_counted(session):
    errors = [Unreachable("down")] * (MOST_RENEWALS + 1)
    logins = Logins()

    def renew():
        if errors:
            raise errors.pop()
        return logins.renew()

    connection = session(logins, renew=renew)
    for _ in range(MOST_RENEWALS + 1):
        with pytest.raises(Unreachable):
            connection.in_session(logins.send)
    assert connection.in_session(logins.send) == "1"


def test_a_new_token_is_looked_at_too(session):
    bad = Secret("a\nb")
    connection = session(Logins(), renew=lambda: bad)
    with pytest.raises(AuthError, match="characters that no token has"):
        connection.in_session(Logins().send)
    assert connection.token == Secret("0")
