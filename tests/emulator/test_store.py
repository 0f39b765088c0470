"""The file behind a world."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import World
from metadeploy.emulator.store import Store


def test_a_closed_file_is_not_used_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "world.db")
    with store.transaction():
        store.write("INSERT INTO names VALUES ('k', 'n', 1, 'v')")
        store.close()
    with pytest.raises(ValueError, match="closed"):
        store.one("SELECT 1")
    again = Store(tmp_path / "world.db")
    assert again.one("SELECT value FROM names") == ("v",)
    again.close()


def test_a_savepoint_undoes_its_part(tmp_path: Path) -> None:
    store = Store(tmp_path / "world.db")
    with pytest.raises(ValueError, match="needs a transaction"), store.savepoint():
        pass

    def failing() -> None:
        with store.savepoint():
            store.write("INSERT INTO names VALUES ('k', 'inner', 1, 'v')")
            raise LookupError

    with store.transaction():
        store.write("INSERT INTO names VALUES ('k', 'outer', 1, 'v')")
        with pytest.raises(LookupError):
            failing()
    assert store.all("SELECT name FROM names") == [("outer",)]
    store.close()


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    (tmp_path / "world.db").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        Store(tmp_path / "world.db")
    assert target.read_text() == "mine"


def test_an_org_may_have_more_profiles_and_a_namespace(world: World) -> None:
    settings = OrgSettings(
        namespace="acme",
        edition="Unlimited Edition",
        profiles=(("Sales", "Salesforce"), ("Portal", "Customer Community")),
    )
    org = world.create_org("wide", settings)
    (record,) = org.records("Organization")
    assert record["NamespacePrefix"] == "acme"
    assert record["OrganizationType"] == "Unlimited Edition"
    assert {"Sales", "Portal"} <= {p["Name"] for p in org.records("Profile")}
    assert world.org("wide").settings == settings
