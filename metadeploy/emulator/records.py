"""The records of an org: how they are kept, and what may be done with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from metadeploy.emulator import ids, profiles
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.sobjects import PERMISSION_FIELDS, SOBJECTS, SField, SObject
from metadeploy.emulator.tree import Tree, leaf_tree, parse, tree_of, write_file
from metadeploy.model import Ref, id18

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState, Plain, Record

_AUDIT = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById")
# The field whose value finds a record again without reading all.
_LINKS = {
    "SetupEntityAccess": "SetupEntityId",
    "PermissionSetAssignment": "AssigneeId",
    "PermissionSet": "ProfileId",
    "OauthToken": "UserId",
    "ExtlClntAppOauthPlcyCnfg": "ExternalClientApplicationId",
}
# A row that a deploy made bears this; creating it by hand takes it over.
_BY_METADATA = "ByMetadata"
# SetupEntityAccess: what an app, class, … is called there, by key prefix.
_ENTITY_TYPES = {
    "0H4": "ConnectedApplication",
    "0xI": "ExternalClientApplication",
    "01p": "ApexClass",
    "066": "ApexPage",
    "0CP": "CustomPermission",
    "02u": "TabSet",
    "301": "FlowDefinition",
}


# -- keeping


def save(
    org: OrgState,
    name: str,
    record_id: str,
    values: Mapping[str, Plain],
    *,
    by: str,
) -> None:
    """Store a record, new or replaced, without asking any rule.

    by: the acting user's id, for the audit fields. The creation stays as it was.
    """
    from_before = _raw(org, name, record_id) or {}
    now = now_text(org)
    body: dict[str, Plain] = {k: v for k, v in values.items() if v is not None}
    body["CreatedDate"] = from_before.get("CreatedDate", now)
    body["CreatedById"] = from_before.get("CreatedById", by)
    body["LastModifiedDate"] = now
    body["LastModifiedById"] = by
    link = str(body.get(_LINKS.get(name, ""), ""))
    org.world.store.write(
        "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
        (org.key, name, record_id, json.dumps(body, separators=(",", ":")), link),
    )


def erase(org: OrgState, name: str, record_id: str) -> bool:
    """Forget a record; whether it was there."""
    return bool(
        org.world.store.write(
            "DELETE FROM records WHERE org = ? AND sobject = ? AND id = ?",
            (org.key, name, record_id),
        )
    )


def all_records(org: OrgState, table: SObject) -> list[Record]:
    """Return all records of an sObject, by id, each with all its fields."""
    rows = org.world.store.all(
        "SELECT id, body FROM records WHERE org = ? AND sobject = ? ORDER BY id",
        (org.key, table.name),
    )
    return [_record(table, str(i), json.loads(str(body))) for i, body in rows]


def one_record(org: OrgState, table: SObject, record_id: str) -> Record | None:
    """Return one record with all its fields, or None."""
    try:
        record_id = id18(record_id)
    except ValueError:
        return None
    raw = _raw(org, table.name, record_id)
    return _record(table, record_id, raw) if raw is not None else None


def linked(org: OrgState, name: str, value: str) -> list[Record]:
    """Return the records whose linking field (see `_LINKS`) holds `value`."""
    rows = org.world.store.all(
        "SELECT id, body FROM records WHERE org = ? AND sobject = ? AND link = ?"
        " ORDER BY id",
        (org.key, name, value),
    )
    return [_record(SOBJECTS[name], str(i), json.loads(str(body))) for i, body in rows]


def _raw(org: OrgState, name: str, record_id: str) -> dict[str, Plain] | None:
    row = org.world.store.one(
        "SELECT body FROM records WHERE org = ? AND sobject = ? AND id = ?",
        (org.key, name, record_id),
    )
    return cast("dict[str, Plain]", json.loads(str(row[0]))) if row else None


def _record(table: SObject, record_id: str, raw: Mapping[str, Plain]) -> Record:
    record: dict[str, Plain] = {"Id": record_id}
    for field in table.fields[1:]:
        record[field.name] = raw.get(
            field.name, False if field.type == "boolean" else None
        )
    if "SystemModstamp" in record:
        record["SystemModstamp"] = raw.get("LastModifiedDate")
    return record


def now_text(org: OrgState) -> str:
    """Return the time now as records hold it."""
    return date_after(org, days=0)


def date_after(org: OrgState, *, days: int) -> str:
    """Return the time that many days from now as records hold it."""
    return ids.timestamp(org.world.clock() + days * 86400)


# -- profiles, permission sets, access


def save_profile(
    org: OrgState,
    profile_id: str,
    *,
    name: str,
    license_id: str,
    permissions: Iterable[str],
    by: str,
) -> None:
    """Store a profile's record and the permission set that shadows it (§3)."""
    flags = profiles.permission_flags(frozenset(permissions))
    values = {"Name": name, "UserLicenseId": license_id, "UserType": "Standard"}
    save(org, "Profile", profile_id, {**values, **flags}, by=by)
    shadow = shadow_of(org, profile_id)
    shadow_id = str(shadow["Id"]) if shadow else ids.new_id("PermissionSet")
    shadow_values: dict[str, Plain] = {
        "Name": f"X{shadow_id[:15]}",
        "Label": f"{profile_id[:15]}",
        "LicenseId": license_id,
        "ProfileId": profile_id,
        "IsOwnedByProfile": True,
        "Type": "Profile",
    }
    save(org, "PermissionSet", shadow_id, {**shadow_values, **flags}, by=by)


