"""An app as OAuth sees it, whichever metadata it is made of, and who may use it.

ConnectedApp: §1.3 and §1.5 of its fields; External Client App: its satellites, §4.1
(documented: Metadata API guide).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from metadeploy import schema
from metadeploy.emulator import externalapps, records
from metadeploy.emulator.state import OrgState, Record, StoredComponent
from metadeploy.emulator.tree import Tree, parse, subtree, text, texts, tree_of
from metadeploy.model import Ref

DAY = 86400.0
_UNITS = {"HOURS": 3600.0, "DAYS": DAY, "MONTHS": 30 * DAY}


@dataclass(frozen=True)
class RefreshPolicy:
    """How long a refresh token serves. seconds: None for ever, 0 never.

    inactivity: counted from the last use, not from the approval.
    """

    seconds: float | None = None
    inactivity: bool = False


@dataclass(frozen=True)
class OauthApp:
    """What OAuth asks of an app.

    ref, id: of the ConnectedApp or ExternalClientApplication. scopes: OAuth names.
    certificate: PEM, "" for none. client_credential_user: a username, "" for none.
    ip_relaxation: in the spelling of ConnectedApp. ip_ranges: trusted, (start, end).
    session_minutes, id_token_minutes: lifetimes, None = the org's.
    """

    ref: Ref
    id: str
    label: str
    consumer_key: str
    consumer_secret: str = field(default="", repr=False)
    callback_urls: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    admin_approved: bool = False
    blocked: bool = False
    certificate: str = field(default="", repr=False)
    client_credentials_enabled: bool = False
    client_credential_user: str = ""
    pkce_required: bool = False
    secret_optional: bool = False
    secret_required_for_refresh: bool = True
    refresh_rotation: bool = False
    introspect_all: bool = False
    device_flow_enabled: bool = False
    named_user_jwt: bool = False
    refresh_policy: RefreshPolicy = RefreshPolicy()
    ip_relaxation: str = "ENFORCE"
    ip_ranges: tuple[tuple[str, str], ...] = ()
    session_minutes: int | None = None
    id_token_minutes: int = 2

    @property
    def is_external(self) -> bool:
        """Whether it is an External Client App: closed to other orgs."""
        return self.ref.type == "ExternalClientApplication"


SALESFORCE_CLI = OauthApp(
    Ref("ConnectedApp", "PlatformCLI"),
    "",
    "Salesforce CLI",
    "PlatformCLI",
    callback_urls=(
        "http://localhost:1717/OauthRedirect",
        "http://127.0.0.1:1717/OauthRedirect",
    ),
    scopes=frozenset({"refresh_token", "api", "web"}),
    secret_optional=True,
    secret_required_for_refresh=False,
)
"""The app of Salesforce CLI, known to every org; observed in its traffic."""


def oauth_app(org: OrgState, ref: Ref) -> OauthApp | None:
    """Return an org's app for OAuth; None where there is none with OAuth settings."""
    component = org.component(ref)
    if component is None:
        return None
    if ref.type == "ConnectedApp":
        return _connected_app(org, component)
    if ref.type == externalapps.HEADER:
        return _external_app(org, component)
    return None


def oauth_apps(org: OrgState) -> list[OauthApp]:
    """Return all apps of an org that OAuth can use, by name."""
    components = org.components("ConnectedApp") + org.components(externalapps.HEADER)
    found = [oauth_app(org, c.ref) for c in components]
    return [app for app in found if app is not None]


def may_use(org: OrgState, app: OauthApp, user: Record) -> bool:
    """Whether a user has an admin-approved app through a permission set or profile.

    Documented: SetupEntityAccess; a profile's row hangs on its shadow permission set.
    """
    held = records.assigned_sets(org, str(user["Id"]))
    rows = records.linked(org, "SetupEntityAccess", app.id)
    return any(row["ParentId"] in held for row in rows)


def set_blocked(org: OrgState, ref: Ref, *, blocked: bool) -> None:
    """Block a connected app as on the page Connected Apps OAuth Usage, or unblock it.

    Its tokens die with the block (documented). Raises KeyError for no such app; an
    External Client App is switched off by `isEnabled` of its policy instead.
    """
    with org.world.transaction():
        component = org.component(ref)
        if component is None or ref.type != "ConnectedApp":
            raise KeyError(str(ref))
        extra = {**component.extra, "blocked": blocked}
        org.put(ref, component.body, user_id=component.modified_by, extra=extra)
        if blocked:
            org.revoke_all(app=ref)
        org.log("app blocked" if blocked else "app unblocked", app=str(ref))


def _tree(component: StoredComponent) -> Tree:
    return tree_of(parse(component.body))


