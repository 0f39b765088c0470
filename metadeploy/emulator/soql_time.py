"""The date literals of SOQL as spans of time, in UTC.

Source: SOQL and SOSL Reference, "Date Formats and Date Literals" (documented). Weeks
begin on Sunday, fiscal years in January: an org's defaults in the US locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

_COUNTED = re.compile(
    r"(?P<which>LAST|NEXT)_N_(?P<unit>[A-Z_]+)S|N_(?P<ago>[A-Z_]+)S_AGO"
)


def span(literal: str, now: float) -> tuple[float, float] | None:
    """Return the span [start, end) of a date literal in seconds since the epoch.

    literal: in upper case, such as "TODAY" or "LAST_N_DAYS:30". None: no such literal.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    name, colon, number = literal.partition(":")
    try:
        found = _counted(name, int(number), today) if colon else _simple(name, today)
    except (OverflowError, ValueError):
        return None
    return (_seconds(found[0]), _seconds(found[1])) if found else None


def seconds_of(text: str) -> float:
    """Return an ISO time, or a date as its first moment, as seconds since the epoch."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _simple(name: str, today: date) -> tuple[date, date] | None:
    if name in ("TODAY", "YESTERDAY", "TOMORROW"):
        shift = {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}[name]
        start = today + timedelta(days=shift)
        return start, start + timedelta(days=1)
    if name == "LAST_90_DAYS":
        return today - timedelta(days=90), today + timedelta(days=1)
    if name == "NEXT_90_DAYS":
        return today + timedelta(days=1), today + timedelta(days=91)
    which, _, unit = name.partition("_")
    unit = unit.removeprefix("FISCAL_")
    if which not in ("THIS", "LAST", "NEXT") or unit not in _STEPS or unit == "DAY":
        return None
    shift = {"THIS": 0, "LAST": -1, "NEXT": 1}[which]
    step, start = _STEPS[unit], _START[unit](today)
    return step(start, shift), step(start, shift + 1)


def _counted(name: str, number: int, today: date) -> tuple[date, date] | None:
    match = _COUNTED.fullmatch(name)
    if match is None:
        return None
    unit = (match["unit"] or match["ago"]).removeprefix("FISCAL_")
    if unit not in _STEPS:
        return None
    step, start = _STEPS[unit], _START[unit](today)
    if match["ago"]:
        return step(start, -number), step(start, 1 - number)
    if match["which"] == "NEXT":
        return step(start, 1), step(start, number + 1)
    return step(start, -number), step(start, 1) if unit == "DAY" else start


def _months(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


_START: Mapping[str, Callable[[date], date]] = MappingProxyType(
    {
        "DAY": lambda day: day,
        "WEEK": lambda day: day - timedelta(days=(day.weekday() + 1) % 7),
        "MONTH": lambda day: day.replace(day=1),
        "QUARTER": lambda day: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
        "YEAR": lambda day: date(day.year, 1, 1),
    }
)
_STEPS: Mapping[str, Callable[[date, int], date]] = MappingProxyType(
    {
        "DAY": lambda day, n: day + timedelta(days=n),
        "WEEK": lambda day, n: day + timedelta(weeks=n),
        "MONTH": _months,
        "QUARTER": lambda day, n: _months(day, 3 * n),
        "YEAR": lambda day, n: _months(day, 12 * n),
    }
)
