"""The records of an org: how they are kept, and who has which permissions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from metadeploy.emulator import ids, profiles
from metadeploy.emulator.sobjects import PERMISSION_FIELDS, SOBJECTS, SObject
from metadeploy.emulator.tree import Tree
from metadeploy.model import id18

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
BY_METADATA = "ByMetadata"
# SetupEntityAccess: what an app, class, … is called there, by key prefix.
ENTITY_TYPES = {
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
    from_before = raw(org, name, record_id) or {}
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
    kept = raw(org, table.name, record_id)
    return _record(table, record_id, kept) if kept is not None else None


def linked(org: OrgState, name: str, value: str) -> list[Record]:
    """Return the records whose linking field (see `_LINKS`) holds `value`."""
    rows = org.world.store.all(
        "SELECT id, body FROM records WHERE org = ? AND sobject = ? AND link = ?"
        " ORDER BY id",
        (org.key, name, value),
    )
    return [_record(SOBJECTS[name], str(i), json.loads(str(body))) for i, body in rows]


def raw(org: OrgState, name: str, record_id: str) -> dict[str, Plain] | None:
    """Return what is kept of a record, without the fields that are null; or None."""
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
    user = raw(org, "User", user_id)
    shadow = shadow_of(org, str(user["ProfileId"])) if user else None
    return frozenset(found | ({str(shadow["Id"])} if shadow else set()))


def permissions_of(org: OrgState, user_id: str) -> frozenset[str]:
    """Return which of PERMISSION_FIELDS a user has, through whatever gives them."""
    given: set[str] = set()
    for set_id in assigned_sets(org, user_id):
        kept = raw(org, "PermissionSet", set_id) or {}
        given |= {p for p in PERMISSION_FIELDS if kept.get(f"Permissions{p}")}
    return frozenset(given)


def _access(parent_id: str, entity_id: str) -> dict[str, Plain]:
    """Return the row that gives holders of a permission set an app."""
    return {
        "ParentId": parent_id,
        "SetupEntityId": entity_id,
        "SetupEntityType": ENTITY_TYPES[entity_id[:3]],
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
        values = {**_access(parent_id, entity_id), BY_METADATA: True}
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


# -- names and assignments of permission sets

_API_NAME = re.compile(r"[A-Za-z](?!.*__)(?:\w*[A-Za-z0-9])?", re.ASCII)


def is_api_name(name: str) -> bool:
    """Whether a developer name is well-formed (documented rule)."""
    return len(name) <= 80 and _API_NAME.fullmatch(name) is not None


# Recalled wording of the platform's check of developer names.
API_NAME_RULE = (
    "The Permission Set API Name can only contain underscores and alphanumeric"
    " characters. It must be unique, begin with a letter, not include spaces,"
    " not end with an underscore, and not contain two consecutive underscores."
)


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
