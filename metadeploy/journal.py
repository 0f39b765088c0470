"""Edge: what ran, in SQLite under .metadeploy/. Durable before anything is sent.

A run is written down whole before its first request: the plan, and what is about to
change as it is in the org. Each package is written down before it is sent, and its id
before anybody asks how it goes. So whoever opens this file later can go on.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from metadeploy.errors import ConfigError
from metadeploy.model import Component, Ref
from metadeploy.plan import Before

OPEN = ("Intended", "Sending", "Sent", "Deployed", "Unknown")
"""Statuses of a run that somebody has to take to its end: `runs resume`."""

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
    """
    ALTER TABLE run ADD COLUMN undoes TEXT NOT NULL DEFAULT '';
    ALTER TABLE run ADD COLUMN test_level TEXT NOT NULL DEFAULT '';
    ALTER TABLE run ADD COLUMN plan BLOB NOT NULL DEFAULT x'';
    CREATE INDEX run_of_org ON run (org_id, started);
    CREATE TABLE send (
        run TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
        known TEXT NOT NULL, deploy_id TEXT, status TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE event (
        run TEXT NOT NULL, at REAL NOT NULL, status TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX event_of_run ON event (run);
    CREATE TABLE before (
        run TEXT NOT NULL, type TEXT NOT NULL, full_name TEXT NOT NULL, body BLOB,
        PRIMARY KEY (run, type, full_name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE recorded_before (
        run TEXT NOT NULL, type TEXT NOT NULL, full_name TEXT NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (run, type, full_name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE holder_before (
        run TEXT NOT NULL, app TEXT NOT NULL, type TEXT NOT NULL,
        full_name TEXT NOT NULL, PRIMARY KEY (run, app, type, full_name)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE run ADD COLUMN exact INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN promoted_from TEXT NOT NULL DEFAULT '';
    ALTER TABLE run ADD COLUMN live_before TEXT NOT NULL DEFAULT '';
    """,
)


class Intent(Struct, frozen=True):
    """What a run is about to do; times are seconds since 1970.

    package: SHA-256 of the files to send. git_commit, user: "" where unknown.
    undoes: the run that this one takes back, "" for a deploy. test_level: "" where
    the org decides. exact: what the org is to be like is all that git_commit holds for
    it. promoted_from: the org that has it already, "" for none. live_before: the
    commit that was known to be live, "" for none.
    """

    org: str
    org_id: str
    started: float
    fingerprint: str
    package: str
    check_only: bool
    git_commit: str = ""
    user: str = ""
    undoes: str = ""
    test_level: str = ""
    exact: bool = False
    promoted_from: str = ""
    live_before: str = ""


class Send(Struct, frozen=True):
    """One package of a run. number: from 1. digest: SHA-256 of its zip.

    known: deploys that the org had before. deploy_id: None while nobody knows it.
    status: "" until the org said how it ended.
    """

    number: int
    digest: str
    known: tuple[str, ...]
    deploy_id: str | None = None
    status: str = ""


class Event(Struct, frozen=True):
    """One change of a run's status."""

    at: float
    status: str
    detail: str


class Run(Struct, frozen=True):
    """One run as the journal knows it. status: one of OPEN, or how it ended."""

    id: str
    intent: Intent
    status: str
    deploy_id: str | None
    finished: float | None

    @property
    def open(self) -> bool:
        return self.status in OPEN


_NOTHING = Before()
_RUN = (
    "SELECT id, org, org_id, started, fingerprint, package, check_only, git_commit,"
    " user, undoes, test_level, exact, promoted_from, live_before, status, deploy_id,"
    " finished FROM run"
)


class Journal:
    """The runs of one project. Every method is durable when it returns.

    One connection for all threads of the process: each transaction has it alone.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises ConfigError when it cannot be used."""
        self._alone = threading.Lock()
        self._path = path
        with self._translated():
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            os.close(os.open(path, flags, 0o600))
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

    # -- writing

    def begin(
        self, intent: Intent, plan: bytes = b"", before: Before = _NOTHING
    ) -> str:
        """Write down what is about to be done, and return the run's id.

        plan: as `planfile` writes it. before: what the run may change, as it is.
        """
        run_id = secrets.token_hex(8)
        with self._transaction():
            self._db.execute(
                "INSERT INTO run (id, org, org_id, started, fingerprint, package,"
                " check_only, git_commit, user, undoes, test_level, exact,"
                " promoted_from, live_before, plan, status)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'Intended')",
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
                    intent.undoes,
                    intent.test_level,
                    int(intent.exact),
                    intent.promoted_from,
                    intent.live_before,
                    plan,
                ),
            )
            self._set(run_id, intent.started, "Intended", "")
            self._keep(run_id, before)
        return run_id

    def _keep(self, run_id: str, before: Before) -> None:
        rows: list[tuple[str, str, str, bytes | None]] = [
            (run_id, c.ref.type, c.ref.full_name, c.body) for c in before.components
        ]
        rows += [(run_id, r.type, r.full_name, None) for r in before.absent]
        self._db.executemany("INSERT INTO before VALUES (?, ?, ?, ?)", rows)
        holders = [
            (run_id, app, holder.type, holder.full_name)
            for app, found in before.access.items()
            for holder in (*found, Ref("", ""))  # an app with none is told too
        ]
        self._db.executemany("INSERT INTO holder_before VALUES (?, ?, ?, ?)", holders)

    def sending(
        self, run_id: str, now: float, digest: str, known: Iterable[str]
    ) -> int:
        """Write down that a package is about to be sent; return its number, from 1.

        A package that is sent again, byte for byte, keeps its number.
        """
        with self._transaction():
            last = self._db.execute(
                "SELECT number, digest, deploy_id FROM send WHERE run = ?"
                " ORDER BY number DESC LIMIT 1",
                (run_id,),
            ).fetchone()
            again = last is not None and last[1] == digest and last[2] is None
            number = last[0] if again else (last[0] if last else 0) + 1
            self._db.execute(
                "INSERT OR REPLACE INTO send VALUES (?, ?, ?, ?, NULL, '')",
                (run_id, number, digest, json.dumps(list(known))),
            )
            self._set(run_id, now, "Sending", f"package {number}")
        return int(number)

    def sent(self, run_id: str, now: float, deploy_id: str) -> None:
        """Write down the org's id of the last package, before anybody polls it.

        Raises ConfigError, with the id in it, when it cannot be written.
        """
        with self._transaction(f"deploy {deploy_id} has begun, but "):
            self._of_last_send(run_id, "deploy_id", deploy_id)
            self._db.execute(
                "UPDATE run SET deploy_id = ? WHERE id = ?", (deploy_id, run_id)
            )
            self._set(run_id, now, "Sent", deploy_id)

    def ended(self, run_id: str, now: float, status: str) -> None:
        """Write down how the org ended the last package; Succeeded is Deployed."""
        with self._transaction():
            self._of_last_send(run_id, "status", status)
            if status == "Succeeded":
                self._set(run_id, now, "Deployed", "")

    def _of_last_send(self, run_id: str, column: str, value: str) -> None:
        self._db.execute(
            f"UPDATE send SET {column} = ? WHERE run = ? AND number ="
            " (SELECT max(number) FROM send WHERE run = ?)",
            (value, run_id, run_id),
        )

    def note(self, run_id: str, now: float, status: str, detail: str) -> None:
        """Write down that a run, which is not over, is at `status`, one of OPEN."""
        with self._transaction():
            self._set(run_id, now, status, detail)

    def finish(
        self,
        run_id: str,
        status: str,
        now: float,
        *,
        recorded: Iterable[Component] = (),
        gone: Iterable[Ref] = (),
    ) -> None:
        """Write down how a run ended and, with it, what is now in the org.

        recorded: what it has of ours. gone: what it has no longer.
        """
        with self._transaction():
            self._set(run_id, now, status, "")
            self._db.execute("UPDATE run SET finished = ? WHERE id = ?", (now, run_id))
            org_id, undoes = self._db.execute(
                "SELECT org_id, undoes FROM run WHERE id = ?", (run_id,)
            ).fetchone()
            if undoes and status == "Verified":
                self._unrecord(org_id, undoes)
                return
            for c in recorded:
                self._record(org_id, run_id, c.ref, c.body)
            for ref in gone:
                self._record(org_id, run_id, ref, None)

    def _record(self, org_id: str, run_id: str, ref: Ref, body: bytes | None) -> None:
        """Note what an org has of ours now, and what it had, for the way back."""
        at = (org_id, ref.type, ref.full_name)
        old = self._db.execute(
            "SELECT body FROM recorded WHERE org_id = ? AND type = ? AND full_name = ?",
            at,
        ).fetchone()
        if (old[0] if old else None) == body:
            return
        if old:
            self._db.execute(
                "INSERT OR REPLACE INTO recorded_before VALUES (?, ?, ?, ?)",
                (run_id, *at[1:], old[0]),
            )
        if body is None:
            self._db.execute(
                "DELETE FROM recorded WHERE org_id = ? AND type = ? AND full_name = ?",
                at,
            )
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO recorded VALUES (?, ?, ?, ?, ?)",
                (*at, body, run_id),
            )

    def _unrecord(self, org_id: str, run_id: str) -> None:
        """Record again what was recorded before a run that is taken back."""
        self._db.execute("DELETE FROM recorded WHERE run = ?", (run_id,))
        self._db.execute(
            "INSERT OR REPLACE INTO recorded"
            " SELECT ?, type, full_name, body, run FROM recorded_before WHERE run = ?",
            (org_id, run_id),
        )

    def forget(self, org_id: str) -> None:
        """Drop what we recorded of an org, since the org has dropped it; runs stay.

        What is still open there ends: the org that it was for is no more.
        """
        with self._transaction():
            self._db.execute("DELETE FROM recorded WHERE org_id = ?", (org_id,))
            self._db.execute(
                "UPDATE run SET status = 'Forgotten' WHERE org_id = ?"
                f" AND status IN {OPEN}",
                (org_id,),
            )

    def _set(self, run_id: str, now: float, status: str, detail: str) -> None:
        self._db.execute("UPDATE run SET status = ? WHERE id = ?", (status, run_id))
        self._db.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?)", (run_id, now, status, detail)
        )

    # -- reading

    def recorded(self, org_id: str) -> tuple[Component, ...]:
        """Return the components of an org as we last deployed them, by Ref."""
        rows = self._read(
            "SELECT type, full_name, body FROM recorded WHERE org_id = ?"
            " ORDER BY type, full_name",
            org_id,
        )
        return tuple(Component(Ref(type_, name), body) for type_, name, body in rows)

    def runs(self, org_id: str | None = None) -> tuple[Run, ...]:
        """Return the runs of an org, or of all, the newest first.

        In the order they were written in: clocks are set back now and then.
        """
        rows = self._read(
            f"{_RUN} WHERE org_id = ? OR ? IS NULL ORDER BY rowid DESC",
            org_id,
            org_id,
        )
        return tuple(map(_run, rows))

    def changes(self) -> int:
        """Return a number that grows with each thing that is written down."""
        ((newest,),) = self._read("SELECT coalesce(max(rowid), 0) FROM event")
        return int(newest)

    def run(self, run_id: str) -> Run | None:
        """Return a run by its id, or by an id of one of its deploys."""
        rows = self._read(
            f"{_RUN} WHERE id = ? OR id IN (SELECT run FROM send WHERE deploy_id = ?)",
            run_id,
            run_id,
        )
        return _run(rows[0]) if rows else None

    def plan(self, run_id: str) -> bytes:
        """Return a run's plan, as `begin` got it."""
        ((plan,),) = self._read("SELECT plan FROM run WHERE id = ?", run_id)
        return bytes(plan)

    def sends(self, run_id: str) -> tuple[Send, ...]:
        """Return the packages of a run, in order."""
        rows = self._read(
            "SELECT number, digest, known, deploy_id, status FROM send WHERE run = ?"
            " ORDER BY number",
            run_id,
        )
        return tuple(
            Send(number, digest, tuple(json.loads(known)), deploy_id, status)
            for number, digest, known, deploy_id, status in rows
        )

    def events(self, run_id: str) -> tuple[Event, ...]:
        """Return what a run went through, in order."""
        rows = self._read(
            "SELECT at, status, detail FROM event WHERE run = ? ORDER BY rowid", run_id
        )
        return tuple(Event(*row) for row in rows)

    def before(self, run_id: str) -> Before:
        """Return what a run was about to change, as it was in the org then."""
        rows = self._read(
            "SELECT type, full_name, body FROM before WHERE run = ?"
            " ORDER BY type, full_name",
            run_id,
        )
        access: dict[str, set[Ref]] = {}
        for app, type_, name in self._read(
            "SELECT app, type, full_name FROM holder_before WHERE run = ?", run_id
        ):
            found = access.setdefault(app, set())
            if name:
                found.add(Ref(type_, name))
        return Before(
            tuple(Component(Ref(t, n), b) for t, n, b in rows if b is not None),
            tuple(Ref(t, n) for t, n, b in rows if b is None),
            {app: frozenset(found) for app, found in access.items()},
        )

    def recorded_before(self, run_id: str) -> tuple[Component, ...]:
        """Return what a run has replaced of what was recorded."""
        rows = self._read(
            "SELECT type, full_name, body FROM recorded_before WHERE run = ?", run_id
        )
        return tuple(Component(Ref(type_, name), body) for type_, name, body in rows)

    def _read(self, sql: str, *values: object) -> list[Any]:
        with self._transaction():
            return self._db.execute(sql, values).fetchall()

    # -- transactions

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


def _run(row: tuple[Any, ...]) -> Run:
    id_, org, org_id, started, fingerprint, package, check_only, *more = row
    commit, user, undoes, test_level, exact, source, live, *end = more
    status, deploy_id, finished = end
    intent = Intent(
        org,
        org_id,
        started,
        fingerprint,
        package,
        bool(check_only),
        commit,
        user,
        undoes,
        test_level,
        bool(exact),
        source,
        live,
    )
    return Run(id_, intent, status, deploy_id, finished)
