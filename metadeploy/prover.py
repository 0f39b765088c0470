"""Edge: proof that an app can be used: a real token, asked for with its own key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metadeploy import auth, keys, xmlfile
from metadeploy.connection import Connection
from metadeploy.deploy import Proof
from metadeploy.errors import AuthError
from metadeploy.keys import KeyChoice, Masters
from metadeploy.model import METADATA_NS, Component, Secret
from metadeploy.orgfile import Org, SecretSource


@dataclass(frozen=True)
class AppProver:
    """Logs in through an app of an org, by the way that its org file allows.

    secret: resolves where an org file says a secret is.
    """

    org: Org
    connection: Connection
    masters: Callable[[], Masters]
    secret: Callable[[SecretSource | str], Secret]

    def prove(
        self, component: Component, app: str, org_id: str, consumer_key: str
    ) -> Proof:
        """Return what a token request for `app` showed; nothing is ever raised for
        a refusal, since that is what a proof is about.
        """
        login = self.org.app(app).login
        try:
            if login is not None:
                session = auth.jwt_bearer(
                    self.connection,
                    consumer_key,
                    username=login.username,
                    private_key=self.secret(login.private_key),
                    audience=self.connection.url,
                )
                return Proof(app, "jwt", True, _shown(session))
            if not _allows_client_credentials(component):
                what = "no login to try: no client credentials, no login in apps"
                return Proof(app, "", None, what)
            said = self.org.app(app)
            choice = KeyChoice(said.generation, said.consumer_key or "")
            known = keys.recognise(self.masters(), org_id, app, choice, consumer_key)
            secret = known.consumer_secret
            if secret is None:
                what = "the consumer key is the org's own: its secret is not known"
                return Proof(app, "client_credentials", None, what)
            session = auth.client_credentials(self.connection, consumer_key, secret)
            return Proof(app, "client_credentials", True, _shown(session))
        except AuthError as error:
            flow = "client_credentials" if login is None else "jwt"
            words = f"{error.message}. {error.hint}" if error.hint else error.message
            return Proof(app, flow, False, words)


def _shown(session: auth.Session) -> str:
    scopes = " ".join(sorted(session.scopes))
    return f"token for user {session.user_id}, scopes {scopes}"


# In a ConnectedApp, and in the global settings of an External Client App.
_CLIENT_CREDENTIALS = (
    "oauthConfig/isClientCredentialEnabled",
    "isClientCredentialsFlowEnabled",
)


def _allows_client_credentials(component: Component) -> bool:
    root = xmlfile.parse(component.body)
    for path in _CLIENT_CREDENTIALS:
        steps = "/".join(f"{{{METADATA_NS}}}{step}" for step in path.split("/"))
        if root.findtext(steps, "").strip() in ("true", "1"):
            return True
    return False
