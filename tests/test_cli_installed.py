"""Apps of other orgs: access by records, and what API Access Control would cost."""

from __future__ import annotations

import json

import pytest
from apps import edit, emulated

from metadeploy.emulator.admission import approve
from metadeploy.emulator.apps import SALESFORCE_CLI
from metadeploy.emulator.seed import admin_of

INSTALLED = "installed_apps: [Salesforce CLI, Data Loader]"
CLI_ACCESS = """\
<?xml version="1.0" encoding="UTF-8"?>
<PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata">
    <connectedAppAccesses>
        <connectedApp>Salesforce CLI</connectedApp>
        <enabled>true</enabled>
    </connectedAppAccesses>
    <label>Developers</label>
</PermissionSet>
"""
SETTINGS = """\
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedAppSettings xmlns="http://soap.sforce.com/2006/04/metadata">
    <enableAdminApprovedAppsOnly>true</enableAdminApprovedAppsOnly>
    <enableSkipUserProvisioningWizardWelcomePage>true</enableSkipUserProvisioningWizardWelcomePage>
</ConnectedAppSettings>
"""
DEVELOPERS = "templates/permissionsets/Developers.permissionset.j2"


@pytest.fixture
def other_apps(project):
    """dev with apps of other orgs, and Salesforce CLI given to the Developers."""
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        f"\nemulator: {{api_access_control_available: true, {INSTALLED}}}\nvalues:",
    )
    (project / DEVELOPERS).write_text(CLI_ACCESS)
    return project


def access(ran):
    return [
        (c["action"], c["app"], c["holder"])
        for c in ran.json["orgs"][0]["changes"]
        if c["type"] == "ConnectedAppAccess" and c["app"] != "Portal"
    ]


def rows(project):
    """Who may use apps of other orgs, by records."""
    with emulated(project) as org:
        apps = {
            r["Id"]: r["Name"]
            for r in org.records("ConnectedApplication")
            if r["Name"] in ("Salesforce CLI", "Data Loader")
        }
        sets = {r["Id"]: r["Name"] for r in org.records("PermissionSet")}
        return [
            (apps[r["SetupEntityId"]], sets[r["ParentId"]])
            for r in org.records("SetupEntityAccess")
            if r["SetupEntityId"] in apps
        ]


def test_an_app_of_another_org_is_given_and_taken_by_records(runner, other_apps):
    planned = runner("plan", "dev", "--json")
    assert ("grant", "Salesforce CLI", "Developers") in access(planned)
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.out
    assert rows(other_apps) == [("Salesforce CLI", "Developers")]
    again = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (again.code, access(again)) == (0, [])
    edit(other_apps / DEVELOPERS, "<enabled>true", "<enabled>false")
    assert access(runner("plan", "dev", "--json")) == [
        ("revoke", "Salesforce CLI", "Developers")
    ]
    ran = runner("deploy", "dev", "--auto-approve", "--allow-revoke", "--json")
    assert ran.code == 0, ran.out
    assert rows(other_apps) == []
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_an_unknown_app_is_refused_before_anything_is_sent(runner, other_apps):
    edit(other_apps / DEVELOPERS, ">Salesforce CLI<", ">Salesforce_CLI<")
    (refusal,) = runner("plan", "dev", "--json").json["orgs"][0]["refusals"]
    assert refusal["code"] == "unknown-app"
    assert refusal["message"] == (
        f"{DEVELOPERS}:3: the org has no app called 'Salesforce_CLI'"
    )
    assert refusal["remedy"].startswith("Did you mean Salesforce CLI?")
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1 and "Nothing was sent" in ran.err
    with emulated(other_apps) as org:
        assert org.components("PermissionSet") == []
    # What nobody has need not be taken away.
    edit(other_apps / DEVELOPERS, "<enabled>true", "<enabled>false")
    assert runner("plan", "dev", "--json").json["orgs"][0]["refusals"] == []


def test_an_unknown_holder_is_refused_before_anything_is_sent(runner, other_apps):
    holder = "templates/profiles/Nobody.profile.j2"
    (other_apps / DEVELOPERS).unlink()
    text = CLI_ACCESS.replace("PermissionSet", "Profile")
    (other_apps / holder).write_text(
        text.replace("    <label>Developers</label>\n", "")
    )
    (refusal,) = runner("plan", "dev", "--json").json["orgs"][0]["refusals"]
    assert refusal["code"] == "unknown-holder"
    assert refusal["message"].startswith(f"{holder}:3: the org has 0 of Profile Nobody")


# -- API Access Control


