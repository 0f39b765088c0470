"""Progress on stderr: alive at a terminal, plain lines elsewhere.

The clock comes as an argument: a function that tells seconds, from whenever.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from metadeploy.cli import DEBUG
from metadeploy.cli.output import masked, shown
from metadeploy.model import DeployResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

T = TypeVar("T")
Now = Callable[[], float]

# GitHub and GitLab take a job for dead that is silent for long.
_HEARTBEAT = 60.0
# A state is told to be an old one after that.
_OLD = 30.0
# More orgs than that are counted, not listed.
_MOST_LINES = 8


@dataclass
class _At:
    """What an org is at. state: what it has to change in for a new line.

    begun: when we began with it, or its deploy did.
    """

    begun: float
    changed: float
    text: str = ""
    state: str = ""
    deploying: bool = False


class Watch:
    """What the orgs of a command are at. A context manager; for any thread.

    names: the orgs that there are to be.
    """

    def __init__(self, names: Sequence[str], now: Now) -> None:
        self._now = now
        self._begun = now()
        self._lock = threading.RLock()
        self._waiting = dict.fromkeys(names)
        self._at: dict[str, _At] = {}
        self._ended: Counter[str] = Counter()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to be told."""

    def of(self, org: str) -> OrgProgress:
        """Return where the flow tells what it does with an org."""
        return OrgProgress(self, org)

    def around(self, work: Callable[[str], T]) -> Callable[[str], T]:
        """Return `work` on an org, with its beginning and its end being seen."""

        def seen(org: str) -> T:
            self.tell(org, "", "")
            how = "failed"
            try:
                found = work(org)
                how = "done"
            finally:
                with self._lock:
                    self._at.pop(org, None)
                    self._ended[how] += 1
            return found

        return seen

    def tell(self, org: str, text: str, state: str, *, deploying: bool = False) -> bool:
        """Take what an org is at; return whether its state is another one."""
        text, now = _flat(text), self._now()
        with self._lock:
            self._waiting.pop(org, None)
            at = self._at.setdefault(org, _At(now, now))
            if deploying and not at.deploying:
                at.begun = now
            if text != at.text:
                at.changed = now
            another = state != at.state
            at.text, at.state, at.deploying = text, state, deploying
            return another

    def line(self, org: str) -> str:
        """Return one org's line: its name, for how long, and what it is at."""
        with self._lock:
            at, now = self._at[org], self._now()
        old = now - at.changed
        still = f" (no change for {duration(old)})" if old >= _OLD else ""
        return f"{_flat(org)}  {duration(now - at.begun)}  {at.text}{still}"

    def summary(self) -> str:
        """Return how many orgs are how far, and for how long it all goes on."""
        with self._lock:
            deploying = sum(at.deploying for at in self._at.values())
            counts = {
                **{how: self._ended[how] for how in ("done", "failed")},
                "deploying": deploying,
                "at work": len(self._at) - deploying,
                "waiting": len(self._waiting),
            }
        told = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        return f"{told}  {duration(self._now() - self._begun)}"

    def page(self, most: int) -> list[str]:
        """Return a line for each org at work; or counts, where there are too many."""
        with self._lock:
            orgs = list(self._at)
            alone = len(orgs) + len(self._waiting) + self._ended.total() < 2
        listed = [self.line(org) for org in orgs] if len(orgs) <= most else []
        return listed if alone else [*listed, self.summary()]


class OrgProgress:
    """One org's part of a Watch: the flow's Progress."""

    def __init__(self, watch: Watch, org: str) -> None:
        self._watch, self._org = watch, org

    def step(self, text: str) -> None:
        self._watch.tell(self._org, text, text)

    def deploying(self, result: DeployResult, ahead: int | None = None) -> None:
        text, state = told(result, ahead)
        self._watch.tell(self._org, text, state, deploying=not result.done)


def told(result: DeployResult, ahead: int | None) -> tuple[str, str]:
    """Return how far a deploy is; and what of that is its state, and not its count."""
    state = result.status
    if ahead:
        one = "deploy is" if ahead == 1 else "deploys are"
        state += f", {ahead} {one} before it"
    counts = [f"{result.components_deployed}/{result.components_total} components"]
    if not result.components_total:
        counts = []
    if result.tests_total:
        counts.append(f"{result.tests_completed}/{result.tests_total} tests")
    if errors := result.component_errors + result.test_errors:
        counts.append(f"{errors} error" if errors == 1 else f"{errors} errors")
    if result.state_detail:
        counts.append(result.state_detail)
    return ", ".join([state, *counts]), state


def duration(seconds: float) -> str:
    """Return "7s", "2m 05s" or "1h 02m"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole // 60 % 60:02}m"


def _flat(text: str) -> str:
    return " ".join(shown(masked(text)).split())


class Lines(Watch):
    """A plain line for each change of state, and one a minute while nothing changes."""

    def __init__(self, names: Sequence[str], now: Now) -> None:
        super().__init__(names, now)
        self._said = now()
        self._over = threading.Event()

    def __enter__(self) -> Lines:
        threading.Thread(target=self._beats, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _beats(self) -> None:
        while not self._over.wait(1.0):
            self.beat()

    def beat(self) -> None:
        """Say that all goes on, when nothing was said for a minute."""
        with self._lock:
            if self._at and self._now() - self._said >= _HEARTBEAT:
                page = self.page(1)
                self._say(f"still at work: {page[-1]}")

    def tell(self, org: str, text: str, state: str, *, deploying: bool = False) -> bool:
        with self._lock:
            another = super().tell(org, text, state, deploying=deploying)
            if another and text:
                self._say(f"{_flat(org)}: {_flat(text)}")
        return another

    def _say(self, line: str) -> None:
        self._said = self._now()
        with suppress(OSError):  # that nobody listens stops no deploy
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class Board(Watch):
    """Live lines at a terminal, redrawn as time goes on; gone when it is over."""

    def __init__(self, names: Sequence[str], now: Now) -> None:
        # rich costs a tenth of a second: loaded only where somebody watches.
        from rich.console import Console
        from rich.live import Live

        super().__init__(names, now)
        self._console = Console(stderr=True)
        self._live: Live = Live(
            console=self._console,
            get_renderable=self.drawn,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Board:
        self._live.start()
        # However we end, nobody has to get a cursor back.
        self._console.show_cursor(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def drawn(self) -> RenderableType:
        """Return the lines, each cut to the terminal's width."""
        from rich.console import Group
        from rich.text import Text

        most = min(_MOST_LINES, max(1, self._console.height - 2))
        lines = self.page(most)
        return Group(*(Text(t, no_wrap=True, overflow="ellipsis") for t in lines))


def is_watched() -> bool:
    """Tell whether a person sees stderr, and not lines of --debug on it."""
    context = click.get_current_context(silent=True)
    debugging = context is not None and DEBUG in context.meta
    dumb = os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not debugging and not dumb
