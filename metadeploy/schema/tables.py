"""Read the tables: each file at most once, when somebody first asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from msgspec import Struct

Layout = Literal[
    "file", "folder", "bundle", "space", "own", "descriptor", "inner", "child"
]


class MetadataType(Struct, frozen=True):
    """A metadata type, and where its files live in a package.

    suffix: without the dot; "" where the name already holds it, or there is none.
    in_folder: the fullName begins with a folder, as in "Sales/Pipeline".
    meta_file: the file is content; a "-meta.xml" beside it describes it.
    layout: how name and directory make a path, see types.tsv.
    owner: the type that a child or inner type lives in, or that package.xml lists a
    folder as ("Report" for "ReportFolder"); "" for all others.
    since: the first API version that has it, None where we don't know.
    """

    name: str
    directory: str
    suffix: str
    in_folder: bool
    meta_file: bool
    layout: Layout
    owner: str
    since: float | None


class Field(Struct, frozen=True):
    """One element of a metadata type, or of a struct inside it.

    kind: string, boolean, int, double, date, dateTime, base64Binary, time, or the
    name of an enum or of a struct.
    since, until: first and last API version that has it; None where we don't know.
    default: what an org reports when the file is silent; None where we don't know.
    flags: see fields.tsv; for example "create-only", "secret", "server", "set".
    """

    name: str
    kind: str
    required: bool
    many: bool
    since: float | None
    until: float | None
    default: str | None
    flags: frozenset[str]


@cache
def metadata_types() -> Mapping[str, MetadataType]:
    """Return every metadata type that a file-based deploy knows, by name."""
    return MappingProxyType(
        {
            name: MetadataType(
                name=name,
                directory=directory,
                suffix=suffix,
                in_folder=layout == "folder",
                meta_file=bool(meta),
                layout=cast(Layout, layout),
                owner=owner,
                since=_version(since),
            )
            for name, directory, suffix, layout, meta, owner, since in _rows("types")
        }
    )


def fields(struct: str) -> Mapping[str, Field] | None:
    """Return the elements of a type or struct in wire order; None without a table.

    struct: a root element such as "ConnectedApp" or "ConnectedAppSettings", or the
    `kind` of a Field.
    """
    return _structs().get(struct)


def enum(name: str) -> tuple[str, ...] | None:
    """Return the allowed values in wire order; None where `name` is no enum of ours.

    name: the `kind` of a Field, or "Struct.field" for a field that the API takes as
    free text though its documentation names the values.
    """
    found = _enums().get(name)
    return None if found is None else tuple(found)


def enum_since(name: str, value: str) -> float | None:
    """Return the first API version with that value; None where we don't know.

    Raises KeyError for an enum or value that is not in the table.
    """
    return _enums()[name][value]


def item_key(struct: str) -> tuple[str, ...]:
    """Return the fields that tell one item of a repeated struct from another."""
    return _items().get(struct, ())


def scopes() -> tuple[str, ...]:
    """Return the metadata names of all OAuth scopes, in wire order."""
    return tuple(_scopes())


def canonical_scope(name: str) -> str:
    """Return the scope name that an org reports after it was given `name`.

    A name we don't know stays as it is.
    """
    row = _scopes().get(name)
    return row[1] if row else name


def oauth_scope(name: str) -> str:
    """Return the token's name for a scope: "chatter_api" for "Chatter".

    Raises KeyError for an unknown scope.
    """
    return _scopes()[name][0]


def _rows(table: str) -> Iterator[list[str]]:
    text = Path(__file__).with_name(f"{table}.tsv").read_text("utf-8")
    lines = (line for line in text.split("\n") if line and not line.startswith("#"))
    next(lines)
    return (line.split("\t") for line in lines)


def _version(text: str) -> float | None:
    return float(text) if text else None


@cache
def _structs() -> Mapping[str, Mapping[str, Field]]:
    structs: dict[str, dict[str, Field]] = {}
    for struct, name, kind, times, since, until, default, flags in _rows("fields"):
        structs.setdefault(struct, {})[name] = Field(
            name=name,
            kind=kind,
            required=times in "1+",
            many=times in "*+",
            since=_version(since),
            until=_version(until),
            default=default or None,
            flags=frozenset(flags.split(",") if flags else ()),
        )
    return {name: MappingProxyType(table) for name, table in structs.items()}


@cache
def _enums() -> Mapping[str, Mapping[str, float | None]]:
    enums: dict[str, dict[str, float | None]] = {}
    for name, value, since in _rows("enums"):
        enums.setdefault(name, {})[value] = _version(since)
    return enums


@cache
def _items() -> Mapping[str, tuple[str, ...]]:
    return {struct: tuple(key.split(",")) for struct, key in _rows("items")}


@cache
def _scopes() -> Mapping[str, tuple[str, str]]:
    return {scope: (oauth, canonical) for scope, oauth, canonical in _rows("scopes")}
