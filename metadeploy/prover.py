"""Edge: proof that an app can be used: real tokens, asked for with its own key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from metadeploy import auth, keys, oauth_errors, proof
from metadeploy.connection import Connection
from metadeploy.errors import AuthError, ConfigError, Unreachable
from metadeploy.keys import KeyChoice, Masters
from metadeploy.model import Secret
from metadeploy.orgfile import AppLogin, Org, SecretSource
from metadeploy.proof import Attempt, Proof, Refused, Subject
from metadeploy.target import Clock, Progress

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 30.0, 1.6


class AppProver(Struct, frozen=True):
    """Logs in through an app of an org, by the ways that its org file allows.

    secret: resolves where an org file says a secret is. username: log in as this user
    only, by JWT with the app's key; "" = as the org file says.
    """

    org: Org
    connection: Connection
    masters: Callable[[], Masters]
    secret: Callable[[SecretSource | str], Secret]
    clock: Clock
    progress: Progress
    username: str = ""

    def prove(self, subject: Subject, *, until: float) -> tuple[Proof, ...]:
        """Return what each token request for an app showed.

        until: on `clock`; as long as that, an org that does not know a new app's key
        yet is asked again. Nothing is raised for a refusal: proofs are about those.
        """
        logins = tuple(self._logins(subject))
        if logins:
            return tuple(self._prove(subject, login, until) for login in logins)
        what = "no login to try: no client credentials, no login in apps"
        if self.username:
            what = "no private key to try: no login by jwt in apps"
        attempt = Attempt("jwt" if self.username else "", self.username)
        return (proof.not_tried(subject, attempt, what),)

    def _logins(self, subject: Subject) -> Iterator[AppLogin]:
        said = self.org.app(subject.app).logins
        if self.username:
            for login in said:
                if login.flow == "jwt":
                    yield msgspec.structs.replace(
                        login, username=self.username, expect="token"
                    )
                    return
            return
        flows = {login.flow for login in said}
        if subject.client_credentials and "client_credentials" not in flows:
            yield AppLogin("client_credentials")
        yield from said

    def _prove(self, subject: Subject, login: AppLogin, until: float) -> Proof:
        attempt = Attempt(login.flow, login.username or "", login.expect)
        if login.flow == "refresh_token" and subject.rotates:
            what = "the app rotates refresh tokens: trying one would use it up"
            return proof.not_tried(subject, attempt, what)
        try:
            secret = None
            if login.flow != "jwt":
                secret = self._consumer_secret(subject, login)
                if secret is None and login.flow == "client_credentials":
                    what = "the consumer key is the org's own: its secret is not known"
                    return proof.not_tried(subject, attempt, what)
            session = self._session(subject, login, secret, until)
        except AuthError as error:
            refused = Refused(error.message, error.code, error.words, error.hint)
            return proof.judge_refusal(subject, attempt, refused)
        except (ConfigError, Unreachable) as error:  # it stops no other app's proof
            refused = Refused(error.message, hint=error.hint)
            return proof.judge_refusal(subject, attempt, refused)
        return proof.judge_token(subject, attempt, session.user_id, session.scopes)

    def _session(
        self,
        subject: Subject,
        login: AppLogin,
        secret: Secret | None,
        until: float,
    ) -> auth.Session:
        """Return a session, asking again while the org may not know the key yet."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._ask(subject, login, secret)
            except AuthError as error:
                new = oauth_errors.is_not_yet_known(error.code, error.words)
                if not new or self.clock.now() + pause > until:
                    raise
            self.progress.step(
                f"{subject.app} is not usable yet; asking again in {pause:.0f} s"
            )
            self.clock.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def _ask(
        self, subject: Subject, login: AppLogin, secret: Secret | None
    ) -> auth.Session:
        key = subject.consumer_key
        if login.flow == "jwt":
            assert login.username is not None and login.private_key is not None
            return auth.jwt_bearer(
                self.connection,
                key,
                username=login.username,
                private_key=self.secret(login.private_key),
                audience=login.audience or self.connection.url,
            )
        if login.flow == "refresh_token":
            assert login.refresh_token is not None  # checked with the org file
            token = self.secret(login.refresh_token)
            return auth.refresh(
                self.connection, key, refresh_token=token, consumer_secret=secret
            )
        assert secret is not None
        return auth.client_credentials(self.connection, key, secret)

    def _consumer_secret(self, subject: Subject, login: AppLogin) -> Secret | None:
        """Return the app's secret: the org file's, else derived, else None."""
        if login.client_secret is not None:
            return self.secret(login.client_secret)
        said = self.org.app(subject.app)
        choice = KeyChoice(said.generation, said.consumer_key or "")
        known = keys.recognise(
            self.masters(), subject.org_id, subject.app, choice, subject.consumer_key
        )
        return known.consumer_secret
