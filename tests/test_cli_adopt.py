"""adopt and migrate, on emulated orgs."""

from __future__ import annotations

import shutil

import pytest
from apps import edit
from test_cli_external_apps import ALL_ECA

PORTAL = "templates/connectedApps/Portal.connectedApp.j2"


@pytest.fixture
def unmanaged(runner, project):
    """Orgs dev and uat with the example's apps in them, and no template of them."""
    assert runner("deploy", "dev", "uat", "--auto-approve").code == 0
    shutil.rmtree(project / "templates")
    (project / "templates").mkdir()
    return project


def test_an_adopted_app_plans_empty(runner, unmanaged):
    ran = runner("adopt", "dev", "--app", "Portal", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["written"] == [PORTAL]
    text = (unmanaged / PORTAL).read_text()
    assert "consumerKey" not in text and "{{" not in text
    assert "<profileName>System Administrator</profileName>" in text
    planned = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (planned.code, planned.json["orgs"][0]["changes"]) == (0, [])
    keys = runner("keys", "list", "dev", "--json").json["orgs"][0]["apps"]
    assert [k["app"] for k in keys] == ["Portal"]


def test_what_differs_between_orgs_becomes_values(runner, unmanaged):
    before = (unmanaged / "orgs/uat.yaml").read_text()
    ran = runner("adopt", "dev", "uat", "--app", "Portal", "--app", "Billing")
    assert ran.code == 0, ran.err
    assert "  + orgs/dev.yaml" in ran.out
    assert "The templates are for every org: to leave out prod" in ran.err
    text = (unmanaged / PORTAL).read_text()
    assert "<callbackUrl>{{ Portal.oauthConfig.callbackUrl }}</callbackUrl>" in text
    assert "<label>Portal</label>" in text
    after = (unmanaged / "orgs/uat.yaml").read_text()
    assert after.startswith(before.split("values:")[0])
    assert "https://uat.portal.acme.example/oauth/callback" in after
    planned = runner("plan", "dev", "uat", "--json", "--detailed-exitcode")
    assert (planned.code, [o["changes"] for o in planned.json["orgs"]]) == (0, [[], []])


def test_an_external_client_app_is_adopted(runner, project):
    edit(project / "orgs/dev.yaml", "values:", ALL_ECA + "values:")
    assert runner("deploy", "dev", "--auto-approve").code == 0
    shutil.rmtree(project / "templates")
    edit(project / "orgs/dev.yaml", ALL_ECA, "")
    ran = runner("adopt", "dev", "--app", "Portal", "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json["written"]) == 5
    assert "No org gives back the certificate of Portal" in ran.json["notes"][0]
    planned = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (planned.code, planned.json["orgs"][0]["changes"]) == (0, [])


def test_what_cannot_be_adopted(runner, project):
    ran = runner("adopt", "dev", "--app", "Nope")
    assert ran.code == 1
    assert "has no connected app or External Client App 'Nope'" in ran.err
    runner("deploy", "dev", "--auto-approve")
    ran = runner("adopt", "dev", "--app", "Portal")
    assert ran.code == 1
    assert f"{PORTAL} is there already: nothing is written" in ran.err


def test_an_app_that_the_org_does_not_give_is_not_planned_as_new(runner, project):
    """Salesforce CLI is in every org, and no retrieve returns it."""
    ran = runner("adopt", "dev", "--app", "Salesforce_CLI")
    assert ran.code == 1
    assert "the org has a ConnectedApp Salesforce_CLI, and does not give it" in ran.err
    (project / PORTAL).rename(project / PORTAL.replace("Portal.", "Salesforce_CLI."))
    ran = runner("plan", "dev")
    assert ran.code == 1
    assert "Its access can be declared in profiles" in ran.err


def test_an_app_of_two_kinds_is_not_adopted_as_one(runner, project):
    edit(project / "orgs/dev.yaml", "values:", ALL_ECA + "values:")
    assert runner("deploy", "dev", "uat", "--auto-approve").code == 0
    shutil.rmtree(project / "templates")
    ran = runner("adopt", "dev", "uat", "--app", "Portal")
    assert ran.code == 1 and "Adopt the orgs one by one." in ran.err


def test_migrate_says_what_is_lost_and_changes_the_org_file(runner, project):
    edit(
        project / PORTAL,
        "    <startUrl>",
        "    <mobileStartUrl>https://m.acme.example</mobileStartUrl>\n    <startUrl>",
    )
    before = (project / "orgs/dev.yaml").read_text()
    dry = runner("migrate", "dev", "--app", "Portal", "--dry-run", "--json")
    assert [row["element"] for row in dry.json["lost"]] == ["mobileStartUrl"]
    assert (project / "orgs/dev.yaml").read_text() == before
    ran = runner("migrate", "dev", "--app", "Portal")
    assert ran.code == 0
    assert "mobileStartUrl of Portal is not carried over" in ran.out
    text = (project / "orgs/dev.yaml").read_text()
    assert text.startswith("# An emulated org") and "external_client_app" in text
    assert runner("deploy", "dev", "--auto-approve").code == 0
    ran = runner("migrate", "dev", "--app", "Nope")
    assert ran.code == 1 and "no template makes a ConnectedApp Nope" in ran.err


def test_the_other_kind_of_the_same_name_is_refused_before_anything_is_sent(
    runner, project
):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("migrate", "dev", "--app", "Portal").code == 0
    (refusal,) = runner("plan", "dev", "--json").json["orgs"][0]["refusals"]
    assert refusal["code"] == "collision"
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert "An org cannot have both kinds under one name." in ran.err
