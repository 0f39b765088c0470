"""Connected apps: what one element demands of another."""

from __future__ import annotations

from collections.abc import Iterator

from metadeploy.model import Problem
from metadeploy.rules.reading import File, all_of, first_of, is_true, value_of

_ASSET_TOKEN_SCOPES = ("Api", "OpenID")


def check(file: File) -> Iterator[Problem]:
    """Yield what is wrong with a ConnectedApp beyond its single values."""
    if file.ref.type != "ConnectedApp":
        return
    yield from _client_credentials(file)
    yield from _asset_token(file)
    yield from _pre_authorised(file)


def _client_credentials(file: File) -> Iterator[Problem]:
    oauth = first_of(file.root, "oauthConfig")
    if is_true(oauth, "isClientCredentialEnabled") and not value_of(
        oauth, "oauthClientCredentialUser"
    ):
        text = "isClientCredentialEnabled is true without oauthClientCredentialUser"
        at = first_of(oauth, "isClientCredentialEnabled")
        yield file.problem("MD210", text, at if at is not None else 1)


def _asset_token(file: File) -> Iterator[Problem]:
    token = first_of(file.root, "oauthConfig", "assetTokenConfig")
    have = {e.text for e in all_of(file.root, "oauthConfig", "scopes")}
    lacking = [s for s in _ASSET_TOKEN_SCOPES if s not in have]
    if token is not None and lacking:
        text = f"assetTokenConfig needs the scopes {' and '.join(lacking)}"
        yield file.problem("MD215", text, token)


def _pre_authorised(file: File) -> Iterator[Problem]:
    if is_true(file.root, "oauthConfig", "isAdminApproved"):
        return
    for name in ("permissionSetName", "profileName"):
        named = next((e for e in all_of(file.root, name) if value_of(e)), None)
        if named is not None:
            text = f"{name} is given, but isAdminApproved is not true"
            yield file.problem("MD216", text, named)
