"""Logging in by every flow that an org file may name, and again when a session ends.

The org is emulated; the file calls it a sandbox, so that the login is a real one."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from emulator import oauth_apps
from fake_org import FakeOrg
from raw_server import http

from metadeploy import (
    auth,
    login,
    orgfile,
    refreshing,
    sf_logins,
    soap_login,
    yamlfile,
)
from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.emulator.admission import approve
from metadeploy.emulator.apps import oauth_app
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import open_world
from metadeploy.errors import ApiFault, AuthError, ConfigError, MetadeployError
from metadeploy.model import Ref, Secret
from metadeploy.reach import LOOPBACK, SALESFORCE, Reach
from metadeploy.workspace import Workspace

ADMIN = "admin@dev.emulated"
ROTATES = {"isRefreshTokenRotationEnabled": "true"}


@pytest.fixture
def org(tmp_path):
    world = open_world(tmp_path / "world.sqlite3")
    yield world.create_org("dev", OrgSettings(kind="sandbox"))
    world.close()


@pytest.fixture
def server(org):
    with serve(org.world) as running:
        yield running


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Where the org files below say that secrets are; and an empty home."""
    pem = oauth_apps.private_key(0).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "KEY").write_bytes(pem)
    monkeypatch.setenv("APP_SECRET", oauth_apps.SECRET)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SF_USE_GENERIC_UNIX_KEYCHAIN", "true")
    for name in ("SF_ACCESS_TOKEN", "SFDX_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def app(org):
    oauth_apps.deploy_app(org)
    oauth_apps.give_access(org)


@pytest.fixture
def rotating(org):
    oauth_apps.deploy_app(org, config=ROTATES)
    oauth_apps.give_access(org)


def org_file(org, said):
    text = f"kind: sandbox\norg_id: {org.id}\nlogin: {said}\n"
    document = yamlfile.read(text, "orgs/dev.yaml")
    read, _ = orgfile.read("dev", "orgs/dev.yaml", document, None)
    assert read is not None, _
    return read


@pytest.fixture
def connect(org, keys):
    """connect("{flow: …}") → a Connection; what was told is in connect.told."""
    made, told = [], FakeOrg()

    def to(said, pinned=org, reach=LOOPBACK):
        workspace = Workspace(keys)
        connection = login.connect(
            org_file(pinned, said),
            workspace,
            emulated=None,
            reach=lambda: reach,
            progress=told,
        )
        made.append(connection)
        return connection

    to.told = told
    yield to
    for connection in made:
        connection.close()


def refresh_token(org):
    """A refresh token as a login by a browser gives it."""
    app = oauth_app(org, Ref("ConnectedApp", "Portal"))
    if app is None:
        return "none"
    scopes = ("api", "refresh_token")
    approval = approve(org, app, admin_of(org), scopes)
    return org.issue_token(
        admin_of(org), scopes=scopes, app=app.ref, refresh=True, grant_id=approval.id
    )


def use(connection):
    return DataApi(connection, "66.0").facts()


def end(org, connection):
    assert org.revoke_token(connection.token.reveal())


CLIENT = f"client_id: {oauth_apps.KEY}"


def flows(server, monkeypatch, org):
    """Each flow's `login`, ready to be used."""
    url, user = f"url: '{server.url}'", f"username: {ADMIN}"
    monkeypatch.setenv("REFRESH", refresh_token(org))
    auth_url = f"force://{oauth_apps.KEY}:{oauth_apps.SECRET}:{refresh_token(org)}@x.y"
    monkeypatch.setenv("SFDX_AUTH_URL", auth_url)
    org.set_password(admin_of(org), "pass<word")
    monkeypatch.setenv("PASSWORD", "pass<word")
    key = "private_key: {file: KEY}"
    client = f"{url}, {CLIENT}, client_secret: {{env: APP_SECRET}}"
    return {
        "jwt": f"{{flow: jwt, {url}, {user}, {CLIENT}, {key}}}",
        "client_credentials": f"{{flow: client_credentials, {client}}}",
        "refresh_token": f"{{flow: refresh_token, {client},"
        " refresh_token: {env: REFRESH}}",
        "sfdx_auth_url": f"{{flow: sfdx_auth_url, {url}}}",
        "soap": f"{{flow: soap, {url}, {user}, password: {{env: PASSWORD}}}}",
    }


RENEWED = ("jwt", "client_credentials", "refresh_token", "sfdx_auth_url", "soap")


@pytest.mark.parametrize("flow", RENEWED)
def test_a_flow_lets_in_and_lets_in_again(org, server, app, connect, monkeypatch, flow):
    connection = connect(flows(server, monkeypatch, org)[flow])
    assert use(connection).org_id == org.id
    end(org, connection)
    assert use(connection).org_id == org.id


def test_every_flow_is_tried_here():
    tried = {*RENEWED, "access_token", "sf"}
    assert tried == set(orgfile.Flow.__args__) == set(orgfile._NEEDED)


def test_a_token_from_the_environment(org, server, connect, monkeypatch):
    said = f"{{flow: access_token, url: '{server.url}'}}"
    with pytest.raises(ConfigError, match="variable SF_ACCESS_TOKEN is not set"):
        connect(said)
    monkeypatch.setenv("SF_ACCESS_TOKEN", org.issue_token(admin_of(org)))
    connection = connect(said)
    assert use(connection).org_id == org.id
    end(org, connection)
    with pytest.raises(ApiFault, match="INVALID_SESSION_ID") as caught:
        use(connection)
    assert "set a new one" in caught.value.hint


def test_a_token_of_another_org_is_not_sent(org, server, connect, monkeypatch):
    other = org.world.create_org("other", OrgSettings(kind="sandbox"))
    monkeypatch.setenv("SF_ACCESS_TOKEN", other.issue_token(admin_of(other)))
    with pytest.raises(ConfigError, match=f"the login is for {other.id}"):
        connect(f"{{flow: access_token, url: '{server.url}'}}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://acme.my.salesforce.com", "emulated org's token does not go to"),
        ("https://evil.example", "evil.example is no host of Salesforce's"),
        ("https://127.0.0.1:1", "127.0.0.1:1 is no host of Salesforce's"),
        ("http://127.0.0.1:1", "is no address for a session"),
    ],
)
def test_where_a_token_does_not_go(org, connect, monkeypatch, url, said):
    monkeypatch.setenv("SF_ACCESS_TOKEN", org.issue_token(admin_of(org)))
    with pytest.raises(MetadeployError, match=said):
        connect(f"{{flow: access_token, url: '{url}'}}", reach=SALESFORCE)


