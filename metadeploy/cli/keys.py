"""keys: list, export, and make the master that they are derived from."""

from __future__ import annotations

import json
import re
import secrets
import sys

import click

from metadeploy import master
from metadeploy.api import AppKey, Orgs, Result
from metadeploy.cli import options
from metadeploy.cli.output import Json, document, error_json, error_text, write_json
from metadeploy.errors import ConfigError
from metadeploy.model import Secret


@click.group()
def keys() -> None:
    """List, export or make consumer keys."""


@keys.command("list")
@options.orgs()
@options.parallelism
@options.as_json
def list_(orgs: tuple[str, ...], parallelism: int, as_json: bool) -> int:
    """List each app's consumer key, and who made it.

    derived: from the master secret; pinned: written in the org file or template;
    org: the org's own, which metadeploy leaves alone.
    """
    with Orgs(options.find_workspace(), parallel=parallelism) as connected:
        names = connected.project.select(orgs)
        results = connected.each(names, connected.keys)
    if as_json:
        write_json(document("keys list", {"orgs": [_row(r) for r in results]}))
    else:
        for result in results:
            _show(result)
    return options.exit_code_of(r.error for r in results)


def _row(result: Result[list[AppKey]]) -> dict[str, Json]:
    if result.error is not None or result.value is None:
        assert result.error is not None
        return {"org": result.org, "error": error_json(result.error)}
    return {
        "org": result.org,
        "orgId": result.value[0].org_id if result.value else None,
        "apps": [
            {
                "app": k.app,
                "consumerKey": k.credentials.consumer_key,
                "origin": k.credentials.origin,
                "generation": k.credentials.generation,
                "deployed": k.deployed,
            }
            for k in result.value
        ],
    }


def _show(result: Result[list[AppKey]]) -> None:
    if result.error is not None:
        click.echo(error_text(result.error), err=True)
        return
    for key in result.value or ():
        made = key.credentials
        state = "deployed" if key.deployed else "not deployed yet"
        about = f"{made.origin}, generation {made.generation}, {state}"
        click.echo(f"{result.org}  {key.app}  {about}\n    {made.consumer_key}")


@keys.command()
@click.argument("org")
@click.option("--app", required=True, help="The app's fullName.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["env", "json"]),
    default="env",
    show_default=True,
    help="How to write them.",
)
def export(org: str, app: str, form: str) -> int:
    """Write an app's consumer key and secret to stdout, for whoever uses the app.

    This is the one command that prints a secret; do not run it where output is kept.
    """
    with Orgs(options.find_workspace()) as connected:
        names = connected.project.select([org])
        if len(names) != 1:
            raise click.UsageError(f"one org is wanted, not {', '.join(names)}")
        found = {k.app: k for k in connected.keys(names[0])}
    if app not in found:
        known = ", ".join(found) or "none"
        raise ConfigError(f"org {names[0]} has no app {app}", hint=f"It has: {known}.")
    made = found[app].credentials
    if made.consumer_secret is None:
        raise ConfigError(
            f"the secret of {app} in {names[0]} is known to the org only",
            hint="Its key is not derived. Copy the secret from Setup.",
        )
    secret = made.consumer_secret.reveal()
    if form == "json":
        pair = {"consumerKey": made.consumer_key, "consumerSecret": secret}
        sys.stdout.write(json.dumps(pair) + "\n")
    else:
        name = re.sub(r"\W", "_", app).upper()
        sys.stdout.write(f"{name}_CONSUMER_KEY={made.consumer_key}\n")
        sys.stdout.write(f"{name}_CONSUMER_SECRET={secret}\n")
    return 0


@keys.command()
@click.option(
    "--keyring",
    "entry",
    metavar="NAME",
    help="Keep it in the OS keyring under this name, and print nothing secret.",
)
def init(entry: str | None) -> int:
    """Make a new master secret: a line for a secret store or .env file.

    Whoever has it can derive every consumer key and secret: keep it like a root
    password, and keep it for ever, since other keys follow from another one.
    """
    made = secrets.token_hex(32)
    if entry is None:
        sys.stdout.write(f"{master.VARIABLE}={made}\n")
        return 0
    master.keep_in_keyring(entry, Secret(made))
    click.echo(f"A new master secret is in the keyring as {entry}.")
    click.echo(f"To use it, say in {master.config_path()}:", err=True)
    click.echo(f"    master: {{keyring: {entry}}}", err=True)
    return 0
