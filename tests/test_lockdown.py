"""What API Access Control costs, by a plan and a survey; and what a survey reads."""

from __future__ import annotations

import json

import pytest
from fake_org import app
from planning import actual_of, permission_set, wanted_of
from raw_server import http

from metadeploy import lockdown
from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.lockdown import AppUser, InstalledApp, Survey
from metadeploy.model import Component, Ref, Secret
from metadeploy.plan import make_plan
from metadeploy.reach import LOOPBACK

INTERNAL = "enableAdminApprovedAppsOnly"
EXTERNAL = "enableAdminApprovedAppsOnlyForExternalUser"
STAFF, SALES = Ref("Profile", "Standard"), Ref("PermissionSet", "Sales")


def settings_component(**switches):
    rows = "".join(f"<{name}>{value}</{name}>" for name, value in switches.items())
    namespace = "http://soap.sforce.com/2006/04/metadata"
    text = f'<ConnectedAppSettings xmlns="{namespace}">{rows}</ConnectedAppSettings>'
    return Component(lockdown.SETTINGS, text.encode())


ON = settings_component(**{INTERNAL: "true"})


def plan(*wanted, live=()):
    return make_plan(actual_of(*live), wanted_of(*wanted))


@pytest.mark.parametrize(
    ("wanted", "live", "kinds"),
    [
        ({INTERNAL: "true"}, None, {True}),
        ({EXTERNAL: "true"}, None, {False}),
        ({INTERNAL: "true", EXTERNAL: "true"}, {INTERNAL: "true"}, {False}),
        ({INTERNAL: "true"}, {INTERNAL: "false"}, {True}),
        ({INTERNAL: "true"}, {INTERNAL: "true"}, set()),
        ({INTERNAL: "false"}, {INTERNAL: "true"}, set()),
        ({INTERNAL: "false"}, None, set()),
    ],
)
def test_what_is_switched_on(wanted, live, kinds):
    have = () if live is None else (settings_component(**live),)
    made = plan(settings_component(**wanted), live=have)
    assert lockdown.switched_on(made) == kinds


def assess(*apps, users=(), held=None, made=None, **more):
    survey = Survey(apps, tuple(users), held or {}, **more)
    risks, refusals = lockdown.assess(made or plan(ON), survey)
    assert risks[-1].code == "not-known"
    return [(r.code, r.message) for r in risks[:-1]], [r.message for r in refusals]


def test_an_app_that_is_admin_approved_already_changes_nothing():
    users = [AppUser("Loader", "a@b.c")]
    assert assess(InstalledApp("Loader", True), users=users) == ([], [])


def test_who_holds_an_app_or_may_use_any_keeps_access():
    users = [AppUser("Loader", name) for name in ("a", "b", "c")]
    risks, refusals = assess(
        InstalledApp("Loader", False, frozenset({STAFF})),
        users=users,
        held={"a": frozenset({STAFF, SALES}), "b": frozenset({SALES})},
        unhindered=frozenset({"c"}),
    )
    assert risks == [
        ("users-lose-access", "Loader: 1 of its 3 users would lose access: b")
    ]
    assert refusals == [
        "with API Access Control on, 1 user would lose access to Loader"
    ]


def test_many_users_are_counted():
    users = [AppUser("Loader", f"u{n}") for n in range(8)]
    ((_, text),), (refusal,) = assess(InstalledApp("Loader", False), users=users)
    assert text.endswith("has it; u0, u1, u2, u3, u4 and 3 more")
    assert "8 users would lose access" in refusal


def test_each_switch_is_about_its_own_users():
    users = [AppUser("Loader", "staff"), AppUser("Loader", "partner", internal=False)]
    _, (refusal,) = assess(InstalledApp("Loader", False), users=users)
    assert "1 user would lose" in refusal
    made = plan(settings_component(**{EXTERNAL: "true"}))
    (found,), _ = assess(InstalledApp("Loader", False), users=users, made=made)
    assert found[1].endswith("; partner")


