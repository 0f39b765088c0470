"""Profiles and permission sets in an org: overlay, replacement, sections, refusals."""

from __future__ import annotations

import pytest
from deployer import (
    XMLNS,
    Deployer,
    manifest,
    permission,
    permission_set,
    profile,
    row_of,
)
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.emulator import records
from metadeploy.emulator.profiles import (
    STANDARD_PROFILES,
    built_in_body,
    display_name,
    full_name_of,
    overlay,
    settled,
)
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.tree import Tree, parse, text, tree_of, trees
from metadeploy.model import Ref

ADMIN = "profiles/Admin.profile"
SALES = "profiles/Sales.profile"
SET = "permissionsets/P.permissionset"


@pytest.fixture
def deployer(org: OrgState) -> Deployer:
    return Deployer(org)


def granted(file: str) -> set[str]:
    items = trees(tree_of(parse(file.encode())), "userPermissions")
    assert all(text(item, "enabled") == "true" for item in items)
    return {text(item, "name") for item in items}


def tab(name: str, visibility: str = "DefaultOn") -> str:
    return (
        f"<tabVisibilities><tab>{name}</tab><visibility>{visibility}</visibility>"
        "</tabVisibilities>"
    )


def objects(name: str, read: str = "true", create: str = "false") -> str:
    return (
        f"<objectPermissions><allowCreate>{create}</allowCreate><allowDelete>false"
        f"</allowDelete><allowEdit>false</allowEdit><allowRead>{read}</allowRead>"
        f"<modifyAllRecords>false</modifyAllRecords><object>{name}</object>"
        "<viewAllRecords>false</viewAllRecords></objectPermissions>"
    )


CUSTOM_OBJECT = {
    "objects/Thing__c.object": (
        f"<CustomObject {XMLNS}><fields><fullName>A__c</fullName><label>A</label>"
        "<type>Text</type></fields><recordTypes><fullName>Big</fullName>"
        "</recordTypes><label>Thing</label></CustomObject>"
    )
}


# -- profiles


def test_a_profile_deploy_changes_what_it_names_only(deployer: Deployer) -> None:
    before = granted(
        deployer.retrieve({"Profile": ("Standard",)})["profiles/Standard.profile"]
    )
    assert "ApiEnabled" in before
    sent = profile(permission("ApiEnabled", "false") + permission("ViewRoles"))
    job = deployer.deploy({"profiles/Standard.profile": sent})
    assert (row_of(job, "Standard").created, row_of(job, "Standard").changed) == (
        False,
        True,
    )
    after = granted(
        deployer.retrieve({"Profile": ("Standard",)})["profiles/Standard.profile"]
    )
    assert after == before - {"ApiEnabled"} | {"ViewRoles"}
    assert not row_of(
        deployer.deploy({"profiles/Standard.profile": sent}), "Standard"
    ).changed


def test_permissions_of_users_follow_their_profile(deployer: Deployer) -> None:
    org = deployer.org
    user = next(u for u in org.records("User") if "user@" in str(u["Username"]))
    assert "ApiEnabled" in org.permissions_of(str(user["Id"]))
    sent = profile(permission("ApiEnabled", "false"))
    deployer.deploy({"profiles/Standard.profile": sent})
    assert "ApiEnabled" not in org.permissions_of(str(user["Id"]))
    record = org.record("Profile", str(user["ProfileId"]))
    assert record
    assert record["PermissionsApiEnabled"] is False


@pytest.mark.parametrize(
    ("version", "origin"),
    [("66.0", "Minimum Access - Salesforce"), ("59.0", "Standard")],
)
def test_a_new_profile_begins_as_another(
    deployer: Deployer, version: str, origin: str
) -> None:
    sent = profile("<userLicense>Salesforce</userLicense>" + permission("ViewRoles"))
    job = deployer.deploy({SALES: sent}, version=version)
    assert row_of(job, "Sales").created
    file = deployer.retrieve({"Profile": ("Sales",)})[SALES]
    inherited = granted(built_in_body(origin).decode())
    assert granted(file) == inherited | {"ViewRoles"}
    assert "<custom>true</custom>" in file
    names = {str(p["Name"]) for p in deployer.org.records("Profile")}
    assert "Sales" in names
    component = deployer.org.component(Ref("Profile", "Sales"))
    assert component
    assert records.shadow_of(deployer.org, component.id)


