"""Named moments of a run, at which a test may stop the process. Nothing else here.

Every moment that matters for what is on disk and in the org calls `reach`. Tests
kill the process at each of them and then ask whether anything was lost.
"""

from __future__ import annotations

from collections.abc import Callable


def _nothing(name: str) -> None:
    """Go on."""


watcher: Callable[[str], None] = _nothing
"""Called with the name of each moment reached; only tests set another one."""


def reach(name: str) -> None:
    """Say that a moment is reached."""
    watcher(name)
