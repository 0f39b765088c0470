"""The emulated orgs of one world as a server on loopback, http and https."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from metadeploy.emulator import admin
from metadeploy.emulator.dialects import fault_answer
from metadeploy.emulator.distortion import deliver, distorted, instead
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.http1 import BadRequest, Connection, Head, PeerGone
from metadeploy.emulator.injection import Injection, Injections, Point, Subject
from metadeploy.emulator.listener import Listener, reset
from metadeploy.emulator.state import World
from metadeploy.emulator.wire import Answer, Request

MAX_BODY = 52_428_800
"""Bytes. 50 MB is the most a SOAP message may have; documented, Metadata API limits."""

Route: TypeAlias = Callable[[Request], Answer]
PlanFailure: TypeAlias = Callable[[str, Injection], None]
"""Makes the next deploy of an org, named by its 15-character Id, fail."""

_LOOPBACK_HOST = re.compile(
    r"(?:127\.0\.0\.1|\[::1\]|(?:[a-z0-9-]{1,63}\.){0,5}localhost)(?::\d{1,5})?", re.I
)
_SESSION_FAULT = Fault("INVALID_SESSION_ID", "Session expired or invalid", status=401)
_SOAP_SESSION_FAULT = Fault(
    "INVALID_SESSION_ID",
    "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, "
    "missing session hash: EMU This error usually occurs after a session expires or "
    "a user logs out.",
)
_BUG = Fault(
    "UNKNOWN_EXCEPTION",
    "An unexpected error occurred. Please include this ErrorId if you contact "
    "support: 0-0 (0)",
)


def serve(
    world: World, *, host: str = "127.0.0.1", port: int = 0, tls_port: int | None = None
) -> RunningServer:
    """Serve all orgs of a world on loopback and return at once, ready.

    port, tls_port: 0 takes a free one; without tls_port there is no https. The
    certificate lies beside the world's file. Raises OSError for a taken port.
    """
    return RunningServer(
        partial(answer, world),
        host=host,
        port=port,
        tls_port=tls_port,
        directory=world.store.path.parent,
        clock=world.clock,
        plan_failure=partial(_plan_failure, world),
    )


def _plan_failure(world: World, org_id: str, injection: Injection) -> None:
    try:
        org = world.org(org_id)
    except KeyError:
        return  # the session is of no org: the deploy is refused anyway
    body = {"code": injection.code, "message": injection.message}
    world.put_grant("deploy failure", org.id, org, body)


def answer(world: World, request: Request) -> Answer:
    """Hand a request to the protocol its path belongs to.

    Each protocol is loaded at its first request, so that a server is ready at once.
    """
    path = request.path
    if path.startswith("/services/Soap/"):
        from metadeploy.emulator import soap

        return soap.handle(world, path, request.body, request.base_url)
    if path == "/services/data" or path.startswith("/services/data/"):
        from metadeploy.emulator import rest

        return rest.handle(world, request)
    if path.startswith(_OAUTH):
        from metadeploy.emulator import oauth

        return oauth.handle(world, request)
    if path == "/":
        from metadeploy.emulator import pages

        return pages.home(world, request)
    return Answer(404, "text/plain;charset=UTF-8", b"There is nothing here.")


class _Aborted(Exception):
    """The connection is to be reset, as a fault on request wants it."""


_OAUTH = ("/services/oauth2/", "/id/", "/.well-known/", "/setup/connect")


class RunningServer:
    """A server that serves until `stop`. Also a context manager that stops it.

    url, https_url: without a slash at the end; https_url and ca_path may be None.
    injections: faults on request, also to be had over HTTP at /emulator/faults.
    directory: where certificate and admin token lie; None = there are none.
    """

    def __init__(
        self,
        route: Route,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_port: int | None = None,
        directory: Path | None = None,
        clock: Callable[[], float] = time.time,
        plan_failure: PlanFailure = lambda org, injection: None,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the emulated org is served on loopback addresses only")
        self._route = route
        self._clock = clock
        self._plan_failure = plan_failure
        self.injections = Injections()
        self._directory = directory
        self.ca_path: Path | None = None
        ports, tls = {"http": port}, None
        if tls_port is not None:
            if directory is None:
                raise ValueError("https needs a directory for its certificate")
            # Loaded only here: cryptography costs more than all the rest together.
            from metadeploy.emulator.tls import server_context

            tls, self.ca_path = server_context(directory)
            ports["https"] = tls_port
        self._listener = Listener(
            host, ports, self._talk, tls=tls, refuse=self.injections.refuse
        )
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listener.port('http')}"
        self.https_url = (
            f"https://{shown}:{self._listener.port('https')}" if tls else None
        )

    @property
    def admin_token(self) -> str:
        """What opens /emulator/; "" where there is no directory to keep it in."""
        return admin.admin_token(self._directory) if self._directory else ""

    def stop(self) -> None:
        """Close all connections; return when no thread is left. Callable twice."""
        self._listener.stop()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _talk(self, sock: socket.socket, scheme: str) -> None:
        connection = Connection(sock, limit=MAX_BODY)
        try:
            while self._one_request(connection, scheme):
                pass
        except _Aborted:
            reset(sock)
        except PeerGone:
            pass

    def _one_request(self, connection: Connection, scheme: str) -> bool:
        """Serve one request; return whether another may follow."""
        head: Head | None = None
        try:
            head = connection.read_head()
            if head is None:
                return False
            path, query = _split(head.target)
            injection = self._struck(connection, head, path)
            body = connection.read_body(head)
        except BadRequest as error:
            answer = _refused(_split(head.target)[0] if head else "/", error)
            connection.send(answer, keep_alive=False, now=self._clock())
            _drain(connection.sock)
            return False
        host = head.headers.get("host", "")
        base_url = f"{scheme}://{host}"
        request = Request(head.method, path, query, head.headers, body, base_url)
        if not _LOOPBACK_HOST.fullmatch(host):
            answer, injection = _misdirected(), None
        elif injection is None:
            answer = self._act(connection, request)
        else:
            answer = self._spoiled(connection, request, injection)
        now = self._clock()
        if injection is not None and injection.point is Point.ANSWER:
            wait = self._listener.stopping.wait
            deliver(connection, answer, injection, now=now, wait=wait)
            if injection.kind == "cut":
                raise _Aborted
            return False
        keep, whole = head.keep_alive, head.method != "HEAD"
        connection.send(answer, keep_alive=keep, now=now, body=whole)
        return keep

    def _struck(
        self, connection: Connection, head: Head, path: str
    ) -> Injection | None:
        if not self.injections or path.startswith("/emulator/"):
            return None
        start = connection.peek_body(head)
        subject = Subject.of(path, head.headers.get("authorization", ""), start)
        injection = self.injections.take(subject)
        if injection is not None and injection.point is Point.BEFORE_BODY:
            raise _Aborted
        return injection

    def _spoiled(
        self, connection: Connection, request: Request, injection: Injection
    ) -> Answer:
        if injection.point is Point.BEFORE_APPLY:
            if injection.kind == "reset-before-apply":
                raise _Aborted
            if injection.kind == "deploy-fails":
                self._plan_failure(_session_org(request), injection)
                return self._act(connection, request)
            return _answer_of_fault(request.path, injection)
        answer = self._act(connection, request)
        if injection.point is Point.AFTER_APPLY:
            if injection.kind == "reset-after-apply":
                raise _Aborted
            return _answer_of_fault(request.path, injection)
        return distorted(answer, injection)

    def _act(self, connection: Connection, request: Request) -> Answer:
        """Have the org act. A bug is told to the client, and raised all the same."""
        answer: Answer | None = None
        try:
            if request.path.startswith("/emulator/") and self._directory:
                answer = admin.handle(self.injections, self.admin_token, request)
            else:
                answer = self._route(request)
        finally:
            if answer is None:
                told = fault_answer(request.path, _BUG)
                connection.send(told, keep_alive=False, now=self._clock())
        return answer


def _answer_of_fault(path: str, injection: Injection) -> Answer:
    answer = instead(injection)
    if answer is not None:
        return answer
    if injection.kind == "session-expired":
        soap = path.startswith("/services/Soap/")
        return fault_answer(path, _SOAP_SESSION_FAULT if soap else _SESSION_FAULT)
    return fault_answer(path, Fault(injection.code, injection.message))


def _session_org(request: Request) -> str:
    authorization = request.headers.get("authorization", "")
    return Subject.of(request.path, authorization, request.body[:8192]).org


def _split(target: str) -> tuple[str, str]:
    """Return path and query of a request target, also of an absolute one."""
    path, _, query = re.sub(r"^https?://[^/]*", "", target, flags=re.I).partition("?")
    return re.sub("/{2,}", "/", unquote(path)) or "/", query


def _refused(path: str, error: BadRequest) -> Answer:
    code = "EXCEEDED_MAX_SIZE_REQUEST" if error.status == 413 else "BAD_REQUEST"
    if path.startswith("/services/"):
        return fault_answer(path, Fault(code, error.message, status=error.status))
    return Answer(error.status, "text/plain;charset=UTF-8", error.message.encode())


def _misdirected() -> Answer:
    """Another Host is a web page's name made to point here (DNS rebinding)."""
    text = b"This server answers to localhost and loopback addresses only."
    return Answer(421, "text/plain;charset=UTF-8", text)


def _drain(sock: socket.socket) -> None:
    """Read a little of what still comes, or the peer never sees our answer."""
    sock.settimeout(0.2)
    left = 4_000_000
    while left > 0 and (data := sock.recv(65536)):
        left -= len(data)
