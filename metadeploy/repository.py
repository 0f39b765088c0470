"""Edge: git, by its plumbing. A repository's own configuration is somebody's code:
nothing of it that could run a program is honoured.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from metadeploy.errors import ConfigError

# core.fsmonitor, hooks and transports would run programs that a repository names;
# git's own "show" and "diff" did so when tried, these plumbing commands do not. A
# partial clone would fetch what it lacks: no protocol is allowed to.
_HARDENED = (
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
_WHERE = (
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
_EMPTY_BLOBS = (  # in SHA-1 and SHA-256 repositories
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
_FLAGS = re.compile(rb"([^\0]+)\0 +ctime:[^\0]*?\tflags: ([0-9a-f]+)\n")
_INTENT_TO_ADD = 1 << 29
_SECONDS = 30
_PUSH_SECONDS = 120


class GitError(ConfigError):
    """git could not answer: no repository here, or a broken one."""


class GitRefused(GitError):
    """git ended with an error. told: all that it said."""

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message)
        self.told = told


def head(folder: Path) -> str:
    """Return the commit that HEAD names, "" where there is none."""
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except GitError:
        return ""


def found(folder: Path) -> bool:
    """Tell whether a folder is in a repository's work tree.

    Raises GitError where there is one, and git does not work in it.
    """
    try:
        return _git(folder, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except GitError:
        if any((place / ".git").exists() for place in (folder, *folder.parents)):
            raise
        return False


def commit_of(folder: Path, name: str) -> str:
    """Return the commit that a branch, tag, ref or id means. Raises GitError."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    try:
        found = _git(folder, *words, f"{name}^{{commit}}").decode().strip()
    except GitError:
        found = ""
    if not found:
        raise GitError(f"git knows no commit {name!r} here")
    return found


def ref(folder: Path, name: str) -> str:
    """Return the commit that a full ref name points at, "" where there is none."""
    try:
        return commit_of(folder, name)
    except GitError:
        return ""


def set_ref(folder: Path, name: str, commit: str) -> None:
    """Have a full ref name point at a commit; "" takes it away. Raises GitError."""
    if commit:
        _git(folder, "update-ref", name, commit)
    elif ref(folder, name):
        _git(folder, "update-ref", "-d", name)


def is_ancestor(folder: Path, commit: str, of: str) -> bool:
    """Tell whether a commit is part of another's history, or it itself.

    Raises GitError where only a part of the history is here, and it is not in that.
    """
    listed = _git(folder, "rev-list", "--max-count=1", commit, f"^{of}", "--")
    if not listed.strip():
        return True
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true":
        raise GitError(
            "this clone holds a part of the history only",
            hint="`git fetch --unshallow` brings all of it.",
        )
    return False


def subjects(folder: Path, commits: Iterable[str]) -> Mapping[str, str]:
    """Return commit → first line of its message, of those that are here."""
    found: dict[str, str] = {}
    for commit, body in _objects(folder, commits).items():
        if body is not None:
            message = body.partition(b"\n\n")[2].lstrip().partition(b"\n")[0]
            found[commit] = message.decode("utf-8", "replace").strip()
    return found


def committed(
    root: Path,
    commit: str,
    folders: Iterable[str],
    wanted: Callable[[str], bool] | None = None,
) -> Mapping[str, bytes]:
    """Return path → content of what a commit holds below `folders`, from `root`.

    wanted: tells which paths are; default: all. Links and submodules are left out.
    Raises GitError.
    """
    about = ("--", *folders)
    if len(about) == 1:
        return {}  # git would take none for all
    listed = _git(root, "ls-tree", "-r", "-z", commit, *about)
    found: dict[str, str] = {}
    for row in listed.split(b"\0")[:-1]:
        said, _, name = row.partition(b"\t")
        mode, _, blob = said.decode("ascii").split(" ")
        path = _text(name)
        if mode in ("100644", "100755") and (wanted is None or wanted(path)):
            found[path] = blob
    blobs = _blobs(root, found.values())
    return {path: blobs[blob] for path, blob in found.items()}


def push(folder: Path, remote: str, name: str, *, lease: str = "") -> None:
    """Have a remote's ref of that full name be as ours. Raises GitError.

    lease: the commit from which the remote's may go anywhere; "": it only goes forward,
    or away.

    Transports and helpers are the user's own; of what the repository's configuration
    could name, no hook, no ssh and no program at the other end is run.
    """
    _refuse_programs(folder)
    words = ("-c", "core.sshCommand=ssh", "push", "--quiet", "--no-verify")
    more = ["--no-signed", "--no-follow-tags", "--recurse-submodules=no",
            "--receive-pack=git-receive-pack"]  # fmt: skip
    spec = f"{name}:{name}" if ref(folder, name) else f":{name}"
    if lease:
        more.append(f"--force-with-lease={name}:{lease}")
    env = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    for own in _OWN_TRANSPORT:
        if own in os.environ:
            env[own] = os.environ[own]
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    env["GIT_ALLOW_PROTOCOL"] = "file:git:http:https:ssh"
    try:
        _run(folder, env, *words, *more, "--", remote, spec, seconds=_PUSH_SECONDS)
    except GitRefused as error:
        rejected = _REJECTED.search(error.told)
        if rejected is None:
            raise
        raise GitError(
            f"rejected ({rejected[1]})",
            hint="Somebody else has noted another commit there: `git fetch"
            f" {remote} {name}:{name}` shows which.",
        ) from error


