"""The device flow: a device shows a code, a person enters it at /setup/connect.

Source: "OAuth 2.0 Device Flow", help (documented); RFC 8628.
"""

from __future__ import annotations

from metadeploy.emulator import ids, pages
from metadeploy.emulator.admission import admit, check_address, client_of
from metadeploy.emulator.authorize import approval_page
from metadeploy.emulator.faults import OAuthFault
from metadeploy.emulator.grants import TokenRequest
from metadeploy.emulator.oauth_errors import refused
from metadeploy.emulator.oauth_login import SignedIn, is_own_form, login, signed_in
from metadeploy.emulator.state import Plain, World
from metadeploy.emulator.tokens import NO_STORE, allowed_scopes
from metadeploy.emulator.wire import Answer, Request, json_answer

CODE_SECONDS = 600.0
INTERVAL = 5


def begin(asked: TokenRequest) -> Answer:
    """Answer response_type=device_code with the codes. Raises OAuthFault."""
    client = asked.client()
    if client.org is None:
        # Observed: closed for apps that are not installed, Salesforce CLI among them.
        raise refused("uninstalled")
    if not client.app.device_flow_enabled:
        raise refused("device_flow_off")
    scopes = allowed_scopes(client, asked.fields.get("scope", ""), refresh=True)
    device_code, user_code = ids.letters(64), ids.letters(8).upper()
    key = client.app.consumer_key
    world, body = asked.world, {"status": "pending", "client_id": key}
    world.put_grant(
        "device",
        device_code,
        client.org,
        {"user_code": user_code, "client_id": key},
        lifetime=CODE_SECONDS,
    )
    state: dict[str, Plain] = {**body, "scopes": " ".join(scopes), "user_id": ""}
    world.put_grant("user code", user_code, client.org, state, lifetime=CODE_SECONDS)
    return json_answer(
        {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": f"{asked.base_url}/setup/connect",
            "interval": INTERVAL,
        },
        headers=NO_STORE,
    )


def connect(world: World, request: Request) -> Answer:
    """Answer /setup/connect: the page for the code, then login, then approval."""
    code = request.parameters.get("user_code", "").strip().upper()
    if not code:
        return pages.page("connect", {"problem": ""})
    found = world.grant("user code", code)
    if found is None or found[1]["status"] != "pending":
        problem = "That code is not valid. Ask your device for another."
        return pages.page("connect", {"problem": problem})
    who = signed_in(world, request)
    if who is None or "password" in request.form:
        return login(world, request)
    try:
        return _decided(world, request, who, (code, found[1]))
    except OAuthFault as fault:
        return _told(f"{fault.error} : {fault.description}", "Not connected")


def _decided(
    world: World,
    request: Request,
    who: SignedIn,
    pending: tuple[str, dict[str, Plain]],
) -> Answer:
    code, state = pending
    client = client_of(world, str(state["client_id"]))
    admit(client, who.org, who.user, web=True)
    check_address(who.org, client.app, who.user)
    if request.method != "POST" or not is_own_form(request, who):
        scopes = tuple(str(state["scopes"]).split())
        return approval_page(request, client, who, scopes, {})
    allowed = request.form.get("choice") == "allow"
    status = "approved" if allowed else "denied"
    decided: dict[str, Plain] = {**state, "status": status, "user_id": who.user_id}
    world.put_grant("user code", code, who.org, decided, lifetime=CODE_SECONDS)
    if not allowed:
        return _told("Your device was told no.", "Not connected")
    return _told("You may go back to your device.", "You're connected")


def _told(text: str, heading: str) -> Answer:
    return pages.page("message", {"heading": heading, "text": text, "detail": ""})