@pytest.fixture
def lockdown(other_apps):
    folder = other_apps / "templates/settings"
    folder.mkdir()
    (folder / "ConnectedApp.settings.j2").write_text(SETTINGS)
    return other_apps


def use(project, username):
    """Let a user log in with Salesforce CLI once."""
    with emulated(project) as org:
        user_id = str(org.world.user_by_username(username)[1]["Id"])
        approve(org, SALESFORCE_CLI, user_id, ("api",))


def assign(project, name, username):
    with emulated(project) as org:
        (found,) = (r for r in org.records("PermissionSet") if r["Name"] == name)
        user_id = str(org.world.user_by_username(username)[1]["Id"])
        values = {"PermissionSetId": found["Id"], "AssigneeId": user_id}
        org.create_record("PermissionSetAssignment", values, as_user=admin_of(org))


def risks(ran):
    return [(r["code"], r["message"]) for r in ran.json["orgs"][0]["risks"]]


def test_the_plan_says_which_apps_would_stop(runner, lockdown):
    ran = runner("plan", "dev", "--json")
    found = risks(ran)
    assert found[0] == (
        "app-stops",
        "Data Loader would stop working: no profile or permission set has it",
    )
    assert [code for code, _ in found] == ["app-stops", "not-known"]
    # Nobody is known to use it, so nobody is known to lose anything.
    assert ran.json["orgs"][0]["refusals"] == []
    assert "  Risk: Data Loader would stop working" in runner("plan", "dev").out


def test_who_would_lose_access_is_named_and_refused(runner, lockdown):
    settings = lockdown / "templates/settings/ConnectedApp.settings.j2"
    kept = settings.read_text()
    settings.unlink()
    assert runner("deploy", "dev", "--auto-approve").code == 0
    use(lockdown, "user@dev.emulated")
    use(lockdown, "admin@dev.emulated")
    assign(lockdown, "Developers", "admin@dev.emulated")
    settings.write_text(kept)
    ran = runner("plan", "dev", "--json")
    assert (
        "users-lose-access",
        "Salesforce CLI: 1 of its 2 users would lose access: user@dev.emulated",
    ) in risks(ran)
    (refusal,) = ran.json["orgs"][0]["refusals"]
    assert (refusal["code"], refusal["flag"]) == (
        "api-access-control",
        "--allow-api-lockdown",
    )
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert "1 user would lose access to Salesforce CLI" in ran.err
    allowed = runner("deploy", "dev", "--auto-approve", "--allow-api-lockdown")
    assert allowed.code == 0, allowed.out + allowed.err
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    # What is on already is no risk any more.
    assert runner("plan", "dev", "--json").json["orgs"][0]["risks"] == []


def test_a_grant_in_the_same_plan_keeps_users_in(runner, lockdown):
    (lockdown / "templates/profiles/Standard.profile.j2").write_text(
        CLI_ACCESS.replace("PermissionSet", "Profile").replace(
            "    <label>Developers</label>\n", ""
        )
    )
    runner("emulator", "reset", "dev")
    use(lockdown, "user@dev.emulated")
    ran = runner("plan", "dev", "--json")
    assert [code for code, _ in risks(ran)] == ["app-stops", "not-known"]
    assert ran.json["orgs"][0]["refusals"] == []


def test_an_app_that_is_used_and_not_installed_stops(runner, lockdown):
    edit(lockdown / "orgs/dev.yaml", INSTALLED, "installed_apps: [Data Loader]")
    (lockdown / DEVELOPERS).unlink()
    runner("emulator", "reset", "dev")
    use(lockdown, "user@dev.emulated")
    assert (
        "app-stops",
        "Salesforce CLI would stop working: no profile or permission set has it;"
        " user@dev.emulated",
    ) in risks(runner("plan", "dev", "--json"))


def test_an_org_without_the_feature_refuses_the_setting(runner, lockdown):
    edit(lockdown / "orgs/dev.yaml", "api_access_control_available: true, ", "")
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert (
        "settings/ConnectedApp.settings.j2: ConnectedAppSettings ConnectedApp:"
        " Not available for deploy for this organization" in ran.err
    )


def test_a_saved_plan_keeps_its_risks(runner, lockdown):
    assert runner("plan", "dev", "--out", lockdown / "p.json").code == 0
    (plan,) = json.loads((lockdown / "p.json").read_text())["plans"]
    assert plan["risks"][0]["code"] == "app-stops"
    assert runner("deploy", "--plan", lockdown / "p.json", "--auto-approve").code == 0