def test_the_licence_of_a_new_profile_must_be_there(deployer: Deployer) -> None:
    sent = profile("<userLicense>Gold</userLicense>")
    assert deployer.problem({SALES: sent}) == (
        "In field: userLicense - no UserLicense named Gold found"
    )


def test_a_profile_is_not_called_as_people_call_it(deployer: Deployer) -> None:
    path = "profiles/System Administrator.profile"
    assert deployer.problem({path: profile()}).startswith("duplicate value found")


def test_an_encoded_profile_name_is_shown_decoded(deployer: Deployer) -> None:
    name = "Custom%3A Sales"
    deployer.deploy({f"profiles/{name}.profile": profile()})
    assert "Custom: Sales" in {p["Name"] for p in deployer.org.records("Profile")}


def test_only_named_sections_come_back(deployer: Deployer) -> None:
    assert deployer.deploy(CUSTOM_OBJECT).success
    content = (
        objects("Thing__c")
        + tab("Thing__c")
        + tab("standard-Account")
        + (
            "<fieldPermissions><editable>false</editable><field>Thing__c.A__c</field>"
            "<readable>true</readable></fieldPermissions>"
            "<loginIpRanges><endAddress>10.0.0.9</endAddress><startAddress>10.0.0.1"
            "</startAddress></loginIpRanges>"
            "<recordTypeVisibilities><default>true</default><recordType>Thing__c.Big"
            "</recordType><visible>true</visible></recordTypeVisibilities>"
        )
    )
    assert deployer.deploy({SALES: profile(content)}).success
    alone = deployer.retrieve({"Profile": ("Sales",)})[SALES]
    assert "<loginIpRanges>" in alone
    assert "<userPermissions>" in alone
    for section in ("objectPermissions", "tabVisibilities", "fieldPermissions"):
        assert section not in alone
    beside = deployer.retrieve({"Profile": ("Sales",), "CustomObject": ("Thing__c",)})
    for section in (
        "objectPermissions",
        "tabVisibilities",
        "fieldPermissions",
        "recordTypeVisibilities",
    ):
        assert f"<{section}>" in beside[SALES]
    assert "standard-Account" not in beside[SALES]
    starred = deployer.retrieve(
        {"Profile": ("Sales",), "CustomObject": ("*",), "CustomTab": ("*",)}
    )
    assert "<objectPermissions>" in starred[SALES]
    field = deployer.retrieve(
        {"Profile": ("Sales",), "CustomField": ("Thing__c.A__c",)}
    )
    assert "<fieldPermissions>" in field[SALES]
    assert "objectPermissions" not in field[SALES]


def test_what_comes_back_can_be_deployed_without_change(deployer: Deployer) -> None:
    file = deployer.retrieve({"Profile": ("Admin",)})[ADMIN]
    job = deployer.deploy({ADMIN: file})
    assert job.success
    assert not row_of(job, "Admin").changed


def test_standard_profiles_keep_standard_object_permissions(
    deployer: Deployer,
) -> None:
    members = {"Profile": ("Admin",), "CustomObject": ("Account",)}
    assert deployer.deploy({ADMIN: profile(objects("Account"))}).success
    assert "objectPermissions" not in deployer.retrieve(members)[ADMIN]
    old = deployer.deploy({ADMIN: profile(objects("Account"))}, version="49.0")
    assert old.success
    assert "objectPermissions" in deployer.retrieve(members)[ADMIN]


def test_trusted_addresses_are_replaced_as_a_whole(deployer: Deployer) -> None:
    def ranges(*ends: str) -> str:
        return profile(
            "".join(
                f"<loginIpRanges><endAddress>10.0.0.{end}</endAddress>"
                "<startAddress>10.0.0.1</startAddress></loginIpRanges>"
                for end in ends
            )
        )

    deployer.deploy({SALES: ranges("5", "6")})
    deployer.deploy({SALES: ranges("7")})
    file = deployer.retrieve({"Profile": ("Sales",)})[SALES]
    assert file.count("<loginIpRanges>") == 1
    assert "10.0.0.7" in file


