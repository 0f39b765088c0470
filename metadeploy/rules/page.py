"""docs/rules.md: every rule with its own section, written from the registry."""

from __future__ import annotations

from collections.abc import Iterator

from metadeploy.model import Severity
from metadeploy.rules.registry import GROUPS
from metadeploy.rules.rule import Rule

PAGE = "docs/rules.md"
_HEAD = """\
# Rules

What `metadeploy validate` checks, and every deploy before anything is sent. All of it
is known offline. An **error** stops the deploy; a **warning** does not. The rules of a
policy count where it is asked for: by `validate --policy isv`, or by `policy: [isv]` in
an org file. A warning, or a rule of a policy, can be [suppressed, with a
reason](reference/templates.md#suppressing-a-rule).

This page is written by `python -m metadeploy.rules > docs/rules.md`.
"""


def anchor(rule: str) -> str:
    """Return where a rule is explained: "docs/rules.md#md101"."""
    return f"{PAGE}#{rule.lower()}"


def text() -> str:
    """Return the whole page, as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for title, rules in GROUPS.items():
        yield f"## {title}\n"
        yield "| rule | | severity |\n|---|---|---|"
        for rule in rules:
            yield f"| [{rule.id}](#{rule.id.lower()}) | {rule.name} | {_grave(rule)} |"
        yield ""
        for rule in rules:
            yield from _section(rule)


def _section(rule: Rule) -> Iterator[str]:
    yield f"### {rule.id}\n"
    yield f"**{rule.name}** ({_grave(rule)}). {rule.why}\n"
    yield f"What to do: {rule.remedy}\n"
    yield f"Source: {rule.source}.\n"


def _grave(rule: Rule) -> str:
    if rule.policy:
        return f"error with `--policy {rule.policy}`"
    return "error" if rule.severity is Severity.ERROR else "warning"
