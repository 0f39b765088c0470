"""The flow, against a stand-in for an org that can go wrong at every step."""

from __future__ import annotations

import pytest
from deploys import (
    APP,
    GRANT,
    LOST,
    MASTER,
    PORTAL,
    SET,
    client_app,
    deployed,
    no_master,
    planned,
    run,
    wanted_of,
)
from fake_org import (
    DEPLOY,
    ORG,
    FakeJournal,
    FakeOrg,
    Retrieved,
    app,
    component,
    failure,
    holder,
    result,
)
from msgspec.structs import replace

from metadeploy import keys, planning, reading
from metadeploy.access import raise_access
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    OutOfTime,
    PlanRefused,
    StalePlan,
    Stopped,
    Unreachable,
    Unverified,
)
from metadeploy.keys import KeyChoice
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployOptions,
    Ref,
    Source,
)
from metadeploy.plan import OrgFacts, make_plan
from metadeploy.target import Limits


@pytest.fixture
def org():
    return FakeOrg()


@pytest.fixture
def journal(org):
    return FakeJournal(org.log)


# What happens, in which order.


def test_everything_is_written_down_before_it_happens(org, journal):
    outcome = run(org, journal, planned(org, *PORTAL))
    steps = ["begin", "deploys", "sending", "deploy", "sent", "poll"]
    steps += ["retrieve", "prove", "finish"]
    assert org.calls(*steps) == steps
    assert org.log[0][0] == "begin"
    assert org.log[-1] == ("finish", "run1", "Verified")
    assert (journal.status, journal.deploy_id) == ("Verified", DEPLOY)
    assert outcome.run_id == "run1"
    assert outcome.result.status == "Succeeded"
    assert outcome.verified is not None and outcome.verified.ok
    assert outcome.repaired == () == outcome.own_keys


def test_what_is_recorded_is_what_was_verified(org, journal):
    plan = planned(org, *PORTAL)
    run(org, journal, plan)
    assert journal.recorded == plan.wanted.components
    assert b"consumerSecret" not in b"".join(c.body for c in journal.recorded)


def test_an_org_that_matches_is_sent_nothing(org, journal):
    deployed(org, *PORTAL)
    outcome = run(org, journal, planned(org, *PORTAL), key=no_master)
    assert (outcome.run_id, outcome.result.status) == ("", "Unchanged")
    assert outcome.verified is None
    assert org.log == []


def test_a_plan_is_never_slower_than_the_org(org, journal):
    run(org, journal, planned(org, *PORTAL))
    assert org.slept == []


def test_a_refused_plan_touches_nothing(org, journal):
    org.facts_ = replace(org.facts_, production=True)
    with pytest.raises(PlanRefused) as caught:
        run(org, journal, planned(org, *PORTAL))
    assert caught.value.refusals == (
        f"Acme ({ORG}) is a production org. Allow it with --production.",
    )
    assert org.log == []


def test_an_allowed_plan_runs(org, journal):
    org.facts_ = replace(org.facts_, production=True)
    run(org, journal, planned(org, *PORTAL, allowed=frozenset({"production"})))
    assert journal.status == "Verified"


def test_a_check_only_deploy_changes_nothing(org, journal):
    plan = planned(org, *PORTAL)
    outcome = run(org, journal, plan, options=DeployOptions(check_only=True))
    steps = ["begin", "deploys", "sending", "deploy", "sent", "poll", "finish"]
    assert org.calls() == steps
    assert ("deploy", True) in org.log
    assert (journal.status, journal.recorded) == ("Checked", ())
    assert outcome.verified is None
    assert org.kept == {} == org.access


# Keys.


def test_a_new_app_gets_its_key_and_secret(org, journal):
    run(org, journal, planned(org, *PORTAL))
    (sent,) = (c for c in org.sent[0] if c.ref == APP)
    made = keys.derive(MASTER, ORG, "Portal", 1)
    assert f"<consumerKey>{made.consumer_key}<".encode() in sent.body
    assert f"<consumerSecret>{made.consumer_secret.reveal()}<".encode() in sent.body
    assert ("prove", "Portal", ORG, made.consumer_key) in org.log


