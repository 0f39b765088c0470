"""Edge: OAuth. A login makes a Session; a token request proves an app."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from msgspec import Struct

from metadeploy import oauth_errors
from metadeploy.connection import Answer, Connection, Json, read_json
from metadeploy.errors import ApiFault, AuthError, ConfigError, LostAnswer
from metadeploy.model import Secret, id18
from metadeploy.reach import Reach, checked_url

Clock = Callable[[], float]
_TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
# The assertion may live three minutes at most (JWT bearer flow).
_ASSERTION_SECONDS = 170
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Beyond this a clock is wrong, and not only the way to the org long.
WRONG_CLOCK_SECONDS = 60.0


class Session(Struct, frozen=True):
    """A login: where the org is, its token, and whose it is.

    org_id: 18 characters. scopes: OAuth names, as granted. refresh_token: a new one,
    where the org gave one.
    """

    url: str
    token: Secret
    org_id: str
    user_id: str
    scopes: frozenset[str]
    refresh_token: Secret | None = None


def org_of(token: Secret) -> str:
    """Return the Id of the org that a session token is of, "" where it does not say.

    Observed: an opaque token is "<15-character org id>!…".
    """
    org_id, mark, _ = token.reveal().partition("!")
    try:
        return id18(org_id) if mark else ""
    except ValueError:
        return ""


def client_credentials(
    connection: Connection, consumer_key: str, consumer_secret: Secret
) -> Session:
    """Return the session of an app's run-as user. Raises AuthError."""
    return _token(
        connection,
        {
            "grant_type": "client_credentials",
            "client_id": consumer_key,
            "client_secret": consumer_secret.reveal(),
        },
    )


def jwt_bearer(
    connection: Connection,
    consumer_key: str,
    *,
    username: str,
    private_key: Secret,
    audience: str,
    clock: Clock = time.time,
) -> Session:
    """Return the session of `username` by a signed assertion. Raises AuthError.

    private_key: PEM. audience: the login host's URL. No approval page is ever shown:
    it works only for a user who may use the app.
    """
    # Loaded only here: it loads cryptography, which most deploys can do without.
    from metadeploy.assertion import signed

    def ask(now: float) -> Answer:
        claims: dict[str, str | int] = {
            "iss": consumer_key,
            "sub": username,
            "aud": audience,
            "exp": int(now) + _ASSERTION_SECONDS,
        }
        assertion = signed(claims, private_key).reveal()
        return _ask(connection, {"grant_type": _JWT_BEARER, "assertion": assertion})

    now = clock()
    answer = ask(now)
    if (
        400 <= answer.status < 500
        and answer.date is not None
        and abs(answer.date - now) > WRONG_CLOCK_SECONDS
    ):
        # A wrong clock makes a wrong `exp`; the refusal says what time it is there.
        answer = ask(answer.date)
    return _read(connection, answer)


def refresh(
    connection: Connection,
    consumer_key: str,
    *,
    refresh_token: Secret,
    consumer_secret: Secret | None,
) -> Session:
    """Return the session that a refresh token still serves for. Raises AuthError.

    consumer_secret: None where the app asks for none. Where the app rotates refresh
    tokens, this one has served with it; `Session.refresh_token` is the next.
    """
    form = {
        "grant_type": "refresh_token",
        "client_id": consumer_key,
        "refresh_token": refresh_token.reveal(),
    }
    if consumer_secret is not None:
        form["client_secret"] = consumer_secret.reveal()
    return _token(connection, form)


class AuthUrl(Struct, frozen=True):
    """What an SFDX auth URL says: how a refresh token is used, and where."""

    client_id: str
    client_secret: Secret | None
    refresh_token: Secret
    url: str


_AUTH_URL = re.compile(
    r"force://([\w.-]+={0,2}):([\w.-]*={0,2}):([\w.-]+={0,2})@([A-Za-z0-9:.-]+)",
    re.ASCII,
)


def auth_url(text: Secret) -> AuthUrl:
    """Read `force://<clientId>:<secret>:<refreshToken>@<host>`. Raises ConfigError.

    Source: Salesforce CLI, `org login sfdx-url`; the secret may be empty.
    """
    found = _AUTH_URL.fullmatch(text.reveal())
    if found is None:
        raise ConfigError(
            "the SFDX auth URL is none",
            hint="It is force://<clientId>:<secret>:<refreshToken>@<host>, as"
            " `sf org auth show-sfdx-auth-url` prints it.",
        )
    client_id, secret, token, host = found.groups()
    return AuthUrl(
        client_id, Secret(secret) if secret else None, Secret(token), f"https://{host}"
    )


def _refused(url: str, fault: ApiFault) -> AuthError:
    """Return the refusal with what it means and what to do."""
    words = fault.message.removeprefix(f"{fault.code}: ")
    known = oauth_errors.explain(fault.code, words)
    what = f"no token from {url}: {fault.code}: {words}"
    hint = known.hint if known else ""
    return AuthError(what, code=fault.code, words=words, hint=hint)


def _token(connection: Connection, form: Mapping[str, str]) -> Session:
    return _read(connection, _ask(connection, form))


def _ask(connection: Connection, form: Mapping[str, str]) -> Answer:
    try:
        return connection.call(
            "POST",
            _TOKEN_PATH,
            body=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    except LostAnswer as error:  # a token more or less changes nothing in the org
        raise _unread(connection, error) from error


def _read(connection: Connection, answer: Answer) -> Session:
    refused = f"no token from {connection.url}: "
    try:
        found = read_json(answer)
    except ApiFault as fault:
        raise _refused(connection.url, fault) from fault
    except LostAnswer as error:
        raise _unread(connection, error) from error
    try:
        return _session(found, connection.reach)
    except ValueError as error:
        raise AuthError(f"{refused}{error}") from error
    except ApiFault as fault:
        raise AuthError(f"{refused}{fault.message}", hint=fault.hint) from fault


def _unread(connection: Connection, error: LostAnswer) -> AuthError:
    return AuthError(
        f"no token from {connection.url}: {error.message}",
        hint="Check the URL, then run the same command again.",
        lost=True,
    )


def _session(found: Json, reach: Reach) -> Session:
    """Return the session that a token answer gives; raise ValueError for a bad one.

    Source: "OAuth 2.0 JWT bearer flow", Salesforce help: `id` is the identity URL,
    which ends in the org's Id and the user's.
    """
    if not isinstance(found, dict):
        raise ValueError("it is no answer of OAuth")

    def text(name: str) -> str:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"its answer has no {name}")
        return value

    token, url = text("access_token"), checked_url(text("instance_url"), reach)
    steps = text("id").rstrip("/").split("/")
    if len(steps) < 2:
        raise ValueError("its answer's id names no user of an org")
    scope = found.get("scope")
    scopes = scope.split() if isinstance(scope, str) else []
    renewed = found.get("refresh_token")
    return Session(
        url,
        Secret(token),
        id18(steps[-2]),
        steps[-1],
        frozenset(scopes),
        Secret(renewed) if isinstance(renewed, str) and renewed else None,
    )
