"""Ctrl-C and SIGTERM while orgs are being changed: nothing is lost by either."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from metadeploy.api import Orgs
from metadeploy.cli import UNKNOWN
from metadeploy.cli.options import joined
from metadeploy.cli.output import error_document, shown, write_json

_FIRST = (
    "\nStopping: nothing more is sent. What an org has taken already is waited for;"
    "\nCtrl-C again leaves it running.\n"
)


@contextmanager
def stoppable(
    connected: Orgs, command: str, names: Sequence[str], *, as_json: bool
) -> Iterator[None]:
    """While the block runs, have Ctrl-C stop what is not sent yet.

    A second one, or SIGTERM, leaves at once with 69: what runs in the orgs goes on
    there, and the journal knows it.
    """

    def told(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and not connected.stop.is_set():
            connected.stop.set()
            _say(_FIRST)
            return
        orgs = joined(names) if len(names) < 4 else f"{len(names)} orgs"
        what = " ".join(f"left before the end of it: {orgs}".split())
        hint = f"`metadeploy runs resume {' '.join(names[:3])}` goes on from there."
        if as_json:
            write_json(error_document(command, f"{what}. {hint}", UNKNOWN))
        sys.stdout.flush()
        # Past the live lines, which would draw themselves again below; they stay, and
        # tell what each org was at.
        with suppress(OSError):
            os.write(2, shown(f"\nError: {what}\n{hint}\n").encode())
        # Whatever stops here, at whatever point, can be resumed: nothing to unwind.
        os._exit(UNKNOWN)

    before = {n: signal.signal(n, told) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    with suppress(OSError):  # nobody is there to be told
        sys.stderr.write(text)
        sys.stderr.flush()
