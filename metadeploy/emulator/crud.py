"""The calls that read and write components one by one, without a zip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lxml import etree
from msgspec import Struct

from metadeploy import schema
from metadeploy.emulator import externalapps
from metadeploy.emulator.components import (
    delete_component,
    rename_component,
    tree_for_reading,
    write_component,
    write_tree,
)
from metadeploy.emulator.envelope import Nil, Raw
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.judge import BadFile, read_element
from metadeploy.emulator.package import SourceFile
from metadeploy.emulator.rights import require_metadata_rights
from metadeploy.emulator.state import OrgState, Session, StoredComponent
from metadeploy.emulator.tree import local_name, parse, write_content
from metadeploy.emulator.writing import Writer
from metadeploy.model import METADATA_NS, Ref

MOST = 10
MOST_OF_SMALL = 200
_SMALL = frozenset({"CustomMetadata", "CustomApplication"})
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_SETTINGS = "Settings"


class Saved(Struct, frozen=True):
    """What became of one component of a call. code, message: "" for success."""

    full_name: str
    created: bool = False
    code: str = ""
    message: str = ""

    @property
    def success(self) -> bool:
        return not self.code


class _Undone(Exception):
    """Leaves the transaction: not everything could be done."""


_Action = Callable[[Writer, Ref, etree._Element], bool]


# -- reading


def read_metadata(
    session: Session, kind: str, full_names: Sequence[str]
) -> list[Raw | Nil]:
    """Return a `records` element a name, in the order asked; Nil for a missing one.

    Raises Fault.
    """
    require_metadata_rights(session)
    _check_count(kind, len(full_names))
    return [_record(session.org, _ref(kind, name), kind) for name in full_names]


def _check_count(kind: str, count: int) -> None:
    most = MOST_OF_SMALL if kind in _SMALL else MOST
    if count > most:
        # Documented limit; the wording is recalled from the data calls.
        raise Fault(
            "LIMIT_EXCEEDED",
            "record limit reached. cannot submit more than"
            f" {most} records into this operation",
        )


def _ref(kind: str, full_name: str) -> Ref:
    """Return the component a CRUD call means: settings are types of their own there."""
    if kind in schema.metadata_types() and kind != _SETTINGS:
        return Ref(kind, full_name)
    if kind.endswith(_SETTINGS) and len(kind) > len(_SETTINGS):
        return Ref(_SETTINGS, kind.removesuffix(_SETTINGS))
    raise Fault("INVALID_TYPE", f"Unknown type:{kind}")


def _record(org: OrgState, ref: Ref, kind: str) -> Raw | Nil:
    component = org.component(ref)
    if component is None:
        return Nil()
    inner = _inner(org, component)
    name = write_content({"fullName": [ref.full_name]})
    return Raw(name + inner, f' xsi:type="{kind}"')


def _inner(org: OrgState, component: StoredComponent) -> str:
    root = schema.root_name(component.ref)
    if schema.fields(root) is not None:
        return write_content(tree_for_reading(org, component))
    if component.extra.get("bundled") or not component.body.lstrip().startswith(b"<"):
        # Observed wording and code (apex-mdapi#194).
        raise Fault(
            "UNKNOWN_EXCEPTION",
            f"{component.ref.type} is not a valid metadata type for reading",
        )
    text = etree.tostring(parse(component.body), encoding="unicode")
    start, end = text.index(">") + 1, text.rfind("</")
    return text[start:end] if end > start else ""


# -- writing


def create_metadata(
    session: Session,
    elements: Sequence[etree._Element],
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    """Create components; one that is there already fails.

    all_or_none: a failing one leaves nothing of the others.
    """

    def create(writer: Writer, ref: Ref, element: etree._Element) -> bool:
        if writer.org.component(ref):
            # Observed for profiles (apex-mdapi#22).
            raise BadFile(
                "duplicate value found: <unknown> duplicates value on record with id:"
                " <unknown>"
            )
        return _write(writer, ref, element)

    return _each(session, elements, create, version=version, all_or_none=all_or_none)


def update_metadata(
    session: Session,
    elements: Sequence[etree._Element],
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    """Update components; one that is not there fails."""

    def update(writer: Writer, ref: Ref, element: etree._Element) -> bool:
        if writer.org.component(ref) is None:
            raise _no_such(ref)
        return _write(writer, ref, element)

    return _each(session, elements, update, version=version, all_or_none=all_or_none)


def upsert_metadata(
    session: Session,
    elements: Sequence[etree._Element],
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    """Create or update components."""
    return _each(session, elements, _write, version=version, all_or_none=all_or_none)


def _no_such(ref: Ref) -> BadFile:
    return BadFile(f"In field: fullName - no {ref.type} named {ref.full_name} found")


def _write(writer: Writer, ref: Ref, element: etree._Element) -> bool:
    root = schema.root_name(ref)
    if schema.fields(root) is not None:
        return write_tree(
            writer, ref, read_element(element, root, writer.version)
        ).created
    try:
        path = schema.path_of(ref)
    except ValueError as error:
        raise BadFile(str(error)) from None
    found = schema.metadata_types()[ref.type]
    if found.meta_file or found.layout not in ("file", "folder", "inner"):
        raise BadFile(f"{ref.type} is not a valid metadata type for this call")
    body = _as_file(element, root)
    source = SourceFile(ref, path, {path: body}, None)
    return write_component(writer, source).created


def _as_file(element: etree._Element, root: str) -> bytes:
    """Return a `<metadata>` element as the file it would be, fullName left out."""
    made: etree._Element = etree.Element(
        f"{{{METADATA_NS}}}{root}", nsmap={None: METADATA_NS}
    )
    for child in element:
        if local_name(child) != "fullName":
            made.append(child)
    etree.cleanup_namespaces(made, top_nsmap={None: METADATA_NS})
    return etree.tostring(
        made, encoding="UTF-8", xml_declaration=True, pretty_print=True
    )


def _each(
    session: Session,
    elements: Sequence[etree._Element],
    action: _Action,
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    require_metadata_rights(session)
    kinds = [_kind(element) for element in elements]
    if len(set(kinds)) > 1:
        # Documented: one type a call. The wording is inferred.
        raise Fault("INVALID_TYPE", "All metadata in one call must be of one type")
    if kinds:
        _check_count(kinds[0], len(kinds))
    named = [
        (_ref(kind, _full_name(element)), element)
        for kind, element in zip(kinds, elements, strict=True)
    ]

    def one(writer: Writer, item: tuple[Ref, etree._Element]) -> bool:
        return action(writer, *item)

    return _transact(session, named, one, version=version, all_or_none=all_or_none)


def _kind(element: etree._Element) -> str:
    raw = element.get(_XSI_TYPE, "")
    kind = raw.rpartition(":")[2]
    if not kind:
        raise Fault("INVALID_TYPE", "The metadata's xsi:type is missing")
    return kind


def _full_name(element: etree._Element) -> str:
    for child in element:
        if local_name(child) == "fullName":
            return (child.text or "").strip()
    return ""


def delete_metadata(
    session: Session,
    kind: str,
    full_names: Sequence[str],
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    """Delete components; one that is not there fails."""
    require_metadata_rights(session)
    _check_count(kind, len(full_names))
    refs = [_ref(kind, name) for name in full_names]

    def delete(writer: Writer, item: tuple[Ref, None]) -> bool:
        if delete_component(writer, item[0]) is None:
            raise _no_such(item[0])
        return False

    pairs: list[tuple[Ref, None]] = [(ref, None) for ref in refs]
    return _transact(session, pairs, delete, version=version, all_or_none=all_or_none)


_Item = TypeVar("_Item")


def _transact(
    session: Session,
    items: Sequence[tuple[Ref, _Item]],
    action: Callable[[Writer, tuple[Ref, _Item]], bool],
    *,
    version: float,
    all_or_none: bool,
) -> list[Saved]:
    """Run the action on each; a failing one leaves nothing, or nobody anything."""
    org = session.org
    writer = Writer(org, session.user_id, version, crud=True)
    results: list[Saved] = []
    with org.world.transaction():
        try:
            with org.world.store.savepoint():
                for item in items:
                    results.append(_one(org, writer, item, action))
                externalapps.add_generated(writer, {ref.type for ref, _ in items})
                if all_or_none and any(not r.success for r in results):
                    raise _Undone
        except _Undone:
            return [r if r.code else _rolled_back(r) for r in results]
    return results


def _one(
    org: OrgState,
    writer: Writer,
    item: tuple[Ref, _Item],
    action: Callable[[Writer, tuple[Ref, _Item]], bool],
) -> Saved:
    name = item[0].full_name
    if not name and item[0].type != _SETTINGS:
        return Saved("", code="REQUIRED_FIELD_MISSING", message=_NO_NAME)
    try:
        with org.world.store.savepoint():
            return Saved(name, created=action(writer, item))
    except BadFile as bad:
        return Saved(name, code=_code(bad.problem), message=bad.problem)


_NO_NAME = "Required field is missing: fullName"


def _rolled_back(result: Saved) -> Saved:
    # Recalled wording.
    return Saved(
        result.full_name,
        code="ALL_OR_NONE_OPERATION_ROLLED_BACK",
        message="Record rolled back because not all records were valid and the request"
        " was using AllOrNone header",
    )


def rename_metadata(session: Session, kind: str, old: str, new: str) -> Saved:
    """Give a component another fullName. Raises Fault for an unknown type."""
    require_metadata_rights(session)
    org = session.org
    writer = Writer(org, session.user_id, 66.0, crud=True)
    try:
        with org.world.transaction():
            rename_component(writer, _ref(kind, old), new)
    except BadFile as bad:
        return Saved(old, code=_code(bad.problem), message=bad.problem)
    return Saved(new)


_CODES = (
    ("duplicate value found", "DUPLICATE_VALUE"),
    ("The consumer key is already taken", "DUPLICATE_VALUE"),
    ("Required field", "REQUIRED_FIELD_MISSING"),
    ("In field: ", "INVALID_CROSS_REFERENCE_KEY"),
    ("Not available for deploy", "INSUFFICIENT_ACCESS"),
    ("You can't create a connected app", "INSUFFICIENT_ACCESS"),
    ("Error parsing file", "INVALID_FIELD"),
)


def _code(problem: str) -> str:
    """Return the status code that goes with a message (inferred pairs)."""
    for beginning, code in _CODES:
        if problem.startswith(beginning):
            return code
    return "FIELD_INTEGRITY_EXCEPTION"
