"""Rotating the credentials of an External Client App, over HTTP."""

from __future__ import annotations

import json

import pytest

from metadeploy import auth, rotation
from metadeploy.connection import Connection
from metadeploy.credentials_api import CredentialsApi
from metadeploy.emulated import EmulatedOrgs
from metadeploy.errors import (
    ApiFault,
    AuthError,
    ConfigError,
    LostAnswer,
    MetadeployError,
)
from metadeploy.model import Secret
from metadeploy.reach import LOOPBACK
from metadeploy.workspace import Workspace

BASE = "/services/data/v66.0/apps/oauth"


@pytest.fixture
def org(runner, project):
    """An emulated org that has the app Billing as an External Client App."""
    path = project / "orgs/dev.yaml"
    apps = "apps: {Billing: {kind: external_client_app}}\n"
    path.write_text(apps + path.read_text())
    assert runner("deploy", "dev", "--auto-approve").code == 0
    workspace = Workspace(project)
    with EmulatedOrgs(workspace.make_state()) as emulated:
        found = workspace.project().org("dev")
        connection = Connection(
            emulated.url(), emulated.login(found).token, reach=LOOPBACK
        )
        yield emulated.world.org("dev"), connection
        connection.close()


@pytest.fixture
def api(org):
    return CredentialsApi(org[1], "66.0")


def serves(org, key, secret):
    connection = Connection(org[1].url, Secret(""), reach=LOOPBACK)
    try:
        auth.client_credentials(connection, key, secret)
    except AuthError:
        return False
    finally:
        connection.close()
    return True


def test_a_rotation_cuts_nobody_off(org, api):
    before = api.consumer("Billing")
    old = (before.key, api.secret(before))
    assert serves(org, *old)
    staged = rotation.rotate(api, "Billing", "stage")
    assert (staged.key, staged.changed) == (before.key, True)
    assert staged.other != before.key and staged.expires
    again = rotation.rotate(api, "Billing", "stage")
    assert (again.other, again.changed) == (staged.other, False)
    new = (staged.other, api.staged(before).secret)
    done = rotation.rotate(api, "Billing", "finish")
    assert (done.key, done.other, done.changed) == (staged.other, before.key, True)
    assert serves(org, *old) and serves(org, *new)
    assert (api.consumer("Billing").key, api.secret(api.consumer("Billing"))) == new
    # Run again, as after a lost answer.
    done = rotation.rotate(api, "Billing", "finish")
    assert (done.key, done.other, done.changed) == (new[0], old[0], False)
    with pytest.raises(ConfigError, match="the former key of Billing serves still"):
        rotation.rotate(api, "Billing", "stage")
    assert rotation.rotate(api, "Billing", "discard").other == ""
    assert serves(org, *new) and not serves(org, *old)
    for step in ("finish", "discard"):
        with pytest.raises(ConfigError, match="nothing is staged for Billing"):
            rotation.rotate(api, "Billing", step)


def test_what_is_staged_can_be_thrown_away(org, api):
    before = api.consumer("Billing")
    staged = rotation.rotate(api, "Billing", "stage")
    rotation.rotate(api, "Billing", "discard")
    assert api.staged(before) is None and api.consumer("Billing") == before
    assert rotation.rotate(api, "Billing", "stage").other != staged.other


def test_the_login_of_ones_own_is_never_rotated(api):
    key = api.consumer("Billing").key
    for step in ("stage", "finish", "discard"):
        with pytest.raises(ConfigError, match="logged in to the org by Billing"):
            rotation.rotate(api, "Billing", step, own_key=key)
    staged = rotation.rotate(api, "Billing", "stage", own_key="another")
    with pytest.raises(ConfigError, match="logged in to the org by Billing"):
        rotation.rotate(api, "Billing", "discard", own_key=staged.other)


def test_an_app_that_is_not_there(api):
    with pytest.raises(ConfigError, match="no External Client App Nobody"):
        rotation.rotate(api, "Nobody", "stage")


def test_an_org_that_does_not_allow_it(org, api):
    state, _ = org
    settings = type(state.settings)(secrets_in_rest=False)
    state.world.configure_org("dev", settings)
    with pytest.raises(ApiFault, match="not currently enabled") as caught:
        rotation.rotate(api, "Billing", "stage")
    assert "External Client App Settings" in caught.value.hint


def test_a_user_who_may_not(org):
    state, connection = org
    (user,) = (
        u for u in state.records("User") if str(u["Username"]).startswith("user@")
    )
    token = state.issue_token(str(user["Id"]))
    theirs = Connection(connection.url, Secret(token), reach=LOOPBACK)
    with pytest.raises(ApiFault, match="INSUFFICIENT_ACCESS") as caught:
        CredentialsApi(theirs, "66.0").consumer("Billing")
    theirs.close()
    assert "View Client Secret" in caught.value.hint


def test_an_older_api_version_has_no_staging(api):
    old = CredentialsApi(api.connection, "60.0")
    assert old.consumer("Billing") == api.consumer("Billing")


# -- answers that are none

APP, CONSUMER = "0xI000000000001", "888000000000001"
USAGE = {"apps": [{"identifier": APP, "developerName": "Billing"}]}
CONSUMERS = {"consumers": [{"id": CONSUMER, "key": "k"}]}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([[]], "is no object"),
        ([{}], "has no apps"),
        ([{"apps": ["x"]}], "is no object"),
        ([{"apps": [{"developerName": "Billing"}]}], "has no identifier"),
        (
            [{"apps": [{"developerName": "Billing", "identifier": "../../x"}]}],
            "has an odd identifier",
        ),
        ([{"apps": [], "nextPageUrl": "https://evil.example/"}], "leads elsewhere"),
        ([{"apps": [], "nextPageUrl": 7}], "leads elsewhere"),
        ([{"apps": [], "nextPageUrl": f"{BASE}/usage?page=2"}, {"apps": []}], "no Ext"),
        ([USAGE, {"consumers": []}], "has 0 consumers"),
        ([USAGE, {"consumers": [{"id": CONSUMER, "key": ""}]}], "has no key"),
        ([USAGE, CONSUMERS, {"stagedCredentials": None}], "has no stagedCredentials"),
        (
            [USAGE, CONSUMERS, {"stagedCredentials": []}, {"stagedCredentials": []}],
            "did not say what it has staged",
        ),
    ],
)
def test_answers_that_are_none(raw_server, answers, words):
    def reply(found):
        body = json.dumps(found)
        return (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        ).encode()

    server = raw_server(*map(reply, answers))
    connection = Connection(server.url, Secret("00D!x"), reach=LOOPBACK)
    with pytest.raises((LostAnswer, MetadeployError), match=words):
        rotation.rotate(CredentialsApi(connection, "66.0"), "Billing", "stage")
    connection.close()
