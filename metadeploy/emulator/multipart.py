"""The parts of a multipart/form-data body (RFC 7578)."""

from __future__ import annotations

import re

from msgspec import Struct

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))', re.I)


class Part(Struct, frozen=True):
    """One part: what it says of itself, and its bytes."""

    name: str
    file_name: str
    content_type: str
    body: bytes


def parts_of(content_type: str, body: bytes) -> tuple[Part, ...] | None:
    """Return the parts of a body; None where it is not multipart.

    The boundary is the header's, or where that names none the body's first line.
    """
    boundary = _boundary(content_type, body)
    if not boundary:
        return None
    found = []
    for chunk in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if chunk.startswith(b"--"):
            break
        head, gap, content = (
            chunk.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        )
        if gap:
            found.append(_part(head.decode("utf-8", "replace"), content))
    return tuple(found)


def _boundary(content_type: str, body: bytes) -> bytes:
    if match := _BOUNDARY.search(content_type):
        return (match[1] or match[2]).encode("latin-1", "replace")
    first = body[:200].partition(b"\r\n")[0]
    return first[2:] if first.startswith(b"--") and len(first) > 2 else b""


def _part(head: str, body: bytes) -> Part:
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    said = headers.get("content-disposition", "")
    return Part(
        _said(said, "name"),
        _said(said, "filename"),
        headers.get("content-type", "").lower(),
        body,
    )


def _said(disposition: str, key: str) -> str:
    match = re.search(rf'(?:^|[;\s]){key}="([^"]*)"', disposition)
    return match[1] if match else ""