def shadow_of(org: OrgState, profile_id: str) -> Record | None:
    """Return the permission set that stands for a profile."""
    found = linked(org, "PermissionSet", profile_id)
    return found[0] if found else None


def save_permission_set(
    org: OrgState, record_id: str, name: str, tree: Tree, *, by: str
) -> None:
    """Store the record of a permission set whose file says `tree`."""
    texts = {k: str(v[0]) for k, v in tree.items() if v and isinstance(v[0], str)}
    values: dict[str, Plain] = {
        "Name": name,
        "Label": texts.get("label", name),
        "Description": texts.get("description"),
        "IsCustom": True,
        "HasActivationRequired": texts.get("hasActivationRequired") == "true",
        "Type": "Session"
        if texts.get("hasActivationRequired") == "true"
        else "Regular",
        "LicenseId": license_id(org, texts.get("license", "")) or None,
    }
    flags = profiles.permission_flags(profiles.granted(tree))
    save(org, "PermissionSet", record_id, {**values, **flags}, by=by)


def license_id(org: OrgState, name: str) -> str:
    """Return the id of the user licence of that name, "" for none."""
    if not name:
        return ""
    table = SOBJECTS["UserLicense"]
    return next(
        (str(r["Id"]) for r in all_records(org, table) if r["Name"] == name), ""
    )


def assign(org: OrgState, permission_set_id: str, user_id: str, *, by: str) -> str:
    """Give a user a permission set and return the assignment's id."""
    record_id = ids.new_id("PermissionSetAssignment")
    values = {"PermissionSetId": permission_set_id, "AssigneeId": user_id}
    save(org, "PermissionSetAssignment", record_id, {**values, "IsActive": True}, by=by)
    return record_id


def assigned_sets(org: OrgState, user_id: str) -> frozenset[str]:
    """Return the ids of a user's permission sets, with his profile's shadow."""
    found = {
        str(a["PermissionSetId"])
        for a in linked(org, "PermissionSetAssignment", user_id)
    }
    user = _raw(org, "User", user_id)
    shadow = shadow_of(org, str(user["ProfileId"])) if user else None
    return frozenset(found | ({str(shadow["Id"])} if shadow else set()))


def permissions_of(org: OrgState, user_id: str) -> frozenset[str]:
    """Return which of PERMISSION_FIELDS a user has, through whatever gives them."""
    given: set[str] = set()
    for set_id in assigned_sets(org, user_id):
        raw = _raw(org, "PermissionSet", set_id) or {}
        given |= {p for p in PERMISSION_FIELDS if raw.get(f"Permissions{p}")}
    return frozenset(given)


