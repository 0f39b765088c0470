"""keys and certs on emulated orgs, over real HTTP: what a user sees."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import sys

import keyring
import pytest
from keyring.backends.null import Keyring as NoKeyring

from metadeploy import certs
from metadeploy.api import Orgs
from metadeploy.errors import DeployFailed
from metadeploy.workspace import Workspace

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


# -- list and export


def test_keys_are_listed_with_age_and_hint(runner, rows, project, monkeypatch):
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", OLD)
    made = rows("dev")["Billing"]
    assert (made["deployed"], made["created"], made["ageDays"]) == (False, None, None)
    assert made["type"] == "ConnectedApp" and made["hint"] == ""
    assert runner("deploy", "dev", "--auto-approve").code == 0
    made = rows("dev")["Billing"]
    today = datetime.datetime.now(datetime.UTC).date()
    assert made["ageDays"] == 0
    assert abs(datetime.date.fromisoformat(made["created"][:10]) - today).days <= 1
    out = runner("keys", "list", "dev").out
    assert f"created {made['created'][:10]} (0 days ago)" in out
    monkeypatch.setenv("METADEPLOY_MASTER_KEY_PREVIOUS", OLD)
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", NEW)
    assert "previous master" in rows("dev")["Billing"]["hint"]
    monkeypatch.delenv("METADEPLOY_MASTER_KEY_PREVIOUS")
    own = rows("dev")["Billing"]
    assert own["hint"] == "The org's own key: left alone. Its secret: Setup shows it."
    assert own["hint"] in runner("keys", "list", "dev").out


def test_export_writes_what_is_asked_for(runner, project):
    found = export(runner, "dev", "Portal")
    key, secret = found["consumerKey"], found["consumerSecret"]
    ran = runner("keys", "export", "dev", "--app", "Portal")
    lines = f"PORTAL_CONSUMER_KEY={key}\nPORTAL_CONSUMER_SECRET={secret}\n"
    assert ran.out == lines
    words = ("keys", "export", "dev", "--app", "Portal", "--format")
    manifest = runner(*words, "kubernetes", "--name", "the-portal").out
    assert "kind: Secret" in manifest and "name: the-portal" in manifest
    assert base64.b64encode(secret.encode()).decode() in manifest
    ran = runner(*words, "kubernetes", "--name", "The Portal")
    assert ran.code == 1 and "takes no Secret" in ran.err


def test_export_to_a_command(runner, project, monkeypatch):
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", OLD)
    words = ("keys", "export", "dev", "--app", "Portal", "--format", "command", "--")
    program = (
        "import os, sys; open('taken', 'w').write(sys.stdin.read());"
        " print('METADEPLOY_MASTER_KEY' in os.environ, *sys.argv)"
    )
    monkeypatch.chdir(project)
    ran = runner(*words, sys.executable, "-c", program, "--flag")
    assert ran.code == 0, ran.err
    taken = (project / "taken").read_text()
    assert taken == runner("keys", "export", "dev", "--app", "Portal").out
    secret = export(runner, "dev", "Portal")["consumerSecret"]
    assert secret in taken and secret not in ran.out + ran.err
    ran = runner(*words, sys.executable, "-c", "raise SystemExit(3)")
    assert ran.code == 1 and "ended with 3" in ran.err
    assert "cannot run" in runner(*words, project / "no-such-command").err
    assert runner(*words).code == 64
    assert runner("keys", "export", "dev", "--app", "Portal", "cat").code == 64


# -- certificates


def use_certificate(project, path, username):
    """Let the app Portal be logged in to by JWT, in org dev."""
    template = project / "templates/connectedApps/Portal.connectedApp.j2"
    text = template.read_text()
    element = f"<certificate>{{{{ file('{path}') }}}}</certificate>\n        "
    template.write_text(
        text.replace("<isAdminApproved>", f"{element}<isAdminApproved>")
    )
    org = project / "orgs/dev.yaml"
    login = f"login: {{flow: jwt, username: {username}, private_key: {{file: KEY}}}}"
    org.write_text(org.read_text() + f"apps:\n  Portal:\n    {login}\n")
    return org


def test_a_certificate_lets_a_user_log_in(runner, project):
    ran = runner("certs", "create", "portal", "--json")
    assert ran.code == 0, ran.err
    key, certificate = ran.json["privateKey"], ran.json["certificate"]
    assert (key, certificate) == (".metadeploy/certs/portal.key", "certs/portal.crt")
    assert (project / key).stat().st_mode & 0o777 == 0o600
    assert (project / key).parent.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in ran.out + (project / certificate).read_text()
    org = use_certificate(project, certificate, "admin@dev.emulated")
    username = runner("emulator", "token", "dev").json["username"]
    text = org.read_text().replace("KEY", key)
    org.write_text(text.replace("admin@dev.emulated", username))
    deployed = runner("deploy", "dev", "--auto-approve", "--json")
    assert deployed.code == 0, deployed.out
    proofs = {p["app"]: p for p in deployed.json["orgs"][0]["proofs"]}
    assert (proofs["Portal"]["flow"], proofs["Portal"]["ok"]) == ("jwt", True)
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_certificates_are_listed_by_expiry(runner, project):
    assert runner("certs", "list").out == ""
    runner("certs", "create", "portal", "--days", "400")
    runner("certs", "create", "soon", "--days", "30", "--key", project / "soon.key")
    assert (project / "soon.key").stat().st_mode & 0o777 == 0o600
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=20)
    old = certs.make("old", days=10, now=past).certificate
    (project / "certs/old.pem").write_text(old)
    (project / "certs/README.md").write_text("not a certificate")
    use_certificate(project, "certs/portal.crt", "x@y.z")
    ran = runner("certs", "list")
    assert ran.code == 0, ran.err
    old, _, portal, template, soon, unused = ran.out.splitlines()
    assert old.startswith("certs/old.pem") and old.endswith("EXPIRED 10 days ago")
    assert portal.startswith("certs/portal.crt") and portal.endswith("399 days left")
    assert template == (
        "    templates/connectedApps/Portal.connectedApp.j2  for dev, prod, uat"
    )
    assert soon.endswith("EXPIRES in 29 days") and unused == "    no template uses it"
    rows = runner("certs", "list", "--json").json["certificates"]
    assert [(r["subject"], r["daysLeft"]) for r in rows] == [
        ("CN=old", -10),
        ("CN=portal", 399),
        ("CN=soon", 29),
    ]
    assert rows[1]["usedBy"][0]["orgs"] == ["dev", "prod", "uat"]
    (project / "certs/broken.crt").write_text("broken")
    ran = runner("certs", "list")
    assert ran.code == 1 and "certs/broken.crt holds no certificate" in ran.err
    assert "certs/portal.crt" in ran.out


def test_no_key_or_certificate_is_overwritten(runner, project):
    assert runner("certs", "create", "portal").code == 0
    key = (project / ".metadeploy/certs/portal.key").read_text()
    again = runner("certs", "create", "portal")
    assert again.code == 1 and "certs/portal.crt is there already" in again.err
    (project / "certs/portal.crt").unlink()
    again = runner("certs", "create", "portal")
    assert again.code == 1 and "portal.key is there already" in again.err
    assert not (project / "certs/portal.crt").exists()
    assert (project / ".metadeploy/certs/portal.key").read_text() == key
    for name in ("../x", "a/b", ".x", "", "x" * 65):
        assert runner("certs", "create", name).code == 64
    ran = runner("certs", "create", "x", "--key", project / "orgs/../certs/x.key")
    assert ran.code == 1 and "must not be there" in ran.err
    (project / "file").write_text("")
    ran = runner("certs", "create", "x", "--key", project / "file/x.key")
    assert ran.code == 1 and "cannot write" in ran.err


# -- rotation


@pytest.fixture
def external(runner, project):
    """The example, deployed to dev, with Billing as an External Client App there."""
    path = project / "orgs/dev.yaml"
    apps = "apps: {Billing: {kind: external_client_app}}\n"
    path.write_text(apps + path.read_text())
    assert runner("deploy", "dev", "--auto-approve").code == 0
    return path


def test_an_external_client_app_is_rotated(runner, rows, external):
    before, handed = rows("dev")["Billing"], export(runner, "dev", "Billing")
    assert before["type"] == "ExternalClientApplication"
    words = ("keys", "rotate", "dev", "--app", "Billing")
    ran = runner(*words)
    assert ran.code == 0, ran.err
    assert "a new key and secret are staged until 20" in ran.out
    assert "keys export dev --app Billing --staged" in ran.out
    assert export(runner, "dev", "Billing") == handed
    export_staged = ("keys", "export", "dev", "--app", "Billing", "--staged")
    staged = runner(*export_staged, "--format", "json").json
    assert handed["consumerSecret"] not in ran.out and staged != handed
    done = runner(*words, "--finish", "--json")
    assert done.code == 0 and done.json["consumerKey"] == staged["consumerKey"]
    assert done.json["otherConsumerKey"] == handed["consumerKey"]
    assert staged["consumerSecret"] not in done.out
    assert export(runner, "dev", "Billing") == staged
    ran = runner(*export_staged)
    assert ran.code == 1 and "nothing is staged for Billing" in ran.err
    own = rows("dev")["Billing"]
    assert own["origin"] == "org" and "keys export asks the org" in own["hint"]
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    assert "has one key and secret" in runner(*words, "--discard").out
    ran = runner(*words, "--discard")
    assert ran.code == 1 and "nothing is staged" in ran.err


def test_what_cannot_be_rotated_says_why(runner, external):
    ran = runner("keys", "rotate", "dev", "--app", "Portal")
    assert ran.code == 1 and "no API rotates its key in place" in ran.err
    assert "Raise `generation` of Portal under `apps` in orgs/dev.yaml" in ran.err
    ran = runner("keys", "export", "dev", "--app", "Portal", "--staged")
    assert ran.code == 1 and "nothing is staged for Portal" in ran.err
    ran = runner("keys", "rotate", "uat", "--app", "Portal")
    assert ran.code == 1 and "does not have the app Portal yet" in ran.err
    ran = runner("keys", "rotate", "dev", "--app", "Nope")
    assert ran.code == 1 and "It has: Billing, Ledger, Portal." in ran.err


def test_a_production_org_is_rotated_only_if_told(runner, project, external):
    prod = project / "orgs/prod.yaml"
    prod.write_text("apps: {Billing: {kind: external_client_app}}\n" + prod.read_text())
    assert runner("deploy", "prod", "--auto-approve", "--production").code == 0
    words = ("keys", "rotate", "prod", "--app", "Billing")
    ran = runner(*words)
    assert (
        ran.code == 1 and "is a production org. Allow it with --production" in ran.err
    )
    assert runner(*words, "--production").code == 0


# -- a new key for a connected app


def raise_generation(path, app, generation):
    path.write_text(
        f"apps: {{{app}: {{generation: {generation}}}}}\n" + path.read_text()
    )


def test_a_raised_generation_replaces_a_connected_app(runner, rows, project):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    before, handed = rows("dev"), export(runner, "dev", "Portal")
    raise_generation(project / "orgs/dev.yaml", "Portal", 2)
    old = rows("dev")["Portal"]
    assert (old["origin"], old["generation"], old["wantedGeneration"]) == (
        *("derived", 1),
        2,
    )
    assert "Generation 2 is wanted: metadeploy plan dev says how." in old["hint"]
    assert export(runner, "dev", "Portal") == handed
    # The plan names what it interrupts, and does not run without leave.
    text = runner("plan", "dev").out
    assert "  - ConnectedApp Portal\n      deleted first" in text
    assert "derived for this org, generation 2" in text
    assert "clients with the old key and secret fail" in text
    assert "Allow it with --allow-interruption." in text
    (row,) = runner("plan", "dev", "--json").json["orgs"]
    assert row["replaced"] == [{"type": "ConnectedApp", "fullName": "Portal"}]
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1 and "--allow-interruption" in ran.err
    assert rows("dev") == {**before, "Portal": old}
    words = ("deploy", "dev", "--auto-approve", "--allow-interruption", "--json")
    checked = runner(*words, "--dry-run")
    assert checked.code == 0, checked.err
    assert rows("dev")["Portal"]["consumerKey"] == handed["consumerKey"]
    done = runner(*words)
    assert done.code == 0, done.err
    (row,) = done.json["orgs"]
    assert row["verified"] is True and row["ownKeys"] == []
    after = rows("dev")
    new = after["Portal"]
    assert (new["origin"], new["generation"]) == ("derived", 2)
    assert new["consumerKey"] != handed["consumerKey"]
    assert export(runner, "dev", "Portal")["consumerKey"] == new["consumerKey"]
    assert after["Billing"] == before["Billing"]
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_a_saved_plan_replaces_too_and_goes_stale(runner, rows, project):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    raise_generation(project / "orgs/dev.yaml", "Portal", 2)
    plan = project / "plan.json"
    assert runner("plan", "dev", "--out", plan, "--allow-interruption").code == 0
    words = ("deploy", "--plan", plan, "--auto-approve", "--allow-interruption")
    done = runner(*words)
    assert done.code == 0, done.err
    assert rows("dev")["Portal"]["generation"] == 2
    again = runner(*words)
    assert again.code == 1 and "is not as it was when the plan was made" in again.err


def test_only_a_key_that_we_derived_is_replaced(runner, rows, project, monkeypatch):
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", OLD)
    assert runner("deploy", "dev", "--auto-approve").code == 0
    raise_generation(project / "orgs/dev.yaml", "Portal", 3)
    due = [{"type": "ConnectedApp", "fullName": "Portal"}]

    def replaced():
        ran = runner("plan", "dev", "--json")
        assert ran.code == 0, ran.err
        return ran.json["orgs"][0]["replaced"]

    assert replaced() == due
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", NEW)
    assert replaced() == []
    monkeypatch.setenv("METADEPLOY_MASTER_KEY_PREVIOUS", OLD)
    assert replaced() == due
    # A plan can be read where no master is.
    monkeypatch.setenv("METADEPLOY_MASTER_KEY", "short")
    assert replaced() == []


def test_a_refused_creation_undoes_the_deletion(runner, rows, project):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    before = rows("dev")
    raise_generation(project / "orgs/dev.yaml", "Portal", 2)
    allowed = frozenset({"interruption"})
    with Orgs(Workspace(project)) as orgs:
        plan = orgs.plan("dev", allowed=allowed)
        world = orgs.emulated().world
        settings = world.org("dev").settings
        blocked = dataclasses.replace(settings, connected_app_creation="blocked")
        world.configure_org("dev", blocked)
        with pytest.raises(DeployFailed, match="can't create a connected") as caught:
            orgs.deploy(plan, allowed=allowed, recheck=False)
    assert "kept ConnectedApp Portal with its old key" in caught.value.message
    after = rows("dev")
    assert after["Portal"]["consumerKey"] == before["Portal"]["consumerKey"]
    assert after["Portal"]["created"] == before["Portal"]["created"]


def test_an_org_that_creates_no_connected_apps_loses_none(runner, rows, project):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    before = rows("dev")["Portal"]["consumerKey"]
    path = project / "orgs/dev.yaml"
    raise_generation(path, "Portal", 2)
    blocked = "emulator: {connected_app_creation: blocked}\n"
    path.write_text(blocked + path.read_text())
    ran = runner("deploy", "dev", "--auto-approve", "--allow-interruption")
    assert ran.code == 1 and "lets nobody create connected apps (Portal)" in ran.err
    assert rows("dev")["Portal"]["consumerKey"] == before