def test_whom_the_user_allows_and_trusts(org, app, connect, keys):
    with serve(org.world, tls_port=0) as server:
        place = server.https_url.removeprefix("https://")
        reach = Reach(frozenset({place}), str(server.ca_path))
        said = f"{{flow: jwt, url: '{server.https_url}', username: {ADMIN}, {CLIENT},"
        said += " private_key: {file: KEY}}"
        connection = connect(said, reach=reach)
        assert use(connection).org_id == org.id
        end(org, connection)
        assert use(connection).org_id == org.id
        with pytest.raises(ApiFault, match="no host of Salesforce's"):
            connect(said, reach=SALESFORCE)


@pytest.mark.parametrize("flow", RENEWED)
def test_another_org_than_the_pinned_one(org, server, app, connect, monkeypatch, flow):
    said = flows(server, monkeypatch, org)[flow]
    other = org.world.create_org("other", OrgSettings(kind="sandbox"))
    with pytest.raises(ConfigError, match=f"is pinned to {other.id}, but the login"):
        connect(said, other)


def test_soap_login_says_that_it_retires(org, server, connect, monkeypatch):
    connect(flows(server, monkeypatch, org)["soap"])
    assert connect.told.steps == [
        "warning: SOAP login() retires in Summer '27 and is absent from API 65.0: move"
        " this org's login to another flow"
    ]


def test_soap_login_is_refused(org, server, connect, monkeypatch):
    said = flows(server, monkeypatch, org)["soap"]
    monkeypatch.setenv("PASSWORD", "canary-wrong")
    with pytest.raises(AuthError, match="INVALID_LOGIN") as caught:
        connect(said)
    assert "canary" not in str(caught.value)
    assert "retires in Summer '27" in caught.value.hint


GOOD = (
    "<serverUrl>http://127.0.0.1:1/services/Soap/u/64.0</serverUrl>"
    "<sessionId>canary.s</sessionId><userId>005000000000001AAA</userId>"
    "<userInfo><organizationId>00DWs000003xYZ1MAM</organizationId></userInfo>"
)
NO_SESSIONS = {
    "a page": ("<html>", "no session from"),
    "nothing": ("", "no session from"),
    "no session": (GOOD.replace("sessionId", "x"), "its answer has no sessionId"),
    "no org": (GOOD.replace("00DW", "!"), "not a Salesforce id"),
    "elsewhere": (GOOD.replace("127.0.0.1:1", "a.example"), "http://a.example"),
}


