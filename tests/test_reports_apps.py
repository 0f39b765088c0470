"""What reports know of an app: from plans, and never more than they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apps import key_pair
from fake_org import app, component, holder
from msgspec.structs import replace
from planning import actual_of, wanted_of

from metadeploy import externalapp
from metadeploy.diff import AccessChange, Action, Change, FieldChange
from metadeploy.keys import KeyChoice
from metadeploy.model import Ref
from metadeploy.plan import make_plan
from metadeploy.proof import Proof
from metadeploy.reports.account import Account, Known, KnownKey, State
from metadeploy.reports.apps import Fact, Mark, apps

PORTAL = Ref("ConnectedApp", "Portal")
CERTIFICATE = key_pair()[1]
ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)


def account_of(wanted, actual=None, recorded=(), *, live=None, **more):
    """The account of a plan, as the command line makes it."""
    plan = make_plan(actual or actual_of(), wanted, recorded)
    keys = live or {}
    return Account(
        "dev",
        State.DONE,
        "",
        changes=plan.changes,
        access=plan.access_changes,
        replaced=plan.replaced,
        new_keys=plan.new_keys,
        drift=plan.drift,
        known=Known(plan.wanted, keys, frozenset(plan.seen.recorded)),
        **more,
    )


def the(account, name="Portal", at=None):
    (found,) = (a for a in apps(account, at) if a.name == name)
    return found


def facts(account, name="Portal", at=None):
    return {f.name: f for f in the(account, name, at).facts}


def marks(account, name="Portal"):
    return [f"{m.sign} {m.word}" for m in the(account, name).marks]


def portal(**said):
    """Portal, with elements of its OAuth settings and policies."""
    config = "".join(f"<{k}>{v}</{k}>" for k, v in said.items() if k[:2] != "p_")
    policy = "".join(
        f"<{k[2:]}>{v}</{k[2:]}>" for k, v in said.items() if k[:2] == "p_"
    )
    policy = f"<oauthPolicy>{policy}</oauthPolicy>" if policy else ""
    return component(PORTAL, f"<oauthConfig>{config}</oauthConfig>{policy}")


def there(*components, **more):
    """An org that has all of it, and drift is known."""
    wanted = wanted_of(*components)
    return account_of(wanted, actual_of(*components), wanted.components, **more)


# -- what happens to it


def test_nothing_is_known_where_nothing_was_learned():
    assert apps(Account("dev", State.FAILED, ""), None) == ()


def test_an_app_that_is_not_there_is_to_be_created():
    account = account_of(wanted_of(app(), holder("P", "Portal")))
    assert marks(account) == ["+ create"]
    found = facts(account)
    assert found["kind"].text == "connected app"
    assert found["key"].text == "derived, generation 1"
    assert found["access"] == Fact("access", "", gained=("PermissionSet P",))
    assert "drift" not in found and "login" not in found
    assert not the(account).calm


def test_an_app_as_it_is_wanted_is_calm():
    account = there(app())
    assert marks(account) == ["= as wanted"] and the(account).calm
    assert facts(account)["drift"].text == "none"


def test_a_change_says_from_what_to_what():
    new, old = portal(isPkceRequired="true"), portal(isPkceRequired="false")
    account = account_of(wanted_of(new), actual_of(old))
    assert marks(account) == ["~ change"]
    assert facts(account)["PKCE"] == Fact("PKCE", "required", "not required")
    gone = account_of(wanted_of(portal(scopes="Api")), actual_of(app()))
    assert facts(gone)["users"].before == "admin-approved"


@pytest.mark.parametrize("kind", ["ConnectedApp", externalapp.HEADER])
def test_a_deletion_is_of_the_app_whatever_made_it(kind):
    row = Change(Action.DELETE, Ref(kind, "Old"), ())
    account = replace(there(app()), changes=(row,))
    assert marks(account, "Old") == ["- delete"]
    assert marks(account) == ["= as wanted"]


def test_what_else_may_happen():
    account = replace(there(app()), replaced=(PORTAL,))
    assert marks(account) == ["-+ delete, create anew"]
    account = account_of(wanted_of(app(), holder("P", "Portal")), actual_of(app()))
    granted = replace(account, changes=())
    assert marks(granted) == ["~ change access"]
    update = Change(Action.UPDATE, PORTAL, (FieldChange("label", "x", None),))
    access = AccessChange("Portal", Ref("PermissionSet", "P"), Action.GRANT)
    left = replace(there(app()), left=(update,), left_access=(access,))
    assert marks(left) == ["! differs", "! access differs"]
    drifted = replace(there(app()), drift=(update,), drift_access=(access,))
    assert marks(drifted) == ["! changed outside", "! access changed outside"]
    assert facts(drifted)["drift"] == Fact(
        "drift", "2 values changed outside", alarm=True
    )
    gone = replace(there(app()), drift=(Change(Action.DELETE, PORTAL, ()),))
    assert marks(gone) == ["! gone"]
    assert facts(gone)["drift"].text == "1 value changed outside"
    still = replace(there(app()), left=(Change(Action.DELETE, PORTAL, ()),))
    assert marks(still) == ["! still there"]


def test_a_part_of_an_external_app_is_no_whole_app():
    parts = externalapp.convert(portal(isAdminApproved="true")).components
    policy = next(c.ref for c in parts if c.ref.type == externalapp.OAUTH_POLICY)
    row = Change(Action.CREATE, policy, ())
    assert marks(replace(there(*parts), changes=(row,))) == ["~ change"]


# -- its key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (KnownKey("k", "derived", 2), "derived, generation 2"),
        (KnownKey("k", "derived (previous master)", 1), None),
        (KnownKey("k", "pinned", 1), "pinned"),
        (KnownKey("k", "org", 1), "the org's own"),
        (KnownKey("k"), "there; who made it needs the master secret"),
    ],
)
def test_whose_key_it_is(key, text):
    account = there(app(), live={"Portal": key})
    expected = text or "derived (previous master), generation 1"
    assert facts(account)["key"].text == expected
    assert the(account).key == "k"


def test_a_key_that_is_not_there_has_no_fact():
    assert "key" not in facts(there(app())) and the(there(app())).key == ""


def test_a_new_key_takes_the_place_of_another():
    wanted = wanted_of(app(), choices={"Portal": KeyChoice(2)})
    plan = make_plan(actual_of(app()), wanted, replaced=frozenset({PORTAL}))
    account = replace(
        account_of(wanted, live={"Portal": KnownKey("k", "derived", 1)}),
        replaced=plan.replaced,
        new_keys=plan.new_keys,
    )
    new = "derived, generation 2"
    assert facts(account)["key"] == Fact("key", new, "derived, generation 1")
    pinned = wanted_of(app(), choices={"Portal": KeyChoice(1, "3MVG9")})
    assert facts(account_of(pinned))["key"] == Fact("key", "pinned")


# -- its policies


def test_policies_of_a_connected_app():
    said = portal(
        isAdminApproved="true",
        isClientCredentialEnabled="true",
        isPkceRequired="true",
        scopes="Api",
        p_ipRelaxation="BYPASS",
        p_refreshTokenPolicy="specific_lifetime:1:DAYS",
    )
    found = {name: fact.text for name, fact in facts(there(said)).items()}
    assert found == {
        "kind": "connected app",
        "users": "admin-approved",
        "IP ranges": "relaxed",
        "refresh token": "for 1 day",
        "PKCE": "required",
        "flows": "client credentials",
        "scopes": "Api",
        "drift": "none",
    }


def test_what_is_not_said_is_what_the_platform_takes_it_for():
    found = facts(there(portal(callbackUrl="https://a.example")))
    assert found["users"].text == "all may self-authorise"
    assert found["IP ranges"].text == "enforced"
    assert found["refresh token"].text == "until revoked"
    assert found["PKCE"].text == "not required"
    assert "flows" not in found and "scopes" not in found


def test_policies_of_an_external_client_app_are_told_alike():
    said = portal(
        isAdminApproved="false",
        isClientCredentialEnabled="true",
        scopes="Api",
        p_ipRelaxation="ENFORCE_RELAXREFRESH",
        p_refreshTokenPolicy="specific_inactivity:30:DAYS",
    )
    parts = externalapp.convert(said).components
    old, new = facts(there(said)), facts(there(*parts))
    assert new.pop("kind").text == "External Client App"
    assert old.pop("kind").text == "connected app"
    assert new == old
    assert new["refresh token"].text == "until unused for 30 days"


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("zero", "none is kept"),
        ("specific_lifetime", "for a time that is not said"),
        ("brand_new", "brand_new"),
    ],
)
def test_refresh_token_policies(policy, text):
    account = there(portal(isAdminApproved="true", p_refreshTokenPolicy=policy))
    assert facts(account)["refresh token"].text == text


def test_an_app_without_oauth_has_no_policies():
    assert set(facts(there(component(PORTAL, "<label>P</label>")))) == {"kind", "drift"}


# -- who may use it


def test_access_is_told_with_what_changes():
    wanted = wanted_of(app(), holder("A", "Portal"), holder("B", "Portal"))
    have = {"Portal": [Ref("PermissionSet", "A"), Ref("PermissionSet", "C")]}
    account = account_of(wanted, actual_of(app(), access=have))
    assert facts(account)["access"] == Fact(
        "access",
        "PermissionSet A",
        gained=("PermissionSet B",),
        lost=("PermissionSet C",),
    )


def test_access_that_somebody_else_changed_is_turned_around():
    wanted = wanted_of(app(), holder("A", "Portal"))
    given = AccessChange("Portal", Ref("PermissionSet", "C"), Action.GRANT)
    taken = AccessChange("Portal", Ref("PermissionSet", "A"), Action.REVOKE)
    account = Account(
        "dev",
        State.DIFFERS,
        "",
        drift_access=(given, taken),
        known=Known(wanted, {}, frozenset()),
    )
    found = facts(account)["access"]
    assert (found.gained, found.lost) == (("PermissionSet A",), ("PermissionSet C",))


def test_access_to_an_app_of_others():
    account = there(holder("A", "Theirs"))
    assert facts(account, "Theirs") == {
        "kind": Fact("kind", "not made by these templates"),
        "access": Fact(
            "access", "whom the org lets beside", gained=("PermissionSet A",)
        ),
    }


def test_an_app_that_nobody_may_use():
    wanted = wanted_of(app(), holder("A", "-Portal"))
    assert facts(account_of(wanted, actual_of(app())))["access"].text == "nobody"


# -- drift, logins, certificate


def test_drift_is_told_only_where_it_was_looked_for():
    account = there(app())
    assert account.known is not None
    unseen = replace(account, known=replace(account.known, recorded=None))
    assert "drift" not in facts(unseen)


@pytest.mark.parametrize(
    ("proof", "fact"),
    [
        (
            Proof("Portal", "jwt", True, "token", user="a@b.c", got_token=True),
            Fact("login", "logged in by jwt as a@b.c"),
        ),
        (
            Proof("Portal", "jwt", True, "refused", expected="refused"),
            Fact("login", "refused, as it has to be by jwt"),
        ),
        (Proof("Portal", "", None, "no flow"), Fact("login", "not tried: no flow")),
        (
            Proof("Portal", "", False, "no key"),
            Fact("login", "REFUSED: no key", alarm=True),
        ),
    ],
)
def test_logins(proof, fact):
    account = there(app(), proofs=(proof, Proof("Other", "jwt", True, "")))
    assert facts(account)["login"] == fact
    assert (Mark("!", "login failed") in the(account).marks) is (proof.ok is False)


@pytest.mark.parametrize("external", [False, True])
def test_certificates(external):
    said = portal(certificate=CERTIFICATE)
    parts = externalapp.convert(said).components if external else (said,)
    account = there(*parts)

    def at(days):
        moment = ENDS - timedelta(days=days, hours=-1)
        return facts(account, at=moment)["certificate"]

    until = f"until {ENDS:%Y-%m-%d}"
    assert facts(account)["certificate"] == Fact("certificate", until)
    assert at(91) == Fact("certificate", f"{until}, 90 days left")
    assert at(30) == Fact("certificate", f"{until}, EXPIRES in 29 days", alarm=True)
    assert at(2).text.endswith("EXPIRES in 1 day")
    assert at(-1).text.endswith("EXPIRED 1 day ago") and at(-1).alarm


def test_a_certificate_that_is_none():
    found = facts(there(portal(certificate="-----BEGIN")))["certificate"]
    assert found == Fact("certificate", "cannot be read", alarm=True)
