"""Secrets in any file of a repository, as the hook no-secrets finds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy import leaks

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
PEM = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----\n"
SESSION = "00DWs000003xYZ1MAM!AQ8AQK7n2bXkz.3wPq9Lr5sTu0vWxYz1aBcDe"
REFRESH = "5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrdB3S1nMfsk"
URL = f"force://PlatformCLI::{REFRESH[7:]}@acme.my.salesforce.com"
MASTER = "0123456789abcdef" * 4
SECRET = "A1B2C3D4E5F60718" * 4


def said(text: str | bytes, path: str = "src/notes.txt") -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [f"{leak.line}: {leak.message}" for leak in leaks.leaks(path, data)]


def line(number: int, what: str) -> str:
    return f"{number}: {what} is written into this file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PEM, line(1, "a private key")),
        (f"x\n{PEM}", line(2, "a private key")),
        ('{"k": "' + PEM.replace("\n", "\\n") + '"}', line(1, "a private key")),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
            f"DEK-Info: AES-256-CBC,0011\n\n{BODY}",
            line(1, "a private key"),
        ),
        (
            f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}",
            line(1, "a private key"),
        ),
        (f"curl -H 'Authorization: Bearer {SESSION}'", line(1, "a session id")),
        (f"\n\n{REFRESH}", line(3, "a refresh token")),
        (URL, line(1, "a Salesforce CLI login URL")),
        (f"METADEPLOY_MASTER_KEY={MASTER}", line(1, "a master key")),
        (f'METADEPLOY_MASTER_KEY_PREVIOUS: "{MASTER}"', line(1, "a master key")),
        (f"master: {MASTER}", line(1, "a master key")),
        (f"client_secret = '{SECRET}'", line(1, "client_secret")),
        (f'"clientSecret": "{SECRET}",', line(1, "clientSecret")),
        (f"SF_CONSUMER_SECRET={SECRET}\n", line(1, "SF_CONSUMER_SECRET")),
        (
            f"<consumerSecret>{SECRET}</consumerSecret>",
            line(1, "consumerSecret"),
        ),
        ("client_secret: 1234567890123456789", line(1, "client_secret")),
        (f"?client_secret={SECRET}&x=1", line(1, "client_secret")),
        ("access_token: eyJhbGciOiJSUzI1NiJ9.e30.abc1", line(1, "access_token")),
    ],
)
def test_a_secret_in_any_file(text, message):
    assert said(text) == [message]
    assert said(text.replace("\n", "\r\n")) == [message]
    assert said(text.encode("utf-16")) == [message], "as PowerShell writes it"
    assert said(b"\xef\xbb\xbf" + text.encode()) == [message]
    assert said(f"é\n{text}".encode()) != []
    for leak in leaks.leaks("a", text.encode()):
        assert leak.secret and leak.secret not in leak.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN PRIVATE KEY-----",
        'KEY = "-----BEGIN RSA PRIVATE KEY-----"\nif KEY in text: raise',
        f"-----BEGIN CERTIFICATE-----\n{BODY}",
        "00DWs000003xYZ1MAM",
        "client_secret = os.environ['CLIENT_SECRET_OF_THE_APP_1']",
        "client_secret = self.configuration.client_secret_1",
        "client_secret: ${CLIENT_SECRET_OF_UAT_1}",
        "client_secret: {{ client_secret_of_uat_1 }}",
        "client_secret = read_the_secret_of_1(org)",
        "clientSecret: a-text-without-any-number",
        "access_token: short1",
        "METADEPLOY_MASTER_KEY=$(pass show metadeploy/1)",
        "METADEPLOY_MASTER_KEY=allletterswithoutnumber",
        "export METADEPLOY_MASTER_KEY",
        "master: {command: [pass, show, metadeploy]}",
        "webmaster: mail",
    ],
)
def test_no_secret_in_any_file(text):
    assert said(text) == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_mark_tells_how_a_file_is_encoded(encoding):
    assert said(f"\ufeffx\n{SESSION}".encode(encoding)) == [line(2, "a session id")]


def test_of_a_binary_file_only_the_forms_count():
    binary = b"\0\xff" + f"client_secret='{SECRET}'\n{SESSION}\n".encode()
    assert said(binary, "a.zip") == [line(2, "a session id")]


def test_a_token_is_told_once():
    assert said(f"access_token={SESSION.replace('!', '!')}") == [
        line(1, "a session id")
    ]
    assert said(f"refresh_token={REFRESH}") == [line(1, "a refresh token")]


@pytest.mark.parametrize("path", [".metadeploy/keys", "a/.metadeploy/b/c.txt"])
def test_what_is_of_this_machine_alone(path):
    (leak,) = leaks.leaks(path, b"harmless")
    assert (leak.line, leak.secret) == (0, "")


def test_a_folder_of_a_like_name_is_nobodys():
    assert leaks.leaks("docs/.metadeploy.md", b"x") == ()


# -- places that somebody allowed


@pytest.mark.parametrize(
    "text",
    [
        f"{SESSION}  # pragma: allowlist secret because it is of the manual",
        f"{SESSION} // pragma: whitelist secret, because it ended",
        f"<!-- pragma: allowlist nextline secret because it ended -->\n{SESSION}",
        f"# pragma: allowlist-nextline-secret because it ended\n{PEM}",
        f"a\n# pragma: allowlist nextline secret because it ended\n{PEM}",
    ],
)
def test_a_place_may_be_allowed(text):
    assert said(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{SESSION}  # pragma: allowlist secret",
        f"{SESSION}  # pragma: allowlist secret because -->",
        f"{SESSION}  # pragma: allowlist secret: it is of the manual",
    ],
)
def test_allowed_it_is_with_a_reason_only(text):
    assert said(text) == ["1: a session id is allowed without a reason"]


@pytest.mark.parametrize(
    "text",
    [
        f"# pragma: allowlist secret because it ended\n{SESSION}",
        f"# pragma: allowlist nextline secret because it ended\n\n{SESSION}",
        f"{SESSION} # pragma: allowlist nextline secret because it ended",
        f"{SESSION}\n# pragma: allowlist secret because it ended",
    ],
)
def test_only_the_place_itself_is_allowed(text):
    assert len(said(text)) == 1


@given(st.binary(max_size=300), st.text(max_size=50))
def test_any_bytes_are_read(data, path):
    assert all(leak.message for leak in leaks.leaks(path, data))