@pytest.mark.parametrize(("inside", "told"), NO_SESSIONS.values(), ids=NO_SESSIONS)
def test_what_is_no_answer_to_a_soap_login(raw_server, inside, told):
    whole = f"<e:Envelope xmlns:e='x'><result>{inside}</result></e:Envelope>"
    server = raw_server(http(inside and whole, Content_Type="text/xml"))
    connection = Connection(server.url, Secret(""), reach=LOOPBACK)
    with pytest.raises(AuthError, match=told) as caught:
        soap_login.log_in(connection, "a@b.c", Secret("canary"), api_version="66.0")
    assert "canary" not in f"{caught.value!r} {caught.value.hint}"
    connection.close()


@pytest.mark.parametrize(("version", "asked"), [("66.0", "64.0"), ("60.0", "60.0")])
def test_a_soap_login_goes_by_64_at_most(raw_server, version, asked):
    server = raw_server(http("", Content_Type="text/xml"))
    connection = Connection(server.url, Secret(""), reach=LOOPBACK)
    with pytest.raises(AuthError):
        soap_login.log_in(connection, "a@b.c", Secret("p"), api_version=version)
    connection.close()
    path = f"POST /services/Soap/u/{asked} HTTP/1.1".encode()
    assert server.requests[0].startswith(path)


def test_an_org_that_moves_meanwhile(org, server, connect, sf):
    about = {"orgId": org.id, "instanceUrl": server.url}
    sf(accessToken=org.issue_token(admin_of(org)), **about)
    connection = connect("{flow: sf, username: uat}")
    end(org, connection)
    about["instanceUrl"] = server.url.replace("127.0.0.1", "localhost")
    sf(accessToken=org.issue_token(admin_of(org)), **about)
    with pytest.raises(AuthError, match="has moved from"):
        use(connection)


AUTH_URLS = {
    "no scheme": "3MVG9:s:canary-r@a.my.salesforce.com",
    "no token": "force://3MVG9:s:@a.my.salesforce.com",
    "no host": "force://3MVG9:s:canary-r@",
    "two parts": "force://3MVG9:canary-r@a.my.salesforce.com",
    "a path": "force://3MVG9:s:canary-r@a.my.salesforce.com/x",
    "more": "force://3MVG9:s:canary-r@a.my.salesforce.com\nx",
}


@pytest.mark.parametrize("text", AUTH_URLS.values(), ids=AUTH_URLS)
def test_what_is_no_auth_url(text):
    with pytest.raises(ConfigError, match="SFDX auth URL is none") as caught:
        auth.auth_url(Secret(text))
    assert "canary" not in f"{caught.value!r} {caught.value.hint}"


def test_an_auth_url():
    found = auth.auth_url(Secret("force://PlatformCLI::5Aep8.x_-==@a.example:8443"))
    url = "https://a.example:8443"
    assert found == auth.AuthUrl("PlatformCLI", None, Secret("5Aep8.x_-=="), url)
    found = auth.auth_url(Secret("force://3MVG9.k:ABC12:5Aep8@a.my.salesforce.com"))
    assert found.client_secret == Secret("ABC12")


# The Salesforce CLI's own logins.

KEY_1, KEY_2 = "0123456789abcdef" * 2, "0123456789abcdef" * 4
# Made by Node's crypto as sf does it.
SEALED = {
    KEY_1: "a1b2c3d4e5f6170cab6c44996345eefdc7059f909ebb72c78853d9"
    ":31ffb42cb132445fbdca8ac455f419cf",
    KEY_2: "a1b2c3d4e5f6a1b2c3d4e5f662931cac5942f5dd3a232b1abc87e137777b40f7b4"
    ":e562abff3753d4deef529463a9566811",
}


def sealed(text, key):
    iv = "a1b2c3d4e5f6" * (2 if len(key) == 64 else 1)
    cipher = AESGCM(bytes.fromhex(key) if len(key) == 64 else key.encode())
    number = bytes.fromhex(iv) if len(key) == 64 else iv.encode()
    made = cipher.encrypt(number, text.encode(), None).hex()
    return f"{iv}{made[:-32]}:{made[-32:]}"


