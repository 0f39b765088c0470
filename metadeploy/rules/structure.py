"""Structure: well-formed, the right root, elements that exist, values of their kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from lxml import etree

from metadeploy import schema
from metadeploy.model import METADATA_NS, Component, Problem
from metadeploy.near import did_you_mean
from metadeploy.rules import values
from metadeploy.rules.reading import (
    File,
    is_metadata,
    one_of,
    show,
    source_of,
    value_of,
)
from metadeploy.schema import Field
from metadeploy.xmlfile import XmlError, local_name, parse, text_of

_INT = 2**31 - 1
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

# What XML Schema allows; white space around the value does not count. Texts, for `re`
# compiles one at its first use, and many a run needs none.
_SCALARS: Mapping[str, tuple[str, str]] = {
    "boolean": (r"true|false|1|0", "true or false"),
    "int": (r"[+-]?[0-9]{1,10}", "a whole number"),
    "double": (
        r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?",
        "a number",
    ),
    "base64Binary": (r"[A-Za-z0-9+/\s]*={0,2}", "base64 text"),
}

# connectedAppAccesses is metadeploy's own: no API version has it. It is lowered to
# what the platform accepts before anything is packaged.
_ACCESSES = Field(
    name="connectedAppAccesses",
    kind="ConnectedAppAccess",
    required=False,
    many=True,
    since=None,
    until=None,
    default=None,
    flags=frozenset(),
)
_ACCESS: Mapping[str, Field] = {
    name: Field(
        name=name,
        kind=kind,
        required=True,
        many=False,
        since=None,
        until=None,
        default=None,
        flags=frozenset(),
    )
    for name, kind in (("connectedApp", "string"), ("enabled", "boolean"))
}


def read(component: Component) -> tuple[File, list[Problem]]:
    """Parse a component: the File to check, and why it could not be parsed.

    Files that are content (Apex, pages, bundles) are not XML for us: root None.
    """
    ref, source = component.ref, source_of(component)
    found = schema.metadata_types().get(ref.type)
    if found is None:
        file = File(ref, source, None)
        near = _suggest(ref.type, schema.metadata_types())
        text = f"{show(ref.type)} is not a metadata type{near}"
        return file, [file.problem("MD104", text)]
    if found.meta_file or found.layout in ("bundle", "space"):
        return File(ref, source, None), []
    try:
        return File(ref, source, parse(component.body)), []
    except XmlError as error:
        file = File(ref, source, None)
        text = f"not well-formed XML: {' '.join(error.message.split())}"
        return file, [file.problem("MD101", text, error.line)]


def check(file: File, version: float) -> Iterator[Problem]:
    """Yield what is wrong with the structure of one file."""
    if file.root is None:
        return
    wanted = schema.root_name(file.ref)
    if file.root.tag != f"{{{METADATA_NS}}}{wanted}":
        space = etree.QName(file.root).namespace
        tail = "" if space == METADATA_NS else f' with xmlns="{METADATA_NS}"'
        name = local_name(file.root)
        text = f"the root element is <{_short(name)}>; it has to be <{wanted}>{tail}"
        yield file.problem("MD102", text, file.root)
    elif _elements(wanted) is not None:
        yield from _Walk(file, wanted, version).struct(file.root, wanted)


_Known = tuple[etree._Element, Field]


class _Walk:
    """One pass over a file of known type, from the root down."""

    def __init__(self, file: File, root_name: str, version: float) -> None:
        self.file, self.root_name, self.version = file, root_name, version

    def struct(self, element: etree._Element, struct: str) -> Iterator[Problem]:
        """Check an element that holds elements: `struct` says which."""
        table = _elements(struct) or {}
        yield from self._attributes(element)
        yield from self._stray_text(element)
        known: list[_Known] = []
        for child in element:
            field = table.get(local_name(child)) if is_metadata(child) else None
            if field is None:
                yield self._unknown(child, element, table)
            else:
                known.append((child, field))
        yield from self._order(known)
        yield from self._twice(known)
        for child, field in known:
            yield from self._child(child, field, struct)
        yield from self._missing(element, table, {f.name for _, f in known})

    def _attributes(self, element: etree._Element) -> Iterator[Problem]:
        for name in element.attrib:
            if name != _NIL:
                text = f"{local_name(element)} has the attribute {show(str(name))}"
                yield self.file.problem("MD114", text, element)

    def _stray_text(self, element: etree._Element) -> Iterator[Problem]:
        texts = [element.text, *(c.tail for c in element)]
        for text in filter(None, (t.strip() for t in texts if t)):
            what = f"the text {show(text)} stands between elements"
            yield self.file.problem("MD113", what, element)

    def _order(self, known: list[_Known]) -> Iterator[Problem]:
        ended: set[str] = set()
        last = ""
        for child, field in known:
            name = field.name
            if not field.many and (name in ended or name == last):
                text = f"{name} is given twice, but is no list"
                yield self.file.problem("MD105", text, child)
            elif name in ended and name != last:
                text = f"{name} stands apart from the {name} above"
                yield self.file.problem("MD106", text, child)
            ended.add(last)
            last = name

    def _unknown(
        self,
        child: etree._Element,
        parent: etree._Element,
        table: Mapping[str, Field],
    ) -> Problem:
        name, inside = local_name(child), local_name(parent)
        if not is_metadata(child):
            text = f"{_short(name)} is not in the metadata namespace"
            return self.file.problem("MD103", text, child)
        if name == "fullName" and parent is self.file.root:
            text = f"fullName does not belong in a file; it is {self.file.ref}"
            return self.file.problem("MD112", text, child)
        near = _suggest(name, table)
        home = _home(self.root_name, name)
        if home and home != inside:
            near = f"; it belongs inside {home}"
        text = f"{inside} has no element {_short(name)}{near}"
        return self.file.problem("MD103", text, child)

    def _child(
        self, child: etree._Element, field: Field, struct: str
    ) -> Iterator[Problem]:
        yield from self._available(child, field.name, field.since, field.until)
        if _elements(field.kind) is not None:
            yield from self.struct(child, field.kind)
            yield from self._findings(values.of_struct(field.kind, child), child)
            return
        yield from self._attributes(child)
        if len(child):
            text = f"{field.name} holds text, not elements"
            yield self.file.problem("MD113", text, child)
        elif child.get(_NIL) not in ("true", "1"):
            yield from self._value(child, field, f"{struct}.{field.name}")

    def _value(
        self, element: etree._Element, field: Field, place: str
    ) -> Iterator[Problem]:
        text = text_of(element)
        value = text.strip()
        if not value:
            if field.kind != "string" or field.required:
                yield self.file.problem("MD109", f"{field.name} is empty", element)
            return
        allowed = schema.enum(field.kind) or schema.enum(place)
        if allowed:
            yield from self._literal(element, value, field, place)
        elif field.kind in _SCALARS:
            pattern, what = _SCALARS[field.kind]
            too_big = field.kind == "int" and len(value) > 9 and abs(int(value)) > _INT
            if not re.fullmatch(pattern, value) or too_big:
                wrong = f"{field.name} is {show(value)}; it has to be {what}"
                yield self.file.problem("MD110", wrong, element)
                return
        yield from self._findings(values.of_text(place, field.flags, text), element)

    def _literal(
        self, element: etree._Element, value: str, field: Field, place: str
    ) -> Iterator[Problem]:
        name = field.kind if schema.enum(field.kind) else place
        allowed = schema.enum(name) or ()
        if value in allowed:
            since = schema.enum_since(name, value)
            yield from self._available(element, f"{field.name} {value}", since, None)
            return
        near = _suggest(value, allowed) or f"; allowed: {one_of(allowed)}"
        text = f"{field.name} may not be {show(value)}{near}"
        yield self.file.problem("MD111", text, element)

    def _available(
        self,
        element: etree._Element,
        what: str,
        since: float | None,
        until: float | None,
    ) -> Iterator[Problem]:
        used = f"this org's package has {self.version}"
        if since and self.version < since:
            text = f"{what} came with API version {since}; {used}"
            yield self.file.problem("MD107", text, element)
        elif until and self.version > until:
            text = f"{what} went after API version {until}; {used}"
            yield self.file.problem("MD107", text, element)

    def _missing(
        self, element: etree._Element, table: Mapping[str, Field], have: set[str]
    ) -> Iterator[Problem]:
        for name, field in table.items():
            if field.required and name not in have and "lenient" not in field.flags:
                text = f"{local_name(element)} lacks the required element {name}"
                yield self.file.problem("MD108", text, element)

    def _twice(self, known: list[_Known]) -> Iterator[Problem]:
        seen: set[tuple[str, ...]] = set()
        for child, field in known:
            key = _key(child, field) if field.many else ()
            if not any(key):
                continue
            if (field.name, *key) in seen:
                what = " / ".join(filter(None, key))
                text = f"{field.name} lists {show(what)} twice"
                yield self.file.problem("MD115", text, child)
            seen.add((field.name, *key))

    def _findings(
        self, findings: Iterable[values.Finding], element: etree._Element
    ) -> Iterator[Problem]:
        for found in findings:
            line = (element.sourceline or 1) + found.line
            yield self.file.problem(found.rule, found.message, line)


def _key(child: etree._Element, field: Field) -> tuple[str, ...]:
    """Return what tells a list's item from another; empty texts where nothing does."""
    if field.kind == "ConnectedAppAccess":
        return (value_of(child, "connectedApp"),)
    if _elements(field.kind) is None:
        return (text_of(child).strip(),)
    return tuple(value_of(child, name) for name in schema.item_key(field.kind))


@cache
def _elements(struct: str) -> Mapping[str, Field] | None:
    if struct == "ConnectedAppAccess":
        return _ACCESS
    table = schema.fields(struct)
    if table and struct in ("Profile", "PermissionSet"):
        return {**table, _ACCESSES.name: _ACCESSES}
    return table


def _home(root_name: str, name: str) -> str:
    """Return the element of the type, or the type, that an element belongs in."""
    todo = [(root_name, root_name)]
    for place, struct in todo:
        table = _elements(struct) or {}
        if name in table:
            return place
        todo += [
            (f.name, f.kind) for f in table.values() if _elements(f.kind) is not None
        ]
    return ""


def _suggest(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known, cutoff=0.7)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"
