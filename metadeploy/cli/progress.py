"""Progress on stderr: alive at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from metadeploy.cli import DEBUG
from metadeploy.cli.output import shown
from metadeploy.model import DeployResult

if TYPE_CHECKING:
    from rich.status import Status


class Lines:
    """One plain line a step; the same state is not told twice."""

    def __init__(self, org: str) -> None:
        self._org = org
        self._last = ""

    def step(self, text: str) -> None:
        if text != self._last:
            self._last = text
            with suppress(OSError):  # that nobody listens stops no deploy
                sys.stderr.write(shown(f"{self._org}: {text}") + "\n")

    def deploying(self, result: DeployResult) -> None:
        self.step(_state(result))


class Board:
    """One live line for all orgs at a terminal. A context manager."""

    def __init__(self) -> None:
        # rich costs a tenth of a second: loaded only where somebody watches.
        from rich.console import Console

        self._console = Console(stderr=True)
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._status: Status | None = None

    def __enter__(self) -> Board:
        self._status = self._console.status("")
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, org: str, text: str) -> None:
        """Show what an org is at."""
        from rich.text import Text

        with self._lock:
            self._states[org] = text
            states = [f"{o}: {s}" for o, s in self._states.items() if s]
            if self._status is not None:
                line = shown("  ".join(states))
                self._status.update(Text(line, overflow="ellipsis", no_wrap=True))


class OrgOnBoard:
    """One org's part of a Board."""

    def __init__(self, board: Board, org: str) -> None:
        self._board, self._org = board, org

    def step(self, text: str) -> None:
        self._board.tell(self._org, text)

    def deploying(self, result: DeployResult) -> None:
        self.step(_state(result))


def _state(result: DeployResult) -> str:
    done = f"{result.components_deployed}/{result.components_total}"
    detail = f", {result.state_detail}" if result.state_detail else ""
    return f"{result.status} {done}{detail}"


def is_watched() -> bool:
    """Tell whether a person sees stderr, and not lines of --debug on it."""
    context = click.get_current_context(silent=True)
    debugging = context is not None and DEBUG in context.meta
    return sys.stderr.isatty() and not debugging
