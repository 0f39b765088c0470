"""Org files: each org once, each pinned consumer key once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from metadeploy.model import Problem, id18
from metadeploy.rules.registry import RULES

Pin = tuple[str, str, int, Literal["org_id", "consumer_key"], str]

_RULES = {"org_id": "MD601", "consumer_key": "MD602"}


def check_orgs(keys: Iterable[Pin]) -> list[Problem]:
    """Return a Problem for each org id or pinned key that is there already.

    keys: (org name, path, line, kind, value) of every org file. Ids of 15 and of 18
    characters are compared as one; what is no id at all is not judged here.
    """
    problems = []
    first: dict[tuple[str, str], tuple[str, str, int]] = {}
    for org, path, line, kind, value in sorted(keys, key=lambda k: (k[1], k[2])):
        other = first.setdefault((kind, _comparable(kind, value)), (org, path, line))
        if other == (org, path, line):
            continue
        where = f"{other[0]} ({other[1]}:{other[2]})"
        if kind == "org_id":
            text = f"org id {value[:18]} of {org} is that of {where} too"
        else:
            text = f"consumer key {value[:8]}… of {org} is pinned by {where} too"
        rule = RULES[_RULES[kind]]
        problems.append(Problem(path, line, text, rule.id, rule.severity, rule.remedy))
    return problems


def _comparable(kind: str, value: str) -> str:
    try:
        return id18(value) if kind == "org_id" else value
    except ValueError:
        return value
