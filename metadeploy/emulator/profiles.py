"""Profiles and permission sets: what is there from the start, merge, replacement.

A Profile deploy is an overlay, a PermissionSet deploy of API 40 or later replaces the
whole (documented: Metadata API Developer Guide, Profile and PermissionSet).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import cache

from msgspec import Struct

from metadeploy import schema
from metadeploy.emulator.permissions import admin_permissions
from metadeploy.emulator.sobjects import PERMISSION_FIELDS
from metadeploy.emulator.tree import Node, Tree, copy, text, trees, write_file


class StandardProfile(Struct, frozen=True):
    """A profile every org has: fullName in metadata, and name as people see it."""

    full_name: str
    name: str
    license: str
    own_permissions: tuple[str, ...]

    @property
    def permissions(self) -> tuple[str, ...]:
        """What the profile gives, sorted."""
        if self.full_name == "Admin":
            return admin_permissions()
        return tuple(sorted(self.own_permissions))


_USER = (
    "ActivitiesAccess",
    "AllowViewKnowledge",
    "ApiEnabled",
    "ChatterInternalUser",
    "EnableNotifications",
    "LightningConsoleAllowedForUser",
    "RunReports",
    "SelectFilesFromSalesforce",
    "ShowCompanyNameAsUserBadge",
    "UseWebLink",
    "ViewHelpLink",
    "ViewSetup",
)
# Names: observed (apex-mdapi#192, #193) and recalled; licences and the permissions of
# others than System Administrator are inferred.
STANDARD_PROFILES: tuple[StandardProfile, ...] = (
    StandardProfile("Admin", "System Administrator", "Salesforce", ()),
    StandardProfile("Standard", "Standard User", "Salesforce", _USER),
    StandardProfile(
        "SolutionManager", "Solution Manager", "Salesforce", (*_USER, "ManageSolutions")
    ),
    StandardProfile(
        "MarketingProfile", "Marketing User", "Salesforce", (*_USER, "ImportLeads")
    ),
    StandardProfile("ContractManager", "Contract Manager", "Salesforce", _USER),
    StandardProfile("ReadOnly", "Read Only", "Salesforce", _USER),
    StandardProfile(
        "StandardAul", "Standard Platform User", "Salesforce Platform", _USER
    ),
    StandardProfile(
        "Minimum Access - Salesforce",
        "Minimum Access - Salesforce",
        "Salesforce",
        ("ActivitiesAccess", "ChatterInternalUser", "LightningConsoleAllowedForUser"),
    ),
    StandardProfile(
        "Minimum Access - API Only Integrations",
        "Minimum Access - API Only Integrations",
        "Salesforce Integration",
        ("ApiEnabled", "ApiUserOnly"),
    ),
    StandardProfile(
        "Customer Community User", "Customer Community User", "Customer Community", ()
    ),
)
_BY_FULL_NAME = {p.full_name: p for p in STANDARD_PROFILES}
_DISPLAY = {p.full_name: p.name for p in STANDARD_PROFILES}
_FULL = {p.name: p.full_name for p in STANDARD_PROFILES}


def display_name(full_name: str) -> str:
    """Return a profile's name as people, `profileName` and SOQL see it."""
    return _DISPLAY.get(full_name, full_name)


def full_name_of(name: str) -> str:
    """Return the fullName of the profile that people call so."""
    return _FULL.get(name, name)


@cache
def built_in_body(full_name: str) -> bytes:
    """Return the file of a standard profile nobody has changed; b"" for others.

    Kept here, not in every org, so that an org stays small.
    """
    found = _BY_FULL_NAME.get(full_name)
    if found is None:
        return b""
    tree: Tree = {
        "custom": ["false"],
        "userLicense": [found.license],
        "userPermissions": [
            {"enabled": ["true"], "name": [p]} for p in found.permissions
        ],
    }
    return write_file("Profile", {k: v for k, v in tree.items() if v})


def granted(tree: Tree) -> frozenset[str]:
    """Return the user permissions that a profile or permission set gives."""
    return frozenset(
        text(p, "name")
        for p in trees(tree, "userPermissions")
        if text(p, "enabled") == "true"
    )


def permission_flags(names: Container[str]) -> Mapping[str, bool]:
    """Return the `Permissions…` fields of a record that are true."""
    return {f"Permissions{p}": True for p in PERMISSION_FIELDS if p in names}


def overlay(old: Tree, new: Tree, struct: str) -> Tree:
    """Return `old` with what `new` says: keyed items replaced or added, the rest kept.

    Item order: the old ones in place, new ones behind them.
    """
    table = schema.fields(struct) or {}
    merged = copy(old)
    for name, values in new.items():
        field = table.get(name)
        key = schema.item_key(field.kind) if field else ()
        if field is None or not field.many or not key or name in _WHOLE:
            merged[name] = copy({name: values})[name]
        else:
            merged[name] = _overlay_items(merged.get(name, []), values, key)
    return merged


# Inferred: a list of trusted addresses is replaced as a whole, like in Setup.
_WHOLE = frozenset({"loginIpRanges"})


def _overlay_items(
    old: list[Node], new: list[Node], key: tuple[str, ...]
) -> list[Node]:
    items: dict[tuple[str, ...], Node] = {_key(n, key): n for n in old}
    for node in new:
        at = _key(node, key)
        before = items.get(at)
        if isinstance(node, str) or isinstance(before, str) or before is None:
            items[at] = node
        else:
            items[at] = {**before, **node}
    return list(items.values())


def _key(node: Node, key: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(node, str):
        return (node,)
    return tuple(text(node, name) for name in key)


def settled(tree: Tree, struct: str) -> Tree:
    """Return what the org keeps: only what is granted, items sorted by their key.

    Documented: only enabled userPermissions and customPermissions come back, object
    permissions only with allowRead, field permissions only when granted and not where
    viewAllFields covers them. Items in the order of their keys: observed.
    """
    covered = {
        text(item, "object")
        for item in trees(tree, "objectPermissions")
        if text(item, "viewAllFields") == "true"
    }
    table = schema.fields(struct) or {}
    kept: Tree = {}
    for name, values in tree.items():
        field = table.get(name)
        key = schema.item_key(field.kind) if field and field.many else ()
        found = [
            n for n in values if isinstance(n, str) or _is_granted(name, n, covered)
        ]
        if key:
            found.sort(key=lambda n: _key(n, key))
        if found:
            kept[name] = found
    return kept


_ENABLED_ONLY = frozenset({"userPermissions", "customPermissions"})


def _is_granted(name: str, item: Tree, covered: Container[str]) -> bool:
    if name in _ENABLED_ONLY:
        return text(item, "enabled") == "true"
    if name == "objectPermissions":
        return text(item, "allowRead") == "true"
    if name == "fieldPermissions":
        granted = "true" in (text(item, "readable"), text(item, "editable"))
        return granted and text(item, "field").partition(".")[0] not in covered
    return True


def repeated(tree: Tree, struct: str) -> str:
    """Return the complaint about an item named twice, "" when there is none.

    Observed: "Field:…, value:… appears more than once".
    """
    table = schema.fields(struct) or {}
    for name, values in tree.items():
        field = table.get(name)
        key = schema.item_key(field.kind) if field and field.many else ()
        seen: set[tuple[str, ...]] = set()
        for node in values if key else ():
            at = _key(node, key)
            if at in seen:
                return f"Field:{key[0]}, value:{at[0]} appears more than once"
            seen.add(at)
    return ""
