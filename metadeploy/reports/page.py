"""A report as one page of HTML: orgs × apps, and every change side by side. Pure.

It asks nothing of anybody: style and script are in it, and its policy lets the browser
load nothing else and run nothing else. Without the script all of it can be read.
Source: Content Security Policy Level 3, delivery by a meta element, and hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from lxml import etree

from metadeploy.diff import AccessChange, Change
from metadeploy.errors import MetadeployError
from metadeploy.model import DeployMessage
from metadeploy.proof import Proof
from metadeploy.reports import apps, details, matrix, sides
from metadeploy.reports.account import Account, Report, State, error_text
from metadeploy.reports.apps import App
from metadeploy.reports.matrix import Matrix, Row
from metadeploy.reports.nodes import Child, add, document, node, verbatim
from metadeploy.reports.sides import Titles
from metadeploy.reports.words import key_text, proof_mark

MOST_VALUES = 30_000
"""How many values the page shows: what a browser opens in a few seconds."""

_FEW_ORGS = 12
_MOST_NAMES = 20
_DRIFT = Titles("As deployed", "Org now")
_LEFT = Titles("Org now", "Has to be")


def text(report: Report) -> str:
    """Return the page; equal reports give equal texts."""
    rows = []
    for number, account in enumerate(report.accounts, 1):
        found = {app.name: app for app in apps.apps(account, report.at)}
        rows.append(Row(f"o{number}", account, found))
    shown = Matrix.of(rows)
    main = node("main", *_failure(report), *_to_look_at(shown))
    if rows:
        main.append(_overview(report, shown))
        main.append(_Sections(report).of(rows))
    script, style = _own("page.js"), _own("page.css")
    body = node("body", _skip(bool(rows)), _header(report, shown), main)
    body.append(verbatim("script", script))
    html = node("html", _head(report, script, style), body, at={"lang": "en"})
    return document(html)


@cache
def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _head(report: Report, script: str, style: str) -> etree._Element:
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return node(
        "head",
        node("meta", at={"charset": "utf-8"}),
        node("meta", at={"http-equiv": "Content-Security-Policy", "content": policy}),
        _meta("viewport", "width=device-width, initial-scale=1"),
        _meta("color-scheme", "light dark"),
        _meta("referrer", "no-referrer"),
        node("title", f"metadeploy {report.command}: {_count(report.accounts, 'org')}"),
        verbatim("style", style),
    )


def _meta(name: str, content: str) -> etree._Element:
    return node("meta", at={"name": name, "content": content})


def _hash(text: str) -> str:
    return (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    )


def _skip(there: bool) -> etree._Element:
    return node("a.skip", "Skip to the changes", at={"href": "#each" if there else "#"})


def _header(report: Report, shown: Matrix) -> etree._Element:
    said = [_count(report.accounts, "org"), _count(shown.apps, "app")]
    if report.at is not None:
        said.append(f"{report.at:%Y-%m-%d %H:%M} {report.at.tzname()}")
    if report.folder:
        said.append(report.folder)
    title = node("h1", f"metadeploy {report.command}")
    return node("header", title, node("p.dim", ", ".join(said)))


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things):,} {noun if len(things) == 1 else f'{noun}s'}"


# -- what is wrong, first


def _failure(report: Report) -> Iterator[etree._Element]:
    if report.error is not None:
        title = node("h2", "Failed")
        yield node("section.failure", title, *_error(report.error))


def _error(error: MetadeployError) -> Iterator[etree._Element]:
    yield node("pre.bad", error_text(error))


def _to_look_at(shown: Matrix) -> Iterator[etree._Element]:
    """Yield what somebody has to look at: each kind of it, and in which orgs."""
    found: dict[str, list[Row]] = {what: [] for what in _GRAVEST_FIRST}
    for row in shown.rows:
        for what in _worries(row):
            found[what].append(row)
    if not any(found.values()):
        return
    items = []
    for what, rows in found.items():
        if not rows:
            continue
        item = node("li", node("b", what), f" in {_count(rows, 'org')}: ")
        for number, row in enumerate(rows[:_MOST_NAMES]):
            add(item, [", "] if number else [])
            item.append(node("a", row.account.org, at={"href": f"#{row.id}"}))
        more = len(rows) - _MOST_NAMES
        add(item, [f" and {more:,} more"] if more > 0 else [])
        items.append(item)
    title = node("h2", "To look at", at={"id": "look"})
    at = {"aria-labelledby": "look"}
    yield node("section.look", title, node("ul", *items), at=at)


_DRIFTED, _LOGIN = "changed outside metadeploy", "login failed"
_RISK, _CERTIFICATE = "risk", "certificate ends within 30 days, or has ended"
_STATES = {
    State.FAILED: "failed",
    State.UNKNOWN: "nobody knows yet how it ended",
    State.REFUSED: "refused",
    State.DIFFERS: "not as it has to be",
}
_GRAVEST_FIRST = (*_STATES.values(), _LOGIN, _DRIFTED, _RISK, _CERTIFICATE)


def _worries(row: Row) -> Iterator[str]:
    account = row.account
    if account.state in _STATES:
        yield _STATES[account.state]
    if account.drifted and account.state is not State.DIFFERS:
        yield _DRIFTED
    if account.risks:
        yield _RISK
    alarms = {f.name for a in row.apps.values() for f in a.facts if f.alarm}
    if "login" in alarms:
        yield _LOGIN
    if "certificate" in alarms:
        yield _CERTIFICATE


# -- the matrix


def _overview(report: Report, shown: Matrix) -> etree._Element:
    title = node("h2", "Orgs and apps", at={"id": "matrix"})
    found = node("section", title, _tools(shown))
    table = matrix.table(shown, report.command == "drift")
    at = {"role": "region", "aria-labelledby": "matrix", "tabindex": "0"}
    found.append(node("div.scroll", table, at=at))
    unknown = list(matrix.unknown(shown))
    if unknown and shown.apps:
        said = f"Nothing is known here of: {', '.join(unknown)}."
        found.append(node("p.dim", said))
    return found


def _tools(shown: Matrix) -> etree._Element:
    field = {"id": "filter", "type": "search", "autocomplete": "off"}
    field |= {
        "spellcheck": "false",
        "aria-keyshortcuts": "/",
        "placeholder": "any text",
    }
    label = node("label", "Filter", at={"for": "filter"})
    search = node("span.search", label, " ", node("input", at=field), at={"hidden": ""})
    add(search, [" ", node("kbd", "/"), " "])
    found = node("p.tools", search)
    calm = sum(shown.calm(row) for row in shown.rows)
    if calm:
        said = f"only orgs that differ ({len(shown.rows) - calm:,})"
        found.append(_box("only", said, False))
    if shown.usual:
        many = len(shown.rows) > _FEW_ORGS
        found.append(_box("brief", "only facts unlike most orgs", many))
    count = {"id": "count", "role": "status", "class": "dim"}
    found.append(node("span", at=count))
    return found


def _box(id_: str, said: str, checked: bool) -> etree._Element:
    box = node("input", at={"id": id_, "type": "checkbox", "autocomplete": "off"})
    if checked:
        box.set("checked", "")
    return node("label.box", box, f" {said}")


# -- each org


class _Sections:
    """The sections of all orgs: what was written before, and how much."""

    def __init__(self, report: Report) -> None:
        old = "Org now" if report.command == "plan" else "Org before"
        self._titles = Titles(old, "Wanted")
        self._few = len(report.accounts) <= _FEW_ORGS
        self._written: dict[tuple[Change, Titles, str], tuple[str, str]] = {}
        self._values = 0

    def of(self, rows: Iterable[Row]) -> etree._Element:
        found = node("section", node("h2", "Each org", at={"id": "each"}))
        for row in rows:
            found.append(self._org(row))
        return found

    def _org(self, row: Row) -> etree._Element:
        account = row.account
        summary = node("summary", node("h3", account.org), matrix.state(account))
        summary.append(node("span.said", account.said))
        body = node("div.body", at={"id": row.id})
        if account.org_id:
            body.append(node("p.dim", "Org Id ", node("code", account.org_id)))
        if account.error is not None and not account.refusals:
            add(body, _error(account.error))
        add(body, _said("Refused", account.refusals))
        add(body, _said("Risk", [r.message for r in account.risks]))
        add(body, _said("", account.notes))
        add(body, _messages(account.messages))
        add(body, self._changes(row))
        add(body, _proofs(account.proofs))
        add(body, _keys(row.apps.values()))
        found = node("details.org", summary, body)
        if self._few:
            found.set("open", "")
        return found

    def _changes(self, row: Row) -> Iterator[etree._Element]:
        account = row.account
        if account.planned or account.replaced:
            yield node("h4", _planned_title(account))
        for ref in account.replaced:
            what = " deleted first: it gets a new key when it is created anew"
            yield node("p.item", sides.sign("-"), node("code", str(ref)), what)
        keys = {k.component: f"consumer key: {key_text(k)}" for k in account.new_keys}
        for change in account.changes:
            yield self._change(row, change, self._titles, keys.get(change.ref, ""))
        yield from map(sides.access, account.access)
        yield from self._more(row, _LEFT, account.left, account.left_access)
        turned = tuple(map(details.turned, account.drift))
        yield from self._more(row, _DRIFT, turned, account.drift_access)

    def _more(
        self,
        row: Row,
        titles: Titles,
        changes: Sequence[Change],
        access: Sequence[AccessChange],
    ) -> Iterator[etree._Element]:
        if changes or access:
            said = "Still differs" if titles is _LEFT else "Changed outside metadeploy"
            yield node("h4", said)
        for change in changes:
            yield self._change(row, change, titles, "")
        yield from map(sides.access, access)

    def _change(
        self, row: Row, change: Change, titles: Titles, note: str
    ) -> etree._Element:
        """Return a change; in a fleet, what is the same in several orgs only once."""
        place = (change, titles, note)
        before = None if self._few else self._written.get(place)
        if before is not None:
            return sides.pointer(change, *before)
        self._values += len(change.fields)
        if self._values > MOST_VALUES:
            return sides.left_out(change)
        if change.fields:
            self._written[place] = (row.account.org, row.id)
        return sides.change(change, titles, note)


def _planned_title(account: Account) -> str:
    return "Changes" if account.error is None else "What was to be done"


def _said(word: str, texts: Sequence[str]) -> Iterator[etree._Element]:
    start: list[Child] = [node("b.bad", f"{word}: ")] if word else []
    for said in texts:
        yield node("p.note", *start, said)
        start = [node("b.bad", f"{word}: ")] if word else []


def _messages(messages: Sequence[DeployMessage]) -> Iterator[etree._Element]:
    """Yield what the org said of single components, where it said something."""
    rows = [m for m in messages if m.problem or not m.success]
    if not rows:
        return
    body = node("tbody")
    for row in rows:
        name = f"{row.component_type} {row.full_name}".strip()
        place = f"{row.file_name}:{row.line}:{row.column}" if row.line else ""
        head = node("th", node("code", name), at={"scope": "row"})
        kind = row.problem_type or ("Warning" if row.success else "Error")
        said = node("td", node("b.bad", f"{kind}: "), row.problem)
        body.append(node("tr", head, said, node("td", node("code", place))))
    heads = (node("th", t, at={"scope": "col"}) for t in ("Component", "Said", "At"))
    yield node("h4", "What the org said")
    yield node("table.three", node("thead", node("tr", *heads)), body)


def _proofs(proofs: Sequence[Proof]) -> Iterator[etree._Element]:
    if not proofs:
        return
    yield node("h4", "Logins")
    for proof in proofs:
        kind = "dim" if proof.ok is None else "calm" if proof.ok else "bad"
        mark = node(f"b.{kind}", proof_mark(proof).rstrip(","))
        how = f" by {proof.flow}" if proof.flow else ""
        who = f" as {proof.user}" if proof.user else ""
        said = node("p.note", node("code", proof.app), " ", mark, f"{how}{who}: ")
        add(said, [proof.detail])
        add(said, [" ", node("i", proof.hint)] if proof.hint else [])
        yield said


def _keys(found: Iterable[App]) -> Iterator[etree._Element]:
    """Yield the consumer keys themselves, folded: they are long."""
    rows = []
    for app in found:
        if app.key:
            said = next((f.before or f.text for f in app.facts if f.name == "key"), "")
            cells = node("td", said), node("td", node("code", app.key))
            rows.append(node("tr", node("th", app.name, at={"scope": "row"}), *cells))
    if rows:
        heads = (node("th", t, at={"scope": "col"}) for t in ("App", "Made", "Key"))
        table = node("table.three", node("thead", node("tr", *heads)), node("tbody"))
        add(table[1], rows)
        yield node("details.keys", node("summary", "Consumer keys"), table)
