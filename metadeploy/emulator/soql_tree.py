"""A SOQL query as a tree. `at` is always a position in the query's text."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class Path(Struct, frozen=True):
    """A field, through parents: names as written, without the FROM's alias."""

    names: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.names)


class Aggregate(Struct, frozen=True):
    """COUNT(Id) and its like. path is None for COUNT()."""

    function: str
    path: Path | None
    alias: str
    at: int


class AllFields(Struct, frozen=True):
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    which: str
    at: int


class Literal(Struct, frozen=True):
    """A value. kind: string, number, boolean, null, date, datetime or range.

    value: for a string its text with `%`, `_` and backslash still escaped where
    they were (`plain` ends that), else the text.
    """

    kind: str
    value: str
    at: int


class Comparison(Struct, frozen=True):
    left: Path | Aggregate
    operator: str
    right: Literal


class Membership(Struct, frozen=True):
    left: Path
    values: tuple[Literal, ...] | Query
    negated: bool


class Not(Struct, frozen=True):
    item: Condition


class Junction(Struct, frozen=True):
    """All of the items ("and") or one of them ("or")."""

    word: str
    items: tuple[Condition, ...]


Condition: TypeAlias = "Comparison | Membership | Not | Junction"


class Order(Struct, frozen=True):
    by: Path | Aggregate
    descending: bool
    nulls_last: bool


class Query(Struct, frozen=True):
    """One SELECT. sobject: the FROM's name; of a subquery, a child relationship."""

    select: tuple[Selected, ...]
    sobject: str
    sobject_at: int
    where: Condition | None = None
    group: tuple[Path, ...] = ()
    having: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


Selected: TypeAlias = "Path | Aggregate | AllFields | Query"
