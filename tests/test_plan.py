"""What a plan holds, refuses, and is recognised by."""

from __future__ import annotations

import pytest
from fake_org import FakeJournal, FakeOrg, app, component, holder
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from planning import (
    EMPTY,
    FACTS,
    access_maps,
    actual_of,
    actuals,
    holders,
    permission_set,
    projects,
    wanted_of,
)

from metadeploy import deploy as flow
from metadeploy import reading
from metadeploy.access import AppAccess, raise_access
from metadeploy.diff import AccessChange, Action
from metadeploy.keys import KeyChoice
from metadeploy.model import METADATA_NS, Component, Ref, Secret, Source
from metadeploy.plan import Before, locate, make_plan, renamed

APP = Ref("ConnectedApp", "Portal")
SET = Ref("PermissionSet", "Portal_API")
ADMIN = Ref("Profile", "Admin")
PORTAL = (app(), holder("Portal_API", "Portal"))


# What is sent.


def test_everything_is_new_in_an_empty_org():
    plan = make_plan(EMPTY, wanted_of(*PORTAL))
    assert [(c.action, c.ref) for c in plan.changes] == [
        (Action.CREATE, APP),
        (Action.CREATE, SET),
    ]
    assert plan.access_changes == (AccessChange("Portal", SET, Action.GRANT),)
    assert [c.ref for c in plan.package] == [APP, SET]
    assert [(k.app, k.component, k.choice) for k in plan.new_keys] == [
        ("Portal", APP, KeyChoice())
    ]
    assert not plan.empty
    assert plan.refusals == () == plan.drift
    assert plan.replaced == ()


def test_nothing_is_sent_to_an_org_that_matches():
    actual = actual_of(*PORTAL, access={"Portal": {SET}})
    plan = make_plan(actual, wanted_of(*PORTAL))
    assert plan.empty
    assert plan.package == () == plan.new_keys


def test_only_what_changes_is_sent():
    actual = actual_of(app(), holder("Portal_API"), access={"Portal": {SET}})
    plan = make_plan(actual, wanted_of(app(label="New"), PORTAL[1]))
    assert [c.ref for c in plan.package] == [APP]
    assert b"<label>New</label>" in plan.package[0].body
    assert plan.new_keys == ()


def test_an_app_is_sent_for_its_holders_alone():
    plan = make_plan(actual_of(*PORTAL), wanted_of(*PORTAL))
    assert plan.changes == ()
    (sent,) = plan.package
    assert b"<permissionSetName>Portal_API</permissionSetName>" in sent.body
    assert plan.new_keys == ()


def test_what_is_declared_of_access_is_never_sent():
    plan = make_plan(
        EMPTY, wanted_of(*PORTAL, holder("Admin", "Portal", type_="Profile"))
    )
    bodies = b"".join(c.body for c in plan.package)
    assert b"connectedAppAccesses" not in bodies
    assert b"<profileName>System Administrator</profileName>" in bodies


def test_a_permission_set_is_laid_over_what_the_org_has():
    actual = actual_of(permission_set("P", permissions=["ApiEnabled", "RunReports"]))
    plan = make_plan(
        actual, wanted_of(permission_set("P", permissions=["ManageUsers"]))
    )
    (sent,) = plan.package
    for name in (b"ApiEnabled", b"RunReports", b"ManageUsers"):
        assert b"<name>%b</name>" % name in sent.body


def test_what_we_deployed_and_want_no_more_goes_away():
    before = permission_set("P", permissions=["ApiEnabled", "RunReports"])
    was = raise_access([permission_set("P", permissions=["ApiEnabled"])]).components
    plan = make_plan(actual_of(before), wanted_of(permission_set("P")), was)
    (sent,) = plan.package
    assert b"ApiEnabled" not in sent.body
    assert b"RunReports" in sent.body


def test_keys_of_apps_that_are_there_are_left_out():
    key = "<consumerKey>PinnedKey0001</consumerKey>"
    pinned = replace(
        app(),
        body=app().body.replace(b"<oauthConfig>", b"<oauthConfig>" + key.encode()),
    )
    created = make_plan(EMPTY, wanted_of(pinned))
    assert created.new_keys[0].choice == KeyChoice(1, "PinnedKey0001")
    changed = replace(pinned, body=pinned.body.replace(b">Portal<", b">New<"))
    updated = make_plan(actual_of(app()), wanted_of(changed))
    assert b"consumerKey" not in updated.package[0].body


