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
    deploy,
    deploy_app,
    give_access,
    post,
    user_id,
)

from metadeploy.emulator.admission import approve
from metadeploy.emulator.apps import oauth_app, set_blocked
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref


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


class TestRefresh:
    """Refresh tokens: how long they serve, and what ends them."""

    def approved(self, org: OrgState, server: RunningServer, **app: Any) -> str:
        """Deploy the app and return a refresh token of the admin."""
        config = {"isAdminApproved": "false", **app.pop("config", {})}
        deploy_app(org, config=config, **app)
        found = oauth_app(org, Ref("ConnectedApp", "Portal"))
        assert found is not None
        admin = user_id(org, "admin")
        scopes = ("api", "id", "refresh_token")
        approval = approve(org, found, admin, scopes)
        return org.issue_token(
            admin, scopes=scopes, app=found.ref, refresh=True, grant_id=approval.id
        )

    def refresh(
        self, server: RunningServer, refresh_token: str, **more: str
    ) -> requests.Response:
        form = {"client_id": KEY, "client_secret": SECRET, **more}
        return post(
            server, grant_type="refresh_token", refresh_token=refresh_token, **form
        )

    def test_it_serves_again_and_again(self, server: RunningServer, org: OrgState):
        refresh_token = self.approved(org, server)
        for _ in range(2):
            found = token(self.refresh(server, refresh_token))
            assert found["scope"] == "api id refresh_token"
            assert "refresh_token" not in found
            assert works(server, found["access_token"])

    def test_the_approval_serves_jwt_too(self, server: RunningServer, org: OrgState):
        self.approved(org, server)
        assert works(server, token(post(server, **assertion(org)))["access_token"])

    def test_a_secret_is_needed_unless_the_app_says_so(
        self, server: RunningServer, org: OrgState
    ):
        refresh_token = self.approved(org, server)
        form = {
            "grant_type": "refresh_token",
            "client_id": KEY,
            "refresh_token": refresh_token,
        }
        assert post(server, **form).json()["error"] == "invalid_client"
        loose = {"isSecretRequiredForRefreshToken": "false", "isAdminApproved": "false"}
        deploy_app(org, key=None, config=loose)
        token(post(server, **form))
        wrong = post(server, **form, client_secret="wrong")
        assert wrong.json()["error"] == "invalid_client"

    def test_rotation(self, server: RunningServer, org: OrgState):
        config = {"isRefreshTokenRotationEnabled": "true"}
        first = self.approved(org, server, config=config)
        second = token(self.refresh(server, first))["refresh_token"]
        assert second != first
        third = token(self.refresh(server, second))
        assert works(server, third["access_token"])
        # Whoever sends an old one has stolen it, or was stolen from.
        assert self.refresh(server, second).status_code == 400
        assert self.refresh(server, third["refresh_token"]).status_code == 400
        assert not works(server, third["access_token"])

    @pytest.mark.parametrize(
        ("policy", "seconds", "serves"),
        [
            ("infinite", 10 * 365 * 86400, True),
            ("zero", 0, False),
            ("specific_lifetime:2:HOURS", 7199, True),
            ("specific_lifetime:2:HOURS", 7200, False),
            ("specific_lifetime:1:DAYS", 86399, True),
            ("specific_inactivity:1:DAYS", 86400, False),
        ],
    )
    def test_policies(
        self,
        server: RunningServer,
        org: OrgState,
        clock: Any,
        policy: str,
        seconds: int,
        serves: bool,
    ):
        refresh_token = self.approved(
            org, server, policy={"refreshTokenPolicy": policy}
        )
        clock.now += seconds
        answer = self.refresh(server, refresh_token)
        assert (answer.status_code == 200) == serves
        if not serves:
            assert answer.json()["error_description"] == "expired access/refresh token"

    def test_inactivity_is_counted_from_the_last_use(
        self, server: RunningServer, org: OrgState, clock: Any
    ):
        policy = {"refreshTokenPolicy": "specific_inactivity:1:DAYS"}
        refresh_token = self.approved(org, server, policy=policy)
        for _ in range(3):
            clock.now += 86000
            token(self.refresh(server, refresh_token))

    def test_of_another_app(self, server: RunningServer, org: OrgState):
        refresh_token = self.approved(org, server)
        deploy_app(org, name="Other", key="otherkey" * 4)
        answer = self.refresh(server, refresh_token, client_id="otherkey" * 4)
        assert answer.json()["error_description"] == "expired access/refresh token"

    def test_it_ends_with_its_record(self, server: RunningServer, org: OrgState):
        refresh_token = self.approved(org, server)
        access_token = token(self.refresh(server, refresh_token))["access_token"]
        [record] = org.records("OauthToken")
        assert (record["AppName"], record["UseCount"]) == ("Portal", 2)
        admin = user_id(org, "admin")
        org.delete_record("OauthToken", str(record["Id"]), as_user=admin)
        assert self.refresh(server, refresh_token).status_code == 400
        assert not works(server, access_token)
        found = post(server, **assertion(org)).json()
        assert found["error_description"] == "user hasn't approved this consumer"

    def test_it_ends_when_access_ends(self, server: RunningServer, org: OrgState):
        refresh_token = self.approved(org, server)
        deploy_app(org, key=None)
        answer = self.refresh(server, refresh_token)
        assert answer.json()["error"] == "invalid_app_access"

    def test_ip_ranges_may_be_relaxed_for_it(
        self, server: RunningServer, org: OrgState
    ):
        refresh_token = self.approved(org, server)
        record = org.record("User", user_id(org, "admin"))
        assert record is not None
        ranges: Any = {"startAddress": ["10.0.0.0"], "endAddress": ["10.0.0.255"]}
        deploy(org, Ref("Profile", "Admin"), {"loginIpRanges": [ranges]})
        found = self.refresh(server, refresh_token).json()
        assert found["error_description"] == "ip restricted"
        relaxed = {"ipRelaxation": "ENFORCE_RELAXREFRESH"}
        open_app = {"isAdminApproved": "false"}
        deploy_app(org, key=None, config=open_app, policy=relaxed)
        token(self.refresh(server, refresh_token))
        assert post(server, **assertion(org)).json()["error_description"] == (
            "ip restricted"
        )
        bypass = {"ipRelaxation": "BYPASS"}
        deploy_app(org, key=None, config=open_app, policy=bypass)
        token(post(server, **assertion(org)))
        trusted = ("127.0.0.0", "127.0.0.255")
        deploy_app(org, key=None, config=open_app, ranges=trusted)
        token(post(server, **assertion(org)))

    def test_salesforce_cli_brings_one_of_the_world(
        self, server: RunningServer, org: OrgState
    ):
        """`sf org login sfdx-url` with a token that was made for it."""
        refresh_token = org.issue_token(user_id(org, "admin"), refresh=True)
        form = {"grant_type": "refresh_token", "client_id": "PlatformCLI"}
        found = token(post(server, **form, refresh_token=refresh_token))
        assert works(server, found["access_token"])


