"""What an OAuth refusal means, and what to do about it: one table. Pure.

`python -m metadeploy.oauth_errors` writes docs/oauth-errors.md from it.
Sources: Salesforce help, "OAuth 2.0 Authorization Flow Errors" and the pages of each
flow (documented); public issues and traffic (observed); practitioners (recalled).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from msgspec import Struct

PAGE = "docs/oauth-errors.md"


class OAuthError(Struct, frozen=True):
    """One refusal: its code, its description ("" for any), why, and what to do."""

    code: str
    words: str
    cause: str
    remedy: str

    @property
    def hint(self) -> str:
        return f"{self.cause} {self.remedy}"


_NO_ACCESS = (
    "The app is admin-approved, or API Access Control is on, and no profile or"
    " permission set of the user has the app."
)
_GRANT = "Grant the app to a profile or permission set that the user has."

NOT_APPROVED = OAuthError(
    "invalid_grant",
    "user hasn't approved this consumer",
    "The user is not pre-authorised: the app lets users approve it themselves and this"
    " one has not, or there is no such user.",
    "Set isAdminApproved and grant the app to a profile or permission set of the user,"
    " or check the username.",
)
NOT_ADMIN_APPROVED = OAuthError(
    "invalid_app_access",
    "user is not admin approved to access this app",
    _NO_ACCESS,
    _GRANT,
)
UNKNOWN_CLIENT = OAuthError(
    "invalid_client_id",
    "client identifier invalid",
    "The org does not know this consumer key (yet): a new or changed app takes 2 to 10"
    " minutes to be usable; or the key is another org's.",
    "Wait for it (`metadeploy verify ORG --wait 10`), and compare the key with"
    " `metadeploy keys list ORG`.",
)

ERRORS: tuple[OAuthError, ...] = (
    NOT_APPROVED,
    NOT_ADMIN_APPROVED,
    OAuthError(
        "OAUTH_APP_ACCESS_DENIED",
        "user is not admin approved to access this app",
        f"{_NO_ACCESS} This is how a browser is told.",
        _GRANT,
    ),
    OAuthError(
        "OAUTH_APP_BLOCKED",
        "this app is blocked by admin",
        "The app is blocked in the org, or its policy switches it off.",
        "Unblock it in Setup, Connected Apps OAuth Usage; for an External Client App"
        " set isEnabled in its policy.",
    ),
    OAuthError(
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "",
        "The app is not installed in the user's org, the user is API-only, or a scope"
        " is missing. Since September 2025 most users may not use uninstalled apps.",
        "Install the app in Setup, Connected Apps OAuth Usage, or give the user the"
        " permission Approve Uninstalled Connected Apps.",
    ),
    OAuthError(
        "OAUTH_EC_APP_NOT_FOUND",
        "External client app is not installed in this org",
        "The External Client App lives in another org: it is closed to others by"
        " default, and to logins by way of login.salesforce.com.",
        "Use a user of the app's own org, and that org's My Domain URL.",
    ),
    UNKNOWN_CLIENT,
    OAuthError(
        "invalid_client",
        "invalid client credentials",
        "The consumer secret is not the app's, or is missing where it is required.",
        "Take the secret from `metadeploy keys export ORG --app NAME`; where the org"
        " made the key itself, from its Setup.",
    ),
    OAuthError(
        "invalid_grant",
        "invalid assertion",
        "The app's certificate is missing or does not fit the private key, digital"
        " signatures are off, or the clock of this machine is wrong.",
        "Deploy the certificate of this very key with the app, and compare the clock.",
    ),
    OAuthError(
        "invalid_grant",
        "Audience validation failed",
        "The assertion is made for another host than the one that it is sent to.",
        "Set login.audience to the host that users log in at.",
    ),
    OAuthError(
        "invalid_grant",
        "audience is invalid",
        "The assertion is made for another host than the one that it is sent to.",
        "Set login.audience to the host that users log in at.",
    ),
    OAuthError(
        "invalid_grant",
        "expired access/refresh token",
        "The refresh token was revoked, rotated away, or is past its policy's life.",
        "Authorise the app again and keep the new refresh token. Where the app rotates"
        " refresh tokens, each one serves once.",
    ),
    OAuthError(
        "invalid_grant",
        "no client credentials user enabled",
        "The client credentials flow of the app is off, or has no active run-as user.",
        "Set isClientCredentialEnabled and oauthClientCredentialUser in the app.",
    ),
    OAuthError(
        "invalid_grant",
        "request not supported on this domain",
        "login.salesforce.com and test.salesforce.com give no client credentials.",
        "Use the org's My Domain URL.",
    ),
    OAuthError(
        "redirect_uri_mismatch",
        "redirect_uri must match configuration",
        "The redirect URI is none of the app's callback URLs; each character counts.",
        "Add it to callbackUrl, or have the client send one that is there.",
    ),
    OAuthError(
        "invalid_scope",
        "",
        "A scope was asked for that the app does not have.",
        "Add the scope to the app, or ask for less. full does not hold refresh_token.",
    ),
    OAuthError(
        "inactive_user",
        "",
        "The user is not active.",
        "Activate the user, or take another one.",
    ),
    OAuthError(
        "inactive_org",
        "",
        "The org is locked, expired or suspended.",
        "Open the org in a browser and see what it says.",
    ),
    OAuthError(
        "rate_limit_exceeded",
        "",
        "There were too many logins in a short time.",
        "Wait an hour, and log in less often: a token serves many calls.",
    ),
    OAuthError(
        "invalid_grant",
        "authentication failure",
        "Username or password is wrong, or the username-password flow is blocked.",
        "Use JWT bearer or client credentials: most orgs block passwords in OAuth.",
    ),
    OAuthError(
        "invalid_grant",
        "ip restricted",
        "The login IP ranges of the user's profile do not hold this address.",
        "Add the address to ipRanges of the app, or relax ipRelaxation in its policy.",
    ),
    OAuthError(
        "unsupported_response_type",
        "",
        "response_type is not one that the org knows.",
        "Send response_type=code.",
    ),
    OAuthError(
        "unsupported_grant_type",
        "",
        "grant_type is not one that the org knows.",
        "Send authorization_code, refresh_token, client_credentials or JWT bearer.",
    ),
    OAuthError(
        "invalid_grant",
        "expired authorization code",
        "The code was used before, or is older than 15 minutes.",
        "Send the user to the authorisation page again, and use each code once.",
    ),
    OAuthError(
        "invalid_grant",
        "invalid authorization code",
        "There is no such code, or it was given to another app.",
        "Use the code of this app's own redirect, decoded once.",
    ),
    OAuthError(
        "invalid_grant",
        "invalid code verifier",
        "PKCE: code_verifier is not the one that code_challenge was made of.",
        "Keep the verifier with the session that began the flow.",
    ),
    OAuthError(
        "invalid_request",
        "missing required code challenge",
        "The app requires PKCE and the client sent no code_challenge.",
        "Have the client send code_challenge (S256), or unset isPkceRequired.",
    ),
    OAuthError(
        "invalid_request",
        "invalid code challenge method",
        "PKCE: the org takes no other method than S256.",
        "Send code_challenge_method=S256.",
    ),
    OAuthError(
        "invalid_request",
        "device flow is not enabled",
        "The app is not enabled for the device flow.",
        "Set isDeviceFlowEnabled in the External Client App; a connected app has its"
        " check box in Setup.",
    ),
    OAuthError(
        "invalid_request",
        "",
        "The request lacks a parameter or repeats one; its description names it.",
        "Send it as a POST with a form body, each parameter once.",
    ),
    OAuthError(
        "access_denied",
        "",
        "The user said no on the approval page.",
        "Tell users what the app needs; pre-authorise it to ask nobody.",
    ),
    OAuthError(
        "immediate_unsuccessful",
        "",
        "prompt=none, and somebody would have to log in or approve.",
        "Send the user there without prompt=none, or pre-authorise the app.",
    ),
    OAuthError(
        "authorization_pending",
        "",
        "Device flow: nobody has entered the code yet.",
        "Ask again after the interval.",
    ),
    OAuthError(
        "invalid_grant",
        "invalid device code",
        "The device code is unknown, expired, or was used.",
        "Begin the device flow again.",
    ),
    OAuthError(
        "unsupported_token_type",
        "",
        "The token to revoke or look up is none that lives.",
        "Nothing is to be done: it serves nobody any more.",
    ),
)


def explain(code: str, words: str) -> OAuthError | None:
    """Return what is known of a refusal, None for an unheard-of one.

    code: `error` of the answer. words: its `error_description`, whose exact row wins
    over the row of the code alone. Case does not matter: reports differ in it.
    """
    said = words.strip().rstrip(".").lower()
    rows = [e for e in ERRORS if e.code.lower() == code.lower()]
    exact = [e for e in rows if e.words.lower() == said]
    found = exact or [e for e in rows if not e.words]
    return found[0] if found else None


def is_lack_of_access(code: str, words: str) -> bool:
    """Tell whether a refusal says that this user may not use the app.

    Reports differ in which of the two a JWT login gets, so both count.
    """
    return explain(code, words) in (NOT_APPROVED, NOT_ADMIN_APPROVED)


def is_not_yet_known(code: str, words: str) -> bool:
    """Tell whether a refusal is one that a new app gives until it is usable."""
    return explain(code, words) is UNKNOWN_CLIENT


_HEAD = """\
# OAuth errors

What a login can be refused with, why, and what to do. `metadeploy verify` shows the
same words beside each refusal.

This page is written by `python -m metadeploy.oauth_errors > docs/oauth-errors.md`.

| error | description | cause | what to do |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page, as Markdown."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for error in ERRORS:
        words = f"`{error.words}`" if error.words else "(any)"
        yield f"| `{error.code}` | {words} | {error.cause} | {error.remedy} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
