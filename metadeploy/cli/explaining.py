"""validate --explain: what files touch, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from metadeploy.cli.output import Json, document, shown, styled, write_json
from metadeploy.explain import Explained, explain
from metadeploy.project import Project


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
