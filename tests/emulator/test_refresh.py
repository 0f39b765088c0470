"""Sandbox refreshes: a copy of another org, under a new id."""

from __future__ import annotations

import pytest
from deployer import Deployer, app, eca, permission_set

from metadeploy.emulator.connectedapps import readable
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.state import World
from metadeploy.emulator.tree import text
from metadeploy.model import Ref

APP = Ref("ConnectedApp", "Portal")


@pytest.fixture
def refreshed(world: World) -> tuple[World, str]:
    someone = UserSpec("anna@acme.com", password="open sesame")
    prod = world.create_org("prod", OrgSettings(kind="production", users=(someone,)))
    files = {
        "connectedApps/Portal.connectedApp": app(
            key="prodkey12345", access="<permissionSetName>P</permissionSetName>"
        ),
        "permissionsets/P.permissionset": permission_set(),
        **eca("Ext", key="extkey123456"),
    }
    assert Deployer(prod).deploy(files).success
    uat = world.create_org("uat", OrgSettings(kind="sandbox"))
    token = uat.issue_token(admin_of(uat))
    assert Deployer(uat).deploy({"connectedApps/Only_Here.connectedApp": app()}).success
    world.refresh_org("uat", "prod")
    assert world.org_of_token(token) is None
    return world, uat.id


def test_the_org_id_is_new_and_tokens_are_dead(refreshed: tuple[World, str]) -> None:
    world, old_id = refreshed
    uat = world.org("uat")
    assert uat.id != old_id
    (record,) = uat.records("Organization")
    assert (record["Id"], record["Name"], record["IsSandbox"]) == (uat.id, "uat", True)
    with pytest.raises(KeyError):
        world.org(old_id)


def test_users_get_the_sandbox_behind_their_names(
    refreshed: tuple[World, str],
) -> None:
    world, _ = refreshed
    uat, prod = world.org("uat"), world.org("prod")
    found = world.user_by_username("anna@acme.com.uat")
    assert found
    org, user = found
    assert (org, user["Email"]) == (uat, "anna@acme.com.invalid")
    assert uat.check_password(str(user["Id"]), "open sesame")
    assert world.user_by_username("anna@acme.com") == (
        prod,
        prod.record("User", str(user["Id"])),
    )
    assert admin_of(uat) == admin_of(prod)
    assert world.user_by_username("admin@uat.emulated") is None


def test_apps_come_along_with_keys_of_their_own(refreshed: tuple[World, str]) -> None:
    world, _ = refreshed
    uat, prod = world.org("uat"), world.org("prod")
    assert [c.ref for c in uat.components("ConnectedApp")] == [APP]
    copied = uat.component(APP)
    assert copied
    tree = readable(uat, copied)
    key = text(tree, "oauthConfig", "consumerKey")
    assert key == copied.extra["key"] != "prodkey12345"
    assert text(tree, "permissionSetName") == "P"
    assert world.org_of_consumer_key(key) == (uat, APP)
    assert world.org_of_consumer_key("prodkey12345") == (prod, APP)
    external = Ref("ExternalClientApplication", "Ext")
    assert world.org_of_consumer_key("extkey123456") == (prod, external)


def test_external_apps_point_at_their_new_org(refreshed: tuple[World, str]) -> None:
    world, _ = refreshed
    uat = world.org("uat")
    header = uat.component(Ref("ExternalClientApplication", "Ext"))
    settings = uat.component(Ref("ExtlClntAppOauthSettings", "Ext_oauth"))
    credentials = uat.component(Ref("ExtlClntAppGlobalOauthSettings", "Ext_glbl"))
    assert header and settings and credentials
    assert f">{uat.id}:Ext<".encode() in header.body
    assert f">{uat.id}:{credentials.extra['consumer_id']}<".encode() in settings.body
    (record,) = uat.records("ExternalClientApplication")
    assert record["OrgScopedExternalApp"] == f"{uat.id}:Ext"


def test_a_refreshed_org_can_be_deployed_to_and_refreshed_again(
    refreshed: tuple[World, str],
) -> None:
    world, _ = refreshed
    assert (
        Deployer(world.org("uat"))
        .deploy({"connectedApps/Portal.connectedApp": app()})
        .success
    )
    before = world.org("uat").id
    assert world.refresh_org("uat", "prod").id != before
    with pytest.raises(ValueError, match="from itself"):
        world.refresh_org("uat", "uat")
    with pytest.raises(KeyError):
        world.refresh_org("uat", "nowhere")
