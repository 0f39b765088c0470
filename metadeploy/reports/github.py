"""GitHub's workflow commands: lines of a job's output that become annotations.

Source: "Workflow commands for GitHub Actions", GitHub docs; how texts are escaped:
actions/toolkit, packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from metadeploy.errors import InvalidMetadata, MetadeployError
from metadeploy.model import Severity
from metadeploy.reports.account import Report, State, error_text, told
from metadeploy.reports.finding import Finding, findings
from metadeploy.reports.text import shown
from metadeploy.rules import RULES


def problems(found: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each finding that is not suppressed."""
    for finding in found:
        if finding.reason is None:
            rule = RULES[finding.problem.rule]
            yield annotation(
                finding.problem.severity,
                finding.text,
                title=f"{rule.id} {rule.name}",
                file=finding.path,
                line=finding.line,
            )


def results(report: Report) -> Iterator[str]:
    """Yield a line for each thing that went wrong, or that somebody has to look at."""
    if report.error is not None:
        yield from _error(report.error, report.command, report.folder)
    for account in report.accounts:
        at = f"{account.org}: "
        severity = Severity.ERROR if account.error else Severity.WARNING
        if account.error is not None and not account.refusals:
            yield from _error(account.error, at + report.command, report.folder)
        elif account.state in (State.DIFFERS, State.FAILED):
            yield annotation(Severity.ERROR, account.said, title=at + report.command)
        for refusal in account.refusals:
            yield annotation(severity, told(refusal), title=f"{at}refused")
        for risk in account.risks:
            yield annotation(Severity.WARNING, told(risk.message), title=f"{at}risk")
        if account.drift and account.state is not State.DIFFERS:
            names = ", ".join(told(str(c.ref)) for c in account.drift)
            what = f"changed outside metadeploy: {names}"
            yield annotation(Severity.WARNING, what, title=f"{at}drift")


def _error(error: MetadeployError, title: str, folder: str) -> Iterator[str]:
    if isinstance(error, InvalidMetadata):
        safe = (replace(p, message=told(p.message)) for p in error.problems)
        yield from problems(findings(safe, folder=folder))
    else:
        yield annotation(Severity.ERROR, error_text(error), title=title)


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
