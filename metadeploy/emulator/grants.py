"""The grants of the token endpoint, one function each.

Leniencies towards JWTs are observed: Salesforce CLI sends `exp` in milliseconds,
simple-salesforce as text, CumulusCI as this very second; audiences are a login host
or the instance, with or without a slash at the end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from metadeploy.emulator.admission import (
    Client,
    admit,
    approval_of,
    approve,
    check_address,
    check_secret,
    client_of,
)
from metadeploy.emulator.oauth_errors import missing, refused
from metadeploy.emulator.state import OrgState, Record, World
from metadeploy.emulator.tokens import (
    Authorization,
    allowed_scopes,
    end_rotated,
    refreshed,
    token_answer,
)
from metadeploy.emulator.tree import parse, text, tree_of
from metadeploy.emulator.wire import Answer, Json, Request
from metadeploy.model import Ref

SKEW_SECONDS = 300.0
_AUDIENCE = re.compile(
    r"https://(?:login|test)\.salesforce\.com"
    r"|https?://(?:127\.0\.0\.1|\[::1\]|(?:[a-z0-9-]+\.)*localhost)(?::\d+)?",
    re.I,
)
_LOGIN_HOST = re.compile(r"https?://(?:login|test)\.localhost(?::\d+)?", re.I)


@dataclass(frozen=True)
class TokenRequest:
    """One request to the token endpoint: its parameters, and who says to be asking."""

    world: World
    base_url: str
    fields: Mapping[str, str]
    client_id: str
    client_secret: str | None

    @classmethod
    def of(cls, world: World, request: Request) -> TokenRequest:
        fields = dict(request.form)
        for name, value in request.parameters.items():
            fields.setdefault(name, value)
        client_id, secret = _basic(request.headers.get("authorization", ""))
        return cls(
            world,
            request.base_url,
            fields,
            fields.get("client_id", client_id),
            fields.get("client_secret", secret),
        )

    def need(self, name: str) -> str:
        """Return a parameter. Raises OAuthFault invalid_request."""
        value = self.fields.get(name, "")
        if not value:
            raise missing(name)
        return value

    def client(self) -> Client:
        """Return the app that asks. Raises OAuthFault."""
        if not self.client_id:
            raise missing("client_id")
        return client_of(self.world, self.client_id)


def _basic(header: str) -> tuple[str, str | None]:
    """Return key and secret of HTTP basic authentication, as RFC 6749 allows."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", None
    try:
        name, colon, secret = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", None
    return name, secret if colon else None


def grant(request: TokenRequest) -> Answer:
    """Answer a token request by its grant_type. Raises OAuthFault."""
    found = _GRANTS.get(request.need("grant_type"))
    if found is None:
        raise refused("grant_type")
    return found(request)


# -- JWT bearer


def _jwt_bearer(request: TokenRequest) -> Answer:
    # Loaded only here: cryptography costs more than all the rest of OAuth.
    from metadeploy.emulator import signing

    assertion = request.need("assertion")
    try:
        issuer = signing.unverified_claims(assertion).get("iss")
        client = client_of(request.world, str(issuer))
        if not client.app.certificate:
            raise refused("invalid_assertion")
        claims = signing.verified_claims(assertion, client.app.certificate)
    except signing.BadAssertion as error:
        raise refused("invalid_assertion") from error
    _check_audience(claims.get("aud"))
    _check_expiry(claims.get("exp"), request.world.clock())
    org, user = _named_user(request.world, str(claims.get("sub") or claims.get("prn")))
    if (
        admit(client, org, user)
        and approval_of(org, client.app, str(user["Id"])) is None
    ):
        raise refused("not_approved")
    check_address(org, client.app, user)
    scopes = allowed_scopes(client, "", refresh=False)
    return token_answer(request.base_url, Authorization(client, org, user, scopes))


def _named_user(world: World, username: str) -> tuple[OrgState, Record]:
    """Return the user of an assertion; inferred: an unknown one has not approved."""
    found = world.user_by_username(username)
    if found is None:
        raise refused("not_approved")
    return found


def _check_audience(audience: Json) -> None:
    several = audience if isinstance(audience, list) else [audience]
    for one in several:
        if isinstance(one, str):
            bare = one.removesuffix("/services/oauth2/token").rstrip("/")
            if _AUDIENCE.fullmatch(bare):
                return
    raise refused("audience")


def _check_expiry(expiry: Json, now: float) -> None:
    try:
        at = float(expiry) if isinstance(expiry, (str, int, float)) else 0.0
    except ValueError:
        at = 0.0
    if at > 1e11:  # milliseconds
        at /= 1000
    if not at > now - SKEW_SECONDS:
        raise refused("invalid_assertion")


# -- client credentials


def _client_credentials(request: TokenRequest) -> Answer:
    if _LOGIN_HOST.fullmatch(request.base_url):
        raise refused("wrong_domain")
    client = request.client()
    app, org = client.app, client.org
    check_secret(app, request.client_secret)
    if org is None or not app.client_credentials_enabled:
        raise refused("no_client_credentials_user")
    found = request.world.user_by_username(app.client_credential_user)
    if found is None or found[0].id != org.id or found[1]["IsActive"] is not True:
        raise refused("no_client_credentials_user")
    if app.blocked:
        raise refused("blocked")
    check_address(org, app, found[1])
    scopes = allowed_scopes(client, request.fields.get("scope", ""), refresh=False)
    return token_answer(request.base_url, Authorization(client, org, found[1], scopes))


