"""What a ref is called, and how texts differ from a commit's."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.live import Origin, difference, ref_of


@pytest.mark.parametrize(
    ("org", "ref"),
    [
        ("dev", "refs/metadeploy/dev"),
        ("customers/acme", "refs/metadeploy/customers/acme"),
        ("Büro 1", "refs/metadeploy/B%C3%BCro%201"),
        (".x", "refs/metadeploy/%2Ex"),
        ("a..b", "refs/metadeploy/a%2E.b"),
        ("a.lock", "refs/metadeploy/a%2Elock"),
        ("v1.0", "refs/metadeploy/v1.0"),
        ("a~b", "refs/metadeploy/a%7Eb"),
    ],
)
def test_the_name_of_a_ref(org, ref):
    assert ref_of(org) == ref


steps = st.text("aZ0-_.~ @{\\^:?*[%é", min_size=1, max_size=6).filter(
    lambda step: step not in (".", "..")
)


@given(st.lists(steps, min_size=1, max_size=3).map("/".join))
def test_git_takes_every_name(org):
    done = subprocess.run(["git", "check-ref-format", ref_of(org)])
    assert done.returncode == 0


@given(steps, steps)
def test_no_two_orgs_share_a_ref(one, other):
    assert (ref_of(one) == ref_of(other)) == (one == other)


def test_how_texts_differ():
    assert difference({"a": "1"}, {"a": "1"}) == ""
    assert difference({"a": "1"}, {"a": "2"}) == "a is not as it is committed"
    one = difference({"a": "1", "b": "2"}, {"c": "3"})
    assert one == "a (and 2 more) is not as it is committed"


def test_an_origin_is_exact_where_nothing_speaks_against_it():
    assert Origin("abc").exact
    assert not Origin("abc", "a is not as it is committed").exact
    assert not Origin("").exact
