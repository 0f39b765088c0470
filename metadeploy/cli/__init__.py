"""The command line: commands load when used, errors become text and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from metadeploy import __version__
from metadeploy.cli.terminal import colours
from metadeploy.errors import (
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    Stopped,
    Unverified,
)

USAGE, UNKNOWN, PARTLY, DIFFERS, INTERRUPTED = 64, 69, 68, 2, 130

# The variable by which a shell asks for completions.
COMPLETE = "_METADEPLOY_COMPLETE"

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Set in a command's context when all is to be shown.
DEBUG = "metadeploy.debug"

# Command → (module, what it does). Help is printed from here, so that nothing else
# is imported for it; a test compares it with each command's own text.
COMMANDS = {
    "init": ("start", "Start a project in a folder."),
    "orgs": ("start", "List the orgs of the project."),
    "render": ("offline", "Write an org's package as it would be sent."),
    "validate": ("offline", "Check templates and org files, offline."),
    "plan": ("change", "Show what would make orgs match."),
    "deploy": ("change", "Make orgs match, and prove it."),
    "drift": ("promotion", "Show what orgs have otherwise than was deployed."),
    "promote": ("promotion", "Bring to an org what is live in the one before it."),
    "diff": ("promotion", "Show what a promotion would bring, offline."),
    "log": ("promotion", "Show what went to an org, and which commit is live there."),
    "runs": ("runs", "List, show, resume or cancel runs."),
    "rollback": ("runs", "Take a run back: what it changed, created and granted."),
    "verify": ("change", "Compare orgs and log in through their apps."),
    "doctor": ("doctor", "Test login, access and settings, and say what to do."),
    "adopt": ("adopt", "Write templates for apps that orgs already have."),
    "migrate": ("adopt", "Make connected apps External Client Apps in some orgs."),
    "keys": ("keys", "List, export, rotate or make consumer keys."),
    "certs": ("certs", "Make certificates, and list when they expire."),
    "trust": ("trust", "Let the commands run that org files name."),
    "hooks": ("hooks", "Check each commit and push by git hooks."),
    "completion": ("completion", "Print a script that completes at your shell."),
    "emulator": ("emulator", "Serve, reset or enter emulated orgs."),
}


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"metadeploy.cli.{COMMANDS[name][0]}")
        if "logging" in sys.modules and DEBUG not in ctx.meta:
            importlib.import_module("metadeploy.cli.debug").quiet()
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from metadeploy.near import nearest

            like = nearest(args[0], COMMANDS)
            hint = f" Did you mean {like!r}?" if like else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _folders(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    from metadeploy.cli import completing

    return completing.folders(ctx, param, incomplete)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "--project",
    "folder",
    shell_complete=_folders,
    metavar="DIR",
    default=".",
    help="The project, or a folder in it. [default: .]",
)
@click.option("--debug", is_flag=True, help="Show each call on stderr, no secrets.")
@click.pass_context
def metadeploy(ctx: click.Context, folder: str, debug: bool) -> None:
    """Plan and deploy Salesforce connected apps, their keys, and who may use them.

    ORG is an org file's name, a glob, or tag:NAME.
    """
    ctx.obj = folder
    ctx.color = colours(os.environ)
    if debug:
        from metadeploy.cli import debug as debugging

        ctx.meta[DEBUG] = True
        debugging.start()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed or refused, 64 usage, …"""
    # What gets imported stays: to search it for garbage costs a twentieth of a start.
    gc.set_threshold(50_000)
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.excepthook = lambda kind, error, where: _bug(error, words)
    _have_no_core()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they are for whoever writes the code
    if COMPLETE in os.environ:
        _complete(os.environ[COMPLETE])
    if _runner_listens():
        from metadeploy.cli.obeyed import guard

        guard()
    _leave(run(words))


def _runner_listens() -> bool:
    """Tell whether lines of our output may be obeyed: GitHub, Azure, TeamCity."""
    return bool(
        os.environ.get("GITHUB_ACTIONS")
        or os.environ.get("TF_BUILD")
        or os.environ.get("TEAMCITY_VERSION")
    )


def _complete(instruction: str) -> NoReturn:
    """Answer a shell; where anything is wrong, by saying nothing."""
    from metadeploy.cli.completion import answer

    sys.excepthook = lambda *_: None
    sys.stdout.write(f"{answer(instruction)}\n")
    _leave(0)


def _have_no_core() -> None:
    """Have a crash leave no image of our memory, for secrets are in it."""
    try:
        import resource
    except ImportError:  # there is none on Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _bug(error: BaseException, words: Sequence[str]) -> None:
    from metadeploy.cli.debug import show_bug

    show_bug(error, as_json=_wants_json(words))


def _leave(code: int) -> NoReturn:
    """End the process without taking it apart, a tenth of what a short command takes.

    Nothing is left to do: commands close what they open.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        code = 1
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        done = metadeploy.main(list(words), "metadeploy", standalone_mode=False)
    except click.UsageError as error:
        return _usage(error, as_json=_wants_json(words))
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except MetadeployError as error:
        return _failed(error, words)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        sys.stdout = None
        return 1
    return done if isinstance(done, int) else 0


def _wants_json(words: Sequence[str]) -> bool:
    """Tell whether a failure is to be the one JSON document too."""
    if "--json" in words:
        return True
    text = " ".join(words).replace("--format=", "--format ")
    return "validate" in words and "--format json" in text


def exit_code(error: MetadeployError) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, DeployTimeout | LostAnswer | Unverified):
        return UNKNOWN
    return INTERRUPTED if isinstance(error, Stopped) else 1


def _usage(error: click.UsageError, *, as_json: bool) -> int:
    if as_json:
        from metadeploy.cli.output import error_document, write_json

        name = error.ctx.info_name if error.ctx is not None else None
        write_json(error_document(name or "metadeploy", error.format_message(), USAGE))
    else:
        error.show()
    return USAGE


def _failed(error: MetadeployError, words: Sequence[str]) -> int:
    from metadeploy.cli.output import error_text, failure, write_json

    code = exit_code(error)
    if _wants_json(words):
        command = next((w for w in words if w in COMMANDS), "metadeploy")
        write_json(failure(command, error, code))
    else:
        click.echo(error_text(error), err=True, color=colours(os.environ))
    return code
