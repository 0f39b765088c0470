"""The whole way to an emulated org, with one fault at a time where it hurts.

Whatever goes wrong: at most one deploy is sent, the org is as before or as planned, and
success is said only of an org that matches.
"""

from __future__ import annotations

import pytest
from fake_org import FakeJournal, FakeOrg, app, holder

from metadeploy import deploy as flow
from metadeploy.access import raise_access
from metadeploy.connection import MOST_RENEWALS, Connection
from metadeploy.data_api import DataApi
from metadeploy.emulator.injection import KINDS, Injection, Point
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.state import open_world
from metadeploy.errors import ApiFault, LostAnswer, MetadeployError
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Secret
from metadeploy.plan import make_plan
from metadeploy.reach import LOOPBACK
from metadeploy.reading import read_actual
from metadeploy.target import Target
from metadeploy.wanted import Wanted

WANTED = Wanted.of(
    "dev", "66.0", raise_access((app(), holder("Portal_API", "Portal"))), {}
)
# Refusing needs a new connection; the others here are tools for other tests.
ZIPS = {"truncated-base64", "corrupt-zip", "empty-zip"}
FAULTS = sorted(KINDS.keys() - {"refuse", "replace", "deploy-fails", *ZIPS})
BOTH = [
    (kind, applied)
    for kind in FAULTS
    for applied in (False, True)
    if KINDS[kind][0] is Point.BEFORE_APPLY or not applied
    # An org that says that the session is not valid has not acted.
    if (kind, applied) != ("session-expired", True)
]
HARMLESS = {"bom", "unknown-element", "wrong-type", "session-expired"}


@pytest.fixture
def server(tmp_path):
    world = open_world(tmp_path / "orgs" / "world.db")
    with serve(world) as running:
        running.org = world.create_org("dev")
        yield running
    world.close()


@pytest.fixture
def connection(server):
    def log_in():
        return Secret(server.org.issue_token(admin_of(server.org)))

    made = Connection(server.url, log_in(), timeout=0.5, renew=log_in, reach=LOOPBACK)
    yield made
    made.close()


@pytest.fixture
def target(connection):
    """The org as the flow sees it; time and proofs are stand-ins'."""
    stand_in = FakeOrg(proof=None)
    return Target(
        org_id=None,
        metadata=MetadataApi(connection, "66.0"),
        data=DataApi(connection, "66.0"),
        prover=stand_in,
        clock=stand_in,
        progress=stand_in,
    )


def injected(server, kind, on, **how):
    fault = Injection(kind, on, seconds=1.0, size=20 if "slow" in kind else 0, **how)
    return server.injections.add(fault)


def run(target, journal):
    plan = make_plan(read_actual(target, WANTED), WANTED)
    return flow.deploy(target, plan, journal, lambda: Secret("m" * 32))


def deploys(org):
    return [about for event, about in org.events() if event == "deploy queued"]


def matches(target):
    return make_plan(read_actual(target, WANTED), WANTED).empty


@pytest.mark.parametrize(("kind", "applied"), BOTH)
def test_a_fault_when_the_deploy_is_sent(server, target, kind, applied):
    key = injected(server, kind, "deploy", applied=applied)
    journal = FakeJournal([])
    assert run(target, journal).verified.ok
    assert server.injections.fired(key) == 1
    assert journal.status == "Verified"
    assert journal.recorded == WANTED.components
    assert len(deploys(server.org)) == 1
    assert matches(target)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_when_the_deploy_is_polled(server, target, kind):
    key = injected(server, kind, "checkDeployStatus")
    journal = FakeJournal([])
    assert run(target, journal).verified.ok
    assert journal.status == "Verified"
    assert server.injections.fired(key) == 1
    assert len(deploys(server.org)) == 1
    assert matches(target)


SLOW = {"slow-headers", "slow-drip"}
READS = [
    (read, kind)
    for read in ("retrieve", "checkRetrieveStatus", "listMetadata", "*/query")
    for kind in FAULTS
    if kind not in SLOW
]
READS += [("checkRetrieveStatus", kind) for kind in sorted(ZIPS)]


@pytest.mark.parametrize(("read", "kind"), READS)
@pytest.mark.parametrize("later", [False, True], ids=["planning", "verifying"])
def test_a_fault_when_the_org_is_read(server, target, read, kind, later):
    key = injected(server, kind, read, skip=2 if later else 0)
    journal = FakeJournal([])
    ended: MetadeployError | None = None
    try:
        outcome = run(target, journal)
    except ApiFault as error:
        ended = error
    if ended is None:
        assert outcome.verified is not None and outcome.verified.ok
        assert journal.status == "Verified"
    else:
        assert kind in ZIPS
        assert journal.status in ("", "Unverified")
        assert journal.recorded == ()
    struck = server.injections.fired(key)
    assert struck == 1 or (later and struck == 0)
    assert len(deploys(server.org)) == (0 if ended is not None and not later else 1)


CALLS = ("deploy", "checkDeployStatus", "retrieve", "listMetadata", "*/query")


@pytest.mark.parametrize("on", CALLS)
@pytest.mark.parametrize("times", [1, MOST_RENEWALS])
def test_a_session_that_ends_again_and_again(server, target, on, times):
    key = injected(server, "session-expired", on, times=times)
    assert run(target, FakeJournal([])).verified.ok
    assert server.injections.fired(key) == times
    assert len(deploys(server.org)) == 1


def test_no_session_lasts(server, target):
    key = injected(server, "session-expired", "checkDeployStatus", times=0)
    journal = FakeJournal([])
    with pytest.raises(LostAnswer, match="goes on, but nobody may ask how"):
        run(target, journal)
    assert server.injections.fired(key) == MOST_RENEWALS + 1
    assert journal.status == "Unknown"


def test_a_token_that_is_ended_in_the_middle(server, connection, target):
    plan = make_plan(read_actual(target, WANTED), WANTED)
    server.org.revoke_token(connection.token.reveal())
    outcome = flow.deploy(target, plan, FakeJournal([]), lambda: Secret("m" * 32))
    assert outcome.verified.ok