@pytest.fixture
def sf(keys):
    """sf(key, field=…): what the Salesforce CLI has of a login, in the home folder."""
    folder = keys / "home" / ".sfdx"

    def write(key=KEY_1, **fields):
        folder.mkdir(parents=True, exist_ok=True)
        secrets = ("accessToken", "refreshToken", "clientSecret")
        said = {k: sealed(v, key) if k in secrets else v for k, v in fields.items()}
        said = {"username": ADMIN, "clientId": oauth_apps.KEY, **said}
        (folder / f"{ADMIN}.json").write_text(json.dumps(said))
        (folder / "alias.json").write_text(json.dumps({"orgs": {"uat": ADMIN}}))
        about = {"service": "sfdx", "account": "local", "key": key}
        (folder / "key.json").write_text(json.dumps(about))
        return folder

    return write


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("key", [KEY_1, KEY_2], ids=["v1", "v2"])
def test_what_sf_has_sealed_is_read(sf, key):
    folder = sf(key)
    said = {"accessToken": SEALED[key]}
    (folder / f"{ADMIN}.json").write_text(json.dumps(said))
    found = sf_logins.read("uat", folder.parent)
    assert found.access_token == Secret("00Dxx!canary.token é")
    assert found.username == ADMIN
    assert "canary" not in repr(found)


@pytest.mark.parametrize("name", ["uat", ADMIN])
@pytest.mark.parametrize("key", [KEY_1, KEY_2], ids=["v1", "v2"])
def test_a_login_of_sf(org, server, app, connect, sf, name, key):
    folder = sf(
        key,
        orgId=org.id[:15],
        instanceUrl=server.url,
        accessToken=org.issue_token(admin_of(org)),
        refreshToken=refresh_token(org),
        clientSecret=oauth_apps.SECRET,
    )
    before = texts(folder)
    connection = connect(f"{{flow: sf, username: {name}}}")
    assert use(connection).org_id == org.id
    end(org, connection)  # what it refreshes then is not sf's
    assert use(connection).org_id == org.id
    assert texts(folder) == before
    assert connect.told.steps == []


def test_a_login_of_sf_that_sf_has_renewed_meanwhile(org, server, connect, sf):
    about = {"orgId": org.id, "instanceUrl": f"{server.url}/"}
    sf(accessToken=org.issue_token(admin_of(org)), **about)
    connection = connect("{flow: sf, username: uat}")
    end(org, connection)
    sf(accessToken=org.issue_token(admin_of(org)), **about)
    assert use(connection).org_id == org.id


def test_a_login_of_sf_by_jwt(org, server, app, connect, sf, keys):
    sf(orgId=org.id, instanceUrl=server.url, privateKey=str(keys / "KEY"))
    connection = connect("{flow: sf, username: uat}")
    assert use(connection).org_id == org.id


def test_a_login_of_sf_without_anything_to_renew_it(org, server, connect, sf):
    token = org.issue_token(admin_of(org))
    sf(orgId=org.id, instanceUrl=server.url, accessToken=token)
    connection = connect("{flow: sf, username: uat}")
    end(org, connection)
    with pytest.raises(AuthError, match="login of uat has ended") as caught:
        use(connection)
    assert "sf org login web --alias uat" in caught.value.hint


def test_a_login_of_sf_whose_token_rotates_is_told(org, server, rotating, connect, sf):
    sf(
        orgId=org.id,
        instanceUrl=server.url,
        refreshToken=refresh_token(org),
        clientSecret=oauth_apps.SECRET,
    )
    for _ in range(2):
        assert use(connect("{flow: sf, username: uat}")).org_id == org.id
    assert len(connect.told.steps) == 2
    assert "no longer in sf" in connect.told.steps[0]


