"""OAuth 2.0 and OpenID Connect in and out, for all orgs of a world at once.

Which org is meant is told by the token, by the consumer key and by the username:
all three are unique in a world, as they are across Salesforce.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from metadeploy.emulator.admission import check_secret, forget_approval
from metadeploy.emulator.apps import OauthApp, oauth_app
from metadeploy.emulator.dialects import oauth_fault
from metadeploy.emulator.faults import OAuthFault
from metadeploy.emulator.grants import GRANT_TYPES, TokenRequest, grant
from metadeploy.emulator.oauth_errors import missing, refused
from metadeploy.emulator.state import OrgState, Record, Session, World
from metadeploy.emulator.tokens import introspected
from metadeploy.emulator.users import identity, userinfo
from metadeploy.emulator.wire import Answer, Json, Request, json_answer

_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})")
_Endpoint: TypeAlias = "Callable[[World, Request], Answer]"


def handle(world: World, request: Request) -> Answer:
    """Answer a request. Refusals come back as OAuth errors."""
    if _IDENTITY.fullmatch(request.path):
        return _identity(world, request)
    endpoint = _ENDPOINTS.get(request.path.rstrip("/"))
    if endpoint is None:
        fault = OAuthFault(
            "not_found", f"{request.path} is not emulated by this org", status=404
        )
        return oauth_fault(fault)
    try:
        return endpoint(world, request)
    except OAuthFault as fault:
        return oauth_fault(fault)


def _token(world: World, request: Request) -> Answer:
    if request.method != "POST":
        raise OAuthFault("invalid_request", "must use HTTP POST")
    asked = TokenRequest.of(world, request)
    if asked.fields.get("response_type") == "device_code":
        from metadeploy.emulator import device

        return device.begin(asked)
    return grant(asked)


# Jinja costs more than all the rest of a token request: what has pages comes late.


def _authorize(world: World, request: Request) -> Answer:
    from metadeploy.emulator import authorize

    return authorize.authorize(world, request)


def _connect(world: World, request: Request) -> Answer:
    from metadeploy.emulator import device

    return device.connect(world, request)


# -- tokens looked up and ended


def _revoke(world: World, request: Request) -> Answer:
    """End a token. A refresh token takes along all that hangs on its approval."""
    token = request.form.get("token") or request.parameters.get("token")
    if not token:
        raise missing("token")
    session = world.org_of_token(token) or world.org_of_token(token, kind="refresh")
    if session is None:
        raise refused("unsupported_token")
    session.org.revoke_token(token)
    if session.kind == "refresh" and session.grant_id:
        forget_approval(session.org, session.grant_id)
    session.org.log("token revoked", user=session.user_id, kind=session.kind)
    return Answer(200, "text/plain;charset=UTF-8", b"")


def _introspect(world: World, request: Request) -> Answer:
    """Tell of a token, to the app it was given to or one that may ask of all."""
    asked = TokenRequest.of(world, request)
    client = asked.client()
    check_secret(client.app, asked.client_secret)
    token = asked.need("token")
    session = world.org_of_token(token) or world.org_of_token(token, kind="refresh")
    answer: Json = {"active": False}
    if session is not None and _may_introspect(client.org, client.app, session):
        user = session.org.record("User", session.user_id)
        app = oauth_app(session.org, session.app) if session.app else None
        if user is not None:
            key = app.consumer_key if app else ""
            answer = introspected(request.base_url, session, user, key)
    return json_answer(answer)


def _may_introspect(org: OrgState | None, app: OauthApp, session: Session) -> bool:
    if org is None or session.org.id != org.id:
        return False
    return app.introspect_all or session.app == app.ref


# -- who somebody is


def _userinfo(world: World, request: Request) -> Answer:
    found = _session_user(world, request)
    if isinstance(found, Answer):
        return found
    session, user = found
    return json_answer(userinfo(request.base_url, session.org, user))


def _identity(world: World, request: Request) -> Answer:
    found = _session_user(world, request)
    if isinstance(found, Answer):
        return found
    session, user = found
    match = _IDENTITY.fullmatch(request.path)
    if match is None or match[1][:15] != session.org.id[:15]:
        return _text("Wrong_Org", 403)
    if match[2][:15] != session.user_id[:15]:
        return _text("Bad_Id", 404)
    return json_answer(identity(request.base_url, session.org, user))


def _session_user(world: World, request: Request) -> tuple[Session, Record] | Answer:
    """Return who asks, or the refusal: 403 and a word; recalled."""
    token = (
        request.bearer
        or request.parameters.get("oauth_token", "")
        or request.form.get("access_token", "")
    )
    if not token:
        return _text("Missing_OAuth_Token", 403)
    session = world.org_of_token(token)
    user = session.org.record("User", session.user_id) if session else None
    if session is None or user is None:
        return _text("Bad_OAuth_Token", 403)
    return session, user


def _text(word: str, status: int) -> Answer:
    return Answer(status, "text/html;charset=UTF-8", word.encode())


# -- OpenID Connect discovery


def _configuration(world: World, request: Request) -> Answer:
    base = request.base_url
    oauth = f"{base}/services/oauth2"
    return json_answer(
        {
            "issuer": base,
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "revocation_endpoint": f"{oauth}/revoke",
            "userinfo_endpoint": f"{oauth}/userinfo",
            "introspection_endpoint": f"{oauth}/introspect",
            "jwks_uri": f"{base}/id/keys",
            "scopes_supported": list(_SCOPES),
            "response_types_supported": ["code", "token", "device_code"],
            "grant_types_supported": list(GRANT_TYPES),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "display_values_supported": ["page"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "client_secret_post",
                "client_secret_basic",
                "private_key_jwt",
            ],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "at_hash"],
        }
    )


def _keys(world: World, request: Request) -> Answer:
    # Loaded only here: cryptography costs more than all the rest of OAuth.
    from metadeploy.emulator.signing import key_set

    return json_answer(key_set(world.store.path.parent))


_SCOPES = ("api", "custom_permissions", "full", "id", "openid", "refresh_token", "web")
_ENDPOINTS: Mapping[str, _Endpoint] = MappingProxyType(
    {
        "/services/oauth2/authorize": _authorize,
        "/services/oauth2/token": _token,
        "/services/oauth2/revoke": _revoke,
        "/services/oauth2/introspect": _introspect,
        "/services/oauth2/userinfo": _userinfo,
        "/.well-known/openid-configuration": _configuration,
        "/id/keys": _keys,
        "/setup/connect": _connect,
    }
)
