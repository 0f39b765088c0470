"""The command line in processes that die: one that has loaded all, forked for each.

Reads jobs as JSON lines, runs each in a fork of its own, and answers with how that
ended: {"words": [...], "die_at": 3} → {"code": -9}. A fork dies at the n-th moment that
it reaches (see `metadeploy.failpoint`); which it reached is in the file `moments`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
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
        os.write(moments, f"{name}\n".encode())
        if reached == job.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    failpoint.watcher = watch
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
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
