"""Which rules a metadata type has when it is written, deleted and read back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping

from metadeploy import schema
from metadeploy.emulator import (
    access_control,
    connectedapps,
    externalapps,
    holders,
    trail,
)
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.package import SourceFile
from metadeploy.emulator.state import OrgState, StoredComponent
from metadeploy.emulator.tree import Tree, text, write_file
from metadeploy.emulator.writing import (
    Writer,
    Written,
    put_files,
    put_tree,
    stored_tree,
    without_empty,
)
from metadeploy.model import Ref

_Write = Callable[[Writer, Ref, Tree], Written]
_Delete = Callable[[Writer, StoredComponent], None]


def write_component(writer: Writer, source: SourceFile) -> Written:
    """Write one component of a package. Raises BadFile with the org's words."""
    if source.refused is not None:
        raise source.refused
    if source.tree is not None:
        return write_tree(writer, source.ref, source.tree)
    prefix = len(source.path) - len(_inside(source))
    files = {path[prefix:]: body for path, body in source.files.items()}
    return put_files(writer, source.ref, source.path[prefix:], files)


def _inside(source: SourceFile) -> str:
    """Return the main file's path inside its package, without the package's folder."""
    directory = schema.metadata_types()[source.ref.type].directory
    segments = source.path.split("/")
    at = len(segments) - 1 - segments[::-1].index(directory)
    return "/".join(segments[at:])


def write_tree(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Write a component whose content is known field by field. Raises BadFile."""
    done = _WRITE.get(ref.type, _write_plain)(writer, ref, tree)
    if done.changed:
        by, created = writer.user_id, done.created
        trail.written(writer.org, ref, tree, created=created, by=by)
    return done


def delete_component(writer: Writer, ref: Ref) -> str | None:
    """Delete a component and return its id; None when there is none. Raises BadFile."""
    component = writer.org.component(ref)
    if component is None:
        return None
    tree = stored_tree(component) if ref.type in trail.KEPT else {}
    delete = _DELETE.get(ref.type)
    if delete:
        delete(writer, component)
    else:
        writer.org.remove(ref)
    trail.deleted(writer.org, ref, tree, by=writer.user_id)
    return component.id


def rename_component(writer: Writer, ref: Ref, new_name: str) -> None:
    """Give a component another fullName. Raises BadFile."""
    org = writer.org
    component = org.component(ref)
    if component is None:
        raise BadFile(f"In field: fullName - no {ref.type} named {ref.full_name} found")
    rename = _RENAME.get(ref.type)
    if rename is None and schema.fields(schema.root_name(ref)) is not None:
        raise BadFile(f"renameMetadata of {ref.type} is not emulated")
    if org.component(Ref(ref.type, new_name)):
        raise BadFile(
            "duplicate value found: <unknown> duplicates value on record with id:"
            " <unknown>"
        )
    org.remove(ref)
    moved = Ref(ref.type, new_name)
    org.put(
        moved,
        component.body,
        user_id=writer.user_id,
        extra=component.extra,
        component_id=component.id,
    )
    if rename:
        rename(writer, component, new_name)


def files_of(org: OrgState, component: StoredComponent) -> dict[str, bytes]:
    """Return a component's files by their path inside a package, as retrieve does."""
    reader = _READ.get(component.ref.type)
    if reader:
        tree = reader(org, component)
        path = schema.path_of(component.ref)
        return {path: write_file(schema.root_name(component.ref), tree)}
    if component.extra.get("bundled"):
        with zipfile.ZipFile(io.BytesIO(component.body)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    path = str(component.extra.get("path") or schema.path_of(component.ref))
    return {path: component.body}


def tree_for_reading(org: OrgState, component: StoredComponent) -> Tree:
    """Return a component's content as the org tells it, for types with a table."""
    reader = _READ.get(component.ref.type)
    return reader(org, component) if reader else stored_tree(component)


def _write_plain(writer: Writer, ref: Ref, tree: Tree) -> Written:
    return put_tree(writer, ref, without_empty(tree))


def _write_settings(writer: Writer, ref: Ref, tree: Tree) -> Written:
    """Settings: what the file names is set, the rest stays (inferred)."""
    if ref == access_control.SETTINGS and not access_control.is_available(writer.org):
        switches = access_control.SWITCHES.values()
        if any(text(tree, name) == "true" for name in switches):
            # Observed text; documented: Support has to turn the feature on.
            raise BadFile("Not available for deploy for this organization")
    old = stored_tree(writer.org.component(ref))
    return put_tree(writer, ref, {**old, **without_empty(tree)})


_WRITE: Mapping[str, _Write] = {
    **externalapps.WRITE,
    "ConnectedApp": connectedapps.write_connected_app,
    "Profile": holders.write_profile,
    "PermissionSet": holders.write_permission_set,
    "Settings": _write_settings,
}
_DELETE: Mapping[str, _Delete] = {
    **externalapps.DELETE,
    "ConnectedApp": connectedapps.delete_connected_app,
    "Profile": holders.delete_profile,
    "PermissionSet": holders.delete_permission_set,
}
_RENAME: Mapping[str, Callable[[Writer, StoredComponent, str], None]] = {
    "PermissionSet": holders.rename_permission_set,
    "Profile": holders.rename_profile,
}
_READ: Mapping[str, Callable[[OrgState, StoredComponent], Tree]] = {
    "ConnectedApp": connectedapps.readable,
    externalapps.OAUTH_POLICY: externalapps.readable_oauth_policy,
}