def test_an_app_that_is_there_is_sent_no_key(org, journal):
    deployed(org, *PORTAL)
    changed = (app(label="New"), PORTAL[1])
    run(org, journal, planned(org, *changed), key=no_master)
    (sent,) = org.sent
    assert b"<label>New</label>" in b"".join(c.body for c in sent)
    assert b"consumer" not in b"".join(c.body for c in sent)


def test_a_pinned_key_is_sent_without_any_master(org, journal):
    pinned = {"Portal": KeyChoice(1, "PinnedKey0001")}
    wanted = wanted_of(*PORTAL, choices=pinned)
    plan = make_plan(reading.read_actual(org.target(), wanted), wanted)
    run(org, journal, plan, key=no_master)
    body = b"".join(c.body for c in org.sent[0])
    assert b"<consumerKey>PinnedKey0001<" in body
    assert b"consumerSecret" not in body


def test_an_org_that_makes_the_key_itself_is_told_of(org, journal):
    def own(one):
        made = keys.Credentials("OrgsOwnKey", None, "org", 1)
        return keys.with_key(keys.without_key(one), made) if one.ref == APP else one

    org.spoil = own
    outcome = run(org, journal, planned(org, *PORTAL))
    assert outcome.own_keys == ("Portal",)
    assert ("prove", "Portal", ORG, "OrgsOwnKey") in org.log


# How a deploy ends.


def test_a_failure_names_the_template_line(org, journal):
    text = (
        f'<?xml version="1.0"?>\n<PermissionSet xmlns="{METADATA_NS}">\n'
        "<label>P</label>\n<license>\nNope</license>\n</PermissionSet>\n"
    )
    lines = tuple(("templates/x.j2", n * 10) for n in range(1, 7))
    made = Component(SET, text.encode(), Source("templates/x.j2", lines))
    settings = replace(
        component(Ref("Settings", "ConnectedApp")),
        body=f'<ConnectedAppSettings xmlns="{METADATA_NS}"/>'.encode(),
        source=Source("templates/settings/ConnectedApp.settings.j2"),
    )
    plan = planned(org, made, settings)
    org.statuses = [
        result(
            "Failed",
            error_message="whole",
            messages=(
                failure(SET, "no such license", line=4),
                failure(SET, "In field: license - no License named Nope found"),
                failure(SET, "In field: license - no License named Other found"),
                failure(
                    Ref("ConnectedAppSettings", "ConnectedApp"),
                    "Not available",
                    file_name="unpackaged/settings/ConnectedApp.settings",
                ),
                failure(Ref("", "package.xml"), "odd", file_name="package.xml"),
                replace(failure(SET, "fine"), success=True),
            ),
        )
    ]
    with pytest.raises(DeployFailed) as caught:
        run(org, journal, plan)
    assert str(caught.value).splitlines() == [
        f"org dev: deploy {DEPLOY} ended Failed",
        "whole",
        "templates/x.j2:40: PermissionSet Portal_API: no such license",
        "templates/x.j2:40: PermissionSet Portal_API: In field: license - no License"
        " named Nope found",
        "templates/x.j2: PermissionSet Portal_API: In field: license - no License named"
        " Other found",
        "templates/settings/ConnectedApp.settings.j2: ConnectedAppSettings"
        " ConnectedApp: Not available",
        "package.xml: odd",
    ]
    assert caught.value.result == org.statuses[0]
    assert (journal.status, journal.recorded) == ("Failed", ())
    assert org.calls("grant", "retrieve", "prove") == []


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (result("Canceled"), "Canceled"),
        (result("FinalizingFailed"), "FinalizingFailed"),
        (result("Succeeded", success=False), "Failed"),
        # Of these the org may have something, or all.
        (result("SucceededPartial"), "Unverified"),
        (result("SucceededPartial", success=True), "Unverified"),
        (result("Polished", success=True), "Unverified"),
    ],
)
def test_only_succeeded_is_success(org, journal, ended, status):
    plan = planned(org, *PORTAL)
    org.statuses = [ended]
    with pytest.raises(DeployFailed) as caught:
        run(org, journal, plan)
    assert (journal.status, journal.recorded) == (status, ())
    assert ("`metadeploy plan dev`" in caught.value.hint) == (status == "Unverified")


