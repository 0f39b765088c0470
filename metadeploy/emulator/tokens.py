"""Tokens: what a grant is answered with, how long it serves, how it is renewed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from metadeploy.emulator.admission import Approval, Client, approve, forget_approval
from metadeploy.emulator.oauth_errors import refused
from metadeploy.emulator.state import OrgState, Record, Session
from metadeploy.emulator.users import identity_url
from metadeploy.emulator.wire import Answer, Json, json_answer

NO_STORE = (("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache"))
_ALWAYS = ("id",)


@dataclass(frozen=True)
class Authorization:
    """That a flow came to its end well: for whom, through which app, for what.

    approval: set where the tokens hang on one, and so may be refreshed.
    nonce: of an OpenID Connect request, for the id token.
    """

    client: Client
    org: OrgState
    user: Record
    scopes: tuple[str, ...]
    approval: Approval | None = None
    nonce: str = ""

    @property
    def user_id(self) -> str:
        return str(self.user["Id"])


def allowed_scopes(client: Client, asked: str, *, refresh: bool) -> tuple[str, ...]:
    """Return the scopes of a request, all of the app's where it names none.

    refresh: whether this flow may give a refresh token. Raises OAuthFault.
    """
    app_scopes = client.app.scopes
    known = {"offline_access": "refresh_token"}
    wanted = [known.get(name, name) for name in asked.split()]
    if "full" not in app_scopes and not set(wanted) <= app_scopes | set(_ALWAYS):
        raise refused("invalid_scope")
    if "refresh_token" in wanted and "refresh_token" not in app_scopes:
        raise refused("invalid_scope")  # full does not imply it (documented)
    chosen: Iterable[str] = wanted or app_scopes
    found = {*chosen, *_ALWAYS} - (set() if refresh else {"refresh_token"})
    return tuple(sorted(found))


def token_answer(base_url: str, granted: Authorization) -> Answer:
    """Issue the tokens of an authorization and return the token response."""
    return json_answer(token_fields(base_url, granted), headers=NO_STORE)


def token_fields(base_url: str, granted: Authorization) -> dict[str, str]:
    """Issue the tokens of an authorization and return what a client is told.

    No expires_in: lifetime follows the session policy (observed).
    """
    org, scopes = granted.org, granted.scopes
    with org.world.transaction():
        answer = _common(base_url, granted)
        if granted.approval is not None and "refresh_token" in scopes:
            answer["refresh_token"] = org.issue_token(
                granted.user_id,
                scopes=scopes,
                app=granted.client.app.ref,
                refresh=True,
                grant_id=granted.approval.id,
            )
    return answer


def _common(base_url: str, granted: Authorization) -> dict[str, str]:
    org, app = granted.org, granted.client.app
    minutes = app.session_minutes
    token = org.issue_token(
        granted.user_id,
        scopes=granted.scopes,
        app=app.ref,
        grant_id=granted.approval.id if granted.approval else "",
        lifetime=None if minutes is None else minutes * 60.0,
    )
    identity = identity_url(base_url, org, granted.user_id)
    issued = str(int(org.world.clock() * 1000))
    org.log("token issued", user=granted.user_id, app=str(app.ref))
    answer = {
        "access_token": token,
        "signature": _signature(app.consumer_secret, identity + issued),
        "scope": " ".join(granted.scopes),
        "instance_url": base_url,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued,
        "api_instance_url": base_url,
    }
    if "openid" in granted.scopes:
        answer["id_token"] = _id_token(base_url, granted, token)
    return answer


def _signature(secret: str, text: str) -> str:
    """Documented: HMAC-SHA256 of id and issued_at with the consumer secret."""
    digest = hmac.digest(secret.encode(), text.encode(), "sha256")
    return base64.b64encode(digest).decode()


def _id_token(base_url: str, granted: Authorization, token: str) -> str:
    # Loaded only here: cryptography costs more than all the rest of OAuth.
    from metadeploy.emulator.signing import signed

    app, now = granted.client.app, int(granted.org.world.clock())
    half = hashlib.sha256(token.encode()).digest()[:16]
    claims: dict[str, Json] = {
        "iss": base_url,
        "sub": identity_url(base_url, granted.org, granted.user_id),
        "aud": app.consumer_key,
        "iat": now,
        "exp": now + 60 * app.id_token_minutes,
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
    }
    if granted.nonce:
        claims["nonce"] = granted.nonce
    return signed(claims, granted.org.world.store.path.parent)


def refreshed(
    base_url: str, session: Session, granted: Authorization, old_token: str
) -> Answer:
    """Return new tokens for a refresh token, a new one too where the app rotates.

    A token rotated away is remembered: whoever sends it ends all tokens of its grant
    (RFC 9700 section 4.14.2).
    """
    org, approval = granted.org, granted.approval
    if approval is None:
        raise refused("expired_token")
    _check_age(granted.client, approval, org.world.clock())
    with org.world.transaction():
        approval = approve(org, granted.client.app, session.user_id, granted.scopes)
        renewed = replace(granted, approval=approval)
        if granted.client.app.refresh_rotation:
            org.world.put_grant("rotated", old_token, org, {"approval": approval.id})
            org.revoke_token(old_token)
            return token_answer(base_url, renewed)
        answer = _common(base_url, renewed)
    return json_answer(answer, headers=NO_STORE)


def _check_age(client: Client, approval: Approval, now: float) -> None:
    """Documented: a changed policy bites at the next refresh."""
    policy = client.app.refresh_policy
    since = approval.used if policy.inactivity else approval.given
    if policy.seconds is not None and now >= since + policy.seconds:
        raise refused("expired_token")


def end_rotated(org: OrgState, approval_id: str) -> None:
    """End everything that hangs on a grant whose old refresh token came again."""
    org.log("refresh token reused", grant=approval_id)
    forget_approval(org, approval_id)


def introspected(base_url: str, session: Session, user: Record, key: str) -> Json:
    """Return what introspection tells of a token that lives (RFC 7662)."""
    return {
        "active": True,
        "scope": " ".join(session.scopes),
        "client_id": key,
        "username": user["Username"],
        "sub": identity_url(base_url, session.org, session.user_id),
        "token_type": f"{session.kind}_token",
        "exp": int(session.expires_at),
    }
