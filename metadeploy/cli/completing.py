"""Names to complete at a shell: what a project has, as far as a glance tells.

A glance is fast, and no more: files are listed and searched, nothing is parsed or
loaded, and what cannot be read is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

Completer: TypeAlias = Callable[
    [click.Context, click.Parameter, str], "list[str] | list[CompletionItem[str]]"
]

_SUFFIXES = (".yaml", ".yml")
_MOST_FILES, _MOST_BYTES, _MOST_ROWS = 2000, 65536, 200
_TAGS = re.compile(r"^tags:[ \t]*(?:\[([^\]]*)\]|((?:\n[ \t]*-[^\n]*)+))", re.MULTILINE)
_BETWEEN = re.compile(r"[,\n]")
_APP = re.compile(r"([^{}/]+)\.(?:connectedApp|eca)(?:-meta\.xml)?(?:\.j2)?")


def orgs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an ORG: a name, a folder's glob, or tag:NAME."""
    found = _org_files(ctx)
    if incomplete.startswith("tag:"):
        return _begin(
            sorted({f"tag:{t}" for f in found.values() for t in _tags(f)}), incomplete
        )
    folders = {f"{name.rpartition('/')[0]}/*" for name in found if "/" in name}
    tags = ["tag:"] if incomplete and "tag:".startswith(incomplete) else []
    return _begin([*found, *sorted(folders), *tags], incomplete)


def pair(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete ORG..ORG."""
    names = list(_org_files(ctx))
    source, dots, _ = incomplete.partition("..")
    if not dots:
        return _begin([f"{name}.." for name in names], incomplete)
    return _begin([f"{source}..{name}" for name in names if name != source], incomplete)


def apps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an app's name: templates are called like it, or it was deployed."""
    root = _root(ctx)
    rows = _journal(
        ctx,
        "SELECT DISTINCT full_name FROM recorded"
        " WHERE type IN ('ConnectedApp', 'ExternalClientApplication')",
    )
    found = {str(row[0]) for row in rows}
    for path in _files(root / "templates") if root else ():
        if match := _APP.fullmatch(path.name):
            found.add(match[1])
    return _begin(sorted(found), incomplete)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a run's id, the newest first; of the org that is named, if one is."""
    said = ctx.params.get("orgs") or (ctx.params.get("org"),)
    rows = _journal(ctx, "SELECT id, org FROM run ORDER BY rowid DESC")
    ids = [str(i) for i, org in rows if said == (None,) or org in said]
    return _begin(ids, incomplete)


def commits(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a commit by the branches and tags that there are."""
    from metadeploy import repository

    root = _root(ctx)
    return _begin(repository.names(root) if root else [], incomplete)


def remotes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a remote repository."""
    from metadeploy import repository

    root = _root(ctx)
    return _begin(repository.remotes(root) if root else [], incomplete)


def reports(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete KIND=FILE; the file itself is the shell's to complete."""
    return _begin(["markdown=", "junit=", "gitlab=", "github"], incomplete)


def files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Have the shell complete a file's name: it knows best how to quote it."""
    return [CompletionItem(incomplete, type="file")]


def folders(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Have the shell complete a folder's name."""
    return [CompletionItem(incomplete, type="dir")]


def _begin(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _root(ctx: click.Context) -> Path | None:
    start = Path(ctx.find_root().params.get("folder") or ".").resolve()
    return next((f for f in (start, *start.parents) if (f / "orgs").is_dir()), None)


def _journal(ctx: click.Context, query: str) -> list[Sequence[object]]:
    """Return the first rows that a query of the journal gives, [] where none can be."""
    import sqlite3

    root = _root(ctx)
    path = root / ".metadeploy" / "journal.sqlite3" if root else None
    if path is None or not path.is_file():
        return []
    place = f"{path.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=0.5)) as journal:
            return journal.execute(query).fetchmany(_MOST_ROWS)
    except sqlite3.Error:
        return []


def _org_files(ctx: click.Context) -> dict[str, Path]:
    root = _root(ctx)
    if root is None:
        return {}
    folder = root / "orgs"
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in _files(folder)
        if path.suffix in _SUFFIXES
    }
    found.pop("defaults", None)
    return dict(sorted(found.items()))


def _files(folder: Path) -> Iterator[Path]:
    left = _MOST_FILES
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(place, name)
            if left and not name.startswith(".") and not path.is_symlink():
                left -= 1
                yield path


def _tags(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return
    for match in _TAGS.finditer(text):
        for tag in _BETWEEN.split(match[1] or match[2] or ""):
            tag = tag.partition(" #")[0].strip().lstrip("- ").strip("'\"")
            if tag:
                yield tag
