"""Edge: what ran, in SQLite under .metadeploy/. Durable before anything is sent."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from metadeploy.errors import ConfigError
from metadeploy.model import Component, Ref

_SCHEMA = (
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY, org TEXT NOT NULL, org_id TEXT NOT NULL,
        started REAL NOT NULL, finished REAL, status TEXT NOT NULL,
        fingerprint TEXT NOT NULL, package TEXT NOT NULL, deploy_id TEXT,
        check_only INTEGER NOT NULL, git_commit TEXT NOT NULL, user TEXT NOT NULL
    ) STRICT;
    CREATE TABLE recorded (
        org_id TEXT NOT NULL, type TEXT NOT NULL, full_name TEXT NOT NULL,
        body BLOB NOT NULL, run TEXT NOT NULL,
        PRIMARY KEY (org_id, type, full_name)
    ) STRICT, WITHOUT ROWID;
    """,
)


class Intent(Struct, frozen=True):
    """What a run is about to do; times are seconds since 1970.

    package: SHA-256 of the files to send. git_commit, user: "" where unknown.
    """

    org: str
    org_id: str
    started: float
    fingerprint: str
    package: str
    check_only: bool
    git_commit: str = ""
    user: str = ""


class Run(Struct, frozen=True):
    """One run as the journal knows it. status: Intended, Sent, or how it ended."""

    id: str
    intent: Intent
    status: str
    deploy_id: str | None
    finished: float | None


class Journal:
    """The runs of one project. Every method is durable when it returns.

    One connection for all threads of the process: each transaction has it alone.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises ConfigError when it cannot be used."""
        self._alone = threading.Lock()
        self._path = path
        with self._translated():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            self._db = sqlite3.connect(
                path, timeout=20, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with self._translated():
            while not self._logs_ahead():
                # Somebody else is at it: this waits for them, as the pragma does not.
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("COMMIT")
            self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > len(_SCHEMA):
                raise ConfigError(
                    f"{self._path.name} is of form {version}, not {len(_SCHEMA)}:"
                    " a later metadeploy wrote it",
                    hint="Upgrade metadeploy.",
                )
            for number, script in enumerate(_SCHEMA[version:], version + 1):
                for statement in script.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")

    def _logs_ahead(self) -> bool:
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def close(self) -> None:
        self._db.close()

    def begin(self, intent: Intent) -> str:
        """Write down what is about to be sent, and return the run's id."""
        run_id = secrets.token_hex(8)
        with self._transaction():
            self._db.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, NULL, 'Intended', ?, ?, NULL,"
                " ?, ?, ?)",
                (
                    run_id,
                    intent.org,
                    intent.org_id,
                    intent.started,
                    intent.fingerprint,
                    intent.package,
                    int(intent.check_only),
                    intent.git_commit,
                    intent.user,
                ),
            )
        return run_id

    def sent(self, run_id: str, deploy_id: str) -> None:
        """Write down the org's id of the deploy, before anybody polls it.

        Raises ConfigError, with the id in it, when it cannot be written.
        """
        with self._transaction(f"deploy {deploy_id} has begun, but "):
            self._db.execute(
                "UPDATE run SET status = 'Sent', deploy_id = ? WHERE id = ?",
                (deploy_id, run_id),
            )

    def finish(
        self,
        run_id: str,
        status: str,
        now: float,
        *,
        recorded: Iterable[Component] = (),
    ) -> None:
        """Write down how a run ended and, with it, what is now in the org."""
        with self._transaction():
            self._db.execute(
                "UPDATE run SET status = ?, finished = ? WHERE id = ?",
                (status, now, run_id),
            )
            (org_id,) = self._db.execute(
                "SELECT org_id FROM run WHERE id = ?", (run_id,)
            ).fetchone()
            self._db.executemany(
                "INSERT OR REPLACE INTO recorded VALUES (?, ?, ?, ?, ?)",
                (
                    (org_id, c.ref.type, c.ref.full_name, c.body, run_id)
                    for c in recorded
                ),
            )

    def recorded(self, org_id: str) -> tuple[Component, ...]:
        """Return the components of an org as we last deployed them, by Ref."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT type, full_name, body FROM recorded WHERE org_id = ?"
                " ORDER BY type, full_name",
                (org_id,),
            ).fetchall()
        return tuple(Component(Ref(type_, name), body) for type_, name, body in rows)

    def forget(self, org_id: str) -> None:
        """Drop what we recorded of an org, since the org has dropped it; runs stay."""
        with self._transaction():
            self._db.execute("DELETE FROM recorded WHERE org_id = ?", (org_id,))

    def runs(self, org_id: str) -> tuple[Run, ...]:
        """Return the runs of an org, the newest first."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT id, org, org_id, started, fingerprint, package, check_only,"
                " git_commit, user, status, deploy_id, finished FROM run"
                " WHERE org_id = ? ORDER BY started DESC, rowid DESC",
                (org_id,),
            ).fetchall()
        return tuple(
            Run(row[0], replace(Intent(*row[1:9]), check_only=bool(row[6])), *row[9:])
            for row in rows
        )

    @contextmanager
    def _transaction(self, news: str = "") -> Iterator[None]:
        """Do all of a block or nothing. news: what must be told if that fails."""
        with self._alone, self._translated(news):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself ends some that fail
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, news: str = "") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            what = f"{news}the journal {self._path.name} cannot be used: {why}"
            hint = "Look at the file, and at the space on its disk."
            raise ConfigError(what, hint=hint) from error
