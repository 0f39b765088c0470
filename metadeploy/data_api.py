"""Edge: the REST data API: queries, and the records that give access to apps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast
from urllib.parse import quote

from metadeploy.access import profile_label, profile_name
from metadeploy.connection import Connection, Json, read_json
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.model import Ref, id18
from metadeploy.plan import OrgFacts

Row = Mapping[str, Json]


class DataApi:
    """The records of one org that we read and write."""

    def __init__(self, connection: Connection, api_version: str) -> None:
        self._connection = connection
        self._base = f"/services/data/v{api_version}"

    def facts(self) -> OrgFacts:
        """Return what the org says of itself; we never believe a label of ours.

        Production: no sandbox, no trial, no Developer Edition (object reference,
        Organization; the rule is practitioners').
        """
        (row,) = self.query(
            "SELECT Id, Name, IsSandbox, OrganizationType, TrialExpirationDate"
            " FROM Organization"
        )
        production = (
            row.get("IsSandbox") is False
            and row.get("TrialExpirationDate") is None
            and row.get("OrganizationType") != "Developer Edition"
        )
        return OrgFacts(id18(str(row["Id"])), str(row["Name"]), production)

    def holders(self, app_ids: Iterable[str]) -> dict[str, dict[Ref, str]]:
        """Return for each app id the holders that may use it, with each row's id.

        Source: object reference, SetupEntityAccess; a profile's parent is the
        permission set that it owns.
        """
        wanted = sorted(set(app_ids))
        found: dict[str, dict[Ref, str]] = {app: {} for app in wanted}
        by_15 = {app[:15]: app for app in wanted}
        for start in range(0, len(wanted), 100):
            ids = ", ".join(f"'{i}'" for i in wanted[start : start + 100])
            rows = self.query(
                "SELECT Id, SetupEntityId, Parent.Name, Parent.IsOwnedByProfile,"
                " Parent.Profile.Name FROM SetupEntityAccess"
                f" WHERE SetupEntityId IN ({ids})"
            )
            for row in rows:
                app = by_15[str(row["SetupEntityId"])[:15]]
                found[app][_holder(row)] = str(row["Id"])
        return found

    def parent_id(self, holder: Ref) -> str:
        """Return the id of the permission set that stands for a holder.

        Raises ApiFault when the org has no such holder.
        """
        if holder.type == "Profile":
            label = _quoted(profile_label(holder.full_name))
            where = f"IsOwnedByProfile = true AND Profile.Name = {label}"
        else:
            name = _quoted(holder.full_name)
            where = f"IsOwnedByProfile = false AND Name = {name}"
        rows = self.query(f"SELECT Id FROM PermissionSet WHERE {where}")
        if len(rows) != 1:
            raise ApiFault("", f"the org has {len(rows)} of {holder}")
        return str(rows[0]["Id"])

    def app_id(self, app: str) -> str | None:
        """Return the id of an installed app by its label, None when there is none."""
        where = f"Name = {_quoted(app)}"
        rows = self.query(f"SELECT Id FROM ConnectedApplication WHERE {where}")
        return str(rows[0]["Id"]) if rows else None

    def grant(self, parent_id: str, app_id: str) -> None:
        """Give the holder the app. The org derives the row's type from the id."""
        body: Json = {"ParentId": parent_id, "SetupEntityId": app_id}
        self._json("POST", f"{self._base}/sobjects/SetupEntityAccess", body)

    def revoke(self, row_id: str) -> None:
        """Delete a SetupEntityAccess row; there is no update (object reference)."""
        self._json("DELETE", f"{self._base}/sobjects/SetupEntityAccess/{row_id}")

    def query(self, soql: str) -> list[Row]:
        """Return all rows of a query, page by page. Raises ApiFault, LostAnswer."""
        found: list[Row] = []
        path = f"{self._base}/query?q={quote(soql)}"
        while path:
            page = self._json("GET", path)
            if not isinstance(page, dict) or not isinstance(page.get("records"), list):
                raise LostAnswer("the org's answer to a query has no records")
            found += cast(list[Row], page["records"])
            path = "" if page.get("done") else str(page.get("nextRecordsUrl") or "")
        return found

    def _json(self, method: str, path: str, body: Json = None) -> Json:
        answer = self._connection.call(
            method,
            path,
            body=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._connection.token.reveal()}",
                "Content-Type": "application/json",
            },
        )
        return read_json(answer)


def _quoted(text: str) -> str:
    """Write a text as a SOQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _holder(row: Row) -> Ref:
    parent = row.get("Parent")
    if not isinstance(parent, dict):
        raise LostAnswer("a SetupEntityAccess row came without its Parent")
    if parent.get("IsOwnedByProfile"):
        profile = parent.get("Profile")
        label = profile.get("Name") if isinstance(profile, dict) else None
        return Ref("Profile", profile_name(str(label)))
    return Ref("PermissionSet", str(parent.get("Name")))
