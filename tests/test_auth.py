"""What a login asks for, and what it makes of each answer."""

from __future__ import annotations

import base64
import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from emulator import oauth_apps
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_server import http, reset

from metadeploy import assertion, auth
from metadeploy.connection import Connection
from metadeploy.emulator.server import serve
from metadeploy.emulator.state import open_world
from metadeploy.errors import AuthError, ConfigError, Unreachable
from metadeploy.model import Secret, id18
from metadeploy.oauth_errors import ERRORS
from metadeploy.reach import LOOPBACK

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ORG = id18("00DWs000003xYZ1")
GOOD = {
    "access_token": f"{ORG[:15]}!canary.token",
    "id": f"https://login.salesforce.com/id/{ORG[:15]}/005000000000001AAA",
    "instance_url": "https://localhost:6101",
    "scope": "api id  refresh_token",
    "token_type": "Bearer",
}


def pem(key, password=None, form=serialization.PrivateFormat.PKCS8):
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    text = key.private_bytes(serialization.Encoding.PEM, form, how)
    return Secret(text.decode())


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.fixture
def server_of(raw_server):
    made = []

    def to(reply):
        if isinstance(reply, dict):
            reply = http(json.dumps(reply), Content_Type="application/json")
        server = raw_server(reply)
        made.append(Connection(server.url, Secret(""), reach=LOOPBACK))
        return made[-1], server

    yield to
    for connection in made:
        connection.close()


def log_in(connection, **more):
    how = {
        "username": "deploy@acme.example",
        "private_key": pem(KEY),
        "audience": "https://login.salesforce.com",
        "clock": lambda: 1_800_000_000.9,
        **more,
    }
    return auth.jwt_bearer(connection, "3MVG9.key", **how)


def test_the_assertion_is_signed_and_says_who_asks(server_of):
    connection, server = server_of(GOOD)
    log_in(connection)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /services/oauth2/token HTTP/1.1\r\n")
    assert b"Authorization" not in head
    form = parse_qs(body.decode(), strict_parsing=True)
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert form.pop("grant_type") == [grant]
    (assertion,) = form.pop("assertion")
    assert form == {}
    header, claims, signature = assertion.split(".")
    assert "=" not in assertion
    assert json.loads(decoded(header)) == {"alg": "RS256", "typ": "JWT"}
    assert json.loads(decoded(claims)) == {
        "iss": "3MVG9.key",
        "sub": "deploy@acme.example",
        "aud": "https://login.salesforce.com",
        "exp": 1_800_000_170,  # at most three minutes ahead
    }
    signed = f"{header}.{claims}".encode()
    scheme = (padding.PKCS1v15(), hashes.SHA256())
    KEY.public_key().verify(decoded(signature), signed, *scheme)
    with pytest.raises(InvalidSignature):
        OTHER.public_key().verify(decoded(signature), signed, *scheme)
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(decoded(signature), signed + b"x", *scheme)


def test_a_key_in_its_older_form():
    old = pem(KEY, form=serialization.PrivateFormat.TraditionalOpenSSL)
    assert assertion.signed({"a": 1}, old) == assertion.signed({"a": 1}, pem(KEY))


PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
BAD_KEYS = {
    "nothing": (Secret(""), "is no unencrypted PEM key"),
    "no key": (Secret("canary-key"), "is no unencrypted PEM key"),
    "not text": (Secret("\ud800"), "is no unencrypted PEM key"),
    "with a password": (pem(KEY, b"x"), "is no unencrypted PEM key"),
    "cut": (Secret(pem(KEY).reveal()[:300]), "is no unencrypted PEM key"),
    "public": (Secret(PUBLIC.decode()), "is no unencrypted PEM key"),
    "of a curve": (pem(ec.generate_private_key(ec.SECP256R1())), "is not an RSA key"),
}


