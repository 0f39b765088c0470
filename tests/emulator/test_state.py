"""Worlds: orgs, tokens, unique names, many writers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.state import World, open_world
from metadeploy.model import Ref, id18


def user_id(world: World, username: str) -> str:
    found = world.user_by_username(username)
    assert found
    return str(found[1]["Id"])


def test_a_new_world_is_readable_by_its_owner_only(world: World) -> None:
    path = world.store.path
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_org_has_users_profiles_and_no_apps(world: World) -> None:
    org = world.create_org("uat")
    assert id18(org.id) == org.id
    assert org.id.startswith("00D")
    assert {u["Username"] for u in org.records("User")} == {
        "admin@uat.emulated",
        "user@uat.emulated",
        "integration@uat.emulated",
    }
    names = {p["Name"] for p in org.records("Profile")}
    assert {"System Administrator", "Standard User"} <= names
    shadows = [p for p in org.records("PermissionSet") if p["IsOwnedByProfile"]]
    assert len(shadows) == len(names)
    assert org.records("ConnectedApplication") == []
    assert world.org(org.id[:15]) == world.org(org.id) == world.org("uat") == org


def test_an_org_name_is_taken_once(world: World) -> None:
    world.create_org("uat")
    with pytest.raises(ValueError, match="already an org named uat"):
        world.create_org("uat")
    with pytest.raises(KeyError):
        world.org("prod")


def test_a_token_lives_until_it_ends(world: World, clock: Any) -> None:
    org = world.create_org("uat", OrgSettings(access_token_minutes=1))
    admin = user_id(world, "admin@uat.emulated")
    token = org.issue_token(admin, app=Ref("ConnectedApp", "Portal"))
    assert token.startswith(f"{org.id[:15]}!EMU.")
    session = world.org_of_token(token)
    assert session
    assert (session.org, session.user_id) == (org, admin)
    assert session.app == Ref("ConnectedApp", "Portal")
    assert world.org_of_token(token, kind="refresh") is None
    clock.now += 61
    assert world.org_of_token(token) is None
    other = org.issue_token(admin)
    assert org.revoke_token(other)
    assert world.org_of_token(other) is None
    assert not org.revoke_token(other)


def test_tokens_of_one_authorisation_end_together(world: World) -> None:
    org = world.create_org("uat")
    admin = user_id(world, "admin@uat.emulated")
    refresh = org.issue_token(admin, refresh=True, grant_id="G1")
    access = org.issue_token(admin, grant_id="G1")
    assert world.org_of_token(refresh, kind="refresh")
    assert org.revoke_grant("G1") == 2
    assert world.org_of_token(access) is None


def test_no_token_and_no_password_is_kept_in_clear(world: World) -> None:
    spec = UserSpec("someone@example.com", password="correct horse battery")
    org = world.create_org("uat", OrgSettings(users=(spec,)))
    someone = user_id(world, "Someone@Example.com")
    token = org.issue_token(someone)
    assert org.check_password(someone, "correct horse battery")
    assert not org.check_password(someone, "wrong")
    assert not org.check_password(user_id(world, "admin@uat.emulated"), "")
    world.store.all("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = world.store.path.read_bytes()
    assert b"someone@example.com" in kept
    assert b"correct horse" not in kept
    assert token.encode() not in kept


def test_a_grant_is_taken_once(world: World, clock: Any) -> None:
    org = world.create_org("uat")
    world.put_grant("code", "abc", org, {"user": "005"}, lifetime=60)
    assert world.grant("code", "abc") == (org, {"user": "005"})
    assert world.take_grant("code", "abc") == (org, {"user": "005"})
    assert world.take_grant("code", "abc") is None
    world.put_grant("code", "abc", org, {}, lifetime=60)
    clock.now += 61
    assert world.grant("code", "abc") is None


def test_a_username_is_unique_in_the_world(world: World) -> None:
    world.create_org("a", OrgSettings(users=(UserSpec("x@example.com"),)))
    with pytest.raises(ValueError, match=r"username X@example\.com is taken"):
        world.create_org("b", OrgSettings(users=(UserSpec("X@example.com"),)))
    assert [o.name for o in world.orgs()] == ["a"]


def test_a_reset_org_is_as_new_but_for_its_name_id_and_passwords(world: World) -> None:
    settings = OrgSettings(users=(UserSpec("x@example.com", password="secret"),))
    org = world.create_org("uat", settings)
    token = org.issue_token(user_id(world, "x@example.com"))
    org.put(Ref("PermissionSet", "P"), b"<x/>", user_id="005")
    assert org.claim("consumer_key", "KEY", "ConnectedApp Portal")
    again = world.reset_org("uat")
    assert (again.id, again.settings.users) == (
        org.id,
        (UserSpec("x@example.com"),),
    )
    assert again.check_password(user_id(world, "x@example.com"), "secret")
    assert world.org_of_token(token) is None
    assert again.components("PermissionSet") == []
    assert world.org_of_consumer_key("KEY") is None


def test_a_consumer_key_has_one_owner(world: World) -> None:
    one, two = world.create_org("one"), world.create_org("two")
    assert one.claim("consumer_key", "KEY", "ConnectedApp Portal")
    assert not two.claim("consumer_key", "KEY", "ConnectedApp Other")
    assert world.org_of_consumer_key("KEY") == (one, Ref("ConnectedApp", "Portal"))
    one.release("consumer_key", "ConnectedApp Portal")
    assert two.claim("consumer_key", "KEY", "ConnectedApp Other")


def test_what_fails_in_a_transaction_leaves_nothing(world: World) -> None:
    org = world.create_org("uat")

    def failing() -> None:
        with world.transaction():
            org.put(Ref("PermissionSet", "P"), b"<x/>", user_id="005")
            with world.transaction():
                org.log("inside")
            raise LookupError

    with pytest.raises(LookupError):
        failing()
    assert org.component(Ref("PermissionSet", "P")) is None
    assert [e for e, _ in org.events()] == ["org created"]


def test_a_component_keeps_its_id_and_creation(world: World, clock: Any) -> None:
    org = world.create_org("uat")
    ref = Ref("PermissionSet", "P")
    first = org.put(ref, b"<x/>", user_id="005A", extra={"secret": "s"})
    clock.now += 10
    assert org.put(ref, b"<y/>", user_id="005B") == first
    found = org.component(ref)
    assert found
    assert (found.body, found.extra) == (b"<y/>", {"secret": "s"})
    assert (found.created_by, found.modified_by) == ("005A", "005B")
    assert found.modified - found.created == 10
    assert org.component_by_id(first) == found
    assert org.component_types() == ["PermissionSet", "Profile"]


def test_many_threads_on_two_openings_lose_nothing(
    world: World, tmp_path: Path
) -> None:
    org = world.create_org("uat")
    other = open_world(world.store.path)
    assert other.org("uat").id == org.id
    ref = Ref("PermissionSet", "Counter")
    org.put(ref, b"<x/>", user_id="005", extra={"n": 0})

    def add(w: World) -> None:
        for _ in range(10):
            with w.transaction():
                mine = w.org("uat")
                found = mine.component(ref)
                assert found
                n = int(found.extra["n"] or 0)
                mine.put(ref, b"<x/>", user_id="005", extra={"n": n + 1})

    threads = [
        threading.Thread(target=add, args=(w,))
        for w in (world, other)
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = org.component(ref)
    assert found
    assert found.extra["n"] == 100
    other.close()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.db"
    made = open_world(path)
    made.store.write("PRAGMA user_version=99")
    made.close()
    with pytest.raises(ValueError, match="format 99"):
        open_world(path)


@pytest.mark.parametrize(
    ("kind", "sandbox", "edition"),
    [
        ("developer", False, "Developer Edition"),
        ("production", False, "Enterprise Edition"),
        ("sandbox", True, "Enterprise Edition"),
        ("scratch", True, "Developer Edition"),
    ],
)
def test_the_organization_says_what_kind_it_is(
    world: World, kind: str, sandbox: bool, edition: str
) -> None:
    org = world.create_org("x", OrgSettings(kind=kind))
    (record,) = org.records("Organization")
    assert record["Id"] == org.id
    assert (record["IsSandbox"], record["OrganizationType"]) == (sandbox, edition)
    assert (record["TrialExpirationDate"] is not None) == (kind == "scratch")


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        OrgSettings(kind="prod")
    with pytest.raises(ValueError, match="connected_app_creation"):
        OrgSettings(connected_app_creation="no")
    with pytest.raises(ValueError, match="counted from 0"):
        OrgSettings(deploy_polls=-1)


def test_new_settings_add_the_users_they_name(world: World) -> None:
    org = world.create_org("uat")
    token = org.issue_token(user_id(world, "admin@uat.emulated"))
    spec = UserSpec("new@example.com", profile="System Administrator")
    changed = world.configure_org("uat", OrgSettings(deploy_polls=3, users=(spec,)))
    assert changed.settings.deploy_polls == 3
    assert world.org("uat").settings.deploy_polls == 3
    assert user_id(world, "new@example.com")
    assert world.org_of_token(token)
    world.configure_org("uat", OrgSettings(users=(spec,)))
    with pytest.raises(ValueError, match="no profile named Nobody"):
        world.configure_org(
            "uat", OrgSettings(users=(UserSpec("x@example.com", profile="Nobody"),))
        )
    assert world.org("uat").settings.users == (spec,)
