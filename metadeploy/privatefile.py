"""Edge: files and folders for their owner alone, written in one durable step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from metadeploy.errors import ConfigError


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone; one that is there stays.

    Raises ConfigError where it is a link, and OSError.
    """
    refuse_link(path)
    path.mkdir(mode=0o700, exist_ok=True)


def replace(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in the place of what is there: readers see the old one or the new one.

    It is on the disk when this returns. Raises ConfigError for a link, and OSError.
    """
    refuse_link(path)
    with _draft(path, data, mode) as draft:
        draft.replace(path)
    _sync_folder(path.parent)


def create(path: Path, text: str) -> str:
    """Write a file that only its owner can read, unless it is there; return its text.

    Of several processes that do this at once, all return the same text. Raises
    ConfigError for a link, and OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_link(path)
    with _draft(path, text.encode(), 0o600) as draft:
        try:
            path.hardlink_to(draft)  # unlike rename, it never replaces
        except FileExistsError:
            return path.read_text("utf-8")
    _sync_folder(path.parent)
    return text


@contextlib.contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refuse_link(path: Path) -> None:
    """Raise ConfigError where a link is, for somebody may have planted it."""
    if path.is_symlink():
        raise ConfigError(
            f"{path} is a link: nothing is written there",
            hint="Take it away, if you did not make it yourself.",
        )
