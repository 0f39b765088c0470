"""HTTP/1.1 on one socket: requests read to their end, answers written.

Lenient where real clients are odd (chunked bodies, absolute targets, any
Content-Type) and strict where leniency would be ambiguous (two lengths, folded
headers). Source of the leniencies: traffic of sf, jsforce, simple-salesforce and
CumulusCI, observed.
"""

from __future__ import annotations

import re
import socket
import time
import zlib
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

from metadeploy.emulator.wire import Answer

MAX_HEAD = 64 * 1024
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_DAYS = "MonTueWedThuFriSatSun"
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    420: "Enhance Your Calm"
}


class BadRequest(Exception):
    """The peer does not speak HTTP we understand; the connection ends with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PeerGone(Exception):
    """The peer closed or fell silent before its request was complete."""


class Head(Struct, frozen=True):
    """Request line and headers. length: of the body, None where it is chunked."""

    method: str
    target: str
    headers: dict[str, str]
    keep_alive: bool
    length: int | None


class Connection:
    """One client's socket. Not shared between threads.

    limit: bytes of the longest body taken, packed and unpacked alike.
    """

    def __init__(self, sock: socket.socket, *, limit: int) -> None:
        self.sock = sock
        self._limit = limit
        self._buffer = bytearray()

    def read_head(self) -> Head | None:
        """Return the next request's head, or None when the peer is done.

        Raises BadRequest, and PeerGone when it ends half way.
        """
        end = self._buffer.find(b"\r\n\r\n")
        while end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest(431, "the header is too long")
            if not self._receive():
                if not self._buffer.strip():
                    return None
                raise PeerGone
            end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD:
            raise BadRequest(431, "the header is too long")
        text = self._buffer[:end].decode("latin-1").lstrip("\r\n")
        del self._buffer[: end + 4]
        return _parse_head(text)

    def peek_body(self, head: Head, size: int = 8192) -> bytes:
        """Return the first `size` bytes of the body, or all, and leave them unread."""
        self._invite(head)
        wanted = size if head.length is None else min(size, head.length)
        while len(self._buffer) < wanted:
            if head.length is None and self._buffer.endswith(b"0\r\n\r\n"):
                break
            if not self._receive():
                raise PeerGone
        return bytes(self._buffer[:wanted])

    def read_body(self, head: Head) -> bytes:
        """Return the whole body, unpacked. Raises BadRequest and PeerGone."""
        self._invite(head)
        body = self._chunks() if head.length is None else self._exactly(head.length)
        if head.headers.get("content-encoding", "").lower() in ("gzip", "deflate"):
            return self._inflate(body)
        return body

    def send(
        self, answer: Answer, *, keep_alive: bool, now: float, body: bool = True
    ) -> None:
        """Write one answer; `body` is False where only its head was asked for."""
        head = head_of(answer, keep_alive=keep_alive, now=now)
        if not body:
            self.sock.sendall(head)
        elif len(answer.body) < 65536:
            self.sock.sendall(head + answer.body)
        else:
            self.sock.sendall(head)
            self.sock.sendall(answer.body)

    def _invite(self, head: Head) -> None:
        waiting = head.headers.pop("expect", "").lower().startswith("100-")
        if waiting and head.length != 0 and not self._buffer:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(262144)
        except TimeoutError:
            return False
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _exactly(self, size: int) -> bytes:
        if size > self._limit:
            raise BadRequest(413, f"the body is longer than {self._limit} bytes")
        while len(self._buffer) < size:
            if not self._receive():
                raise PeerGone
        return self._take(size)

    def _line(self) -> bytes:
        end = self._buffer.find(b"\r\n")
        while end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest(400, "a chunk's head is too long")
            if not self._receive():
                raise PeerGone
            end = self._buffer.find(b"\r\n")
        line = self._take(end)
        del self._buffer[:2]
        return line

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = self._line().split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", size):
                raise BadRequest(400, "a chunk has no size")
            if int(size, 16) == 0:
                break
            if len(body) + int(size, 16) > self._limit:
                raise BadRequest(413, f"the body is longer than {self._limit} bytes")
            body += self._exactly(int(size, 16))
            if self._line():
                raise BadRequest(400, "a chunk is longer than it says")
        while self._line():  # trailers mean nothing here
            pass
        return bytes(body)

    def _inflate(self, body: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits=47)  # gzip or zlib, by its own header
        try:
            plain = inflater.decompress(body, self._limit)
        except zlib.error as error:
            raise BadRequest(400, f"the body does not unpack: {error}") from error
        if not inflater.eof and not inflater.unconsumed_tail:
            raise BadRequest(400, "the body does not unpack: it ends too early")
        if inflater.unconsumed_tail:
            raise BadRequest(413, f"the body is longer than {self._limit} bytes")
        return plain


def head_of(answer: Answer, *, keep_alive: bool, now: float) -> bytes:
    """Return status line and headers of an answer, to the empty line.

    now: seconds since the epoch, for Date; clients correct their clock by it.
    """
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}",
        f"Date: {_date(int(now))}",
    ]
    if answer.status not in (204, 304):
        lines.append(f"Content-Type: {answer.content_type}")
        lines.append(f"Content-Length: {len(answer.body)}")
    for name, value in answer.headers:
        lines.append(f"{name}: {value}".replace("\r", "").replace("\n", ""))
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    at = time.gmtime(second)  # not strftime: it speaks the locale's language
    day = _DAYS[3 * at.tm_wday :][:3]
    month = _MONTHS[3 * at.tm_mon - 3 :][:3]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {clock} GMT"


def _parse_head(text: str) -> Head:
    lines = text.split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[0].isalpha():
        raise BadRequest(400, "not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise BadRequest(400, "a header line is not one")
        if name.lower() == "content-length" and "content-length" in headers:
            raise BadRequest(400, "two lengths")
        headers[name.lower()] = value.strip()
    wish = headers.get("connection", "").lower()
    keep = "close" not in wish and (parts[2] != "HTTP/1.0" or "keep-alive" in wish)
    return Head(parts[0], parts[1], headers, keep, _length(headers))


def _length(headers: dict[str, str]) -> int | None:
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise BadRequest(501, "only chunked transfer encoding is understood")
        if "content-length" in headers:
            raise BadRequest(400, "two lengths")
        return None
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise BadRequest(400, "Content-Length is not a number")
    return int(length)
