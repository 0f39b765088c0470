"""People in a browser: who is logged in, the login page, forms nobody can forge."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from metadeploy.emulator import pages
from metadeploy.emulator.faults import OAuthFault
from metadeploy.emulator.grants import user_by_password
from metadeploy.emulator.state import OrgState, Record, Session, World
from metadeploy.emulator.wire import Answer, Request

BAD_LOGIN = (
    "Please check your username and password. If you still can't log in, contact your "
    "Salesforce administrator."
)
_COOKIE = "sid"


@dataclass(frozen=True)
class SignedIn:
    """Who is logged in, and the secret word that his forms carry back."""

    session: Session
    user: Record
    form_key: str

    @property
    def org(self) -> OrgState:
        return self.session.org

    @property
    def user_id(self) -> str:
        return self.session.user_id


def signed_in(world: World, request: Request) -> SignedIn | None:
    """Return who the browser's cookie says is logged in, else None."""
    try:
        cookies = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        return None
    token = cookies[_COOKIE].value if _COOKIE in cookies else ""
    session = world.org_of_token(token) if token else None
    user = session.org.record("User", session.user_id) if session else None
    if session is None or user is None:
        return None
    word = hmac.digest(token.encode(), _address(request).encode(), "sha256").hex()
    return SignedIn(session, user, word)


def is_own_form(request: Request, who: SignedIn) -> bool:
    """Whether a POST comes from a form that we gave to this very user."""
    sent = request.form.get("form_key", "").encode()
    return from_here(request) and hmac.compare_digest(sent, who.form_key.encode())


def from_here(request: Request) -> bool:
    """Whether no other site sent this: browsers name the site in Origin."""
    return request.headers.get("origin", request.base_url) == request.base_url


def login(world: World, request: Request, *, hint: str = "") -> Answer:
    """Show the login page, or log in what it sent and come back to the same address.

    hint: a username to begin with.
    """
    if request.method != "POST" or "password" not in request.form:
        return _page(request, hint)
    if not from_here(request):
        return _page(request, hint, "This form was sent from another site.")
    username = request.form.get("username", "").strip()
    try:
        org, user = user_by_password(world, username, request.form["password"])
    except OAuthFault:
        return _page(request, username, BAD_LOGIN)
    if user["IsActive"] is not True:
        return _page(request, username, BAD_LOGIN)
    token = org.issue_token(str(user["Id"]), scopes=("web", "api", "full"))
    org.log("browser login", user=str(user["Id"]))
    secure = "; Secure" if request.base_url.startswith("https:") else ""
    cookie = f"{_COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax{secure}"
    where = _address(request).replace("prompt=login", "prompt=")
    return redirect(where, 303, ("Set-Cookie", cookie))


def redirect(where: str, status: int = 302, *headers: tuple[str, str]) -> Answer:
    """Send the browser elsewhere."""
    kept = ("Cache-Control", "no-store")
    kind = "text/html;charset=UTF-8"
    return Answer(status, kind, b"", (("Location", where), kept, *headers))


def action(request: Request) -> str:
    """Return the address of the form that is being answered: the same one."""
    return _address(request)


def _address(request: Request) -> str:
    return request.path + (f"?{request.query}" if request.query else "")


def _page(request: Request, username: str, problem: str = "") -> Answer:
    values = {"action": _address(request), "username": username, "problem": problem}
    return pages.page("login", values)
