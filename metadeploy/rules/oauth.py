"""An app's OAuth side as one value, whichever of the two kinds the app is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from lxml import etree
from msgspec import Struct

from metadeploy.model import Problem
from metadeploy.rules.reading import File, all_of, first_of, is_true, value_of
from metadeploy.schema import canonical_scope

_HEADER = "ExternalClientApplication"
_GLOBAL = "ExtlClntAppGlobalOauthSettings"
_SETTINGS = "ExtlClntAppOauthSettings"
_POLICY = "ExtlClntAppOauthConfigurablePolicies"
_SECURITY = "ExtlClntAppOauthSecuritySettings"
TYPES = ("ConnectedApp", _HEADER, _GLOBAL, _SETTINGS, _POLICY, _SECURITY)

_LIFETIMES = {
    "Infinite": "infinite",
    "Zero": "zero",
    "SpecificLifetime": "specific_lifetime",
    "SpecificInactivity": "specific_inactivity",
}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SALESFORCE = (".salesforce.com", ".force.com", ".salesforce-sites.com")


class Said(Struct, frozen=True):
    """What a file says of one thing, and where; value "" where it says nothing."""

    value: str
    file: File
    at: etree._Element | int

    def problem(self, rule: str, message: str) -> Problem:
        return self.file.problem(rule, message, self.at)


class OauthApp(Struct, frozen=True):
    """What the files say of an app's OAuth settings and policies.

    approval: "true" only admin-approved users, "false" everybody, "" not said.
    pkce, rotation: "true" or "false", the platform's default where not said.
    refresh: in the words of a connected app, such as "specific_inactivity:30:DAYS".
    ranges: "true" where IP ranges are given. relaxed: "true" where they don't count.
    server: the app has a flow of its own, JWT bearer or client credentials.
    """

    name: str
    scopes: tuple[Said, ...]
    callbacks: tuple[str, ...]
    approval: Said
    pkce: Said
    rotation: Said
    refresh: Said
    ranges: Said
    relaxed: Said
    certificate: Said
    server: bool

    @property
    def refreshes(self) -> bool:
        """Tell whether the app gets refresh tokens: Full alone brings none."""
        return any(canonical_scope(s.value) == "RefreshToken" for s in self.scopes)

    @property
    def takes_codes(self) -> bool:
        """Tell whether somebody could receive an authorisation code for the app.

        Not so where it has a flow of its own, keeps no refresh token, and its
        callback URLs lead to Salesforce's pages or to nobody's machine: a callback
        URL has to be there even for flows that use none.
        """
        elsewhere = not all(leads_nowhere(url) for url in self.callbacks)
        return elsewhere or self.refreshes or not self.server


def apps_of(files: Iterable[File]) -> Iterator[OauthApp]:
    """Yield every app with OAuth that the files declare, in their order.

    files: of TYPES only.
    """
    clients: dict[str, dict[str, File]] = {}
    for file in files:
        if file.ref.type == "ConnectedApp":
            oauth = first_of(file.root, "oauthConfig")
            if oauth is not None:
                yield _connected_app(file, oauth)
        else:
            named = value_of(file.root, "externalClientApplication")
            name = named or file.ref.full_name
            clients.setdefault(name, {}).setdefault(file.ref.type, file)
    for name, parts in clients.items():
        if _GLOBAL in parts or _SETTINGS in parts:
            yield _client_app(name, parts)


def _connected_app(file: File, oauth: etree._Element) -> OauthApp:
    policy = first_of(file.root, "oauthPolicy")
    ranges = first_of(file.root, "ipRanges")
    relaxation = _said(file, policy, "ipRelaxation", oauth)
    return OauthApp(
        name=file.ref.full_name,
        scopes=tuple(
            Said(value_of(e), file, e) for e in all_of(oauth, "scopes") if value_of(e)
        ),
        callbacks=_lines(value_of(oauth, "callbackUrl")),
        approval=_flag(file, oauth, "isAdminApproved", default="false"),
        pkce=_flag(file, oauth, "isPkceRequired", default="false"),
        rotation=_flag(file, oauth, "isRefreshTokenRotationEnabled", default="false"),
        refresh=_said(file, policy, "refreshTokenPolicy", oauth),
        ranges=Said("" if ranges is None else "true", file, oauth),
        relaxed=_where(relaxation, relaxation.value == "BYPASS"),
        certificate=_said(file, oauth, "certificate", oauth),
        server=is_true(oauth, "isClientCredentialEnabled")
        or bool(value_of(oauth, "certificate")),
    )


def _client_app(name: str, parts: dict[str, File]) -> OauthApp:
    settings = parts.get(_SETTINGS) or parts[_GLOBAL]
    keys = parts.get(_GLOBAL) or settings
    policy = parts.get(_POLICY) or settings
    approval = _said(policy, policy.root, "permittedUsersPolicyType", 1)
    listed = first_of(settings.root, "commaSeparatedOauthScopes")
    scopes = [s.strip() for s in value_of(listed).split(",")]
    approved = {"AllSelfAuthorized": "false", "AdminApprovedPreAuthorized": "true"}
    relaxation = _said(policy, policy.root, "ipRelaxationPolicyType", 1)
    ranges = first_of(settings.root, "trustedIpRanges")
    kept = ranges is not None or _SECURITY in parts
    return OauthApp(
        name=name,
        scopes=tuple(
            Said(scope, settings, 1 if listed is None else listed)
            for scope in scopes
            if scope
        ),
        callbacks=_lines(value_of(keys.root, "callbackUrl")),
        approval=Said(approved.get(approval.value, ""), approval.file, approval.at),
        pkce=_flag(keys, keys.root, "isPkceRequired", default="true"),
        rotation=_flag(
            keys, keys.root, "isRefreshTokenRotationEnabled", default="false"
        ),
        refresh=_client_refresh(policy),
        ranges=Said("true" if kept else "", settings, 1),
        relaxed=_where(
            relaxation, relaxation.value == "Bypass" and _SECURITY not in parts
        ),
        certificate=_said(keys, keys.root, "certificate", 1),
        server=is_true(keys.root, "isClientCredentialsFlowEnabled")
        or bool(value_of(keys.root, "certificate")),
    )


def _client_refresh(policy: File) -> Said:
    said = _said(policy, policy.root, "refreshTokenPolicyType", 1)
    period = value_of(policy.root, "refreshTokenValidityPeriod")
    unit = value_of(policy.root, "refreshTokenValidityUnit").upper()
    value = _LIFETIMES.get(said.value, "")
    limit = f":{period}:{unit}" if value.startswith("specific") else ""
    return Said(value + limit, policy, said.at)


def _said(
    file: File, holder: etree._Element | None, name: str, other: etree._Element | int
) -> Said:
    element = first_of(holder, name)
    at = element if element is not None else other if holder is None else holder
    return Said(value_of(element), file, at)


def _flag(
    file: File, holder: etree._Element | None, name: str, *, default: str
) -> Said:
    said = _said(file, holder, name, 1)
    value = {"1": "true", "0": "false", "": default}.get(said.value, said.value)
    return Said(value, file, said.at)


def _where(said: Said, holds: bool) -> Said:
    return Said("true" if holds else "", said.file, said.at)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (line.strip() for line in text.split("\n"))))


def leads_nowhere(url: str) -> bool:
    """Tell whether a callback URL leads to Salesforce's pages or to this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in _LOOPBACK or host.endswith(_SALESFORCE)