def test_an_app_without_oauth_needs_no_key():
    bare = component(APP, "<contactEmail>a@example.com</contactEmail><label>P</label>")
    assert make_plan(EMPTY, wanted_of(bare)).new_keys == ()


def test_how_a_key_is_chosen():
    choices = {"Portal": KeyChoice(3, "")}
    plan = make_plan(EMPTY, wanted_of(*PORTAL, choices=choices))
    assert plan.new_keys[0].choice == KeyChoice(3, "")


def test_a_policy_lists_the_holders_of_its_app():
    parent = "<externalClientApplication>Portal</externalClientApplication>"
    policy = component(
        Ref("ExtlClntAppOauthConfigurablePolicies", "Portal_plcy"),
        f"<commaSeparatedPermissionSet>Portal_API</commaSeparatedPermissionSet>{parent}"
        "<label>P</label><permittedUsersPolicyType>AdminApprovedPreAuthorized"
        "</permittedUsersPolicyType>",
    )
    plan = make_plan(actual_of(policy), wanted_of(policy))
    (sent,) = plan.package
    assert b"<commaSeparatedPermissionSet>Portal_API<" in sent.body
    nobody = replace(policy, body=policy.body.replace(b">Portal_API<", b"><"))
    refused = make_plan(actual_of(policy, access={"Portal": {SET}}), wanted_of(nobody))
    assert [r.code for r in refused.refusals] == ["revoke", "lockout"]


def test_drift_is_what_somebody_else_changed():
    recorded = raise_access([app(), permission_set("P")]).components
    actual = actual_of(app(label="Theirs"))
    plan = make_plan(actual, wanted_of(app(), permission_set("P")), recorded)
    assert [(c.action, c.ref.full_name) for c in plan.drift] == [
        (Action.UPDATE, "Portal"),
        (Action.DELETE, "P"),
    ]
    assert [(f.path, f.actual, f.wanted) for f in plan.drift[0].fields] == [
        ("label", "Theirs", "Portal")
    ]


def test_what_we_want_no_more_is_no_drift():
    recorded = raise_access([permission_set("Gone")]).components
    assert make_plan(EMPTY, wanted_of(app()), recorded).drift == ()


# What is refused.

LOCKED = "nobody could use Portal any more: it is admin-approved."
CASES = {
    "a sandbox": ({}, {"Portal": {SET}}, PORTAL, []),
    "production": ({"production": True}, {}, PORTAL, ["production"]),
    "production that matches": (
        {"production": True},
        {"Portal": {SET}},
        PORTAL,
        [],
    ),
    "the last holder goes": (
        {},
        {"Portal": {SET}},
        (app(inside="<permissionSetName/>"), holder("Portal_API")),
        ["revoke", "lockout"],
    ),
    "the last holder goes in production": (
        {"production": True},
        {"Portal": {SET}},
        (app(inside="<permissionSetName/>"), holder("Portal_API")),
        ["production", "revoke", "lockout"],
    ),
    "the last but one goes": (
        {},
        {"Portal": {SET, ADMIN}},
        PORTAL,
        ["revoke"],
    ),
    "nobody had it before": (
        {},
        {"Portal": set()},
        (app(inside="<permissionSetName/>"), holder("Portal_API")),
        [],
    ),
    "everybody may use it": (
        {},
        {"Portal": {SET}},
        (
            replace(
                app(inside="<permissionSetName/>"),
                body=app(inside="<permissionSetName/>").body.replace(b"true", b"false"),
            ),
            holder("Portal_API"),
        ),
        ["revoke"],
    ),
    "one is taken from an app of others": (
        {},
        {"Portal": {SET, ADMIN}},
        (holder("Portal_API", "-Portal"),),
        ["revoke"],
    ),
}


@pytest.mark.parametrize(
    ("about", "access", "components", "codes"), CASES.values(), ids=CASES
)
def test_what_is_refused_until_it_is_allowed(about, access, components, codes):
    facts = replace(FACTS, **about)
    actual = actual_of(app(), holder("Portal_API"), access=access, facts=facts)
    wanted = wanted_of(*components)
    plan = make_plan(actual, wanted)
    assert [r.code for r in plan.refusals] == codes
    for refusal in plan.refusals:
        assert f"{refusal.message}. Allow it with {refusal.flag}." == str(refusal)
    assert make_plan(actual, wanted, allowed=frozenset(codes)).refusals == ()
    some = make_plan(actual, wanted, allowed=frozenset(codes[1:]))
    assert [r.code for r in some.refusals] == codes[:1]
    assert some.fingerprint == plan.fingerprint  # allowing changes nothing that is sent


