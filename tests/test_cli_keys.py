"""keys and certs on emulated orgs, over real HTTP: what a user sees."""

from __future__ import annotations

import keyring
import pytest
from keyring.backends.null import Keyring as NoKeyring

OLD, NEW = "old-" + "0123456789abcdef" * 2, "new-" + "0123456789abcdef" * 2


@pytest.fixture
def rows(runner):
    """What keys list tells of an org: rows("dev")["Portal"]."""

    def read(org):
        ran = runner("keys", "list", org, "--json")
        assert ran.code == 0, ran.err
        return {row["app"]: row for row in ran.json["orgs"][0]["apps"]}

    return read


def export(runner, org, app):
    ran = runner("keys", "export", org, "--app", app, "--format", "json")
    assert ran.code == 0, ran.err
    return ran.json


# -- the master


def test_the_master_is_rotated_without_touching_a_live_key(runner, rows, monkeypatch):
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", OLD)
    assert runner("deploy", "dev", "--auto-approve").code == 0
    before, handed = rows("dev"), export(runner, "dev", "Billing")
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", NEW)
    assert {row["origin"] for row in rows("dev").values()} == {"org"}
    monkeypatch.setenv("METADEPLOY_MASTER_KEY_PREVIOUS", OLD)
    after = rows("dev")
    assert {row["origin"] for row in after.values()} == {"derived (previous master)"}
    for app, row in after.items():
        assert row["consumerKey"] == before[app]["consumerKey"]
    assert export(runner, "dev", "Billing") == handed
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    # The old secret still opens the app.
    proofs = runner("verify", "dev", "--json").json["orgs"][0]["proofs"]
    assert {p["app"]: p["ok"] for p in proofs}["Billing"] is True
    # What is created from now on gets a key of the new one.
    made = rows("uat")["Billing"]
    assert (made["origin"], made["deployed"]) == ("derived", False)


def test_orgs_of_a_tag_have_a_master_of_their_own(runner, rows, monkeypatch, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "master: {env: GENERAL}\nmasters: [{tag: uat, file: uat-master}]\n"
    )
    config.chmod(0o600)
    (tmp_path / "uat-master").write_text(NEW)
    monkeypatch.setenv("METADEPLOY_CONFIG", str(config))
    monkeypatch.setenv("GENERAL", OLD)
    by_config = {org: rows(org) for org in ("dev", "uat")}
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", OLD)
    assert rows("dev") == by_config["dev"] and rows("uat") != by_config["uat"]
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", NEW)
    assert rows("dev") != by_config["dev"] and rows("uat") == by_config["uat"]
    monkeypatch.delenv("METADEPLOY_MASTER_KEY")
    config.write_text("master: {comand: [x]}")
    ran = runner("keys", "list", "dev")
    assert ran.code == 1 and "unknown field `comand`" in ran.err


def test_init_into_the_keyring(runner, memory, monkeypatch, tmp_path):
    ran = runner("keys", "init", "--keyring", "production")
    assert ran.code == 0, ran.err
    (made,) = memory.entries.values()
    assert made not in ran.out + ran.err and "METADEPLOY" not in ran.out
    assert "master: {keyring: production}" in ran.err
    again = runner("keys", "init", "--keyring", "production")
    assert again.code == 1 and "has an entry" in again.err
    keyring.set_keyring(NoKeyring())
    lost = runner("keys", "init", "--keyring", "production")
    assert lost.code == 1 and "did not keep it" in lost.err
