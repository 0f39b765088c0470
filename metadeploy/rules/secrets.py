"""Secrets written into a project's texts, where git keeps them for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metadeploy.leaks import tokens
from metadeploy.model import Problem
from metadeploy.rules.registry import RULES

_PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----"

_WORDS = (
    *("secret", "password", "passwd", "passphrase", "privatekey", "private_key"),
    *("apikey", "api_key", "accesstoken", "access_token"),
    *("refreshtoken", "refresh_token", "sessionid", "session_id"),
)
_NAMES = "|".join(_WORDS)
# client_secret: abc123, in YAML; {% set client_secret = "abc123" %} or
# <password>abc123</password>, in a template.
_IN_YAML = rf"(?i)(?:{_NAMES})[\"']?\s*:\s+[\"']?([^\s\"'{{}}\[\],&*|>#]{{8,}})"
_IN_TEMPLATE = (
    rf"(?i)(?:{_NAMES})(?:[\"']?\s*[:=]\s*[\"']|>)([^\s\"'{{}}<>]{{8,}})(?=[\"'<])"
)
_TELLING = 24


def scan(path: str, text: str) -> tuple[Problem, ...]:
    """Return the secrets that the text of a template, org file or certificate holds.

    No message repeats what it found.
    """
    return tuple(_problems(path, text))


def _problems(path: str, text: str) -> Iterator[Problem]:
    # To look for plain words first takes a tenth of what the patterns take.
    for match in re.finditer(_PRIVATE_KEY, text) if "-----BEGIN" in text else ():
        yield _problem("MD214", path, text, match.start(), "a private key is written")
    for match, what in tokens(text):
        yield _problem("MD704", path, text, match.start(), f"{what} is written")
    lowered = text.lower()
    if not any(word in lowered for word in _WORDS):
        return
    pattern = _IN_YAML if path.endswith((".yaml", ".yml")) else _IN_TEMPLATE
    for match in re.finditer(pattern, text):
        if _like_a_secret(match[1]):
            name = re.search(
                r"[\w-]*$", text[max(match.start() - 80, 0) : match.start()]
            )
            word = re.match(r"\w+", match[0])
            what = f"{name[0] if name else ''}{word[0] if word else ''} is written"
            yield _problem("MD703", path, text, match.start(), what)


def _problem(rule: str, path: str, text: str, start: int, what: str) -> Problem:
    found = RULES[rule]
    line = text.count("\n", 0, start) + 1
    message = f"{what} into this file"
    return Problem(path, line, message, rule, found.severity, found.remedy)


def _like_a_secret(value: str) -> bool:
    """Tell a secret from a word: it is long, or mixes letters and digits."""
    mixed = re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)
    return len(value) >= _TELLING or bool(mixed)