def test_a_custom_profile_can_be_deleted_when_nobody_has_it(
    deployer: Deployer,
) -> None:
    def deletion(name: str) -> dict[str, str]:
        return {
            "package.xml": manifest({}),
            "destructiveChanges.xml": manifest({"Profile": (name,)}),
        }

    assert deployer.problem(deletion("Admin")).startswith("You cannot delete")
    deployer.deploy({SALES: profile()})
    before = len(deployer.org.records("PermissionSet"))
    assert deployer.deploy(deletion("Sales")).success
    assert len(deployer.org.records("PermissionSet")) == before - 1
    deployer.deploy({SALES: profile()})
    component = deployer.org.component(Ref("Profile", "Sales"))
    assert component
    user = next(
        u for u in deployer.org.records("User") if "user@" in str(u["Username"])
    )
    deployer.org.update_record(
        "User",
        str(user["Id"]),
        {"ProfileId": component.id},
        as_user=admin_of(deployer.org),
    )
    assert "assigned to users" in deployer.problem(deletion("Sales"))


# -- permission sets


def test_a_permission_set_deploy_replaces_all(deployer: Deployer) -> None:
    deployer.deploy(
        {SET: permission_set(permission("ApiEnabled") + permission("ViewRoles"))}
    )
    deployer.deploy({SET: permission_set(permission("ViewRoles"))})
    file = deployer.retrieve({"PermissionSet": ("P",)})[SET]
    assert granted(file) == {"ViewRoles"}
    (record,) = [r for r in deployer.org.records("PermissionSet") if r["Name"] == "P"]
    assert record["PermissionsApiEnabled"] is False


def test_before_api_40_it_overlays(deployer: Deployer) -> None:
    deployer.deploy({SET: permission_set(permission("ApiEnabled"))})
    deployer.deploy({SET: permission_set(permission("ViewRoles"))}, version="39.0")
    file = deployer.retrieve({"PermissionSet": ("P",)})[SET]
    assert granted(file) == {"ApiEnabled", "ViewRoles"}


def test_what_is_not_granted_does_not_come_back(deployer: Deployer) -> None:
    content = objects("Account", read="false") + objects("Contact")
    deployer.deploy({SET: permission_set(content + permission("ViewRoles", "false"))})
    file = deployer.retrieve({"PermissionSet": ("P",)})[SET]
    assert "Account" not in file
    assert "<object>Contact</object>" in file
    assert "userPermissions" not in file
    assert "<hasActivationRequired>false</hasActivationRequired>" in file


def test_field_permissions_come_back_when_they_say_something(
    deployer: Deployer,
) -> None:
    def field(name: str, readable: str) -> str:
        return (
            f"<fieldPermissions><editable>false</editable><field>{name}</field>"
            f"<readable>{readable}</readable></fieldPermissions>"
        )

    every = objects("Contact").replace(
        "</object>", "</object><viewAllFields>true</viewAllFields>"
    )
    content = (
        field("Account.Phone", "true")
        + field("Account.Fax", "false")
        + field("Contact.Phone", "true")
        + every
    )
    deployer.deploy({SET: permission_set(content)})
    file = deployer.retrieve({"PermissionSet": ("P",)})[SET]
    assert "<field>Account.Phone</field>" in file
    assert "Account.Fax" not in file
    assert "Contact.Phone" not in file
    old = deployer.retrieve(
        {"PermissionSet": ("P",), "CustomObject": ("Contact",)}, version=39.0
    )[SET]
    assert "<object>Contact</object>" in old
    assert "viewAllFields" not in old
    assert "Account" not in old


@pytest.mark.parametrize("name", ["1st", "a__b", "ends_", "with-dash"])
def test_names_are_checked(deployer: Deployer, name: str) -> None:
    path = f"permissionsets/{name}.permissionset"
    problem = deployer.problem({path: permission_set()})
    assert problem.startswith("The Permission Set API Name can only contain")