def _access(parent_id: str, entity_id: str) -> dict[str, Plain]:
    """Return the row that gives holders of a permission set an app."""
    return {
        "ParentId": parent_id,
        "SetupEntityId": entity_id,
        "SetupEntityType": _ENTITY_TYPES[entity_id[:3]],
    }


def grant_access(org: OrgState, parent_id: str, entity_id: str, *, by: str) -> str:
    """Give holders of a permission set an app by hand; return the row's id."""
    row_id = ids.new_id("SetupEntityAccess")
    save(org, "SetupEntityAccess", row_id, _access(parent_id, entity_id), by=by)
    return row_id


def replace_access(
    org: OrgState, entity_id: str, parent_ids: Iterable[str], *, by: str
) -> bool:
    """Make `parent_ids` the only permission sets with access; whether that changed."""
    wanted = set(parent_ids)
    rows = linked(org, "SetupEntityAccess", entity_id)
    have = {str(r["ParentId"]) for r in rows}
    for row in rows:
        if row["ParentId"] not in wanted:
            erase(org, "SetupEntityAccess", str(row["Id"]))
    for parent_id in sorted(wanted - have):
        row_id = ids.new_id("SetupEntityAccess")
        values = {**_access(parent_id, entity_id), _BY_METADATA: True}
        save(org, "SetupEntityAccess", row_id, values, by=by)
    return have != wanted


def remove_access(org: OrgState, *, entity_id: str = "", parent_id: str = "") -> None:
    """Remove the access rows of an app, or of a permission set."""
    if entity_id:
        org.world.store.write(
            "DELETE FROM records WHERE org = ? AND sobject = 'SetupEntityAccess'"
            " AND link = ?",
            (org.key, entity_id),
        )
    if parent_id:
        for row in all_records(org, SOBJECTS["SetupEntityAccess"]):
            if row["ParentId"] == parent_id:
                erase(org, "SetupEntityAccess", str(row["Id"]))


def require(org: OrgState, user_id: str, *any_of: str) -> None:
    """Raise Fault INSUFFICIENT_ACCESS_OR_READONLY unless the user has one of these.

    "ModifyAllData" is not implied. The text is recalled.
    """
    if not permissions_of(org, user_id) & set(any_of):
        raise Fault(
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "insufficient access rights on object id",
        )


# -- what users may do with records


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
        record = one_record(org, table, id18(record_id))
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
        if _raw(org, target, value) is None:
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
_API_NAME = re.compile(r"[A-Za-z](?!.*__)(?:\w*[A-Za-z0-9])?", re.ASCII)
_USERNAME = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def _create_access(org: OrgState, values: Mapping[str, Plain], user_id: str) -> str:
    require(org, user_id, "ManageProfilesPermissionsets", "CustomizeApplication")
    parent, entity = str(values["ParentId"]), str(values["SetupEntityId"])
    if entity[:3] not in _ENTITY_TYPES:
        raise Fault(
            "FIELD_INTEGRITY_EXCEPTION",
            f"SetupEntityId: id value of incorrect type: {entity}",
            fields=("SetupEntityId",),
        )
    if org.component_by_id(entity) is None:
        raise Fault(
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            fields=("SetupEntityId",),
        )
    for row in linked(org, "SetupEntityAccess", entity):
        if row["ParentId"] == parent:
            return _take_over(org, str(row["Id"]), user_id)
    return grant_access(org, parent, entity, by=user_id)


def _take_over(org: OrgState, row_id: str, user_id: str) -> str:
    """Make a row that a deploy made one that was made by hand. Raises Fault.

    Inferred, both: no error for a second row is known, and Salesforce CLI and
    simple-salesforce are seen to create the row of an app whose file names the set.
    """
    row = _raw(org, "SetupEntityAccess", row_id) or {}
    if not row.pop(_BY_METADATA, False):
        raise Fault(
            "DUPLICATE_VALUE",
            "duplicate value found: ParentId, SetupEntityId duplicates value on"
            f" record with id: {row_id}",
        )
    save(org, "SetupEntityAccess", row_id, row, by=user_id)
    return row_id


