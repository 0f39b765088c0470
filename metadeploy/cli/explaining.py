"""validate --explain: what files touch, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from metadeploy import narrow
from metadeploy.cli import options
from metadeploy.cli.output import Json, document, shown, styled, write_json
from metadeploy.explain import Explained, explain
from metadeploy.narrow import Reached
from metadeploy.project import Project
from metadeploy.render import SHIPPED


def tell(
    project: Project, paths: Iterable[str], orgs: Iterable[str], *, as_json: bool
) -> int:
    """Print what each file touches; return 0."""
    found = explain(project, paths, orgs)
    if as_json:
        write_json(document("validate", {"explained": [_json(one) for one in found]}))
    else:
        for line in (line for one in found for line in _lines(one)):
            click.echo(line)
    return 0


def tell_edit(was: Project | None, now: Project, *, as_json: bool) -> int:
    """Print what an edit touches, what is judged for it, and why; return 0.

    was: None where all of it is new, or may be.
    """
    texts = {} if was is None else was.texts
    changed = [
        path
        for path in sorted({**texts, **now.texts})
        if texts.get(path) != now.texts.get(path) and not path.startswith(SHIPPED)
    ]
    before = Project(texts, now.now)
    found = [
        one
        for path in changed
        for project in [now if path in now.texts else before]
        for one in explain(project, [path], project.org_paths)
    ]
    if was is None:
        why = "what was before is not known"
        reached = tuple(Reached(org, None, why) for org in now.org_paths)
    else:
        reached = narrow.examine(was, now).reached
    if as_json:
        judged: list[Json] = [
            {
                "org": one.org,
                "texts": None if one.texts is None else sorted(one.texts),
                "why": one.why,
            }
            for one in reached
        ]
        explained = [_json(one) for one in found]
        write_json(document("validate", {"explained": explained, "judged": judged}))
        return 0
    for line in (line for one in found for line in _lines(one)):
        click.echo(line)
    click.echo(styled("What the git hook looks at", bold=True))
    for org in reached:
        what = "all"
        if org.texts is not None:
            what = options.counted(len(org.texts), "template")
        click.echo(shown(f"  {org.org}: {what} ({org.why})"))
    if not reached:
        click.echo("  nothing: no org is reached")
    return 0


def _json(one: Explained) -> dict[str, Json]:
    makes: list[Json] = [
        {"org": org, "type": ref.type, "fullName": ref.full_name}
        for org, refs in one.makes.items()
        for ref in refs
    ]
    return {
        "path": one.path,
        "reads": list(one.reads),
        "values": list(one.values),
        "usedBy": list(one.used_by),
        "makes": makes,
    }


def _lines(one: Explained) -> Iterator[str]:
    yield styled(shown(one.path), bold=True)
    told = [("reads", one.reads), ("values", one.values), ("used by", one.used_by)]
    for word, texts in told:
        for text in texts:
            yield shown(f"  {word:<8}  {text}")
    for org, refs in one.makes.items():
        for ref in refs:
            yield shown(f"  makes     {org}: {ref}")
