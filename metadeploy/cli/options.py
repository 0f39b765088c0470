"""Options that several commands share, and what a command does with many orgs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from metadeploy import privatefile, workspace
from metadeploy.cli import completing
from metadeploy.errors import ConfigError, MetadeployError
from metadeploy.model import TestLevel
from metadeploy.project import Project
from metadeploy.workspace import Workspace

F = TypeVar("F", bound=Callable[..., object])

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)
always_json = click.option(
    "--json", is_flag=True, expose_value=False, help="Taken for granted here."
)
parallelism = click.option(
    "--parallelism",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many orgs are worked on at once.",
)
_ALLOWED = {
    "--production": ("production", "Allow changes to a production org."),
    "--allow-delete": ("deletion", "Allow components to be deleted."),
    "--allow-revoke": ("revoke", "Allow access to apps to be taken away."),
    "--allow-lockout": (
        "lockout",
        "Allow an app to end up with nobody who may use it.",
    ),
    "--allow-interruption": (
        "interruption",
        "Allow an app to be deleted and created anew, for a new key.",
    ),
    "--allow-api-lockdown": (
        "api-access-control",
        "Allow API Access Control to keep users out of apps.",
    ),
    "--allow-mass-change": (
        "mass-change",
        "Allow more than 30 % of what an org has to change.",
    ),
    "--allow-queue": ("queue", "Allow to wait behind somebody else's deploy."),
    "--allow-unfinished": (
        "unfinished",
        "Allow a run though another never came to its end.",
    ),
}


def _allowance(flag: str) -> Callable[[F], F]:
    code, text = _ALLOWED[flag]
    return click.option(flag, "allowed", flag_value=code, multiple=True, help=text)


production = _allowance("--production")


def orgs(*, required: bool = False) -> Callable[[F], F]:
    """Return the decorator for a command's ORG arguments."""
    metavar = "ORG..." if required else "[ORG]..."
    return click.argument(
        "orgs",
        metavar=metavar,
        nargs=-1,
        required=required,
        shell_complete=completing.orgs,
    )


def allowances(command: F) -> F:
    """Add the flags that allow what a plan otherwise refuses."""
    for flag in reversed(_ALLOWED):
        command = _allowance(flag)(command)
    return command


def wait(text: str) -> Callable[[F], F]:
    """Return the decorator for --wait, in minutes."""
    return click.option(
        "-w",
        "--wait",
        "minutes",
        type=click.FloatRange(0, 1440),
        default=33,
        show_default=True,
        help=text,
    )


test_level = click.option(
    "-l",
    "--test-level",
    type=click.Choice(TestLevel.__args__),  # type: ignore[attr-defined]
    metavar="LEVEL",
    help="Which Apex tests to run. [default: the org's own rule]",
)
since = click.option(
    "--since",
    shell_complete=completing.commits,
    metavar="REF",
    default="",
    help="Only what renders otherwise than at that commit.",
)
lock_timeout = click.option(
    "--lock-timeout",
    type=click.FloatRange(0, 1440),
    default=0,
    show_default=True,
    metavar="MINUTES",
    help="Wait so long for another metadeploy at work on the org.",
)


def push(command: F) -> F:
    """Add --push and --remote."""
    command = click.option(
        "--remote",
        shell_complete=completing.remotes,
        metavar="NAME",
        default="origin",
        show_default=True,
        help="Where --push pushes to.",
    )(command)
    return click.option(
        "--push",
        is_flag=True,
        help="Push refs/metadeploy/ORG, which tells what is live.",
    )(command)


def find_workspace() -> Workspace:
    """Return the project that -C names, or that the current folder is in."""
    return workspace.find(Path(click.get_current_context().obj))


def in_repository(root: Path) -> str:
    """Return the project's folder in its repository, which is what hosts know."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():  # a file in a worktree
            found = root.relative_to(folder).as_posix()
            return "" if found == "." else found
    return ""


def save(path: Path, data: bytes) -> None:
    """Write a file that the user named, for its owner alone. Raises ConfigError."""
    try:
        privatefile.replace(path, data)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="Name a file in a folder that is there and writable.",
        ) from error


def append(path: Path, text: str) -> None:
    """Add to a file that several write to. Raises ConfigError."""
    try:
        privatefile.refuse_link(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="Name a file in a folder that is there and writable.",
        ) from error


def one_org(project: Project, pattern: str) -> str:
    """Return the one org that a name, glob or tag means; several are wrong usage."""
    names = project.select([pattern])
    if len(names) != 1:
        raise click.UsageError(f"one org is wanted, not {', '.join(names)}")
    return names[0]


def exit_code_of(errors: Iterable[MetadeployError | None]) -> int:
    """Return what several orgs' errors mean together: 68 when only some failed."""
    from metadeploy.cli import INTERRUPTED, PARTLY, UNKNOWN, exit_code

    codes = [0 if error is None else exit_code(error) for error in errors]
    if not any(codes):
        return 0
    for code in (UNKNOWN, INTERRUPTED):
        if code in codes:
            return code
    return PARTLY if 0 in codes else 1


def counted(count: int, noun: str) -> str:
    """Return "1 org" or "3 orgs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(names: Sequence[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(names)
