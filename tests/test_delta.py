"""What lies between two renderings: it leads from the one to the other."""

from __future__ import annotations

from fake_org import app, component
from hypothesis import given
from planning import EMPTY, actual_of, permission_set, projects, wanted_of

from metadeploy.delta import between, narrowed
from metadeploy.diff import Action
from metadeploy.keys import KeyChoice
from metadeploy.model import Ref
from metadeploy.plan import Actual, make_plan
from metadeploy.wanted import Wanted


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


def org_of(wanted: Wanted) -> Actual:
    """The org as it is after a whole deploy."""
    access = {app: said.grants for app, said in wanted.access.items()}
    return actual_of(*wanted.components, access=access)


@given(projects(), projects())
def test_an_org_as_before_needs_what_is_reached_and_no_more(one, other):
    was, now = wanted_of(*one), wanted_of(*other)
    part = narrowed(was, now)
    everything = make_plan(org_of(was), now, was.components)
    limited = make_plan(org_of(was), part, was.components)
    deleted = {c.ref for c in limited.changes if c.action is Action.DELETE}
    kept = tuple(c for c in limited.changes if c.ref not in deleted)
    assert kept == everything.changes
    assert limited.access_changes == everything.access_changes
    old, new = ({c.ref for c in w.components} for w in (was, now))
    assert deleted == old - new
    assert part.whole == len(now.components)


@given(projects())
def test_no_edit_reaches_nothing(one):
    part = narrowed(wanted_of(*one), wanted_of(*one))
    assert (part.components, part.access, part.absent) == ((), {}, ())
    assert make_plan(EMPTY, part).empty


def test_what_is_recorded_and_made_by_nothing_is_absent_where_it_can_be():
    ours, others = Ref("PermissionSet", "Old"), Ref("Profile", "Admin")
    app_file = Ref("ExtlClntAppOauthSettings", "L_oauth")
    recorded = [ours, others, app_file, Ref("ConnectedApp", "A")]
    assert narrowed(wanted_of(), wanted_of(app("A")), recorded).absent == (ours,)


def test_an_external_client_app_is_reached_whole():
    def part(type_, name, inside):
        owner = "<externalClientApplication>L</externalClientApplication>"
        return component(Ref(type_, name), owner + inside)

    header = component(Ref("ExternalClientApplication", "L"), "<label>L</label>")
    settings = part("ExtlClntAppOauthSettings", "L_oauth", "")
    old = part("ExtlClntAppGlobalOauthSettings", "L_g", "<callbackUrl>a</callbackUrl>")
    new = part("ExtlClntAppGlobalOauthSettings", "L_g", "<callbackUrl>b</callbackUrl>")
    was, now = (wanted_of(header, settings, g, app("A")) for g in (old, new))
    assert {c.ref.full_name for c in narrowed(was, now).components} == {
        "L",
        "L_oauth",
        "L_g",
    }
