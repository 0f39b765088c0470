"""Aggregates: COUNT, MAX and their like, GROUP BY, HAVING, and their ORDER BY."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from metadeploy.emulator.sobjects import SField
from metadeploy.emulator.soql_scope import Plain, Record, Scope, key_of
from metadeploy.emulator.soql_tree import (
    Aggregate,
    Condition,
    Junction,
    Membership,
    Not,
    Order,
    Path,
    Query,
)

T = TypeVar("T")


def aggregate_names(tree: Query) -> Mapping[Aggregate, str]:
    """Return what each aggregate of the SELECT is called: its alias, or expr0, …"""
    names: dict[Aggregate, str] = {}
    unnamed = 0
    for item in tree.select:
        if isinstance(item, Aggregate):
            names[item] = item.alias or f"expr{unnamed}"
            unnamed += not item.alias
    return names


def grouped(
    tree: Query, scope: Scope, records: Sequence[Record]
) -> list[Mapping[str, Plain]]:
    """Return the rows of an aggregate query, in order, before LIMIT and OFFSET."""
    readers = [scope.field(path) for path in tree.group]
    groups: dict[tuple[Plain, ...], list[Record]] = {}
    for record in records:
        key = tuple(key_of(read(record), field) for field, read in readers)
        groups.setdefault(key, []).append(record)
    found = list(groups.values()) if tree.group else [list(records)]
    if tree.having is not None:
        having = tree.having
        found = [group for group in found if _holds(scope, having, group)]
    for order in reversed(tree.order):
        by = _order_term(tree, order.by)
        found = in_order(found, partial(_sort_value, scope, by), order)
    return [_row(tree, scope, group) for group in found]


def in_order(items: Sequence[T], key: Callable[[T], Plain], order: Order) -> list[T]:
    """Return the items sorted by `key`, stable; null first unless NULLS LAST."""
    keyed = [(key(item), item) for item in items]
    nulls = [item for value, item in keyed if value is None]
    some = [pair for pair in keyed if pair[0] is not None]
    some.sort(key=lambda pair: pair[0], reverse=order.descending)  # type: ignore[arg-type,return-value]  # one field's values
    rest = [item for _, item in some]
    return rest + nulls if order.nulls_last else nulls + rest


def _order_term(tree: Query, by: Path | Aggregate) -> Path | Aggregate:
    """Return what an ORDER BY names: an alias stands for its aggregate."""
    if isinstance(by, Path) and len(by.names) == 1:
        for item, name in aggregate_names(tree).items():
            if name.lower() == by.names[0].lower():
                return item
    return by


def _sort_value(scope: Scope, by: Path | Aggregate, group: Sequence[Record]) -> Plain:
    if isinstance(by, Aggregate):
        value = _total(scope, by, group)
        return value.lower() if isinstance(value, str) else value
    field, read = scope.field(by)
    return key_of(read(group[0]), field)


def _row(tree: Query, scope: Scope, group: Sequence[Record]) -> Mapping[str, Plain]:
    values: dict[str, Plain] = {}
    names = aggregate_names(tree)
    for item in tree.select:
        if isinstance(item, Path):
            field, read = scope.field(item)
            values[field.name] = read(group[0])
        elif isinstance(item, Aggregate):
            values[names[item]] = _total(scope, item, group)
    return values


def _total(scope: Scope, item: Aggregate, group: Sequence[Record]) -> Plain:
    if item.path is None:
        return len(group)
    field, read = scope.field(item.path)
    found = [v for v in map(read, group) if key_of(v, field) is not None]
    match item.function:
        case "count":
            return len(found)
        case "count_distinct":
            return len({key_of(value, field) for value in found})
        case "min" | "max":
            order = Order(item.path, item.function == "max", True)
            found = in_order(found, lambda value: key_of(value, field), order)
            return found[0] if found else None
    numbers = [value for value in found if isinstance(value, (int, float))]
    if not numbers:
        return None
    total = sum(numbers)
    return total / len(numbers) if item.function == "avg" else total


def _holds(scope: Scope, condition: Condition, group: Sequence[Record]) -> bool:
    if isinstance(condition, Junction):
        some = (_holds(scope, item, group) for item in condition.items)
        return all(some) if condition.word == "and" else any(some)
    if isinstance(condition, Not):
        return not _holds(scope, condition.item, group)
    if isinstance(condition, Membership) or isinstance(condition.left, Path):
        return scope.test(condition)(group[0])
    number = SField(condition.left.function, "int")
    return scope.compared(number, condition)(_total(scope, condition.left, group))
