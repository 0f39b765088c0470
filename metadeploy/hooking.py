"""Edge: what a git hook does, in the repository that git runs it in.

It has to be quick: what renders and judges is loaded only where something of a project
is about to change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metadeploy import leaks, repository
from metadeploy.errors import ConfigError

if TYPE_CHECKING:
    from metadeploy.model import Problem
    from metadeploy.repository import FileChange, Read

NAMES = ("pre-commit", "pre-push", "validate", "no-secrets", "render")
_IS_PART = {
    "pre-commit": ("validate", "no-secrets"),
    "pre-push": ("render",),
}
_MOST = 5_000_000  # bytes of one file
_MOST_IN_ALL = 200_000_000
_FOLDERS = ("templates/", "orgs/", "certs/", "sfdx-project.json", ".forceignore")
_SHIPPED = "metadeploy/"
_NOTHING = "0" * 40


class Report(NamedTuple):
    """What a hook found. problems: their paths are from the top of the work tree.

    notes: what was not looked at. orgs: those that were judged, of all projects.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        return sum(p.severity == "error" for p in self.problems)


def run(
    name: str,
    folders: Iterable[str],
    at: Path,
    told: Iterable[str] = (),
    *,
    everything: bool = False,
) -> Report:
    """Run a hook in the repository that `at` is in, and return what it found.

    folders: projects, from the top of the work tree; default: the top. told: the lines
    that git tells pre-push. everything: look at all that is tracked, not at what is
    staged. Raises ConfigError.
    """
    top = repository.top(at)
    places = [_below(folder) for folder in folders] or [""]
    parts = _IS_PART.get(name, (name,))
    found: list[Report] = []
    if "render" in parts:
        found.append(_render(top, places, told))
    if {"validate", "no-secrets"} & {*parts}:
        found += _staged(top, places, parts, everything)
    return Report(
        tuple(p for one in found for p in one.problems),
        tuple(n for one in found for n in one.notes),
        tuple(o for one in found for o in one.orgs),
    )


def _below(folder: str) -> str:
    """Return a folder as paths in the repository begin: "" or with "/" at its end."""
    steps = [s for s in folder.replace(os.sep, "/").split("/") if s not in ("", ".")]
    if folder.startswith("/") or ".." in steps:
        raise ConfigError(f"{folder} is not a folder from the top of the repository")
    return "".join(f"{step}/" for step in steps)


def _staged(
    top: Path, places: list[str], parts: tuple[str, ...], everything: bool
) -> Iterator[Report]:
    with repository.reading(top) as read:
        changes = () if everything else repository.staged_changes(top)
        # pre-commit runs its hooks over all files, with nothing staged.
        if everything or (not changes and "PRE_COMMIT" in os.environ):
            everything, changes = True, repository.tracked(top)
        if "no-secrets" in parts:
            yield _no_secrets(changes, read)
        for below in places if "validate" in parts else ():
            if everything or _is_reached(below, changes):
                edit = None if everything else changes
                yield _validate(top, below, edit, read)


# -- no-secrets


def _no_secrets(changes: Iterable[FileChange], read: Read) -> Report:
    problems: list[Problem] = []
    notes: list[str] = []
    left = _MOST_IN_ALL
    for change in changes:
        if not change.blob or change.blob == change.was:
            continue
        data, size = read(change.blob, min(_MOST, left))
        left -= len(data)
        if size > len(data):
            notes.append(
                f"{_shown(change.path)}: only the first {len(data):,} of {size:,}"
                " bytes were looked through for secrets"
            )
        if found := leaks.leaks(change.path, data):
            was = read(change.was, _MOST)[0] if change.was else b""
            problems += _new(change.path, found, leaks.text_of(was))
    return Report(tuple(problems), tuple(notes))


def _new(path: str, found: Iterable[leaks.Leak], was: str) -> Iterator[Problem]:
    """Yield a problem for each secret that a file did not hold before."""
    from metadeploy.model import Problem
    from metadeploy.rules.registry import RULES

    for leak in found:
        if leak.secret and leak.secret in was:
            continue
        rule = RULES["MD705" if leak.line else "MD706"]
        yield Problem(
            _shown(path), leak.line, leak.message, rule.id, rule.severity, rule.remedy
        )


