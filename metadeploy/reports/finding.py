"""Problems as code hosts want them: a place in the repository, and a fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from metadeploy.model import Problem
from metadeploy.rules.suppression import Suppressed


class Finding(Struct, frozen=True):
    """One problem. path: in the repository, with `/`; line: from 1.

    fingerprint: stays while the problem does, wherever its line moves.
    reason: why somebody suppressed it; None where nobody did.
    """

    problem: Problem
    path: str
    line: int
    fingerprint: str
    reason: str | None = None

    @property
    def text(self) -> str:
        """What is wrong, and what to do."""
        said, remedy = self.problem.message, self.problem.remedy
        if not remedy:
            return said
        return f"{said} {remedy}" if said.endswith("?") else f"{said}. {remedy}"


def findings(
    problems: Iterable[Problem], suppressed: Iterable[Suppressed] = (), *, folder: str
) -> tuple[Finding, ...]:
    """Return problems as findings, then those suppressed.

    folder: of the project in its repository, "" for its root.
    """
    seen: Counter[tuple[str, str, str]] = Counter()

    def found(problem: Problem, reason: str | None) -> Finding:
        path = f"{folder}/{problem.path}" if folder else problem.path
        same = path, problem.rule, problem.message
        seen[same] += 1
        # Several alike are told apart by their number, for hosts show one of each.
        told = "\0".join((*same, str(seen[same])))
        fingerprint = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return Finding(problem, path, max(problem.line, 1), fingerprint, reason)

    return (
        *(found(p, None) for p in problems),
        *(found(s.problem, s.by.reason) for s in suppressed),
    )
