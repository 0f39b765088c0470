"""Who may use an app, and why not: the decision every OAuth flow asks for.

Source of errors: the OAuth error table of the facts the emulator was built from; each
carries there whether it is documented, observed or recalled (see `oauth_errors`).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from ipaddress import ip_address

from metadeploy.emulator import access_control, ids, profiles, records
from metadeploy.emulator.apps import SALESFORCE_CLI, OauthApp, may_use, oauth_app
from metadeploy.emulator.oauth_errors import refused
from metadeploy.emulator.soql_time import seconds_of
from metadeploy.emulator.staged import staged_of
from metadeploy.emulator.state import OrgState, Plain, Record, World
from metadeploy.emulator.tree import parse, text, tree_of, trees
from metadeploy.model import Ref

CLIENT_IP = "127.0.0.1"
"""Every client is on loopback; trusted ranges are judged by this address."""


@dataclass(frozen=True)
class Client:
    """The app a request speaks for. org: where it lives; None for Salesforce's own."""

    org: OrgState | None
    app: OauthApp


@dataclass(frozen=True)
class Approval:
    """That a user let an app act for him. id: of its OauthToken record.

    given, used: seconds since the epoch.
    """

    id: str
    scopes: tuple[str, ...]
    given: float
    used: float


def client_of(world: World, consumer_key: str) -> Client:
    """Return the app of a consumer key. Raises OAuthFault invalid_client_id."""
    if consumer_key == SALESFORCE_CLI.consumer_key:
        return Client(None, SALESFORCE_CLI)
    found = world.org_of_consumer_key(consumer_key)
    if found is not None:
        org, ref = found
        app = oauth_app(org, ref)
        if app is not None and app.consumer_key == consumer_key:
            if _is_on_its_way(org, app):
                raise refused("invalid_client_id")
            return Client(org, app)
        former = staged_of(org, ref.full_name) if app and app.is_external else None
        if app is not None and former is not None and former.key == consumer_key:
            serving = replace(
                app, consumer_key=former.key, consumer_secret=former.secret
            )
            return Client(org, serving)
    raise refused("invalid_client_id")


def _is_on_its_way(org: OrgState, app: OauthApp) -> bool:
    """Whether the login servers have not heard of a new app yet (observed)."""
    polls = org.settings.app_propagation_polls
    if not polls:
        return False
    with org.world.transaction():
        found = org.world.grant("app asked for", app.id)
        asked = int(str(found[1]["times"])) if found else 0
        if asked < polls:
            org.world.put_grant("app asked for", app.id, org, {"times": asked + 1})
        return asked < polls


def check_secret(app: OauthApp, secret: str | None, *, required: bool = True) -> None:
    """Raise OAuthFault invalid_client unless the secret is the app's.

    None = none was sent, which serves where none is required.
    """
    if secret is None and not required:
        return
    if not hmac.compare_digest((secret or "").encode(), app.consumer_secret.encode()):
        raise refused("invalid_client")


def admit(client: Client, org: OrgState, user: Record, *, web: bool = False) -> bool:
    """Decide whether a user of `org` may use the app; whether he must approve it.

    web: the browser is asked, whose errors bear other names. Returns True where the
    user has to have approved the app himself. Raises OAuthFault.
    """
    app = client.app
    if user["IsActive"] is not True:
        raise refused("inactive_user")
    if app.blocked:
        raise refused("blocked")
    granted = records.permissions_of(org, str(user["Id"]))
    if client.org is None or client.org.id != org.id:
        if app.is_external:
            raise refused("external_app_elsewhere")
        installed = access_control.as_installed(org, app)
        if installed is not None:
            app = replace(installed, admin_approved=False)
        elif client.org is not None:
            if not granted & {"CanApproveUninstalledApps", "UseAnyApiClient"}:
                raise refused("uninstalled")
            return True
    controlled = access_control.holds_for(org, user) and not (
        granted & {"UseAnyApiClient"}
    )
    if app.admin_approved or controlled:
        if not may_use(org, app, user):
            raise refused("not_admin_approved_web" if web else "not_admin_approved")
        return False
    return True


def check_address(
    org: OrgState, app: OauthApp, user: Record, *, refreshing: bool = False
) -> None:
    """Raise OAuthFault where the profile's login ranges keep this address out.

    Documented: IP relaxation. BYPASS ignores the ranges, ENFORCE_RELAXREFRESH does so
    when refreshing, and the app's own trusted ranges open the door.
    """
    relaxed = app.ip_relaxation.upper()
    if relaxed.startswith("BYPASS") or (refreshing and "RELAXREFRESH" in relaxed):
        return
    allowed = _login_ranges(org, user)
    if allowed and not any(map(_holds, [*allowed, *app.ip_ranges])):
        raise refused("ip_restricted")


def _login_ranges(org: OrgState, user: Record) -> list[tuple[str, str]]:
    profile = org.record("Profile", str(user["ProfileId"]))
    name = profiles.full_name_of(str(profile["Name"])) if profile else ""
    component = org.component(Ref("Profile", name))
    if component is None or not component.body:
        return []
    items = trees(tree_of(parse(component.body)), "loginIpRanges")
    return [(text(item, "startAddress"), text(item, "endAddress")) for item in items]


def _holds(addresses: tuple[str, str]) -> bool:
    """Whether a range, both ends included, holds the client's address."""
    try:
        start, end = (ip_address(address) for address in addresses)
    except ValueError:
        return False
    mine = ip_address(CLIENT_IP)
    if not start.version == end.version == mine.version:
        return False
    return int(start) <= int(mine) <= int(end)


# -- approvals


def approval_of(org: OrgState, app: OauthApp, user_id: str) -> Approval | None:
    """Return the approval that still stands, else None."""
    found = org.world.grant("approval", _approval_key(org, app, user_id))
    if found is None:
        return None
    record_id = str(found[1]["id"])
    record = org.record("OauthToken", record_id)
    if record is None:  # revoked by deleting the record
        return None
    return Approval(
        record_id,
        tuple(str(found[1]["scopes"]).split()),
        seconds_of(str(record["CreatedDate"])),
        seconds_of(str(record["LastUsedDate"])),
    )


def approve(
    org: OrgState, app: OauthApp, user_id: str, scopes: tuple[str, ...]
) -> Approval:
    """Note that the user approved the app, or that a login used the approval again."""
    with org.world.transaction():
        old = approval_of(org, app, user_id)
        record_id = old.id if old else ids.new_id("OauthToken")
        previous = org.record("OauthToken", record_id) or {}
        values: dict[str, Plain] = {
            "AppName": app.label,
            "UserId": user_id,
            "LastUsedDate": records.now_text(org),
            "UseCount": int(previous.get("UseCount") or 0) + 1,
        }
        records.save(org, "OauthToken", record_id, values, by=user_id)
        kept = tuple(dict.fromkeys([*(old.scopes if old else ()), *scopes]))
        body: dict[str, Plain] = {"id": record_id, "scopes": " ".join(kept)}
        org.world.put_grant("approval", _approval_key(org, app, user_id), org, body)
    now = org.world.clock()
    return Approval(record_id, kept, old.given if old else now, now)


def forget_approval(org: OrgState, record_id: str) -> None:
    """End an approval: its refresh and access tokens die with it."""
    with org.world.transaction():
        org.revoke_grant(record_id)
        records.erase(org, "OauthToken", record_id)


def _approval_key(org: OrgState, app: OauthApp, user_id: str) -> str:
    return f"{org.id} {user_id} {app.ref}"