def _connected_app(org: OrgState, component: StoredComponent) -> OauthApp | None:
    tree = _tree(component)
    config = subtree(tree, "oauthConfig")
    if config is None:
        return None
    policy = subtree(tree, "oauthPolicy") or {}
    minutes = text(tree, "sessionPolicy", "sessionTimeout")

    def on(name: str, *, default: bool = False) -> bool:
        return (text(config, name) or str(default).lower()) == "true"

    return OauthApp(
        component.ref,
        component.id,
        text(tree, "label"),
        str(component.extra.get("key", "")),
        str(component.extra.get("secret", "")),
        callback_urls=tuple(text(config, "callbackUrl").split("\n")),
        scopes=oauth_scopes(texts(config, "scopes")),
        admin_approved=on("isAdminApproved"),
        blocked=bool(component.extra.get("blocked")),
        certificate=text(config, "certificate"),
        client_credentials_enabled=on("isClientCredentialEnabled"),
        client_credential_user=text(config, "oauthClientCredentialUser"),
        pkce_required=on("isPkceRequired"),
        secret_optional=on("isConsumerSecretOptional"),
        secret_required_for_refresh=on("isSecretRequiredForRefreshToken", default=True),
        refresh_rotation=on("isRefreshTokenRotationEnabled"),
        introspect_all=on("isIntrospectAllTokens"),
        # No field says so in ConnectedApp: the page's checkbox is not in metadata.
        device_flow_enabled=True,
        named_user_jwt=on("isNamedUserJwtEnabled"),
        refresh_policy=refresh_policy(text(policy, "refreshTokenPolicy")),
        ip_relaxation=text(policy, "ipRelaxation") or "ENFORCE",
        ip_ranges=_ranges(tree),
        session_minutes=int(minutes) if minutes.isdigit() else None,
        id_token_minutes=int(text(config, "idTokenConfig", "idTokenValidity") or 2),
    )


_POLICY_UNITS = {"Hours": 3600.0, "Days": DAY, "Months": 30 * DAY}


def _external_app(org: OrgState, component: StoredComponent) -> OauthApp | None:
    """Return an External Client App with OAuth settings; its policy decides (§4.1)."""
    name = component.ref.full_name
    credentials = externalapps.satellite(org, externalapps.GLOBAL, name)
    settings = externalapps.satellite(org, externalapps.SETTINGS, name)
    if credentials is None or settings is None:
        return None
    policy_file = externalapps.satellite(org, externalapps.OAUTH_POLICY, name)
    switches_file = externalapps.satellite(org, externalapps.POLICY, name)
    config, scopes = _tree(credentials), _tree(settings)
    policy: Tree = _tree(policy_file) if policy_file else {}
    switches: Tree = _tree(switches_file) if switches_file else {}
    minutes = text(policy, "sessionTimeoutInMinutes")

    def on(tree: Tree, name: str, *, default: bool = False) -> bool:
        return (text(tree, name) or str(default).lower()) == "true"

    return OauthApp(
        component.ref,
        component.id,
        text(_tree(component), "label") or name,
        str(credentials.extra.get("key", "")),
        str(credentials.extra.get("secret", "")),
        callback_urls=tuple(text(config, "callbackUrl").split()),
        scopes=oauth_scopes(
            externalapps.split(text(scopes, "commaSeparatedOauthScopes"))
        ),
        admin_approved=(
            text(policy, "permittedUsersPolicyType") == externalapps.ADMIN_APPROVED
        ),
        blocked=not on(switches, "isEnabled", default=True),
        certificate=str(credentials.extra.get("certificate") or ""),
        client_credentials_enabled=on(config, "isClientCredentialsFlowEnabled")
        and on(policy, "isClientCredentialsFlowEnabled"),
        client_credential_user=text(policy, "clientCredentialsFlowUser"),
        pkce_required=on(config, "isPkceRequired", default=True),
        secret_optional=on(config, "isConsumerSecretOptional"),
        secret_required_for_refresh=on(
            config, "isSecretRequiredForRefreshToken", default=True
        ),
        refresh_rotation=on(config, "isRefreshTokenRotationEnabled"),
        introspect_all=on(config, "isIntrospectAllTokens"),
        device_flow_enabled=on(config, "isDeviceFlowEnabled"),
        named_user_jwt=on(config, "isNamedUserJwtEnabled"),
        refresh_policy=_external_refresh(policy),
        ip_relaxation=(text(policy, "ipRelaxationPolicyType") or "Enforce").upper(),
        ip_ranges=tuple(
            (text(item, "startIpAddress"), text(item, "endIpAddress"))
            for item in scopes.get("trustedIpRanges", [])
            if not isinstance(item, str)
        ),
        session_minutes=int(minutes) if minutes.isdigit() else None,
        id_token_minutes=int(
            text(config, "idTokenConfig", "idTokenValidityInMinutes") or 2
        ),
    )


def _external_refresh(policy: Tree) -> RefreshPolicy:
    kind = text(policy, "refreshTokenPolicyType")
    if kind.startswith("Specific"):
        unit = _POLICY_UNITS.get(text(policy, "refreshTokenValidityUnit"), DAY)
        seconds = int(text(policy, "refreshTokenValidityPeriod") or 1) * unit
        return RefreshPolicy(seconds, inactivity=kind == "SpecificInactivity")
    return RefreshPolicy(0.0 if kind == "Zero" else None)


def oauth_scopes(names: Iterable[str]) -> frozenset[str]:
    """Return metadata's scope names as OAuth's."""
    return frozenset(schema.oauth_scope(name) for name in names)


def refresh_policy(policy: str) -> RefreshPolicy:
    """Return what ConnectedApp's refreshTokenPolicy says (documented)."""
    found = re.fullmatch(r"specific_(lifetime|inactivity):(\d+):(\w+)", policy)
    if found:
        seconds = int(found[2]) * _UNITS.get(found[3], DAY)
        return RefreshPolicy(seconds, inactivity=found[1] == "inactivity")
    return RefreshPolicy(0.0 if policy == "zero" else None)


def _ranges(tree: Tree) -> tuple[tuple[str, str], ...]:
    return tuple(
        (text(item, "start"), text(item, "end"))
        for item in tree.get("ipRanges", [])
        if not isinstance(item, str)
    )
