"""Changes as tables, both sides beside each other, what differs marked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lxml import etree
from msgspec import Struct

from metadeploy.diff import AccessChange, Action, Change, FieldChange, Value
from metadeploy.reports import compare
from metadeploy.reports.compare import Pair, Piece
from metadeploy.reports.nodes import Child, add, node

_FOLDED = 400
_LONGEST = 20_000
_CONTEXT = 3
_OPEN_ROWS = 40
_WORDS = {"+": "added", "~": "changed", "-": "gone"}
_CLASSES = {"+": "add", "~": "change", "-": "gone"}


class Titles(Struct, frozen=True):
    """What the two sides are."""

    old: str
    new: str


def sign(action: str) -> etree._Element:
    """Return + ~ or -, with the word for those who hear the page."""
    word = node("span.hidden", f"{_WORDS[action]} ")
    return node(f"span.sign.{_CLASSES[action]}", action, word)


def change(changed: Change, titles: Titles, note: str = "") -> etree._Element:
    """Return one component and its values. note: what else to say of it."""
    about = ", ".join(filter(None, (_count(changed), note)))
    named = _named(changed, node("span.dim", f" {about}") if about else "")
    if not changed.fields:
        return node("p.item", *named)
    table = _created if changed.action is Action.CREATE else _compared
    found = node("details.item", node("summary", *named), table(changed, titles))
    if len(changed.fields) <= _OPEN_ROWS:
        found.set("open", "")
    return found


def _count(changed: Change) -> str:
    count = len(changed.fields)
    return f"{count:,} {'value' if count == 1 else 'values'}" if count else ""


def _named(changed: Change, *more: Child) -> tuple[Child, ...]:
    name = node("code", str(changed.ref))
    return sign(changed.action.sign), name, *more


def left_out(changed: Change) -> etree._Element:
    """Return one component without its values."""
    said = f" {_count(changed)}, left out here: `--json` has all of it"
    return node("p.item", *_named(changed, node("span.dim", said)))


def pointer(changed: Change, org: str, id_: str) -> etree._Element:
    """Return one component that is changed as in another org."""
    link = node("a", org, at={"href": f"#{id_}"})
    return node("p.item", *_named(changed, " as in ", link))


def access(changed: AccessChange) -> etree._Element:
    """Return who gains or loses an app."""
    verb = "may be used by" if changed.action.sign == "+" else "may not be used by"
    app, holder = node("code", changed.app), node("code", str(changed.holder))
    return node("p.item", sign(changed.action.sign), app, f" {verb} ", holder)


def _head(changed: Change, titles: Sequence[str]) -> tuple[etree._Element, ...]:
    cells = (node("th", t, at={"scope": "col"}) for t in ("Field", *titles))
    caption = node("caption.hidden", f"Values of {changed.ref}")
    return caption, node("thead", node("tr", *cells))


def _created(changed: Change, titles: Titles) -> etree._Element:
    body = node("tbody")
    for field in changed.fields:
        head = node("th", node("code", field.path), at={"scope": "row"})
        cell = node("td", *_alone(field.wanted))
        body.append(node("tr", head, cell))
    return node("table.one", *_head(changed, [titles.new]), body)


def _compared(changed: Change, titles: Titles) -> etree._Element:
    body = node("tbody")
    for field in changed.fields:
        add(body, _field(field))
    heads = _head(changed, [titles.old, titles.new])
    return node("table.two", *heads, body)


def _field(field: FieldChange) -> Iterator[etree._Element]:
    mark = "+" if field.actual is None else "-" if field.wanted is None else "~"
    head = node("th", sign(mark), node("code", field.path), at={"scope": "row"})
    if field.actual is None or field.wanted is None:
        old, new = node("td", *_alone(field.actual)), node("td", *_alone(field.wanted))
        yield node("tr", head, old, new)
        return
    found = compare.lines(_lines(field.actual), _lines(field.wanted))
    rows = list(_shortened(list(found)))
    if len(rows) > 1:
        head.set("rowspan", str(len(rows)))
    for number, row in enumerate(rows):
        line = node("tr") if number else node("tr", head)
        if isinstance(row, int):
            same = f"… {row} lines are the same"
            line.append(node("td.dim", same, at={"colspan": "2"}))
        else:
            line.append(node("td", *_side(row.old, "del")))
            line.append(node("td", *_side(row.new, "ins")))
        yield line


def _shortened(pairs: Sequence[Pair]) -> Iterator[Pair | int]:
    """Yield pairs, and for lines far from any that differs only how many they are."""
    near = set[int]()
    for number, pair in enumerate(pairs):
        if not pair.same:
            near |= set(range(number - _CONTEXT, number + _CONTEXT + 1))
    skipped = 0
    for number, pair in enumerate(pairs):
        if number not in near:
            skipped += 1
            continue
        if skipped:
            yield skipped
            skipped = 0
        yield pair
    if skipped:
        yield skipped


def _lines(value: Value) -> list[str]:
    if isinstance(value, tuple):
        return list(value) or ["(empty)"]
    return value.split("\n") if value else ["(empty)"]


def _side(pieces: tuple[Piece, ...] | None, tag: str) -> Iterator[Child]:
    if pieces is None:
        return
    text = "".join(p.text for p in pieces)
    marked: list[Child] = []
    left = _LONGEST
    for piece in pieces:
        words = piece.text[: max(left, 0)]
        left -= len(piece.text)
        marked.append(node(tag, words) if piece.differs else words)
    yield from _folded(text, marked)


def _alone(value: Value | None) -> Iterator[Child]:
    """Yield a value that has nothing to be compared with."""
    if value is None:
        yield node("span.dim", "(none)")
        return
    text = ", ".join(value) if isinstance(value, tuple) else value
    yield from _folded(text or "(empty)", [text[:_LONGEST] or "(empty)"])


def _folded(text: str, whole: Sequence[Child]) -> Iterator[Child]:
    """Yield a text; a long one behind its beginning, to be unfolded."""
    if len(text) <= _FOLDED and text.count("\n") < 12:
        yield from whole
        return
    first = f"{text[:60].splitlines()[0] if text.strip() else ''}…"
    size = node("span.dim", f" ({len(text):,} characters)")
    cut = len(text) - _LONGEST
    rest = [node("span.dim", f"… {cut:,} more characters")] if cut > 0 else []
    yield node("details.long", node("summary", first, size), *whole, *rest)
