"""Which rows of a setup audit trail speak of what has drifted."""

from __future__ import annotations

from fake_org import app
from hypothesis import given
from hypothesis import strategies as st
from planning import permission_set

from metadeploy.audit import SetupChange, about, names_of
from metadeploy.model import Ref


def row(words):
    return SetupChange(
        "2026-01-01T00:00:00.000+0000", "Ann", "x", "Manage Users", words
    )


def test_things_are_known_by_name_and_by_label():
    parts = (app("Portal", label="The Portal"), permission_set("P", label="Users"))
    refs = [Ref("ConnectedApp", "Portal"), Ref("PermissionSet", "P")]
    found = names_of(refs, parts)
    assert found == {"Portal", "The Portal", "P", "Users"}
    assert names_of([Ref("Profile", "Admin")], ()) == {"System Administrator"}
    bare = permission_set("Q", label="")
    assert names_of([bare.ref], [bare]) == {"Q"}


def test_a_row_speaks_of_a_name_as_a_word():
    rows = [row("Changed permission set P: x"), row("Changed permission set PP: x")]
    assert about(rows, {"P"}) == (rows[0],)
    assert about(rows, {"P", "PP"}) == tuple(rows)
    assert about(rows, ()) == ()


@given(st.text(min_size=1, max_size=8))
def test_every_name_is_found_whatever_is_in_it(name):
    assert about([row(f"Changed {name} now")], {name}) != ()
