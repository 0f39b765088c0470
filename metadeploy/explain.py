"""What a file of a project touches: who reads it, what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from metadeploy.errors import ConfigError
from metadeploy.model import Ref
from metadeploy.orgfile import Org
from metadeploy.project import ORGS, Project
from metadeploy.reads import Reads, names, touches
from metadeploy.render import CERTS


class Explained(Struct, frozen=True):
    """What one file touches.

    reads: other texts. values: of org files, that it reads or, an org file, sets.
    used_by: templates and macros that read it, by others too. makes: by org, the
    components that come of it.
    """

    path: str
    reads: tuple[str, ...]
    values: tuple[str, ...]
    used_by: tuple[str, ...]
    makes: Mapping[str, tuple[Ref, ...]]


def explain(
    project: Project, paths: Iterable[str], orgs: Iterable[str]
) -> tuple[Explained, ...]:
    """Return what each file touches; a folder stands for all files in it.

    Raises ConfigError for a path that is none of the project's texts.
    """
    found: dict[str, None] = {}
    for path in paths:
        inside = [p for p in sorted(project.texts) if _is_in(p, path)]
        if not inside:
            raise ConfigError(
                f"{path} is no template, org file or certificate",
                hint="Name files below templates/, orgs/ or certs/.",
            )
        found.update(dict.fromkeys(inside))
    known = {p: project.renderer.reads(p) for p in project.texts if p.endswith(".j2")}
    usable = [org for name in orgs if (org := project.read(name)[0])]
    return tuple(_one(project, path, known, usable) for path in found)


def _is_in(path: str, place: str) -> bool:
    mine = not path.startswith("metadeploy/")
    return mine and (place in (".", path) or path.startswith(f"{place}/"))


def _one(
    project: Project, path: str, known: Mapping[str, Reads], orgs: Iterable[Org]
) -> Explained:
    if path.startswith(ORGS):
        # Defaults count for each org, as far as its own file does not say otherwise.
        values = {v for org in orgs for v in _set_by(org, path)}
        users = {p for p in known if any(touches(v, known[p].values) for v in values)}
        users |= {u for p in users for u in _users(p, known)}
        reads: frozenset[str] = frozenset()
        orgs = [org for org in orgs if org.path == path or _set_by(org, path)]
    else:
        mine = known.get(path, Reads())
        values, reads = set(mine.values), mine.texts
        users = _users(path, known)
    sources = {path, *users}
    makes = {org.name: _made(project, org, sources) for org in orgs}
    return Explained(
        path,
        tuple(sorted(reads)),
        tuple(sorted(values)),
        tuple(sorted(p for p in users if not p.startswith(CERTS))),
        {name: refs for name, refs in makes.items() if refs},
    )


def _set_by(org: Org, path: str) -> set[str]:
    """Return the dotted names of values that a file sets for an org."""
    found = {
        ".".join(map(str, key[1:]))
        for key, (where, _) in org.lines.items()
        if where == path and len(key) > 1 and key[0] == "values"
    }
    # A list counts as a whole, and so does a mapping by its parts.
    return {v for v in found if not any(o.startswith(f"{v}.") for o in found)}


def _users(path: str, known: Mapping[str, Reads]) -> set[str]:
    """Return all that read a text, or read what reads it."""
    found: set[str] = set()
    todo = [path]
    while todo:
        at = todo.pop()
        more = {p for p, r in known.items() if p != at and names(at, r.texts)}
        todo += sorted(more - found)
        found |= more
    return found - {path}


def _made(project: Project, org: Org, sources: set[str]) -> tuple[Ref, ...]:
    components, _ = project.render(org)
    refs = (c.ref for c in components if c.source and c.source.path in sources)
    return tuple(sorted(refs))
