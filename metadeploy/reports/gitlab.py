"""GitLab's reports: code quality for findings, and the counts of plans.

Source: "Code Quality report format" and "Terraform integration in merge requests",
GitLab docs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from metadeploy.model import Severity
from metadeploy.reports.account import Report
from metadeploy.reports.finding import Finding
from metadeploy.reports.text import shown

_SEVERITY = {Severity.ERROR: "major", Severity.WARNING: "minor"}


def code_quality(findings: Iterable[Finding]) -> str:
    """Return the document; what is suppressed has no place in it."""
    rows = [
        {
            "description": shown(f.text),
            "check_name": f.problem.rule,
            "fingerprint": f.fingerprint,
            "severity": _SEVERITY[f.problem.severity],
            "location": {"path": f.path, "lines": {"begin": f.line}},
        }
        for f in findings
        if f.reason is None
    ]
    return json.dumps(rows, indent=2)


def terraform(report: Report) -> str:
    """Return how much is created, updated and deleted in all orgs, access included.

    Where that is not known of each org, nothing is counted: without the three keys
    GitLab says that the report failed, and not that there is little to do.
    """
    if report.error or any(a.error for a in report.accounts):
        return json.dumps({"error": "not every org could be looked at"})
    signs = Counter(
        change.action.sign for account in report.accounts for change in account.planned
    )
    signs["-"] += sum(len(a.replaced) for a in report.accounts)
    said = {"create": signs["+"], "update": signs["~"], "delete": signs["-"]}
    return json.dumps(said)
