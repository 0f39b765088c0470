"""Sockets and threads: who is connected, and one thread for each of them."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

MAX_CONNECTIONS = 1000
IDLE_SECONDS = 75.0


class Service(Protocol):
    """Speaks with one client until it leaves; `scheme` is http or https."""

    def __call__(self, sock: socket.socket, scheme: str) -> None: ...


Refuse: TypeAlias = Callable[[], bool]


class Listener:
    """Listening sockets, the thread that accepts on them, and one per connection.

    ports: for each scheme the port to bind, 0 for a free one. `tls` serves https.
    refuse: asked for each new connection; True resets it before a word is said.
    Connections beyond MAX_CONNECTIONS are reset too.
    """

    def __init__(
        self,
        host: str,
        ports: Mapping[str, int],
        service: Service,
        *,
        tls: ssl.SSLContext | None = None,
        refuse: Refuse = lambda: False,
    ) -> None:
        self._service = service
        self._tls = tls
        self._refuse = refuse
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._listening: dict[str, socket.socket] = {}
        self.stopping = threading.Event()
        try:
            for scheme, port in ports.items():
                self._listening[scheme] = _listen(host, port)
        except OSError:
            self._close_sockets()
            raise
        self._acceptor = threading.Thread(
            target=self._accept_all, name="emulator-accept", daemon=True
        )
        self._acceptor.start()

    def port(self, scheme: str) -> int:
        """Return the port that is bound for a scheme."""
        port: int = self._listening[scheme].getsockname()[1]
        return port

    def stop(self) -> None:
        """Close every socket and wait for the threads. Callable twice."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._wake.send(b"x")
        self._acceptor.join()
        while self._open:  # again, for one that was changing to TLS meanwhile
            with self._lock:
                left = dict(self._open)
            for sock in left:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in left.values():
                thread.join(0.2)
        self._close_sockets()

    def _close_sockets(self) -> None:
        for sock in (*self._listening.values(), self._wake, self._woken):
            sock.close()

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._woken, selectors.EVENT_READ, "")
            for scheme, listening in self._listening.items():
                ready.register(listening, selectors.EVENT_READ, scheme)
            while not self.stopping.is_set():
                for key, _ in ready.select():
                    if key.data:
                        self._accept(self._listening[key.data], key.data)

    def _accept(self, listening: socket.socket, scheme: str) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:  # the peer left before we came, or no descriptor is free
            self.stopping.wait(0.01)
            return
        if self._refuse() or len(self._open) >= MAX_CONNECTIONS:
            reset(sock)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(IDLE_SECONDS)
        thread = threading.Thread(
            target=self._serve, args=(sock, scheme), name="emulator", daemon=True
        )
        with self._lock:
            self._open[sock] = thread
        thread.start()

    def _serve(self, sock: socket.socket, scheme: str) -> None:
        used = sock
        try:
            if scheme == "https" and self._tls is not None:
                used = self._handshake(sock, self._tls)
            self._service(used, scheme)
        except OSError:
            pass  # the peer went away: its own affair
        finally:
            with self._lock:
                del self._open[used]
            used.close()

    def _handshake(self, sock: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        secured = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open[secured] = self._open.pop(sock)
        try:
            secured.do_handshake()
        except OSError:
            with self._lock:
                self._open[sock] = self._open.pop(secured)
            secured.close()
            raise
        return secured


def reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset, not an orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(512)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
