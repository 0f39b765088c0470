"""The page for people: what it shows, what it never shows; browsers take it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import requests
from lxml import html
from oauth_apps import KEY, SECRET, deploy, deploy_app, give_access
from test_faults_on_request import deploy as deploy_package

from metadeploy.emulator.apps import set_blocked
from metadeploy.emulator.injection import Injection
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def page(server: RunningServer, query: str = "") -> html.HtmlElement:
    answer = requests.get(f"{server.url}/{query}", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html;charset=UTF-8"
    assert SECRET not in answer.text and KEY not in answer.text
    return html.document_fromstring(answer.text)


def texts(document: html.HtmlElement, path: str) -> list[str]:
    found = document.xpath(path)
    assert isinstance(found, list)
    return [" ".join(" ".join(element.itertext()).split()) for element in found]  # type: ignore[union-attr]


@pytest.fixture
def full(world: World, org: OrgState, server: RunningServer) -> OrgState:
    """An org with an open app, a closed one that two may use, and two deploys."""
    deploy_app(org)
    give_access(org)
    give_access(org, "user")
    deploy_app(org, name="Open", key="openkey" * 5, config={"isAdminApproved": "false"})
    deploy_package(server, org)
    lock = Injection("deploy-fails", code="UNABLE_TO_LOCK_ROW", message="a <lock>")
    server.injections.add(lock)
    deploy_package(server, org)
    return org


def test_an_empty_world(server: RunningServer):
    assert "There is no org yet." in page(server).text_content()


def test_orgs_apps_access_deploys(full: OrgState, server: RunningServer):
    document = page(server)
    assert texts(document, "//h2") == ["dev"]
    assert full.id in document.text_content()
    first, second, *deploys = [
        texts(row, "./th|./td") for row in document.xpath("//tbody/tr")
    ]
    assert first[0] == "Open Open"
    assert first[2:4] == ["All may self-authorize", "everybody who approves it"]
    assert second[2:] == [
        "Admin approved",
        "Profile Standard User Profile System Administrator",
        "api, openid, refresh_token, web",
    ]
    assert [row[4] for row in deploys] == ["Failed: a <lock>", "Succeeded"]
    assert deploys[1][3] == "1 of 1 components"


def test_what_is_wrong_is_said(world: World, server: RunningServer):
    settings = OrgSettings(kind="sandbox", api_access_control=True)
    org = world.create_org("uat", settings)
    deploy_app(org)
    set_blocked(org, Ref("ConnectedApp", "Portal"), blocked=True)
    text = page(server).text_content()
    assert "API Access Control" in text
    assert "nobody" in text
    assert "blocked" in text


def test_an_external_client_app(org: OrgState, server: RunningServer):
    name = "Portal <&>"
    header = {"contactEmail": ["a@b.example"], "label": [name]}
    app = {"externalClientApplication": ["Portal"], "label": ["x"]}
    deploy(org, Ref("ExternalClientApplication", "Portal"), dict(header))
    settings = Ref("ExtlClntAppGlobalOauthSettings", "PortalGlblOAuth")
    deploy(org, settings, {**app, "callbackUrl": ["https://x.example/cb"]})
    scopes = {**app, "commaSeparatedOauthScopes": ["Api"]}
    deploy(org, Ref("ExtlClntAppOauthSettings", "Portal_oauth"), scopes)
    [row] = page(server).xpath("//tbody/tr[td[2]]")
    assert texts(row, "./th|./td")[:2] == [f"{name} Portal", "External Client App"]


def test_many_orgs_come_in_pages(world: World, server: RunningServer):
    for number in range(30):
        world.create_org(f"org{number:02}")
    assert len(texts(page(server), "//h2")) == 25
    assert texts(page(server, "?page=2"), "//h2")[-1] == "org29"
    assert texts(page(server, "?page=99"), "//nav//a") == ["Previous"]
    assert texts(page(server, "?page=x"), "//nav//a") == ["Next"]


def test_nothing_comes_from_elsewhere(full: OrgState, server: RunningServer):
    document = page(server)
    assert document.xpath("//script|//link|//img|//iframe|//@style") == []
    assert all(
        str(url).startswith(("/", "#")) for url in document.xpath("//@href|//@src")
    )


def test_it_can_be_read_aloud(full: OrgState, server: RunningServer):
    document = page(server)
    assert document.xpath("string(/html/@lang)") == "en"
    assert len(document.xpath("//h1")) == 1
    assert all(table.xpath("caption") for table in document.xpath("//table"))
    assert document.xpath("//th[not(@scope)]") == []
    ids = document.xpath("//@id")
    assert len(ids) == len(set(map(str, ids)))


def test_there_is_nothing_else(server: RunningServer):
    assert requests.get(f"{server.url}/favicon.ico", timeout=5).status_code == 404


def chromium(arguments: list[str], home: Path) -> bytes:
    assert CHROMIUM is not None
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    return subprocess.run(
        [CHROMIUM, *fixed, f"--user-data-dir={home}", *arguments],
        capture_output=True,
        timeout=90,
        check=True,
    ).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
class TestInChromium:
    @pytest.mark.parametrize("dark", [False, True])
    def test_a_screenshot(
        self, full: OrgState, server: RunningServer, tmp_path: Path, *, dark: bool
    ):
        picture = tmp_path / "home.png"
        scheme = 0 if dark else 1
        chromium(
            [
                f"--blink-settings=preferredColorScheme={scheme}",
                "--window-size=900,700",
                f"--screenshot={picture}",
                server.url,
            ],
            tmp_path / "profile",
        )
        data = picture.read_bytes()
        assert struct.unpack(">II", data[16:24]) == (900, 700)
        assert len(data) > 20_000  # text in it, not an empty page

    def test_the_login_page_of_a_flow(
        self, full: OrgState, server: RunningServer, tmp_path: Path
    ):
        url = (
            f"{server.url}/services/oauth2/authorize?response_type=code"
            f"&client_id={KEY}&login_hint=admin%40dev.emulated"
        )
        document = html.document_fromstring(
            chromium(["--dump-dom", url], tmp_path / "profile")
        )
        assert texts(document, "//h1") == ["Log in"]
        assert document.xpath("string(//input[@name='username']/@value)") == (
            "admin@dev.emulated"
        )
