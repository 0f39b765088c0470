"""What users may do with an org's records: each sObject's rules, each refusal.

Source: Object Reference pages of each sObject (documented) where not said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from metadeploy.emulator import ids, profiles, records, trail
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.sobjects import PERMISSION_FIELDS, SOBJECTS, SField, SObject
from metadeploy.emulator.tree import Tree, leaf_tree, parse, tree_of, write_file
from metadeploy.model import Ref, id18

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState, Plain, Record, StoredComponent

    _Values = Mapping[str, Plain]


def require(org: OrgState, user_id: str, *any_of: str) -> None:
    """Raise Fault INSUFFICIENT_ACCESS_OR_READONLY unless the user has one of these.

    "ModifyAllData" is not implied. The text is recalled.
    """
    if not records.permissions_of(org, user_id) & set(any_of):
        raise Fault(
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "insufficient access rights on object id",
        )


def create(
    org: OrgState, table: SObject, values: Mapping[str, Plain], user_id: str
) -> str:
    """Create a record by its sObject's rules. Raises Fault."""
    rule = _CREATE.get(table.name)
    if rule is None:
        raise _unsupported(table, "create")
    checked = _checked(org, table, values, for_insert=True)
    missing = [
        name for name in _REQUIRED[table.name] if checked.get(name) in (None, "")
    ]
    if missing:
        raise Fault(
            "REQUIRED_FIELD_MISSING",
            f"Required fields are missing: [{', '.join(missing)}]",
            fields=tuple(missing),
        )
    record_id = rule(org, checked, user_id)
    org.log("record created", sobject=table.name, id=record_id, by=user_id)
    return record_id


def update(
    org: OrgState,
    table: SObject,
    record_id: str,
    values: Mapping[str, Plain],
    user_id: str,
) -> None:
    """Change fields of a record by its sObject's rules. Raises Fault."""
    rule = _UPDATE.get(table.name)
    if rule is None:
        raise _unsupported(table, "update")
    record = _existing(org, table, record_id)
    checked = _checked(org, table, values, for_insert=False)
    rule(org, record, checked, user_id)
    org.log("record updated", sobject=table.name, id=str(record["Id"]), by=user_id)


def delete(org: OrgState, table: SObject, record_id: str, user_id: str) -> None:
    """Delete a record by its sObject's rules. Raises Fault."""
    rule = _DELETE.get(table.name)
    if rule is None:
        raise _unsupported(table, "delete")
    record = _existing(org, table, record_id)
    rule(org, record, user_id)
    org.log("record deleted", sobject=table.name, id=str(record["Id"]), by=user_id)


def _unsupported(table: SObject, call: str) -> Fault:
    # Recalled wording; that SetupEntityAccess knows no update is documented.
    return Fault(
        "INVALID_TYPE_FOR_OPERATION",
        f"entity type {table.name} does not support {call}",
        status=405,
    )


def _existing(org: OrgState, table: SObject, record_id: str) -> Record:
    try:
        record = records.one_record(org, table, id18(record_id))
    except ValueError:
        raise Fault(
            "MALFORMED_ID", f"{table.name} ID: id value of incorrect type: {record_id}"
        ) from None
    if record is None:
        raise Fault("ENTITY_IS_DELETED", "entity is deleted", status=404)
    return record


def _checked(
    org: OrgState, table: SObject, values: Mapping[str, Plain], *, for_insert: bool
) -> dict[str, Plain]:
    checked: dict[str, Plain] = {}
    for name, value in values.items():
        field = table.by_name.get(name.lower())
        if field is None:
            raise Fault(
                "INVALID_FIELD",
                f"No such column '{name}' on sobject of type {table.name}",
            )
        if not (field.createable if for_insert else field.updateable):
            raise Fault(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Field is not writeable: {table.name}.{field.name}",
                fields=(field.name,),
            )
        checked[field.name] = _converted(table, field, value)
        if field.type == "reference" and checked[field.name]:
            _check_reference(org, field, str(checked[field.name]))
    return checked


def _converted(table: SObject, field: SField, value: Plain) -> Plain:
    if value is None or value == "":
        return None
    if field.type == "boolean":
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false", "1", "0"):
            return str(value).lower() in ("true", "1")
        raise Fault(
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            f"{field.name}: value not of required type: {value}",
            fields=(field.name,),
        )
    if field.type == "reference":
        try:
            return id18(str(value))
        except ValueError:
            raise Fault(
                "MALFORMED_ID",
                f"{field.name}: id value of incorrect type: {value}",
                fields=(field.name,),
            ) from None
    text = str(value)
    if field.length and len(text) > field.length:
        raise Fault(
            "STRING_TOO_LONG",
            f"{field.name}: data value too large: {text[:80]}"
            f" (max length={field.length})",
            fields=(field.name,),
        )
    return text


def _check_reference(org: OrgState, field: SField, value: str) -> None:
    for target in field.reference_to:
        if value[:3] != SOBJECTS[target].key_prefix:
            raise Fault(
                "FIELD_INTEGRITY_EXCEPTION",
                f"{field.name}: id value of incorrect type: {value}",
                fields=(field.name,),
            )
        if records.raw(org, target, value) is None:
            raise Fault(
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                fields=(field.name,),
            )


