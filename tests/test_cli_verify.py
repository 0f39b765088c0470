"""verify: logins with the credentials at hand, expected refusals, scopes, waiting."""

from __future__ import annotations

import pytest
from apps import PORTAL, edit, emulated, key_pair, with_certificate
from raw_server import http

from metadeploy.connection import Connection
from metadeploy.emulator import records
from metadeploy.emulator.admission import approve
from metadeploy.emulator.apps import oauth_app
from metadeploy.emulator.seed import admin_of
from metadeploy.model import Ref, Secret
from metadeploy.orgfile import App, AppLogin, SecretSource
from metadeploy.proof import Subject
from metadeploy.prover import AppProver
from metadeploy.reach import LOOPBACK

KEY = "private_key: {file: portal.key}"
JWT = f"flow: jwt, {KEY}, username: "
TWO_USERS = (
    "Portal:",
    "  login:",
    f"    - {{{JWT}admin@dev.emulated}}",
    f"    - {{{JWT}user@dev.emulated, expect: refused}}",
)


def proofs(ran, app="Portal"):
    return [p for p in ran.json["orgs"][0]["proofs"] if p["app"] == app]


def test_every_login_of_an_app_is_tried(runner, project):
    with_certificate(project, *TWO_USERS)
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 0, ran.out + ran.err
    assert "Portal: logged in by client_credentials: token for user 005" in ran.out
    assert "Portal: logged in by jwt as admin@dev.emulated: token for" in ran.out
    assert (
        "Portal: refused, as it has to be, by jwt as user@dev.emulated: no token from"
        in ran.out
    )
    found = proofs(runner("verify", "dev", "--json"))
    assert [(p["flow"], p["user"], p["expected"], p["ok"]) for p in found] == [
        ("client_credentials", "", "token", True),
        ("jwt", "admin@dev.emulated", "token", True),
        ("jwt", "user@dev.emulated", "refused", True),
    ]
    assert found[1]["scopes"] == {
        "granted": ["api", "chatter_api", "id"],
        "missing": [],
        "extra": [],
    }
    assert (found[2]["code"], found[2]["hint"]) == ("invalid_app_access", "")
    assert key_pair()[0].splitlines()[3] not in ran.out + ran.err


def test_a_user_who_gets_in_and_must_not_fails(runner, project):
    with_certificate(
        project, f"Portal: {{login: {{{JWT}admin@dev.emulated, expect: refused}}}}"
    )
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert "Portal: LOGGED IN by jwt as admin@dev.emulated: token for" in ran.out
    assert "Take the app away from the profiles and permission sets" in ran.out


def test_another_refusal_than_the_expected_one_fails(runner, project):
    with_certificate(project, *TWO_USERS)
    runner("deploy", "dev", "--auto-approve")
    with emulated(project) as org:
        user = org.world.user_by_username("user@dev.emulated")[1]
        values = {**{k: user[k] for k in ("Username", "ProfileId", "Email")}}
        records.save(
            org, "User", user["Id"], {**values, "IsActive": False}, by=admin_of(org)
        )
    ran = runner("verify", "dev")
    assert ran.code == 1
    assert "REFUSED by jwt as user@dev.emulated" in ran.out
    assert "inactive_user" in ran.out
    assert "expected was a refusal because the user may not use the app" in ran.flat


def test_as_somebody(runner, project):
    with_certificate(project, *TWO_USERS)
    runner("deploy", "dev", "--auto-approve")
    ran = runner("verify", "dev", "--as", "user@dev.emulated", "--json")
    assert ran.code == 1
    (found,) = proofs(ran)
    assert (found["ok"], found["expected"]) == (False, "token")
    assert "Grant the app to a profile or permission set" in found["hint"]
    (other,) = proofs(ran, "Billing")
    assert (other["ok"], other["user"]) == (None, "user@dev.emulated")
    assert other["detail"] == "no private key to try: no login by jwt in apps"
    ran = runner("verify", "dev", "--as", "admin@dev.emulated")
    assert ran.code == 0, ran.out
    assert "Portal: logged in by jwt as admin@dev.emulated" in ran.out


def refresh_token(project, username, scopes):
    """Let a user approve the Portal app, and return what the app then has."""
    ref = Ref("ConnectedApp", "Portal")
    with emulated(project) as org:
        user_id = str(org.world.user_by_username(username)[1]["Id"])
        approval = approve(org, oauth_app(org, ref), user_id, scopes)
        return org.issue_token(
            user_id, scopes=scopes, app=ref, refresh=True, grant_id=approval.id
        )


