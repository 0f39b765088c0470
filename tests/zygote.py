"""The command line in processes that die: one that has loaded all, forked for each.

Reads jobs as JSON lines, runs each in a fork of its own, and answers with how that
ended: {"words": [...], "die_at": 3} → {"code": -9}. A fork dies at the n-th moment that
it reaches (see `metadeploy.failpoint`); which it reached is in the file `moments`. Or
its n-th call of the system fails, by `fail_at` and `errno`; they are in `calls`.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from metadeploy import api, cli, failpoint, metadata_api, runs


class Fast:
    """A clock that does not wait: what would be slept is added to the time."""

    skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + Fast.skipped

    def sleep(self, seconds: float) -> None:
        Fast.skipped += seconds


_INSTALLED = (str(Path(cli.__file__).parent.parent), sys.prefix, sys.base_prefix)


_write = os.write  # what never fails here


class _Calls:
    """Counts what reaches out of the process, and has one of it fail.

    Python itself begins again what a signal broke off (EINTR), so that is no failure.
    """

    def __init__(self, fail_at: int, number: int, log: int) -> None:
        self._fail_at, self._number, self._log = fail_at, number, log
        self.made = 0

    def __call__(self, name: str) -> None:
        """Note one more call. Raises OSError where it is to fail."""
        self.made += 1
        _write(self._log, f"{name}\n".encode())
        if self.made == self._fail_at:
            raise OSError(self._number, os.strerror(self._number))

    def wrap(self, owner: Any, name: str) -> None:
        """Have a function be counted."""
        real = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            # An installation that cannot be read is no matter of a run.
            if not str(arguments[0]).startswith(_INSTALLED):
                self(name)
            return real(*arguments, **named)

        setattr(owner, name, counted)


def break_calls(fail_at: int, number: int, log: int) -> None:
    """Have the n-th call for files, connections or the journal fail in this process."""
    calls = _Calls(fail_at, number, log)
    for name in ("open", "write", "fsync", "replace", "link", "mkdir", "unlink"):
        calls.wrap(os, name)
    calls.wrap(io, "open")
    calls.wrap(builtins, "open")
    for name in ("connect", "sendall", "recv_into"):
        calls.wrap(socket.socket, name)

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql.split()[0] in ("BEGIN", "COMMIT", "INSERT", "UPDATE", "PRAGMA"):
                try:
                    calls(f"sqlite {sql.split()[0]}")
                except OSError as error:
                    broken = sqlite3.OperationalError(f"disk I/O error: {error}")
                    broken.sqlite_errorcode = sqlite3.SQLITE_IOERR
                    raise broken from error
            return super().execute(sql, *values)

    connect = sqlite3.connect

    def connected(path: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
        # The emulated orgs' own file is the org's, not ours.
        ours = Path(path).parent.name != "emulator"
        factory = {"factory": Failing} if ours else {}
        return connect(path, *arguments, **factory, **named)

    sqlite3.connect = connected  # type: ignore[assignment]


def act(job: dict[str, Any]) -> int:
    """Run a command here; return its exit code."""
    folder = Path(job["folder"])
    out = os.open(folder / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(job.get("env", {}))
    moments = os.open(folder / "moments", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reached = 0

    def watch(name: str) -> None:
        nonlocal reached
        reached += 1
        _write(moments, f"{name}\n".encode())
        if reached == job.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    failpoint.watcher = watch
    if "errno" in job:
        calls = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        break_calls(job["fail_at"], job["errno"], calls)
    return cli.run(["-C", job["project"], *job["words"]])


def main() -> None:
    """Serve jobs until nobody asks any more."""
    api.SystemClock = Fast  # type: ignore[misc]  # this process is a test's own
    metadata_api._client()
    assert runs
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = act(json.loads(line))
            finally:
                if code == 70:
                    traceback.print_exc()  # a bug
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
