"""The server as a client on a socket sees it, with a route that echoes."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

from metadeploy.emulator.server import MAX_BODY, RunningServer
from metadeploy.emulator.wire import Answer, Request

SOAP = (
    b'<?xml version="1.0"?><soapenv:Envelope><soapenv:Header><sessionId>'
    b"00D000000000001EAA!EMU.x</sessionId></soapenv:Header><soapenv:Body>"
    b"<m:deploy><m:ZipFile/></m:deploy></soapenv:Body></soapenv:Envelope>"
)
RESULT = (
    b'<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="e"><soapenv:Body><result>'
    b"<done>true</done><zipFile>UEsFBgAAAAAA</zipFile></result></soapenv:Body>"
    b"</soapenv:Envelope>"
)


class Echo:
    """Answers with what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.seen.append(request)
        if request.path.startswith("/services/Soap/"):
            return Answer(200, "text/xml;charset=UTF-8", RESULT)
        text = f"{request.method} {request.path}?{request.query}\n".encode()
        return Answer(200, "text/plain", text + request.body)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[RunningServer]:
    with RunningServer(echo) as running:
        yield running


def address(server: RunningServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def talk(server: RunningServer, data: bytes, *, half: bool = True) -> bytes:
    """Send raw bytes and return everything that comes until the server closes."""
    with socket.create_connection(address(server), timeout=10) as sock:
        sock.sendall(data)
        if half:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(65536):
            got += data
        return got


def test_a_request_arrives_with_all_its_parts(server: RunningServer, echo: Echo):
    answer = requests.post(
        server.url + "//a//b%20c?x=1&x=2&y=", data=b"k=v&e", timeout=5
    )
    assert answer.text == "POST /a/b c?x=1&x=2&y=\nk=v&e"
    [request] = echo.seen
    assert request.base_url == server.url
    assert request.parameters == {"x": "1", "y": ""}
    assert request.form == {"k": "v", "e": ""}
    assert answer.headers["Date"].endswith("GMT")


def test_bodies_may_come_in_chunks_and_packed(server: RunningServer):
    chunks = requests.post(server.url + "/", data=iter([b"ab", b"c" * 9000]), timeout=5)
    assert chunks.text.endswith("ab" + "c" * 9000)
    packed = requests.post(
        server.url + "/",
        data=gzip.compress(b"plain"),
        headers={"Content-Encoding": "gzip"},
        timeout=5,
    )
    assert packed.text.endswith("plain")


def test_one_connection_serves_many_requests(server: RunningServer):
    connection = HTTPConnection(*address(server), timeout=5)
    for number in range(3):
        connection.request("GET", f"/{number}")
        assert connection.getresponse().read() == f"GET /{number}?\n".encode()
    connection.close()


def test_pipelined_requests_are_answered_in_order(server: RunningServer):
    one = b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = talk(server, one + one.replace(b" /1", b" /2"))
    assert got.index(b"GET /1?") < got.index(b"GET /2?")


def test_an_absolute_target_and_expect_continue_are_understood(server: RunningServer):
    got = talk(
        server,
        b"POST http://127.0.0.1/x?q HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    )
    assert b"POST /x?q\nok" in got


def test_a_head_request_gets_no_body(server: RunningServer):
    answer = requests.head(server.url + "/long", timeout=5)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\n"
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            413,
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
            400,
        ),
    ],
)
def test_what_is_not_http_is_refused(
    server: RunningServer, echo: Echo, data: bytes, status: int
):
    assert talk(server, data).startswith(f"HTTP/1.1 {status} ".encode())
    assert echo.seen == []
    assert requests.get(server.url + "/next", timeout=5).status_code == 200


def test_a_bomb_in_gzip_is_refused_before_it_unpacks(server: RunningServer, echo: Echo):
    answer = requests.post(
        server.url + "/services/data/v66.0/x",
        data=gzip.compress(bytes(MAX_BODY + 1)),
        headers={"Content-Encoding": "gzip"},
        timeout=20,
    )
    assert answer.status_code == 413
    assert answer.json()[0]["errorCode"] == "EXCEEDED_MAX_SIZE_REQUEST"
    assert echo.seen == []


def test_half_a_request_changes_nothing(server: RunningServer, echo: Echo):
    assert talk(server, b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf") == b""
    assert talk(server, b"POST /x HTT") == b""
    assert echo.seen == []


@pytest.mark.parametrize(
    "host", ["evil.example", "", "127.0.0.1.evil.example", "localhost:1:2", "10.0.0.1"]
)
def test_another_host_is_refused(server: RunningServer, echo: Echo, host: str):
    got = talk(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 421 ")
    assert echo.seen == []


@pytest.mark.parametrize("host", ["localhost", "[::1]:80", "acme--uat.localhost:9"])
def test_names_of_loopback_are_welcome(server: RunningServer, echo: Echo, host: str):
    talk(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert echo.seen[0].base_url == f"http://{host}"


def test_only_loopback_is_served():
    with pytest.raises(ValueError, match="loopback"):
        RunningServer(Echo(), host="0.0.0.0")


def test_200_connections_at_once(server: RunningServer):
    ready = threading.Barrier(200)
    texts: list[str] = []

    def ask(number: int) -> None:
        with requests.Session() as session:
            ready.wait(30)
            texts.append(session.get(f"{server.url}/{number}", timeout=30).text)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == sorted(f"GET /{n}?\n" for n in range(200))


def test_a_bug_is_told_as_an_unknown_exception(
    monkeypatch: pytest.MonkeyPatch,
):
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    def broken(request: Request) -> Answer:
        raise LookupError(request.path)

    with RunningServer(broken) as running:
        answer = requests.get(running.url + "/services/data/v66.0/", timeout=5)
        soap = requests.post(running.url + "/services/Soap/m/66.0", b"", timeout=5)
    assert answer.status_code == 500
    assert answer.json()[0]["errorCode"] == "UNKNOWN_EXCEPTION"
    assert "<faultcode>sf:UNKNOWN_EXCEPTION</faultcode>" in soap.text
    assert "LookupError" not in answer.text
    assert [hook.exc_type for hook in raised] == [LookupError, LookupError]
    raised.clear()


def test_stop_ends_idle_connections_and_can_be_repeated(echo: Echo):
    running = RunningServer(echo)
    with socket.create_connection(address(running), timeout=5) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(10)
        running.stop()
        while idle.recv(65536):
            pass
        running.stop()


def test_https_with_its_own_authority(echo: Echo, tmp_path: Path):
    directory = tmp_path / "state"
    with RunningServer(echo, tls_port=0, directory=directory) as running:
        assert running.https_url is not None and running.ca_path is not None
        for url in (
            running.https_url,
            running.https_url.replace("127.0.0.1", "localhost"),
        ):
            answer = requests.get(url + "/s", verify=str(running.ca_path), timeout=5)
            assert answer.text == "GET /s?\n"
        assert echo.seen[0].base_url == running.https_url
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(running.https_url, timeout=5)
        assert talk(running, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        strict = ssl.create_default_context(cafile=str(running.ca_path))
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        port = int(running.https_url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            strict.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            assert secured.version() == "TLSv1.3"
    assert (directory / "tls.pem").stat().st_mode & 0o777 == 0o600
    kept = (directory / "ca.pem").read_bytes()
    with RunningServer(echo, tls_port=0, directory=directory):
        assert (directory / "ca.pem").read_bytes() == kept
    (directory / "tls.pem").write_text("broken")
    with RunningServer(echo, tls_port=0, directory=directory):
        assert (directory / "ca.pem").read_bytes() != kept
