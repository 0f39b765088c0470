"""Files beside the world that only their owner may read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Replace a file, readable by its owner only (0600); never seen half written."""
    with _draft(path, data) as draft:
        draft.replace(path)


def create_private(path: Path, data: bytes) -> None:
    """Make the same kind of file unless there is one, which then stays as it is."""
    with _draft(path, data) as draft, contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)


@contextlib.contextmanager
def _draft(path: Path, data: bytes) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
