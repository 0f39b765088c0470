"""The way back: deploying and rolling back leaves an org as it was."""

from __future__ import annotations

import pytest
from fake_org import FakeJournal, FakeOrg, component, holder
from hypothesis import assume, given
from planning import projects, wanted_of

from metadeploy import deploy as flow
from metadeploy import reading
from metadeploy.access import raise_access
from metadeploy.api import Orgs
from metadeploy.errors import ConfigError, StalePlan
from metadeploy.keys import KeyChoice
from metadeploy.model import Manifest, Ref, Secret
from metadeploy.plan import make_plan
from metadeploy.rollback import ALLOWED, wanted_before
from metadeploy.runs import Runs
from metadeploy.workspace import Workspace

EVERYTHING = frozenset(
    {"deletion", "revoke", "mass-change", "lockout", "interruption", "production"}
)
MASTER = Secret("m" * 32)


# The law, for any two states of a stand-in for an org.


def lay(org, components, recorded=()):
    """Deploy components; return the plan that did it."""
    wanted = wanted_of(*components)
    plan = make_plan(
        reading.read_actual(org.target(), wanted), wanted, recorded, allowed=EVERYTHING
    )
    outcome = flow.deploy(org.target(), plan, FakeJournal([]), lambda: MASTER)
    assert outcome.verified is None or outcome.verified.ok
    return plan


def state(org):
    raised = {ref: c.body for ref, c in org.kept.items()}
    return raised, {a: frozenset(h) for a, h in org.access.items() if h}


@given(projects(), projects())
def test_deploying_and_rolling_back_is_nothing(before, after):
    org, both = FakeOrg(), (before, after)
    ours = {c.ref.full_name for s in both for c in s if c.ref.type == "ConnectedApp"}
    for components in both:
        declared = raise_access(components).access
        others = {name for name, said in declared.items() if not said.owned}
        assume(not others & ours)  # one name, one app
        for name in others:
            org.installed.setdefault(name, f"0H4000000000{ord(name[0]):03}AAA")
    first = lay(org, before)
    was = state(org)
    recorded = first.wanted.components
    run = lay(org, after, recorded)
    back = wanted_before(run, run.before, recorded, lambda app, key: KeyChoice())
    actual = reading.read_actual(org.target(), back)
    plan = make_plan(actual, back, run.wanted.components, allowed=EVERYTHING)
    outcome = flow.deploy(org.target(), plan, FakeJournal([]), lambda: MASTER)
    assert outcome.verified is None or outcome.verified.ok
    assert state(org) == was


# What the way back holds.


def test_a_certificate_that_no_org_gives_back_is_kept():
    def settings(name="", inside=""):
        body = f"{inside}<externalClientApplication>Portal</externalClientApplication>"
        ref = Ref("ExtlClntAppGlobalOauthSettings", f"Portal{name}")
        return component(ref, f"{body}<label>Portal</label>")

    cert = "<certificate>{}</certificate>".format
    new = settings(inside=f"{cert('new')}<callbackUrl>https://b.example</callbackUrl>")
    org = FakeOrg()
    org.kept[new.ref] = settings()
    wanted = wanted_of(new)
    run = make_plan(reading.read_actual(org.target(), wanted), wanted)

    def back(recorded):
        (found,) = wanted_before(run, run.before, recorded, no_choice).components
        return found.body

    assert b"<certificate>old<" in back([settings(inside=cert("old"))])
    assert b"<certificate>new<" in back([])

    # Nobody knows one: there is none to keep.
    bare = wanted_of(settings(inside="<callbackUrl>https://c.example</callbackUrl>"))
    run = make_plan(reading.read_actual(org.target(), bare), bare)
    assert b"<certificate>" not in back([settings()])
    plain = make_plan(
        reading.read_actual(org.target(), wanted_of(settings())), wanted_of(settings())
    )
    assert plain.empty


def no_choice(app, key):
    raise AssertionError("no app is created anew")


def test_only_a_new_apps_header_is_deleted():
    parent = "<externalClientApplication>Portal</externalClientApplication>"
    package_ = [
        component(Ref("ExternalClientApplication", "Portal"), "<label>P</label>"),
        component(Ref("ExtlClntAppOauthSettings", "Portal_oauth"), parent),
        component(Ref("PermissionSet", "New"), "<label>New</label>"),
    ]
    org = FakeOrg()
    wanted = wanted_of(*package_)
    run = make_plan(reading.read_actual(org.target(), wanted), wanted)
    back = wanted_before(run, run.before, (), no_choice)
    assert back.absent == (package_[0].ref, package_[2].ref)
    assert back.components == ()


def test_an_app_of_others_loses_what_the_run_gave_only():
    org = FakeOrg(installed={"Data Loader": "0H4000000000900AAA"})
    mine, theirs = holder("Mine", "Data Loader"), Ref("PermissionSet", "Theirs")
    org.kept[mine.ref] = raise_access([mine]).components[0]
    org.access["Data Loader"] = {theirs}
    wanted = wanted_of(mine)
    run = make_plan(reading.read_actual(org.target(), wanted), wanted)
    said = wanted_before(run, run.before, (), no_choice).access["Data Loader"]
    assert (said.grants, said.revokes) == ({theirs}, {mine.ref})
    assert not said.owned


# On an emulated org, by what can be asked of it.


@pytest.fixture
def orgs(project, monkeypatch):
    for name in ("KEY", "KEY_FILE", "KEY_PREVIOUS"):
        monkeypatch.delenv(f"METADEPLOY_MASTER_{name}", raising=False)
    monkeypatch.setenv("METADEPLOY_CONFIG", str(project / "no" / "config.yaml"))
    made = []

    def open_():
        made.append(Orgs(Workspace(project)))
        return made[-1]

    yield open_
    for one in made:
        one.__exit__()


