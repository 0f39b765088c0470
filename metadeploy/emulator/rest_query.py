"""Queries over REST: rows, pages, and the columns Salesforce CLI asks for.

Source: REST API Developer Guide, "Query", "Query More Results" (documented); the
shape of `columns=true` is observed in what Salesforce CLI reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from metadeploy.emulator import ids, soql
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.rest_call import Call, Routes, rest_value
from metadeploy.emulator.sobjects import SObject, sobject
from metadeploy.emulator.soql import Column, Result, Row
from metadeploy.emulator.state import OrgState, Plain, Record
from metadeploy.emulator.tracking import SOURCE_MEMBER, source_members, tracks_source
from metadeploy.emulator.wire import Answer, Json, json_answer

PAGE = 2000
TOOLING = frozenset(
    {
        "DeployRequest",
        "InstalledSubscriberPackage",
        "Organization",
        "PermissionSet",
        "Profile",
        "SubscriberPackage",
        "User",
    }
)
"""sObjects the Tooling API knows here. SetupEntityAccess is none; observed.

Orgs that track their sources know SourceMember too: see `tooling_knows`.
"""
_CURSOR_SECONDS = 2 * 24 * 3600.0
_NUMBERS = frozenset({"int", "double", "currency", "percent"})


def tooling_knows(org: OrgState, name: str) -> bool:
    """Whether an org's Tooling API has the sObject of that name."""
    return name in TOOLING or (name == SOURCE_MEMBER and tracks_source(org))


class RestSource:
    """An org's records as one of the two REST query endpoints sees them."""

    def __init__(self, org: OrgState, *, tooling: bool) -> None:
        self._org = org
        self._tooling = tooling

    def describe(self, name: str) -> SObject:
        """Return an sObject's fields. Raises Fault INVALID_TYPE."""
        found = self._org.describe(name)
        known = tooling_knows(self._org, found.name)
        if not known if self._tooling else found.tooling:
            raise Fault("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def records(self, name: str) -> Sequence[Record]:
        """Return all records of an sObject."""
        if name == SOURCE_MEMBER:
            return source_members(self._org)
        return self._org.records(name)


def _query(call: Call) -> Answer:
    return _answered(call, tooling=False)


def _tooling_query(call: Call) -> Answer:
    return _answered(call, tooling=True)


def _answered(call: Call, *, tooling: bool) -> Answer:
    text = call.request.parameters.get("q", "")
    if not text.strip():
        raise Fault("MALFORMED_QUERY", "A query string has to be specified")
    source = RestSource(call.org, tooling=tooling)
    if call.request.parameters.get("columns", "").lower() == "true":
        return json_answer(_column_answer(text, source))
    return _page(call, text, 0, tooling=tooling)


def _more(call: Call) -> Answer:
    return _next_page(call, tooling=False)


def _tooling_more(call: Call) -> Answer:
    return _next_page(call, tooling=True)


def _next_page(call: Call, *, tooling: bool) -> Answer:
    locator, _, offset = call.args[0].rpartition("-")
    found = call.world.grant("cursor", locator)
    if (
        found is None
        or found[0].id != call.org.id
        or found[1].get("user") != call.session.user_id
        or not offset.isdigit()
    ):
        raise Fault("INVALID_QUERY_LOCATOR", "invalid query locator")
    text = str(found[1]["query"])
    return _page(call, text, int(offset), tooling=tooling, locator=locator)


def _page(
    call: Call, text: str, offset: int, *, tooling: bool, locator: str = ""
) -> Answer:
    """Answer one page. A later page runs the query again: what changed shows."""
    source = RestSource(call.org, tooling=tooling)
    result = soql.query(text, source, now=call.world.clock())
    size = _page_size(call.request.headers)
    base = call.base + ("/tooling" if tooling else "")
    rows = result.rows[offset : offset + size]
    answer: dict[str, Json] = {
        "totalSize": result.total,
        "done": offset + size >= len(result.rows),
        "records": [row_json(row, base) for row in rows],
    }
    if not answer["done"]:
        locator = locator or _remember(call, text)
        answer["nextRecordsUrl"] = f"{base}/query/{locator}-{offset + size}"
    return json_answer(answer)


def _page_size(headers: Mapping[str, str]) -> int:
    """Return the batch size asked for, 200 to 2000 (documented)."""
    options = headers.get("sforce-query-options", "")
    wish = re.search(r"batchSize\s*=\s*(\d{1,6})", options, re.I)
    return min(max(int(wish[1]), 200), PAGE) if wish else PAGE


def _remember(call: Call, text: str) -> str:
    locator = "01g" + ids.letters(15)
    body: dict[str, Plain] = {"query": text, "user": call.session.user_id}
    call.world.put_grant("cursor", locator, call.org, body, lifetime=_CURSOR_SECONDS)
    return locator


def row_json(row: Row, base: str) -> Json:
    """Return one row as REST writes it, with its `attributes` first."""
    attributes: dict[str, Json] = {"type": row.sobject}
    if row.id:
        attributes["url"] = f"{base}/sobjects/{row.sobject}/{row.id}"
    found: dict[str, Json] = {"attributes": attributes}
    table = sobject(row.sobject)
    for name, value in row.values.items():
        if isinstance(value, Row):
            found[name] = row_json(value, base)
        elif isinstance(value, Result):
            found[name] = {
                "totalSize": value.total,
                "done": True,
                "records": [row_json(inner, base) for inner in value.rows],
            }
        else:
            field = table.by_name.get(name.lower()) if table else None
            found[name] = rest_value(value, field.type if field else "")
    return found


def _column_answer(text: str, source: RestSource) -> Json:
    name = re.search(r"\bFROM\s+(\w+)", text, re.I)
    columns = soql.columns(text, source)
    table = sobject(name[1]) if name else None
    return {
        "columnMetadata": [_column_json(column) for column in columns],
        "entityName": table.name if table else "",
        "groupBy": bool(re.search(r"\bGROUP\s+BY\b", text, re.I)),
        "idSelected": any(column.name == "Id" for column in columns),
        "keyPrefix": table.key_prefix if table else "",
    }


def _column_json(column: Column) -> Json:
    field = column.field
    kind = field.type if field else ""
    return {
        "aggregate": column.aggregate,
        "apexType": kind.capitalize() or None,
        "booleanType": kind == "boolean",
        "columnName": column.name,
        "custom": False,
        "displayName": column.name,
        "foreignKeyName": None,
        "insertable": bool(field and field.createable),
        "joinColumns": [_column_json(inner) for inner in column.inner],
        "numberType": kind in _NUMBERS,
        "textType": bool(field) and kind not in _NUMBERS | {"boolean"},
        "updatable": bool(field and field.updateable),
    }


ROUTES: Routes = {
    "query": {"GET": _query},
    "queryAll": {"GET": _query},
    "query/([^/]+)": {"GET": _more},
    "tooling/query": {"GET": _tooling_query},
    "tooling/query/([^/]+)": {"GET": _tooling_more},
}