def damaged(sf, what):
    folder = sf(accessToken="canary.token")
    if what == "another key":
        about = {"key": KEY_1[::-1]}
        (folder / "key.json").write_text(json.dumps(about))
    elif what == "no key":
        (folder / "key.json").unlink()
    elif what == "no login":
        (folder / f"{ADMIN}.json").unlink()
    elif what == "no JSON":
        (folder / f"{ADMIN}.json").write_text("canary{")
    elif what == "a list":
        (folder / f"{ADMIN}.json").write_text("[]")
    return folder


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("another key", "does not open what the Salesforce CLI has stored"),
        ("no key", "neither in the system's keychain nor in"),
        ("no login", "the Salesforce CLI has no login of uat on this machine"),
        ("no JSON", "it is no JSON object"),
        ("a list", "it is no JSON object"),
    ],
)
def test_a_login_of_sf_that_cannot_be_read(sf, what, told):
    folder = damaged(sf, what)
    with pytest.raises(ConfigError, match=told) as caught:
        sf_logins.read("uat", folder.parent)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_name_that_leads_elsewhere(tmp_path):
    with pytest.raises(ConfigError, match="is no username"):
        sf_logins.read("../../etc/x", tmp_path)


def test_the_systems_keychain_is_asked_first(sf, tmp_path, monkeypatch):
    folder = sf(accessToken="t")
    (folder / "key.json").unlink()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / sf_logins._KEYCHAINS[sys.platform][0]
    program.write_text(f"#!/bin/sh\necho {KEY_1}\n")
    program.chmod(0o755)
    monkeypatch.delenv("SF_USE_GENERIC_UNIX_KEYCHAIN")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert sf_logins.read("uat", folder.parent).access_token == Secret("t")


# What else a login says: where the org is, and by which app we come.


def test_where_an_org_is_and_whose_key_is_used(org, keys, sf, monkeypatch):
    sf(instanceUrl="https://sf.example")
    monkeypatch.setenv("SFDX_AUTH_URL", "force://FromUrl:s:r@url.example")
    monkeypatch.setenv("ID", "FromEnv")
    url = "url: 'https://a.example'"
    cases = {
        "{flow: sf, username: uat}": ("https://sf.example", oauth_apps.KEY),
        f"{{flow: sf, username: uat, {url}}}": ("https://a.example", oauth_apps.KEY),
        "{flow: sfdx_auth_url}": ("https://url.example", "FromUrl"),
        f"{{flow: sfdx_auth_url, {url}}}": ("https://a.example", "FromUrl"),
        f"{{flow: jwt, {url}, client_id: Said}}": ("https://a.example", "Said"),
        f"{{flow: jwt, {url}, client_id: {{env: ID}}}}": (
            "https://a.example",
            "FromEnv",
        ),
        f"{{flow: soap, {url}}}": ("https://a.example", None),
    }
    for said, (where, key) in cases.items():
        read, workspace = org_file(org, said), Workspace(keys)
        assert login._address(read, workspace) == where
        assert login.own_key(read, workspace) == key


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ("{flow: jwt}", "url"),
        ("{flow: jwt, url: 'https://a.my.salesforce.com'}", "client_id"),
        ("{flow: sf}", "username"),
    ],
)
def test_a_login_that_lacks_something(org, connect, said, lacks):
    with pytest.raises(ConfigError, match=f"org dev has no login.{lacks}") as caught:
        connect(said)
    assert "`metadeploy validate`" in caught.value.hint


@pytest.mark.parametrize("said", ["{flow: jwt}", "{flow: sf}", "{flow: soap}"])
def test_an_org_that_is_nowhere(org, keys, said):
    with pytest.raises(ConfigError, match=r"org dev has no login\.url"):
        login._address(org_file(org, said), Workspace(keys))


# Refresh tokens that serve once.


def kept(keys):
    return sorted((keys / ".metadeploy" / "tokens").glob("*.json"))


