"""Names and conditions of a query, bound to one sObject and its parents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, TypeAlias

from metadeploy.emulator import soql_text
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.sobjects import SField, SObject
from metadeploy.emulator.soql_time import seconds_of, span
from metadeploy.emulator.soql_tree import (
    Aggregate,
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Not,
    Path,
    Query,
)

Plain: TypeAlias = "str | bool | int | float | None"
Record: TypeAlias = "Mapping[str, Plain]"
Reader: TypeAlias = "Callable[[Record], Plain]"
Test: TypeAlias = "Callable[[Record], bool]"

MAX_PARENTS = 5
_NUMBERS = frozenset({"int", "double", "currency", "percent", "long"})
_TIMES = frozenset({"date", "datetime"})
_IDS = frozenset({"id", "reference"})
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CUSTOM_HINT = (
    " If you are attempting to use a custom {what}, be sure to append the '{suffix}' "
    "after the {name} name. Please reference your WSDL or the describe call for the "
    "appropriate names."
)
RELATIONSHIP_HINT = _CUSTOM_HINT.format(
    what="relationship", suffix="__r", name="custom relationship"
)
ENTITY_HINT = _CUSTOM_HINT.format(what="object", suffix="__c", name="entity")
_FIELD_HINT = _CUSTOM_HINT.format(what="field", suffix="__c", name="custom field")


class Source(Protocol):
    """Where records come from. An OrgState is one."""

    def describe(self, name: str) -> SObject:
        """Return an sObject's fields. Raises Fault INVALID_TYPE."""

    def records(self, name: str) -> Sequence[Record]:
        """Return all records of an sObject."""


class Scope:
    """One sObject as the names of a query see it.

    inner: runs a query inside IN (…) and returns its only column.
    now: seconds since the epoch, for date literals.
    """

    def __init__(
        self,
        sobject: SObject,
        source: Source,
        text: soql_text.Source,
        *,
        now: float,
        inner: Callable[[Query], Iterable[Plain]],
    ) -> None:
        self.sobject = sobject
        self.source = source
        self.text = text
        self._now = now
        self._inner = inner
        self._parents: dict[str, dict[str, Record]] = {}

    def field(self, path: Path) -> tuple[SField, Reader]:
        """Return the field a path names and what reads it from a record."""
        return self._step(self.sobject, path, path.names)

    def _step(
        self, sobject: SObject, path: Path, names: tuple[str, ...]
    ) -> tuple[SField, Reader]:
        if len(names) == 1:
            field = sobject.by_name.get(names[0].lower())
            if field is None:
                message = f"No such column '{names[0]}' on entity '{sobject.name}'."
                raise self.text.fault("INVALID_FIELD", message + _FIELD_HINT, path.at)
            name = field.name
            return field, lambda record: record.get(name)
        link = relation(sobject, names[0])
        if names[0].lower() == sobject.name.lower() and link is None:
            return self._step(sobject, path, names[1:])
        if link is None or len(path.names) > MAX_PARENTS + 1:
            message = f"Didn't understand relationship '{names[0]}' in field path."
            raise self.text.fault("INVALID_FIELD", message + RELATIONSHIP_HINT, path.at)
        target = self.source.describe(link.reference_to[0])
        field, read = self._step(target, path, names[1:])
        link_name = link.name
        return field, lambda record: _through(
            self.parent(target.name, record.get(link_name)), read
        )

    def parent(self, sobject: str, record_id: Plain) -> Record | None:
        """Return the record of that sObject and id, or None."""
        if not isinstance(record_id, str):
            return None
        if sobject not in self._parents:
            found = self.source.records(sobject)
            self._parents[sobject] = {str(r["Id"])[:15]: r for r in found}
        return self._parents[sobject].get(record_id[:15])

    # -- conditions

    def test(self, condition: Condition) -> Test:
        """Return what tells whether a record meets a condition. Raises Fault."""
        if isinstance(condition, Junction):
            tests = [self.test(item) for item in condition.items]
            if condition.word == "and":
                return lambda record: all(test(record) for test in tests)
            return lambda record: any(test(record) for test in tests)
        if isinstance(condition, Not):
            inner = self.test(condition.item)
            return lambda record: not inner(record)
        if isinstance(condition.left, Aggregate):
            at = condition.left.at
            raise self.text.malformed("Aggregate functions belong in HAVING", at)
        field, read = self.field(condition.left)
        if not field.filterable:
            message = f"field '{field.name}' can not be filtered in a query call"
            raise self.text.fault("INVALID_FIELD", message, condition.left.at)
        if isinstance(condition, Membership):
            return self._membership(condition, field, read)
        test = self.compared(field, condition)
        return lambda record: test(read(record))

    def _membership(self, condition: Membership, field: SField, read: Reader) -> Test:
        if isinstance(condition.values, Query):
            values = self._inner(condition.values)
            chosen = {key_of(value, field) for value in values}
        else:
            chosen = {
                key_of(self._value(field, literal), field)
                for literal in condition.values
            }
        negated = condition.negated
        return lambda record: (key_of(read(record), field) in chosen) != negated

    def compared(self, field: SField, condition: Comparison) -> Callable[[Plain], bool]:
        """Return what tells whether a value of that field compares so."""
        operator, literal = condition.operator, condition.right
        if operator == "like":
            return self._like(field, literal)
        if field.type in _TIMES:
            return self._in_time(field, operator, literal)
        wanted = key_of(self._value(field, literal), field)
        if operator == "=":
            return lambda value: key_of(value, field) == wanted
        if operator == "!=":
            return lambda value: key_of(value, field) != wanted
        if field.type == "boolean":
            message = f"invalid operator on boolean field: {field.name}"
            raise self.text.fault("INVALID_FIELD", message, literal.at)
        holds = _ORDERED[operator]
        return lambda value: holds(key_of(value, field), wanted)

    def _like(self, field: SField, literal: Literal) -> Callable[[Plain], bool]:
        if field.type in _IDS | _TIMES | _NUMBERS | {"boolean"}:
            message = f"invalid operator on {field.type} field"
            raise self.text.fault("INVALID_FIELD", message, literal.at)
        self._value(field, literal)
        pattern = _like_pattern(literal.value)
        return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))

    def _in_time(
        self, field: SField, operator: str, literal: Literal
    ) -> Callable[[Plain], bool]:
        if literal.kind == "null":
            return lambda value: (value is None) == (operator == "=")
        start, end = self._span(field, literal)

        def holds(value: Plain) -> bool:
            if not isinstance(value, str):
                return operator == "!="
            at = seconds_of(value)
            inside = at == start if start == end else start <= at < end
            match operator:
                case "=":
                    return inside
                case "!=":
                    return not inside
                case "<":
                    return at < start
                case "<=":
                    return at < start or inside
                case ">":
                    return at > start and not inside
                case _:
                    return at >= start

        return holds

    def _span(self, field: SField, literal: Literal) -> tuple[float, float]:
        if literal.kind == "range":
            found = span(literal.value, self._now)
            if found is None:
                name = literal.value.partition(":")[0]
                raise self.text.malformed(f"unexpected token: '{name}'", literal.at)
            return found
        wanted = {"datetime": "datetime", "date": "date"}[field.type]
        if literal.kind != wanted:
            raise self._mistyped(field, literal)
        try:
            at = seconds_of(literal.value)
        except ValueError as error:
            message = f"Invalid date: {literal.value}"
            raise self.text.fault("INVALID_FIELD", message, literal.at) from error
        return at, at

    def _value(self, field: SField, literal: Literal) -> Plain:
        """Return a literal's value as the field holds it; refuse another type."""
        if literal.kind == "null":
            return None
        if field.type == "boolean" and literal.kind == "boolean":
            return literal.value == "true"
        if field.type in _NUMBERS and literal.kind == "number":
            return float(literal.value)
        text = field.type not in _NUMBERS | _TIMES | {"boolean"}
        if text and literal.kind == "string":
            value = soql_text.plain(literal.value)
            if field.type in _IDS and value and not _ID.fullmatch(value):
                message = f"invalid ID field: {value}"
                raise self.text.fault(
                    "INVALID_QUERY_FILTER_OPERATOR", message, literal.at
                )
            return value
        if literal.kind == "range":
            raise self.text.malformed(
                f"unexpected token: '{literal.value}'", literal.at
            )
        raise self._mistyped(field, literal)

    def _mistyped(self, field: SField, literal: Literal) -> Fault:
        kind = {"datetime": "dateTime"}.get(field.type, field.type)
        quoted = kind not in _NUMBERS | {"boolean", "date", "dateTime"}
        kind = kind if not quoted else "string"
        should = "should be" if quoted else "should not be"
        message = (
            f"value of filter criterion for field '{field.name}' must be of type "
            f"{kind} and {should} enclosed in quotes"
        )
        return self.text.fault("INVALID_FIELD", message, literal.at)