_REJECTED = re.compile(r"(?m)^ ! \[(?:remote )?rejected\] .*\((.*)\)$")


# How the user's own environment says that git is to reach a remote.
_OWN_TRANSPORT = ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL")
# What a repository's own configuration could have a push run, or give to somebody who
# listens (git help config). git lists what included files set as set here: jobs of
# GitHub (actions/checkout from v6 on) and GitLab keep the way in to the remote there.
_PROGRAMS = re.compile(
    r"credential\..*helper|core\.(askpass|gitproxy|alternaterefscommand)"
    r"|remote\..*\.(vcs|proxy)"
    r"|http\.(.*\.)?(proxy|sslverify|sslcainfo|sslcapath)",
    re.IGNORECASE,
)


def _refuse_programs(folder: Path) -> None:
    listed = _git(folder, "config", "--list", "--show-scope", "--name-only", "-z")
    words = listed.decode("utf-8", "replace").split("\0")
    for scope, name in zip(words[::2], words[1::2], strict=False):
        if scope in ("local", "worktree") and _PROGRAMS.fullmatch(name):
            raise GitError(
                f"the repository's own configuration sets {name}, which can run"
                " programs or let others listen",
                hint="Push it yourself, if that is meant to be.",
            )


def staged(
    root: Path, folders: Iterable[str], wanted: Callable[[str], bool] | None = None
) -> Mapping[str, bytes]:
    """Return path → content of what is staged below `folders`, paths from `root`.

    wanted: tells which paths are; default: all.

    What a commit would hold, whatever the work tree says: GIT_INDEX_FILE, which git
    sets for `commit -a` and `commit --only`, is honoured. Links and submodules are
    left out. Raises GitError outside a repository and in the middle of a merge.
    """
    about = ("--", *folders)
    if len(about) == 1:
        return {}  # git would take none for all
    listed = _git(root, "ls-files", "--stage", "-z", *about)
    found: dict[str, str] = {}
    for row in listed.split(b"\0")[:-1]:
        said, _, name = row.partition(b"\t")
        mode, blob, stage = said.decode("ascii").split(" ")
        path = _text(name)
        if wanted is not None and not wanted(path):
            continue
        if stage != "0":
            raise GitError(f"{path} is not merged yet")
        if mode in ("100644", "100755"):
            found[path] = blob
    if any(blob in _EMPTY_BLOBS for blob in found.values()):
        for path in _only_intended(root, about):
            found.pop(path, None)
    blobs = _blobs(root, found.values())
    return {path: blobs[blob] for path, blob in found.items()}


def _only_intended(root: Path, about: Iterable[str]) -> list[str]:
    """Return what `git add -N` put into the index: no commit will hold it.

    diff-files would say it too, but reads the work tree, through filters that the
    repository names; so we read the flags that --debug shows.
    """
    listed = _git(root, "ls-files", "--debug", "-z", *about)
    return [
        _text(name)
        for name, flags in _FLAGS.findall(listed)
        if int(flags, 16) & _INTENT_TO_ADD
    ]


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = name.decode("utf-8", "backslashreplace")
        raise GitError(f"{shown} has a name that is not UTF-8") from error


def _blobs(root: Path, ids: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for blob, body in _objects(root, ids).items():
        if body is None:
            raise GitError(f"object {blob[:12]} is missing in the repository")
        found[blob] = body
    return found


def _objects(root: Path, ids: Iterable[str]) -> dict[str, bytes | None]:
    """Return id → content, None for an object that is not here."""
    asked = sorted(set(ids))
    if not asked:
        return {}
    out = _git(root, "cat-file", "--batch", data="\n".join(asked).encode() + b"\n")
    found: dict[str, bytes | None] = dict.fromkeys(asked)
    at = 0
    for name in asked:
        end = out.index(b"\n", at)
        about = out[at:end].split()
        at = end + 1
        if len(about) == 3:
            size = int(about[2])
            found[name] = out[at : at + size]
            at += size + 1
    return found


def _git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    return _run(folder, _environment(folder), *arguments, data=data)


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment for git in the repository that `folder` is in.

    What git told us holds for that repository only, and GIT_DIR without GIT_WORK_TREE
    would make `folder` the top of the work tree, wherever it is: we find the
    repository from the folder, and believe the rest if it is the one that git means.
    """
    said = {name: os.environ[name] for name in _WHERE if name in os.environ}
    rest = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_HARMLESS)
    }
    rest.update(_HARDENED_ENVIRONMENT)
    if not said:
        return rest
    try:
        words = ("rev-parse", "--absolute-git-dir", "--show-toplevel")
        found, top, _ = _run(folder, rest, *words).decode().split("\n")
    except (GitError, ValueError):
        return {**rest, **said}
    meant = said.pop("GIT_DIR", found)
    said.pop("GIT_WORK_TREE", None)
    places = [Path(base, meant).resolve() for base in (Path.cwd(), top)]
    return {**rest, **said} if Path(found).resolve() in places else rest


def _run(
    folder: Path,
    env: Mapping[str, str],
    *arguments: str,
    data: bytes = b"",
    seconds: float = _SECONDS,
) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words; paths follow "--"
            ["git", "-C", str(folder), *_HARDENED, *arguments],  # noqa: S607
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
