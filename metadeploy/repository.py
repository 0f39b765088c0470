"""Edge: git, by its plumbing. A repository's own configuration is somebody's code:
nothing of it that could run a program is honoured.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from metadeploy.errors import ConfigError

# core.fsmonitor, hooks, ssh and ext:: would run programs that a repository names;
# git's own "show" and "diff" did so when tried, these plumbing commands do not.
_HARDENED = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.sshCommand=false",
    "-c", "protocol.ext.allow=never",
)  # fmt: skip
_SECONDS = 30


class GitError(ConfigError):
    """git could not answer: no repository here, or a broken one."""


def head(folder: Path) -> str:
    """Return the commit that HEAD names, "" where there is none."""
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except GitError:
        return ""


def staged(root: Path, folders: Iterable[str]) -> Mapping[str, bytes]:
    """Return path → content of what is staged below `folders`, paths from `root`.

    What a commit would hold, whatever the work tree says: GIT_INDEX_FILE, which git
    sets for `commit -a` and `commit --only`, is honoured. Links and submodules are
    left out. Raises GitError outside a repository.
    """
    listed = _git(root, "ls-files", "--stage", "-z", "--", *folders)
    wanted: dict[str, str] = {}
    for row in listed.split(b"\0"):
        about, _, path = row.partition(b"\t")
        if about[:6] in (b"100644", b"100755"):
            wanted[path.decode("utf-8", "surrogateescape")] = about.split()[1].decode()
    blobs = _blobs(root, wanted.values())
    return {path: blobs[blob] for path, blob in wanted.items()}


def _blobs(root: Path, ids: Iterable[str]) -> dict[str, bytes]:
    asked = sorted(set(ids))
    if not asked:
        return {}
    out = _git(root, "cat-file", "--batch", data="\n".join(asked).encode() + b"\n")
    found: dict[str, bytes] = {}
    at = 0
    for blob in asked:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        found[blob] = out[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


def _git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    env = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(  # noqa: S603 - fixed words; paths follow "--"
            ["git", "-C", str(folder), *_HARDENED, *arguments],  # noqa: S607
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            env=env,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError(f"git cannot be run: {type(error).__name__}") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(words[-1] if words else f"git {arguments[0]} failed")
    return done.stdout
