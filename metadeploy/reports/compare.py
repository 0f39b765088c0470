"""Texts side by side: which lines go together, and which words differ. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

from msgspec import Struct

# Comparing takes the product of both lengths: beyond, what differs differs as a whole.
_MOST_WORDS = 400
_MOST_LINES = 1_000
# Below this share of common text, marking words hides more than it shows.
_LEAST_COMMON = 0.4
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(Struct, frozen=True):
    """A part of a line, and whether the other side has it otherwise."""

    text: str
    differs: bool = False


class Pair(Struct, frozen=True):
    """A line of either side; None where a side has none. same: both are equal."""

    old: tuple[Piece, ...] | None
    new: tuple[Piece, ...] | None

    @property
    def same(self) -> bool:
        return self.old == self.new


def lines(old: Sequence[str], new: Sequence[str]) -> Iterator[Pair]:
    """Yield all lines of both, those that go together as pairs, in their order."""
    if max(len(old), len(new)) > _MOST_LINES:
        yield from _replaced(old, new)
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            for line in old[a:b]:
                yield Pair((Piece(line),), (Piece(line),))
        else:
            yield from _replaced(old[a:b], new[c:d])


def _replaced(old: Sequence[str], new: Sequence[str]) -> Iterator[Pair]:
    for one, other in zip_longest(old, new):
        if one is None:
            yield Pair(None, (Piece(other, differs=True),))
        elif other is None:
            yield Pair((Piece(one, differs=True),), None)
        else:
            yield words(one, other)


def words(old: str, new: str) -> Pair:
    """Return two lines with the words marked in which they differ."""
    ours, theirs = _WORD.findall(old), _WORD.findall(new)
    whole = Pair((Piece(old, differs=True),), (Piece(new, differs=True),))
    if max(len(ours), len(theirs)) > _MOST_WORDS:
        return whole
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    left: list[Piece] = []
    right: list[Piece] = []
    common = 0
    codes = matcher.get_opcodes()
    for number, (what, a, b, c, d) in enumerate(codes):
        one, other = "".join(ours[a:b]), "".join(theirs[c:d])
        # A space between two words that differ is marked with them.
        inside = 0 < number < len(codes) - 1 and one.isspace()
        same = what == "equal" and not inside
        common += len(one) if same else 0
        _append(left, one, not same)
        _append(right, other, not same)
    if common < _LEAST_COMMON * max(len(old), len(new)):
        return whole
    return Pair(tuple(left), tuple(right))


def _append(pieces: list[Piece], text: str, differs: bool) -> None:
    if pieces and pieces[-1].differs == differs:
        pieces[-1] = Piece(pieces[-1].text + text, differs)
    elif text:
        pieces.append(Piece(text, differs))
