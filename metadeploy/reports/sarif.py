"""Findings as SARIF 2.1.0, for GitHub's code scanning and others.

Source: Static Analysis Results Interchange Format 2.1.0 (OASIS, errata 01), and "SARIF
support for code scanning", GitHub docs: what it asks for beyond the standard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from metadeploy.reports.finding import Finding
from metadeploy.reports.text import shown
from metadeploy.rules import RULES, page
from metadeploy.rules.rule import Rule

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
    "sarif-schema-2.1.0.json"
)
Object = Mapping[str, object]


def text(findings: Iterable[Finding], version: str) -> str:
    """Return the log of one run. version: our own, such as "0.1.0"."""
    found = tuple(findings)
    broken = sorted({f.problem.rule for f in found})
    index = {rule: number for number, rule in enumerate(broken)}
    driver: Object = {
        "name": "metadeploy",
        "version": version,
        "rules": [_rule(RULES[rule]) for rule in broken],
    }
    run: Object = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {
            "%SRCROOT%": {"description": {"text": "The root of the repository."}}
        },
        "results": [_result(f, index[f.problem.rule]) for f in found],
    }
    log: Object = {"version": "2.1.0", "$schema": _SCHEMA, "runs": [run]}
    return json.dumps(log, indent=2)


def _rule(rule: Rule) -> Object:
    see = page.anchor(rule.id)
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.why},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.remedy} Source: {rule.source}. See {see}.",
            "markdown": f"{rule.remedy}\n\nSource: {rule.source}. See `{see}`.",
        },
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _result(finding: Finding, index: int) -> Object:
    uri = quote(finding.path.encode("utf-8", "surrogatepass"))
    place: Object = {
        "artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": finding.line},
    }
    result: dict[str, object] = {
        "ruleId": finding.problem.rule,
        "ruleIndex": index,
        "level": str(finding.problem.severity),
        "message": {"text": _message(finding.text)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"metadeployProblem/v1": finding.fingerprint},
    }
    if finding.reason is not None:
        why = shown(finding.reason)
        # "inSource": the files of the project say so, be it a template or an org's.
        result["suppressions"] = [{"kind": "inSource", "justification": why}]
    return result


def _message(text: str) -> str:
    """Return text in which nothing is a link: `[words](place)` would be one."""
    return shown(text).replace("](", "] (")
