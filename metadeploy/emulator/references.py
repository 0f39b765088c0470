"""What profiles and permission sets may point at in an org."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from metadeploy.emulator.state import OrgState
from metadeploy.emulator.tree import Tree, parse, text, tree_of, trees
from metadeploy.model import Ref


class _Pointer(Struct, frozen=True):
    """A section whose items name a component: in which field, of which type."""

    section: str
    field: str
    type: str


# Observed: "In field: field - no CustomField named … found", likewise recordType,
# CustomObject, ApexClass; the other pairs follow the pattern (inferred).
_POINTERS = (
    _Pointer("classAccesses", "apexClass", "ApexClass"),
    _Pointer("pageAccesses", "apexPage", "ApexPage"),
    _Pointer("customPermissions", "name", "CustomPermission"),
    _Pointer("flowAccesses", "flow", "Flow"),
    _Pointer("applicationVisibilities", "application", "CustomApplication"),
    _Pointer("objectPermissions", "object", "CustomObject"),
    _Pointer("customMetadataTypeAccesses", "name", "CustomObject"),
    _Pointer("customSettingAccesses", "name", "CustomObject"),
    _Pointer("fieldPermissions", "field", "CustomField"),
    _Pointer("recordTypeVisibilities", "recordType", "RecordType"),
    _Pointer("tabVisibilities", "tab", "CustomTab"),
    _Pointer("tabSettings", "tab", "CustomTab"),
)
_CUSTOM = ("__c", "__mdt", "__e", "__x", "__b", "__kav")


def dangling(org: OrgState, tree: Tree) -> str:
    """Return the complaint about the first thing named that the org has not, or "".

    What belongs to an installed package ("ns__Name") or is standard counts as there.
    """
    if not org.settings.check_references:
        return ""
    for pointer in _POINTERS:
        items = trees(tree, pointer.section)
        if not items:
            continue
        names = (text(item, pointer.field) for item in items)
        missing = _first_missing(org, pointer.type, names)
        if missing:
            return (
                f"In field: {pointer.field} - no {pointer.type} named {missing} found"
            )
    return ""


def _first_missing(org: OrgState, kind: str, names: Iterable[str]) -> str:
    if kind in ("CustomField", "RecordType"):
        return _first_missing_child(org, kind, names)
    for name in names:
        if _is_given(kind, name):
            continue
        if org.component(Ref(kind, name)) is None:
            owner = Ref("CustomObject", name)
            if kind == "CustomTab" and org.component(owner) is not None:
                continue
            return name
    return ""


def _is_given(kind: str, name: str) -> bool:
    """Whether a name needs no component here: standard, or of a package."""
    if not name or _namespaced(name):
        return True
    if kind == "CustomObject":
        return not name.endswith(_CUSTOM)
    return kind in ("CustomApplication", "CustomTab") and name.startswith("standard")


def _namespaced(name: str) -> bool:
    stem = name
    for suffix in _CUSTOM:
        stem = stem.removesuffix(suffix)
    return "__" in stem


def _first_missing_child(org: OrgState, kind: str, names: Iterable[str]) -> str:
    known: dict[str, frozenset[str] | None] = {}
    section = "fields" if kind == "CustomField" else "recordTypes"
    for name in names:
        owner, _, child = name.partition(".")
        custom = child.endswith(_CUSTOM) or owner.endswith(_CUSTOM)
        if not child or _namespaced(child) or _namespaced(owner):
            continue
        if kind == "CustomField" and not custom:
            continue
        if owner not in known:
            known[owner] = _children(org, owner, section)
        have = known[owner]
        standard_child = not child.endswith(_CUSTOM) and kind == "CustomField"
        if have is not None and (child in have or standard_child):
            continue
        if org.component(Ref(kind, name)) is not None:
            continue
        return name
    return ""


def _children(org: OrgState, owner: str, section: str) -> frozenset[str] | None:
    component = org.component(Ref("CustomObject", owner))
    if component is None:
        return None
    tree = tree_of(parse(component.body))
    return frozenset(text(item, "fullName") for item in trees(tree, section))


def required_field(org: OrgState, tree: Tree) -> str:
    """Return the complaint about a field every user has, "" when none is named.

    Observed: "You cannot deploy to a required field: …".
    """
    known: dict[str, frozenset[str]] = {}
    for item in trees(tree, "fieldPermissions"):
        owner, _, child = text(item, "field").partition(".")
        if owner not in known:
            known[owner] = _required_fields(org, owner)
        if child in known[owner]:
            return f"You cannot deploy to a required field: {owner}.{child}"
    return ""


def _required_fields(org: OrgState, owner: str) -> frozenset[str]:
    component = org.component(Ref("CustomObject", owner))
    if component is None:
        return frozenset()
    fields = trees(tree_of(parse(component.body)), "fields")
    return frozenset(
        text(f, "fullName")
        for f in fields
        if text(f, "required") == "true" or text(f, "type") == "MasterDetail"
    )
