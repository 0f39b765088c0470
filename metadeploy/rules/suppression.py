"""Warnings that somebody has looked at and wants to keep quiet, with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from metadeploy.model import Problem, Severity
from metadeploy.near import nearest
from metadeploy.orgfile import Org, selects
from metadeploy.rules.reading import show
from metadeploy.rules.registry import RULES


class Suppression(Struct, frozen=True):
    """One rule that may be broken, where and why, and the place that says so.

    patterns: the templates that it is about, as in an org file; () for all of the org.
    template: the one template whose header says it, or "".
    """

    rule: str
    reason: str
    path: str
    line: int
    patterns: tuple[str, ...] = ()
    template: str = ""

    def covers(self, problem: Problem) -> bool:
        """Tell whether the problem need not be told."""
        if problem.rule != self.rule or self.wrong():
            return False
        about = problem.template or problem.path
        if self.template:
            return self.template in (about, problem.path)
        return not self.patterns or selects(self.patterns, about)

    def wrong(self) -> str:
        """Return why it counts for nothing, "" where it does count."""
        rule = RULES.get(self.rule)
        if rule is None:
            ids = {known.name: known.id for known in RULES.values()}
            like = nearest(self.rule, ids, cutoff=0.8)
            like = ids[like] if like else nearest(self.rule, ids.values(), cutoff=1.0)
            hint = f"; did you mean {like}?" if like else ""
            return f"there is no rule {show(self.rule)}{hint}"
        if rule.severity is Severity.ERROR and not rule.policy:
            return f"{self.rule} cannot be suppressed, since it is an error"
        if not self.reason.strip():
            return f"the suppression of {self.rule} gives no reason"
        return ""


class Suppressed(Struct, frozen=True):
    """A problem that is not told, and what keeps it quiet."""

    problem: Problem
    by: Suppression


def of_org(org: Org) -> tuple[Suppression, ...]:
    """Return what an org's file, or the defaults, suppress for it."""
    return tuple(
        Suppression(
            said.rule,
            said.reason,
            *org.line_of("suppress", index),
            tuple(said.templates),
        )
        for index, said in enumerate(org.file.suppress)
    )


def part(
    problems: Iterable[Problem], suppressions: Collection[Suppression]
) -> tuple[list[Problem], list[Suppressed], set[Suppression]]:
    """Return the problems to tell, those kept quiet, and the suppressions that did it.

    Of several that cover a problem the first one is named, and all of them count.
    """
    told: list[Problem] = []
    quiet: list[Suppressed] = []
    used: set[Suppression] = set()
    for problem in problems:
        covering = [s for s in suppressions if s.covers(problem)]
        used.update(covering)
        if covering:
            quiet.append(Suppressed(problem, covering[0]))
        else:
            told.append(problem)
    return told, quiet, used


def check(suppressions: Iterable[Suppression]) -> Iterator[Problem]:
    """Yield the suppressions that count for nothing as they are written."""
    for said in suppressions:
        if wrong := said.wrong():
            yield _problem("MD603", said, wrong)


def unused(suppressions: Iterable[Suppression]) -> Iterator[Problem]:
    """Yield a warning for each suppression that was needed nowhere."""
    for said in suppressions:
        if not said.wrong():
            text = f"the suppression of {said.rule} suppresses nothing"
            yield _problem("MD604", said, text)


def counts(said: Suppression, policies: Collection[str]) -> bool:
    """Tell whether the rule of a suppression was looked at under these policies."""
    rule = RULES.get(said.rule)
    return rule is None or not rule.policy or rule.policy in policies


def _problem(rule: str, said: Suppression, message: str) -> Problem:
    found = RULES[rule]
    return Problem(said.path, said.line, message, rule, found.severity, found.remedy)
