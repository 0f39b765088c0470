"""Edge: what an org tells of its server, and of whoever is logged in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from msgspec import Struct

from metadeploy.connection import Connection, Json, is_jwt, read_json
from metadeploy.doctor import Served
from metadeploy.errors import ApiFault, LostAnswer

_USER = re.compile(r"/id/00D[A-Za-z0-9]{12,15}/(005[A-Za-z0-9]{12,15})/?")
# What gives a user permissions: the field that leads to it, of which table, by what.
_HOLDERS = (
    ("Profile", "User", "Id"),
    ("PermissionSet", "PermissionSetAssignment", "AssigneeId"),
)
_VERSION = re.compile(r"[1-9]\d\.0")


class DoctorApi(Struct, frozen=True):
    """The questions that only an examination asks."""

    connection: Connection
    api_version: str

    def served(self) -> Served:
        """Return what the server says to anybody.

        Source: REST API Developer Guide, "Versions": no login is needed.
        """
        answer = self.connection.call("GET", "/services/data")
        found = read_json(answer)
        rows = found if isinstance(found, list) else []
        versions = (str(row.get("version")) for row in rows if isinstance(row, dict))
        return Served(tuple(v for v in versions if _VERSION.fullmatch(v)), answer.date)

    def has_jwt_token(self) -> bool:
        """Tell whether the token is one that SOAP does not take."""
        return is_jwt(self.connection.token)

    def permissions(self, names: Iterable[str]) -> Mapping[str, bool]:
        """Return which user permissions whoever is logged in has.

        A permission that the org does not know is left out. Source: object reference,
        Profile, PermissionSet, PermissionSetAssignment.
        """
        user = self._user_id()
        wanted = sorted(names)
        try:
            return self._permissions(user, wanted)
        except ApiFault as fault:
            if fault.code != "INVALID_FIELD":
                raise
        found: dict[str, bool] = {}
        for name in wanted:  # one of them is unknown: which, is seen one by one
            try:
                found.update(self._permissions(user, [name]))
            except ApiFault as fault:
                if fault.code != "INVALID_FIELD":
                    raise
        return found

    def last_deploy(self) -> str:
        """Return the id of the org's last deploy, "" when there was none."""
        rows = self._query(
            "tooling/query",
            "SELECT Id FROM DeployRequest ORDER BY CreatedDate DESC LIMIT 1",
        )
        return str(rows[0].get("Id") or "") if rows else ""

    def _user_id(self) -> str:
        found = self._get("")
        identity = found.get("identity") if isinstance(found, dict) else None
        user = _USER.search(str(identity))
        if user is None:
            raise LostAnswer("the org does not say who is logged in")
        return user[1]

    def _permissions(self, user: str, names: list[str]) -> dict[str, bool]:
        found: set[str] = set()
        for holder, table, key in _HOLDERS:
            fields = ", ".join(f"{holder}.Permissions{name}" for name in names)
            rows = self._query(
                "query",
                # Ids and names only, each looked at before.
                f"SELECT {fields} FROM {table} WHERE {key} = '{user}'",  # noqa: S608
            )
            for row in rows:
                held = row.get(holder)
                if isinstance(held, dict):
                    found |= {n for n in names if held.get(f"Permissions{n}") is True}
        return {name: name in found for name in names}

    def _query(self, resource: str, soql: str) -> list[Mapping[str, Json]]:
        """Return the first page of a query: what is asked for here fits on it."""
        found = self._get(f"{resource}?q={quote(soql, safe='')}")
        rows = found.get("records") if isinstance(found, dict) else None
        if not isinstance(rows, list):
            raise LostAnswer("the org's answer to a query has no records")
        return [row for row in rows if isinstance(row, dict)]

    def _get(self, resource: str) -> Json:
        path = f"/services/data/v{self.api_version}/{resource}"
        return self.connection.in_session(
            lambda token: read_json(
                self.connection.call(
                    "GET", path, headers={"Authorization": f"Bearer {token.reveal()}"}
                )
            )
        )
