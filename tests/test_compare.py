"""Two texts side by side: nothing is lost, and what is marked differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.reports import compare
from metadeploy.reports.compare import Pair, Piece

words = st.lists(st.sampled_from(["one", " ", "two", ".", "é"])).map("".join)
texts = st.lists(words, min_size=1)


def side(pairs, number):
    found = (pair.old if number == 0 else pair.new for pair in pairs)
    return ["".join(p.text for p in line) for line in found if line is not None]


@given(texts, texts)
def test_both_sides_are_whole(old, new):
    pairs = list(compare.lines(old, new))
    assert (side(pairs, 0), side(pairs, 1)) == (old, new)
    for pair in pairs:
        marked = any(p.differs for line in (pair.old, pair.new) for p in line or ())
        assert marked is not pair.same


@given(words, words)
def test_what_is_not_marked_is_on_both_sides(old, new):
    pair = compare.words(old, new)
    sides = (pair.old, pair.new)
    common = ["".join(p.text for p in s if not p.differs) for s in sides]
    assert common[0] == common[1]


def shown(line):
    return "".join(f"[{p.text}]" if p.differs else p.text for p in line or ())


@pytest.mark.parametrize(
    ("old", "new", "marked"),
    [
        ("http://localhost:80/a", "http://localhost:90/a", "http://localhost:[90]/a"),
        ("read on behalf of it", "read for all of it", "read [for all] of it"),
        ("true", "false", "[false]"),
        ("a b", "a b c d e f g", "[a b c d e f g]"),  # little in common
        ("x" * 9 + "y " * 300, "x", "[x]"),  # too long to be compared
    ],
)
def test_the_words_that_differ_are_marked(old, new, marked):
    assert shown(compare.words(old, new).new) == marked


def test_lines_that_go_together_are_beside_each_other():
    old, new = ["a", "same", "b.c"], ["same", "b.d", "more"]
    assert list(compare.lines(old, new)) == [
        Pair((Piece("a", True),), None),
        Pair((Piece("same"),), (Piece("same"),)),
        Pair((Piece("b."), Piece("c", True)), (Piece("b."), Piece("d", True))),
        Pair(None, (Piece("more", True),)),
    ]


def test_very_many_lines_are_taken_as_they_come():
    old, new = ["same"] * 1_001, ["other", *["same"] * 1_000]
    pairs = list(compare.lines(old, new))
    assert len(pairs) == 1_001 and not pairs[0].same and pairs[1].same
