"""Every OAuth refusal of the emulated orgs: its words, and where they are known from.

Marks: documented = Salesforce help, "OAuth 2.0 Authorization Flow Errors" and the
pages of each flow; observed = seen in public issues and traffic; recalled = by
practitioners, no source read; inferred = our own conclusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from metadeploy.emulator.faults import OAuthFault


@dataclass(frozen=True)
class Refusal:
    """One row: error, description, mark, the situation, and the HTTP status."""

    error: str
    description: str
    mark: str
    when: str
    status: int = 400


_APPROVAL_GENERIC = (
    "An unexpected error has occurred during authentication. Please try again."
)
_NOT_APPROVED = "user is not admin approved to access this app"

REFUSALS: Mapping[str, Refusal] = MappingProxyType(
    {
        "not_approved": Refusal(
            "invalid_grant",
            "user hasn't approved this consumer",
            "observed",
            "the app lets users approve it themselves, and this one has not",
        ),
        "not_admin_approved": Refusal(
            "invalid_app_access",
            _NOT_APPROVED,
            "observed",
            "an admin-approved app, or API Access Control, and no access",
        ),
        "not_admin_approved_web": Refusal(
            "OAUTH_APP_ACCESS_DENIED",
            _NOT_APPROVED,
            "observed",
            "the same in the web server flow",
        ),
        "blocked": Refusal(
            "OAUTH_APP_BLOCKED",
            "this app is blocked by admin",
            "observed",
            "the app is blocked on the OAuth usage page",
        ),
        "uninstalled": Refusal(
            "OAUTH_APPROVAL_ERROR_GENERIC",
            _APPROVAL_GENERIC,
            "observed",
            "a connected app of another org, which is not installed here",
        ),
        "external_app_elsewhere": Refusal(
            "OAUTH_EC_APP_NOT_FOUND",
            "External client app is not installed in this org",
            "observed",
            "an External Client App of another org",
        ),
        "invalid_client_id": Refusal(
            "invalid_client_id",
            "client identifier invalid",
            "observed",
            "nobody in this world has that consumer key",
        ),
        "invalid_client": Refusal(
            "invalid_client",
            "invalid client credentials",
            "observed",
            "the secret is wrong, or missing where it is required",
        ),
        "invalid_assertion": Refusal(
            "invalid_grant",
            "invalid assertion",
            "observed",
            "the app has no certificate, or another; the assertion is broken or old",
        ),
        "audience": Refusal(
            "invalid_grant",
            "Audience validation failed",
            "documented",
            "aud is neither a login host nor this server",
        ),
        "expired_token": Refusal(
            "invalid_grant",
            "expired access/refresh token",
            "documented",
            "the refresh token is unknown, revoked, rotated away or expired by policy",
        ),
        "no_client_credentials_user": Refusal(
            "invalid_grant",
            "no client credentials user enabled",
            "observed",
            "the app's client credentials flow has no run-as user or is off",
        ),
        "wrong_domain": Refusal(
            "invalid_grant",
            "request not supported on this domain",
            "observed",
            "client credentials at login.localhost or test.localhost",
        ),
        "redirect_mismatch": Refusal(
            "redirect_uri_mismatch",
            "redirect_uri must match configuration",
            "observed",
            "redirect_uri is not one of the callback URLs, or not that of the code",
        ),
        "invalid_scope": Refusal(
            "invalid_scope",
            "the requested scope is not allowed",
            "observed",
            "a scope that the app does not have",
        ),
        "inactive_user": Refusal(
            "inactive_user", "user is inactive", "recalled", "the user is not active"
        ),
        "authentication_failure": Refusal(
            "invalid_grant",
            "authentication failure",
            "recalled",
            "username or password is wrong, or the flow is blocked in the org",
        ),
        "ip_restricted": Refusal(
            "invalid_grant",
            "ip restricted",
            "recalled",
            "the profile's login IP ranges do not hold 127.0.0.1",
        ),
        "response_type": Refusal(
            "unsupported_response_type",
            "response type must be code, token or device_code",
            "recalled",
            "another response_type",
        ),
        "grant_type": Refusal(
            "unsupported_grant_type",
            "grant type not supported",
            "recalled",
            "another grant_type",
        ),
        "expired_code": Refusal(
            "invalid_grant",
            "expired authorization code",
            "documented",
            "the code was used before, or is older than 15 minutes",
        ),
        "invalid_code": Refusal(
            "invalid_grant",
            "invalid authorization code",
            "documented",
            "no such code, or another app's",
        ),
        "code_verifier": Refusal(
            "invalid_grant",
            "invalid code verifier",
            "recalled",
            "PKCE: code_verifier does not fit code_challenge",
        ),
        "code_challenge": Refusal(
            "invalid_request",
            "missing required code challenge",
            "recalled",
            "PKCE is required and no challenge came",
        ),
        "challenge_method": Refusal(
            "invalid_request",
            "invalid code challenge method",
            "recalled",
            "PKCE with another code_challenge_method than S256",
        ),
        "denied": Refusal(
            "access_denied",
            "end-user denied authorization",
            "documented",
            "the user said no on the approval page",
        ),
        "immediate": Refusal(
            "immediate_unsuccessful",
            "immediate unsuccessful",
            "recalled",
            "nobody may be asked, and somebody would have to be",
        ),
        "pending": Refusal(
            "authorization_pending",
            "authorization is pending",
            "documented",
            "device flow: nobody entered the code yet",
        ),
        "invalid_device_code": Refusal(
            "invalid_grant",
            "invalid device code",
            "recalled",
            "no such device code, or it expired or was used",
        ),
        "device_flow_off": Refusal(
            "invalid_request",
            "device flow is not enabled",
            "inferred",
            "the app is not enabled for the device flow",
        ),
        "unsupported_token": Refusal(
            "unsupported_token_type",
            "this token type is not supported",
            "documented",
            "revoke: not a token that lives",
        ),
    }
)


def refused(name: str) -> OAuthFault:
    """Return the fault of that row."""
    row = REFUSALS[name]
    return OAuthFault(row.error, row.description, status=row.status)


def missing(parameter: str) -> OAuthFault:
    """Return the fault of a request that lacks a parameter; recalled."""
    return OAuthFault("invalid_request", f"missing required parameter: {parameter}")