# Waiting.


def test_polls_slow_down_from_one_second_to_ten(org, journal):
    plan = planned(org, *PORTAL)
    running = [result("Pending"), *[result("InProgress")] * 9]
    org.statuses = [*running, result("Polishing", done=False), result()]
    run(org, journal, plan)
    assert org.slept[:4] == [1.0, 1.5, 2.25, 3.375]
    assert org.slept[-3:] == [10.0] * 3
    assert len(org.slept) == 11
    assert org.steps.count("InProgress") == 9
    assert journal.status == "Verified"


BLIPS = [
    LostAnswer("the connection broke"),
    Unreachable("no network"),
    ApiFault("SERVER_UNAVAILABLE", "later"),
    ApiFault("UNKNOWN_EXCEPTION", "odd"),
    ApiFault("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests"),
    ApiFault("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
]


def test_polls_that_are_lost_decide_nothing(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["poll"] = list(BLIPS)
    run(org, journal, plan)
    assert journal.status == "Verified"
    assert len(org.calls("poll")) == len(BLIPS) + 1
    assert len(org.calls("deploy")) == 1
    assert "the connection broke; asking again" in org.steps


def test_waiting_ends_in_time_and_the_run_stays_sent(org, journal):
    plan = planned(org, *PORTAL)
    org.statuses = [result("InProgress")]
    org.limits = Limits(until=60)
    with pytest.raises(DeployTimeout) as caught:
        run(org, journal, plan)
    assert org.time <= 60
    assert str(caught.value) == f"deploy {DEPLOY} is still running after 60 s"
    assert (journal.status, journal.deploy_id) == ("Sent", DEPLOY)
    assert journal.recorded == ()


def test_a_wait_of_no_time_asks_once(org, journal):
    plan = planned(org, *PORTAL)
    org.statuses = [result("Pending")]
    org.limits = Limits(until=0)
    with pytest.raises(DeployTimeout):
        run(org, journal, plan)
    assert len(org.calls("poll")) == 1
    assert org.slept == []


def test_a_session_that_ends_leaves_the_outcome_open(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["poll"] = [ApiFault("INVALID_SESSION_ID", "expired")]
    with pytest.raises(LostAnswer) as caught:
        run(org, journal, plan)
    assert f"deploy {DEPLOY} goes on" in str(caught.value)
    assert (journal.status, journal.deploy_id) == ("Unknown", DEPLOY)
    assert "`metadeploy runs resume dev` goes on from here" in caught.value.hint


# Sending.


def test_a_lost_answer_is_found_again(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["deploy answer"] = [LOST]
    outcome = run(org, journal, plan)
    assert len(org.sent) == 1
    assert outcome.result.id == DEPLOY == journal.deploy_id
    assert journal.status == "Verified"


@pytest.mark.parametrize("what", [LOST, ApiFault("SERVER_UNAVAILABLE", "later")])
def test_a_package_that_the_org_never_got_is_sent_again(org, journal, what):
    plan = planned(org, *PORTAL)
    org.faults["deploy"] = [what]
    run(org, journal, plan)
    assert len(org.sent) == 1  # the org saw one of the two
    assert org.calls("sending", "deploy") == ["sending", "deploy"] * 2
    assert org.time >= org.limits.window
    assert journal.status == "Verified"
    assert [s.number for s in journal.sends] == [1]  # byte for byte the same


def test_what_is_sent_again_is_what_was_sent(org, journal):
    plan = planned(org, *PORTAL)
    seen = []
    deploy = org.deploy

    def keeping(zip_bytes, options):
        seen.append(zip_bytes)
        return deploy(zip_bytes, options)

    org.deploy = keeping
    org.faults["deploy"] = [LOST, Unreachable("no network")]
    run(org, journal, plan)
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_an_answer_that_is_lost_for_ever_leaves_the_outcome_open(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["deploy answer"] = [LOST]
    org.faults["deploys"] = [None, *[LOST] * 9]
    with pytest.raises(LostAnswer) as caught:
        run(org, journal, plan)
    assert journal.status == "Unknown"
    assert "`metadeploy runs resume dev` goes on from here" in caught.value.hint
    assert len(org.sent) == 1


def test_an_org_that_shows_nobody_its_deploys_leaves_it_open(org, journal):
    plan = planned(org, *PORTAL)
    denied = ApiFault("INVALID_TYPE", "sObject type 'DeployRequest' is not supported.")
    org.faults["deploys"] = [denied, denied]
    org.faults["deploy answer"] = [LOST]
    with pytest.raises(LostAnswer, match="we cannot look: INVALID_TYPE"):
        run(org, journal, plan)
    assert journal.status == "Unknown"
    assert len(org.sent) == 1


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("no network"),
        ApiFault("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."),
    ],
)
def test_what_was_never_sent_is_sent_again_a_few_times(org, journal, error):
    plan = planned(org, *PORTAL)
    org.faults["deploy"] = [error] * 9
    with pytest.raises(Unreachable, match="the org did not take the package"):
        run(org, journal, plan)
    assert len(org.calls("deploy")) == 3
    assert org.sent == []
    assert journal.status == "NotSent"


def test_what_the_org_refuses_to_take_is_not_sent_again(org, journal):
    plan = planned(org, *PORTAL)
    refused = ApiFault("INVALID_OPERATION", "testLevel of NoTestRun cannot be used")
    org.faults["deploy"] = [refused]
    with pytest.raises(ApiFault, match="INVALID_OPERATION"):
        run(org, journal, plan)
    steps = ["begin", "deploys", "sending", "deploy", "finish"]
    assert org.calls() == steps
    assert journal.status == "NotSent"


def test_a_deploy_that_somebody_elses_lock_held_up_is_sent_again(org, journal):
    plan = planned(org, *PORTAL)
    locked = failure(SET, "unable to obtain exclusive access to this record")
    org.statuses = [result("Failed", messages=(locked,)), result()]
    run(org, journal, plan)
    assert journal.status == "Verified"
    assert len(org.sent) == 2
    assert 15.0 in org.slept


def test_nothing_is_sent_once_somebody_said_stop(org, journal):
    plan = planned(org, *PORTAL)
    org.limits = Limits(stop=lambda: True)
    with pytest.raises(Stopped):
        run(org, journal, plan)
    assert org.sent == []
    assert journal.status == "NotSent"


def test_no_master_no_deploy(org, journal):
    with pytest.raises(ConfigError, match="no master"):
        run(org, journal, planned(org, *PORTAL), key=no_master)
    assert org.sent == []
    assert journal.status == "NotSent"


def test_a_journal_that_breaks_after_the_deploy_began(org, journal):
    plan = planned(org, *PORTAL)
    journal.broken = ConfigError(f"deploy {DEPLOY} has begun, but the disk is full")
    with pytest.raises(LostAnswer, match="has begun"):
        run(org, journal, plan)
    assert org.calls()[-1] == "sent"  # and not "finish", as NotSent


# After the deploy.


def test_access_that_a_list_did_not_bring_is_brought_by_records(org, journal):
    plan = planned(org, *PORTAL)
    org.ignores_lists = True
    outcome = run(org, journal, plan)
    assert outcome.repaired == (GRANT,)
    assert org.access == {"Portal": {SET}}
    assert journal.status == "Verified"


def test_access_is_taken_back_by_records_too(org, journal):
    deployed(org, *PORTAL, holder("Old", "Portal"))
    org.ignores_lists = True
    components = (*PORTAL, holder("Old", "-Portal"))
    plan = planned(org, *components, allowed=frozenset({"revoke"}))
    outcome = run(org, journal, plan)
    gone = AccessChange("Portal", Ref("PermissionSet", "Old"), Action.REVOKE)
    assert outcome.repaired == (gone,)
    assert org.access == {"Portal": {SET}}


def test_an_app_that_is_not_ours_is_given_by_records_alone(org, journal):
    org.installed["Data Loader"] = "0H4000000000900AAA"
    org.kept[SET] = raise_access([holder("Portal_API")]).components[0]
    plan = planned(org, holder("Portal_API", "Data Loader"))
    assert plan.package == ()
    outcome = run(org, journal, plan)
    assert org.calls("deploy", "poll", "sent") == []
    assert outcome.repaired == (AccessChange("Data Loader", SET, Action.GRANT),)
    assert org.access == {"Data Loader": {SET}}
    assert journal.status == "Verified"


def test_an_app_that_nobody_has(org, journal):
    org.kept[SET] = raise_access([holder("Portal_API")]).components[0]
    plan = planned(org, holder("Portal_API", "Ghost"))
    with pytest.raises(ApiFault, match="the org has no app called 'Ghost'") as caught:
        run(org, journal, plan)
    assert journal.status == "Unverified"
    assert caught.value.hint == "`metadeploy plan dev` shows what is left to do."


def test_an_org_that_keeps_something_else_is_not_verified(org, journal):
    plan = planned(org, *PORTAL)
    org.spoil = lambda c: replace(c, body=c.body.replace(b">Portal<", b">Other<"))
    outcome = run(org, journal, plan)
    assert outcome.verified is not None and not outcome.verified.ok
    (change,) = outcome.verified.changes
    assert [f.path for f in change.fields] == ["label"]
    assert (journal.status, journal.recorded) == ("Unverified", ())


@pytest.mark.parametrize(
    ("proof", "status"), [(True, "Verified"), (None, "Verified"), (False, "Unverified")]
)
def test_an_app_that_gives_no_token_is_not_verified(org, journal, proof, status):
    plan = planned(org, *PORTAL)
    org.proof = proof
    outcome = run(org, journal, plan)
    assert [p.ok for p in outcome.verified.proofs] == [proof]
    assert journal.status == status


def test_an_app_without_a_key_proves_nothing(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["check_retrieve"] = [Retrieved(PORTAL)]
    outcome = run(org, journal, plan)
    (proof,) = outcome.verified.proofs
    assert (proof.ok, proof.detail) == (False, "the org reports no consumer key")
    assert org.calls("prove") == []


@pytest.mark.parametrize("call", ["retrieve", "grant", "parent_id", "holders"])
def test_an_error_after_success_does_not_hide_the_success(org, journal, call):
    plan = planned(org, *PORTAL)
    org.ignores_lists = True
    org.faults[call] = [ApiFault("INSUFFICIENT_ACCESS", "no")]
    with pytest.raises(ApiFault) as caught:
        run(org, journal, plan)
    assert (journal.status, journal.recorded) == ("Unverified", ())
    assert f"Deploy {DEPLOY} had succeeded by then." in caught.value.hint


# Reading.


def test_another_org_at_the_pinned_address(org):
    other = FakeOrg(OrgFacts("00D000000000009AAA", "Evil", False))
    with pytest.raises(ConfigError) as caught:
        planning.plan(other.target(), wanted_of(*PORTAL))
    assert str(caught.value) == (
        f"org dev is pinned to {ORG}, but 00D000000000009AAA (Evil) answers at its URL"
    )
    assert "Nothing was sent" in caught.value.hint
    assert other.calls() == ["facts"]


@pytest.mark.parametrize("pin", [ORG, ORG[:15], None])
def test_the_pinned_org(org, pin):
    wanted = wanted_of(*PORTAL)
    assert reading.read_actual(org.target(pin), wanted).facts.org_id == ORG


def test_what_the_org_has(org):
    deployed(org, *PORTAL)
    actual = reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert [c.ref for c in actual.components] == [APP, SET]
    assert actual.access == {"Portal": frozenset({SET})}
    key = keys.derive(MASTER, ORG, "Portal", 1).consumer_key
    assert actual.consumer_keys == {"Portal": key}


def test_what_nobody_asked_for_is_left_out(org):
    strangers = Retrieved((*PORTAL, app("Other")))
    org.faults["check_retrieve"] = [strangers]
    actual = reading.read_actual(org.target(), wanted_of(app()))
    assert [c.ref for c in actual.components] == [APP]


def test_nothing_wanted_nothing_retrieved(org):
    actual = reading.read_actual(org.target(), wanted_of())
    assert actual.components == ()
    assert org.calls() == ["facts"]


def test_a_retrieve_is_waited_for(org):
    org.faults["check_retrieve"] = ["running", "running", None]
    reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert org.slept == [1.0, 1.5]


def test_a_retrieve_is_not_waited_for_without_end(org):
    org.faults["check_retrieve"] = ["running"] * 1000
    with pytest.raises(OutOfTime, match="is not done in time"):
        reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert 600 < org.time < 620


@pytest.mark.parametrize("call", ["facts", "retrieve", "check_retrieve", "list"])
@pytest.mark.parametrize("blip", BLIPS[:3])
def test_a_lost_read_is_done_again(org, call, blip):
    deployed(org, *PORTAL)
    org.faults[call] = [blip, blip]
    actual = reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert len(actual.components) == 2
    assert org.slept == [1.0, 4.0]
    assert len(org.calls(call)) == 3


def test_a_read_is_not_done_without_end(org):
    org.faults["facts"] = [LostAnswer("reset")] * 9
    with pytest.raises(LostAnswer):
        reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert len(org.calls("facts")) == 3


def test_a_refused_read_is_not_done_again(org):
    org.faults["facts"] = [ApiFault("INVALID_SESSION_ID", "expired")]
    with pytest.raises(ApiFault):
        reading.read_actual(org.target(), wanted_of(*PORTAL))
    assert org.slept == []


@pytest.mark.parametrize("body", [b"<a>", b"", b'<!DOCTYPE a><a xmlns="x"/>'])
def test_an_org_that_gives_back_bad_xml(org, body):
    org.faults["check_retrieve"] = [Retrieved((Component(APP, body),))]
    with pytest.raises(ApiFault, match="the org returned bad XML"):
        reading.read_actual(org.target(), wanted_of(*PORTAL))


# Plans.


def test_a_plan_asks_for_what_we_recorded_by_the_orgs_own_id(org):
    asked = []

    def recorded(org_id):
        asked.append(org_id)
        return [app(label="Was")]

    deployed(org, *PORTAL)
    made = planning.plan(org.target(None), wanted_of(*PORTAL), recorded)
    assert asked == [ORG]
    assert [c.ref for c in made.drift] == [APP]
    assert made.empty


def test_a_plan_that_still_holds(org):
    planning.check_fresh(planned(org, *PORTAL), planned(org, *PORTAL))


def test_a_plan_of_an_org_that_moved_is_stale(org):
    before = planned(org, *PORTAL)
    deployed(org, app(label="Moved"))
    with pytest.raises(StalePlan) as caught:
        planning.check_fresh(before, planned(org, *PORTAL))
    assert "org dev is not as it was when the plan was made" in str(caught.value)
    assert before.fingerprint[:12] in str(caught.value)
    assert "Plan again" in caught.value.hint


BLOCKED = (
    "You can't create a connected app. To enable connected app creation, contact"
    " Salesforce Customer Support."
)


def test_an_org_that_lets_nobody_create_apps_is_asked_first(org):
    org.statuses = [result("Failed", messages=(failure(APP, BLOCKED),))]
    made = planning.plan(org.target(), wanted_of(*PORTAL))
    (refusal,) = made.refusals
    assert (refusal.code, refusal.flag) == ("creation-blocked", "")
    assert refusal.message == "Acme lets nobody create connected apps (Portal)"
    assert "external_client_app" in refusal.advice
    assert ("deploy", True) in org.log  # a check only, of the app alone
    assert [c.ref for c in org.sent[0]] == [APP]


@pytest.mark.parametrize(
    "answers",
    [
        {"deploy": [LostAnswer("reset")]},
        {"deploy": [Unreachable("no network")]},
        {"deploy": [ApiFault("INVALID_OPERATION", "no")]},
        {"poll": [ApiFault("INVALID_SESSION_ID", "expired")]},
        {},
    ],
)
def test_an_org_that_does_not_say_refuses_nothing(org, answers):
    org.faults = answers
    assert planning.plan(org.target(), wanted_of(*PORTAL)).refusals == ()


def test_an_app_of_the_other_kind_is_in_the_way(org):
    deployed(org, *PORTAL)
    made = planning.plan(org.target(), wanted_of(*client_app("Portal")))
    (refusal,) = made.refusals
    assert (refusal.code, refusal.flag) == ("collision", "")
    assert refusal.message == "Acme has a ConnectedApp Portal already"


def types_of(sent):
    return [[c.ref.type for c in package] for package in sent]


HEADER, POLICY = "ExternalClientApplication", "ExtlClntAppOauthConfigurablePolicies"


def test_policies_of_a_new_app_follow_it(org, journal):
    outcome = run(org, journal, planned(org, *client_app("Portal")))
    assert types_of(org.sent) == [[HEADER], [POLICY]]
    assert org.calls("begin", "sent", "finish") == ["begin", "sent", "sent", "finish"]
    assert [s.number for s in journal.sends] == [1, 2]
    assert outcome.verified.ok


def test_policies_of_an_app_that_is_there_go_with_it(org, journal):
    deployed(org, *client_app("Portal"))
    run(org, journal, planned(org, *client_app("Portal", label="New")))
    assert types_of(org.sent) == [[HEADER, POLICY]]


def test_a_second_half_that_fails_does_not_hide_the_first(org, journal):
    plan = planned(org, *client_app("Portal"))
    org.statuses = [result(), result("Failed")]
    with pytest.raises(DeployFailed) as caught:
        run(org, journal, plan)
    assert journal.status == "Unverified"
    assert f"Deploy {DEPLOY} had succeeded by then." in caught.value.hint


def test_a_second_half_that_nobody_knows_of_stays_open(org, journal):
    plan = planned(org, *client_app("Portal"))
    org.statuses = [result(), result("InProgress")]
    org.limits = Limits(until=60)
    with pytest.raises(Unverified) as caught:
        run(org, journal, plan)
    assert journal.status == "Deployed"
    assert "`metadeploy runs resume dev` goes on from here" in caught.value.hint


def test_an_org_that_refuses_the_key_is_sent_none(org, journal):
    plan = planned(org, *PORTAL)
    refused = failure(APP, "You cannot provide a Consumer Key")
    org.statuses = [result("Failed", messages=(refused,)), result()]
    outcome = run(org, journal, plan)
    first, second = (b"".join(c.body for c in sent) for sent in org.sent)
    assert b"<consumerKey>" in first
    assert b"consumer" not in second
    assert outcome.own_keys == ("Portal",)
    assert journal.status == "Verified"
