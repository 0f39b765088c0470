"""Source tracking of scratch orgs: Tooling's SourceMember says what changed and when.

Source: "SourceMember", Tooling API Developer Guide (documented). Observed: Salesforce
CLI asks every scratch org for it before and after each deploy, and fails without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from metadeploy.emulator import ids
from metadeploy.emulator.sobjects import SOBJECTS
from metadeploy.emulator.store import Value
from metadeploy.model import id18

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState, Plain, Record

SOURCE_MEMBER = "SourceMember"
_TABLE = SOBJECTS[SOURCE_MEMBER]


def tracks_source(org: OrgState) -> bool:
    """Whether an org tracks changes: scratch orgs do; sandboxes are without it here."""
    return org.settings.kind == "scratch"


def source_members(org: OrgState) -> list[Record]:
    """Return a SourceMember for each component that was changed or removed, by id.

    RevisionCounter grows with time (inferred: only its order means something).
    """
    found = {row["MemberIdOrName"]: row for row in (*_removed(org), *_changed(org))}
    return sorted(found.values(), key=lambda row: str(row["Id"]))


def _changed(org: OrgState) -> Iterator[Record]:
    """Standard profiles as they came have no file of their own, and no row."""
    rows = org.world.store.all(
        "SELECT type, name, id, modified, modified_by, created FROM components"
        " WHERE org = ? AND body != x''",
        (org.key,),
    )
    for kind, name, component_id, modified, by, created in rows:
        values: dict[str, Plain] = {
            "ChangedBy": str(by),
            "IsNewMember": created == modified,
        }
        yield _row(str(kind), str(name), str(component_id), modified, values)


def _removed(org: OrgState) -> Iterator[Record]:
    rows = org.world.store.all(
        "SELECT at, data FROM events WHERE org = ? AND event = 'component removed'"
        " ORDER BY seq",
        (org.key,),
    )
    for at, text in rows:
        data: dict[str, str] = json.loads(str(text))
        values: dict[str, Plain] = {"ChangedBy": data["by"], "IsNameObsolete": True}
        yield _row(data["type"], data["name"], data["id"], at, values)


def _row(
    kind: str, name: str, component_id: str, at: Value, values: Mapping[str, Plain]
) -> Record:
    seconds = cast(float, at)
    known: dict[str, Plain] = {
        "Id": id18(_TABLE.key_prefix + component_id[3:15]),
        "MemberIdOrName": component_id,
        "MemberType": kind,
        "MemberName": name,
        "RevisionCounter": int(seconds * 1_000_000),
        "IsNameObsolete": False,
        "IsNewMember": False,
        "LastModifiedDate": ids.timestamp(seconds),
        "SystemModstamp": ids.timestamp(seconds),
        **values,
    }
    return {field.name: known.get(field.name) for field in _TABLE.fields}
