"""What lies between two renderings: it leads from the one to the other."""

from __future__ import annotations

from fake_org import app
from hypothesis import given
from planning import permission_set, projects, wanted_of

from metadeploy.delta import between
from metadeploy.diff import Action
from metadeploy.keys import KeyChoice
from metadeploy.model import Ref


@given(projects(), projects())
def test_it_is_empty_where_both_are_the_same_and_only_there(one, other):
    was, now = wanted_of(*one), wanted_of(*other)
    assert between(was, was).empty
    found = between(was, now)
    refs = {c.ref for c in found.changes}
    old = {c.ref: c.body for c in was.components}
    new = {c.ref: c.body for c in now.components}
    assert refs == {r for r in old.keys() | new.keys() if old.get(r) != new.get(r)}
    created = {c.ref for c in found.changes if c.action is Action.CREATE}
    deleted = {c.ref for c in found.changes if c.action is Action.DELETE}
    assert (created, deleted) == (new.keys() - old.keys(), old.keys() - new.keys())


def test_new_apps_get_keys_and_another_generation_replaces_one():
    was = wanted_of(app("A"), app("B"))
    now = wanted_of(
        app("A"), app("B"), app("C"), choices={"A": KeyChoice(2), "C": KeyChoice(3)}
    )
    found = between(was, now)
    assert found.replaced == (Ref("ConnectedApp", "A"),)
    assert [(k.app, k.choice.generation) for k in found.new_keys] == [("C", 3)]
    assert not between(was, wanted_of(app("A"), app("B"), choices={"A": KeyChoice(2)})
                       ).empty  # fmt: skip


def test_access_is_compared_as_access():
    was = wanted_of(app("A"), permission_set("P", accesses=[("A", True)]))
    now = wanted_of(app("A"), permission_set("P", accesses=[("A", False)]))
    (gone,) = between(was, now).access_changes
    (gained,) = between(now, was).access_changes
    assert (gone.action, gained.action) == (Action.REVOKE, Action.GRANT)
    assert str(gained) == "A to PermissionSet P"
    # Where nothing is said of an app any more, its access stays as it is.
    assert between(was, wanted_of(app("A"), permission_set("P"))).access_changes == ()