def _shown(path: str) -> str:
    """Return a path for people: its name may be of any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# -- validate


def _is_reached(below: str, changes: Iterable[FileChange]) -> bool:
    """Tell whether something of a project may be among the changes."""
    return any(
        path.startswith(below)
        and (
            path.removeprefix(below).startswith(_FOLDERS)
            # Of a source tree beside it, which is none without its project file.
            or path.endswith((".j2", "-meta.xml"))
        )
        for change in changes
        for path in (change.path, change.was_path)
    )


def _validate(
    top: Path, below: str, changes: Iterable[FileChange] | None, read: Read
) -> Report:
    from datetime import UTC, datetime

    from metadeploy import history

    edit = history.edit_below(top, below, changes, read, datetime.now(UTC))
    if not edit.now.org_paths:
        return Report()
    if edit.was is None:
        verdict, orgs = edit.now.examine(edit.now.org_paths), tuple(edit.now.org_paths)
    else:
        from metadeploy import narrow

        narrowed = narrow.examine(edit.was, edit.now)
        verdict, orgs = narrowed.verdict, tuple(r.org for r in narrowed.reached)
    return Report(_in_repository(below, verdict.problems), (), orgs)


def _in_repository(below: str, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems with their paths from the top; those of shipped macros stay."""
    if not below:
        return tuple(problems)
    from msgspec.structs import replace

    return tuple(
        p if p.path.startswith(_SHIPPED) else replace(p, path=below + p.path)
        for p in problems
    )


# -- render


def _render(top: Path, places: list[str], told: Iterable[str]) -> Report:
    from datetime import UTC, datetime

    from metadeploy import history

    problems: list[Problem] = []
    orgs: dict[str, None] = {}
    seen: list[tuple[str, Mapping[str, str]]] = []
    notes: list[str] = []
    for ref, commit in _pushed(top, told).items():
        for below in places:
            project = history.at_below(top, below, commit, datetime.now(UTC))
            if not project.org_paths or (below, project.texts) in seen:
                continue
            seen.append((below, project.texts))
            found = project.validate(project.org_paths)
            orgs.update(dict.fromkeys(project.org_paths))
            problems += _in_repository(below, found)
            if any(p.severity == "error" for p in found):
                notes.append(f"{ref} at {commit[:12]} does not pass")
    return Report(tuple(problems), tuple(notes), tuple(orgs))


def _pushed(top: Path, told: Iterable[str]) -> Mapping[str, str]:
    """Return ref → commit of what is pushed; what is deleted, or is no commit, is not.

    pre-commit tells its hooks by the environment what git told it.
    """
    if "PRE_COMMIT" in os.environ:
        name = os.environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
        said = {name: os.environ.get("PRE_COMMIT_TO_REF") or name}
    else:
        rows = [line.rsplit(None, 3) for line in told]
        said = {row[0]: row[1] for row in rows if len(row) == 4}
    found = {ref: _commit(top, name) for ref, name in said.items()}
    return {ref: commit for ref, commit in found.items() if commit}


def _commit(top: Path, name: str) -> str:
    return "" if name.startswith(_NOTHING) else repository.ref(top, name)


# -- in and out


def lines_of_git(name: str) -> list[str]:
    """Return what git tells a hook on its standard input: pre-push alone."""
    asks = name in ("pre-push", "render") and "PRE_COMMIT" not in os.environ
    if not asks or sys.stdin is None or sys.stdin.isatty():
        return [f"HEAD HEAD HEAD {_NOTHING}"] if asks else []
    return sys.stdin.read().splitlines()


def lines(name: str, found: Report) -> tuple[list[str], list[str]]:
    """Return what to print of a hook, on stdout and stderr; nothing if all is well."""
    if not found.problems and not found.notes:
        return [], []
    from metadeploy.reports.text import shown

    out = [
        shown(f"{problem}\n    {problem.remedy}" if problem.remedy else str(problem))
        for problem in found.problems
    ]
    err = [shown(note) for note in found.notes]
    if found.problems:
        errors, more = found.errors, len(found.problems) - found.errors
        said = f"{errors} error{_s(errors)}, {more} warning{_s(more)}"
        err.append(f"metadeploy {name}: {said}.")
    return out, err


def _s(count: int) -> str:
    return "" if count == 1 else "s"
