"""Every OAuth refusal is produced by what causes it: one row, one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from browser import Browser, told
from oauth_apps import (
    CALLBACK,
    KEY,
    SECRET,
    assertion,
    certificate,
    deploy,
    deploy_app,
    give_access,
    post,
    user_id,
)

from metadeploy.emulator.apps import set_blocked
from metadeploy.emulator.oauth_errors import REFUSALS
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref

PORTAL = Ref("ConnectedApp", "Portal")
PASSWORD = "correct horse"
WEB = {"response_type": "code", "client_id": KEY, "redirect_uri": CALLBACK}
SERVICE = {
    "grant_type": "client_credentials",
    "client_id": KEY,
    "client_secret": SECRET,
}


@dataclass
class Stage:
    """What a situation is played on; `refused` holds what came of it."""

    server: RunningServer
    org: OrgState
    clock: Any
    browser: Browser

    def app(self, **more: Any) -> None:
        deploy_app(self.org, **more)

    def open_app(self, **config: str) -> None:
        self.app(config={"isAdminApproved": "false", **config})

    def post(self, endpoint: str = "token", **form: str) -> dict[str, Any]:
        answer = post(self.server, endpoint, **form)
        found: dict[str, Any] = {**answer.json(), "status": answer.status_code}
        return found

    def jwt(self, **claims: object) -> dict[str, Any]:
        return self.post(**assertion(self.org, **claims))

    def web(self, **more: str) -> dict[str, Any]:
        """Go to the authorize page and log in; return what the app is told."""
        self.org.set_password(user_id(self.org, "admin"), PASSWORD)
        self.browser.open("/services/oauth2/authorize", **{**WEB, **more})
        if self.browser.page.status_code == 200:  # type: ignore[union-attr]
            self.browser.log_in("admin@dev.emulated", PASSWORD)
        return self.told()

    def told(self) -> dict[str, Any]:
        assert self.browser.page is not None
        return {**told(self.browser.page), "status": 400}

    def allowed(self, **more: str) -> dict[str, str]:
        self.org.set_password(user_id(self.org, "admin"), PASSWORD)
        self.browser.open("/services/oauth2/authorize", **{**WEB, **more})
        self.browser.log_in("admin@dev.emulated", PASSWORD)
        code = told(self.browser.submit(choice="allow"))["code"]
        return {
            "grant_type": "authorization_code",
            "client_id": KEY,
            "client_secret": SECRET,
            "redirect_uri": CALLBACK,
            "code": code,
        }

    def device(self) -> dict[str, Any]:
        return self.post(response_type="device_code", client_id=KEY)


@pytest.fixture
def stage(server: RunningServer, org: OrgState, clock: Any) -> Iterator[Stage]:
    browser = Browser(server.url)
    yield Stage(server, org, clock, browser)
    browser.close()


def not_approved(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    return stage.jwt()


def not_admin_approved(stage: Stage) -> dict[str, Any]:
    stage.app()
    return stage.jwt()


def not_admin_approved_web(stage: Stage) -> dict[str, Any]:
    stage.app()
    return stage.web()


def blocked(stage: Stage) -> dict[str, Any]:
    stage.app()
    give_access(stage.org)
    set_blocked(stage.org, PORTAL, blocked=True)
    return stage.jwt()


def uninstalled(stage: Stage) -> dict[str, Any]:
    stage.app()
    other = stage.org.world.create_org("other")
    return stage.jwt(sub=f"user@{other.name}.emulated")


def external_app_elsewhere(stage: Stage) -> dict[str, Any]:
    deploy_external(stage.org)
    other = stage.org.world.create_org("other")
    return stage.jwt(sub=f"admin@{other.name}.emulated")


def deploy_external(org: OrgState) -> None:
    app = {"externalClientApplication": ["Portal"], "label": ["p"]}
    header = {"contactEmail": ["a@b.example"], "label": ["p"]}
    oauth: dict[str, Any] = {
        **app,
        "callbackUrl": [CALLBACK],
        "certificate": [certificate(0)],
        "consumerKey": [KEY],
        "consumerSecret": [SECRET],
    }
    scopes: dict[str, Any] = {**app, "commaSeparatedOauthScopes": ["Api"]}
    deploy(org, Ref("ExternalClientApplication", "Portal"), dict(header))
    deploy(org, Ref("ExtlClntAppGlobalOauthSettings", "PortalGlblOAuth"), oauth)
    deploy(org, Ref("ExtlClntAppOauthSettings", "Portal_oauth"), scopes)


def invalid_client_id(stage: Stage) -> dict[str, Any]:
    return stage.jwt()


def invalid_client(stage: Stage) -> dict[str, Any]:
    stage.app()
    return stage.post(**{**SERVICE, "client_secret": "wrong"})


def invalid_assertion(stage: Stage) -> dict[str, Any]:
    stage.app()
    give_access(stage.org)
    return stage.jwt(key_number=1)


def audience(stage: Stage) -> dict[str, Any]:
    stage.app()
    give_access(stage.org)
    return stage.jwt(aud="https://evil.example")


def expired_token(stage: Stage) -> dict[str, Any]:
    stage.app()
    return stage.post(
        grant_type="refresh_token",
        client_id=KEY,
        client_secret=SECRET,
        refresh_token="5Aep861.gone",
    )


def no_client_credentials_user(stage: Stage) -> dict[str, Any]:
    stage.app(config={"isClientCredentialEnabled": "false"})
    return stage.post(**SERVICE)


def wrong_domain(stage: Stage) -> dict[str, Any]:
    stage.app()
    answer = requests.post(
        f"{stage.server.url}/services/oauth2/token",
        data=SERVICE,
        headers={"Host": "login.localhost"},
        timeout=5,
    )
    return {**answer.json(), "status": answer.status_code}


def redirect_mismatch(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    form = stage.allowed()
    return stage.post(**{**form, "redirect_uri": CALLBACK + "/"})


def invalid_scope(stage: Stage) -> dict[str, Any]:
    stage.app()
    return stage.post(**SERVICE, scope="api wave_api")


def inactive_user(stage: Stage) -> dict[str, Any]:
    stage.app()
    user, admin = user_id(stage.org, "user"), user_id(stage.org, "admin")
    stage.org.update_record("User", user, {"IsActive": False}, as_user=admin)
    return stage.jwt(sub="user@dev.emulated")


def authentication_failure(stage: Stage) -> dict[str, Any]:
    stage.app()
    form = {"username": "admin@dev.emulated", "password": "wrong"}
    return stage.post(
        grant_type="password", client_id=KEY, client_secret=SECRET, **form
    )


def ip_restricted(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    restrict(stage.org)
    return stage.post(**SERVICE)


def restrict(org: OrgState) -> None:
    """Let the profile of the integration user log in from one network only."""
    name = "Minimum Access - API Only Integrations"
    ranges: Any = {"startAddress": ["10.0.0.0"], "endAddress": ["10.0.0.255"]}
    deploy(org, Ref("Profile", name), {"loginIpRanges": [ranges]})


def response_type(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    stage.browser.open(
        "/services/oauth2/authorize", **{**WEB, "response_type": "nonsense"}
    )
    return stage.told()


def grant_type(stage: Stage) -> dict[str, Any]:
    return stage.post(grant_type="nonsense")


def expired_code(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    form = stage.allowed()
    assert stage.post(**form)["status"] == 200
    return stage.post(**form)


def invalid_code(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    return stage.post(**{**stage.allowed(), "code": "aPrxnonsense"})


def code_verifier(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    form = stage.allowed(code_challenge="x" * 43)
    return stage.post(**form, code_verifier="y" * 43)


def code_challenge(stage: Stage) -> dict[str, Any]:
    stage.open_app(isPkceRequired="true")
    stage.browser.open("/services/oauth2/authorize", **WEB)
    return stage.told()


def challenge_method(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    more = {"code_challenge": "x" * 43, "code_challenge_method": "plain"}
    stage.browser.open("/services/oauth2/authorize", **WEB, **more)
    return stage.told()


def denied(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    stage.org.set_password(user_id(stage.org, "admin"), PASSWORD)
    stage.browser.open("/services/oauth2/authorize", **WEB, state="kept")
    stage.browser.log_in("admin@dev.emulated", PASSWORD)
    found = told(stage.browser.submit(choice="deny"))
    assert found.pop("state") == "kept"
    return {**found, "status": 400}


def immediate(stage: Stage) -> dict[str, Any]:
    stage.open_app()
    stage.browser.open("/services/oauth2/authorize", **WEB, prompt="none")
    return stage.told()


def pending(stage: Stage) -> dict[str, Any]:
    stage.app()
    code = stage.device()["device_code"]
    return stage.post(grant_type="device", client_id=KEY, code=code)


def invalid_device_code(stage: Stage) -> dict[str, Any]:
    stage.app()
    code = stage.device()["device_code"]
    stage.clock.now += 601
    return stage.post(grant_type="device", client_id=KEY, code=code)


def device_flow_off(stage: Stage) -> dict[str, Any]:
    deploy_external(stage.org)
    return stage.device()


def unsupported_token(stage: Stage) -> dict[str, Any]:
    return stage.post("revoke", token="nonsense")


SITUATIONS: Mapping[str, Callable[[Stage], dict[str, Any]]] = {
    situation.__name__: situation
    for situation in (
        not_approved,
        not_admin_approved,
        not_admin_approved_web,
        blocked,
        uninstalled,
        external_app_elsewhere,
        invalid_client_id,
        invalid_client,
        invalid_assertion,
        audience,
        expired_token,
        no_client_credentials_user,
        wrong_domain,
        redirect_mismatch,
        invalid_scope,
        inactive_user,
        authentication_failure,
        ip_restricted,
        response_type,
        grant_type,
        expired_code,
        invalid_code,
        code_verifier,
        code_challenge,
        challenge_method,
        denied,
        immediate,
        pending,
        invalid_device_code,
        device_flow_off,
        unsupported_token,
    )
}


def test_every_refusal_has_its_situation():
    assert set(SITUATIONS) == set(REFUSALS)


@pytest.mark.parametrize("name", SITUATIONS)
def test_refusal(stage: Stage, name: str):
    row = REFUSALS[name]
    assert row.mark in ("documented", "observed", "recalled", "inferred")
    found = SITUATIONS[name](stage)
    assert found == {
        "error": row.error,
        "error_description": row.description,
        "status": row.status,
    }


class TestOtherWaysToBeRefused:
    """The same words for what else the platform refuses so."""

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 1_800_000_000 - 301},
            {"exp": "soon"},
            {"exp": None},
            {"exp": "nan"},
            {"exp": [1]},
        ],
        ids=str,
    )
    def test_assertions_out_of_time(self, stage: Stage, claims: dict[str, Any]):
        stage.app()
        give_access(stage.org)
        assert stage.jwt(**claims)["error_description"] == "invalid assertion"

    def test_an_app_without_certificate(self, stage: Stage):
        stage.app(config={"certificate": ""})
        assert stage.jwt()["error_description"] == "invalid assertion"

    @pytest.mark.parametrize("sub", ["nobody@x.example", "", 7, ["a"]], ids=str)
    def test_an_unknown_user_has_approved_nothing(self, stage: Stage, sub: object):
        stage.app()
        found = stage.jwt(sub=sub)
        assert found["error_description"] == "user hasn't approved this consumer"

    @pytest.mark.parametrize("missing", ["client_id", "client_secret", "grant_type"])
    def test_what_is_missing(self, stage: Stage, missing: str):
        stage.app()
        form = {k: v for k, v in SERVICE.items() if k != missing}
        found = stage.post(**form)
        wanted = "invalid_client" if missing == "client_secret" else "invalid_request"
        assert found["error"] == wanted

    def test_no_run_as_user(self, stage: Stage):
        stage.app(config={"oauthClientCredentialUser": ""})
        found = stage.post(**SERVICE)
        assert found["error_description"] == "no client credentials user enabled"

    def test_the_token_endpoint_wants_a_post(self, stage: Stage):
        url = f"{stage.server.url}/services/oauth2/token?grant_type=password"
        answer = requests.get(url, timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_an_endpoint_that_is_not_emulated(self, stage: Stage):
        answer = post(stage.server, "singleaccess")
        assert answer.status_code == 404
        assert "singleaccess is not emulated" in answer.json()["error_description"]

    def test_the_user_is_told_of_a_wrong_client(self, stage: Stage):
        """Never by redirect: nobody knows who that would be."""
        page = stage.browser.open(
            "/services/oauth2/authorize", **{**WEB, "client_id": "nonsense"}
        )
        assert page.status_code == 400
        assert "invalid_client_id : client identifier invalid" in page.text

    @pytest.mark.parametrize(
        "uri", [CALLBACK + "/", CALLBACK + "?x", "https://evil.example", "javascript:1"]
    )
    def test_the_user_is_told_of_a_wrong_callback(self, stage: Stage, uri: str):
        stage.app()
        page = stage.browser.open(
            "/services/oauth2/authorize", **{**WEB, "redirect_uri": uri}
        )
        assert page.status_code == 400
        assert "redirect_uri must match configuration" in page.text

    def test_a_code_of_another_app(self, stage: Stage):
        stage.open_app()
        form = stage.allowed()
        stage.app(name="Other", key="otherkey" * 4)
        found = stage.post(**{**form, "client_id": "otherkey" * 4})
        assert found["error_description"] == "invalid authorization code"

    def test_a_code_that_came_late(self, stage: Stage):
        stage.open_app()
        form = stage.allowed()
        stage.clock.now += 901
        assert stage.post(**form)["error_description"] == "expired authorization code"

    def test_salesforce_cli_has_no_device_flow(self, stage: Stage):
        found = stage.post(response_type="device_code", client_id="PlatformCLI")
        assert found["error"] == "OAUTH_APPROVAL_ERROR_GENERIC"


class TestApiAccessControl:
    """Every app is as if admin-approved, but for who may use any client."""

    @pytest.fixture
    def org(self, world: World) -> OrgState:
        return world.create_org("dev", OrgSettings(api_access_control=True))

    def test_without_access(self, stage: Stage):
        stage.open_app()
        assert stage.jwt()["error"] == "invalid_app_access"

    def test_with_access_nobody_need_approve(self, stage: Stage):
        stage.open_app()
        give_access(stage.org)
        assert stage.jwt()["status"] == 200