class TestPassword:
    FORM = {
        "grant_type": "password",
        "client_id": KEY,
        "client_secret": SECRET,
        "username": "admin@dev.emulated",
        "password": "secret",
    }

    def test_it_gives_no_refresh_token(self, server: RunningServer, portal: OrgState):
        portal.set_password(user_id(portal, "admin"), "secret")
        found = token(post(server, **self.FORM))
        assert found["scope"] == "api id openid web"
        assert "refresh_token" not in found

    def test_the_org_may_block_the_flow(self, server: RunningServer, portal: OrgState):
        portal.set_password(user_id(portal, "admin"), "secret")
        settings = Ref("Settings", "OauthOidc")
        deploy(portal, settings, {"blockOAuthUnPwFlow": ["true"]})
        found = post(server, **self.FORM).json()
        assert found["error_description"] == "authentication failure"


class TestLifetime:
    def test_an_access_token_follows_the_session_policy(
        self, server: RunningServer, org: OrgState, clock: Any
    ):
        policy = {"policyAction": "Block", "sessionTimeout": "15"}
        deploy_app(org, session=policy)
        give_access(org)
        access_token = token(post(server, **assertion(org)))["access_token"]
        clock.now += 899
        assert works(server, access_token)
        clock.now += 1
        assert not works(server, access_token)

    def test_a_block_ends_what_lives(self, server: RunningServer, portal: OrgState):
        access_token = token(post(server, **assertion(portal)))["access_token"]
        ref = Ref("ConnectedApp", "Portal")
        set_blocked(portal, ref, blocked=True)
        assert not works(server, access_token)
        assert post(server, **assertion(portal)).json()["error"] == "OAUTH_APP_BLOCKED"
        set_blocked(portal, ref, blocked=False)
        token(post(server, **assertion(portal)))


class TestRevoke:
    @pytest.mark.parametrize("where", ["form", "query"])
    def test_an_access_token(self, server: RunningServer, portal: OrgState, where: str):
        access_token = token(post(server, **assertion(portal)))["access_token"]
        if where == "form":
            answer = post(server, "revoke", token=access_token)
        else:
            url = f"{server.url}/services/oauth2/revoke"
            answer = requests.get(url, params={"token": access_token}, timeout=5)
        assert (answer.status_code, answer.content) == (200, b"")
        assert not works(server, access_token)

    def test_a_refresh_token_takes_all_along(
        self, server: RunningServer, org: OrgState
    ):
        flow = TestRefresh()
        refresh_token = flow.approved(org, server)
        access_token = token(flow.refresh(server, refresh_token))["access_token"]
        assert post(server, "revoke", token=refresh_token).status_code == 200
        assert not works(server, access_token)
        assert flow.refresh(server, refresh_token).status_code == 400
        assert org.records("OauthToken") == []

    def test_without_a_token(self, server: RunningServer):
        assert post(server, "revoke").json()["error"] == "invalid_request"


