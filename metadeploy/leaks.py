"""Secrets in any file of a repository, by the forms in which they come. Pure.

A hook looks through every file of a commit, so a name that says "secret" is not enough
here: what stands behind it has to look like one that Salesforce made.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

# Their forms as Salesforce hands them out; a template's {{ }} cannot match.
_TOKENS = (
    (
        "00D",
        r"\b00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?![\w.]{20,}",
        "a session id",
    ),
    ("5Aep861", r"\b5Aep861[\w.]{20,}", "a refresh token"),
    (
        "force://",
        r"\bforce://[^\s\"'<>{}@]+@[^\s\"'<>{}@]+",
        "a Salesforce CLI login URL",
    ),
)

_STATE = ".metadeploy"
_BINARY = 8000  # git looks so far for a NUL before it calls a file binary
# With what it is about: the mere header stands in many a program and its tests.
_WHOLE_KEY = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s|\\[nrt]|[\"'+,>|]){0,200}"
    r"(?:[A-Z][A-Za-z-]{1,40}: [^\n]{0,200}\s{1,9}){0,5}"
    r"[A-Za-z0-9+/=]{16,}[^-]{0,20000}"
)
_MASTER = (
    r"(?:\bMETADEPLOY_MASTER_KEY(?:_PREVIOUS)?[\"']?\s{0,9}[:=]\s{0,9}[\"']?"
    r"|\bmaster[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?=[0-9a-f]{64}\b))"
    r"([^\s\"'$<>{}%]{16,})"
)
# client_secret="…", <consumerSecret>…</consumerSecret>, CLIENT_SECRET=…: what has the
# length of Salesforce's own, and is no name of something else.
_NAMED = (
    r"(?i)\b([\w-]{0,40}(?:(?:client|consumer)[-_]?secret|(?:access|refresh)[-_]?token))"
    r"[\"']?(?:\s{0,9}(?::|=>?)\s{0,9}|>\s{0,9})[\"']?"
    r"(eyJ[\w.-]{16,}|[A-Za-z0-9+/=_~!-]{16,})(?=[\s\"'<,;&]|\Z)"
)
_ALLOWED = (
    r"pragma: ?(?:allow|white)list[ -](nextline[ -])?secret\b"
    r"(?:[ :,]{0,9}because\s{1,9}(?=[^\n]*\w\w))?"
)


@cache  # most files need none of them, and to compile one takes a while
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


class Leak(NamedTuple):
    """A secret in a file: its line, in what words it is told, and what it is.

    line: 0 where the file itself must not be there. secret: word for word, to look for
    in what the file was before; nobody is told it.
    """

    line: int
    message: str
    secret: str


def leaks(path: str, data: bytes) -> tuple[Leak, ...]:
    """Return the secrets that any file of a repository holds, whatever it is.

    A place that a comment allows with a reason is none.
    """
    if _STATE in path.split("/"):
        what = f"{_STATE}/ is for this machine alone: keys and tokens are in it"
        return (Leak(0, what, ""),)
    return tuple(_leaks(text_of(data), binary=_is_binary(data)))


def tokens(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each token in a text that Salesforce made, and what it is."""
    for start, pattern, what in _TOKENS:  # to look for a word first is ten times faster
        for match in _compiled(pattern).finditer(text) if start in text else ():
            yield match, what


def text_of(data: bytes) -> str:
    """Return what a file says: by its byte order mark, or UTF-8, or byte by byte."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if _is_binary(data):
        return data.decode("latin-1")
    return data.decode("utf-8", "replace")


# What PowerShell's > writes is UTF-16. That of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _is_binary(data: bytes) -> bool:
    marked = data.startswith(tuple(mark for mark, _ in _MARKS))
    return not marked and b"\0" in data[:_BINARY]


def _leaks(text: str, *, binary: bool) -> Iterator[Leak]:
    for start, what, secret in sorted(_found(text, binary=binary)):
        line = text.count("\n", 0, start) + 1
        allowed = _allowance(text, start)
        if allowed is None:
            yield Leak(line, f"{what} is written into this file", secret)
        elif not allowed:
            yield Leak(line, f"{what} is allowed without a reason", secret)


def _found(text: str, *, binary: bool) -> Iterator[tuple[int, str, str]]:
    """Yield (where, what, word for word) of each secret, in no order."""
    for match in _compiled(_WHOLE_KEY).finditer(text) if "-----BEGIN" in text else ():
        yield match.start(), "a private key", match[0]
    for match, what in tokens(text):
        yield match.start(), what, match[0]
    if binary:
        return
    for match in (
        _compiled(_MASTER).finditer(text) if "aster" in text or "ASTER" in text else ()
    ):
        if _has_both(match[1]):
            yield match.start(), "a master key", match[1]
    lowered = text.lower()
    if "secret" not in lowered and "token" not in lowered:
        return
    for match in _compiled(_NAMED).finditer(text):
        known = any(m.start() == 0 for m, _ in tokens(match[2]))
        if not known and re.search("[0-9]", match[2]):
            yield match.start(), match[1], match[2]


def _has_both(value: str) -> bool:
    return bool(re.search("[0-9]", value) and re.search("[A-Za-z]", value))


def _allowance(text: str, start: int) -> bool | None:
    """Tell whether a place is allowed with a reason; None where nobody allows it."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    here = text[first : last if last >= 0 else len(text)]
    before = text[text.rfind("\n", 0, max(first - 1, 0)) + 1 : first]
    for line, is_next in ((here, False), (before, True)):
        match = _compiled(_ALLOWED).search(line)
        if match and bool(match[1]) == is_next:
            return "because" in match[0]
    return None
