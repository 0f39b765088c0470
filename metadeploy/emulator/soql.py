"""SOQL over an org's records: a useful subset, refused in the platform's words.

What it does: fields, parents (five levels up), child subqueries (one level), semi
and anti joins, AND/OR/NOT, comparisons, LIKE, IN, date literals, aggregates with
GROUP BY and HAVING, ORDER BY, LIMIT, OFFSET, FIELDS(). Comparisons of text ignore
case, those of ids do not; `!=` and NOT IN hold for null (documented: SOQL and SOSL
Reference, "Comparison Operators", "Null values in WHERE").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from metadeploy.emulator import soql_text
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.sobjects import ChildRelation, SField, SObject
from metadeploy.emulator.soql_groups import aggregate_names, grouped, in_order
from metadeploy.emulator.soql_scope import (
    ENTITY_HINT,
    RELATIONSHIP_HINT,
    Plain,
    Reader,
    Record,
    Scope,
    Source,
    key_of,
    relation,
)
from metadeploy.emulator.soql_tree import Aggregate, AllFields, Path, Query, Selected

Value: TypeAlias = "Plain | Row | Result"
_T = TypeVar("_T")

MAX_OFFSET = 2000


class Row(Struct, frozen=True):
    """One record of an answer. sobject: "AggregateResult" for a grouped one.

    values: what was selected, in that order, by the names the platform writes; a
    parent is a Row or None, a subquery a Result, or None where it found nothing.
    """

    sobject: str
    id: str
    values: Mapping[str, Value]


class Result(Struct, frozen=True):
    """What a query found. total: how many; rows: they, but none for COUNT()."""

    total: int
    rows: tuple[Row, ...]


class Column(Struct, frozen=True):
    """One column of an answer. inner: of a parent or a subquery, its columns."""

    name: str
    field: SField | None
    inner: tuple[Column, ...] = ()
    aggregate: bool = False


def query(text: str, source: Source, *, now: float) -> Result:
    """Run a query. now: seconds since the epoch, for date literals.

    Raises Fault MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE and others.
    """
    return _Plan(soql_text.parse(text), source, text, now=now).run()


def columns(text: str, source: Source) -> tuple[Column, ...]:
    """Return the columns a query would answer, without running it. Raises Fault."""
    return _Plan(soql_text.parse(text), source, text, now=0.0).columns()


class _Plan:
    """One query checked against its sObject, ready to run.

    child_of: the sObject above, where this is a subquery of its SELECT.
    """

    def __init__(
        self,
        tree: Query,
        source: Source,
        text: str,
        *,
        now: float,
        child_of: SObject | None = None,
    ) -> None:
        self._text = soql_text.Source(text)
        self._link: ChildRelation | None = None
        sobject = self._from(tree, source, child_of)
        self._sobject = sobject

        def inner(item: Query) -> Iterable[Plain]:
            return _Plan(item, source, text, now=now).only_column()

        self._scope = Scope(sobject, source, self._text, now=now, inner=inner)
        self._tree = tree = replace(tree, select=self._expanded(tree))
        self._grouped = bool(tree.group) or any(
            isinstance(item, Aggregate) for item in tree.select
        )
        self._children: dict[Query, _Plan] = {}
        for item in tree.select:
            if isinstance(item, Query):
                if child_of is not None or self._grouped:
                    raise self._text.malformed("unexpected token: '('", item.sobject_at)
                plan = _Plan(item, source, text, now=now, child_of=sobject)
                self._children[item] = plan
        self._check()
        self._where = self._scope.test(tree.where) if tree.where else None

    # -- checking

    def _from(self, tree: Query, source: Source, parent: SObject | None) -> SObject:
        name, at = tree.sobject, tree.sobject_at
        if parent is not None:
            self._link = _child(parent, name)
            if self._link is None:
                message = (
                    f"Didn't understand relationship '{name}' in FROM part of query "
                    f"call.{RELATIONSHIP_HINT}"
                )
                raise self._text.fault("INVALID_TYPE", message, at)
            return source.describe(self._link.sobject)
        try:
            return source.describe(name)
        except Fault as fault:
            raise self._text.fault(
                fault.code, fault.message + ENTITY_HINT, at
            ) from fault

    def _expanded(self, tree: Query) -> tuple[Selected, ...]:
        """Put the fields themselves in the place of FIELDS(…)."""
        found: list[Selected] = []
        for item in tree.select:
            if not isinstance(item, AllFields):
                found.append(item)
                continue
            if item.which != "standard" and (tree.limit or 201) > 200:
                message = "The SOQL FIELDS function must have a LIMIT of at most 200"
                raise self._text.malformed(message, item.at)
            if item.which != "custom":
                found += (Path((f.name,), item.at) for f in self._sobject.fields)
        return tuple(found)

    def _check(self) -> None:
        """Raise Fault unless every name is one, and SELECT, GROUP and ORDER agree."""
        tree, seen = self._tree, set[str]()
        for item in tree.select:
            if isinstance(item, Path):
                if str(item).lower() in seen:
                    message = f"duplicate field selected: {item.names[-1]}"
                    raise self._text.fault("INVALID_FIELD", message, item.at)
                seen.add(str(item).lower())
                self._scope.field(item)
                if self._grouped and not self._is_group(item):
                    message = f"Field must be grouped or aggregated: {item}"
                    raise self._text.malformed(message, item.at)
            elif isinstance(item, Aggregate) and item.path:
                self._scope.field(item.path)
        for path in tree.group:
            self._scope.field(path)
        if tree.offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise Fault("NUMBER_OUTSIDE_VALID_RANGE", message)
        for order in tree.order:
            self._check_order(order.by)

    def _check_order(self, by: Path | Aggregate) -> None:
        aliases = {name.lower() for name in aggregate_names(self._tree).values()}
        if isinstance(by, Path) and not self._grouped:
            self._scope.field(by)
        elif isinstance(by, Path) and str(by).lower() not in aliases:
            self._scope.field(by)
            if not self._is_group(by):
                message = f"Ordered field must be grouped or aggregated: {by}"
                raise self._text.malformed(message, by.at)
        elif not self._grouped:
            raise self._text.malformed("Ordered field must be grouped", by.at)

    def _is_group(self, path: Path) -> bool:
        return str(path).lower() in {str(p).lower() for p in self._tree.group}

    # -- running

    def only_column(self) -> Iterable[Plain]:
        """Return the one field's values, for a query inside IN (…)."""
        [item, *more] = self._tree.select
        if more or not isinstance(item, Path):
            message = "The inner select query must have exactly one field"
            raise self._text.malformed(message, self._tree.sobject_at)
        _, read = self._scope.field(item)
        return [read(record) for record in self._ordered(self._records(""))]

    def run(self, parent_id: str = "") -> Result:
        """Find the rows; of a subquery, those that belong to that parent."""
        records = self._records(parent_id)
        if not self._grouped:
            rows = tuple(self._row(record) for record in self._ordered(records))
            return Result(len(rows), rows)
        only = self._tree.select[0]
        if isinstance(only, Aggregate) and not only.path and not self._tree.group:
            return Result(len(self._page(records)), ())
        found = self._page(grouped(self._tree, self._scope, records))
        return Result(len(found), tuple(Row("AggregateResult", "", v) for v in found))

    def _records(self, parent_id: str) -> Sequence[Record]:
        found = self._scope.source.records(self._sobject.name)
        if self._link is not None:
            key = self._link.field
            found = [r for r in found if str(r.get(key))[:15] == parent_id[:15]]
        return found if self._where is None else list(filter(self._where, found))

    def _ordered(self, records: Sequence[Record]) -> Sequence[Record]:
        for order in reversed(self._tree.order):
            if isinstance(order.by, Path):
                field, read = self._scope.field(order.by)
                records = in_order(records, partial(_sort_key, read, field), order)
        return self._page(records)

    def _page(self, found: Sequence[_T]) -> Sequence[_T]:
        start, limit = self._tree.offset, self._tree.limit
        return found[start : None if limit is None else start + limit]

    def _row(self, record: Record) -> Row:
        values: dict[str, Value] = {}
        for item in self._tree.select:
            if isinstance(item, Path):
                self._put(values, self._sobject, record, item.names)
            elif isinstance(item, Query):
                plan = self._children[item]
                found = plan.run(str(record["Id"]))
                values[plan.name] = found if found.rows else None
        return Row(self._sobject.name, str(record["Id"]), values)

    @property
    def name(self) -> str:
        """The relationship this subquery follows, as the platform writes it."""
        return self._link.name if self._link else self._sobject.name

    def _put(
        self,
        values: dict[str, Value],
        sobject: SObject,
        record: Record,
        names: tuple[str, ...],
    ) -> None:
        """Put one field's value where it belongs, within its parents' rows."""
        if len(names) == 1:
            name = sobject.by_name[names[0].lower()].name
            values[name] = record.get(name)
            return
        link = relation(sobject, names[0])
        if link is None:  # the sObject's own name before a field
            self._put(values, sobject, record, names[1:])
            return
        target = self._scope.source.describe(link.reference_to[0])
        parent = self._scope.parent(target.name, record.get(link.name))
        if parent is None:
            values.setdefault(link.relationship_name, None)
            return
        row = values.get(link.relationship_name)
        inner = dict(row.values) if isinstance(row, Row) else {}
        self._put(inner, target, parent, names[1:])
        values[link.relationship_name] = Row(target.name, str(parent["Id"]), inner)

    # -- columns

    def columns(self) -> tuple[Column, ...]:
        """Return what a row of this plan holds."""
        found: list[Column] = []
        names = aggregate_names(self._tree)
        for item in self._tree.select:
            if isinstance(item, Path):
                field, _ = self._scope.field(item)
                column = self._column(self._sobject, item.names, field)
                found = _joined(found, column)
            elif isinstance(item, Aggregate):
                found.append(Column(names[item], None, aggregate=True))
            elif isinstance(item, Query):
                plan = self._children[item]
                found.append(Column(plan.name, None, plan.columns(), aggregate=True))
        return tuple(found)

    def _column(
        self, sobject: SObject, names: tuple[str, ...], field: SField
    ) -> Column:
        if len(names) == 1:
            return Column(field.name, field)
        link = relation(sobject, names[0])
        if link is None:
            return self._column(sobject, names[1:], field)
        target = self._scope.source.describe(link.reference_to[0])
        inner = self._column(target, names[1:], field)
        return Column(link.relationship_name, None, (inner,))


def _child(sobject: SObject, name: str) -> ChildRelation | None:
    return next((c for c in sobject.children if c.name.lower() == name.lower()), None)


def _sort_key(read: Reader, field: SField, record: Record) -> Plain:
    return key_of(read(record), field)


def _joined(found: list[Column], column: Column) -> list[Column]:
    """Put a parent's column beside the earlier ones of the same parent."""
    for index, other in enumerate(found):
        if other.inner and column.inner and other.name == column.name:
            inner = _joined(list(other.inner), column.inner[0])
            found[index] = replace(other, inner=tuple(inner))
            return found
    return [*found, column]
