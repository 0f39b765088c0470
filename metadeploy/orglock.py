"""Edge: one run at a time for an org, among all processes of this machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metadeploy import privatefile
from metadeploy.errors import ConfigError, OrgBusy


@contextmanager
def alone(folder: Path, org_id: str, timeout: float) -> Iterator[None]:
    """Be the only one, of all processes of this machine, to change an org.

    By its Id, so whatever the project calls it. The system frees what a process held
    when it dies. timeout: seconds to wait for another. Raises OrgBusy.
    """
    # SQLite's own file lock: on every system, and loaded for the journal anyway.
    path = folder / f"{org_id}.lock"
    try:
        privatefile.make_folder(folder)
        privatefile.refuse_link(path)
        # Whoever closes a file loses all locks that their process has of it (POSIX):
        # so it is opened here only where nobody can hold it yet.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        held = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"cannot use the lock {path.name}: {error}") from error
    try:
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise ConfigError(f"cannot lock {path.name}: {error}") from error
            raise OrgBusy(org_id) from error
        yield
    finally:
        held.close()
