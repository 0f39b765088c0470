"""A SOQL query as a tree. `at` is always a position in the query's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Path:
    """A field, through parents: names as written, without the FROM's alias."""

    names: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """COUNT(Id) and its like. path is None for COUNT()."""

    function: str
    path: Path | None
    alias: str
    at: int


@dataclass(frozen=True, slots=True)
class AllFields:
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    which: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value. kind: string, number, boolean, null, date, datetime or range.

    value: for a string its text with `%`, `_` and backslash still escaped where
    they were (`plain` ends that), else the text.
    """

    kind: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Path | Aggregate
    operator: str
    right: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    left: Path
    values: tuple[Literal, ...] | Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    item: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """All of the items ("and") or one of them ("or")."""

    word: str
    items: tuple[Condition, ...]


Condition: TypeAlias = "Comparison | Membership | Not | Junction"


@dataclass(frozen=True, slots=True)
class Order:
    by: Path | Aggregate
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
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
