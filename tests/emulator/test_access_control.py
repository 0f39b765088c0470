"""API Access Control as it is deployed, and apps of other orgs."""

from __future__ import annotations

from typing import Any

import pytest
from oauth_apps import deploy, deploy_app, give_access, user_id
from test_oauth_errors import Stage, stage

from metadeploy.emulator import records
from metadeploy.emulator.access_control import SETTINGS, is_on
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World

__all__ = ["stage"]

ON: Any = {"enableAdminApprovedAppsOnly": ["true"]}
OFF: Any = {"enableAdminApprovedAppsOnly": ["false"]}


@pytest.fixture
def org(world: World) -> OrgState:
    settings = OrgSettings(
        api_access_control_available=True, installed_apps=("Salesforce CLI",)
    )
    return world.create_org("dev", settings)


def test_a_deploy_switches_it(stage: Stage):
    stage.open_app()
    assert stage.jwt()["error_description"] == "user hasn't approved this consumer"
    deploy(stage.org, SETTINGS, dict(ON))
    assert stage.jwt()["error"] == "invalid_app_access"
    give_access(stage.org)
    assert stage.jwt()["status"] == 200
    deploy(stage.org, SETTINGS, dict(OFF))
    assert not is_on(stage.org)


def test_it_can_be_switched_off_where_it_was_on_from_the_start(world: World):
    strict = world.create_org("strict", OrgSettings(api_access_control=True))
    assert is_on(strict) and is_on(strict, internal=False)
    deploy(strict, SETTINGS, dict(OFF))
    assert not is_on(strict)
    assert is_on(strict, internal=False)


def test_an_org_without_the_feature_refuses(world: World):
    plain = world.create_org("plain")
    deploy(plain, SETTINGS, dict(OFF))
    with pytest.raises(BadFile, match="Not available for deploy for this organization"):
        deploy(plain, SETTINGS, dict(ON))


def test_users_of_another_kind_have_a_switch_of_their_own(stage: Stage):
    stage.open_app()
    deploy(
        stage.org, SETTINGS, {"enableAdminApprovedAppsOnlyForExternalUser": ["true"]}
    )
    assert stage.jwt()["error"] == "invalid_grant"
    user = stage.org.record("User", user_id(stage.org, "admin"))
    assert user is not None
    kept: Any = {k: user[k] for k in ("Username", "ProfileId", "Email", "IsActive")}
    kept["UserType"] = "CspLitePortal"
    records.save(stage.org, "User", str(user["Id"]), kept, by=admin_of(stage.org))
    assert stage.jwt()["error"] == "invalid_app_access"


def installed_id(org: OrgState, label: str) -> str:
    (found,) = (r for r in org.records("ConnectedApplication") if r["Name"] == label)
    return str(found["Id"])


def test_an_installed_app_of_another_org(stage: Stage):
    """Seen from the user's org, Portal is somebody else's; installed, it is let in."""
    stage.open_app()
    settings = OrgSettings(
        api_access_control_available=True, installed_apps=("Portal",)
    )
    other = stage.org.world.create_org("other", settings)
    mine = stage.org.world.create_org("mine")
    assert stage.jwt(sub="user@mine.emulated")["error"].startswith("OAUTH_APPROVAL")
    stage.org.world.configure_org("mine", OrgSettings(installed_apps=("Portal",)))
    assert installed_id(mine, "Portal")
    refused = stage.jwt(sub="user@mine.emulated")
    assert refused["error_description"] == "user hasn't approved this consumer"
    deploy(other, SETTINGS, dict(ON))
    assert stage.jwt(sub="user@other.emulated")["error"] == "invalid_app_access"
    user = other.record("User", user_id(other, "user"))
    assert user is not None
    shadow = records.shadow_of(other, str(user["ProfileId"]))
    assert shadow is not None
    values = {
        "ParentId": str(shadow["Id"]),
        "SetupEntityId": installed_id(other, "Portal"),
    }
    other.create_record("SetupEntityAccess", values, as_user=admin_of(other))
    assert stage.jwt(sub="user@other.emulated")["status"] == 200


def test_apps_are_installed_once(world: World, org: OrgState):
    world.configure_org("dev", org.settings)
    assert installed_id(org, "Salesforce CLI").startswith("0H4")


def test_the_home_page_says_what_is_deployed(stage: Stage):
    deploy_app(stage.org, config={"isAdminApproved": "false"})
    page = stage.browser.open("/").text
    assert "API Access Control" not in page and "All may self-authorize" in page
    deploy(stage.org, SETTINGS, dict(ON))
    assert "API Access Control" in stage.browser.open("/").text
