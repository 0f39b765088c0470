"""Did you mean: the name that somebody may have meant. Pure.

Upper and lower case make no difference, and the same names always give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# A longer text is no name that was mistyped; more names are not looked through.
_LONGEST, _MOST = 80, 2000
_TOLD = 8


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the known name that is most like another, "" where none is.

    cutoff: from 0 to 1: how alike they have to be (see difflib).
    """
    names: dict[str, str] = {}
    for one in sorted(known)[:_MOST]:
        names.setdefault(one.lower(), one)
    found = get_close_matches(name[:_LONGEST].lower(), names, 1, cutoff)
    return names[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return "; did you mean X?" to end a sentence with, "" where nothing is near."""
    found = nearest(name, known, cutoff=cutoff)
    return f"; did you mean {found}?" if found else ""


def hint(name: str, known: Iterable[str], owner: str) -> str:
    """Return "Did you mean X?", else some of what `owner` has; "" for nothing."""
    names = sorted(known)
    if found := nearest(name, names):
        return f"Did you mean {found}?"
    more = ", …" if len(names) > _TOLD else ""
    return f"{owner} has: {', '.join(names[:_TOLD])}{more}." if names else ""