class TestIntrospect:
    def ask(self, server: RunningServer, asked: str, **more: str) -> dict[str, Any]:
        form = {"client_id": KEY, "client_secret": SECRET, "token": asked, **more}
        found: dict[str, Any] = post(server, "introspect", **form).json()
        return found

    def test_its_own_token(self, server: RunningServer, portal: OrgState):
        found = token(post(server, **assertion(portal)))
        assert self.ask(server, found["access_token"]) == {
            "active": True,
            "client_id": KEY,
            "exp": 1_800_000_000 + 7200,
            "scope": "api id openid web",
            "sub": found["id"],
            "token_type": "access_token",
            "username": "admin@dev.emulated",
        }

    def test_what_is_not_its_to_know(
        self, server: RunningServer, portal: OrgState, world: World
    ):
        inactive = {"active": False}
        assert self.ask(server, "nonsense") == inactive
        session = portal.issue_token(user_id(portal, "admin"))
        assert self.ask(server, session) == inactive
        everything = {"isIntrospectAllTokens": "true"}
        deploy_app(portal, key=None, config=everything)
        assert self.ask(server, session)["active"] is True
        other = world.create_org("other")
        foreign = other.issue_token(user_id(other, "admin"))
        assert self.ask(server, foreign) == inactive

    def test_who_asks_must_be_known(self, server: RunningServer, portal: OrgState):
        assert self.ask(server, "x", client_secret="wrong")["error"] == "invalid_client"


class TestWhoSomebodyIs:
    def get(self, server: RunningServer, path: str, bearer: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        url = path if path.startswith("http") else server.url + path
        return requests.get(url, headers=headers, timeout=5)

    def test_userinfo(self, server: RunningServer, portal: OrgState):
        session = token(post(server, **assertion(portal)))
        found = self.get(
            server, "/services/oauth2/userinfo", session["access_token"]
        ).json()
        assert found["sub"] == session["id"]
        assert found["organization_id"] == portal.id
        assert found["user_id"] == user_id(portal, "admin")
        assert found["preferred_username"] == "admin@dev.emulated"
        assert found["urls"]["metadata"] == (
            f"{server.url}/services/Soap/m/{{version}}/"
        )

    def test_the_identity_url(self, server: RunningServer, portal: OrgState):
        session = token(post(server, **assertion(portal)))
        found = self.get(server, session["id"], session["access_token"]).json()
        assert found["username"] == "admin@dev.emulated"
        assert found["id"] == session["id"]

    @pytest.mark.parametrize("path", ["/services/oauth2/userinfo", "/id/ORG/USER"])
    def test_without_a_token_that_lives(
        self, server: RunningServer, org: OrgState, path: str
    ):
        path = path.replace("ORG", org.id).replace("USER", user_id(org, "admin"))
        for bearer, word in (("", "Missing_OAuth_Token"), ("x", "Bad_OAuth_Token")):
            answer = self.get(server, path, bearer)
            assert (answer.status_code, answer.text) == (403, word)

    def test_the_identity_of_somebody_else(
        self, server: RunningServer, org: OrgState, world: World
    ):
        bearer = org.issue_token(user_id(org, "admin"))
        other = world.create_org("other")
        admin, user = user_id(org, "admin"), user_id(org, "user")
        wrong_org = self.get(server, f"/id/{other.id}/{admin}", bearer)
        assert (wrong_org.status_code, wrong_org.text) == (403, "Wrong_Org")
        wrong_user = self.get(server, f"/id/{org.id}/{user}", bearer)
        assert (wrong_user.status_code, wrong_user.text) == (404, "Bad_Id")

    def test_discovery(self, server: RunningServer, portal: OrgState):
        path = "/.well-known/openid-configuration"
        found = requests.get(server.url + path, timeout=5).json()
        assert found["issuer"] == server.url
        for name, url in found.items():
            if name.endswith("_endpoint"):
                assert requests.get(url, timeout=5).status_code < 500, name
        keys = jwt.PyJWKClient(found["jwks_uri"])
        session = token(post(server, **assertion(portal)))
        key = keys.get_signing_key_from_jwt(session["id_token"])
        claims = jwt.decode(
            session["id_token"],
            key,
            algorithms=found["id_token_signing_alg_values_supported"],
            audience=KEY,
            issuer=found["issuer"],
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["sub"] == session["id"]