def _both(
    compare: Callable[[float | str, float | str], bool],
) -> Callable[[Plain, Plain], bool]:
    def holds(a: Plain, b: Plain) -> bool:
        if a is None or b is None:
            return False
        return compare(a, b)

    return holds


_ORDERED: Mapping[str, Callable[[Plain, Plain], bool]] = {
    "<": _both(lambda a, b: a < b),  # type: ignore[operator]  # both of one field's type
    "<=": _both(lambda a, b: a <= b),  # type: ignore[operator]
    ">": _both(lambda a, b: a > b),  # type: ignore[operator]
    ">=": _both(lambda a, b: a >= b),  # type: ignore[operator]
}


def relation(sobject: SObject, name: str) -> SField | None:
    """Return the reference field of that relationship name, or None."""
    for field in sobject.fields:
        if field.relationship_name and field.relationship_name.lower() == name.lower():
            return field
    return None


def _through(parent: Record | None, read: Reader) -> Plain:
    return None if parent is None else read(parent)


def key_of(value: Plain, field: SField) -> Plain:
    """Return what two equal values of a field share: for text, its lower case."""
    if value is None or value == "":
        return None
    if field.type in _IDS:
        return str(value)[:15]
    return value.lower() if isinstance(value, str) else value


@lru_cache(maxsize=256)
def _like_pattern(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\[%_\\]|[%_]|[^%_\\]+|\\", text)
    wild = {"%": ".*", "_": "."}
    pattern = "".join(
        wild.get(p) or re.escape(p[1:] if p[0] == "\\" and len(p) > 1 else p)
        for p in parts
    )
    return re.compile(pattern, re.I | re.S)
