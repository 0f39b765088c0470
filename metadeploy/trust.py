"""Edge: which commands of a project's files the user has said may run.

An org file may name a command, and whoever changes a repository changes org files. So
each command is trusted by itself: in one project folder, with these very words, and
with what the files of the project say that it names. All else asks again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from metadeploy import privatefile, userconfig
from metadeploy.errors import ConfigError

FILE = "trusted.json"


def check(root: Path, command: Sequence[str]) -> None:
    """Raise ConfigError for a command of a project that the user has not trusted."""
    if _digest(root, command) in _read().get(_name(root), ()):
        return
    raise ConfigError(
        f"a file of this project names a command, and it is not trusted: {command}",
        hint="It would run as you. Read it, and what it runs; then: metadeploy trust",
    )


def trust(root: Path, commands: Iterable[Sequence[str]]) -> None:
    """Let these commands of a project run, and no others. Raises ConfigError."""
    known = {k: v for k, v in _read().items() if k != _name(root)}
    digests = sorted({_digest(root, command) for command in commands})
    if digests:
        known[_name(root)] = digests
    path = _path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        privatefile.replace(path, json.dumps(known, indent=2).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _path() -> Path:
    return userconfig.path().parent / FILE


def _name(root: Path) -> str:
    return str(root.resolve())


def _read() -> dict[str, list[str]]:
    path = _path()
    text = userconfig.own_text(path)
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, list[str]])
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is damaged", hint="Delete it.") from error


def _digest(root: Path, command: Sequence[str]) -> str:
    """Return what changes with a command's words, and with files that they name."""
    said: list[str] = []
    for word in command:
        said.append(word)
        try:
            file = (root / word).resolve()
            if file.is_relative_to(root.resolve()) and file.is_file():
                said.append(hashlib.sha256(file.read_bytes()).hexdigest())
        except (OSError, ValueError):  # no name of a file, or none that can be read
            continue
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
