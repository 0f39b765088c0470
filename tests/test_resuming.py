"""The flow goes on from wherever a run stopped, against a stand-in for an org."""

from __future__ import annotations

from contextlib import contextmanager

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
    master,
    planned,
    run,
    wanted_of,
)
from fake_org import (
    DEPLOY,
    ORG,
    FakeJournal,
    FakeOrg,
    app,
    failure,
    holder,
    result,
)

from metadeploy import deploy as flow
from metadeploy import failpoint, keys, reading
from metadeploy.access import raise_access
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import (
    DeployFailed,
    MetadeployError,
    StalePlan,
    Unverified,
)
from metadeploy.model import (
    DeployOptions,
    Ref,
)
from metadeploy.plan import make_plan
from metadeploy.target import Limits


@pytest.fixture
def org():
    return FakeOrg()


@pytest.fixture
def journal(org):
    return FakeJournal(org.log)


def stopped(org, journal, plan, *, at=None, **faults):
    """Run a plan until something stops it; return the run as the journal has it."""
    org.faults.update(faults)
    with pytest.raises((MetadeployError, Killed)), dying(at):
        run(org, journal, plan)
    org.faults.clear()
    return flow.Unfinished("run1", plan, DeployOptions(), tuple(journal.sends))


class Killed(BaseException):
    """The process is no more."""


@contextmanager
def dying(at):
    """Have the process die when it reaches a moment."""

    def watch(name):
        if name == at:
            raise Killed(name)

    before, failpoint.watcher = failpoint.watcher, watch
    try:
        yield
    finally:
        failpoint.watcher = before


def go_on(org, journal, unfinished, *components, key=master):
    wanted = wanted_of(*components)

    def replan():
        return make_plan(reading.read_actual(org.target(), wanted), wanted)

    return flow.resume(org.target(), unfinished, journal, key, replan=replan)


MOMENTS = ["begun", "sending", "answered", "sent", "polled", "deployed", "settled"]


@pytest.mark.parametrize("at", [*MOMENTS, "verified"])
@pytest.mark.parametrize("package", [PORTAL, client_app("Portal")], ids=["one", "two"])
def test_a_run_that_died_is_taken_to_its_end(org, journal, at, package):
    plan = planned(org, *package)
    unfinished = stopped(org, journal, plan, at=at)
    outcome = go_on(org, journal, unfinished, *package)
    assert outcome.verified.ok
    assert journal.status == "Verified"
    folders = [one.folder for one in org.taken]
    assert len(folders) == len(set(folders)), "something was sent twice"
    assert len(org.sent) == (1 if package is PORTAL else 2)


def test_a_run_whose_answer_is_lost_goes_on_later(org, journal):
    plan = planned(org, *PORTAL)
    lost = {"deploy answer": [LOST], "deploys": [None, *[LOST] * 9]}
    unfinished = stopped(org, journal, plan, **lost)
    assert go_on(org, journal, unfinished, *PORTAL).verified.ok
    assert len(org.sent) == 1


def test_a_run_whose_package_the_org_never_got_goes_on(org, journal):
    plan = planned(org, *PORTAL)
    lost = {"deploy": [LOST], "deploys": [None, *[LOST] * 9]}
    unfinished = stopped(org, journal, plan, **lost)
    assert org.sent == []
    assert go_on(org, journal, unfinished, *PORTAL).verified.ok
    assert len(org.sent) == 1


def test_a_run_that_waits_no_longer_goes_on_later(org, journal):
    plan = planned(org, *PORTAL)
    org.statuses, org.limits = [*[result("InProgress")] * 9, result()], Limits(until=5)
    unfinished = stopped(org, journal, plan)
    org.limits = Limits()
    assert go_on(org, journal, unfinished, *PORTAL).result.id == DEPLOY


