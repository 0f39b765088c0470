"""Which connected apps are due for a new key, and what a plan says of them."""

from __future__ import annotations

import pytest

from metadeploy import package
from metadeploy.access import AppAccess
from metadeploy.diff import Action
from metadeploy.errors import ApiFault, ConfigError
from metadeploy.keys import KeyChoice, Masters, derive
from metadeploy.model import METADATA_NS, Component, Ref, Secret
from metadeploy.plan import Actual, OrgFacts, make_plan
from metadeploy.rotation import Consumer, Staged, renewals, rotate
from metadeploy.wanted import Wanted

MASTERS = Masters(Secret("n" * 32), Secret("o" * 32))
ORG = OrgFacts("00DWs000003xYZ1MAM", "Acme", False)
APP, OTHER = Ref("ConnectedApp", "Portal"), Ref("ConnectedApp", "Other")
EXTERNAL = Ref("ExtlClntAppGlobalOauthSettings", "Ext")
HOLDER = Ref("PermissionSet", "P")


def app(ref, key=""):
    held = f"<consumerKey>{key}</consumerKey>" if key else ""
    body = (
        f'<ConnectedApp xmlns="{METADATA_NS}"><label>x</label><oauthConfig>{held}'
        "<callbackUrl>https://a</callbackUrl></oauthConfig></ConnectedApp>"
    )
    return Component(ref, body.encode())


def wanted(choice, *, pinned="", access=True):
    said = {"Portal": AppAccess(frozenset({HOLDER}), owned=True)} if access else {}
    external = Component(
        EXTERNAL,
        f'<{EXTERNAL.type} xmlns="{METADATA_NS}"><externalClientApplication>Ext'
        f"</externalClientApplication></{EXTERNAL.type}>".encode(),
    )
    components = (app(OTHER), app(APP, pinned), external)
    return Wanted("dev", "66.0", components, said, {"Portal": choice, "Ext": choice})


def actual(key):
    keys = {"Portal": key, "Other": "OtherKey", "Ext": key} if key else {}
    components = (app(OTHER), app(APP, key)) if key else ()
    return Actual(ORG, components, {"Portal": frozenset({HOLDER})}, keys)


def key(master, generation):
    return derive(master, ORG.org_id, "Portal", generation).consumer_key


@pytest.mark.parametrize(
    ("live", "choice", "due"),
    [
        (key(MASTERS.current, 1), KeyChoice(2), True),
        (key(MASTERS.previous, 1), KeyChoice(3), True),
        (key(MASTERS.current, 2), KeyChoice(2), False),
        (key(MASTERS.previous, 2), KeyChoice(2), False),
        (key(MASTERS.current, 3), KeyChoice(2), False),
        (key(MASTERS.current, 1), KeyChoice(1), False),
        (key(MASTERS.current, 1), KeyChoice(2, "Pinned123"), False),
        ("Their0wn", KeyChoice(2), False),
        ("", KeyChoice(2), False),
    ],
)
def test_a_lower_generation_of_ours_is_due(live, choice, due):
    found = renewals(lambda: MASTERS, wanted(choice), actual(live))
    assert found == (frozenset({APP}) if due else frozenset())


def test_a_key_in_the_template_is_pinned():
    want = wanted(KeyChoice(2), pinned="Pinned123")
    live = actual(key(MASTERS.current, 1))
    assert renewals(lambda: MASTERS, want, live) == frozenset()


def test_no_master_is_asked_for_without_need():
    def none():
        raise ConfigError("there is none")

    live = actual(key(MASTERS.current, 1))
    assert renewals(none, wanted(KeyChoice(2)), live) == frozenset()
    asked = []
    renewals(lambda: asked.append(1) or MASTERS, wanted(KeyChoice(1)), live)
    assert asked == []


