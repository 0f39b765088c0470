"""Rules for connected apps: values first, then what they demand of each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_files import app, found, oauth

from metadeploy.model import Component

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\nAgME\n-----END CERTIFICATE-----"


def callback(urls: str) -> Component:
    """A connected app whose callbackUrl begins on line 4."""
    return app(f"<oauthConfig><callbackUrl>{urls}</callbackUrl></oauthConfig>")


def policy(refresh: str) -> Component:
    """A connected app whose refreshTokenPolicy is on line 6."""
    return app(
        "<oauthPolicy>",
        "<ipRelaxation>ENFORCE</ipRelaxation>",
        f"<refreshTokenPolicy>{refresh}</refreshTokenPolicy>",
        "</oauthPolicy>",
    )


@pytest.mark.parametrize(
    "urls",
    [
        "https://a.example.com/cb",
        "https://a.example.com/cb\nhttps://b.example.com:8443/cb?x=1",
        "\n  https://a.example.com/cb\r\n  com.example.app:/oauth\n",
        "http://localhost:1717/OauthRedirect",
        "http://127.0.0.1/cb",
        "portal://auth/callback",
        "https://a.example.com/" + "x" * 1978,
    ],
)
def test_callback_urls_that_work(urls: str) -> None:
    assert found(callback(urls)) == []


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ("a.example.com/cb", "'a.example.com/cb' is not an absolute URL [MD201]"),
        ("/cb", "'/cb' is not an absolute URL [MD201]"),
        (
            "https://a.example.com/cb, https://b.example.com",
            "'https://a.example.com/cb, https://b.example.com' has a space in it "
            "[MD201]",
        ),
        ("https://a.example.com/#x", "'https://a.example.com/#x' has a fragment (#) "),
        ("https:///cb", "'https:///cb' names no host [MD201]"),
        ("https://[::1/cb", "'https://[::1/cb' names no host [MD201]"),
        (
            "https://a.example.com:0/",
            "'https://a.example.com:0/' names no host [MD201]",
        ),
        ("https://a:99999/", "'https://a:99999/' names no host [MD201]"),
        ("portal://", "'portal://' is cut off [MD201]"),
        ("javascript:alert(1)", "'javascript:alert(1)' cannot have the scheme "),
        (
            "http://localhost.example.com/cb",
            "'http://localhost.example.com/cb' has to use https, since it is not "
            "localhost [MD202]",
        ),
    ],
)
def test_callback_urls_that_do_not_work(urls: str, message: str) -> None:
    (problem,) = found(callback(urls))
    assert problem.startswith(f"4: callbackUrl {message}")


def test_every_wrong_callback_url_has_its_own_line() -> None:
    urls = "https://a.example.com\nb\n\nhttps://a.example.com\nhttp://c.example.com"
    assert found(callback(urls)) == [
        "5: callbackUrl 'b' is not an absolute URL [MD201]",
        "7: callbackUrl lists 'https://a.example.com' twice [MD115]",
        "8: callbackUrl 'http://c.example.com' has to use https, since it is not "
        "localhost [MD202]",
    ]


def test_callback_urls_share_2000_characters() -> None:
    url = "https://a.example.com/" + "x" * 1979
    assert found(callback(url)) == [
        "4: callbackUrl has 2001 characters; 2000 are allowed [MD203]"
    ]


@given(st.text(st.characters(exclude_characters="<&", codec="utf-8"), min_size=1))
def test_no_callback_url_is_too_strange(text: str) -> None:
    for problem in found(callback(text)):
        assert "\n" not in problem


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "<consumerKey>short</consumerKey>",
            "consumerKey has 5 characters; 8 to 256 are needed [MD204]",
        ),
        (
            "<consumerKey>abc def-ghi</consumerKey>",
            "consumerKey has the character ' ' [MD204]",
        ),
        (
            "<consumerKey>3MVG9_x.yz</consumerKey>",
            "warning: consumerKey has '_' or '.', which are not documented but do "
            "work [MD205]",
        ),
        ("<consumerKey>abcdefgh1234</consumerKey>", ""),
        (
            "<consumerSecret>abcdefgh1234</consumerSecret>",
            "consumerSecret does not belong in a template or an org file [MD206]",
        ),
        (
            "<idTokenConfig><idTokenValidity>721</idTokenValidity></idTokenConfig>",
            "idTokenValidity is 721; it has to be 1 to 720 minutes [MD208]",
        ),
        (
            "<singleLogoutUrl>http://a.example.com</singleLogoutUrl>",
            "singleLogoutUrl 'http://a.example.com' is not an absolute https URL "
            "[MD209]",
        ),
        (
            "<singleLogoutUrl>https:// a.example.com</singleLogoutUrl>",
            "singleLogoutUrl 'https:// a.example.com' is not an absolute https URL "
            "[MD209]",
        ),
        (
            "<singleLogoutUrl>https://</singleLogoutUrl>",
            "singleLogoutUrl 'https://' is not an absolute https URL [MD209]",
        ),
        ("<singleLogoutUrl>https://a.example.com/out</singleLogoutUrl>", ""),
        (
            "<isClientCredentialEnabled>true</isClientCredentialEnabled>",
            "isClientCredentialEnabled is true without oauthClientCredentialUser "
            "[MD210]",
        ),
        (f"<certificate>{PEM}</certificate>", ""),
        (
            "<certificate>my_cert</certificate>",
            "certificate is not the PEM text of one certificate [MD213]",
        ),
        (
            f"<certificate>{PEM.replace('MIIB', 'MIIB=')}</certificate>",
            "certificate is damaged: its base64 text does not decode [MD213]",
        ),
        (
            "<certificate>-----BEGIN PRIVATE KEY-----</certificate>",
            "certificate holds a private key [MD214]",
        ),
        (
            "<certificate>-----BEGIN RSA PRIVATE KEY-----</certificate>",
            "certificate holds a private key [MD214]",
        ),
    ],
)
def test_values_of_oauth_config(line: str, message: str) -> None:
    assert found(oauth(line)) == ([f"6: {message}"] if message else [])


def test_a_client_credentials_user_is_enough() -> None:
    lines = (
        "<isClientCredentialEnabled>true</isClientCredentialEnabled>",
        "<oauthClientCredentialUser>api@example.com</oauthClientCredentialUser>",
    )
    assert found(oauth(*lines)) == []


@pytest.mark.parametrize(
    "text",
    ["infinite", "zero", "specific_lifetime:1:HOURS", "specific_inactivity:30:DAYS"],
)
def test_refresh_token_policies_that_work(text: str) -> None:
    assert found(policy(text)) == []


@pytest.mark.parametrize(
    "text", ["Infinite", "specific_lifetime:0:DAYS", "specific_lifetime:1:days", "1"]
)
def test_refresh_token_policies_that_do_not_work(text: str) -> None:
    assert found(policy(text)) == [f"6: refreshTokenPolicy cannot be '{text}' [MD207]"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "<sessionPolicy><sessionTimeout>0</sessionTimeout></sessionPolicy>",
            "sessionTimeout is 0; it has to be 1 or more [MD208]",
        ),
        (
            "<logoUrl>logo.png</logoUrl>",
            "logoUrl 'logo.png' is not an absolute https URL [MD209]",
        ),
        (
            "<ipRanges><end>10.0.0.1</end><start>10.0.0.9</start></ipRanges>",
            "the range ends at 10.0.0.1, before its start 10.0.0.9 [MD211]",
        ),
        (
            "<ipRanges><end>::1</end><start>10.0.0.9</start></ipRanges>",
            "the range from 10.0.0.9 to ::1 mixes IPv4 and IPv6 [MD211]",
        ),
        (
            "<ipRanges><end>10.0.0.1</end><start>10.0.0.0/8</start></ipRanges>",
            "'10.0.0.0/8' does not appear to be an IPv4 or IPv6 address [MD211]",
        ),
        ("<ipRanges><end>10.0.0.9</end><start>10.0.0.1</start></ipRanges>", ""),
        (
            "<ipRanges><end>10.0.0.9</end></ipRanges>",
            "ipRanges lacks the required element start [MD108]",
        ),
        (
            "<profileName>Admin</profileName>",
            "profileName is given, but isAdminApproved is not true [MD216]",
        ),
    ],
)
def test_values_of_the_app_itself(line: str, message: str) -> None:
    assert found(app(line)) == ([f"4: {message}"] if message else [])


def test_a_contact_has_an_email_address() -> None:
    given = Component(
        app().ref,
        app()
        .body.replace(b"a@example.com", b"Portal team <a@b>")
        .replace(b"<a@b>", b"&lt;a@b&gt;"),
    )
    assert found(given) == [
        "2: contactEmail 'Portal team <a@b>' is not an email address [MD212]"
    ]


def test_an_asset_token_needs_scopes() -> None:
    token = (
        "<assetTokenConfig>",
        "<assetAudiences>a</assetAudiences>",
        "<assetIncludeAttributes>false</assetIncludeAttributes>",
        "<assetIncludeCustomPerms>false</assetIncludeCustomPerms>",
        "<assetSigningCertId>a</assetSigningCertId>",
        "<assetValidityPeriod>10</assetValidityPeriod>",
        "</assetTokenConfig>",
    )
    scopes = ("<scopes>Api</scopes>", "<scopes>OpenID</scopes>")
    assert found(oauth(*token, *scopes)) == []
    assert found(oauth(*token, *scopes[:1])) == [
        "6: assetTokenConfig needs the scopes OpenID [MD215]"
    ]


def test_clearing_the_pre_authorised_needs_no_approval() -> None:
    assert found(app("<permissionSetName/>", "<profileName/>")) == []


def test_an_approved_app_names_who_may_use_it() -> None:
    given = oauth("<isAdminApproved>true</isAdminApproved>")
    body = given.body.replace(
        b"</ConnectedApp>",
        b"<profileName>System Administrator</profileName></ConnectedApp>",
    )
    assert found(Component(given.ref, body)) == []


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_the_text_of_a_secret_is_never_shown(secret: str) -> None:
    text = secret.replace("&", "&amp;").replace("<", "&lt;")
    for problem in found(oauth(f"<consumerSecret>SeCrEt{text}</consumerSecret>")):
        assert "SeCrEt" not in problem
