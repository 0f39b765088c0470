"""init and orgs: how a project starts, and what it has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from metadeploy.cli import completing, options
from metadeploy.cli.output import (
    Document,
    document,
    problem_json,
    shown,
    styled,
    write_json,
)
from metadeploy.cli.terminal import laid
from metadeploy.errors import ConfigError

SCAFFOLD = Path(__file__).parent.parent / "_scaffold"
# A wheel drops files whose name begins with a dot; so they travel as "dot_…".
_DOT = "dot_"


@click.command()
@click.argument(
    "folder", metavar="[DIR]", default=".", shell_complete=completing.folders
)
@options.as_json
def init(folder: str, as_json: bool) -> int:
    """Start a project in a folder.

    Writes an example that can be deployed at once, to emulated orgs. Files that are
    there stay as they are.
    """
    root = Path(folder)
    written, kept = [], []
    for source in sorted(SCAFFOLD.rglob("*")):
        if not source.is_file():
            continue
        path = source.relative_to(SCAFFOLD)
        if path.name.startswith(_DOT):
            path = path.with_name("." + path.name.removeprefix(_DOT))
        try:
            (root / path.parent).mkdir(parents=True, exist_ok=True)
            with (root / path).open("xb") as file:
                file.write(source.read_bytes())
        except FileExistsError:
            kept.append(path.as_posix())
        except OSError as error:
            raise ConfigError(
                f"cannot write {root / path}: {error.strerror}"
            ) from error
        else:
            written.append(path.as_posix())
    if as_json:
        write_json(document("init", {"written": written, "kept": kept}))
        return 0
    for name in written:
        click.echo(f"  + {name}")
    for name in kept:
        click.echo(f"    {name} is there already, and stays")
    click.echo("Next: metadeploy plan dev", err=True)
    return 0


@click.command()
@options.orgs()
@options.as_json
def orgs(orgs: tuple[str, ...], as_json: bool) -> int:
    """List the orgs of the project."""
    project = options.find_workspace().project()
    rows: list[Document] = []
    bad = False
    for name in project.select(orgs):
        org, problems = project.read(name)
        if org is None:
            found = [problem_json(p) for p in problems or project.defaults_problems()]
            rows.append({"org": name, "problems": found})
            bad = True
            continue
        login = org.file.login
        rows.append(
            {
                "org": name,
                "kind": org.kind,
                "orgId": org.org_id,
                "url": login.url if login else None,
                "apiVersion": org.api_version,
                "tags": list(org.file.tags),
                "promoteFrom": org.file.promote_from,
            }
        )
    if as_json:
        write_json(document("orgs", {"orgs": rows}))
    else:
        _show(rows)
    return int(bad)


def _show(rows: list[Document]) -> None:
    width = max(len(str(row["org"])) for row in rows)
    for row in rows:
        name = str(row["org"])
        if "problems" in row:
            about = ["not usable: see metadeploy validate"]
            click.echo("\n".join(_row(name, width, about, fg="red")))
            continue
        tags = row["tags"]
        about = [str(row["kind"]), str(row["orgId"] or ""), str(row["url"] or "")]
        if isinstance(tags, list) and tags:
            about.append("[" + ", ".join(map(str, tags)) + "]")
        click.echo("\n".join(_row(name, width, [a for a in about if a])))


def _row(
    name: str, width: int, about: Iterable[str], *, fg: str | None = None
) -> list[str]:
    """Return an org's name and what is to be said beside it, or below."""
    padded = styled(f"{shown(name):<{width}}", bold=True)
    return laid([padded, *(styled(a, fg=fg) for a in about)])
