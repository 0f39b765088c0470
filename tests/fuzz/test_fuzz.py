"""Damaged and invented input to everything that reads any: see targets.py.

FUZZ_EXAMPLES: how many of each; `make fuzz` sets more.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS, Target

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """A seed with a few places of it changed, or a row of words."""
    words = st.sampled_from(
        [*target.words, b"\0", b"\xff", b" ", b"\n", b"0", b"\xc3\xa9"]
    )
    pieces = st.one_of(st.binary(max_size=4), words)
    edits = st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 6), pieces), max_size=5
    )
    damaged = st.builds(_edited, st.sampled_from(target.seeds), edits)
    return st.one_of(damaged, st.lists(words, max_size=20).map(b" ".join))


def _edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, piece in edits:
        at %= len(seed) + 1
        seed = seed[:at] + piece + seed[at + length :]
    return seed


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_read_or_refused(name):
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(inputs(target))
    def check(data):
        target.check(data)

    for seed in target.seeds:
        target.check(seed)
    check()
