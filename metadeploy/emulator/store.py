"""The file behind a world: SQLite, many processes and threads at once.

Every write runs in one BEGIN IMMEDIATE transaction that also reads what it decides
on, so no update is lost. Readers use WAL snapshots and are never blocked.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from metadeploy.emulator.faults import Fault

Value: TypeAlias = "str | bytes | int | float | None"
Row: TypeAlias = "tuple[Value, ...]"

FORMAT = 1
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE orgs (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
    created REAL NOT NULL, settings TEXT NOT NULL);
CREATE TABLE records (
    org INTEGER NOT NULL, sobject TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    link TEXT NOT NULL, PRIMARY KEY (org, sobject, id)) WITHOUT ROWID;
CREATE INDEX record_links ON records (org, sobject, link) WHERE link <> '';
CREATE TABLE components (
    org INTEGER NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL,
    created_by TEXT NOT NULL, created REAL NOT NULL,
    modified_by TEXT NOT NULL, modified REAL NOT NULL,
    extra TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (org, type, name)) WITHOUT ROWID;
CREATE INDEX component_ids ON components (org, id);
CREATE TABLE names (
    kind TEXT NOT NULL, name TEXT NOT NULL, org INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX names_of_org ON names (org, kind, value);
CREATE TABLE passwords (
    org INTEGER NOT NULL, user TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (org, user)) WITHOUT ROWID;
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY, org INTEGER NOT NULL, user TEXT NOT NULL,
    scopes TEXT NOT NULL, app TEXT NOT NULL, kind TEXT NOT NULL, grant_id TEXT NOT NULL,
    issued REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX tokens_of_org ON tokens (org, user);
CREATE TABLE grants (
    kind TEXT NOT NULL, hash BLOB NOT NULL, org INTEGER NOT NULL, body TEXT NOT NULL,
    expires REAL NOT NULL, PRIMARY KEY (kind, hash)) WITHOUT ROWID;
CREATE INDEX grants_of_org ON grants (org, kind);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, org INTEGER NOT NULL, kind TEXT NOT NULL,
    seq INTEGER NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL, result TEXT,
    data BLOB) WITHOUT ROWID;
CREATE INDEX jobs_of_org ON jobs (org, kind, status, seq);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, org INTEGER NOT NULL, at REAL NOT NULL,
    event TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_of_org ON events (org, seq);
"""
ORG_TABLES = (
    "records",
    "components",
    "names",
    "passwords",
    "tokens",
    "grants",
    "jobs",
)


class Store:
    """SQLite connections for one file: short reads, and one writer at a time."""

    def __init__(self, path: Path, *, patience: float = _BUSY_SECONDS) -> None:
        """patience: seconds to wait for another process's transaction."""
        self.path = path
        self._patience = patience
        self._free: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        # Threads of one process queue here, in order; SQLite's own lock, which
        # polls and is unfair, is left to keep processes apart.
        self._writer = threading.RLock()
        self._local = threading.local()
        self._closed = False
        _create_file(path)
        self._prepare()

    def _prepare(self) -> None:
        connection = self._take()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, FORMAT):
                raise ValueError(
                    f"{self.path} was written by another version (format {version})"
                )
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._give(connection)

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise ValueError("this world is closed")
            if self._free:
                return self._free.pop()
        connection = sqlite3.connect(
            self.path,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        # An emulated org need not survive a power cut, only a killed process.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    def _give(self, connection: sqlite3.Connection) -> None:
        with self._guard:
            if not self._closed:
                self._free.append(connection)
                return
        connection.close()

    @property
    def _current(self) -> sqlite3.Connection | None:
        return getattr(self._local, "connection", None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside or nothing; nested calls join the outer one.

        Raises Fault UNABLE_TO_LOCK_ROW when another process holds the file too long.
        """
        if self._current is not None:
            yield
            return
        with self._writer:
            connection = self._take()
            try:
                _begin(connection)
                self._local.connection = connection
                try:
                    yield
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            finally:
                self._local.connection = None
                self._give(connection)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: undo what is done here when an exception leaves it."""
        connection = self._current
        if connection is None:
            raise ValueError("a savepoint needs a transaction")
        depth = getattr(self._local, "depth", 0) + 1
        self._local.depth = depth
        connection.execute(f"SAVEPOINT s{depth}")
        try:
            yield
        except BaseException:
            connection.execute(f"ROLLBACK TO s{depth}")
            raise
        finally:
            connection.execute(f"RELEASE s{depth}")
            self._local.depth = depth - 1

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run a query: inside a transaction as part of it, else on a snapshot."""
        current = self._current
        if current is not None:
            return current.execute(sql, values).fetchall()
        connection = self._take()
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            self._give(connection)

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        rows = self.all(sql, values)
        return rows[0] if rows else None

    def write(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement, in the open transaction or one of its own: rows changed."""
        current = self._current
        if current is not None:
            return current.execute(sql, values).rowcount
        with self.transaction():
            return self.write(sql, values)

    def close(self) -> None:
        """Close every connection; calls still running close theirs when they end."""
        with self._guard:
            self._closed = True
            connections, self._free = self._free, []
        for connection in connections:
            connection.close()


def _begin(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        # What the platform says of its own locks (recalled text).
        raise Fault(
            "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"
        ) from None


def _create_file(path: Path) -> None:
    """Make the file readable by its owner only. SQLite gives -wal and -shm its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o600))
