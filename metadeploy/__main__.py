"""Where metadeploy starts. A git hook does so at each commit, without click."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit."""
    words = sys.argv[1:]
    if command_of(words) in ("hooks", "validate"):
        gc.disable()  # they end before there is much to collect
        from metadeploy.late import let_wait

        let_wait()
    plain = len(words) > 2 and not any(word.startswith("-") for word in words)
    if plain and words[:2] == ["hooks", "run"]:
        _hook(words[2], words[3:])
    from metadeploy.cli import main as start

    start()


def command_of(words: Sequence[str]) -> str:
    """Return the command that words ask for, "" for none; an org may be named so."""
    rest = iter(words)
    for word in rest:
        if word in ("-C", "--project"):
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def _hook(name: str, folders: list[str]) -> None:
    """Run a hook and exit: 1 where it found errors. Return where there is no such."""
    from pathlib import Path

    from metadeploy import hooking
    from metadeploy.errors import MetadeployError

    if name not in hooking.NAMES:
        return
    sys.excepthook = lambda kind, error, where: _bug(error)
    try:
        found = hooking.run(name, folders, Path(), hooking.lines_of_git(name))
    except MetadeployError as error:
        from metadeploy.cli.output import error_text

        sys.stderr.write(f"{error_text(error)}\n")
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        code = 130
    else:
        out, err = hooking.lines(name, found)
        sys.stdout.write("".join(f"{line}\n" for line in out))
        sys.stdout.flush()  # git shows both in one place
        sys.stderr.write("".join(f"{line}\n" for line in err))
        code = 1 if found.errors else 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take the process apart is a tenth of what it does


def _bug(error: BaseException) -> None:
    from metadeploy.cli.debug import show_bug

    show_bug(error, as_json=False)


if __name__ == "__main__":
    main()
