"""The page's matrix: orgs × apps, what happens to each, what is known of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lxml import etree
from msgspec import Struct

from metadeploy.reports.account import Account, State
from metadeploy.reports.apps import NAMES, App, Fact, Mark
from metadeploy.reports.nodes import Child, add, node

# What is told of every app by some command, and of none by another.
_LOOKED_AT = ("key", "access", "drift", "login", "certificate")
_SIGNS = {"+": "add", "~": "change", "-": "gone", "-+": "gone", "!": "bad", "=": "calm"}

# So many have room for facts in two columns.
_FEW_APPS = 3

Usual = Mapping[str, Sequence[Fact]]


class Row(Struct, frozen=True):
    """One org of the matrix. id: of its section."""

    id: str
    account: Account
    apps: Mapping[str, App]


class Matrix(Struct, frozen=True):
    """All orgs, the names of all apps, and of each what most orgs have."""

    rows: tuple[Row, ...]
    apps: tuple[str, ...]
    usual: Usual

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Matrix:
        names = sorted({name for row in rows for name in row.apps})
        return cls(tuple(rows), tuple(names), _usual(rows))

    def calm(self, row: Row) -> bool:
        """Whether nothing happens in an org, and it is like most orgs."""
        account = row.account
        rows = (*account.planned, *account.differing, *account.drifted)
        if rows or account.state is not State.DONE or account.risks:
            return False
        return all(
            app.calm and all(self.is_usual(app, f) for f in app.facts)
            for app in row.apps.values()
        )

    def is_usual(self, app: App, fact: Fact) -> bool:
        """Whether most orgs have the same to tell of the app."""
        return fact in self.usual.get(app.name, ())


def _usual(rows: Sequence[Row]) -> Usual:
    """Return of each app what more than half of the orgs that have it say of it.

    Nothing that somebody has to look at is usual.
    """
    having = Counter(name for row in rows for name in row.apps)
    counts = Counter(
        (app.name, fact)
        for row in rows
        for app in row.apps.values()
        for fact in dict.fromkeys(app.facts)
        if not fact.alarm
    )
    found: dict[str, list[Fact]] = {}
    for (name, fact), count in counts.items():
        if count >= 2 and count * 2 > having[name]:
            found.setdefault(name, []).append(fact)
    for facts in found.values():
        facts.sort(key=lambda fact: NAMES.index(fact.name))
    return found


def table(matrix: Matrix, drifted: bool) -> etree._Element:
    """Return the matrix as a table. drifted: what differs has become so later."""
    head = node("tr", node("th", "Org", at={"scope": "col"}))
    for name in matrix.apps:
        head.append(node("th", name, at={"scope": "col"}))
    body = node("tbody")
    if matrix.usual:
        body.append(_usual_row(matrix, drifted))
    for row in matrix.rows:
        body.append(_row(matrix, row, drifted))
    caption = node("caption.hidden", "What is known of each app in each org")
    few = ".few" if len(matrix.apps) <= _FEW_APPS else ""
    return node(f"table.matrix{few}", caption, node("thead", head), body)


def _usual_row(matrix: Matrix, drifted: bool) -> etree._Element:
    row = node("tr.usual", node("th", "Most orgs", at={"scope": "row"}))
    for app in matrix.apps:
        facts = matrix.usual.get(app, ())
        row.append(node("td", node("dl", *(_fact(f, False, drifted) for f in facts))))
    return row


def _row(matrix: Matrix, row: Row, drifted: bool) -> etree._Element:
    account = row.account
    org = node("a", account.org, at={"href": f"#{row.id}"})
    head = node("th", org, state(account), at={"scope": "row"})
    found = node("tr.org.calm" if matrix.calm(row) else "tr.org", head)
    if account.known is None:
        width = str(max(len(matrix.apps), 1))
        found.append(node("td.none", "Not known.", at={"colspan": width}))
        return found
    for name in matrix.apps:
        app = row.apps.get(name)
        if app is None:
            found.append(node("td.none", "Not here."))
            continue
        facts = (_fact(f, matrix.is_usual(app, f), drifted) for f in app.facts)
        marks = node("p.marks", *map(_mark, app.marks))
        found.append(node("td", marks, node("dl", *facts)))
    return found


def state(account: Account) -> etree._Element:
    """Return how it went in an org, as a word that stands out where it has to."""
    signs = {State.DONE: "=", State.UNKNOWN: "~"}
    kind = _SIGNS[signs.get(account.state, "!")]
    return node(f"span.mark.{kind}", str(account.state))


def _mark(mark: Mark) -> etree._Element:
    return node(f"span.mark.{_SIGNS[mark.sign]}", f"{mark.sign} {mark.word}")


def _fact(fact: Fact, usual: bool, drifted: bool) -> etree._Element:
    value = node("dd")
    if fact.alarm:
        add(value, [node("b.bad", "! "), fact.text])
    elif fact.before:
        add(value, _turn(fact, drifted))
    else:
        add(value, _listed(fact, drifted))
    return node("div.u" if usual else "div", node("dt", fact.name), value)


def _turn(fact: Fact, drifted: bool) -> Iterator[Child]:
    old, new = fact.before, fact.text
    if drifted:
        old, new = new, old
    yield node("del", old)
    yield " → "
    yield node("ins", new)


def _listed(fact: Fact, drifted: bool) -> Iterator[Child]:
    gained, lost = fact.gained, fact.lost
    if drifted:
        gained, lost = lost, gained
    rows: list[Child] = [fact.text] if fact.text else []
    rows += [node("ins", f"+ {one}") for one in gained]
    rows += [node("del", f"- {one}") for one in lost]
    for number, row in enumerate(rows):
        yield from [", "] if number else []
        yield row


def unknown(matrix: Matrix) -> Iterable[str]:
    """Yield the names of facts that no app has: nobody looked, or there is none."""
    told = {f.name for r in matrix.rows for a in r.apps.values() for f in a.facts}
    return (name for name in _LOOKED_AT if name not in told)
