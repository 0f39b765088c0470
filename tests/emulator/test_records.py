"""Records of an org: what users may do with them, and what each rule refuses."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from deployer import Deployer, app, permission_set

from metadeploy.emulator.faults import Fault
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.sobjects import SOBJECTS, sobject, sobject_of_id
from metadeploy.emulator.state import OrgState, Plain, World
from metadeploy.model import Ref, id18


class Person:
    """A user of an org who does things with its records."""

    def __init__(self, org: OrgState, username: str = "") -> None:
        self.org = org
        users = org.records("User")
        self.id = next(
            (str(u["Id"]) for u in users if u["Username"] == username), admin_of(org)
        )

    def create(self, name: str, values: Mapping[str, Plain]) -> str:
        return self.org.create_record(name, values, as_user=self.id)

    def update(self, name: str, record_id: str, values: Mapping[str, Plain]) -> None:
        self.org.update_record(name, record_id, values, as_user=self.id)

    def delete(self, name: str, record_id: str) -> None:
        self.org.delete_record(name, record_id, as_user=self.id)

    def refused(self, name: str, values: Mapping[str, Plain]) -> Fault:
        before = self.org.records(name)
        with pytest.raises(Fault) as caught:
            self.create(name, values)
        assert self.org.records(name) == before
        return caught.value


@pytest.fixture
def admin(org: OrgState) -> Person:
    return Person(org)


NEW_USER = {
    "Username": "new@example.com",
    "FirstName": "Ada",
    "LastName": "New",
    "Alias": "new",
    "Email": "new@example.com",
}


def profile_id(org: OrgState, name: str = "Standard User") -> str:
    return next(str(p["Id"]) for p in org.records("Profile") if p["Name"] == name)


# -- users


def test_a_user_is_created_changed_and_deactivated(admin: Person, world: World) -> None:
    org = admin.org
    user_id = admin.create("User", {**NEW_USER, "ProfileId": profile_id(org)})
    record = org.record("User", user_id)
    assert record
    assert (record["Name"], record["IsActive"]) == ("Ada New", True)
    assert record["CreatedById"] == admin.id
    admin.update("User", user_id, {"Username": "newer@example.com", "LastName": "Er"})
    found = world.user_by_username("NEWER@example.com")
    assert found
    assert found[1]["Name"] == "Ada Er"
    assert world.user_by_username("new@example.com") is None
    token = org.issue_token(user_id)
    admin.update("User", user_id, {"IsActive": "false"})
    assert world.org_of_token(token) is None


def test_usernames_are_unique_in_the_world(admin: Person, world: World) -> None:
    world.create_org("other")
    values = {**NEW_USER, "ProfileId": profile_id(admin.org)}
    fault = admin.refused("User", {**values, "Username": "Admin@other.emulated"})
    assert fault.code == "DUPLICATE_USERNAME"
    user_id = admin.create("User", values)
    with pytest.raises(Fault, match="DUPLICATE_USERNAME"):
        admin.update("User", user_id, {"Username": "user@other.emulated"})
    assert world.user_by_username("new@example.com")
    fault = admin.refused("User", {**values, "Username": "nonsense"})
    assert fault.code == "INVALID_EMAIL_ADDRESS"


# -- values


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"Nonsense": "x"}, "INVALID_FIELD", "No such column 'Nonsense'"),
        ({"UserType": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "not writeable"),
        ({"IsActive": "maybe"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "IsActive"),
        ({"ProfileId": "nonsense"}, "MALFORMED_ID", "ProfileId"),
        ({"ProfileId": "005000000000001"}, "FIELD_INTEGRITY_EXCEPTION", "ProfileId"),
        ({"ProfileId": "00e000000000001"}, "INVALID_CROSS_REFERENCE_KEY", "reference"),
        ({"LastName": ""}, "REQUIRED_FIELD_MISSING", r"\[LastName\]"),
        ({"LastName": "x" * 256}, "STRING_TOO_LONG", "max length=255"),
    ],
)
def test_values_are_checked(
    admin: Person, more: dict[str, str], code: str, message: str
) -> None:
    values = {**NEW_USER, "ProfileId": profile_id(admin.org), **more}
    fault = admin.refused("User", values)
    assert fault.code == code
    with pytest.raises(Fault, match=message):
        raise fault


def test_names_of_fields_and_sobjects_have_no_case(admin: Person) -> None:
    assert admin.create("permissionset", {"NAME": "P", "label": "P"})
    (record,) = [r for r in admin.org.records("PermissionSet") if r["Name"] == "P"]
    assert admin.org.record("PERMISSIONSET", str(record["Id"])[:15]) == record
    with pytest.raises(Fault, match="sObject type 'Nothing' is not supported"):
        admin.org.records("Nothing")


@pytest.mark.parametrize("name", ["Organization", "Profile", "ConnectedApplication"])
def test_some_sobjects_are_read_only(admin: Person, name: str) -> None:
    assert admin.refused(name, {}).code == "INVALID_TYPE_FOR_OPERATION"
    for record in admin.org.records(name)[:1]:
        with pytest.raises(Fault, match="does not support delete"):
            admin.delete(name, str(record["Id"]))
        with pytest.raises(Fault, match="does not support update"):
            admin.update(name, str(record["Id"]), {})


def test_records_that_are_not_there(admin: Person) -> None:
    assert admin.org.record("User", "nonsense") is None
    with pytest.raises(Fault, match="ENTITY_IS_DELETED"):
        admin.delete("SetupEntityAccess", id18("0J0000000000001"))
    with pytest.raises(Fault, match="MALFORMED_ID"):
        admin.delete("SetupEntityAccess", "nonsense")


# -- permission sets and assignments


def test_a_permission_set_record_is_metadata_too(admin: Person) -> None:
    org = admin.org
    record_id = admin.create(
        "PermissionSet",
        {"Name": "Api", "Label": "API", "PermissionsApiEnabled": True},
    )
    component = org.component(Ref("PermissionSet", "Api"))
    assert component
    assert component.id == record_id
    assert b"<name>ApiEnabled</name>" in component.body
    admin.update("PermissionSet", record_id, {"Name": "Web", "Description": "d"})
    assert org.component(Ref("PermissionSet", "Api")) is None
    renamed = org.component(Ref("PermissionSet", "Web"))
    assert renamed
    assert b"<description>d</description>" in renamed.body
    assert b"<name>ApiEnabled</name>" in renamed.body
    admin.delete("PermissionSet", record_id)
    assert org.component(Ref("PermissionSet", "Web")) is None


def test_licences_and_taken_names_of_permission_sets(admin: Person) -> None:
    org = admin.org
    licences = {str(r["Name"]): r["Id"] for r in org.records("UserLicense")}
    values = {"Name": "P", "Label": "P", "LicenseId": licences["Salesforce"]}
    record_id = admin.create("PermissionSet", values)
    component = org.component_by_id(record_id)
    assert component
    assert b"<license>Salesforce</license>" in component.body
    other = admin.create("PermissionSet", {"Name": "Q", "Label": "Q"})
    for name, code in [("P", "DUPLICATE_DEVELOPER_NAME"), ("1x", "INVALID_FIELD")]:
        with pytest.raises(Fault, match=code):
            admin.update("PermissionSet", other, {"Name": name})


def test_permissions_that_are_no_fields_stay(admin: Person) -> None:
    from deployer import permission

    content = permission("RunReports") + permission("ApiEnabled")
    Deployer(admin.org).deploy(
        {"permissionsets/P.permissionset": permission_set(content)}
    )
    component = admin.org.component(Ref("PermissionSet", "P"))
    assert component
    admin.update("PermissionSet", component.id, {"PermissionsApiEnabled": False})
    after = admin.org.component(Ref("PermissionSet", "P"))
    assert after
    assert b"RunReports" in after.body
    assert b"ApiEnabled" not in after.body


def test_an_assignment_gives_its_permissions_once(admin: Person) -> None:
    org = admin.org
    user = Person(org, "user@dev.emulated")
    assert "ModifyMetadata" not in org.permissions_of(user.id)
    set_id = admin.create(
        "PermissionSet",
        {"Name": "Deploy", "Label": "D", "PermissionsModifyMetadata": "true"},
    )
    values = {"PermissionSetId": set_id, "AssigneeId": user.id}
    assignment = admin.create("PermissionSetAssignment", values)
    assert "ModifyMetadata" in org.permissions_of(user.id)
    assert admin.refused("PermissionSetAssignment", values).code == "DUPLICATE_VALUE"
    with pytest.raises(Fault, match="DEPENDENCY_EXISTS"):
        admin.delete("PermissionSet", set_id)
    admin.delete("PermissionSetAssignment", assignment)
    assert "ModifyMetadata" not in org.permissions_of(user.id)
    admin.delete("PermissionSet", set_id)


def test_a_profiles_own_set_is_not_for_others(admin: Person) -> None:
    shadow = next(
        r for r in admin.org.records("PermissionSet") if r["IsOwnedByProfile"]
    )
    fault = admin.refused(
        "PermissionSetAssignment",
        {"PermissionSetId": shadow["Id"], "AssigneeId": admin.id},
    )
    assert fault.code == "FIELD_INTEGRITY_EXCEPTION"
    with pytest.raises(Fault, match="owned by a profile"):
        admin.delete("PermissionSet", str(shadow["Id"]))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PermissionSet", {"Name": "P", "Label": "P"}),
        ("SetupEntityAccess", {}),
        ("PermissionSetAssignment", {}),
        ("User", NEW_USER),
    ],
)
def test_others_than_administrators_may_not(
    org: OrgState, name: str, values: dict[str, str]
) -> None:
    deployer = Deployer(org)
    files = {
        "connectedApps/A.connectedApp": app(),
        "permissionsets/Q.permissionset": permission_set(label="Q"),
    }
    assert deployer.deploy(files).success
    set_id = org.components("PermissionSet")[0].id
    app_id = org.components("ConnectedApp")[0].id
    user = Person(org, "user@dev.emulated")
    more: dict[str, dict[str, Plain]] = {
        "SetupEntityAccess": {"ParentId": set_id, "SetupEntityId": app_id},
        "PermissionSetAssignment": {"PermissionSetId": set_id, "AssigneeId": user.id},
        "User": {"ProfileId": profile_id(org)},
    }
    fault = user.refused(name, {**values, **more.get(name, {})})
    assert fault.code == "INSUFFICIENT_ACCESS_OR_READONLY"


# -- access rows


def test_access_rows_need_something_to_open(admin: Person) -> None:
    set_id = admin.create("PermissionSet", {"Name": "P", "Label": "P"})
    for entity, code in [
        (admin.id, "FIELD_INTEGRITY_EXCEPTION"),
        ("0H4000000000001", "INVALID_CROSS_REFERENCE_KEY"),
    ]:
        values = {"ParentId": set_id, "SetupEntityId": entity}
        assert admin.refused("SetupEntityAccess", values).code == code


def test_access_rows_can_open_classes(org: OrgState, admin: Person) -> None:
    meta = '<ApexClass xmlns="http://soap.sforce.com/2006/04/metadata"/>'
    files = {"classes/A.cls": "class A {}", "classes/A.cls-meta.xml": meta}
    assert Deployer(org).deploy(files).success
    set_id = admin.create("PermissionSet", {"Name": "P", "Label": "P"})
    class_id = org.components("ApexClass")[0].id
    values = {"ParentId": set_id, "SetupEntityId": class_id}
    row = org.record("SetupEntityAccess", admin.create("SetupEntityAccess", values))
    assert row
    assert row["SetupEntityType"] == "ApexClass"


# -- what the org notes itself


def test_an_authorisation_is_revoked_with_its_record(
    org: OrgState, admin: Person, world: World
) -> None:
    user = Person(org, "user@dev.emulated")
    values = {"AppName": "Portal", "UserId": user.id}
    token_id = org.keep_record("OauthToken", values, by=user.id)
    refresh = org.issue_token(user.id, refresh=True, grant_id=token_id)
    user.delete("OauthToken", token_id)
    assert world.org_of_token(refresh, kind="refresh") is None
    assert org.records("OauthToken") == []
    other = org.keep_record("OauthToken", {**values, "UserId": admin.id}, by=admin.id)
    with pytest.raises(Fault, match="insufficient access"):
        user.delete("OauthToken", other)
    admin.delete("OauthToken", other)


# -- tables


def test_every_sobject_is_described(org: OrgState) -> None:
    for name in org.sobjects():
        table = org.describe(name)
        assert table.fields[0].name == "Id"
        assert sobject(name.upper()) is table
        for field in table.fields:
            assert table.by_name[field.name.lower()] is field
            for target in field.reference_to:
                assert target in SOBJECTS
        for relation in table.children:
            child = SOBJECTS[relation.sobject].by_name[relation.field.lower()]
            assert not child.reference_to or name in child.reference_to
        for record in org.records(name):
            assert list(record) == [f.name for f in table.fields]


def test_an_id_tells_its_sobject(org: OrgState) -> None:
    found = sobject_of_id(admin_of(org))
    assert found
    assert found.name == "User"
    assert sobject_of_id("zzz") is None
