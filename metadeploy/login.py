"""Edge: an org file's login → a Connection that logs in again when its session ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from metadeploy import auth
from metadeploy.auth import Session
from metadeploy.connection import Connection
from metadeploy.errors import AuthError, ConfigError
from metadeploy.model import Secret, id18
from metadeploy.orgfile import Login, Org, SecretSource
from metadeploy.reach import LOOPBACK, Reach, checked_url
from metadeploy.target import Progress
from metadeploy.workspace import Workspace

if TYPE_CHECKING:
    from metadeploy.emulated import EmulatedOrgs
    from metadeploy.sf_logins import SfLogin

T = TypeVar("T")

# Where a token is that no org file says the place of; sf knows both names.
_ACCESS_TOKEN = SecretSource(env="SF_ACCESS_TOKEN")
_AUTH_URL = SecretSource(env="SFDX_AUTH_URL")


def connect(
    org: Org,
    workspace: Workspace,
    *,
    emulated: Callable[[], EmulatedOrgs],
    reach: Callable[[], Reach],
    progress: Progress,
) -> Connection:
    """Log in to an org as its file says.

    reach: where the user lets sessions of real orgs go. Raises ConfigError for an org
    that is not the pinned one; AuthError where it lets nobody in.
    """
    if org.emulated:
        world = emulated()
        return Connection(
            world.url(),
            world.login(org).token,
            renew=lambda: world.login(org).token,
            reach=LOOPBACK,
        )
    if org.file.login is None:
        raise _missing(org, "login")
    door = _Door(org, org.file.login, workspace, progress, reach())
    session = door.session(None)
    connection = Connection(session.url, session.token, reach=door.reach)
    if org.file.login.flow != "access_token":
        connection.renew = lambda: door.again(connection)
    return connection


def outside(
    org: Org,
    workspace: Workspace,
    *,
    emulated: Callable[[], EmulatedOrgs],
    reach: Callable[[], Reach],
) -> Connection:
    """Return a connection without a session to where an org is. Raises ConfigError."""
    if org.emulated:
        world = emulated()
        world.prepare([org])
        return Connection(world.url(), Secret(""), reach=LOOPBACK)
    return Connection(_address(org, workspace), Secret(""), reach=reach())


def _address(org: Org, workspace: Workspace) -> str:
    said = org.file.login
    if said is None:
        raise _missing(org, "login")
    if said.url is None and said.flow == "sfdx_auth_url":
        return auth.auth_url(workspace.secret(said.auth_url or _AUTH_URL)).url
    if said.url is None and said.flow == "sf" and said.username is not None:
        return _sf_login(said.username).url
    if said.url is None:
        raise _missing(org, "login.url")
    return said.url


def own_key(org: Org, workspace: Workspace) -> str | None:
    """Return the consumer key of the app that we are logged in by, None if unknown."""
    said = org.file.login
    if said is not None and said.flow == "sfdx_auth_url":
        text = workspace.secret(said.auth_url or _AUTH_URL)
        return auth.auth_url(text).client_id
    if said is not None and said.flow == "sf" and said.username is not None:
        return _sf_login(said.username).client_id
    if said is None or said.client_id is None:
        return None
    return workspace.secret(said.client_id).reveal()


def _sf_login(username: str) -> SfLogin:
    # Loaded only here: it loads cryptography.
    from metadeploy import sf_logins

    return sf_logins.read(username, Path.home())


class _Door(Struct, frozen=True):
    """The way into one org."""

    org: Org
    login: Login
    workspace: Workspace
    progress: Progress
    reach: Reach

    def again(self, connection: Connection) -> Secret:
        """Return the token of a new session, of the same org at the same place."""
        session = self.session(connection.token)
        if checked_url(session.url, self.reach) != connection.url:
            raise AuthError(
                f"org {self.org.name} has moved from {connection.url} to {session.url}",
                hint="Run the same command again.",
            )
        return session.token

    def session(self, stale: Secret | None) -> Session:
        """Log in. stale: the token that has ended; None at first."""
        session = self._enter(stale)
        if self.org.org_id is not None and session.org_id != self.org.org_id:
            raise ConfigError(
                f"org {self.org.name} is pinned to {self.org.org_id}, but the login is"
                f" for {session.org_id}",
                hint="Nothing was sent. Check login and org_id in the org file.",
            )
        return session

    def _enter(self, stale: Secret | None) -> Session:
        login = self.login
        if login.flow == "sf":
            return self._by_sf(stale)
        if login.flow == "sfdx_auth_url":
            said = auth.auth_url(self._secret(login.auth_url or _AUTH_URL))
            return self._by_refresh(
                login.url or said.url,
                said.client_id,
                said.client_secret,
                said.refresh_token,
            )
        url = self._needed("url", login.url)
        if login.flow == "access_token":
            token = self._secret(login.access_token or _ACCESS_TOKEN)
            org_id = auth.org_of(token) or self.org.org_id or ""
            return Session(url, token, org_id, "", frozenset())
        if login.flow == "soap":
            return self._by_soap(url)
        if login.client_id is None:
            raise _missing(self.org, "login.client_id")
        client_id = self._secret(login.client_id).reveal()
        if login.flow == "refresh_token":
            secret = login.client_secret
            return self._by_refresh(
                url,
                client_id,
                None if secret is None else self._secret(secret),
                self._secret(self._needed("refresh_token", login.refresh_token)),
            )
        if login.flow == "jwt":
            key = self._secret(self._needed("private_key", login.private_key))
            username = self._needed("username", login.username)
            return self._by_jwt(url, client_id, username, key)
        secret = self._needed("client_secret", login.client_secret)
        with self._at(url) as connection:
            return auth.client_credentials(connection, client_id, self._secret(secret))

    def _by_jwt(
        self, url: str, client_id: str, username: str, private_key: Secret
    ) -> Session:
        with self._at(url) as connection:
            return auth.jwt_bearer(
                connection,
                client_id,
                username=username,
                private_key=private_key,
                audience=self.login.audience or connection.url,
            )

    def _by_refresh(
        self, url: str, client_id: str, client_secret: Secret | None, token: Secret
    ) -> Session:
        # Loaded only here: few logins keep anything.
        from metadeploy.refreshing import RefreshTokens

        kept = RefreshTokens(self.workspace.make_state() / "tokens")
        with self._at(url) as connection:
            return kept.renewed(
                self.org.name,
                client_id,
                token,
                lambda newest: auth.refresh(
                    connection,
                    client_id,
                    refresh_token=newest,
                    consumer_secret=client_secret,
                ),
            )

    def _by_soap(self, url: str) -> Session:
        from metadeploy import soap_login

        self.progress.step(f"warning: {soap_login.RETIREMENT}")
        with self._at(url) as connection:
            return soap_login.log_in(
                connection,
                self._needed("username", self.login.username),
                self._secret(self._needed("password", self.login.password)),
                api_version=self.org.api_version,
            )

    def _by_sf(self, stale: Secret | None) -> Session:
        name = self._needed("username", self.login.username)
        found = _sf_login(name)
        url = self.login.url or found.url
        if found.access_token is not None and found.access_token != stale:
            # sf itself, or another run, may have got a new one meanwhile.
            org_id = id18(found.org_id) if found.org_id else self.org.org_id or ""
            org_id = auth.org_of(found.access_token) or org_id
            return Session(url, found.access_token, org_id, "", frozenset())
        if found.private_key:
            return self._by_sf_key(url, found)
        if found.refresh_token is None:
            raise AuthError(
                f"the Salesforce CLI's login of {name} has ended, and it has no refresh"
                " token",
                hint=f"Log in again by `sf org login web --alias {name}`.",
            )
        session = self._by_refresh(
            url, found.client_id, found.client_secret, found.refresh_token
        )
        if session.refresh_token not in (None, found.refresh_token):
            self.progress.step(
                f"warning: the app rotates refresh tokens: {name} is logged in here,"
                " and no longer in sf"
            )
        return session

    def _by_sf_key(self, url: str, found: SfLogin) -> Session:
        key = self._secret(SecretSource(file=found.private_key))
        return self._by_jwt(url, found.client_id, found.username, key)

    def _secret(self, source: SecretSource | str) -> Secret:
        return self.workspace.secret(source)

    def _needed(self, name: str, value: T | None) -> T:
        if value is None:
            raise _missing(self.org, f"login.{name}")
        return value

    def _at(self, url: str) -> closing[Connection]:
        return closing(Connection(url, Secret(""), reach=self.reach))


def _missing(org: Org, what: str) -> ConfigError:
    return ConfigError(
        f"org {org.name} has no {what}",
        hint=f"`metadeploy validate` names what {org.path} lacks.",
    )
