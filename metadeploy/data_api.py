"""Edge: the REST data API: queries, and the records that give access to apps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from metadeploy.access import profile_label, profile_name
from metadeploy.audit import SetupChange
from metadeploy.connection import Connection, Json, read_json
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.lockdown import AppUser, InstalledApp, Survey
from metadeploy.model import DeployRequest, Ref, Secret, id18
from metadeploy.plan import OrgFacts

Row = Mapping[str, Json]
# More than an org is asked for between two looks of ours.
_LAST_DEPLOYS = 50
_LAST_SETUP_CHANGES = 500
_DEPLOYS = (
    "SELECT Id, Status, CheckOnly, CreatedBy.Name, NumberComponentsTotal"
    f" FROM DeployRequest ORDER BY CreatedDate DESC LIMIT {_LAST_DEPLOYS}"
)
_AHEAD_SECONDS = 10.0


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
        rows = self.query(
            "SELECT Id, Name, IsSandbox, OrganizationType, TrialExpirationDate"
            " FROM Organization"
        )
        if len(rows) != 1:
            raise LostAnswer(f"the org says that it is {len(rows)} orgs")
        (row,) = rows
        # Whatever does not say that it is something else counts as production.
        production = (
            row.get("IsSandbox") is not True
            and row.get("TrialExpirationDate") is None
            and row.get("OrganizationType") != "Developer Edition"
        )
        try:
            org_id = id18(_text(row, "Id"))
        except ValueError as error:
            raise LostAnswer(f"the org's Id is none: {error}") from error
        return OrgFacts(org_id, _text(row, "Name"), production)

    def deploys(self) -> tuple[DeployRequest, ...]:
        """Return the org's last deploys, the newest first, whoever asked for them.

        Source: Tooling API, DeployRequest (the fields that public tools query). Raises
        ApiFault where the user may not read them.
        """
        return tuple(map(_deploy_request, self._rows("tooling/query", _DEPLOYS)))

    def ahead(self, deploy_id: str) -> int | None:
        """Return how many deploys come before one in the org's queue; None: unknown.

        Asked for people only, so it takes ten seconds at most and no new session.
        An org works on one deploy at a time, in the order that they came in.
        """
        path = f"{self._base}/tooling/query?q={quote(_DEPLOYS, safe='')}"
        token = self._connection.token
        answer = self._connection.call(
            "GET", path, headers=_headers(token), seconds=_AHEAD_SECONDS
        )
        rows, _ = _page(read_json(answer))
        found = [_deploy_request(row) for row in rows]
        place = next(
            (n for n, d in enumerate(found) if d.id[:15] == deploy_id[:15]), None
        )
        if place is None:
            return None
        return sum(d.running for d in found[place + 1 :])  # the newest come first

    def setup_changes(self, since: float | None = None) -> tuple[SetupChange, ...]:
        """Return the org's last changes in Setup, the newest first.

        since: seconds since 1970; None: as far back as the last rows go. Source:
        object reference, SetupAuditTrail. Raises ApiFault where the user may not read
        it: that needs View Setup and Configuration.
        """
        where = ""
        if since is not None:
            when = datetime.fromtimestamp(since, UTC)
            where = f" WHERE CreatedDate > {when:%Y-%m-%dT%H:%M:%S}Z"
        rows = self.query(
            "SELECT CreatedDate, CreatedBy.Name, Action, Section, Display, DelegateUser"
            f" FROM SetupAuditTrail{where} ORDER BY CreatedDate DESC"
            f" LIMIT {_LAST_SETUP_CHANGES}"
        )
        # SOQL is asked for whole seconds, and ours may have been the last of that one.
        return tuple(
            SetupChange(
                _text(row, "CreatedDate"),
                _name_of(row.get("CreatedBy")),
                str(row.get("Action") or ""),
                str(row.get("Section") or ""),
                str(row.get("Display") or ""),
                str(row.get("DelegateUser") or ""),
            )
            for row in rows
            if since is None or _seconds(_text(row, "CreatedDate")) > since
        )

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
                app = by_15.get(_text(row, "SetupEntityId")[:15])
                if app is not None:
                    found[app][_holder(row)] = _text(row, "Id")
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
        return _text(rows[0], "Id")

    def app_id(self, app: str) -> str | None:
        """Return the id of an installed app by its label, None when there is none.

        Raises ApiFault where several apps have that label.
        """
        where = f"Name = {_quoted(app)}"
        rows = self.query(f"SELECT Id FROM ConnectedApplication WHERE {where}")
        if len(rows) > 1:
            raise ApiFault(
                "",
                f"the org has {len(rows)} apps labelled {app!r}",
                hint="Rename one of them in Setup, so that the label means one app.",
            )
        return _text(rows[0], "Id") if rows else None

    def app_names(self) -> tuple[str, ...]:
        """Return the labels of all apps that the org knows, of other orgs too."""
        rows = self.query("SELECT Name FROM ConnectedApplication")
        return tuple(sorted(_text(row, "Name") for row in rows))

    def survey(self) -> Survey:
        """Return which apps the org has and who uses them, as far as it lets us read.

        Source: object reference, ConnectedApplication, OauthToken; what an org or its
        administrator hides is named in `unread`.
        """
        unread: list[str] = []

        def rows(what: str, soql: str) -> list[Row]:
            try:
                return self.query(soql)
            except ApiFault as fault:
                unread.append(f"{what} ({fault.code or fault.message})")
                return []

        apps = self._apps(rows)
        users = tuple(
            AppUser(
                _text(row, "AppName"),
                _text(_inner(row, "User"), "Username"),
                _inner(row, "User").get("UserType") == "Standard",
            )
            for row in rows(
                "who uses which app",
                "SELECT AppName, User.Username, User.UserType FROM OauthToken"
                " WHERE User.IsActive = true",
            )
        )
        names = sorted({user.username for user in users})
        unhindered = rows(
            "who may use any API client",
            "SELECT Assignee.Username FROM PermissionSetAssignment"
            " WHERE PermissionSet.PermissionsUseAnyApiClient = true",
        )
        by_profile = rows(
            "which profiles may use any API client",
            "SELECT Username FROM User WHERE Profile.PermissionsUseAnyApiClient = true",
        )
        held = _held(names, rows)
        return Survey(
            apps,
            tuple(dict.fromkeys(users)),
            held,
            frozenset(_text(_inner(r, "Assignee"), "Username") for r in unhindered)
            | frozenset(_text(r, "Username") for r in by_profile),
            tuple(unread),
        )

    def _apps(self, rows: Callable[[str, str], list[Row]]) -> tuple[InstalledApp, ...]:
        connected = rows(
            "connected apps",
            "SELECT Id, Name, OptionsAllowAdminApprovedUsersOnly"
            " FROM ConnectedApplication",
        )
        external = rows(
            "External Client Apps",
            "SELECT Id, MasterLabel FROM ExternalClientApplication",
        )
        policies = rows(
            "policies of External Client Apps",
            "SELECT ExternalClientApplicationId FROM ExtlClntAppOauthPlcyCnfg"
            " WHERE PermittedUsersPolicyType = 'AdminApprovedPreAuthorized'",
        )
        closed = {_text(r, "ExternalClientApplicationId") for r in policies}
        found = [
            (_text(r, "Id"), _text(r, "Name"), _is_closed(r)) for r in connected
        ] + [
            (_text(r, "Id"), _text(r, "MasterLabel"), r["Id"] in closed)
            for r in external
        ]
        holders = self.holders(app_id for app_id, _, _ in found)
        return tuple(
            InstalledApp(label, is_closed, frozenset(holders[app_id]))
            for app_id, label, is_closed in found
        )

    def grant(self, parent_id: str, app_id: str) -> None:
        """Give the holder the app. The org derives the row's type from the id."""
        body: Json = {"ParentId": parent_id, "SetupEntityId": app_id}
        self._json("POST", f"{self._base}/sobjects/SetupEntityAccess", body)

    def revoke(self, row_id: str) -> None:
        """Delete a SetupEntityAccess row; there is no update (object reference)."""
        row = quote(row_id, safe="")
        self._json("DELETE", f"{self._base}/sobjects/SetupEntityAccess/{row}")

    def query(self, soql: str) -> list[Row]:
        """Return all rows of a query, page by page. Raises ApiFault, LostAnswer."""
        return self._rows("query", soql)

    def _rows(self, resource: str, soql: str) -> list[Row]:
        found: list[Row] = []
        path = f"{self._base}/{resource}?q={quote(soql, safe='')}"
        seen: set[str] = set()
        while path not in seen:
            seen.add(path)
            rows, page = _page(self._json("GET", path))
            found += rows
            if page.get("done") is True:
                return found
            path = str(page.get("nextRecordsUrl") or path)
        raise LostAnswer("the org's answer to a query has no last page")

    def _json(self, method: str, path: str, body: Json = None) -> Json:
        return self._connection.in_session(
            lambda token: read_json(
                self._connection.call(
                    method,
                    path,
                    body=None if body is None else json.dumps(body).encode(),
                    headers=_headers(token),
                )
            )
        )


