"""Every message of the REST rulebook, produced by the situation that causes it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from oauth_apps import user_id

from metadeploy.emulator.rulebook import MARKS
from metadeploy.emulator.rulebook_rest import REST_BEHAVIOURS, REST_COMPLAINTS
from metadeploy.emulator.server import MAX_BODY, RunningServer
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import id18


@dataclass
class Scene:
    """An org behind its server, and who asks."""

    world: World
    org: OrgState
    server: RunningServer
    user: str = "admin"
    scopes: tuple[str, ...] = ("api",)
    scheme: str = "Bearer"

    def ask(self, path: str, method: str = "GET", **more: Any) -> str:
        """Send a request and return how it was refused: status, code, message."""
        headers = more.pop("headers", {})
        if self.user:
            token = self.org.issue_token(
                user_id(self.org, self.user), scopes=self.scopes
            )
            headers = {"Authorization": f"{self.scheme} {token}", **headers}
        url = self.server.url + "/services/data/v66.0/" + path
        if path.startswith("/"):
            url = self.server.url + path
        answer = requests.request(method, url, headers=headers, timeout=20, **more)
        assert answer.status_code >= 400, answer.text
        [error] = answer.json()
        return f"{answer.status_code} {error['errorCode']}: {error['message']}"

    def query(self, text: str) -> str:
        return self.ask("query", params={"q": text})

    def collection(self, *names: str, all_or_none: bool = False) -> str:
        """Create permission sets of those names; return the first one's error."""
        kind = {"type": "PermissionSet"}
        records = [{"attributes": kind, "Name": n, "Label": "x"} for n in names]
        token = self.org.issue_token(user_id(self.org, "admin"))
        answer = requests.post(
            f"{self.server.url}/services/data/v66.0/composite/sobjects",
            json={"allOrNone": all_or_none, "records": records},
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )
        found = answer.json()[0]
        if "errors" in found:
            [error] = found["errors"]
            return f"{error['statusCode']}: {error['message']}"
        return f"{answer.status_code} {found['errorCode']}: {found['message']}"


@pytest.fixture
def scene(world: World, org: OrgState, server: RunningServer) -> Iterator[Scene]:
    yield Scene(world, org, server)


def anonymous(scene: Scene) -> str:
    scene.user = ""
    return scene.ask("limits")


def basic(scene: Scene) -> str:
    scene.scheme = "Basic"
    return scene.ask("limits")


def without_scope(scene: Scene) -> str:
    scene.scopes = ("id", "openid")
    return scene.ask("limits")


def without_permission(scene: Scene) -> str:
    profiles = (("No API", "Salesforce"),)
    who = (UserSpec("plain@small.emulated", profile="No API"),)
    settings = OrgSettings(profiles=profiles, users=who)
    scene.org = scene.world.create_org("small", settings)
    scene.user = "plain"
    return scene.ask("limits")


def by_a_standard_user(scene: Scene) -> str:
    scene.user = "user"
    body = {"Name": "P", "Label": "p"}
    return scene.ask("sobjects/PermissionSet", "POST", json=body)


def where_secrets_are_off(scene: Scene) -> str:
    scene.org = scene.world.create_org("off", OrgSettings(secrets_in_rest=False))
    return scene.ask("apps/oauth/credentials/Any")


def too_large(scene: Scene) -> str:
    data = gzip.compress(bytes(MAX_BODY + 1))
    headers = {"Content-Encoding": "gzip"}
    return scene.ask("limits", "POST", data=data, headers=headers)


GONE = f"sobjects/PermissionSet/{id18('0PS000000000001')}"
SITUATIONS: Mapping[str, Callable[[Scene], str]] = {
    "no_session": anonymous,
    "auth_header": basic,
    "no_api_scope": without_scope,
    "no_api_permission": without_permission,
    "no_resource": lambda s: s.ask("tooling/sobjects/SourceMember/describe"),
    "not_emulated": lambda s: s.ask("chatter/feeds"),
    "retired_version": lambda s: s.ask("/services/data/v28.0/limits"),
    "method": lambda s: s.ask("limits", "DELETE"),
    "no_record": lambda s: s.ask(GONE),
    "bad_id": lambda s: s.ask("sobjects/User/me"),
    "deleted": lambda s: s.ask(GONE, "DELETE"),
    "bad_json": lambda s: s.ask("sobjects/User", "POST", data=b"{"),
    "missing_field": lambda s: s.ask("sobjects/PermissionSet", "POST", json={}),
    "unknown_field": lambda s: s.ask("sobjects/User", "POST", json={"Shoe": 1}),
    "not_writeable": lambda s: s.ask(
        "sobjects/SetupEntityAccess", "POST", json={"SetupEntityType": "x"}
    ),
    "read_only_sobject": lambda s: s.ask("sobjects/Profile", "POST", json={}),
    "no_rights": by_a_standard_user,
    "too_many_records": lambda s: s.collection(*["x"] * 201),
    "rolled_back": lambda s: s.collection("Good", "not good", all_or_none=True),
    "malformed_query": lambda s: s.query("SELECT nonsense FROM"),
    "empty_query": lambda s: s.query(" "),
    "unknown_sobject": lambda s: s.query("SELECT Id FROM ScratchOrgInfo limit 1"),
    "unknown_column": lambda s: s.query("SELECT ConsumerKey FROM ConnectedApplication"),
    "unknown_relationship": lambda s: s.query("SELECT Boss.Name FROM User"),
    "unknown_children": lambda s: s.query("SELECT (SELECT Id FROM Boss) FROM User"),
    "mistyped_filter": lambda s: s.query("SELECT Id FROM User WHERE IsActive = 'true'"),
    "bad_filter_id": lambda s: s.query("SELECT Id FROM User WHERE Id = 'x'"),
    "offset": lambda s: s.query("SELECT Id FROM User OFFSET 2001"),
    "locator": lambda s: s.ask("query/01gnonsense-2000"),
    "multipart": lambda s: s.ask(
        "metadata/deployRequest",
        "POST",
        files=[("json", (None, "{}", "application/json"))],
    ),
    "secrets_off": where_secrets_are_off,
    "too_large": too_large,
}


def test_every_complaint_has_its_situation_and_a_mark():
    assert SITUATIONS.keys() == REST_COMPLAINTS.keys()
    assert {c.mark for c in REST_COMPLAINTS.values()} <= set(MARKS)
    assert {b.mark for b in REST_BEHAVIOURS} <= set(MARKS)
    sourced = {"documented", "observed"}
    assert all(c.source for c in REST_COMPLAINTS.values() if c.mark in sourced)
    assert all(b.source for b in REST_BEHAVIOURS if b.mark in sourced)


@pytest.mark.parametrize("name", sorted(REST_COMPLAINTS))
def test_the_situation_causes_the_message(name: str, scene: Scene):
    wanted = re.escape(REST_COMPLAINTS[name].text)
    pattern = re.sub(r"\\{[a-z]+\\}", "(.+)", wanted)
    message = SITUATIONS[name](scene)
    assert re.fullmatch(pattern, message, re.S), f"{message!r} is not {pattern!r}"