# -- one rule a call and sObject

_REQUIRED = {
    "User": ("Username", "LastName", "Alias", "Email", "ProfileId"),
    "PermissionSet": ("Name", "Label"),
    "PermissionSetAssignment": ("PermissionSetId", "AssigneeId"),
    "SetupEntityAccess": ("ParentId", "SetupEntityId"),
}
_USERNAME = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def _create_access(org: OrgState, values: Mapping[str, Plain], user_id: str) -> str:
    require(org, user_id, "ManageProfilesPermissionsets", "CustomizeApplication")
    parent, entity = str(values["ParentId"]), str(values["SetupEntityId"])
    if entity[:3] not in records.ENTITY_TYPES:
        raise Fault(
            "FIELD_INTEGRITY_EXCEPTION",
            f"SetupEntityId: id value of incorrect type: {entity}",
            fields=("SetupEntityId",),
        )
    known = org.component_by_id(entity) or org.record("ConnectedApplication", entity)
    if known is None:
        raise Fault(
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            fields=("SetupEntityId",),
        )
    for row in records.linked(org, "SetupEntityAccess", entity):
        if row["ParentId"] == parent:
            return _take_over(org, str(row["Id"]), user_id)
    trail.access(org, parent, entity, enabled=True, by=user_id)
    return records.grant_access(org, parent, entity, by=user_id)


def _take_over(org: OrgState, row_id: str, user_id: str) -> str:
    """Make a row that a deploy made one that was made by hand. Raises Fault.

    Inferred, both: no error for a second row is known, and Salesforce CLI and
    simple-salesforce are seen to create the row of an app whose file names the set.
    """
    row = records.raw(org, "SetupEntityAccess", row_id) or {}
    if not row.pop(records.BY_METADATA, False):
        raise Fault(
            "DUPLICATE_VALUE",
            "duplicate value found: ParentId, SetupEntityId duplicates value on"
            f" record with id: {row_id}",
        )
    records.save(org, "SetupEntityAccess", row_id, row, by=user_id)
    return row_id


def _delete_access(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "ManageProfilesPermissionsets", "CustomizeApplication")
    parent, entity = str(record["ParentId"]), str(record["SetupEntityId"])
    trail.access(org, parent, entity, enabled=False, by=user_id)
    records.erase(org, "SetupEntityAccess", str(record["Id"]))


def _create_assignment(org: OrgState, values: Mapping[str, Plain], user_id: str) -> str:
    require(org, user_id, "AssignPermissionSets", "ManageUsers")
    wanted, assignee = str(values["PermissionSetId"]), str(values["AssigneeId"])
    held = records.raw(org, "PermissionSet", wanted) or {}
    if held.get("IsOwnedByProfile"):
        # Inferred.
        raise Fault(
            "FIELD_INTEGRITY_EXCEPTION",
            "PermissionSet Assignment: You can't assign a permission set that is owned"
            " by a profile",
            fields=("PermissionSetId",),
        )
    for row in records.linked(org, "PermissionSetAssignment", assignee):
        if row["PermissionSetId"] == wanted:
            # Recalled.
            raise Fault(
                "DUPLICATE_VALUE",
                f"Duplicate PermissionSetAssignment. Assignee: {assignee[:15]};"
                f" Permission Set: {wanted[:15]}",
            )
    return records.assign(org, wanted, assignee, by=user_id)


def _delete_assignment(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "AssignPermissionSets", "ManageUsers")
    records.erase(org, "PermissionSetAssignment", str(record["Id"]))


def _permission_set_tree(values: Mapping[str, Plain], tree: Tree) -> Tree:
    """Return the file's tree with what the record's fields say."""
    texts: dict[str, str] = {"label": str(values["Label"])}
    if values.get("Description"):
        texts["description"] = str(values["Description"])
    texts["hasActivationRequired"] = (
        "true" if values.get("HasActivationRequired") else "false"
    )
    said = {p: v for p in PERMISSION_FIELDS if (v := values.get(f"Permissions{p}"))}
    kept = profiles.granted(tree) - set(PERMISSION_FIELDS)
    whole: Tree = {**tree, **leaf_tree(texts)}
    whole.pop("userPermissions", None)
    if kept | set(said):
        whole["userPermissions"] = [
            {"enabled": ["true"], "name": [name]} for name in sorted(kept | set(said))
        ]
    return whole


def _create_permission_set(
    org: OrgState, values: Mapping[str, Plain], user_id: str
) -> str:
    require(org, user_id, "ManageProfilesPermissionsets", "ManageUsers")
    name = str(values["Name"])
    ref = Ref("PermissionSet", name)
    _check_api_name(name)
    if org.component(ref):
        raise Fault(
            "DUPLICATE_DEVELOPER_NAME",
            f"This Permission Set already exists or has been previously used: {name}."
            " Please choose a different name.",
            fields=("Name",),
        )
    tree = _permission_set_tree(values, {})
    if values.get("LicenseId"):
        named = records.raw(org, "UserLicense", str(values["LicenseId"])) or {}
        tree["license"] = [str(named.get("Name", ""))]
    record_id = org.put(ref, write_file("PermissionSet", tree), user_id=user_id)
    records.save_permission_set(org, record_id, name, tree, by=user_id)
    trail.written(org, ref, tree, created=True, by=user_id)
    return record_id


