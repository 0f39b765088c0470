"""keys: list, export, rotate, and make the master that they are derived from."""

from __future__ import annotations

import datetime
import secrets
import subprocess
import sys

import click

from metadeploy import handover, master, secretsource, userconfig
from metadeploy.api import Result
from metadeploy.appkeys import AppKey, AppKeys
from metadeploy.cli import completing, options
from metadeploy.cli.output import (
    Json,
    document,
    error_json,
    error_text,
    shown,
    write_json,
)
from metadeploy.cli.terminal import laid, page_width, wrapped
from metadeploy.cli.work import connect, each, watching
from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.rotation import Rotation, Step


@click.group()
def keys() -> None:
    """List, export, rotate or make consumer keys."""


@keys.command("list")
@options.orgs()
@options.parallelism
@options.as_json
def list_(orgs: tuple[str, ...], parallelism: int, as_json: bool) -> int:
    """List each app's consumer key, who made it, and when.

    derived: from the master secret; pinned: written in the org file or template;
    org: the org's own, which metadeploy leaves alone.
    """
    with connect(parallelism) as connected:
        names = connected.project.select(orgs)
        results = each(connected, names, AppKeys(connected).of)
    now = datetime.datetime.now(datetime.UTC)
    if as_json:
        rows = [_row(r, now) for r in results]
        write_json(document("keys list", {"orgs": rows}))
    else:
        for result in results:
            _show(result, now)
    return options.exit_code_of(r.error for r in results)


def _row(result: Result[list[AppKey]], now: datetime.datetime) -> dict[str, Json]:
    if result.error is not None or result.value is None:
        assert result.error is not None
        return {"org": result.org, "error": error_json(result.error)}
    return {
        "org": result.org,
        "orgId": result.value[0].org_id if result.value else None,
        "apps": [
            {
                "app": k.app,
                "type": k.ref.type,
                "consumerKey": k.credentials.consumer_key,
                "origin": k.credentials.origin,
                "generation": k.credentials.generation,
                "wantedGeneration": k.choice.generation,
                "deployed": k.deployed,
                "created": k.created or None,
                "ageDays": _days(k.created, now),
                "hint": _hint(result.org, k),
            }
            for k in result.value
        ],
    }


def _show(result: Result[list[AppKey]], now: datetime.datetime) -> None:
    if result.error is not None:
        click.echo(error_text(result.error), err=True)
        return
    for key in result.value or ():
        made = key.credentials
        state = "deployed" if key.deployed else "not deployed yet"
        days = _days(key.created, now)
        if days is not None:
            state = f"created {key.created[:10]} ({options.counted(days, 'day')} ago)"
        about = (made.origin, f"generation {made.generation}", state)
        lines = laid(map(shown, (result.org, key.app, *about)))
        lines.append(shown(f"    {made.consumer_key}"))
        if hint := _hint(result.org, key):
            lines += wrapped(shown(hint), page_width(), indent="    ")
        click.echo("\n".join(lines))


def _days(created: str, now: datetime.datetime) -> int | None:
    """Return how many days ago an app was created, None where nobody says.

    Its key is as old, unless somebody rotated it in the org.
    """
    try:
        then = datetime.datetime.fromisoformat(created)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return max(0, (now - then).days)


def _hint(org: str, key: AppKey) -> str:
    """Say what a person may want to do about a live key, "" for nothing."""
    made = key.credentials
    if not key.deployed:
        return ""
    if made.origin == "org":
        where = "keys export asks the org" if key.external else "Setup shows it"
        return f"The org's own key: left alone. Its secret: {where}."
    if key.choice.generation > made.generation and not key.external:
        wanted = key.choice.generation
        return f"Generation {wanted} is wanted: metadeploy plan {org} says how."
    if made.origin == "derived (previous master)":
        return "Keep the previous master for as long as this key is in use."
    return ""


@keys.command()
@click.argument("org", shell_complete=completing.orgs)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--app", required=True, shell_complete=completing.apps, help="The app's fullName."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["env", "json", "kubernetes", "command"]),
    default="env",
    show_default=True,
    help="How to write them.",
)
@click.option("--name", default="", help="What the Kubernetes Secret is called.")
@click.option("--staged", is_flag=True, help="Those that `keys rotate` has staged.")
@options.as_json
def export(
    org: str,
    command: tuple[str, ...],
    app: str,
    form: handover.Format,
    name: str,
    staged: bool,
    as_json: bool,
) -> int:
    """Write an app's consumer key and secret to stdout, for whoever uses the app.

    This is the one command that prints a secret; do not run it where output is kept.
    With `--format command -- CMD ARGUMENT...` nothing is printed: CMD gets the lines
    of `env` on its standard input.
    """
    if as_json and not command:
        form = "json"
    if bool(command) != (form == "command"):
        raise click.UsageError("a command goes with --format command: -- CMD ARGUMENT")
    with connect(1) as connected:
        one = options.one_org(connected.project, org)
        with watching(connected, [one]):
            made = AppKeys(connected).credentials(one, app, staged=staged)
        found = handover.pair(app, made)
    match form:
        case "command":
            _hand_to(command, handover.env_text(found))
        case "json":
            sys.stdout.write(handover.json_text(found))
        case "kubernetes":
            sys.stdout.write(handover.kubernetes_text(found, name))
        case "env":
            sys.stdout.write(handover.env_text(found))
    return 0


