"""The setup audit trail: who changed what in Setup, as SetupAuditTrail has it.

Source: Object Reference, SetupAuditTrail (fields, what may be filtered by, the words
of PermSetCreate: documented). The other actions and words are observed in what people
publish of their orgs, but for the rest of a sentence about a change, which is inferred:
one row a component, where a real org writes one for each thing that was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metadeploy.emulator import ids, records
from metadeploy.emulator.tree import Tree, text

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState
    from metadeploy.model import Ref

TRAIL = "SetupAuditTrail"
_APPS, _USERS = "Application", "Manage Users"

# Type → section, and for creation, change and deletion: action and words.
_WORDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "ConnectedApp": (
        _APPS,
        (
            ("insertApplication", "Created Connected App {}"),
            ("changeApplication", "Changed connected app {} settings"),
            ("deleteApplication", "Deleted Connected App {}"),
        ),
    ),
    "ExternalClientApplication": (
        _APPS,
        (
            ("insertApplication", "Created External Client App {}"),
            ("changeApplication", "Changed External Client App {} settings"),
            ("deleteApplication", "Deleted External Client App {}"),
        ),
    ),
    "PermissionSet": (
        _USERS,
        (
            ("PermSetCreateNoLicense", "Created permission set {}: with no license"),
            ("PermSetEnableUserPerm", "Changed permission set {}: its permissions"),
            ("PermSetDelete", "Deleted permission set {}"),
        ),
    ),
    "Profile": (
        _USERS,
        (
            ("profileClonedStandard", "Created profile {}"),
            ("profilePermChangedCustom", "Changed profile {}: its permissions"),
            ("profileDeleted", "Deleted profile {}"),
        ),
    ),
}
KEPT = frozenset(_WORDS)
"""The types whose changes the trail tells."""
_CREATED, _CHANGED, _DELETED = 0, 1, 2


def written(org: OrgState, ref: Ref, tree: Tree, *, created: bool, by: str) -> None:
    """Note that somebody has made a component or changed it."""
    label = text(tree, "label") or ref.full_name
    license_ = text(tree, "license")
    if created and ref.type == "PermissionSet" and license_:
        words = f"Created permission set {label}: with user license {license_}"
        note(org, _USERS, "PermSetCreate", words, by=by)
        return
    _note(org, ref.type, _CREATED if created else _CHANGED, label, by)


def deleted(org: OrgState, ref: Ref, tree: Tree, *, by: str) -> None:
    """Note that somebody has deleted a component."""
    _note(org, ref.type, _DELETED, text(tree, "label") or ref.full_name, by)


def access(
    org: OrgState, parent_id: str, entity_id: str, *, enabled: bool, by: str
) -> None:
    """Note that somebody has given an app to a permission set or profile, or taken."""
    holder = records.raw(org, "PermissionSet", parent_id) or {}
    app = org.component_by_id(entity_id)
    if app is None:
        return
    kind, name = "permission set", holder.get("Label")
    action = "PermissionSet_ConnectedApplication_Enabled"
    if holder.get("IsOwnedByProfile"):
        profile = records.raw(org, "Profile", str(holder.get("ProfileId"))) or {}
        kind, name = "profile", profile.get("Name")
        action = "Profile_ConnectedApplication_EnabledCustom"
    state = "enabled" if enabled else "disabled"
    action = action.replace("Enabled", state.capitalize())
    words = f"Changed {kind} {name}: {app.ref.full_name} connected app is {state}"
    note(org, _USERS, f"SetupEntityAccessAudit_{action}", words, by=by)


def _note(org: OrgState, kind: str, what: int, label: str, by: str) -> None:
    if kind in _WORDS:
        section, rows = _WORDS[kind]
        action, words = rows[what]
        note(org, section, action, words.format(label), by=by)


def note(org: OrgState, section: str, action: str, words: str, *, by: str) -> None:
    """Write one row."""
    values = {"Section": section, "Action": action, "Display": words[:1000]}
    records.save(org, TRAIL, ids.new_id(TRAIL), values, by=by)
