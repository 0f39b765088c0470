"""adopt and migrate: bring live apps under templates, and to the other kind."""

from __future__ import annotations

import click

from metadeploy.cli import completing, options
from metadeploy.cli.output import Json, document, shown, write_json
from metadeploy.cli.work import connect, watching
from metadeploy.errors import ConfigError

_apps = click.option(
    "--app",
    "apps",
    multiple=True,
    required=True,
    help="Its API name.",
    shell_complete=completing.apps,
)


@click.command()
@options.orgs(required=True)
@_apps
@options.as_json
def adopt(orgs: tuple[str, ...], apps: tuple[str, ...], as_json: bool) -> int:
    """Write templates for apps that orgs already have.

    Settings, policies and who may use the app come along. With several ORGs, what
    differs between them becomes values in their files. The next plan is empty.
    """
    written: list[str] = []
    notes: list[str] = []
    with connect(1) as connected:
        workspace = connected.workspace
        names = connected.project.select(orgs)
        with watching(connected, names):
            found = [connected.adopt(names, app) for app in apps]
        for path in (p for a in found for p in a.templates):
            if path in connected.project.texts:
                raise ConfigError(
                    f"{path} is there already: nothing is written",
                    hint="Move it away first, or leave the app to it.",
                )
        for adopted in found:
            for path, text in adopted.templates.items():
                workspace.add_template(path, text)
                written.append(path)
            for name, values in adopted.values.items():
                if values:
                    workspace.add_values(connected.project.org_paths[name], values)
                    written.append(connected.project.org_paths[name])
            notes += adopted.notes
        others = sorted(set(connected.project.org_paths) - set(names))
    if others:
        notes.append(
            f"The templates are for every org: to leave out {options.joined(others)},"
            " list `templates` in its file, or render to nothing there."
        )
    if as_json:
        files: Json = sorted(set(written))
        write_json(document("adopt", {"orgs": names, "written": files, "notes": notes}))
        return 0
    for path in sorted(set(written)):
        click.echo(f"  + {shown(path)}")
    for note in notes:
        click.echo(shown(note), err=True)
    click.echo(shown(f"Next: metadeploy plan {' '.join(names)}"), err=True)
    return 0


@click.command()
@options.orgs(required=True)
@_apps
@click.option("--dry-run", is_flag=True, help="Only report; change no file.")
@options.as_json
def migrate(
    orgs: tuple[str, ...], apps: tuple[str, ...], dry_run: bool, as_json: bool
) -> int:
    """Make connected apps External Client Apps in some orgs.

    The template stays; the org file says which kind it makes there. What an External
    Client App has no place for is reported, with its line. No org is changed.
    """
    workspace = options.find_workspace()
    project = workspace.project()
    names = project.select(orgs)
    lost: list[Json] = []
    lines: list[str] = []
    for name in names:
        for app in apps:
            converted = project.converted(project.org(name), app)
            for row in converted.lost:
                what = (
                    f"{row.path}:{row.line}: {row.element} of {app} is not carried over"
                )
                lines.append(what)
                lost.append(
                    {
                        "org": name,
                        "app": app,
                        "element": row.element,
                        "path": row.path,
                        "line": row.line,
                    }
                )
    paths = [project.org_paths[name] for name in names]
    if not dry_run:
        for path in paths:
            workspace.set_kinds(path, apps, "external_client_app")
    if as_json:
        written: Json = [] if dry_run else paths
        write_json(document("migrate", {"written": written, "lost": lost}))
        return 0
    for line in dict.fromkeys(lines):
        click.echo(shown(line))
    for path in [] if dry_run else paths:
        click.echo(shown(f"  ~ {path}"))
    click.echo(
        "An org that has the connected app already keeps it until it is migrated in"
        " Setup or deleted there: see metadeploy plan.",
        err=True,
    )
    return 0
