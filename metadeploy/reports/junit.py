"""A report as JUnit XML: an org is a suite, a component in it is a case.

Written with lxml, which is loaded anyway; the format is two elements deep.
Source: what Jenkins' xunit-plugin and GitLab read (junit-10.xsd).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree
from msgspec import Struct

from metadeploy.diff import Change
from metadeploy.errors import DeployFailed, InvalidMetadata
from metadeploy.model import DeployMessage, Problem
from metadeploy.reports import details
from metadeploy.reports.account import Account, Report, Row, State, error_text, told
from metadeploy.reports.words import proof_mark


class _Case(Struct, frozen=True):
    """kind: "failure", "error", "skipped", or "" for one that is well."""

    kind: str = ""
    type: str = ""
    said: str = ""


def text(report: Report) -> str:
    """Return the document."""
    root = etree.Element("testsuites", name=f"metadeploy {report.command}")
    suites = [(a.org, _cases(a, report.command)) for a in report.accounts]
    if report.error is not None:
        error = _Case("error", type(report.error).__name__, error_text(report.error))
        suites.append((report.command, {report.command: error}))
    for name, cases in suites:
        _add_suite(root, told(name), cases)
    _count(root, [c for _, cases in suites for c in cases.values()])
    found = etree.tostring(
        root, pretty_print=True, xml_declaration=True, encoding="utf-8"
    )
    return found.decode("utf-8")


def _add_suite(root: etree._Element, name: str, cases: Mapping[str, _Case]) -> None:
    suite = etree.SubElement(root, "testsuite", name=name)
    _count(suite, list(cases.values()))
    suite.set("skipped", str(sum(c.kind == "skipped" for c in cases.values())))
    for case_name, case in cases.items():
        place = {"classname": name, "name": told(case_name)}
        element = etree.SubElement(suite, "testcase", place)
        if case.kind:
            first = case.said.partition("\n")[0]
            found = etree.SubElement(element, case.kind, message=first)
            if case.type:
                found.set("type", told(case.type))
            found.text = case.said


def _count(element: etree._Element, cases: list[_Case]) -> None:
    element.set("tests", str(len(cases)))
    for name, kind in (("failures", "failure"), ("errors", "error")):
        element.set(name, str(sum(c.kind == kind for c in cases)))


def _cases(account: Account, command: str) -> dict[str, _Case]:
    """Return the cases of an org by name; what went wrong counts, where both are."""
    found = dict(_wrong(account, command))
    well: list[str] = []
    if account.error is None:  # else nobody said that anything came about
        well += [_name(c) for c in account.planned]
        well += [_message_name(m) for m in account.messages if m.success]
        well += [] if account.refusals else [command]
    return {**{name: _Case() for name in sorted(well)}, **found}


def _wrong(account: Account, command: str) -> Iterator[tuple[str, _Case]]:
    yield from _errors(account, command)
    if account.refusals:
        said = "\n".join(map(told, account.refusals))
        yield "nothing is refused", _Case("failure", "PlanRefused", said)
    for change in account.left:
        said = "\n".join(details.change_lines(change))
        yield _name(change), _Case("failure", "Differs", said)
    for access in account.left_access:
        yield _name(access), _Case("failure", "Differs", details.access_line(access))
    if account.state is State.DIFFERS:
        for change in account.drift:
            said = "\n".join(details.change_lines(details.turned(change)))
            yield _name(change), _Case("failure", "Drift", said)
        for access in account.drift_access:
            yield _name(access), _Case("failure", "Drift", details.access_line(access))
    for proof in account.proofs:
        who = f" as {proof.user}" if proof.user else ""
        name = f"login to {proof.app} {proof.flow}{who}".rstrip()
        kind = "skipped" if proof.ok is None else "" if proof.ok else "failure"
        said = told(f"{proof_mark(proof)}: {proof.detail} {proof.hint}".strip())
        yield name, _Case(kind, proof.code if proof.ok is False else "", said)


def _errors(account: Account, command: str) -> Iterator[tuple[str, _Case]]:
    error = account.error
    if isinstance(error, InvalidMetadata):
        for problem in error.problems:
            yield (
                _problem_name(problem),
                _Case("failure", problem.rule, told(str(problem))),
            )
    elif isinstance(error, DeployFailed):
        for row in error.result.messages:
            if not row.success:
                kind = row.problem_type or "Error"
                yield _message_name(row), _Case("failure", kind, told(row.problem))
        yield command, _Case("failure", error.result.status, error_text(error))
    elif error is not None and not account.refusals:
        yield command, _Case("error", type(error).__name__, error_text(error))


def _problem_name(problem: Problem) -> str:
    return f"{problem.rule} {problem.path}:{problem.line}"


def _message_name(row: DeployMessage) -> str:
    return f"{row.component_type} {row.full_name}".strip()


def _name(change: Row) -> str:
    return str(change.ref) if isinstance(change, Change) else f"access: {change}"
