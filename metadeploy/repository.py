"""Edge: what a git repository holds, and refs that it is to hold, by git's plumbing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from metadeploy.gitcommand import (
    HARDENED,
    SAID,
    GitRefused,
    environment,
    git,
    place,
    run,
)
from metadeploy.gitcommand import GitError as GitError

_EMPTY_BLOBS = (  # in SHA-1 and SHA-256 repositories
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
_FLAGS = rb"([^\0]+)\0 +ctime:[^\0]*?\tflags: ([0-9a-f]+)\n"
_INTENT_TO_ADD = 1 << 29
_FILES = ("100644", "100755")
_PUSH_SECONDS = 120


def head(folder: Path) -> str:
    """Return the commit that HEAD names, "" where there is none."""
    try:
        return git(folder, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except GitError:
        return ""


def found(folder: Path) -> bool:
    """Tell whether a folder is in a repository's work tree.

    Raises GitError where there is one, and git does not work in it.
    """
    try:
        return git(folder, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except GitError:
        if any((place / ".git").exists() for place in (folder, *folder.parents)):
            raise
        return False


def commit_of(folder: Path, name: str) -> str:
    """Return the commit that a branch, tag, ref or id means. Raises GitError."""
    if commit := ref(folder, name):
        return commit
    from metadeploy.near import nearest  # for hooks, which never come here, too much

    like = nearest(name, names(folder))
    hint = f"Did you mean {like}?" if like else "Name a branch, a tag or a commit."
    raise GitError(f"git knows no commit {name!r} here", hint=hint)


def ref(folder: Path, name: str) -> str:
    """Return the commit that a name means, "" where there is none."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    try:
        return git(folder, *words, f"{name}^{{commit}}").decode().strip()
    except GitError:
        return ""


def names(folder: Path) -> list[str]:
    """Return the names of branches, those of remotes too, and tags; [] without git."""
    places = ("refs/heads", "refs/tags", "refs/remotes")
    return _lines(folder, "for-each-ref", "--format=%(refname:short)", *places)


def remotes(folder: Path) -> list[str]:
    """Return the names of remote repositories; [] without git."""
    return _lines(folder, "remote")


def _lines(folder: Path, *arguments: str) -> list[str]:
    try:
        return git(folder, *arguments).decode("utf-8", "replace").splitlines()
    except GitError:
        return []


def set_ref(folder: Path, name: str, commit: str) -> None:
    """Have a full ref name point at a commit; "" takes it away. Raises GitError."""
    if commit:
        git(folder, "update-ref", name, commit)
    elif ref(folder, name):
        git(folder, "update-ref", "-d", name)


def is_ancestor(folder: Path, commit: str, of: str) -> bool:
    """Tell whether a commit is part of another's history, or it itself.

    Raises GitError where only a part of the history is here, and it is not in that.
    """
    listed = git(folder, "rev-list", "--max-count=1", commit, f"^{of}", "--")
    if not listed.strip():
        return True
    if git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true":
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
    listed = git(root, "ls-tree", "-r", "-z", commit, *about)
    found: dict[str, str] = {}
    for row in listed.split(b"\0")[:-1]:
        said, _, name = row.partition(b"\t")
        mode, _, blob = said.decode("ascii").split(" ")
        path = _text(name)
        if mode in _FILES and (wanted is None or wanted(path)):
            found[path] = blob
    blobs = contents(root, found.values())
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
        run(folder, env, *words, *more, "--", remote, spec, seconds=_PUSH_SECONDS)
    except GitRefused as error:
        rejected = re.search(_REJECTED, error.told)
        if rejected is None:
            raise
        raise GitError(
            f"rejected ({rejected[1]})",
            hint="Somebody else has noted another commit there: `git fetch"
            f" {remote} {name}:{name}` shows which.",
        ) from error


_REJECTED = r"(?m)^ ! \[(?:remote )?rejected\] .*\((.*)\)$"


# How the user's own environment says that git is to reach a remote.
_OWN_TRANSPORT = ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL")
# What a repository's own configuration could have a push run, or give to somebody who
# listens (git help config). git lists what included files set as set here: jobs of
# GitHub (actions/checkout from v6 on) and GitLab keep the way in to the remote there.
_PROGRAMS = (
    r"(?i)credential\..*helper|core\.(askpass|gitproxy|alternaterefscommand)"
    r"|remote\..*\.(vcs|proxy)"
    r"|http\.(.*\.)?(proxy|sslverify|sslcainfo|sslcapath)"
)


def _refuse_programs(folder: Path) -> None:
    listed = git(folder, "config", "--list", "--show-scope", "--name-only", "-z")
    words = listed.decode("utf-8", "replace").split("\0")
    for scope, name in zip(words[::2], words[1::2], strict=False):
        if scope in ("local", "worktree") and re.fullmatch(_PROGRAMS, name):
            raise GitError(
                f"the repository's own configuration sets {name}, which can run"
                " programs or let others listen",
                hint="Push it yourself, if that is meant to be.",
            )


