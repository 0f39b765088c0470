"""The changes of an org, value by value, as lines like a diff's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metadeploy.diff import AccessChange, Action, Change, FieldChange, Value
from metadeploy.reports.account import Account, told
from metadeploy.reports.words import key_text, value_text


def lines(account: Account) -> Iterator[str]:
    """Yield all that an account has to say of single values, in its order."""
    new = {k.component: key_text(k) for k in account.new_keys}
    for ref in account.replaced:
        yield f"- {told(str(ref))}"
        yield "      deleted first: it gets a new key when it is created anew"
    for change in account.changes:
        yield from change_lines(change, key=new.get(change.ref, ""))
    yield from map(access_line, account.access)
    if account.left or account.left_access:
        yield "# what the org still has to become"
        yield from _all(account.left, account.left_access)
    if account.drift or account.drift_access:
        yield "# changed outside metadeploy: - as it was deployed, + as it is now"
        yield from _all(map(turned, account.drift), account.drift_access)


def change_lines(change: Change, *, key: str = "") -> Iterator[str]:
    """Yield one component and its values. key: where the key of a new app is from."""
    sign = "!" if change.action is Action.UPDATE else change.action.sign
    yield f"{sign} {told(str(change.ref))}"
    if key:
        yield f"{sign}     consumer key: {key}"
    for field in change.fields:
        if field.actual is not None:
            yield from _value_lines("-", field.path, field.actual)
        if field.wanted is not None:
            yield from _value_lines("+", field.path, field.wanted)


def access_line(change: AccessChange) -> str:
    """Return who gains or loses an app."""
    verb = "may be used by" if change.action.sign == "+" else "may not be used by"
    return f"{change.action.sign} {told(f'{change.app} {verb} {change.holder}')}"


def _all(changes: Iterable[Change], access: Iterable[AccessChange]) -> Iterator[str]:
    for change in changes:
        yield from change_lines(change)
    yield from map(access_line, access)


def turned(change: Change) -> Change:
    """Turn a drift around: from what was deployed to what the org has now."""
    fields = (FieldChange(f.path, f.wanted, f.actual) for f in change.fields)
    return Change(change.action, change.ref, tuple(fields))


def _value_lines(sign: str, path: str, value: Value) -> Iterator[str]:
    # Masked before it is cut: the rest of a secret looks like none.
    known = told(value) if isinstance(value, str) else tuple(map(told, value))
    first, *rest = value_text(known).split("\n")
    yield f"{sign}     {told(path)}: {first}"
    yield from (f"{sign}         {line}" for line in rest)