# -- refresh token


def _refresh(request: TokenRequest) -> Answer:
    client = request.client()
    required = client.app.secret_required_for_refresh
    check_secret(client.app, request.client_secret, required=required)
    token = request.need("refresh_token")
    session = request.world.org_of_token(token, kind="refresh")
    if session is None:
        reused = request.world.grant("rotated", token)
        if reused is not None:
            end_rotated(reused[0], str(reused[1]["approval"]))
        raise refused("expired_token")
    org = session.org
    user = org.record("User", session.user_id)
    if user is None or session.app not in (client.app.ref, None):
        raise refused("expired_token")
    admit(client, org, user)
    check_address(org, client.app, user, refreshing=True)
    approval = approval_of(org, client.app, session.user_id)
    if session.app is None:  # given by the world, not by a flow
        approval = approval or approve(org, client.app, session.user_id, session.scopes)
    granted = Authorization(client, org, user, session.scopes, approval)
    return refreshed(request.base_url, session, granted, token)


# -- username and password


def _password(request: TokenRequest) -> Answer:
    client = request.client()
    required = not client.app.secret_optional
    check_secret(client.app, request.client_secret, required=required)
    org, user = user_by_password(
        request.world, request.need("username"), request.need("password")
    )
    if _password_flow_blocked(org):
        raise refused("authentication_failure")
    admit(client, org, user)
    check_address(org, client.app, user)
    scopes = allowed_scopes(client, request.fields.get("scope", ""), refresh=False)
    return token_answer(request.base_url, Authorization(client, org, user, scopes))


def user_by_password(
    world: World, username: str, password: str
) -> tuple[OrgState, Record]:
    """Return who logs in. Raises OAuthFault: never which of the two was wrong."""
    found = world.user_by_username(username)
    if found is None or not found[0].check_password(str(found[1]["Id"]), password):
        raise refused("authentication_failure")
    return found


def _password_flow_blocked(org: OrgState) -> bool:
    """Documented: OauthOidcSettings.blockOAuthUnPwFlow."""
    settings = org.component(Ref("Settings", "OauthOidc"))
    if settings is None or not settings.body:
        return False
    return text(tree_of(parse(settings.body)), "blockOAuthUnPwFlow") == "true"


# -- authorization code and device code


def _authorization_code(request: TokenRequest) -> Answer:
    client = request.client()
    code = request.need("code")
    verifier = request.fields.get("code_verifier", "")
    required = not client.app.secret_optional
    check_secret(client.app, request.client_secret, required=required)
    found = request.world.take_grant("code", code)
    if found is None:
        used = request.world.grant("used code", code)
        raise refused("expired_code" if used else "invalid_code")
    org, kept = found
    request.world.put_grant("used code", code, org, {}, lifetime=86400.0)
    if kept["client_id"] != client.app.consumer_key:
        raise refused("invalid_code")
    if request.world.clock() >= float(str(kept["expires"])):
        raise refused("expired_code")
    if request.fields.get("redirect_uri") != kept["redirect_uri"]:
        raise refused("redirect_mismatch")
    _check_verifier(str(kept["challenge"]), verifier)
    return _for_approved(request, client, org, kept)


def _check_verifier(challenge: str, verifier: str) -> None:
    """PKCE, S256 only (RFC 7636)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if challenge and not hmac.compare_digest(challenge.rstrip("=").encode(), made):
        raise refused("code_verifier")


def _device(request: TokenRequest) -> Answer:
    client = request.client()
    code = (
        request.need("code")
        if "code" in request.fields
        else request.need("device_code")
    )
    found = request.world.grant("device", code)
    if found is None:
        raise refused("invalid_device_code")
    state = request.world.grant("user code", str(found[1]["user_code"]))
    if found[1]["client_id"] != client.app.consumer_key or state is None:
        raise refused("invalid_device_code")
    if state[1]["status"] == "pending":
        raise refused("pending")
    request.world.take_grant("device", code)
    if state[1]["status"] == "denied":
        raise refused("denied")
    return _for_approved(request, client, state[0], state[1])


def _for_approved(
    request: TokenRequest,
    client: Client,
    org: OrgState,
    kept: Mapping[str, str | bool | int | None],
) -> Answer:
    """Answer for a user who said yes in a browser; the app may be blocked since."""
    user = org.record("User", str(kept["user_id"]))
    if user is None:
        raise refused("invalid_code")
    admit(client, org, user)
    check_address(org, client.app, user)
    scopes = tuple(str(kept["scopes"]).split())
    approval = approve(org, client.app, str(user["Id"]), scopes)
    nonce = str(kept.get("nonce") or "")
    granted = Authorization(client, org, user, scopes, approval, nonce)
    return token_answer(request.base_url, granted)


_Grant: TypeAlias = "Callable[[TokenRequest], Answer]"
_GRANTS: Mapping[str, _Grant] = MappingProxyType(
    {
        "urn:ietf:params:oauth:grant-type:jwt-bearer": _jwt_bearer,
        "client_credentials": _client_credentials,
        "refresh_token": _refresh,
        "password": _password,
        "authorization_code": _authorization_code,
        "device": _device,
        "urn:ietf:params:oauth:grant-type:device_code": _device,
    }
)
GRANT_TYPES = tuple(_GRANTS)
