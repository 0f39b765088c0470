"""hooks: put git hooks in, take them out, and what they run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from metadeploy import hookfiles, hooking
from metadeploy.cli import options
from metadeploy.cli.output import (
    Document,
    Json,
    document,
    problem_json,
    shown,
    write_json,
)
from metadeploy.errors import ConfigError
from metadeploy.hookfiles import Done, HooksPlace


@click.group()
def hooks() -> None:
    """Check each commit and push by git hooks.

    pre-commit: what is staged is validated, as far as the edit reaches, and no file
    holds a secret. pre-push: what is pushed renders and passes, for all orgs. No key
    and no network is needed.
    """


@hooks.command()
@options.as_json
def install(as_json: bool) -> int:
    """Put the hooks into the repository.

    A hook that is there is kept, and run first; uninstall puts it back. Where
    pre-commit, husky or lefthook has the hooks, it says what to add there.
    """
    place, project = _place()
    done = hookfiles.install(place, _command(), project)
    return _tell("install", place, done, as_json)


@hooks.command()
@options.as_json
def uninstall(as_json: bool) -> int:
    """Take the hooks out, and put back what was there before."""
    place, project = _place()
    return _tell("uninstall", place, hookfiles.uninstall(place, project), as_json)


@hooks.command()
@click.argument("name", type=click.Choice(hooking.NAMES))
@click.argument("folders", metavar="[FOLDER]...", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Look at all files that git tracks."
)
@options.as_json
def run(name: str, folders: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Do what a hook does.

    FOLDER is a project, from the top of the repository. [default: the top]

    pre-commit is validate and no-secrets, for what is staged; pre-push is render, for
    the commits that git tells on standard input. Only what an edit reaches is
    validated: `validate --staged --explain` shows it.
    """
    at = Path(click.get_current_context().obj)
    told = hooking.lines_of_git(name)
    found = hooking.run(name, folders, at, told, everything=everything)
    if as_json:
        body: Document = {
            "hook": name,
            "orgs": list(found.orgs),
            "problems": [problem_json(p) for p in found.problems],
            "notes": list(found.notes),
        }
        write_json(document("hooks run", body))
    else:
        out, err = hooking.lines(name, found)
        for line in out:
            click.echo(line)
        for line in err:
            click.echo(line, err=True)
    return 1 if found.errors else 0


def _place() -> tuple[Path, str]:
    """Return the folder for hooks, and the project's path in the repository."""
    root = options.find_workspace().root
    place = hookfiles.hooks_place(root)
    if place.chosen:
        hookfiles.refuse_owned(place.folder)
        _refuse_outside(place)
    project = root.resolve().relative_to(place.top.resolve()).as_posix()
    if "\n" in str(place.folder) + project:
        raise ConfigError("a folder has a line break in its name")
    return place.folder, project if not project.startswith("-") else f"./{project}"


def _refuse_outside(place: HooksPlace) -> None:
    """Raise ConfigError where the hooks are not this repository's own."""
    ours = place.scope in ("local", "worktree")
    if ours and place.folder.resolve().is_relative_to(place.top.resolve()):
        return
    if ours:
        why = "which is outside of the repository"
    else:
        why = f"by the {place.scope} configuration, for all repositories"
    raise ConfigError(
        f"core.hooksPath is {place.chosen}, {why}",
        hint="Have the hooks there run `metadeploy hooks run pre-commit` and"
        " `metadeploy hooks run pre-push`, or give the repository hooks of its own:"
        " `git config core.hooksPath .git/hooks`.",
    )


def _command() -> str:
    """Return the path of the metadeploy that runs here, "" where nobody can tell."""
    folder = Path(sys.executable).parent
    return hookfiles.command_of([folder / "metadeploy", folder / "metadeploy.exe"])


def _tell(command: str, place: Path, done: Iterable[Done], as_json: bool) -> int:
    if as_json:
        rows: list[Json] = [
            {"hook": d.name, "state": d.state, "kept": str(d.kept) if d.kept else None}
            for d in done
        ]
        body: Document = {"folder": str(place), "hooks": rows}
        write_json(document(f"hooks {command}", body))
        return 0
    for one in done:
        word = "put back" if one.state == "removed" else "run first"
        kept = f"; {word}: {one.kept}" if one.kept else ""
        click.echo(shown(f"{one.name:<12}{one.state}{kept}"))
    return 0