def test_the_plan_deletes_first_and_says_what_that_costs():
    live = actual(key(MASTERS.current, 1))
    want = wanted(KeyChoice(2))
    due = frozenset({APP})
    made = make_plan(live, want, live.components, replaced=due)
    assert made.replaced == (APP,) and made.drift == ()
    created = [c.ref for c in made.changes if c.action is Action.CREATE]
    assert APP in created and OTHER not in created
    assert ("Portal", 2) in [(k.app, k.choice.generation) for k in made.new_keys]
    assert [(a.holder, a.action) for a in made.access_changes] == [
        (HOLDER, Action.GRANT)
    ]
    (refusal,) = made.refusals
    assert (refusal.code, refusal.flag) == ("interruption", "--allow-interruption")
    assert "Portal is deleted" in refusal.message and "generation 2" in refusal.message
    assert "will lose it" not in refusal.message
    allowed = frozenset({"interruption"})
    free = make_plan(live, want, live.components, allowed=allowed, replaced=due)
    assert free.refusals == () and free.fingerprint == made.fingerprint
    kept = make_plan(live, want, live.components)
    assert kept.replaced == () and kept.fingerprint != made.fingerprint


def test_the_plan_says_who_loses_access_for_good():
    want = wanted(KeyChoice(2), access=False)
    made = make_plan(actual("x" * 8), want, replaced=frozenset({APP}))
    (refusal,) = made.refusals
    assert "no template says who may use it" in refusal.message


def test_what_is_deleted_first_is_in_a_file_of_its_own():
    files = package.files([app(APP)], "66.0", deleted_first=[APP], deleted=[OTHER])
    assert b"<members>Portal</members>" in files["destructiveChangesPre.xml"]
    assert b"<members>Other</members>" in files["destructiveChangesPost.xml"]
    assert b"<members>Portal</members>" in files["package.xml"]


class Api:
    """The credentials of one app, as an org keeps them."""

    def __init__(self, beside=None, *, deaf=False):
        self.key, self.beside, self.deaf = "key1", beside, deaf
        self.calls = []

    def consumer(self, app):
        return Consumer(app, "0xI1", "888", self.key)

    def staged(self, consumer):
        return self.beside

    def stage(self, consumer):
        self.calls.append("stage")
        self.beside = Staged("1", "key2", Secret("s"), "Active", "")
        return self.beside

    def rotate(self, consumer, staged):
        self.calls.append("rotate")
        if not self.deaf:
            self.key = staged.key
            self.beside = Staged("2", "key1", Secret("s"), "Rotated", "2026-12-01")

    def discard(self, consumer, staged):
        self.calls.append("discard")
        self.beside = None


def test_an_expired_pair_is_cleared_away_first():
    api = Api(Staged("0", "key0", Secret("s"), "Expired", ""))
    assert rotate(api, "Portal", "stage").changed
    assert api.calls == ["discard", "stage"]


def test_a_rotation_step_by_step():
    api = Api()
    first = rotate(api, "Portal", "stage")
    assert (first.key, first.other, first.changed) == ("key1", "key2", True)
    assert not rotate(api, "Portal", "stage").changed
    done = rotate(api, "Portal", "finish")
    assert (done.key, done.other, done.expires) == ("key2", "key1", "2026-12-01")
    assert not rotate(api, "Portal", "finish").changed
    with pytest.raises(ConfigError, match="serves still until 2026-12-01"):
        rotate(api, "Portal", "stage")
    assert rotate(api, "Portal", "discard").other == ""
    assert api.calls == ["stage", "rotate", "discard"]


def test_a_step_that_is_not_due():
    for step in ("finish", "discard"):
        with pytest.raises(ConfigError, match="nothing is staged for Portal"):
            rotate(Api(), "Portal", step)


def test_an_org_that_rotates_nothing_is_told():
    api = Api(deaf=True)
    rotate(api, "Portal", "stage")
    with pytest.raises(ApiFault, match="serves by its former key"):
        rotate(api, "Portal", "finish")


@pytest.mark.parametrize("own", ["key1", "key2"])
def test_the_branch_that_we_sit_on_is_not_cut(own):
    api = Api()
    if own == "key2":
        rotate(api, "Portal", "stage")
    with pytest.raises(ConfigError, match="logged in to the org by Portal itself"):
        rotate(api, "Portal", "finish", own_key=own)