def many(count, label="P"):
    return [permission_set(f"S{n}", label=label) for n in range(count)]


@pytest.mark.parametrize(
    ("there", "changed", "refused"),
    [(9, 9, False), (10, 3, False), (10, 4, True), (20, 6, False), (20, 7, True)],
)
def test_much_of_what_is_there_is_not_changed_at_once(there, changed, refused):
    """As octoDNS has it: more than 30 %, of ten or more."""
    actual = actual_of(*many(there))
    wanted = wanted_of(*many(changed, "new"), *many(there)[changed:], app("New"))
    plan = make_plan(actual, wanted)
    assert [r.code for r in plan.refusals] == ["mass-change"] * refused
    if refused:
        assert f"changes {changed} of the {there} components" in str(plan.refusals[0])


def test_what_is_to_be_absent_is_deleted():
    actual = actual_of(app(), permission_set("Gone"))
    gone, never = Ref("PermissionSet", "Gone"), Ref("PermissionSet", "Never")
    wanted = replace(wanted_of(app()), absent=(gone, never))
    plan = make_plan(actual, wanted)
    assert [(c.action, c.ref) for c in plan.changes] == [(Action.DELETE, gone)]
    assert plan.deleted == (gone,)
    (refusal,) = plan.refusals
    assert (refusal.code, refusal.flag) == ("deletion", "--allow-delete")
    assert "this deletes PermissionSet Gone" in refusal.message
    files = plan.files(plan.package)
    assert b"<members>Gone</members>" in files["destructiveChangesPost.xml"]
    kept = make_plan(actual, wanted_of(app()))
    assert kept.empty and kept.fingerprint != plan.fingerprint
    assert plan.before.components == actual_of(permission_set("Gone")).components


def test_a_plan_knows_what_it_may_change():
    actual = actual_of(app(), permission_set("Else"), access={"Portal": {SET, ADMIN}})
    plan = make_plan(actual, wanted_of(*PORTAL))
    assert plan.before.absent == (SET,)
    assert [c.ref for c in plan.before.components] == [APP]
    assert plan.before.access == {"Portal": {SET, ADMIN}}
    assert make_plan(actual, wanted_of()).before == Before()


def test_a_key_that_is_replaced_is_named():
    actual = actual_of(app(), access={"Portal": {SET}})
    plan = make_plan(actual, wanted_of(*PORTAL), replaced=frozenset({APP}))
    (refusal,) = plan.refusals
    assert (refusal.code, refusal.flag) == ("interruption", "--allow-interruption")
    assert "Portal is deleted and created anew" in refusal.message
    assert "no template says" not in refusal.message
    assert plan.replaced == (APP,)
    assert [k.app for k in plan.new_keys] == ["Portal"]
    silent = make_plan(actual, wanted_of(app()), replaced=frozenset({APP}))
    assert "no template says who may use it" in silent.refusals[0].message


# The fingerprint.


@given(actuals(), projects(), projects(), st.randoms(use_true_random=False))
def test_order_is_no_part_of_a_fingerprint(actual, components, recorded, chance):
    wanted = wanted_of(*components)
    was = raise_access(recorded).components

    def shuffled(items):
        return tuple(chance.sample(items, len(items)))

    def mixed(mapping):
        return dict(shuffled(list(mapping.items())))

    other = replace(
        actual,
        components=shuffled(actual.components),
        access=mixed(actual.access),
        consumer_keys=mixed(actual.consumer_keys),
    )
    again = replace(
        wanted,
        components=shuffled(wanted.components),
        access=mixed(wanted.access),
        keys=mixed(wanted.keys),
        places=shuffled(wanted.places),
    )
    one = make_plan(actual, wanted, was)
    two = make_plan(other, again, shuffled(was))
    assert one.fingerprint == two.fingerprint
    assert (one.changes, one.access_changes) == (two.changes, two.access_changes)


def fingerprint(actual, wanted, **how):
    return make_plan(actual, wanted, **how).fingerprint


@given(actuals(), projects())
def test_a_fingerprint_is_of_one_org_and_version(actual, components):
    other = replace(actual, facts=replace(FACTS, org_id="00D000000000009AAA"))
    wanted = wanted_of(*components)
    assert fingerprint(actual, wanted) != fingerprint(other, wanted)
    newer = wanted_of(*components, version="65.0")
    assert fingerprint(actual, wanted) != fingerprint(actual, newer)


