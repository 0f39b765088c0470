"""What comes in from a client and what goes out again, apart from any protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias
from urllib.parse import parse_qsl

Json: TypeAlias = (
    "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
)


@dataclass(frozen=True)
class Request:
    """One HTTP request, read to its end.

    path: percent-decoded, without the query, `//` made `/`.
    query: the text behind `?`, undecoded.
    headers: names in lower case; the last of several wins.
    base_url: scheme, host and port the client used, without a slash at the end:
    whatever an answer links to begins with it.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    base_url: str = "http://127.0.0.1"

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The query's parameters, decoded; the first of several wins."""
        return _fields(self.query)

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The body's parameters, read as a form whatever Content-Type says."""
        return _fields(self.body.decode("utf-8", "replace"))

    @property
    def bearer(self) -> str:
        """The access token of the Authorization header, or "".

        Both `Bearer` and `OAuth` are taken: observed, both serve on the platform.
        """
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() in ("bearer", "oauth") else ""


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.strip(), keep_blank_values=True):
        found.setdefault(name, value)
    return found


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. headers: further ones, beside Content-Type and -Length."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(
    value: Json, status: int = 200, *, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Return `value` as a JSON answer, compact, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
    return Answer(status, "application/json;charset=UTF-8", text.encode(), headers)