def test_label_and_licence_are_checked(deployer: Deployer) -> None:
    assert deployer.problem({SET: permission_set(label="x" * 81)}).startswith(
        "Label: data value too large"
    )
    assert deployer.problem({SET: permission_set("<license>Gold</license>")}) == (
        "In field: license - no UserLicense named Gold found"
    )
    licensed = permission_set("<license>Salesforce</license>")
    assert deployer.deploy({SET: licensed}).success


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "<classAccesses><apexClass>A</apexClass><enabled>true</enabled>"
            "</classAccesses>",
            "In field: apexClass - no ApexClass named A found",
        ),
        (
            "<fieldPermissions><editable>true</editable><field>Account.B__c</field>"
            "<readable>true</readable></fieldPermissions>",
            "In field: field - no CustomField named Account.B__c found",
        ),
        (
            objects("Nothing__c"),
            "In field: object - no CustomObject named Nothing__c found",
        ),
        (
            "<tabSettings><tab>Nothing__c</tab><visibility>Visible</visibility>"
            "</tabSettings>",
            "In field: tab - no CustomTab named Nothing__c found",
        ),
    ],
)
def test_what_is_named_must_be_there(
    deployer: Deployer, world: World, content: str, problem: str
) -> None:
    assert deployer.problem({SET: permission_set(content)}) == problem
    lenient = Deployer(world.create_org("lenient", OrgSettings(check_references=False)))
    assert lenient.deploy({SET: permission_set(content)}).success


def test_what_belongs_to_a_package_or_is_standard_counts_as_there(
    deployer: Deployer,
) -> None:
    content = (
        "<classAccesses><apexClass>ns__A</apexClass><enabled>true</enabled>"
        "</classAccesses>"
        "<fieldPermissions><editable>true</editable><field>Account.Phone</field>"
        "<readable>true</readable></fieldPermissions>"
        + objects("Account")
        + objects("ns__Thing__c")
    )
    assert deployer.deploy({SET: permission_set(content)}).success


def test_dependencies_between_permissions(deployer: Deployer) -> None:
    problem = deployer.problem({SET: permission_set(permission("ManageUsers"))})
    assert problem == "Permission ManageUsers depends on permission(s): ViewSetup"
    content = permission_set(permission("ManageUsers") + permission("ViewSetup"))
    assert deployer.deploy({SET: content}).success
    # A profile is judged as it becomes, not by the file alone.
    admin = profile(permission("ViewAllData", "false"))
    assert deployer.problem({ADMIN: admin}) == (
        "Permission ModifyAllData depends on permission(s): ViewAllData"
    )


# -- laws of the overlay

KEYS = st.sampled_from(["A", "B", "C"])
PERMISSIONS = st.lists(
    st.tuples(KEYS, st.sampled_from(["true", "false"])), max_size=4
).map(lambda pairs: dict(pairs))


def tree(given_permissions: dict[str, str]) -> Tree:
    items: Tree = {
        "userPermissions": [
            {"enabled": [enabled], "name": [name]}
            for name, enabled in given_permissions.items()
        ]
    }
    return items if given_permissions else {}


@given(PERMISSIONS, PERMISSIONS)
def test_the_overlay_is_a_dictionary_update(
    old: dict[str, str], new: dict[str, str]
) -> None:
    merged = overlay(tree(old), tree(new), "Profile")
    got = {
        text(i, "name"): text(i, "enabled") for i in trees(merged, "userPermissions")
    }
    assert got == {**old, **new}
    assert overlay(merged, tree(new), "Profile") == merged


@given(PERMISSIONS)
def test_what_is_settled_stays_settled(given_permissions: dict[str, str]) -> None:
    once = settled(tree(given_permissions), "Profile")
    assert settled(once, "Profile") == once
    names = [text(i, "name") for i in trees(once, "userPermissions")]
    assert names == sorted(n for n, e in given_permissions.items() if e == "true")


def test_standard_profiles_have_two_names() -> None:
    assert display_name("Admin") == "System Administrator"
    assert full_name_of("System Administrator") == "Admin"
    assert display_name("Sales") == full_name_of("Sales") == "Sales"
    assert built_in_body("Sales") == b""
    for standard in STANDARD_PROFILES:
        assert full_name_of(display_name(standard.full_name)) == standard.full_name