def _check_api_name(name: str) -> None:
    if not records.is_api_name(name):
        raise Fault("INVALID_FIELD", records.API_NAME_RULE, fields=("Name",))


def _update_permission_set(
    org: OrgState, record: Record, values: Mapping[str, Plain], user_id: str
) -> None:
    require(org, user_id, "ManageProfilesPermissionsets", "ManageUsers")
    component = _own_permission_set(org, record)
    name = str(values.get("Name") or record["Name"])
    _check_api_name(name)
    old_tree = tree_of(parse(component.body))
    tree = _permission_set_tree({**record, **values}, old_tree)
    if name != component.ref.full_name:
        if org.component(Ref("PermissionSet", name)):
            raise Fault("DUPLICATE_DEVELOPER_NAME", f"{name} is taken")
        org.remove(component.ref)
    org.put(
        Ref("PermissionSet", name),
        write_file("PermissionSet", tree),
        user_id=user_id,
        component_id=component.id,
    )
    records.save_permission_set(org, component.id, name, tree, by=user_id)
    trail.written(org, component.ref, tree, created=False, by=user_id)


def _delete_permission_set(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "ManageProfilesPermissionsets", "ManageUsers")
    component = _own_permission_set(org, record)
    problem = records.still_assigned(org, component.id)
    if problem:
        raise Fault("DEPENDENCY_EXISTS", problem)
    records.forget_permission_set(org, component.id)
    trail.deleted(org, component.ref, tree_of(parse(component.body)), by=user_id)
    org.remove(component.ref)


def _own_permission_set(org: OrgState, record: Record) -> StoredComponent:
    component = org.component_by_id(str(record["Id"]))
    if component is None:
        # Inferred: the permission set of a profile is changed through the profile.
        raise Fault(
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "You can't change a permission set that is owned by a profile",
        )
    return component


def _create_user(org: OrgState, values: Mapping[str, Plain], user_id: str) -> str:
    require(org, user_id, "ManageUsers")
    username = str(values["Username"])
    if not _USERNAME.fullmatch(username):
        raise Fault(
            "INVALID_EMAIL_ADDRESS",
            f"Username: invalid email address: {username}",
            fields=("Username",),
        )
    new_id = ids.new_id("User")
    if not org.claim("username", username.lower(), new_id):
        raise _duplicate_username()
    first = str(values.get("FirstName") or "")
    name = f"{first} {values['LastName']}".strip()
    stored = {"IsActive": True, **values, "Name": name, "UserType": "Standard"}
    records.save(org, "User", new_id, stored, by=user_id)
    return new_id


def _duplicate_username() -> Fault:
    # Recalled.
    return Fault(
        "DUPLICATE_USERNAME",
        "Duplicate Username.<br>The username already exists in this or another"
        " Salesforce organization. Usernames must be unique across all Salesforce"
        " organizations.",
        fields=("Username",),
    )


def _update_user(
    org: OrgState, record: Record, values: Mapping[str, Plain], user_id: str
) -> None:
    require(org, user_id, "ManageUsers")
    record_id = str(record["Id"])
    new_name = str(values.get("Username") or record["Username"])
    if new_name.lower() != str(record["Username"]).lower():
        org.release("username", record_id)
        if not org.claim("username", new_name.lower(), record_id):
            raise _duplicate_username()
    merged = {**record, **values}
    merged.pop("Id", None)
    merged["Name"] = f"{merged.get('FirstName') or ''} {merged['LastName']}".strip()
    records.save(org, "User", record_id, merged, by=user_id)
    if values.get("IsActive") is False:
        org.revoke_all(user_id=record_id)


def _delete_oauth_token(org: OrgState, record: Record, user_id: str) -> None:
    if record["UserId"] != user_id:
        require(org, user_id, "ManageUsers")
    org.revoke_grant(str(record["Id"]))
    records.erase(org, "OauthToken", str(record["Id"]))


_CREATE: Mapping[str, Callable[[OrgState, _Values, str], str]] = {
    "SetupEntityAccess": _create_access,
    "PermissionSetAssignment": _create_assignment,
    "PermissionSet": _create_permission_set,
    "User": _create_user,
}
_UPDATE: Mapping[str, Callable[[OrgState, Record, _Values, str], None]] = {
    "PermissionSet": _update_permission_set,
    "User": _update_user,
}
_DELETE: Mapping[str, Callable[[OrgState, Record, str], None]] = {
    "SetupEntityAccess": _delete_access,
    "PermissionSetAssignment": _delete_assignment,
    "PermissionSet": _delete_permission_set,
    "OauthToken": _delete_oauth_token,
}
