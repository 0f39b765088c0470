"""Flows in which a person decides in a browser: web server, user-agent, device."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from browser import Browser, told
from lxml import html
from oauth_apps import CALLBACK, KEY, SECRET, deploy_app, give_access, post, user_id

from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState

PASSWORD = "correct horse"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
AUTHORIZE = "/services/oauth2/authorize"
ASKED = {
    "response_type": "code",
    "client_id": KEY,
    "redirect_uri": CALLBACK,
    "state": "a b&c=d/é",
}


@pytest.fixture
def org(org: OrgState) -> OrgState:
    """An org whose admin and user have passwords, and an app open to approval."""
    for name in ("admin", "user"):
        org.set_password(user_id(org, name), PASSWORD)
    deploy_app(org, config={"isAdminApproved": "false"})
    return org


@pytest.fixture
def browser(server: RunningServer, org: OrgState) -> Iterator[Browser]:
    opened = Browser(server.url)
    yield opened
    opened.close()


def code_for_token(server: RunningServer, code: str, **more: str) -> requests.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": KEY,
        "client_secret": SECRET,
        "redirect_uri": CALLBACK,
        "code": code,
        **more,
    }
    return post(server, **form)


def allow(browser: Browser, **more: str) -> dict[str, str]:
    """Log in, say yes, and return what the app is told."""
    browser.open(AUTHORIZE, **{**ASKED, **more})
    browser.log_in("admin@dev.emulated", PASSWORD)
    return told(browser.submit(choice="allow"))


class TestWebServerFlow:
    def test_login_approval_code_token(
        self, browser: Browser, server: RunningServer, org: OrgState
    ):
        browser.open(AUTHORIZE, **ASKED, login_hint="admin@dev.emulated")
        assert browser.heading == "Log in"
        assert 'value="admin@dev.emulated"' in browser.page.text  # type: ignore[union-attr]
        browser.log_in("admin@dev.emulated", PASSWORD)
        assert browser.heading == "Allow Access?"
        page = browser.page.text  # type: ignore[union-attr]
        assert "<strong>Portal</strong> is asking to:" in page
        assert "Perform requests at any time" in page
        found = told(browser.submit(choice="allow"))
        assert found["state"] == ASKED["state"]
        tokens = code_for_token(server, found["code"]).json()
        assert tokens["refresh_token"].startswith("5Aep861")
        assert set(tokens["scope"].split()) == {
            "api",
            "id",
            "openid",
            "refresh_token",
            "web",
        }
        assert tokens["id"].endswith(f"{org.id}/{user_id(org, 'admin')}")

    def test_the_second_time_nobody_is_asked(
        self, browser: Browser, server: RunningServer
    ):
        code = allow(browser)["code"]
        assert code_for_token(server, code).status_code == 200
        assert "code" in told(browser.open(AUTHORIZE, **ASKED))
        assert "code" in told(browser.open(AUTHORIZE, **ASKED, prompt="none"))
        browser.open(AUTHORIZE, **ASKED, prompt="consent")
        assert browser.heading == "Allow Access?"
        browser.open(AUTHORIZE, **ASKED, prompt="login")
        assert browser.heading == "Log in"
        assert "code" in told(browser.log_in("admin@dev.emulated", PASSWORD))

    def test_an_admin_approved_app_asks_nobody(self, browser: Browser, org: OrgState):
        deploy_app(org, key=None)
        give_access(org)
        browser.open(AUTHORIZE, **ASKED)
        assert "code" in told(browser.log_in("admin@dev.emulated", PASSWORD))

    def test_pkce(self, browser: Browser, server: RunningServer, org: OrgState):
        deploy_app(
            org,
            key=None,
            config={
                "isAdminApproved": "false",
                "isPkceRequired": "true",
                "isConsumerSecretOptional": "true",
            },
        )
        challenge = CHALLENGE.rstrip(b"=").decode()
        more = {"code_challenge": challenge, "code_challenge_method": "S256"}
        code = allow(browser, **more)["code"]
        form = {
            "grant_type": "authorization_code",
            "client_id": KEY,
            "redirect_uri": CALLBACK,
            "code": code,
            "code_verifier": VERIFIER,
        }
        assert post(server, **form).json()["token_type"] == "Bearer"

    def test_the_id_token_carries_the_nonce(
        self, browser: Browser, server: RunningServer
    ):
        code = allow(browser, scope="openid", nonce="n1")["code"]
        tokens = code_for_token(server, code).json()
        keys = requests.get(f"{server.url}/id/keys", timeout=5).json()
        key = jwt.PyJWKSet.from_dict(keys)[
            jwt.get_unverified_header(tokens["id_token"])["kid"]
        ]
        claims = jwt.decode(
            tokens["id_token"],
            key,
            algorithms=["RS256"],
            audience=KEY,
            issuer=server.url,
            options={"verify_exp": False, "verify_iat": False},
        )
        assert (claims["nonce"], claims["sub"]) == ("n1", tokens["id"])
        assert claims["exp"] - claims["iat"] == 120
        assert "refresh_token" not in tokens

    def test_salesforce_cli_logs_in_anywhere(
        self, browser: Browser, server: RunningServer
    ):
        """What `sf org login web` does."""
        callback = "http://localhost:1717/OauthRedirect"
        browser.open(
            AUTHORIZE,
            response_type="code",
            client_id="PlatformCLI",
            redirect_uri=callback,
            state="s",
            prompt="login",
            scope="refresh_token api web",
            code_challenge=CHALLENGE.rstrip(b"=").decode(),
        )
        browser.log_in("admin@dev.emulated", PASSWORD)
        code = told(browser.submit(choice="allow"))["code"]
        form = {"client_id": "PlatformCLI", "redirect_uri": callback, "code": code}
        tokens = post(
            server, grant_type="authorization_code", code_verifier=VERIFIER, **form
        ).json()
        again = post(
            server,
            grant_type="refresh_token",
            client_id="PlatformCLI",
            refresh_token=tokens["refresh_token"],
        )
        assert again.status_code == 200


class TestUserAgentFlow:
    def test_the_token_comes_in_the_fragment(self, browser: Browser):
        found = allow(browser, response_type="token", scope="api")
        assert found["token_type"] == "Bearer"
        assert found["state"] == ASKED["state"]
        assert browser.page.headers["Location"].startswith(CALLBACK + "#")  # type: ignore[union-attr]


class TestTheLoginPage:
    @pytest.mark.parametrize(
        ("username", "password"),
        [
            ("admin@dev.emulated", "wrong"),
            ("nobody@dev.emulated", PASSWORD),
            ("integration@dev.emulated", ""),
            ("'\"><script>", "x"),
        ],
    )
    def test_it_does_not_tell_what_was_wrong(
        self, browser: Browser, username: str, password: str
    ):
        browser.open(AUTHORIZE, **ASKED)
        page = browser.log_in(username, password)
        assert browser.alert.startswith("Please check your username and password.")
        assert "<script>" not in page.text
        assert "Set-Cookie" not in page.headers

    def test_who_is_not_active_stays_outside(self, browser: Browser, org: OrgState):
        user, admin = user_id(org, "user"), user_id(org, "admin")
        org.update_record("User", user, {"IsActive": False}, as_user=admin)
        browser.open(AUTHORIZE, **ASKED)
        browser.log_in("user@dev.emulated", PASSWORD)
        assert browser.heading == "Log in"

    def test_another_site_cannot_log_somebody_in(self, browser: Browser):
        browser.open(AUTHORIZE, **ASKED)
        page = browser.submit(
            username="admin@dev.emulated",
            password=PASSWORD,
            headers={"Origin": "https://evil.example"},
        )
        assert browser.alert == "This form was sent from another site."
        assert "Set-Cookie" not in page.headers

    def test_its_headers(self, browser: Browser):
        headers = browser.open(AUTHORIZE, **ASKED).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "same-origin"

    def test_the_cookie_is_kept_from_scripts(self, browser: Browser):
        answer = requests.post(
            browser.url + AUTHORIZE,
            params=ASKED,
            data={"username": "admin@dev.emulated", "password": PASSWORD},
            timeout=5,
            allow_redirects=False,
        )
        cookie = answer.headers["Set-Cookie"]
        assert answer.status_code == 303
        assert "HttpOnly; SameSite=Lax" in cookie
        assert "Secure" not in cookie


class TestForgedApprovals:
    @pytest.mark.parametrize(
        "forged", [{"form_key": "x"}, {"form_key": ""}, {"form_key": "é"}]
    )
    def test_a_form_without_the_secret_word_approves_nothing(
        self, browser: Browser, forged: dict[str, str]
    ):
        browser.open(AUTHORIZE, **ASKED)
        browser.log_in("admin@dev.emulated", PASSWORD)
        browser.submit(choice="allow", **forged)
        assert browser.heading == "Allow Access?"

    def test_the_word_of_one_request_does_not_serve_another(self, browser: Browser):
        browser.open(AUTHORIZE, **{**ASKED, "scope": "id"})
        browser.log_in("admin@dev.emulated", PASSWORD)
        page = browser.page
        browser.open(AUTHORIZE, **ASKED)
        wide = browser.page
        browser.page = page
        [form] = html.fromstring(page.text).forms  # type: ignore[union-attr]
        word = form.fields["form_key"]
        browser.page = wide
        browser.submit(choice="allow", form_key=word)
        assert browser.heading == "Allow Access?"

    def test_nor_from_another_site(self, browser: Browser):
        browser.open(AUTHORIZE, **ASKED)
        browser.log_in("admin@dev.emulated", PASSWORD)
        browser.submit(choice="allow", headers={"Origin": "https://evil.example"})
        assert browser.heading == "Allow Access?"


class TestDeviceFlow:
    def begin(self, server: RunningServer, **more: str) -> dict[str, Any]:
        answer = post(server, response_type="device_code", client_id=KEY, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def poll(self, server: RunningServer, code: str) -> requests.Response:
        form = {"grant_type": "device", "client_id": KEY, "code": code}
        return post(server, **form)

    def test_a_person_enters_the_code(self, browser: Browser, server: RunningServer):
        codes = self.begin(server, scope="api refresh_token")
        assert codes["verification_uri"] == f"{server.url}/setup/connect"
        assert codes["interval"] == 5
        pending = self.poll(server, codes["device_code"])
        assert pending.json()["error"] == "authorization_pending"
        browser.open("/setup/connect")
        assert browser.heading == "Connect Your Device"
        browser.submit(user_code="nonsense")
        assert browser.alert.startswith("That code is not valid.")
        browser.submit(user_code=codes["user_code"].lower())
        assert browser.heading == "Log in"
        browser.log_in("admin@dev.emulated", PASSWORD)
        assert browser.heading == "Allow Access?"
        browser.submit(choice="allow")
        assert browser.heading == "You're connected"
        tokens = self.poll(server, codes["device_code"]).json()
        assert tokens["scope"] == "api id refresh_token"
        assert (
            self.poll(server, codes["device_code"]).json()["error"] == "invalid_grant"
        )
        browser.open("/setup/connect", user_code=codes["user_code"])
        assert browser.alert.startswith("That code is not valid.")

    def test_saying_no(self, browser: Browser, server: RunningServer):
        codes = self.begin(server)
        browser.open("/setup/connect", user_code=codes["user_code"])
        browser.log_in("admin@dev.emulated", PASSWORD)
        browser.submit(choice="deny")
        assert browser.heading == "Not connected"
        denied = self.poll(server, codes["device_code"]).json()
        assert denied["error"] == "access_denied"

    def test_who_may_not_is_told(
        self, browser: Browser, server: RunningServer, org: OrgState
    ):
        deploy_app(org, key=None)
        codes = self.begin(server)
        browser.open("/setup/connect", user_code=codes["user_code"])
        page = browser.log_in("admin@dev.emulated", PASSWORD)
        assert "OAUTH_APP_ACCESS_DENIED" in page.text
        assert self.poll(server, codes["device_code"]).json()["error"] == (
            "authorization_pending"
        )