def _headers(token: Secret) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token.reveal()}",
        "Content-Type": "application/json",
    }


def _page(answer: Json) -> tuple[list[Row], Row]:
    """Return the rows of one page of a query, and the page. Raises LostAnswer."""
    rows = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(rows, list):
        raise LostAnswer("the org's answer to a query has no records")
    found: list[Row] = []
    for row in rows:
        if not isinstance(row, dict):
            raise LostAnswer("the org's answer to a query has a row that is none")
        found.append(row)
    return found, answer


def _deploy_request(row: Row) -> DeployRequest:
    try:
        deploy_id = id18(_text(row, "Id"))
    except ValueError as error:
        raise LostAnswer(f"the org lists a deploy whose Id is none: {error}") from error
    return DeployRequest(
        deploy_id,
        _text(row, "Status"),
        row.get("CheckOnly") is True,
        str(_inner(row, "CreatedBy").get("Name") or ""),
        _count(row.get("NumberComponentsTotal")),
    )


def _seconds(text: str) -> float:
    """Return seconds since 1970 of a time in REST: "2026-01-31T10:00:00.000+0000"."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        raise LostAnswer(f"the org says a time that is none: {text!r}") from None


def _name_of(user: Json) -> str:
    """Return a user's name; the platform's own changes are of nobody."""
    return str(user.get("Name") or "") if isinstance(user, dict) else ""


def _quoted(text: str) -> str:
    """Write a text as a SOQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _count(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _held(
    usernames: Sequence[str], rows: Callable[[str, str], list[Row]]
) -> dict[str, frozenset[Ref]]:
    """Return each user's profile and permission sets."""
    held: dict[str, set[Ref]] = {name: set() for name in usernames}
    for start in range(0, len(usernames), 50):
        names = ", ".join(map(_quoted, usernames[start : start + 50]))
        for row in rows(
            "users' profiles",
            f"SELECT Username, Profile.Name FROM User WHERE Username IN ({names})",
        ):
            label = _text(_inner(row, "Profile"), "Name")
            found = held.setdefault(_text(row, "Username"), set())
            found.add(Ref("Profile", profile_name(label)))
        for row in rows(
            "users' permission sets",
            "SELECT Assignee.Username, PermissionSet.Name"
            " FROM PermissionSetAssignment WHERE PermissionSet.IsOwnedByProfile = false"
            f" AND Assignee.Username IN ({names})",
        ):
            name = _text(_inner(row, "PermissionSet"), "Name")
            user = _text(_inner(row, "Assignee"), "Username")
            held.setdefault(user, set()).add(Ref("PermissionSet", name))
    return {name: frozenset(refs) for name, refs in held.items()}


def _is_closed(row: Row) -> bool:
    return row.get("OptionsAllowAdminApprovedUsersOnly") is True


def _text(row: Row, name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text:
        raise LostAnswer(f"the org's answer to a query has a row without {name}")
    return text


def _inner(row: Row, name: str) -> Row:
    inner = row.get(name)
    if not isinstance(inner, dict):
        raise LostAnswer(f"the org's answer to a query has a row without {name}")
    return inner


def _holder(row: Row) -> Ref:
    parent = _inner(row, "Parent")
    if parent.get("IsOwnedByProfile"):
        label = _text(_inner(parent, "Profile"), "Name")
        return Ref("Profile", profile_name(label))
    return Ref("PermissionSet", _text(parent, "Name"))