TYPES = (
    "ConnectedApp",
    "ExternalClientApplication",
    "ExtlClntAppConfigurablePolicies",
    "ExtlClntAppGlobalOauthSettings",
    "ExtlClntAppOauthConfigurablePolicies",
    "ExtlClntAppOauthSettings",
    "PermissionSet",
    "Profile",
)


def told(orgs):
    """All that an org says: its files, byte for byte, and who may use what."""
    target = orgs.target(orgs.project.org("dev"))
    rows = [
        row
        for n in range(0, len(TYPES), 3)
        for row in target.metadata.list_metadata(TYPES[n : n + 3])
    ]
    manifest = Manifest.of((row.ref for row in rows), "66.0")
    retrieved = target.metadata.check_retrieve_status(
        target.metadata.retrieve(manifest)
    )
    access = target.data.query(
        "SELECT Parent.Name, SetupEntityType FROM SetupEntityAccess"
    )
    holders = sorted(str((r["Parent"]["Name"], r["SetupEntityType"])) for r in access)
    return {c.ref: c.body for c in retrieved.components}, holders


def ship(orgs, **how):
    plan = orgs.plan("dev", allowed=EVERYTHING)
    outcome = orgs.deploy(plan, allowed=EVERYTHING, recheck=False, **how)
    assert outcome.verified is None or outcome.verified.ok
    return outcome


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new), "utf-8")


ORG_FILE = "orgs/dev.yaml"
PORTAL = "templates/connectedApps/Portal.connectedApp.j2"
SET = "templates/permissionsets/Portal_API.permissionset.j2"
PROFILE = "templates/profiles/Portal Community User.profile.j2"
RIGHT = "<userPermissions><enabled>true</enabled><name>{}</name></userPermissions>"


def access_taken(project):
    edit(project / ORG_FILE, "open_to_admins: true", "open_to_admins: false")


def app_changed(project):
    edit(
        project / PORTAL, "<startUrl>", "<contactPhone>1</contactPhone>\n    <startUrl>"
    )
    edit(project / ORG_FILE, "ip_relaxation: BYPASS", "ip_relaxation: ENFORCE")


def app_gets_a_new_key(project):
    with (project / ORG_FILE).open("a") as file:
        file.write("\napps: {Portal: {generation: 2}}\n")


def rights_changed(project):
    edit(project / SET, "ApiEnabled", "RunReports")


def rights_added(project):
    for path in (SET, PROFILE):
        text = (project / path).read_text("utf-8")
        end = text.rindex("</")
        right = RIGHT.format("RunReports")
        (project / path).write_text(f"{text[:end]}    {right}\n{text[end:]}", "utf-8")


def set_added(project):
    new = project / "templates/permissionsets/New.permissionset.j2"
    new.write_text(
        '<PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata">'
        "<connectedAppAccesses><connectedApp>Portal</connectedApp><enabled>true"
        "</enabled></connectedAppAccesses><label>New</label></PermissionSet>",
        "utf-8",
    )


def client_app_changed(project):
    for path in (project / "orgs/defaults.yaml", project / ORG_FILE):
        text = path.read_text("utf-8")
        if "Books payments & refunds" in text:
            path.write_text(text.replace("Books payments & refunds", "Books more"))
            return
    raise AssertionError("the example has changed")


EDITS = [
    access_taken,
    app_changed,
    app_gets_a_new_key,
    rights_changed,
    rights_added,
    set_added,
    client_app_changed,
]


@pytest.mark.parametrize("change", EDITS, ids=lambda change: change.__name__)
def test_an_emulated_org_is_as_before(orgs, project, change):
    with orgs() as first:
        ship(first)
        was, org_id = told(first), first.org_id(first.project.org("dev"))
        recorded = first.journal().recorded(org_id)
    change(project)
    with orgs() as second:
        ship(second)
        assert told(second) != was
        runs = Runs(second)
        goal = runs.goal_back("dev", runs.newest("dev"))
        allowed = ALLOWED | {"interruption", "lockout"}
        plan = runs.plan_back(goal, allowed=allowed)
        outcome = second.deploy(plan, allowed=allowed, recheck=False, goal=goal)
        assert outcome.verified.ok, outcome.verified
        assert told(second) == was
        assert second.journal().recorded(org_id) == recorded


def test_all_of_it_is_taken_back(orgs, project):
    with orgs() as one:
        org_id = one.org_id(one.project.org("dev"))
        was = told(one)
        ship(one)
        assert one.journal().recorded(org_id) != ()
        runs = Runs(one)
        goal = runs.goal_back("dev", runs.newest("dev"))
        one.deploy(runs.plan_back(goal), allowed=ALLOWED, recheck=False, goal=goal)
        assert told(one) == was
        assert one.journal().recorded(org_id) == ()
        with pytest.raises(ConfigError, match="no run here that could be taken back"):
            runs.newest("dev")
        ship(one)  # and there again


def test_an_org_that_moved_is_not_taken_back_unseen(orgs, project):
    with orgs() as one:
        ship(one)
        runs = Runs(one)
        goal = runs.goal_back("dev", runs.newest("dev"))
        plan = runs.plan_back(goal)
        app_changed(project)
    with orgs() as other:
        ship(other)
    with orgs() as one, pytest.raises(StalePlan):
        one.deploy(plan, allowed=ALLOWED, goal=goal)


def test_a_run_of_another_org_is_not_taken_back(orgs):
    with orgs() as one:
        run_id = ship(one).run_id
        with pytest.raises(ConfigError, match="was of org dev"):
            Runs(one).goal_back("uat", run_id)
        with pytest.raises(ConfigError, match="the journal has no run nope"):
            Runs(one).goal_back("dev", "nope")
