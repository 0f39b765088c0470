"""Text that may hold secrets → the same text with `***` in their place. Pure.

Two ways to know one: it was a Secret in this process, or it looks like one of
Salesforce's. Either is found as it is and url-, xml-, json- or base64-encoded. Every
pattern has an end, or takes all that follows: the time is linear in the text's length,
whatever it holds. What was masked once stays as it is.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus

MASK = "***"
# A shorter text is found by chance in others, and masking it would hide the message.
SHORTEST = 8

# What stands between a name and its value, in a form, JSON, XML, a header or YAML, and
# those quoted once more.
_QUOTE = r"(?:\\{0,8}[\"']|&quot;|&#34;|%22|\\u0022)?"
_GAP = r"(?:[ \t+]|%20)"
_SIGN = rf"{_GAP}{{0,4}}(?:=|:|>|&gt;|%3[ADEade]|\\u003[ADEade]){_GAP}{{0,4}}"
# A value ends at white space, a quote, a tag, or the next field of a form.
_VALUE = (
    r"(?:[^\s\"'<>&%\\,;)\]}]|%(?!2[26]|3[CEce])|&(?:amp|#x?[0-9a-f]{1,4});"
    r"|\\(?![\"'nru]))"
)
_SCHEME = "(?:Bearer|Basic|OAuth)"
# What begins like this is no value, but what stands before one, or was masked already.
_NO_VALUE = rf"[{{\[]|{_GAP}|{_SCHEME}{_GAP}|\*\*\*"
_NAMES = (
    "access_?token|refresh_?token|id_token|client_?secret|consumer_?secret|assertion"
    "|session_?id|sid|password|passwd|security_?token|private_?key|code_verifier"
    "|authorization|auth_?url|master_?key"
)
_FIELD = re.compile(
    rf"(?:{_NAMES}){_QUOTE}{_SIGN}{_QUOTE}"
    rf"(?:{_SCHEME}{_GAP}{{1,4}})?(?P<secret>(?!{_NO_VALUE}){_VALUE}{{3,}})",
    re.IGNORECASE,
)
_MARK = r"(?:!|%21|&#33;|&#x21;|\\u0021)"
_SHAPES = re.compile(
    rf"00D[A-Za-z0-9]{{12,15}}{_MARK}[\w.]+"
    r"|5Aep861[\w.=-]+"
    r"|force(?:://|%3A%2F%2F|:\\/\\/)[^\s\"'<>]+"
    r"|eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"
    r"|(?:Bearer|Basic|OAuth)(?:[ +]|%20){1,4}(?:[\w.~+/!=-]|%[0-9A-Fa-f]{2}){20,}"
    r"|-----BEGIN(?:[ +]|%20)(?:[A-Z]+(?:[ +]|%20)){0,3}PRIVATE(?:[ +]|%20)KEY"
    r".*?(?:-----END(?:[ +]|%20)(?:[A-Z]+(?:[ +]|%20)){0,3}PRIVATE(?:[ +]|%20)KEY-----"
    r"|\Z)",
    re.DOTALL | re.ASCII,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return text without anything secret. known: texts that are secret whatever they
    look like; those shorter than SHORTEST are left."""
    spans = [*_known(text, known), *_shaped(text)]
    out: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not out:  # what touches is one
            out += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*out, text[end:]])


def _known(text: str, known: Iterable[str]) -> Iterator[tuple[int, int]]:
    index = _index(tuple(known))
    places = range(len(text) - SHORTEST + 1)
    begun = {b for at in places if (b := text[at : at + SHORTEST]) in index}
    for form in (f for b in begun for f in index[b]):
        at = text.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + len(form))


@lru_cache(maxsize=2)
def _index(known: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the forms of all secrets by how they begin.

    So a text is searched once for thousands of them: as many as a fleet has sessions.
    """
    index: dict[str, list[str]] = {}
    for secret in known:
        for form in forms(secret):
            index.setdefault(form[:SHORTEST], []).append(form)
    return index


def _shaped(text: str) -> Iterator[tuple[int, int]]:
    for found in _SHAPES.finditer(text):
        yield found.span()
    for found in _FIELD.finditer(text):
        yield found.span("secret")
    for found in _BASE64.finditer(text):
        if any(_looks_secret(said) for said in _decoded(found[0])):
            yield found.span()


def _looks_secret(text: str) -> bool:
    return bool(_SHAPES.search(text) or _FIELD.search(text))


def _decoded(text: str) -> Iterator[str]:
    """Yield what base64 says, one character a byte, wherever its groups begin."""
    plain = text.translate(_URL_SAFE)
    for first in range(4):
        whole = (len(plain) - first) // 4 * 4
        yield "".join(map(chr, base64.b64decode(plain[first : first + whole])))


_URL_SAFE = str.maketrans("-_", "+/")


@lru_cache(maxsize=10_000)
def forms(secret: str) -> tuple[str, ...]:
    """Return a secret as it may be written, the longest first; none for a short one.

    In base64 it may begin at any of three places of a group: what is sure of each.
    """
    if len(secret.strip()) < SHORTEST:
        return ()
    lines = {secret, *(s for s in secret.splitlines() if len(s) >= 24)}
    found: set[str] = set()
    for text in lines:
        data = text.encode("utf-8", "surrogatepass")
        found |= {
            text,
            quote(data, safe=""),
            quote(data),
            quote_plus(data),
            escape(text, quote=False),
            escape(text),
            json.dumps(text)[1:-1],
            json.dumps(json.dumps(text)[1:-1])[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            data.hex(),
            *_base64(data),
        }
    return tuple(sorted(found, key=lambda f: (-len(f), f)))


def _base64(data: bytes) -> Iterator[str]:
    # A character holds six bits: those that share one with what stands around are left
    # out. After none, one or two bytes of that, the first of our own is:
    for shift, first in enumerate((0, 2, 3)):
        whole = base64.b64encode(bytes(shift) + data).decode()
        sure = whole[first : 8 * (shift + len(data)) // 6]
        yield sure
        yield sure.replace("+", "-").replace("/", "_")