@pytest.mark.parametrize(("key", "said"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_wrong_key_is_told_without_it(key, said):
    with pytest.raises(ConfigError, match=said) as caught:
        assertion.signed({"a": 1}, key)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_client_credentials(server_of):
    connection, server = server_of(GOOD)
    auth.client_credentials(connection, "3MVG9&key", Secret("se/c+r&t"))
    body = server.requests[0].partition(b"\r\n\r\n")[2].decode()
    assert parse_qs(body, strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": ["3MVG9&key"],
        "client_secret": ["se/c+r&t"],
    }


def test_a_session(server_of):
    session = log_in(server_of(GOOD)[0])
    assert session == auth.Session(
        url="https://localhost:6101",
        token=Secret(GOOD["access_token"]),
        org_id=ORG,
        user_id="005000000000001AAA",
        scopes=frozenset({"api", "id", "refresh_token"}),
    )
    assert "canary" not in repr(session)


def test_a_session_of_few_words(server_of):
    answer = {**GOOD, "scope": None, "instance_url": GOOD["instance_url"] + "/x/"}
    answer["id"] += "/"
    session = log_in(server_of(answer)[0])
    assert session.scopes == frozenset()
    assert session.url == "https://localhost:6101"
    assert session.org_id == ORG


ODD = {
    **{f"no {name}": ({**GOOD, name: None}, f"its answer has no {name}")
       for name in ("access_token", "id", "instance_url")},
    "an empty token": ({**GOOD, "access_token": ""}, "its answer has no access_token"),
    "a number": ({**GOOD, "access_token": 5}, "its answer has no access_token"),
    "another id": ({**GOOD, "id": "me"}, "its answer's id names no user of an org"),
    "no org": ({**GOOD, "id": "https://x/id/me/you"}, "not a Salesforce id: 'me'"),
    "an open address": (
        {**GOOD, "instance_url": "http://acme.my.salesforce.com"},
        "http://acme.my.salesforce.com is no address for a session: https is needed",
    ),
    "a list": (http("[]"), "it is no answer of OAuth"),
    "null": (http("null"), "it is no answer of OAuth"),
    "no content": (http("", 204), "it is no answer of OAuth"),
    "a page": (
        http("<html>", Content_Type="text/html"),
        "HTTP 200 with text/html where JSON was expected",
    ),
    "a page, 503": (
        http("<html>", 503, Content_Type="text/html"),
        "HTTP 503 with text/html where JSON was expected",
    ),
    "a redirect": (
        http("", 302, Location="https://evil.example"),
        "HTTP 302 leads to https://evil.example, and is not followed",
    ),
    "a list of faults": (
        http('[{"errorCode": "API_DISABLED", "message": "off"}]', 403),
        "API_DISABLED: off",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "said"), ODD.values(), ids=ODD)
def test_an_odd_answer_gives_no_token(server_of, reply, said):
    connection, _ = server_of(reply)
    with pytest.raises(AuthError) as caught:
        log_in(connection)
    assert str(caught.value) == f"no token from {connection.url}: {said}"
    assert "canary" not in repr(caught.value)


def test_a_login_that_breaks_off_is_no_unknown_outcome(server_of):
    connection, _ = server_of(reset)
    with pytest.raises(AuthError, match="the connection broke") as caught:
        log_in(connection)
    assert "again" in caught.value.hint


def test_a_login_that_nobody_answers():
    connection = Connection("http://127.0.0.1:1", Secret(""), reach=LOOPBACK)
    with pytest.raises(Unreachable):
        log_in(connection)


@pytest.mark.parametrize("row", ERRORS, ids=lambda e: f"{e.code} {e.words}")
def test_each_refusal_says_why_and_what_to_do(server_of, row):
    words = row.words or "in words of its own"
    body = json.dumps({"error": row.code, "error_description": words})
    connection, _ = server_of(http(body, 400))
    with pytest.raises(AuthError) as caught:
        log_in(connection)
    assert str(caught.value) == f"no token from {connection.url}: {row.code}: {words}"
    assert (caught.value.code, caught.value.words) == (row.code, words)
    assert caught.value.hint == f"{row.cause} {row.remedy}"


@pytest.mark.parametrize("secret", [None, Secret("canary-secret")])
def test_a_refresh_token_serves_with_or_without_a_secret(server_of, secret):
    connection, server = server_of({**GOOD, "refresh_token": "canary-next"})
    session = auth.refresh(
        connection, "key", refresh_token=Secret("canary-old"), consumer_secret=secret
    )
    assert session.refresh_token is not None
    assert session.refresh_token.reveal() == "canary-next"
    assert "canary-next" not in repr(session)
    (asked,) = server.requests
    form = parse_qs(asked.partition(b"\r\n\r\n")[2].decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["canary-old"]
    assert form.get("client_secret") == (["canary-secret"] if secret else None)


def test_a_refusal_that_nobody_knows_yet(server_of):
    body = json.dumps({"error": "invalid_grant", "error_description": "moonlight"})
    connection, _ = server_of(http(body, 400))
    with pytest.raises(AuthError, match="invalid_grant: moonlight") as caught:
        log_in(connection)
    assert caught.value.hint == ""


# A clock that is wrong.


@pytest.fixture
def served(tmp_path):
    """An emulated org with an app, on a server that runs."""
    world = open_world(tmp_path / "world.sqlite3")
    org = world.create_org("dev")
    oauth_apps.deploy_app(org)
    oauth_apps.give_access(org)
    with serve(world) as server:
        connection = Connection(server.url, Secret(""), reach=LOOPBACK)
        yield connection
        connection.close()
    world.close()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(off=st.integers(-86_400, 600))
@example(off=-600)
@example(off=600)
def test_a_wrong_clock_lets_in(served, off):
    session = auth.jwt_bearer(
        served,
        oauth_apps.KEY,
        username="admin@dev.emulated",
        private_key=pem(oauth_apps.private_key(0)),
        audience="https://login.salesforce.com",
        clock=lambda: time.time() + off,
    )
    assert session.token.reveal()


REFUSED = json.dumps({"error": "invalid_grant", "error_description": "no"})


@pytest.mark.parametrize(
    ("date", "asked"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", 1),  # 1,800,000,000, our time too
        ("Fri, 15 Jan 2027 08:00:59 GMT", 1),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 2),
        ("Fri, 15 Jan 2027 07:50:00 GMT", 2),
        ("yesterday", 1),
        ("Fri, 15 Jan 99999 07:50:00 GMT", 1),
    ],
)
def test_the_time_of_a_refusal_is_tried_once(server_of, date, asked):
    connection, server = server_of(http(REFUSED, 400, Date=date))
    with pytest.raises(AuthError, match="invalid_grant: no"):
        log_in(connection)
    assert len(server.requests) == asked
    if asked == 2:
        form = parse_qs(server.requests[1].partition(b"\r\n\r\n")[2].decode())
        claims = json.loads(decoded(form["assertion"][0].split(".")[1]))
        assert claims["exp"] == parsedate_to_datetime(date).timestamp() + 170
