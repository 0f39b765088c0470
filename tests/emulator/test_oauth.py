"""OAuth as clients use it: tokens by each flow without a browser, and their end."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import jwt
import pytest
import requests
from oauth_apps import (
    KEY,
    SECRET,
    assertion,
    deploy_app,
    give_access,
    post,
    user_id,
)

from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState, World


def token(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    found: dict[str, Any] = answer.json()
    return found


def works(server: RunningServer, access_token: str) -> bool:
    url = f"{server.url}/services/data/v66.0/limits"
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(url, headers=headers, timeout=5).status_code == 200


@pytest.fixture
def portal(org: OrgState) -> OrgState:
    """An org with an admin-approved app that admins may use."""
    deploy_app(org)
    give_access(org)
    return org


class TestJwtBearer:
    def test_the_token_response(self, server: RunningServer, portal: OrgState):
        found = token(post(server, **assertion(portal)))
        admin = user_id(portal, "admin")
        identity = f"{server.url}/id/{portal.id}/{admin}"
        text = identity + found["issued_at"]
        digest = hmac.digest(SECRET.encode(), text.encode(), "sha256")
        access_token = found.pop("access_token")
        jwt.decode(found.pop("id_token"), options={"verify_signature": False})
        assert access_token.startswith(f"{portal.id[:15]}!EMU.")
        assert found == {
            "instance_url": server.url,
            "api_instance_url": server.url,
            "id": identity,
            "issued_at": "1800000000000",
            "scope": "api id openid web",
            "signature": base64.b64encode(digest).decode(),
            "token_type": "Bearer",
        }
        assert works(server, access_token)

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 1_800_000_100_000},
            {"exp": "1800000100"},
            {"exp": 1_800_000_000, "alg": "RS256"},
            {"aud": "https://test.salesforce.com"},
            {"aud": "https://login.salesforce.com/"},
            {"aud": "http://127.0.0.1:8080/"},
            {"aud": "https://localhost/services/oauth2/token"},
            {"aud": ["https://nobody.example", "https://login.salesforce.com"]},
            {"sub": "ADMIN@dev.emulated"},
            {"sub": None, "prn": "admin@dev.emulated"},
            {"iat": 1_800_000_000},
        ],
        ids=str,
    )
    def test_what_real_clients_send(
        self, server: RunningServer, portal: OrgState, claims: dict[str, Any]
    ):
        claims = {k: v for k, v in claims.items() if v is not None}
        assert works(
            server, token(post(server, **assertion(portal, **claims)))["access_token"]
        )

    def test_chunked_and_without_a_content_type(
        self, server: RunningServer, portal: OrgState
    ):
        form = assertion(portal)
        body = f"grant_type={form['grant_type']}&assertion={form['assertion']}"
        answer = requests.post(
            f"{server.url}/services/oauth2/token",
            data=iter([body[:50].encode(), body[50:].encode()]),
            timeout=5,
        )
        assert token(answer)["token_type"] == "Bearer"

    def test_a_permission_set_gives_access_too(
        self, server: RunningServer, org: OrgState
    ):
        deploy_app(org)
        assert post(server, **assertion(org)).status_code == 400
        ps = org.create_record(
            "PermissionSet", {"Name": "P", "Label": "p"}, as_user=user_id(org, "admin")
        )
        app = org.records("ConnectedApplication")[0]["Id"]
        admin = user_id(org, "admin")
        org.create_record(
            "SetupEntityAccess", {"ParentId": ps, "SetupEntityId": app}, as_user=admin
        )
        assert post(server, **assertion(org)).status_code == 400
        org.create_record(
            "PermissionSetAssignment",
            {"PermissionSetId": ps, "AssigneeId": admin},
            as_user=admin,
        )
        token(post(server, **assertion(org)))


class TestClientCredentials:
    FORM = {
        "grant_type": "client_credentials",
        "client_id": KEY,
        "client_secret": SECRET,
    }

    def test_the_run_as_user(self, server: RunningServer, portal: OrgState):
        found = token(post(server, **self.FORM))
        assert found["id"].endswith(user_id(portal, "integration"))
        assert "refresh_token" not in found
        assert "refresh_token" not in found["scope"].split()
        assert works(server, found["access_token"])

    def test_basic_authentication(self, server: RunningServer, portal: OrgState):
        answer = requests.post(
            f"{server.url}/services/oauth2/token",
            data={"grant_type": "client_credentials", "scope": "api"},
            auth=(KEY, SECRET),
            timeout=5,
        )
        assert token(answer)["scope"] == "api id"


def test_two_orgs_have_their_own_apps(server: RunningServer, world: World):
    for name in ("a", "b"):
        org = world.create_org(name)
        deploy_app(org, key=None)
        give_access(org)
    for name in ("a", "b"):
        org = world.org(name)
        component = org.components("ConnectedApp")[0]
        form = assertion(org, iss=component.extra["key"])
        assert org.id in token(post(server, **form))["id"]
