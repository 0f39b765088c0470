"""Which API versions the emulated orgs speak."""

from __future__ import annotations

import re

OLDEST = 31
NEWEST = 66
"""21-30 were retired in Summer '25 (documented: API end of life). 66 is what the field
tables describe."""


def versions() -> tuple[str, ...]:
    """Return all versions, ascending, as "66.0"."""
    return tuple(f"{number}.0" for number in range(OLDEST, NEWEST + 1))


def parse_version(text: str) -> float | None:
    """Return a version as a number when it is one that is spoken, else None.

    A leading "v", as in REST paths, does not count: observed, SOAP refuses it.
    """
    if not re.fullmatch(r"\d{1,3}(\.0)?", text):
        return None
    number = float(text)
    return number if OLDEST <= number <= NEWEST else None