def _delete_access(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "ManageProfilesPermissionsets", "CustomizeApplication")
    erase(org, "SetupEntityAccess", str(record["Id"]))


def _create_assignment(org: OrgState, values: Mapping[str, Plain], user_id: str) -> str:
    require(org, user_id, "AssignPermissionSets", "ManageUsers")
    wanted, assignee = str(values["PermissionSetId"]), str(values["AssigneeId"])
    held = _raw(org, "PermissionSet", wanted) or {}
    if held.get("IsOwnedByProfile"):
        # Inferred.
        raise Fault(
            "FIELD_INTEGRITY_EXCEPTION",
            "PermissionSet Assignment: You can't assign a permission set that is owned"
            " by a profile",
            fields=("PermissionSetId",),
        )
    for row in linked(org, "PermissionSetAssignment", assignee):
        if row["PermissionSetId"] == wanted:
            # Recalled.
            raise Fault(
                "DUPLICATE_VALUE",
                f"Duplicate PermissionSetAssignment. Assignee: {assignee[:15]};"
                f" Permission Set: {wanted[:15]}",
            )
    return assign(org, wanted, assignee, by=user_id)


def _delete_assignment(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "AssignPermissionSets", "ManageUsers")
    erase(org, "PermissionSetAssignment", str(record["Id"]))


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
        named = _raw(org, "UserLicense", str(values["LicenseId"])) or {}
        tree["license"] = [str(named.get("Name", ""))]
    record_id = org.put(ref, write_file("PermissionSet", tree), user_id=user_id)
    save_permission_set(org, record_id, name, tree, by=user_id)
    return record_id


def is_api_name(name: str) -> bool:
    """Whether a developer name is well-formed (documented rule)."""
    return len(name) <= 80 and _API_NAME.fullmatch(name) is not None


# Recalled wording of the platform's check of developer names.
API_NAME_RULE = (
    "The Permission Set API Name can only contain underscores and alphanumeric"
    " characters. It must be unique, begin with a letter, not include spaces,"
    " not end with an underscore, and not contain two consecutive underscores."
)


def _check_api_name(name: str) -> None:
    if not is_api_name(name):
        raise Fault("INVALID_FIELD", API_NAME_RULE, fields=("Name",))


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
    save_permission_set(org, component.id, name, tree, by=user_id)


def _delete_permission_set(org: OrgState, record: Record, user_id: str) -> None:
    require(org, user_id, "ManageProfilesPermissionsets", "ManageUsers")
    component = _own_permission_set(org, record)
    problem = still_assigned(org, component.id)
    if problem:
        raise Fault("DEPENDENCY_EXISTS", problem)
    forget_permission_set(org, component.id)
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


def still_assigned(org: OrgState, permission_set_id: str) -> str:
    """Return the complaint about users who still hold a permission set, or "".

    Inferred: the platform refuses to delete one that is assigned; wording ours.
    """
    rows = all_records(org, SOBJECTS["PermissionSetAssignment"])
    if any(r["PermissionSetId"] == permission_set_id for r in rows):
        return "The permission set is assigned to users. Remove the assignments first."
    return ""


def forget_permission_set(org: OrgState, record_id: str) -> None:
    """Remove the record of a permission set and the access it gave."""
    remove_access(org, parent_id=record_id)
    erase(org, "PermissionSet", record_id)


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
    save(org, "User", new_id, stored, by=user_id)
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
    save(org, "User", record_id, merged, by=user_id)
    if values.get("IsActive") is False:
        org.revoke_all(user_id=record_id)


def _delete_oauth_token(org: OrgState, record: Record, user_id: str) -> None:
    if record["UserId"] != user_id:
        require(org, user_id, "ManageUsers")
    org.revoke_grant(str(record["Id"]))
    erase(org, "OauthToken", str(record["Id"]))


if TYPE_CHECKING:
    from metadeploy.emulator.state import StoredComponent

    _Values = Mapping[str, Plain]

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
