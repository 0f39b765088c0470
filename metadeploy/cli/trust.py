"""trust: let the commands run that org files name."""

from __future__ import annotations

import click

from metadeploy import orgfile
from metadeploy import trust as trusting
from metadeploy.cli import options
from metadeploy.cli.output import document, shown, write_json
from metadeploy.project import Project


@click.command()
@click.option("--forget", is_flag=True, help="Trust none of them any more.")
@options.as_json
def trust(forget: bool, as_json: bool) -> int:
    """Let the commands run that org files name.

    An org file can name a command that prints a secret. It runs as you, so none does
    until you have read it and say so here; one that has changed asks again.
    """
    workspace = options.find_workspace()
    found = _commands(workspace.project())
    trusting.trust(workspace.root, [] if forget else found)
    if as_json:
        commands = [
            {"command": list(command), "places": places}
            for command, places in found.items()
        ]
        write_json(document("trust", {"trusted": not forget, "commands": commands}))
        return 0
    for command, places in found.items():
        click.echo(shown(f"  {' '.join(command)}"))
        for place in places:
            click.echo(shown(f"    {place}"))
    word = "no longer trusted" if forget else "trusted"
    click.echo(f"{options.counted(len(found), 'command')} {word}.", err=True)
    return 0


def _commands(project: Project) -> dict[tuple[str, ...], list[str]]:
    """Return each command of the org files, with where it is named."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in project.org_paths:
        org, _ = project.read(name)
        if org is None:
            continue
        for at, source in orgfile.secret_sources(org.file):
            if source.command:
                path, line = org.line_of(*at)
                places = found.setdefault(tuple(source.command), [])
                if f"{path}:{line}" not in places:
                    places.append(f"{path}:{line}")
    return found
