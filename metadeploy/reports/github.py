"""GitHub's workflow commands: lines of a job's output that become annotations.

Source: "Workflow commands for GitHub Actions", GitHub docs; how texts are escaped:
actions/toolkit, packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metadeploy.model import Severity
from metadeploy.reports.finding import Finding
from metadeploy.reports.text import shown
from metadeploy.rules import RULES


def problems(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each finding that is not suppressed."""
    for finding in findings:
        if finding.reason is None:
            rule = RULES[finding.problem.rule]
            yield annotation(
                finding.problem.severity,
                finding.text,
                title=f"{rule.id} {rule.name}",
                file=finding.path,
                line=finding.line,
            )


def annotation(
    severity: Severity, message: str, *, title: str, file: str = "", line: int = 0
) -> str:
    """Return one command. file: in the repository, "" where there is none to name."""
    place = f"file={_property(file)},line={line}," if file else ""
    return f"::{severity} {place}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    # A carriage return, which has to be escaped too, is not among what is shown.
    return shown(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
