"""Edge: an org file's login → a Connection that logs in again when its session ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from metadeploy import auth
from metadeploy.connection import Connection
from metadeploy.errors import AuthError, ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import Login, Org, SecretSource

if TYPE_CHECKING:
    from metadeploy.emulated import EmulatedOrgs

ReadSecret = Callable[[SecretSource | str], Secret]


def connect(
    org: Org, secret: ReadSecret, emulated: Callable[[], EmulatedOrgs]
) -> Connection:
    """Log in to an org as its file says.

    secret: resolves where the file says that a secret is. Raises ConfigError for an
    org that is not the pinned one; AuthError where it lets nobody in.
    """
    if org.emulated:
        world = emulated()
        return Connection(
            world.url(), world.login(org).token, renew=lambda: world.login(org).token
        )
    login = org.file.login
    if login is None:
        raise ConfigError(f"org {org.name} has no login")
    session = _pinned(org, _log_in(login, org, secret))
    connection = Connection(session.url, session.token)
    if login.flow != "access_token":
        connection.renew = lambda: _again(login, org, secret, connection.url)
    return connection


def _again(login: Login, org: Org, secret: ReadSecret, url: str) -> Secret:
    """Return the token of a new session, of the same org at the same place."""
    session = _pinned(org, _log_in(login, org, secret))
    if session.url != url:
        raise AuthError(
            f"org {org.name} has moved from {url} to {session.url} meanwhile",
            hint="Run the same command again.",
        )
    return session.token


def _pinned(org: Org, session: auth.Session) -> auth.Session:
    if org.org_id is not None and session.org_id != org.org_id:
        raise ConfigError(
            f"org {org.name} is pinned to {org.org_id}, but the login is for"
            f" {session.org_id}",
            hint="Nothing was sent. Check login and org_id in the org file.",
        )
    return session


def _log_in(login: Login, org: Org, secret: ReadSecret) -> auth.Session:
    connection = Connection(login.url, Secret(""))
    try:
        if login.flow == "access_token" and login.access_token is not None:
            token = secret(login.access_token)
            return auth.Session(
                connection.url, token, org.org_id or "", "", frozenset()
            )
        if login.client_id is None:
            raise ConfigError(f"org {org.name} has no login.client_id")
        client_id = secret(login.client_id).reveal()
        if login.flow == "jwt" and login.private_key and login.username:
            return auth.jwt_bearer(
                connection,
                client_id,
                username=login.username,
                private_key=secret(login.private_key),
                audience=login.audience or connection.url,
            )
        if login.client_secret is None:
            raise ConfigError(f"org {org.name} has no login.client_secret")
        return auth.client_credentials(
            connection, client_id, secret(login.client_secret)
        )
    finally:
        connection.close()
