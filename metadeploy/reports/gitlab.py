"""GitLab's reports: code quality for findings.

Source: "Code Quality report format", GitLab docs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from metadeploy.model import Severity
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
