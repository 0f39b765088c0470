"""Edge: git as a command. A repository's own configuration is somebody's code: nothing
of it that could run a program is honoured.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from metadeploy.errors import ConfigError

# core.fsmonitor, hooks and transports would run programs that a repository names;
# git's own "show" and "diff" did so when tried, these plumbing commands do not. A
# partial clone would fetch what it lacks: no protocol is allowed to.
HARDENED = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.sshCommand=false",
)  # fmt: skip
_HARDENED_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
# By these git tells its hooks which repository, index and objects it means.
SAID = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
)
# Of its other variables git is shown these: what -c says above counts more. The rest
# name programs, or files that it would write its traces to.
_HARMLESS = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_SECONDS = 30


class GitError(ConfigError):
    """git could not answer: no repository here, or a broken one."""


class GitRefused(GitError):
    """git ended with an error. told: all that it said."""

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message)
        self.told = told


def git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Return what git prints in the repository that `folder` is in.

    data: for its standard input. Raises GitError.
    """
    return run(folder, environment(folder), *arguments, data=data)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment for git in the repository that `folder` is in.

    What git told us holds for that repository only, and GIT_DIR without GIT_WORK_TREE
    would make `folder` the top of the work tree, wherever it is: we find the
    repository from the folder, and believe the rest if it is the one that git means.
    """
    said = {name: os.environ[name] for name in SAID if name in os.environ}
    rest = _harmless()
    if not said:
        return rest
    try:
        there = place(folder)
    except GitError:
        return {**rest, **said}
    meant = said.pop("GIT_DIR", there.git)
    said.pop("GIT_WORK_TREE", None)
    places = [Path(base, meant).resolve() for base in (Path.cwd(), there.top)]
    return {**rest, **said} if Path(there.git).resolve() in places else rest


def _is_plain(git: Path) -> bool:
    """Tell whether that is a repository with its work tree around it, beyond doubt."""
    try:
        said = (git / "config").read_bytes().lower()
        whole = all((git / name).is_dir() for name in ("objects", "refs"))
        return whole and (git / "HEAD").is_file() and not _MOVES.search(said)
    except OSError:
        return False


# What in its configuration may put the work tree somewhere else.
_MOVES = re.compile(rb"worktree|include|bare(?!\s*=\s*false)")


def _harmless() -> dict[str, str]:
    """Return our environment without what names programs, or says where we are."""
    rest = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_HARMLESS)
    }
    return {**rest, **_HARDENED_ENVIRONMENT}


class Place(NamedTuple):
    """A repository: its own folder, the one that its worktrees share, its work tree."""

    git: str
    common: str
    top: str


def place(folder: Path) -> Place:
    """Return the repository that a folder is in. Raises GitError for a bare one."""
    said = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith("GIT_")))
    return _found(folder.resolve(), said)


@lru_cache(maxsize=64)
def _found(folder: Path, said: tuple[tuple[str, str], ...]) -> Place:
    # said: of the environment, for what is remembered holds in the same one only.
    if _is_plain(folder / ".git"):  # a hook is at the top; to ask git takes a while
        return Place(str(folder / ".git"), str(folder / ".git"), str(folder))
    words = ("rev-parse", "--absolute-git-dir", "--git-common-dir", "--show-toplevel")
    lines = run(folder, _harmless(), *words).decode("utf-8", "surrogateescape")
    git, common, top, *more = lines.split("\n")
    if more != [""]:
        raise GitError("a folder of the repository has a line break in its name")
    return Place(git, str(Path(folder, common)), top)


def run(
    folder: Path,
    env: Mapping[str, str],
    *arguments: str,
    data: bytes = b"",
    seconds: float = _SECONDS,
) -> bytes:
    """Return what git prints with that environment. Raises GitError."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words; paths follow "--"
            ["git", "-C", str(folder), *HARDENED, *arguments],  # noqa: S607
            input=data,
            capture_output=True,
            timeout=seconds,
            env=env,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError(f"git cannot be run: {type(error).__name__}") from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace")
        words = told.strip().splitlines()
        raise GitRefused(words[-1] if words else f"git {arguments[0]} failed", told)
    return done.stdout
