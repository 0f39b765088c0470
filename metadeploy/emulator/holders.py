"""Writing profiles and permission sets: the overlay, the replacement, the refusals."""

from __future__ import annotations

from urllib.parse import unquote

from metadeploy.emulator import profiles, records
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.permissions import unknown_permission, unmet_dependency
from metadeploy.emulator.references import dangling, required_field
from metadeploy.emulator.state import StoredComponent
from metadeploy.emulator.tree import Tree, text, texts, trees
from metadeploy.emulator.writing import (
    Writer,
    Written,
    not_found,
    put_tree,
    stored_tree,
    with_defaults,
    without_empty,
)
from metadeploy.model import Ref

_REPLACES_SINCE = 40
_INHERITS_MINIMUM_SINCE = 60
_MAX = {"label": 80, "description": 255}


def write_profile(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Lay a profile's file over what the org has. Raises BadFile.

    Documented: what the file does not name stays; a new profile begins as Minimum
    Access - Salesforce (API 60 and later) or as Standard User.
    """
    _refuse(writer, tree, "Profile")
    old = writer.org.component(ref)
    before = stored_tree(old) if old else _beginning(writer)
    sent = without_empty(tree)
    for name in ("custom", "userLicense", "fullName"):
        sent.pop(name, None)
    name = profiles.display_name(unquote(ref.full_name))
    if old is None:
        _refuse_taken_name(writer, name)
        license_name = text(tree, "userLicense") or "Salesforce"
        if not records.license_id(writer.org, license_name):
            raise not_found("userLicense", "UserLicense", license_name)
        before["userLicense"] = [license_name]
        before["custom"] = ["true"]
    elif text(before, "custom") == "false" and writer.version >= 50:
        # Documented: standard profiles keep their standard object permissions.
        _drop_standard_objects(sent)
    merged = profiles.overlay(before, sent, "Profile")
    _keep_a_default_app(before, merged)
    complaint = unmet_dependency(merged)
    if complaint:
        raise BadFile(complaint)
    settled = profiles.settled(with_defaults(merged, "Profile"), "Profile")
    written = put_tree(writer, ref, settled)
    if written.changed:
        records.save_profile(
            writer.org,
            written.id,
            name=name,
            license_id=records.license_id(writer.org, text(settled, "userLicense")),
            permissions=profiles.granted(settled),
            by=writer.user_id,
        )
    return written


def _refuse_taken_name(writer: Writer, name: str) -> None:
    """Refuse a new profile of a name that is taken, such as "System Administrator".

    Its fullName is Admin. Observed: apex-mdapi#22.
    """
    if any(p["Name"] == name for p in writer.org.records("Profile")):
        raise BadFile(
            "duplicate value found: <unknown> duplicates value on record with id:"
            " <unknown>"
        )


def _beginning(writer: Writer) -> Tree:
    new = writer.version >= _INHERITS_MINIMUM_SINCE
    name = "Minimum Access - Salesforce" if new else "Standard"
    return stored_tree(writer.org.component(Ref("Profile", name)))


def _drop_standard_objects(tree: Tree) -> None:
    kept = [p for p in trees(tree, "objectPermissions") if "__" in text(p, "object")]
    if "objectPermissions" in tree:
        tree["objectPermissions"] = list(kept)


def _keep_a_default_app(before: Tree, after: Tree) -> None:
    def has_default(tree: Tree) -> bool:
        apps = trees(tree, "applicationVisibilities")
        return any(text(a, "default") == "true" for a in apps)

    if has_default(before) and not has_default(after):
        raise BadFile("You can't remove the only default app from the profile.")


def write_permission_set(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Replace a permission set by its file; below API 40 overlay it. Raises BadFile.

    Documented: API 40 and later overwrite. Inferred: earlier ones merge.
    """
    _refuse(writer, tree, "PermissionSet")
    if not records.is_api_name(ref.full_name):
        raise BadFile(records.API_NAME_RULE)
    for name, longest in _MAX.items():
        if any(len(value) > longest for value in texts(tree, name)):
            raise BadFile(
                f"{name.title()}: data value too large: {text(tree, name)[:80]}"
                f" (max length={longest})"
            )
    license_name = text(tree, "license")
    if license_name and not records.license_id(writer.org, license_name):
        raise not_found("license", "UserLicense", license_name)
    sent = without_empty(tree)
    if writer.version < _REPLACES_SINCE:
        before = stored_tree(writer.org.component(ref))
        sent = profiles.overlay(before, sent, "PermissionSet")
    complaint = unmet_dependency(sent)
    if complaint:
        raise BadFile(complaint)
    sent.setdefault("hasActivationRequired", ["false"])
    settled = profiles.settled(with_defaults(sent, "PermissionSet"), "PermissionSet")
    written = put_tree(writer, ref, settled)
    if written.changed:
        records.save_permission_set(
            writer.org, written.id, ref.full_name, settled, by=writer.user_id
        )
    return written


def delete_permission_set(writer: Writer, component: StoredComponent) -> None:
    """Delete a permission set nobody is assigned. Raises BadFile."""
    problem = records.still_assigned(writer.org, component.id)
    if problem:
        raise BadFile(problem)
    records.forget_permission_set(writer.org, component.id)
    writer.org.remove(component.ref)


def delete_profile(writer: Writer, component: StoredComponent) -> None:
    """Delete a custom profile no user has. Raises BadFile; wordings are inferred."""
    org = writer.org
    if text(stored_tree(component), "custom") == "false":
        raise BadFile("You cannot delete a standard profile.")
    if any(u["ProfileId"] == component.id for u in org.records("User")):
        raise BadFile("You cannot delete a profile that is assigned to users.")
    shadow = records.shadow_of(org, component.id)
    if shadow:
        records.forget_permission_set(org, str(shadow["Id"]))
    records.erase(org, "Profile", component.id)
    org.remove(component.ref)


def rename_permission_set(
    writer: Writer, component: StoredComponent, new_name: str
) -> None:
    """Keep the record of a renamed permission set in step. Raises BadFile."""
    if not records.is_api_name(new_name):
        raise BadFile(records.API_NAME_RULE)
    tree = stored_tree(component)
    records.save_permission_set(
        writer.org, component.id, new_name, tree, by=writer.user_id
    )


def rename_profile(writer: Writer, component: StoredComponent, new_name: str) -> None:
    """Keep the record of a renamed profile in step. Raises BadFile."""
    tree = stored_tree(component)
    if text(tree, "custom") == "false":
        raise BadFile("You cannot rename a standard profile.")
    records.save_profile(
        writer.org,
        component.id,
        name=unquote(new_name),
        license_id=records.license_id(writer.org, text(tree, "userLicense")),
        permissions=profiles.granted(tree),
        by=writer.user_id,
    )


def _refuse(writer: Writer, tree: Tree, struct: str) -> None:
    complaint = (
        profiles.repeated(tree, struct)
        or unknown_permission(tree)
        or dangling(writer.org, tree)
        or required_field(writer.org, tree)
    )
    if complaint:
        raise BadFile(complaint)
