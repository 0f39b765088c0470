"""The web server and user-agent flows: a browser is asked, and sent back.

Source: "OAuth 2.0 Web Server Flow", "OAuth 2.0 User-Agent Flow", help (documented).
The address holds the whole request, so nothing is kept until the user has said yes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from metadeploy.emulator import ids, pages
from metadeploy.emulator.admission import (
    Client,
    admit,
    approval_of,
    approve,
    check_address,
    client_of,
)
from metadeploy.emulator.faults import OAuthFault
from metadeploy.emulator.oauth_errors import missing, refused
from metadeploy.emulator.oauth_login import (
    SignedIn,
    action,
    is_own_form,
    login,
    redirect,
    signed_in,
)
from metadeploy.emulator.state import Plain, World
from metadeploy.emulator.tokens import Authorization, allowed_scopes, token_fields
from metadeploy.emulator.wire import Answer, Request

CODE_SECONDS = 900.0
_DAY = 86400.0
SCOPE_TEXTS = {
    "api": "Manage user data via APIs",
    "web": "Manage user data via Web browsers",
    "full": "Full access",
    "id": "Access the identity URL service",
    "openid": "Access unique user identifiers",
    "refresh_token": "Perform requests at any time",
    "chatter_api": "Access Connect REST API resources",
    "custom_permissions": "Access custom permissions",
    "visualforce": "Access Visualforce applications",
    "lightning": "Access Lightning applications",
    "content": "Access content resources",
}


@dataclass(frozen=True)
class Asked:
    """One authorization request, checked as far as it can be without a user."""

    client: Client
    redirect_uri: str
    response_type: str
    state: str
    scopes: tuple[str, ...]
    challenge: str
    nonce: str
    prompt: str
    immediate: bool


class _BackToApp(Exception):
    """A refusal that the app is told by redirect."""

    def __init__(self, redirect_uri: str, state: str, fault: OAuthFault) -> None:
        super().__init__(str(fault))
        self.redirect_uri, self.state, self.fault = redirect_uri, state, fault


def authorize(world: World, request: Request) -> Answer:
    """Answer /services/oauth2/authorize: login page, approval page, or redirect.

    What is wrong with the client or its redirect_uri is told to the user, everything
    else to the app (RFC 6749 section 4.1.2.1).
    """
    try:
        asked = _asked(world, request)
        who = signed_in(world, request)
        if who is None or "login" in asked.prompt or "password" in request.form:
            if asked.immediate:
                raise _back(asked, refused("immediate"))
            hint = request.parameters.get("login_hint", "")
            return login(world, request, hint=hint)
        return _decided(request, asked, who)
    except _BackToApp as back:
        told = {
            "error": back.fault.error,
            "error_description": back.fault.description,
            **({"state": back.state} if back.state else {}),
        }
        return redirect(_with(back.redirect_uri, told))
    except OAuthFault as fault:
        values = {
            "heading": "We can't authorize you because of an OAuth error.",
            "text": fault.description,
            "detail": f"{fault.error} : {fault.description}",
        }
        return pages.page("message", values, status=fault.status)


def _asked(world: World, request: Request) -> Asked:
    parameters = request.parameters
    client_id = parameters.get("client_id", "")
    if not client_id:
        raise missing("client_id")
    client = client_of(world, client_id)
    urls = client.app.callback_urls
    redirect_uri = parameters.get("redirect_uri", "")
    if not redirect_uri and len(urls) == 1:
        redirect_uri = urls[0]
    if redirect_uri not in urls:
        raise refused("redirect_mismatch")
    state = parameters.get("state", "")
    try:
        return _checked(client, redirect_uri, parameters)
    except OAuthFault as fault:
        raise _BackToApp(redirect_uri, state, fault) from fault


def _checked(client: Client, redirect_uri: str, parameters: Mapping[str, str]) -> Asked:
    response_type = parameters.get("response_type", "")
    if response_type not in ("code", "token"):
        raise refused("response_type")
    challenge = parameters.get("code_challenge", "")
    method = parameters.get("code_challenge_method", "S256" if challenge else "")
    if client.app.pkce_required and response_type == "code" and not challenge:
        raise refused("code_challenge")
    if challenge and method != "S256":
        raise refused("challenge_method")
    prompt = parameters.get("prompt", "")
    return Asked(
        client,
        redirect_uri,
        response_type,
        parameters.get("state", ""),
        allowed_scopes(client, parameters.get("scope", ""), refresh=True),
        challenge,
        parameters.get("nonce", ""),
        prompt,
        prompt == "none" or parameters.get("immediate", "") == "true",
    )


def _back(asked: Asked, fault: OAuthFault) -> _BackToApp:
    return _BackToApp(asked.redirect_uri, asked.state, fault)


def _decided(request: Request, asked: Asked, who: SignedIn) -> Answer:
    """Go on with somebody logged in: ask him, or send him back at once."""
    client = asked.client
    try:
        must_approve = admit(client, who.org, who.user, web=True)
        check_address(who.org, client.app, who.user)
    except OAuthFault as fault:
        raise _back(asked, fault) from fault
    if request.method == "POST" and is_own_form(request, who):
        if request.form.get("choice") != "allow":
            raise _back(asked, refused("denied"))
        return _completed(request, asked, who)
    approval = approval_of(who.org, client.app, who.user_id)
    known = approval is not None and set(asked.scopes) <= set(approval.scopes)
    if asked.prompt != "consent" and (known or not must_approve):
        return _completed(request, asked, who)
    if asked.immediate:
        raise _back(asked, refused("immediate"))
    return approval_page(request, client, who, asked.scopes, {})


def approval_page(
    request: Request,
    client: Client,
    who: SignedIn,
    scopes: tuple[str, ...],
    hidden: Mapping[str, str],
) -> Answer:
    """Return the page that asks whether an app may have access."""
    values = {
        "action": action(request),
        "app": client.app.label,
        "scopes": [SCOPE_TEXTS.get(scope, scope) for scope in scopes],
        "username": who.user["Username"],
        "org": who.org.name,
        "hidden": {"form_key": who.form_key, **hidden},
    }
    return pages.page("approve", values)


def _completed(request: Request, asked: Asked, who: SignedIn) -> Answer:
    if asked.response_type == "token":
        return _token_in_fragment(request, asked, who)
    world = who.org.world
    code = "aPrx" + ids.letters(60)
    body: dict[str, Plain] = {
        "client_id": asked.client.app.consumer_key,
        "redirect_uri": asked.redirect_uri,
        "scopes": " ".join(asked.scopes),
        "challenge": asked.challenge,
        "nonce": asked.nonce,
        "user_id": who.user_id,
        "expires": str(world.clock() + CODE_SECONDS),
    }
    # Kept longer than it serves, so that a late one is told it is expired.
    world.put_grant("code", code, who.org, body, lifetime=_DAY)
    told = {"code": code, **({"state": asked.state} if asked.state else {})}
    return redirect(_with(asked.redirect_uri, told))


def _token_in_fragment(request: Request, asked: Asked, who: SignedIn) -> Answer:
    approval = approve(who.org, asked.client.app, who.user_id, asked.scopes)
    granted = Authorization(
        asked.client, who.org, who.user, asked.scopes, approval, asked.nonce
    )
    told = token_fields(request.base_url, granted)
    if asked.state:
        told["state"] = asked.state
    return redirect(f"{asked.redirect_uri}#{urlencode(told)}")


def _with(url: str, told: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(told)}"