def test_what_the_plan_gives_and_takes_counts():
    """Our own app is known to records by its label."""
    users = [AppUser("The Portal", "a")]
    held = {"a": frozenset({SALES})}
    ours = (app("Portal", label="The Portal"), ON)
    given = plan(*ours, permission_set("Sales", accesses=[("Portal", True)]))
    before = InstalledApp("The Portal", False)
    assert assess(before, users=users, held=held, made=given) == ([], [])
    taken = make_plan(
        actual_of(access={"The Portal": {SALES}}),
        wanted_of(ON, permission_set("Sales", accesses=[("The Portal", False)])),
    )
    before = InstalledApp("The Portal", False, frozenset({SALES}))
    (found,), _ = assess(before, users=users, held=held, made=taken)
    assert found[0] == "app-stops"


def test_what_could_not_be_read_is_told_and_refused():
    risks, refusals = assess(unread=("who uses which app (INVALID_TYPE)",))
    assert risks == [("not-known", "not known: who uses which app (INVALID_TYPE)")]
    assert refusals == ["nobody can tell whom API Access Control would keep out"]


# -- the survey


def rows(*found):
    body = {"done": True, "totalSize": len(found), "records": list(found)}
    return http(json.dumps(body), Content_Type="application/json")


def refusal(code):
    body = [{"errorCode": code, "message": "no"}]
    return http(json.dumps(body), 400, Content_Type="application/json")


@pytest.fixture
def survey_of(raw_server):
    made = []

    def to(*replies):
        made.append(
            Connection(raw_server(*replies).url, Secret("canary"), reach=LOOPBACK)
        )
        return DataApi(made[-1], "66.0").survey()

    yield to
    for connection in made:
        connection.close()


LOADER = {"Id": "0H4000000000001AAA", "Name": "Loader"}
ECA = {"Id": "0xI000000000001AAA", "MasterLabel": "New"}
ROW = {
    "Id": "0J0000000000001AAA",
    "SetupEntityId": LOADER["Id"],
    "Parent": {"Name": "Sales", "IsOwnedByProfile": False},
}
TOKEN = {"AppName": "Loader", "User": {"Username": "a@b.c", "UserType": "Standard"}}
USER = {"Username": "a@b.c", "Profile": {"Name": "Standard User"}}
ASSIGNED = {"Assignee": {"Username": "a@b.c"}, "PermissionSet": {"Name": "Sales"}}


def test_a_survey(survey_of):
    found = survey_of(
        rows({**LOADER, "OptionsAllowAdminApprovedUsersOnly": False}),
        rows(ECA),
        rows({"ExternalClientApplicationId": ECA["Id"]}),
        rows(ROW),
        rows(TOKEN, TOKEN),
        rows({"Assignee": {"Username": "x"}}),
        rows({"Username": "y"}),
        rows(USER),
        rows(ASSIGNED),
    )
    assert found == Survey(
        (
            InstalledApp("Loader", False, frozenset({SALES})),
            InstalledApp("New", True),
        ),
        (AppUser("Loader", "a@b.c"),),
        {"a@b.c": frozenset({STAFF, SALES})},
        frozenset({"x", "y"}),
    )


def test_what_an_org_hides_is_named(survey_of):
    found = survey_of(
        rows(LOADER), refusal("INVALID_TYPE"), refusal("INVALID_TYPE"), rows(),
        refusal("INSUFFICIENT_ACCESS"), refusal("INVALID_FIELD"),
    )  # fmt: skip
    assert found.unread == (
        "External Client Apps (INVALID_TYPE)",
        "policies of External Client Apps (INVALID_TYPE)",
        "who uses which app (INSUFFICIENT_ACCESS)",
        "who may use any API client (INVALID_FIELD)",
        "which profiles may use any API client (INVALID_FIELD)",
    )


def test_users_whose_profile_is_hidden_are_told_of(survey_of):
    found = survey_of(
        rows(LOADER), rows(), rows(), rows(), rows(TOKEN), rows(), rows(),
        refusal("INSUFFICIENT_ACCESS"), rows(ASSIGNED),
    )  # fmt: skip
    assert found.unread == ("users' profiles (INSUFFICIENT_ACCESS)",)
    assert found.held == {"a@b.c": frozenset({SALES})}
