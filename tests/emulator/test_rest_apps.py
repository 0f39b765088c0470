"""Credentials of External Client Apps over REST: read, stage, rotate, drop."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from oauth_apps import CALLBACK, certificate, deploy, post, user_id

from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref

KEY, SECRET = "externalkey" * 5, "externalsecret" * 5
BASE = "/services/data/v66.0/apps/oauth"


def deploy_external(org: OrgState) -> None:
    """Deploy an External Client App with the client credentials flow on."""
    app: dict[str, Any] = {"externalClientApplication": ["Ext"], "label": ["x"]}
    header = {"contactEmail": ["a@b.example"], "label": ["Ext App"]}
    credentials = {
        **app,
        "callbackUrl": [CALLBACK],
        "certificate": [certificate(0)],
        "consumerKey": [KEY],
        "consumerSecret": [SECRET],
        "isClientCredentialsFlowEnabled": ["true"],
    }
    policy = {
        **app,
        "isClientCredentialsFlowEnabled": ["true"],
        "clientCredentialsFlowUser": ["integration@dev.emulated"],
    }
    scopes = {**app, "commaSeparatedOauthScopes": ["Api"]}
    deploy(org, Ref("ExternalClientApplication", "Ext"), dict(header))
    deploy(org, Ref("ExtlClntAppGlobalOauthSettings", "ExtGlblOAuth"), credentials)
    deploy(org, Ref("ExtlClntAppOauthSettings", "Ext_oauth"), scopes)
    deploy(org, Ref("ExtlClntAppOauthConfigurablePolicies", "Ext_plcy"), policy)


class Client:
    def __init__(self, server: RunningServer, org: OrgState, user: str = "admin"):
        self.url = server.url
        token = org.issue_token(user_id(org, user))
        self.headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        url = self.url + (path if path.startswith("/services") else BASE + path)
        return requests.request(method, url, headers=self.headers, timeout=10, **more)

    def consumer(self) -> dict[str, str]:
        """Go the way of every tool: usage, then the app's only consumer."""
        [app] = self("GET", "/usage").json()["apps"]
        assert app["developerName"] == "Ext"
        answer = self("GET", f"/credentials/{app['identifier']}")
        assert answer.status_code == 200, answer.text
        [found] = answer.json()["consumers"]
        return dict(found)


@pytest.fixture
def org(world: World) -> OrgState:
    made = world.create_org("dev")
    deploy_external(made)
    return made


@pytest.fixture
def client(server: RunningServer, org: OrgState) -> Client:
    return Client(server, org)


def serves(server: RunningServer, key: str, secret: str) -> bool:
    form = {"client_id": key, "client_secret": secret}
    answer = post(server, grant_type="client_credentials", **form)
    return answer.status_code == 200


def test_key_and_secret(client: Client, server: RunningServer):
    consumer = client.consumer()
    assert consumer["id"].startswith("888")
    assert (consumer["key"], consumer["name"]) == (KEY, "Ext")
    url = consumer["url"]
    both = {"id": consumer["id"], "key": KEY, "secret": SECRET}
    assert client("GET", f"{url}?part=keyandsecret").json() == both
    assert "secret" not in client("GET", f"{url}?part=key").json()
    assert "key" not in client("GET", f"{url}?part=secret").json()
    assert client("GET", f"{url}?part=x").status_code == 400
    assert serves(server, KEY, SECRET)


def test_the_developer_name_serves_as_well(client: Client):
    assert client("GET", "/credentials/Ext").json()["consumers"][0]["key"] == KEY


def test_stage_rotate_drop(client: Client, server: RunningServer):
    consumer = client.consumer()
    where = consumer["stagedCredentialsUrl"]
    assert client("GET", where).json()["stagedCredentials"] == []
    made = client("POST", where, json={})
    assert made.status_code == 201
    [staged] = made.json()["stagedCredentials"]
    assert staged["state"] == "Active"
    assert not serves(server, staged["key"], staged["secret"])
    assert client("POST", where).status_code == 400
    rotated = client("PATCH", staged["url"], json={"command": "rotate"})
    assert rotated.status_code == 200
    assert (rotated.json()["state"], rotated.json()["key"]) == ("Rotated", KEY)
    assert client.consumer()["key"] == staged["key"]
    assert serves(server, staged["key"], staged["secret"])
    assert serves(server, KEY, SECRET)
    assert not serves(server, KEY, staged["secret"])
    again = client("PATCH", staged["url"], json={"command": "rotate"})
    assert again.status_code == 400
    [former] = client("GET", where).json()["stagedCredentials"]
    assert client("GET", former["url"]).json()["key"] == KEY
    assert client("DELETE", former["url"]).status_code == 204
    assert client("DELETE", former["url"]).status_code == 404
    assert not serves(server, KEY, SECRET)
    assert serves(server, staged["key"], staged["secret"])


def test_former_credentials_end_after_30_days(
    client: Client, server: RunningServer, clock: Any
):
    where = client.consumer()["stagedCredentialsUrl"]
    [staged] = client("POST", where, json={}).json()["stagedCredentials"]
    client("PATCH", staged["url"], json={"command": "rotate"})
    clock.now += 30 * 86400
    assert not serves(server, KEY, SECRET)
    assert serves(server, staged["key"], staged["secret"])


def test_a_freed_key_is_free_for_others(client: Client, world: World):
    where = client.consumer()["stagedCredentialsUrl"]
    [staged] = client("POST", where, json={}).json()["stagedCredentials"]
    client("PATCH", staged["url"], json={"command": "rotate"})
    assert world.org_of_consumer_key(KEY)
    client("DELETE", staged["url"])
    assert world.org_of_consumer_key(KEY) is None
    assert world.org_of_consumer_key(staged["key"])


def test_an_org_where_this_is_off(server: RunningServer, world: World, org: OrgState):
    world.configure_org("dev", OrgSettings(secrets_in_rest=False))
    answer = Client(server, org)("GET", "/credentials/Ext")
    assert answer.status_code == 403
    assert answer.json()[0]["errorCode"] == "FUNCTIONALITY_NOT_ENABLED"
    assert "not currently enabled" in answer.json()[0]["message"]


def test_a_user_who_may_not(server: RunningServer, org: OrgState):
    answer = Client(server, org, "integration")("GET", "/credentials/Ext")
    assert answer.status_code == 403
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/credentials/Nothing",
        "/credentials/Ext/888000000000001",
        "/credentials/Ext/CONSUMER/staged/0EM000000000001",
        "/nonsense",
    ],
)
def test_what_is_not_there(client: Client, path: str):
    path = path.replace("CONSUMER", client.consumer()["id"])
    answer = client("GET", path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")
