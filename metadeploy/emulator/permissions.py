"""User permissions: which there are, which need others, and what a user may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from metadeploy.emulator.tree import Tree, text, trees


@cache
def _table() -> Mapping[str, bool]:
    text = Path(__file__).with_name("permissions.txt").read_text("utf-8")
    lines = (line for line in text.split("\n") if line and line[0] != "#")
    return {line.removesuffix("*"): line.endswith("*") for line in lines}


def known_permissions() -> frozenset[str]:
    """Return the names of all user permissions that the platform knows."""
    return frozenset(_table())


def admin_permissions() -> tuple[str, ...]:
    """Return what a System Administrator has from the start, sorted."""
    return tuple(name for name, admin in _table().items() if admin)


# What a permission needs beside it. Observed as a message for many pairs; these pairs
# are recalled, so that the table is deliberately short.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "AuthorApex": ("ViewSetup",),
    "CustomizeApplication": ("ViewSetup",),
    "ManageInternalUsers": ("ViewSetup",),
    "ManageRemoteAccess": ("ViewSetup",),
    "ManageUsers": ("ViewSetup",),
    "ModifyAllData": ("ViewAllData",),
}
_OBJECT_NEEDS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("allowCreate", "Create", (("allowRead", "Read"),)),
    ("allowEdit", "Edit", (("allowRead", "Read"),)),
    ("allowDelete", "Delete", (("allowRead", "Read"), ("allowEdit", "Edit"))),
    ("viewAllRecords", "View All", (("allowRead", "Read"),)),
    (
        "modifyAllRecords",
        "Modify All",
        (
            ("allowRead", "Read"),
            ("allowEdit", "Edit"),
            ("allowDelete", "Delete"),
            ("viewAllRecords", "View All"),
        ),
    ),
)


def unknown_permission(tree: Tree) -> str:
    """Return the complaint about a permission no org knows, "" when there is none.

    Observed: "Unknown user permission: …".
    """
    known = _table()
    for item in trees(tree, "userPermissions"):
        if text(item, "name") not in known:
            return f"Unknown user permission: {text(item, 'name')}"
    return ""


def unmet_dependency(tree: Tree) -> str:
    """Return the complaint about a permission that lacks another, "" if none.

    tree: the whole profile or permission set as it would become. Observed:
    "Permission … depends on permission(s): …".
    """
    given = {
        text(p, "name")
        for p in trees(tree, "userPermissions")
        if text(p, "enabled") == "true"
    }
    for name in sorted(given & _NEEDS.keys()):
        lacking = [n for n in _NEEDS[name] if n not in given]
        if lacking:
            return f"Permission {name} depends on permission(s): {', '.join(lacking)}"
    for item in trees(tree, "objectPermissions"):
        for complaint in _object_complaints(item):
            return complaint
    return ""


def _object_complaints(item: Tree) -> Iterator[str]:
    name = text(item, "object")
    for field, label, needs in _OBJECT_NEEDS:
        if text(item, field) == "true":
            lacking = [f"{n} {name}" for f, n in needs if text(item, f) != "true"]
            if lacking:
                yield (
                    f"Permission {label} {name} depends on permission(s):"
                    f" {', '.join(lacking)}"
                )
