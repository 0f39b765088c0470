"""What a programmed fault makes of an answer: its bytes, or their way out."""

from __future__ import annotations

import base64
import io
import random
import re
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lxml import etree

from metadeploy.emulator.http1 import Connection, head_of
from metadeploy.emulator.injection import Injection
from metadeploy.emulator.tree import XmlFault, parse
from metadeploy.emulator.wire import Answer

_MAINTENANCE = b"""<!DOCTYPE html>
<html><head><title>We are down for maintenance.</title></head>
<body><h1>We are down for maintenance.</h1>
<p>Sorry for the inconvenience. We&#39;ll be back shortly.</p></body></html>
"""
_DTD = b'<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]>'
_DATE = (1980, 1, 1, 0, 0, 0)
_ZIP_FILE = re.compile(rb"(<zipFile>)([^<]*)(</zipFile>)")
_END_OF_RESULT = re.compile(rb"(?=</result>)")
_ROOT = re.compile(rb"(?<=Envelope)(?=[\s>])")


def instead(injection: Injection) -> Answer | None:
    """Return the whole answer of a fault that has one of its own, else None."""
    match injection.kind:
        case "status":
            text = injection.message.encode()
            return Answer(injection.status, "text/plain;charset=UTF-8", text)
        case "maintenance":
            return Answer(injection.status, "text/html;charset=UTF-8", _MAINTENANCE)
        case "empty":
            status = 200 if injection.status == Injection.status else injection.status
            return Answer(status, "text/xml;charset=UTF-8", b"")
        case "redirect":
            status = injection.status if 300 <= injection.status < 400 else 307
            where = (("Location", injection.location),)
            return Answer(status, "text/html;charset=UTF-8", b"", where)
    return None


def distorted(answer: Answer, injection: Injection) -> Answer:
    """Return `answer` with what the fault does to its body or its type."""
    content_type, body = answer.content_type, answer.body
    match injection.kind:
        case "wrong-type":
            content_type = "text/plain"
        case "json-body":
            content_type, body = "application/json", b'{"unexpected":true}'
        case "replace":
            put = injection.put.encode()
            body = re.sub(injection.find.encode(), lambda _: put, body)
        case kind if kind in _BODIES:
            body = _BODIES[kind](body)
    return Answer(answer.status, content_type, body, answer.headers)


def _prefixed(prefix: bytes) -> Callable[[bytes], bytes]:
    def put(body: bytes) -> bytes:
        declaration, end, rest = body.partition(b"?>")
        return declaration + end + prefix + rest if end else prefix + body

    return put


def _in_result(text: bytes) -> Callable[[bytes], bytes]:
    return lambda body: _END_OF_RESULT.sub(lambda _: text, body, count=1)


def _zip_file(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda body: _ZIP_FILE.sub(lambda m: m[1] + change(m[2]) + m[3], body)


def _huge_attribute(body: bytes) -> bytes:
    text = b' huge="' + b"x" * 11_000_000 + b'"'
    return _ROOT.sub(lambda _: text, body, count=1)


def _shuffled(body: bytes) -> bytes:
    try:
        root = parse(body, huge=True)
    except XmlFault:  # JSON has no order
        return body
    for result in root.iter("{*}result"):
        result[:] = reversed(result)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _with_member(text: bytes, content: bytes) -> bytes:
    """Return a zip, in base64 as the one that is given, with one more file in it."""
    file = io.BytesIO(base64.b64decode(text))
    with zipfile.ZipFile(file, "a") as archive:
        entry = zipfile.ZipInfo("unpackaged/more.txt", _DATE)
        archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return base64.b64encode(file.getvalue())


def _large(text: bytes) -> bytes:
    # Seeded, so that it is the same each time; and too random to be packed.
    return _with_member(text, random.Random(8).randbytes(8_000_000))  # noqa: S311


def _bomb(text: bytes) -> bytes:
    return _with_member(text, bytes(64_000_000))


def _control_character(body: bytes) -> bytes:
    at = body.rfind(b"</")
    return body[:at] + b"\x0b" + body[at:] if at >= 0 else body + b"\x0b"


_BODIES: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "bad-charset": _in_result(b"<text>\xff\xfe</text>"),
        "bom": lambda body: b"\xef\xbb\xbf" + body,
        "control-character": _control_character,
        "dtd": _prefixed(_DTD),
        "deep": _in_result(b"<a>" * 100_000 + b"</a>" * 100_000),
        "huge-attribute": _huge_attribute,
        "unknown-element": _in_result(b"<somethingNew>1</somethingNew>"),
        "nil": _in_result(
            b'<errorMessage xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
            b' i:nil="true"/>'
        ),
        "shuffled": _shuffled,
        "truncated-base64": _zip_file(lambda text: text[:-3]),
        "corrupt-zip": _zip_file(lambda _: base64.b64encode(b"this is not a zip")),
        "empty-zip": _zip_file(lambda _: b""),
        "large-zip": _zip_file(_large),
        "zip-bomb": _zip_file(_bomb),
    }
)


def deliver(
    connection: Connection,
    answer: Answer,
    injection: Injection,
    *,
    now: float,
    wait: Callable[[float], object],
) -> None:
    """Write `answer` the way the fault wants it; the connection ends after it.

    wait: sleeps so many seconds, less when the server stops meanwhile.
    """
    body, sock = answer.body, connection.sock
    part = body[: injection.size or len(body) // 2]
    head = head_of(answer, keep_alive=False, now=now)
    match injection.kind:
        case "cut" | "short":
            sock.sendall(head + part)
        case "chunked-cut":
            head = _without_length(head, b"Transfer-Encoding: chunked\r\n")
            sock.sendall(head + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        case "no-length":
            sock.sendall(_without_length(head, b"") + part)
        case "slow-drip":
            sock.sendall(head)
            step = injection.size or max(1, len(body) // 10)
            for start in range(0, len(body), step):
                sock.sendall(body[start : start + step])
                wait(injection.seconds)
        case kind:
            if kind == "slow-headers":
                wait(injection.seconds)
            connection.send(answer, keep_alive=False, now=now)


def _without_length(head: bytes, instead: bytes) -> bytes:
    return re.sub(rb"Content-Length: \d+\r\n", lambda _: instead, head)