@given(actuals(), actuals(), projects())
def test_a_fingerprint_is_of_one_live_state(one, two, components):
    assume((set(one.components), one.access) != (set(two.components), two.access))
    wanted = wanted_of(*components)
    assert fingerprint(one, wanted) != fingerprint(two, wanted)


@given(actuals(), projects(), projects())
def test_a_fingerprint_is_of_one_package(actual, one, two):
    plans = [make_plan(actual, wanted_of(*c)) for c in (one, two)]
    sent = [sorted((c.ref, c.body) for c in p.package) for p in plans]
    assume(sent[0] != sent[1])
    assert plans[0].fingerprint != plans[1].fingerprint


said = st.builds(AppAccess, holders, holders, st.booleans())


@given(access_maps, said, said)
def test_a_fingerprint_is_of_one_access(live, one, two):
    assume(one != two)
    actual = actual_of(access=live)

    def of(access):
        return fingerprint(actual, replace(wanted_of(), access={"A": access}))

    assert of(one) != of(two)


def test_a_fingerprint_is_of_the_keys_that_are_made():
    def of(choice):
        return fingerprint(EMPTY, wanted_of(app(), choices={"Portal": choice}))

    found = {of(KeyChoice(g, p)) for g in (1, 2) for p in ("", "PinnedKey0001")}
    assert len(found) == 4
    # An app that is there gets none: what would be made for it is no matter.
    there = actual_of(app())
    wanted = [wanted_of(app(), choices={"Portal": KeyChoice(g)}) for g in (1, 2)]
    assert fingerprint(there, wanted[0]) == fingerprint(there, wanted[1])


def test_a_fingerprint_is_of_what_is_replaced():
    actual = actual_of(app())
    wanted = wanted_of(app())
    anew = fingerprint(actual, wanted, replaced=frozenset({APP}))
    assert anew != fingerprint(actual, wanted)


# The law of it all.


@given(projects(), projects(), st.booleans())
def test_a_plan_that_ran_leaves_nothing_to_do(before, after, ignores):
    org = FakeOrg(ignores_lists=ignores)
    journal = FakeJournal([])
    for components in (before, after):
        declared = raise_access(components).access
        ours = {c.ref.full_name for c in components if c.ref.type == "ConnectedApp"}
        for name in declared.keys() - ours:
            org.installed.setdefault(name, f"0H4000000000{ord(name[0]):03}AAA")
        wanted = wanted_of(*components)
        actual = reading.read_actual(org.target(), wanted)
        plan = make_plan(actual, wanted, allowed=frozenset({"lockout", "revoke"}))
        outcome = flow.deploy(org.target(), plan, journal, lambda: Secret("m" * 32))
        assert outcome.verified is None or outcome.verified.ok
        again = make_plan(reading.read_actual(org.target(), wanted), wanted)
        assert again.empty, (again.changes, again.access_changes)
        assert again.package == ()


# Places.


def test_where_a_line_comes_from():
    source = Source("templates/a.j2", (("templates/a.j2", 3), ("templates/m.j2", 9)))
    found = {APP: source, SET: None}
    assert locate(found, APP, 2) == "templates/m.j2:9"
    assert locate(found, APP, 0) == "templates/a.j2"
    assert locate(found, SET, 1) == "" == locate(found, ADMIN, 1)


def test_a_lowered_line_knows_who_declared_it():
    text = (
        f'<PermissionSet xmlns="{METADATA_NS}">\n<connectedAppAccesses>\n'
        "<connectedApp>Portal</connectedApp>\n<enabled>true</enabled>\n"
        "</connectedAppAccesses>\n<label>P</label>\n</PermissionSet>"
    )
    lines = tuple(("templates/p.j2", n) for n in range(1, 8))
    declares = Component(SET, text.encode(), Source("templates/p.j2", lines))
    portal = replace(
        app(), source=Source("templates/app.j2", (("templates/app.j2", 1),))
    )
    (sent, _) = make_plan(EMPTY, wanted_of(portal, declares)).package
    rows = sent.body.decode().splitlines()
    line = next(n for n, row in enumerate(rows, 1) if "permissionSetName" in row)
    assert locate({APP: sent.source}, APP, line) == "templates/p.j2:2"


def test_components_under_the_orgs_own_names():
    wanted = wanted_of(*PORTAL)
    assert renamed(wanted, {}) is wanted
    other = Ref("ConnectedApp", "Zebra")
    found = renamed(wanted, {APP: other, ADMIN: SET})
    assert [c.ref for c in found.components] == [other, SET]
    assert found.components[0].body == wanted.components[0].body
    assert found.access == wanted.access
