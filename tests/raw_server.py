"""A server on loopback that answers with exactly the bytes that it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

Reply = bytes | Callable[["Talk"], None]


def http(body: bytes | str, status: int = 200, **headers: str) -> bytes:
    """A whole answer with its length; header names are written with _ for -."""
    data = body.encode() if isinstance(body, str) else body
    given = {"Content_Length": str(len(data)), **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in given.items())]
    head = "\r\n".join(lines).replace("_", "-")
    return f"{head}\r\n\r\n".encode() + data


def reset(talk: Talk) -> None:
    """Reset the connection instead of answering."""
    talk.reset()


class Talk:
    """One connection, as a reply sees it."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock, self._stopping = sock, stopping

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._sock.close()

    def drip(self, data: bytes, seconds: float) -> None:
        """Send byte by byte, `seconds` apart, until all is sent or nobody listens."""
        for at in range(len(data)):
            if self._stopping.wait(seconds):
                return
            try:
                self.send(data[at : at + 1])
            except OSError:
                return

    def silence(self) -> None:
        """Hold the connection open, and say nothing, until the test is over."""
        self._stopping.wait(60)


class RawServer:
    """Serves one reply a request, the last of them for ever.

    requests: what arrived, head and body, the oldest first. connections: how many
    were made. read_body: False replies as soon as the head is there, and closes.
    greeting: sent before anything is asked.
    """

    def __init__(
        self, *replies: Reply, read_body: bool = True, greeting: bytes = b""
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._replies = replies or (http(""),)
        self._read_body, self._greeting = read_body, greeting
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._start(self._accept)

    def stop(self) -> None:
        self._stopping.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._start(lambda sock=sock: self._talk(sock))

    def _talk(self, sock: socket.socket) -> None:
        sock.settimeout(0.05)
        with sock:
            sock.sendall(self._greeting)
            while request := self._request(sock):
                reply = self._replies[min(len(self.requests), len(self._replies) - 1)]
                self.requests.append(request)
                if not isinstance(reply, bytes):
                    reply(Talk(sock, self._stopping))
                    return
                sock.settimeout(10)  # who reads slowly still gets it all
                sock.sendall(reply)
                sock.settimeout(0.05)
                if b"\r\nContent-Length:" not in reply or not self._read_body:
                    return

    def _request(self, sock: socket.socket) -> bytes:
        """The next whole request, b"" when there is none."""
        data = b""
        while not self._is_whole(data):
            try:
                more = sock.recv(65536)
            except TimeoutError:
                if self._stopping.is_set():
                    return b""
                continue
            except OSError:
                return b""
            if not more:
                return b""
            data += more
        return data

    def _is_whole(self, data: bytes) -> bool:
        head, end, body = data.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        wanted = sum(lengths) if self._read_body else 0
        return bool(end) and len(body) >= wanted