def test_a_refresh_token(runner, project, monkeypatch):
    login = "{flow: refresh_token, refresh_token: {env: PORTAL_REFRESH}}"
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        f"\napps: {{Portal: {{login: {login}}}}}\nvalues:",
    )
    rotation = "<isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>"
    edit(project / PORTAL, rotation, rotation.replace("true", "false"))
    monkeypatch.setenv("PORTAL_REFRESH", "5Aep861.gone")
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 1
    gone = proofs(ran)[1]
    assert (gone["flow"], gone["code"]) == ("refresh_token", "invalid_grant")
    assert "Authorise the app again" in gone["hint"]
    scopes = ("api", "id", "refresh_token")
    token = refresh_token(project, "admin@dev.emulated", scopes)
    monkeypatch.setenv("PORTAL_REFRESH", token)
    ran = runner("verify", "dev", "--json")
    assert ran.code == 0, ran.out
    assert proofs(ran)[1]["scopes"]["granted"] == list(scopes)
    assert token not in ran.out + ran.err
    # An app that rotates would leave the org file with a token that serves no more.
    edit(project / PORTAL, rotation.replace("true", "false"), rotation)
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.out
    assert proofs(ran)[1]["ok"] is None
    assert "rotates refresh tokens" in proofs(ran)[1]["detail"]


def test_a_credential_that_is_not_there_stops_no_other_login(runner, project):
    with_certificate(project, *TWO_USERS)
    (project / "portal.key").unlink()
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 1
    assert [p["ok"] for p in proofs(ran)] == [True, False, False]
    assert "portal.key" in proofs(ran)[1]["detail"]
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_scopes_beyond_the_declared_fail(runner, project, monkeypatch):
    """A token of before still has what its user approved then."""
    login = "{flow: refresh_token, refresh_token: {env: PORTAL_REFRESH}}"
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        f"\napps: {{Portal: {{login: {login}}}}}\nvalues:",
    )
    edit(project / PORTAL, "RotationEnabled>true<", "RotationEnabled>false<")
    monkeypatch.setenv("PORTAL_REFRESH", "none yet")
    runner("deploy", "dev", "--auto-approve")
    token = refresh_token(project, "admin@dev.emulated", ("api", "web"))
    monkeypatch.setenv("PORTAL_REFRESH", token)
    ran = runner("verify", "dev")
    assert ran.code == 1
    assert "Portal: WRONG SCOPES by refresh_token: token for user 005" in ran.out
    assert "it has web beyond the app's" in ran.out


def test_a_new_app_is_waited_for(runner, project):
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        "\nemulator: {app_propagation_polls: 1}\nvalues:",
    )
    edit(project / "orgs/dev.yaml", "\nvalues:", "\nvalues:\n  integrations: []")
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 0, ran.out
    assert "Portal is not usable yet; asking again in 1 s" in ran.err
    assert "Portal: logged in by client_credentials" in ran.out


def test_verify_waits_only_when_it_is_told_to(runner, project):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    polls = "\nemulator: {app_propagation_polls: 1}\nvalues:"
    edit(project / "orgs/dev.yaml", "\nvalues:", polls)
    ran = runner("verify", "dev")
    assert ran.code == 1
    assert "Portal: REFUSED by client_credentials" in ran.out
    assert "Wait for it (`metadeploy verify ORG --wait 10`)" in ran.flat
    edit(project / "orgs/dev.yaml", "polls: 1", "polls: 2")
    assert runner("verify", "dev", "--wait", "1").code == 0


class Clock:
    """Moves when somebody sleeps; `slept` holds how long."""

    def __init__(self):
        self.slept = []

    def now(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)


class Told:
    def __init__(self):
        self.steps = []

    def step(self, text):
        self.steps.append(text)

    def deploying(self, result, ahead=None):
        raise AssertionError(result)


SUBJECT = Subject("Portal", "00D000000000001AAA", "key", ("Api",), True)


@pytest.fixture
def prover_of(raw_server):
    made = []

    def to(org, *replies):
        server = raw_server(*replies)
        made.append(Connection(server.url, Secret(""), reach=LOOPBACK))
        return AppProver(
            org,
            made[-1],
            masters=lambda: pytest.fail("no secret is derived here"),
            secret=lambda source: Secret("canary"),
            clock=Clock(),
            progress=Told(),
        )

    yield to
    for connection in made:
        connection.close()


class AnOrg:
    """An org file that says one login of every app."""

    def __init__(self, login):
        self.login = login

    def app(self, name):
        return App(login=self.login)


UNKNOWN = (
    '{"error":"invalid_client_id","error_description":"client identifier invalid"}'
)
SERVICE = AppLogin("client_credentials", client_secret=SecretSource(env="X"))


def test_the_wait_grows_and_has_an_end(prover_of):
    prover = prover_of(AnOrg(SERVICE), http(UNKNOWN, 400))
    (found,) = prover.prove(SUBJECT, until=600.0)
    assert (found.ok, found.code) == (False, "invalid_client_id")
    assert "2 to 10" in found.hint
    slept = prover.clock.slept
    assert slept[0] == 1.0 and slept == sorted(slept) and max(slept) == 30.0
    assert 560 < sum(slept) <= 600
    assert len(prover.progress.steps) == len(slept) < 35
    (found,) = prover.prove(SUBJECT, until=0.0)
    assert found.ok is False and prover.clock.slept == slept


def test_other_refusals_are_not_waited_for(prover_of):
    body = '{"error":"invalid_client","error_description":"invalid client credentials"}'
    prover = prover_of(AnOrg(SERVICE), http(body, 400))
    (found,) = prover.prove(SUBJECT, until=600.0)
    assert (found.code, prover.clock.slept) == ("invalid_client", [])
