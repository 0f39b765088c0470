"""Faults on request: what goes wrong, at which request, at which exact point.

A request passes four points: its head is read; its body is read; the org has acted;
the answer is written. Every kind of fault belongs to one of them, so a test can tell
"never sent" from "sent, answer lost".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count
from types import MappingProxyType

OPERATION = re.compile(
    rb"<(?:[\w.-]+:)?Body(?:\s[^>]*)?>\s*<(?:[\w.-]+:)?([A-Za-z]\w*)", re.ASCII
)
_ORG_OF_TOKEN = re.compile(rb"(00D[A-Za-z0-9]{12})(?:[A-Za-z0-9]{3})?!")


class Point(StrEnum):
    """Where in the life of a request a fault strikes."""

    CONNECT = "connect"
    BEFORE_BODY = "before body"
    BEFORE_APPLY = "before apply"
    AFTER_APPLY = "after apply"
    ANSWER = "answer"


KINDS: Mapping[str, tuple[Point, str]] = MappingProxyType(
    {
        "refuse": (Point.CONNECT, "reset the connection when it is made"),
        "reset-before-body": (Point.BEFORE_BODY, "reset before the body is read"),
        "reset-before-apply": (Point.BEFORE_APPLY, "read all, do nothing, reset"),
        "reset-after-apply": (Point.AFTER_APPLY, "do it, then reset without answer"),
        "status": (Point.BEFORE_APPLY, "answer `status`, plain text"),
        "maintenance": (Point.BEFORE_APPLY, "answer `status` with an HTML page"),
        "empty": (Point.BEFORE_APPLY, "answer `status` with an empty body"),
        "fault": (Point.BEFORE_APPLY, "answer `code`: `message` in the dialect asked"),
        "session-expired": (Point.BEFORE_APPLY, "say that the session is not valid"),
        "deploy-fails": (Point.BEFORE_APPLY, "take the deploy, and have it fail so"),
        "redirect": (Point.BEFORE_APPLY, "answer `status` with Location `location`"),
        "cut": (Point.ANSWER, "reset after `size` bytes of the answer"),
        "short": (Point.ANSWER, "end in order after `size` bytes, short of the length"),
        "chunked-cut": (Point.ANSWER, "chunked, ended without the last chunk"),
        "no-length": (Point.ANSWER, "no length, ended after `size` bytes: looks good"),
        "slow-headers": (Point.ANSWER, "wait `seconds` before the first byte"),
        "slow-drip": (Point.ANSWER, "`size` bytes, then wait `seconds`, and again"),
        "wrong-type": (Point.ANSWER, "the right body as Content-Type text/plain"),
        "json-body": (Point.ANSWER, "a JSON body whatever was asked"),
        "bad-charset": (Point.ANSWER, "bytes that are not UTF-8 at the end"),
        "bom": (Point.ANSWER, "a byte order mark before the body"),
        "control-character": (Point.ANSWER, "a character XML forbids, in the middle"),
        "dtd": (Point.ANSWER, "a DTD with an entity before the answer"),
        "deep": (Point.ANSWER, "100,000 elements inside one another in the result"),
        "huge-attribute": (Point.ANSWER, "an attribute of 11 MB on the root"),
        "unknown-element": (Point.ANSWER, "an element nobody knows in the result"),
        "nil": (Point.ANSWER, "an element without a value (xsi:nil) in the result"),
        "shuffled": (Point.ANSWER, "the elements of the results in another order"),
        "truncated-base64": (Point.ANSWER, "zipFile loses its last characters"),
        "corrupt-zip": (Point.ANSWER, "zipFile is base64 of something else"),
        "empty-zip": (Point.ANSWER, "zipFile is empty"),
        "large-zip": (Point.ANSWER, "zipFile holds 8 MB more that do not pack"),
        "zip-bomb": (Point.ANSWER, "zipFile holds 64 MB of nothing in 64 kB"),
        "replace": (Point.ANSWER, "pattern `find` becomes `put` in the body"),
    }
)


@dataclass(frozen=True)
class Injection:
    """One fault on request.

    kind: a key of KINDS.
    on: a glob over the SOAP operation ("deploy") or the path ("*/oauth2/token").
    org: only requests with a session of this org Id; "" for all.
    skip: matching requests let through first. times: how often, 0 = until cleared.
    applied: for kinds before apply: let the org act first, then answer so.
    status, code, message, seconds, size, location, find, put: what KINDS names;
    size 0 is half of the body.
    """

    kind: str
    on: str = "*"
    org: str = ""
    skip: int = 0
    times: int = 1
    applied: bool = False
    status: int = 503
    code: str = "SERVER_UNAVAILABLE"
    message: str = "Server unavailable"
    seconds: float = 1.0
    size: int = 0
    location: str = ""
    find: str = ""
    put: str = ""
    id: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}: {', '.join(KINDS)}")
        if min(self.skip, self.times, self.size, self.seconds) < 0:
            raise ValueError("skip, times, size and seconds cannot be negative")
        if not 200 <= self.status <= 599:
            raise ValueError("status must be 200 to 599")
        try:
            re.compile(self.find)
        except re.error as error:
            raise ValueError(f"find is not a pattern: {error}") from error

    @property
    def point(self) -> Point:
        point = KINDS[self.kind][0]
        movable = self.kind not in ("reset-before-apply", "deploy-fails")
        early = point is Point.BEFORE_APPLY and movable
        return Point.AFTER_APPLY if early and self.applied else point

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Injection:
        """Return the injection that a JSON object describes. Raises ValueError."""
        known = {f.name: f.type for f in fields(cls) if f.name != "id"}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"a fault has no {name!r}: {', '.join(known)}")
            wanted = _JSON_TYPES[str(known[name])]
            if not isinstance(value, wanted) or (
                isinstance(value, bool) and bool not in wanted
            ):
                raise ValueError(f"{name} must be {known[name]}")
        return cls(**values)  # type: ignore[arg-type]  # each checked above


_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What can be known of a request before its body is read to the end."""

    path: str
    operation: str
    org: str

    @classmethod
    def of(cls, path: str, authorization: str, start_of_body: bytes) -> Subject:
        found = OPERATION.search(start_of_body) if "/services/Soap/" in path else None
        org = _ORG_OF_TOKEN.search(authorization.encode()) or _ORG_OF_TOKEN.search(
            start_of_body
        )
        return cls(
            path,
            found.group(1).decode() if found else "",
            org.group(1).decode() if org else "",
        )


