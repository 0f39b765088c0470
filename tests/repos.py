"""Real git repositories for tests, without this machine's configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@acme.example")
_QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it printed."""
    env = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    done = subprocess.run(
        ["git", *_WHO, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**env, **_QUIET},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, subject: str = "change") -> str:
    """Commit all that is in a folder; return the commit."""
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path) -> str:
    """Make a folder a repository, on branch main; return its first commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder, "First")