def test_a_run_of_which_nothing_was_sent_needs_the_org_as_it_was(org, journal):
    plan = planned(org, *PORTAL)
    unfinished = stopped(org, journal, plan, at="begun")
    deployed(org, app(label="Moved"))
    with pytest.raises(StalePlan, match="nothing of run run1 was sent"):
        go_on(org, journal, unfinished, *PORTAL)
    assert journal.status == "NotSent"
    assert org.sent == []


def test_a_run_that_only_gave_access_by_records_goes_on(org, journal):
    """What it did before it died is not to be done any more: that is no other org."""
    for name in ("Data Loader", "Other"):
        org.installed[name] = f"0H400000000090{len(name):1x}AAA"[:18]
    package = (holder("Portal_API", "Data Loader", "Other"),)
    org.kept[SET] = raise_access([holder("Portal_API")]).components[0]
    plan = planned(org, *package)
    unfinished = stopped(org, journal, plan, at="begun")
    org.access = {"Data Loader": {SET}}
    outcome = go_on(org, journal, unfinished, *package)
    assert outcome.repaired == (AccessChange("Other", SET, Action.GRANT),)
    assert (journal.status, org.sent) == ("Verified", [])


def test_a_run_by_records_does_not_take_back_what_others_gave(org, journal):
    org.installed["Data Loader"] = "0H4000000000900AAA"
    package = (holder("Portal_API", "Data Loader"), holder("Old", "-Data Loader"))
    for one in raise_access([holder("Portal_API"), holder("Old")]).components:
        org.kept[one.ref] = one
    plan = planned(org, *package)
    unfinished = stopped(org, journal, plan, at="begun")
    org.access = {"Data Loader": {Ref("PermissionSet", "Old")}}
    with pytest.raises(StalePlan):
        go_on(org, journal, unfinished, *package)


def test_a_run_that_failed_meanwhile_ends_as_failed(org, journal):
    plan = planned(org, *PORTAL)
    unfinished = stopped(org, journal, plan, at="sent")
    org.statuses = [result("Failed", messages=(failure(SET, "no licence"),))]
    with pytest.raises(DeployFailed):
        go_on(org, journal, unfinished, *PORTAL)
    assert journal.status == "Failed"


def test_a_run_that_only_waited_for_its_keys_to_be_refused(org, journal):
    """The org refuses a key; what is sent again has those of the other apps."""
    package = (*PORTAL, app("Billing"))
    plan = planned(org, *package)
    refused = failure(APP, "You cannot provide a Consumer Key")
    org.statuses = [result("Failed", messages=(refused,)), result()]
    unfinished = stopped(org, journal, plan, at="sent")
    outcome = go_on(org, journal, unfinished, *package)
    assert outcome.own_keys == ("Portal",)
    (billing,) = (c for c in org.sent[1] if c.ref.full_name == "Billing")
    key = keys.derive(MASTER, ORG, "Billing", 1).consumer_key
    assert f"<consumerKey>{key}<".encode() in billing.body


def test_an_org_that_cannot_be_asked_is_left_for_later(org, journal):
    plan = planned(org, *PORTAL)
    org.faults["facts"] = [LOST] * 9
    with pytest.raises(Unverified) as caught:
        run(org, journal, plan)
    assert journal.status == "Deployed"
    assert f"Deploy {DEPLOY} had succeeded by then." in caught.value.hint


def test_access_whose_answer_is_lost_is_looked_at_again(org, journal):
    plan = planned(org, *PORTAL)
    org.ignores_lists = True
    org.faults["grant"] = [LOST]
    outcome = run(org, journal, plan)
    assert outcome.repaired == (GRANT,)
    assert org.access == {"Portal": {SET}}


def test_access_that_cannot_be_given_is_left_for_later(org, journal):
    plan = planned(org, *PORTAL)
    org.ignores_lists = True
    org.faults["grant"] = [LOST] * 9
    with pytest.raises(Unverified, match="when it is to give access"):
        run(org, journal, plan)
    assert journal.status == "Deployed"