class Injections:
    """The faults programmed for one server. Thread-safe."""

    def __init__(self) -> None:
        self._programmed: dict[str, Injection] = {}
        self._seen: dict[str, int] = {}
        self._fired: dict[str, int] = {}
        self._ids = count(1)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._programmed)

    def add(self, injection: Injection) -> str:
        """Program one more fault and return its id. Older ones go first."""
        with self._lock:
            key = f"f{next(self._ids)}"
            values = {f.name: getattr(injection, f.name) for f in fields(injection)}
            self._programmed[key] = Injection(**{**values, "id": key})
            return key

    def clear(self, key: str = "") -> bool:
        """Forget one fault, or all. Returns whether there was one."""
        with self._lock:
            if key:
                return self._programmed.pop(key, None) is not None
            some = bool(self._programmed)
            self._programmed.clear()
            return some

    def fired(self, key: str) -> int:
        """Return how often a fault has struck, also when it is spent."""
        return self._fired.get(key, 0)

    def programmed(self) -> tuple[Injection, ...]:
        """Return the faults that may still strike, oldest first."""
        return tuple(self._programmed.values())

    def refuse(self) -> bool:
        """Decide about a new connection: True says reset it."""
        if not self._programmed:
            return False
        return self._take(lambda i: i.kind == "refuse") is not None

    def take(self, subject: Subject) -> Injection | None:
        """Return the fault that strikes this request, and count it as struck."""
        return self._take(lambda i: i.kind != "refuse" and _matches(i, subject))

    def _take(self, wanted: Callable[[Injection], bool]) -> Injection | None:
        with self._lock:
            for key, injection in self._programmed.items():
                if not wanted(injection):
                    continue
                self._seen[key] = self._seen.get(key, 0) + 1
                if self._seen[key] <= injection.skip:
                    continue
                self._fired[key] = self._fired.get(key, 0) + 1
                if self._fired[key] == injection.times:
                    del self._programmed[key]
                return injection
            return None


def _matches(injection: Injection, subject: Subject) -> bool:
    if injection.org and injection.org[:15] != subject.org:
        return False
    return fnmatchcase(subject.path, injection.on) or bool(
        subject.operation and fnmatchcase(subject.operation, injection.on)
    )