def _hand_to(command: tuple[str, ...], text: str) -> None:
    """Run a command, without a shell, with `text` on its standard input.

    It sees our environment, but for what is ours to know.
    """
    environment = secretsource.child_environment()
    try:
        done = subprocess.run(  # noqa: S603 - the user has just typed it
            command, input=text.encode(), env=environment, check=False
        )
    except OSError as error:
        raise ConfigError(
            f"cannot run {command[0]}: {error.strerror}",
            hint="Nothing was handed over. Name a program that is in PATH.",
        ) from error
    if done.returncode:
        raise ConfigError(
            f"{command[0]} ended with {done.returncode}",
            hint="Look whether it has taken the key and secret.",
        )


@keys.command()
@click.argument("org", shell_complete=completing.orgs)
@click.option(
    "--app", required=True, shell_complete=completing.apps, help="The app's fullName."
)
@click.option(
    "--finish", "step", flag_value="finish", help="Let the staged ones serve."
)
@click.option(
    "--discard", "step", flag_value="discard", help="End the ones beside, at once."
)
@options.production
@options.as_json
def rotate(
    org: str, app: str, step: Step | None, allowed: tuple[str, ...], as_json: bool
) -> int:
    """Give an External Client App a new key and secret, in steps.

    Without a flag the org makes them, and they are staged. After --finish they serve,
    and the former ones do so too for 30 days: time to hand the new ones over. Then
    --discard ends the former ones. The key is the org's own from then on.

    The key of a ConnectedApp cannot be rotated in place.
    """
    with connect(1) as connected:
        name = options.one_org(connected.project, org)
        with watching(connected, [name]):
            done = AppKeys(connected).rotate(
                name, app, step or "stage", allowed=frozenset(allowed)
            )
    if as_json:
        write_json(
            document(
                "keys rotate",
                {
                    "org": name,
                    "app": done.app,
                    "step": done.step,
                    "changed": done.changed,
                    "consumerKey": done.key,
                    "otherConsumerKey": done.other or None,
                    "otherExpires": done.expires or None,
                },
            )
        )
        return 0
    click.echo(shown("\n".join(_rotation_lines(name, done))))
    return 0


def _rotation_lines(org: str, done: Rotation) -> list[str]:
    again = f"metadeploy keys rotate {org} --app {done.app}"
    export = f"metadeploy keys export {org} --app {done.app}"
    until = f" until {done.expires[:10]}" if done.expires else " for a while"
    about = f"{org}  {done.app}  "
    if done.step == "stage":
        state = "staged" if done.changed else "staged already"
        return [
            f"{about}a new key and secret are {state}{until}; nothing else changed.",
            f"  To have them: {export} --staged",
            f"  To let them serve, beside the present ones: {again} --finish",
        ]
    if done.step == "finish":
        return [
            f"{about}serves by its new key; the former one serves too{until}.",
            f"  To hand the new ones over: {export}",
            f"  Then, to end the former ones: {again} --discard",
        ]
    return [f"{about}has one key and secret; those beside are ended."]


@keys.command()
@click.option(
    "--keyring",
    "entry",
    metavar="NAME",
    help="Keep it in the OS keyring under this name, and print nothing secret.",
)
@options.as_json
def init(entry: str | None, as_json: bool) -> int:
    """Make a new master secret: a line for a secret store or .env file.

    Whoever has it can derive every consumer key and secret: keep it like a root
    password, and keep it for ever, since other keys follow from another one.
    """
    made = secrets.token_hex(32)
    if entry is not None:
        secretsource.keep_in_keyring(entry, Secret(made))
    if as_json:
        kept = {"keyring": entry} if entry else {"variable": master.VARIABLE}
        shown = {} if entry else {"master": made}
        write_json(document("keys init", {**kept, **shown}))
        return 0
    if entry is None:
        sys.stdout.write(f"{master.VARIABLE}={made}\n")
        return 0
    click.echo(f"A new master secret is in the keyring as {entry}.")
    click.echo(f"To use it, say in {userconfig.path()}:", err=True)
    click.echo(f"    master: {{keyring: {entry}}}", err=True)
    return 0