def staged(
    root: Path,
    folders: Iterable[str],
    wanted: Callable[[str], bool] | None = None,
    read: Read | None = None,
) -> Mapping[str, bytes]:
    """Return path → content of what is staged below `folders`, paths from `root`.

    wanted: tells which paths are; default: all. read: of `reading`, if it is there.

    What a commit would hold, whatever the work tree says: GIT_INDEX_FILE, which git
    sets for `commit -a` and `commit --only`, is honoured. Links and submodules are
    left out. Raises GitError outside a repository and in the middle of a merge.
    """
    about = ("--", *folders)
    if len(about) == 1:
        return {}  # git would take none for all
    listed = git(root, "ls-files", "--stage", "-z", *about)
    found: dict[str, str] = {}
    for row in listed.split(b"\0")[:-1]:
        said, _, name = row.partition(b"\t")
        mode, blob, stage = said.decode("ascii").split(" ")
        path = _text(name)
        if wanted is not None and not wanted(path):
            continue
        if stage != "0":
            raise GitError(f"{path} is not merged yet")
        if mode in _FILES:
            found[path] = blob
    if any(blob in _EMPTY_BLOBS for blob in found.values()):
        for path in _only_intended(root, about):
            found.pop(path, None)
    if read is not None:
        return {path: read(blob, None)[0] for path, blob in found.items()}
    blobs = contents(root, found.values())
    return {path: blobs[blob] for path, blob in found.items()}


# A blob, and how many bytes of it are wanted, None for all → these bytes, its size.
Read = Callable[[str, int | None], tuple[bytes, int]]


class FileChange(NamedTuple):
    """One file that a commit would change; paths are from the top of the work tree.

    blob: its content, "" where it is taken away. was_path, was: what it comes from,
    "" where it is new.
    """

    path: str
    blob: str
    was_path: str
    was: str


def top(folder: Path) -> Path:
    """Return the top of the work tree that a folder is in. Raises GitError."""
    try:
        return Path(place(folder).top)
    except GitError:
        if not any(name in os.environ for name in SAID):
            raise
    # Only git knows where a repository is that has its work tree somewhere else.
    return Path(os.fsdecode(git(folder, "rev-parse", "--show-toplevel")).rstrip("\n"))


def staged_changes(top: Path) -> tuple[FileChange, ...]:
    """Return what a commit would change, of files alone; a renamed one is one change.

    Before the first commit all that is staged is new. Raises GitError.
    """
    words = ("--cached", "--raw", "--no-abbrev", "-z", "-M", "--ignore-submodules=all")
    try:
        listed = git(top, "diff-index", *words, "HEAD", "--")
    except GitError:
        if head(top):
            raise
        return tracked(top)
    return tuple(_file_changes(listed.split(b"\0")))


def _file_changes(words: list[bytes]) -> Iterator[FileChange]:
    rows = iter(words)
    for row in rows:
        if not row:
            return
        was_mode, mode, was, blob, kind = row.decode("ascii").removeprefix(":").split()
        was_path = path = _any_text(next(rows))
        if kind[0] in "RC":
            path = _any_text(next(rows))
        yield FileChange(
            path,
            blob if mode in _FILES else "",
            was_path if was_mode in _FILES else "",
            was if was_mode in _FILES else "",
        )


def tracked(top: Path) -> tuple[FileChange, ...]:
    """Return every file that is in the index, as if it were new. Raises GitError."""
    found: dict[str, str] = {}
    for row in git(top, "ls-files", "--stage", "-z").split(b"\0")[:-1]:
        said, _, name = row.partition(b"\t")
        mode, blob, _ = said.decode("ascii").split(" ")
        if mode in _FILES:
            found[_any_text(name)] = blob
    return tuple(FileChange(path, blob, "", "") for path, blob in found.items())


def _any_text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@contextmanager
def reading(top: Path) -> Iterator[Read]:
    """Give what reads blobs one by one, whatever their size.

    It raises GitError for a blob that is missing.
    """
    words = ["git", "-C", str(top), *HARDENED, "cat-file", "--batch"]
    env = environment(top)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=env) as process:  # noqa: S603
        asks, answers = process.stdin, process.stdout
        assert asks is not None and answers is not None

        def read(blob: str, most: int | None) -> tuple[bytes, int]:
            asks.write(f"{blob}\n".encode("ascii"))
            asks.flush()
            about = answers.readline().split()
            if len(about) != 3:
                raise GitError(f"object {blob[:12]} is missing in the repository")
            size = int(about[2])
            data = answers.read(size if most is None else min(size, most))
            left = size - len(data) + 1  # and the line's end
            while left:
                left -= len(answers.read(min(left, 1 << 20))) or left
            return data, size

        yield read


def _only_intended(root: Path, about: Iterable[str]) -> list[str]:
    """Return what `git add -N` put into the index: no commit will hold it.

    diff-files would say it too, but reads the work tree, through filters that the
    repository names; so we read the flags that --debug shows.
    """
    listed = git(root, "ls-files", "--debug", "-z", *about)
    return [
        _text(name)
        for name, flags in re.findall(_FLAGS, listed)
        if int(flags, 16) & _INTENT_TO_ADD
    ]


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = name.decode("utf-8", "backslashreplace")
        raise GitError(f"{shown} has a name that is not UTF-8") from error


def contents(root: Path, ids: Iterable[str]) -> dict[str, bytes]:
    """Return blob → content. Raises GitError for one that is missing."""
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
    out = git(root, "cat-file", "--batch", data="\n".join(asked).encode() + b"\n")
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
