"""emulator: serve the emulated orgs, make one new, get a token of one."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from metadeploy.cli import completing, options
from metadeploy.cli.output import Document, document, shown, write_json
from metadeploy.emulated import EmulatedOrgs
from metadeploy.emulator.server import RunningServer
from metadeploy.errors import ConfigError
from metadeploy.journal import Journal
from metadeploy.orgfile import Org
from metadeploy.project import Project


@click.group()
def emulator() -> None:
    """Serve, reset or enter emulated orgs.

    An org file with `kind: emulated` describes an org that lives in .metadeploy/, on
    loopback only. Other Salesforce clients can use it like any org.
    """


@emulator.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="[default: free]"
)
@click.option(
    "--tls-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="For https. [default: free]",
)
@options.always_json
def serve(port: int, tls_port: int) -> int:
    """Serve all emulated orgs until interrupted.

    When ready, one line of JSON on stdout says where they are. https has a
    certificate of its own making; `caPath` names the CA to trust.
    """
    with _emulated() as (emulated, project):
        orgs = _emulated_orgs(project)
        emulated.prepare(orgs)
        try:
            server = emulated.serve(port=port, tls_port=tls_port)
        except OSError as error:
            what = f"cannot serve at port {port}: {error.strerror or error}"
            raise ConfigError(what, hint="Take another --port.") from error
        sys.stdout.write(json.dumps(_where(server, emulated, orgs)) + "\n")
        sys.stdout.flush()
        _until_told_to_stop()
    return 0


def _where(server: RunningServer, emulated: EmulatedOrgs, orgs: list[Org]) -> Document:
    rows = [(org, *emulated.who(org)) for org in orgs]
    return {
        "url": server.url,
        "httpsUrl": server.https_url,
        "caPath": str(server.ca_path) if server.ca_path else None,
        "orgs": [
            {"org": org.name, "orgId": org_id, "username": username}
            for org, org_id, username in rows
        ],
    }


def _until_told_to_stop() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


@emulator.command()
@options.orgs(required=True)
@options.as_json
def reset(orgs: tuple[str, ...], as_json: bool) -> int:
    """Make emulated orgs new.

    They have no apps then, the users they started with, and the same Id.
    """
    rows: list[Document] = []
    with _emulated() as (emulated, project):
        for name in project.select(orgs):
            org = _an_emulated_org(project, name)
            emulated.prepare([org])
            emulated.world.reset_org(name)
            org_id, username = emulated.who(org)
            _forget(org_id)
            rows.append({"org": name, "orgId": org_id, "username": username})
    if as_json:
        write_json(document("emulator reset", {"orgs": rows}))
    else:
        for row in rows:
            click.echo(shown(f"{row['org']}  is new: {row['orgId']}"))
    return 0


def _forget(org_id: str) -> None:
    """Forget what was deployed to an org that is new: it is no drift."""
    path = options.find_workspace().state / "journal.sqlite3"
    if path.exists():
        journal = Journal(path)
        journal.forget(org_id)
        journal.close()


@emulator.command()
@click.argument("org", shell_complete=completing.orgs)
@click.option("--username", help="Whose token. [default: the org's administrator]")
@options.always_json
def token(org: str, username: str | None) -> int:
    """Print an access token for another client, as JSON.

    Its instanceUrl answers while `metadeploy emulator serve` runs.
    """
    with _emulated() as (emulated, project):
        name = options.one_org(project, org)
        found = emulated.login(_an_emulated_org(project, name), username)
        served = emulated.running_url()
    if served is None:
        click.echo("No server runs: start `metadeploy emulator serve` first.", err=True)
    body = {
        "accessToken": found.token.reveal(),
        "instanceUrl": served,
        "orgId": found.org_id,
        "username": found.username,
    }
    sys.stdout.write(json.dumps(body) + "\n")
    return 0 if served else 1


@emulator.command()
@click.argument("org", shell_complete=completing.orgs)
@click.option(
    "--from",
    "source",
    required=True,
    shell_complete=completing.orgs,
    help="The org that it is a copy of.",
)
@options.as_json
def refresh(org: str, source: str, as_json: bool) -> int:
    """Refresh a sandbox: a new org Id, and a copy of another org.

    What a real refresh copies is copied; all tokens of the sandbox die.
    """
    with _emulated() as (emulated, project):
        name, other = options.one_org(project, org), options.one_org(project, source)
        found = _an_emulated_org(project, name), _an_emulated_org(project, other)
        org_id, username = emulated.refresh(*found)
    if as_json:
        row: Document = {"org": name, "orgId": org_id, "username": username}
        write_json(document("emulator refresh", {"orgs": [row]}))
    else:
        click.echo(shown(f"{name}  is a copy of {other} now: {org_id}"))
    return 0


@emulator.command()
@click.argument("org", shell_complete=completing.orgs)
@click.argument("username")
@options.always_json
def password(org: str, username: str) -> int:
    """Give a user a new password, and print it as JSON.

    For the login page of the web server flow, and for clients that log in by SOAP.
    """
    with _emulated() as (emulated, project):
        name = options.one_org(project, org)
        made = emulated.give_password(_an_emulated_org(project, name), username)
    sys.stdout.write(json.dumps({"username": username, "password": made}) + "\n")
    return 0


@emulator.command()
@click.argument("kind", required=False)
@click.option("--on", help="Which calls: a SOAP operation or path, or a glob of them.")
@click.option(
    "--org",
    shell_complete=completing.orgs,
    help="Only calls with a session of this org.",
)
@click.option("--skip", type=int, help="Let so many through first.")
@click.option("--times", type=int, help="How often; 0 until cleared. [default: 1]")
@click.option("--set", "more", multiple=True, metavar="NAME=VALUE", help="Its details.")
@click.option("--clear", is_flag=True, help="Forget all that may still strike.")
@options.always_json
def fault(
    kind: str | None,
    on: str | None,
    org: str | None,
    skip: int | None,
    times: int | None,
    more: tuple[str, ...],
    clear: bool,
) -> int:
    """Have something go wrong in the running server, at an exact point.

    Without KIND: what may still strike, and what can. For example
    `metadeploy emulator fault reset-after-apply --on deploy` takes a deploy and cuts
    the line before its id is answered.
    """
    with _emulated() as (emulated, project):
        if clear:
            emulated.faults("DELETE")
            return 0
        if kind is None:
            found = {
                "programmed": emulated.faults("GET"),
                "kinds": emulated.faults("GET", "/kinds"),
            }
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return 0
        said: dict[str, object] = {"kind": kind, "on": on, "skip": skip, "times": times}
        if org is not None:
            name = options.one_org(project, org)
            said["org"] = emulated.who(_an_emulated_org(project, name))[0]
        for pair in more:
            key, _, value = pair.partition("=")
            said[key] = _value(value)
        body = {key: value for key, value in said.items() if value is not None}
        sys.stdout.write(json.dumps(emulated.faults("POST", body=body)) + "\n")
    return 0


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextmanager
def _emulated() -> Iterator[tuple[EmulatedOrgs, Project]]:
    workspace = options.find_workspace()
    with EmulatedOrgs(workspace.make_state()) as emulated:
        yield emulated, workspace.project()


def _emulated_orgs(project: Project) -> list[Org]:
    found = [o for n in project.org_paths if (o := project.org(n)).emulated]
    if not found:
        raise ConfigError(
            "no org file here says `kind: emulated`",
            hint="Make one: echo 'kind: emulated' > orgs/dev.yaml",
        )
    return found


def _an_emulated_org(project: Project, name: str) -> Org:
    org = project.org(name)
    if not org.emulated:
        raise ConfigError(
            f"org {name} is a {org.kind} org, not an emulated one",
            hint="`metadeploy orgs` shows which are; nothing was done.",
        )
    return org
