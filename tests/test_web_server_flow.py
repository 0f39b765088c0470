"""The web server flow as a person meets it: who is let in, who is asked, who is not.

The app is deployed by metadeploy; the pages are an emulated org's, in a real browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from apps import PORTAL, edit, emulated
from chromium import PROGRAM, Chromium

from metadeploy.emulator.access_control import SETTINGS, is_on
from metadeploy.emulator.server import serve

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs Debian's package chromium"),
    pytest.mark.skipif(os.name != "posix", reason="Chromium's pipe needs descriptors"),
]

PASSWORD = "correct horse"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())


class _Portal(BaseHTTPRequestHandler):
    """The company portal, where users come back to."""

    def do_GET(self):
        body = b"<!doctype html><title>Portal</title><h1>Back at the portal</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def portal():
    """Where users come back to."""
    server = HTTPServer(("127.0.0.1", 0), _Portal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/oauth/callback"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def deployed(runner, project, portal):
    """Deploy dev with this portal: deployed(…) → its consumer key."""
    edit(project / "orgs/dev.yaml", "http://localhost:8080/oauth/callback", portal)
    edit(project / "orgs/dev.yaml", "\nvalues:", "\nvalues:\n  integrations: []")

    def now():
        ran = runner("deploy", "dev", "--auto-approve", "--allow-api-lockdown")
        assert ran.code == 0, ran.out + ran.err
        (found,) = (
            k
            for k in runner("keys", "list", "dev", "--json").json["orgs"][0]["apps"]
            if k["app"] == "Portal"
        )
        return found["consumerKey"]

    return now


@pytest.fixture
def org(project, deployed):
    deployed()
    with emulated(project) as found:
        for name in ("admin", "user"):
            user = found.world.user_by_username(f"{name}@dev.emulated")[1]
            found.set_password(str(user["Id"]), PASSWORD)
        yield found


@pytest.fixture
def server(org):
    with serve(org.world) as running:
        yield running


@pytest.fixture
def chromium(tmp_path):
    with Chromium(tmp_path / "profile") as browser:
        yield browser


def begin(chromium, server, key, portal):
    """Come from the portal's login button."""
    asked = {
        "response_type": "code",
        "client_id": key,
        "redirect_uri": portal,
        "code_challenge": CHALLENGE.decode().rstrip("="),
        "state": "from here",
    }
    chromium.open(f"{server.url}/services/oauth2/authorize?{urlencode(asked)}")


def log_in(chromium, user):
    assert chromium.heading == "Log in"
    chromium.submit(username=f"{user}@dev.emulated", password=PASSWORD)


def told(chromium, portal):
    """What the portal is told, once its page is there."""
    assert chromium.url.startswith(portal + "?"), chromium.text
    assert chromium.heading == "Back at the portal"
    query = parse_qs(urlsplit(chromium.url).query)
    return {name: values[0] for name, values in query.items()}


def token(server, project, runner, code, portal):
    """Exchange a code as the portal does, with what `keys export` gives it."""
    shown = runner("keys", "export", "dev", "--app", "Portal", "--format", "json")
    keys = json.loads(shown.out)
    form = {
        "grant_type": "authorization_code",
        "client_id": next(v for k, v in keys.items() if "key" in k.lower()),
        "client_secret": next(v for k, v in keys.items() if "secret" in k.lower()),
        "redirect_uri": portal,
        "code": code,
        "code_verifier": VERIFIER,
    }
    url = f"{server.url}/services/oauth2/token"
    with urllib.request.urlopen(url, urlencode(form).encode(), timeout=10) as answer:
        return json.load(answer)


def test_a_pre_authorised_user_sees_no_approval_page(
    runner, project, deployed, org, server, chromium, portal, tmp_path
):
    begin(chromium, server, deployed(), portal)
    chromium.screenshot(tmp_path / "1-login.png")
    log_in(chromium, "admin")
    chromium.screenshot(tmp_path / "2-back.png")
    found = told(chromium, portal)
    assert found["state"] == "from here"
    tokens = token(server, project, runner, found["code"], portal)
    assert set(tokens["scope"].split()) == {"api", "chatter_api", "id", "refresh_token"}
    # The second time there is not even a login page.
    begin(chromium, server, deployed(), portal)
    assert "code" in told(chromium, portal)


def test_a_user_without_access_is_refused(
    deployed, org, server, chromium, portal, tmp_path
):
    begin(chromium, server, deployed(), portal)
    log_in(chromium, "user")
    chromium.screenshot(tmp_path / "refused.png")
    assert told(chromium, portal) == {
        "error": "OAUTH_APP_ACCESS_DENIED",
        "error_description": "user is not admin approved to access this app",
        "state": "from here",
    }


@pytest.fixture
def open_app(project):
    """Let users approve the app themselves."""
    approved = "<isAdminApproved>true</isAdminApproved>"
    edit(project / PORTAL, approved, approved.replace("true", "false"))
    for path in project.glob("templates/p*s*/*.j2"):
        if "Portal" in path.read_text():
            path.unlink()


def test_where_users_approve_an_app_they_are_asked_once(
    runner, project, open_app, deployed, org, server, chromium, portal, tmp_path
):
    key = deployed()
    begin(chromium, server, key, portal)
    log_in(chromium, "user")
    chromium.screenshot(tmp_path / "approval.png")
    assert chromium.heading == "Allow Access?"
    assert "Portal is asking to:" in chromium.text
    assert "Perform requests at any time" in chromium.text
    chromium.submit("button[value=deny]")
    assert told(chromium, portal)["error"] == "access_denied"
    begin(chromium, server, key, portal)
    assert chromium.heading == "Allow Access?"
    chromium.submit("button[value=allow]")
    found = told(chromium, portal)
    assert token(server, project, runner, found["code"], portal)["refresh_token"]
    begin(chromium, server, key, portal)
    assert "code" in told(chromium, portal)


def test_api_access_control_asks_nobody_and_lets_nobody_in(
    project, open_app, deployed, org, server, chromium, portal
):
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        "\nemulator: {api_access_control_available: true}\nvalues:",
    )
    settings = project / "templates/settings/ConnectedApp.settings.j2"
    settings.parent.mkdir()
    settings.write_text(
        '<ConnectedAppSettings xmlns="http://soap.sforce.com/2006/04/metadata">'
        "<enableAdminApprovedAppsOnly>true</enableAdminApprovedAppsOnly>"
        "</ConnectedAppSettings>"
    )
    key = deployed()
    assert org.component(SETTINGS) is not None and is_on(org)
    begin(chromium, server, key, portal)
    log_in(chromium, "user")
    assert told(chromium, portal)["error"] == "OAUTH_APP_ACCESS_DENIED"