def test_the_next_refresh_token_is_kept(
    org, server, rotating, connect, keys, monkeypatch
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    for _ in range(3):  # a token that is sent twice would end them all
        connection = connect(said)
        end(org, connection)
        assert use(connection).org_id == org.id
    (file,) = kept(keys)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {p.suffix for p in file.parent.iterdir()} == {".json", ".lock"}


def test_one_that_does_not_rotate_is_not_kept(
    org, server, app, connect, keys, monkeypatch
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    assert use(connect(said)).org_id == org.id
    assert kept(keys) == []


def test_who_logs_in_anew_is_not_stuck(org, server, rotating, connect, monkeypatch):
    said = flows(server, monkeypatch, org)["refresh_token"]
    connect(said)
    monkeypatch.setenv("REFRESH", refresh_token(org))
    for _ in range(2):
        assert use(connect(said)).org_id == org.id


def test_a_kept_token_that_is_damaged(
    org, server, rotating, connect, keys, monkeypatch
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    connect(said)
    (file,) = kept(keys)
    for text in ("", "{}", "[]", "canary{"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="is damaged") as caught:
            connect(said)
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_no_room_for_the_next_token(org, server, rotating, connect, keys, monkeypatch):
    said = flows(server, monkeypatch, org)["refresh_token"]
    tokens = Workspace(keys).make_state() / "tokens"
    tokens.write_text("in the way")
    with pytest.raises(ConfigError, match="cannot keep a refresh token"):
        connect(said)
    tokens.unlink()  # and the one that there is has not been spent
    assert use(connect(said)).org_id == org.id


def test_the_next_token_is_on_disk_before_the_answer_is_used(tmp_path):
    found = refreshing.RefreshTokens(tmp_path)
    given, second, third = Secret("1"), Secret("2"), Secret("3")

    def session(refresh):
        return auth.Session("https://a", Secret("t"), "", "", frozenset(), refresh)

    asked = []

    def ask(next_, error=None):
        def answer(token):
            asked.append(token)
            if error:
                raise error
            return session(next_)

        return answer

    assert found.renewed("a", "c", given, ask(second)).refresh_token == second
    with pytest.raises(AuthError):
        found.renewed("a", "c", given, ask(None, AuthError("no")))
    found.renewed("a", "c", given, ask(third))
    found.renewed("a", "c", given, ask(None))
    found.renewed("a", "c", given, ask(third))
    found.renewed("a", "other", given, ask(None))
    found.renewed("b", "c", given, ask(None))
    assert asked == [given, second, second, third, third, given, given]
    assert not list(tmp_path.glob("*.new"))


def test_a_token_that_cannot_be_kept_is_not_used(tmp_path):
    def ask(token):
        (lock,) = tmp_path.glob("*.lock")
        lock.with_suffix(".json").mkdir()
        more = Secret("2")
        return auth.Session("https://a", Secret("t"), "", "", frozenset(), more)

    with pytest.raises(ConfigError, match="cannot keep a refresh token"):
        refreshing.RefreshTokens(tmp_path).renewed("a", "c", Secret("1"), ask)


def test_what_a_dead_process_left_is_in_nobodys_way(
    org, server, rotating, connect, keys, monkeypatch
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    connect(said)
    (file,) = kept(keys)
    file.with_suffix(".new").write_text("   ")
    assert use(connect(said)).org_id == org.id


WORKER = """
import sys
import threading
import threading
from pathlib import Path
from metadeploy import login, orgfile, yamlfile
from metadeploy.api import NoProgress
from metadeploy.data_api import DataApi
from metadeploy.reach import LOOPBACK
from metadeploy.workspace import Workspace
document = yamlfile.read(sys.stdin.read(), "orgs/dev.yaml")
org, _ = orgfile.read("dev", "orgs/dev.yaml", document, None)
made = login.connect(
    org,
    Workspace(Path(sys.argv[1])),
    emulated=None,
    reach=lambda: LOOPBACK,
    progress=NoProgress(),
)
print(DataApi(made, "66.0").facts().org_id)
"""


def test_twenty_processes_spend_each_token_once(
    org, server, rotating, keys, monkeypatch
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    text = f"kind: sandbox\norg_id: {org.id}\nlogin: {said}\n"
    command = [sys.executable, "-c", WORKER, str(keys)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [
        subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **pipes)
        for _ in range(20)
    ]
    for process in running:  # all of them wait for their org file
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    ended = [process.communicate(timeout=100) for process in running]
    assert [out.strip() for out, _ in ended] == [org.id] * 20, ended
    events = [event for event, _ in org.events()]
    assert events.count("refresh token reused") == 0
    assert events.count("token issued") == 20
    assert len(kept(keys)) == 1


def test_a_process_that_is_killed_holds_nobody_up(
    org, server, rotating, connect, keys, monkeypatch, raw_server
):
    said = flows(server, monkeypatch, org)["refresh_token"]
    asked = threading.Event()

    def reply(talk):
        asked.set()
        talk.silence()

    nowhere = said.replace(server.url, raw_server(reply).url)
    text = f"kind: sandbox\norg_id: {org.id}\nlogin: {nowhere}\n"
    command = [sys.executable, "-c", WORKER, str(keys)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE) as process:
        process.stdin.write(text)
        process.stdin.close()
        assert asked.wait(60)  # it holds the lock now
        process.kill()
    assert use(connect(said)).org_id == org.id
    assert len(kept(keys)) == 1
