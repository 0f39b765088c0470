"""SetupAuditTrail: who made, changed and deleted what, and gave an app to whom."""

from __future__ import annotations

import pytest
from deployer import XMLNS, Deployer, app, manifest, permission, permission_set, profile

from metadeploy.emulator import record_rules, soql
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.rest_query import RestSource
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.sobjects import SOBJECTS
from metadeploy.emulator.state import OrgState
from metadeploy.model import Ref

APP = "connectedApps/Portal.connectedApp"
SET = "permissionsets/P.permissionset"


@pytest.fixture
def deployer(org: OrgState) -> Deployer:
    return Deployer(org)


def rows(org: OrgState) -> list[tuple[str, str]]:
    found = org.records("SetupAuditTrail")
    assert all(r["CreatedById"] == admin_of(org) and r["CreatedDate"] for r in found)
    return sorted((str(r["Action"]), str(r["Display"])) for r in found)


def test_what_a_deploy_does_is_told_once(deployer, org):
    files = {APP: app(label="The portal"), SET: permission_set(label="People")}
    assert deployer.deploy(files).status == "Succeeded"
    assert rows(org) == [
        ("PermSetCreateNoLicense", "Created permission set People: with no license"),
        ("insertApplication", "Created Connected App The portal"),
    ]
    deployer.deploy(files)
    assert len(rows(org)) == 2  # nothing has changed
    files[SET] = permission_set(permission("ApiEnabled"), label="People")
    files["profiles/Admin.profile"] = profile(permission("UseAnyApiClient"))
    deployer.deploy(files)
    assert [words for _, words in rows(org)][1:3] == [
        "Changed permission set People: its permissions",
        "Created Connected App The portal",
    ]
    assert ("profilePermChangedCustom", "Changed profile Admin: its permissions") in (
        rows(org)
    )


def test_a_deploy_that_fails_leaves_no_row(deployer, org):
    files = {SET: permission_set("<nothing/>"), "profiles/X.profile": profile()}
    assert deployer.deploy(files).status == "Failed"
    assert rows(org) == []


def test_a_license_is_named(deployer, org):
    licence = "<license>Salesforce</license>"
    body = f"<PermissionSet {XMLNS}><label>M</label>{licence}</PermissionSet>"
    assert deployer.deploy({SET: body}).status == "Succeeded"
    words = "Created permission set M: with user license Salesforce"
    assert rows(org) == [("PermSetCreate", words)]


def test_what_is_deleted(deployer, org):
    deployer.deploy({SET: permission_set(label="People")})
    gone = {
        "package.xml": manifest({}),
        "destructiveChanges.xml": manifest({"PermissionSet": ("P",)}),
    }
    assert deployer.deploy(gone).status == "Succeeded"
    assert ("PermSetDelete", "Deleted permission set People") in rows(org)


def test_records_tell_too(deployer, org):
    deployer.deploy({APP: app()})
    portal = org.component(Ref("ConnectedApp", "Portal"))
    admin = admin_of(org)
    sets, given = SOBJECTS["PermissionSet"], SOBJECTS["SetupEntityAccess"]
    made = record_rules.create(org, sets, {"Name": "P", "Label": "People"}, admin)
    record_rules.update(org, sets, made, {"Label": "Folk"}, admin)
    (whole,) = (
        r
        for r in org.records("PermissionSet")
        if r["IsOwnedByProfile"] and r["Name"] != "P"
        if org.component_by_id(str(r["ProfileId"])).ref.full_name == "Admin"
    )
    for holder in (made, str(whole["Id"])):
        values = {"ParentId": holder, "SetupEntityId": portal.id}
        row = record_rules.create(org, given, values, admin)
        record_rules.delete(org, given, row, admin)
    record_rules.delete(org, sets, made, admin)
    found = [words for _, words in rows(org)]
    for words in (
        "Created permission set People: with no license",
        "Changed permission set Folk: its permissions",
        "Changed permission set Folk: Portal connected app is enabled",
        "Changed permission set Folk: Portal connected app is disabled",
        "Changed profile System Administrator: Portal connected app is enabled",
        "Deleted permission set Folk",
    ):
        assert words in found
    access = "SetupEntityAccessAudit_{}_ConnectedApplication_{}"
    assert {action for action, _ in rows(org)} >= {
        access.format("PermissionSet", "Enabled"),
        access.format("Profile", "DisabledCustom"),
    }


def test_who_did_it_is_asked_for_but_not_what(deployer, org):
    deployer.deploy({SET: permission_set()})
    source, now = RestSource(org, tooling=False), org.world.clock()
    found = soql.query(
        "SELECT CreatedBy.Name, Display FROM SetupAuditTrail"
        " WHERE CreatedDate > 2020-01-01T00:00:00Z ORDER BY CreatedDate DESC",
        source,
        now=now,
    )
    assert len(found.rows) == 1
    with pytest.raises(Fault, match="can not be filtered"):
        soql.query(
            "SELECT Id FROM SetupAuditTrail WHERE Display LIKE '%P%'", source, now=now
        )
    with pytest.raises(Fault, match="SetupAuditTrail"):
        record_rules.create(org, SOBJECTS["SetupAuditTrail"], {}, admin_of(org))
