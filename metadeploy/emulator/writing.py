"""What every write of metadata shares: who writes, what came of it, plain storage."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from metadeploy import schema
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.state import OrgState, Plain, StoredComponent
from metadeploy.emulator.tree import Tree, copy, parse, tree_of, write_file
from metadeploy.emulator.zips import write_zip
from metadeploy.model import Ref


class Writer(Struct, frozen=True):
    """One deploy, or one CRUD call, acting on an org inside a transaction.

    version: the package's API version. crud: it is a CRUD call, not a deploy.
    """

    org: OrgState
    user_id: str
    version: float
    crud: bool = False
    ignore_warnings: bool = False


class Written(Struct, frozen=True):
    """What became of one component. changed=False: the org already had it so."""

    id: str
    created: bool = False
    changed: bool = True
    warning: str = ""


def put_tree(
    writer: Writer,
    ref: Ref,
    tree: Tree,
    *,
    extra: Mapping[str, Plain] | None = None,
    also_changed: bool = False,
) -> Written:
    """Store a component from its tree, in the org's own spelling.

    also_changed: something beside the file changed.
    """
    body = write_file(schema.root_name(ref), tree)
    old = writer.org.component(ref)
    if old and old.body == body and not also_changed:
        if extra is not None and dict(extra) != dict(old.extra):
            writer.org.put(ref, body, user_id=writer.user_id, extra=extra)
        return Written(old.id, changed=False)
    component_id = writer.org.put(ref, body, user_id=writer.user_id, extra=extra)
    return Written(component_id, created=old is None)


def put_files(
    writer: Writer, ref: Ref, path: str, files: Mapping[str, bytes]
) -> Written:
    """Store a component we hold no field table for, as it came.

    path: the main file. Several files are kept as one zip of them.
    """
    bundled = len(files) > 1
    body = (
        write_zip(dict(sorted(files.items())), packed=False) if bundled else files[path]
    )
    old = writer.org.component(ref)
    if old and old.body == body:
        return Written(old.id, changed=False)
    component_id = writer.org.put(
        ref, body, user_id=writer.user_id, extra={"path": path, "bundled": bundled}
    )
    return Written(component_id, created=old is None)


def stored_tree(component: StoredComponent | None) -> Tree:
    """Return the content of a stored file; {} for None."""
    return tree_of(parse(component.body)) if component else {}


def with_defaults(tree: Tree, struct: str) -> Tree:
    """Return the tree with what an org reports where a file is silent (§1.8).

    Observed: retrieved apps carry defaulted booleans; which of them is inferred.
    """
    table = schema.fields(struct) or {}
    filled = copy(tree)
    for field in table.values():
        if field.default is not None and not field.many and field.name not in filled:
            if schema.fields(field.kind) is None:
                filled[field.name] = [field.default]
        elif field.name in filled and schema.fields(field.kind) is not None:
            filled[field.name] = [
                node if isinstance(node, str) else with_defaults(node, field.kind)
                for node in filled[field.name]
            ]
    return filled


def refuse_repeated(tree: Tree, *names: str) -> None:
    """Raise BadFile where a list of texts names one twice.

    Observed: "Field:…, value:… appears more than once".
    """
    for name in names:
        seen: set[str] = set()
        for node in tree.get(name, ()):
            value = node if isinstance(node, str) else ""
            if value in seen:
                raise BadFile(f"Field:{name}, value:{value} appears more than once")
            seen.add(value)


def not_found(field: str, kind: str, name: str) -> BadFile:
    """Return the refusal of a reference to what the org does not have.

    Observed: "In field: recordType - no RecordType named … found" and the like.
    """
    return BadFile(f"In field: {field} - no {kind} named {name} found")


def without_empty(tree: Tree) -> Tree:
    """Return the tree without empty texts: an org does not report them."""
    kept: Tree = {}
    for name, values in tree.items():
        found = [n if isinstance(n, str) else without_empty(n) for n in values]
        found = [n for n in found if n not in ("", {})]
        if found:
            kept[name] = found
    return kept
