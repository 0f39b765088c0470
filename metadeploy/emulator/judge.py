"""Read a metadata file as strictly as an org does, with the org's own words.

Judges by the platform's field tables, and by nothing of the tool's own rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from xml.parsers import expat

from lxml import etree

from metadeploy import schema
from metadeploy.emulator.tree import (
    Node,
    Tree,
    XmlFault,
    parse,
)
from metadeploy.model import METADATA_NS

_NS = f"{{{METADATA_NS}}}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_BOOLEANS = {"true": "true", "false": "false", "1": "true", "0": "false"}
_NUMBERS: Mapping[str, re.Pattern[str]] = {
    "int": re.compile(r"[+-]?\d{1,10}"),
    "long": re.compile(r"[+-]?\d{1,19}"),
    "double": re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"),
    "date": re.compile(r"-?\d{4,}-\d\d-\d\d"),
    "dateTime": re.compile(
        r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"
    ),
    "time": re.compile(r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"),
}


class BadFile(Exception):
    """Why an org refuses a file: its words, and where (0 = nowhere in particular).

    warning: ignoreWarnings would have let it pass.
    """

    def __init__(
        self, problem: str, line: int = 0, column: int = 0, *, warning: bool = False
    ) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column
        self.warning = warning


class _Bad(Exception):
    """The same, while only the element is known."""

    def __init__(self, problem: str, element: etree._Element) -> None:
        super().__init__(problem)
        self.problem, self.element = problem, element


def read_file(body: bytes, root_name: str, version: float) -> Tree | None:
    """Return the file's content, checked; None for a type without a field table.

    version: the package's API version. Raises BadFile.
    """
    root = root_of(body, root_name)
    if schema.fields(root_name) is None:
        return None
    try:
        return read_struct(root, root_name, version)
    except _Bad as bad:
        line, column = _position(body, root, bad.element)
        raise BadFile(bad.problem, line, column) from None


def read_element(element: etree._Element, root_name: str, version: float) -> Tree:
    """Return the content of a `<metadata>` element of a CRUD call, checked alike.

    The type has a field table. Raises BadFile, without a place.
    """
    try:
        return read_struct(element, root_name, version)
    except _Bad as bad:
        raise BadFile(bad.problem) from None


def root_of(body: bytes, root_name: str) -> etree._Element:
    """Return the root element, well-formed and of the right name. Raises BadFile."""
    try:
        root = parse(body)
    except XmlFault as fault:
        # Inferred: the wording follows the Java parser that the platform reports.
        raise BadFile(
            f"Error parsing file: ParseError at [row,col]:[{fault.line},"
            f"{fault.column}] Message: {fault.message}",
            fault.line,
            fault.column,
        ) from None
    if root.tag != _NS + root_name:
        # Observed for other types: the root is judged like any element.
        line, column = _position(body, root, root)
        raise BadFile(
            f"Error parsing file: Element {root.tag!s} invalid at this location",
            line,
            column,
        )
    return root


def read_struct(element: etree._Element, struct: str, version: float) -> Tree:
    """Check the children of one struct and return them as a tree."""
    table = schema.fields(struct)
    if table is None:
        raise _Bad(f"Unknown type {struct}", element)
    tree: Tree = {}
    last = ""
    for child in element:
        name = _known(child, table, struct, version)
        if name == "fullName" and name not in table:
            continue  # of the Metadata supertype: the file's name counts
        field = table[name]
        if name in tree and (last != name or not field.many):
            raise _Bad(
                "Error parsing file: Element "
                f"{name} is duplicated at this location in type {struct}",
                child,
            )
        last = name
        if child.get(f"{_XSI}nil") == "true":
            continue
        tree.setdefault(name, []).append(_value(child, field, version))
    missing = [f.name for f in table.values() if _lacks(f, tree, version)]
    if len(missing) == 1:
        raise _Bad(f"Required field is missing: {missing[0]}", element)
    if missing:
        raise _Bad(f"Required fields are missing: [{', '.join(missing)}]", element)
    return tree


def _known(
    child: etree._Element,
    table: Mapping[str, schema.Field],
    struct: str,
    version: float,
) -> str:
    tag = str(child.tag)
    name = tag.removeprefix(_NS)
    field = table.get(name)
    if field is None:
        if tag == _NS + "fullName" and _is_root(struct):
            return name
        raise _Bad(
            f"Error parsing file: Element {tag} invalid at this location"
            f" in type {struct}",
            child,
        )
    too_new = field.since is not None and version < field.since
    too_old = field.until is not None and version > field.until
    if too_new or too_old:
        raise _Bad(f"Property '{name}' not valid in version {version:.1f}", child)
    return name


def _is_root(struct: str) -> bool:
    return struct in schema.metadata_types() or struct.endswith("Settings")


# The app of a satellite is missed in words of its own.
_ASKED_LATER = frozenset({"externalClientApplication"})


def _lacks(field: schema.Field, tree: Tree, version: float) -> bool:
    if not field.required or "lenient" in field.flags or field.name in _ASKED_LATER:
        return False
    if field.since is not None and version < field.since:
        return False
    values = tree.get(field.name)
    return not values or values == [""]


def _value(child: etree._Element, field: schema.Field, version: float) -> Node:
    if schema.fields(field.kind) is not None:
        return read_struct(child, field.kind, version)
    if len(child):
        raise _Bad(
            f"Error parsing file: Element {child[0].tag!s} invalid at this location"
            f" in type {field.kind}",
            child[0],
        )
    raw = child.text or ""
    check = _CHECKS.get(field.kind)
    if check is None:
        return _enum(raw, field.kind, child, version)
    return check(raw, field.kind, child)


def _enum(raw: str, kind: str, child: etree._Element, version: float) -> str:
    allowed = schema.enum(kind)
    if allowed is None:
        return raw
    value = raw.strip()
    since = schema.enum_since(kind, value) if value in allowed else None
    if value not in allowed or (since is not None and version < since):
        raise _Bad(f"'{value}' is not a valid value for the enum '{kind}'", child)
    return value


def _string(raw: str, kind: str, child: etree._Element) -> str:
    del kind, child
    return raw


def _boolean(raw: str, kind: str, child: etree._Element) -> str:
    value = _BOOLEANS.get(raw.strip())
    if value is None:
        raise _Bad(f"'{raw.strip()}' is not valid for the type xsd:{kind}", child)
    return value


def _number(raw: str, kind: str, child: etree._Element) -> str:
    # Observed: "'Tier 2' is not valid for the type xsd:double"
    # (forcedotcom/CustomMetadataLoader#80).
    if not _NUMBERS[kind].fullmatch(raw.strip()):
        raise _Bad(f"'{raw.strip()}' is not valid for the type xsd:{kind}", child)
    return raw.strip()


_CHECKS: Mapping[str, Callable[[str, str, etree._Element], str]] = {
    "string": _string,
    "base64Binary": _string,
    "boolean": _boolean,
    **dict.fromkeys(_NUMBERS, _number),
}


def _position(
    body: bytes, root: etree._Element, element: etree._Element
) -> tuple[int, int]:
    """Return line and column of an element's start tag.

    The column is that of the tag's last letter, from 1: inferred from reported
    places such as "Element actionCalls is duplicated … (134:16)".
    """
    number = next(n for n, e in enumerate(root.iter()) if e is element)
    count = 0
    place = (element.sourceline or 1, 0)
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count, place
        if count == number:
            place = (
                parser.CurrentLineNumber,
                parser.CurrentColumnNumber + 1 + len(name),
            )
        count += 1

    parser.StartElementHandler = start
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        return place
    return place
