"""Secrets in the texts of a project: found, and never repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.project import Project
from metadeploy.rules import secrets

TEMPLATE = "templates/connectedApps/Portal.connectedApp.j2"
ORG = "orgs/uat.yaml"
SESSION = "00DWs000003xYZ1MAM!AQ8AQK7n2bXkz.3wPq9Lr5sTu0vWxYz1aBcDe"
REFRESH = "5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrdB3S1nMfsk"
KEY = "-----BEGIN RSA PRIVATE KEY-----"


def said(text: str, path: str = TEMPLATE) -> list[str]:
    return [str(p).removeprefix(f"{path}:") for p in secrets.scan(path, text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KEY, "1: a private key is written into this file [MD214]"),
        (
            "\n-----BEGIN PRIVATE KEY-----",
            "2: a private key is written into this file [MD214]",
        ),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "1: a private key is written into this file [MD214]",
        ),
        (f"<a>\n{SESSION}", "2: a session id is written into this file [MD704]"),
        (f"x: {REFRESH}", "1: a refresh token is written into this file [MD704]"),
        (
            f"force://PlatformCLI::{REFRESH[7:]}@acme.my.salesforce.com",
            "1: a Salesforce CLI login URL is written into this file [MD704]",
        ),
        (
            "{% set client_secret = 'hunter2hunter2' %}",
            "1: warning: client_secret is written into this file [MD703]",
        ),
        (
            '{% set x = {"api-key": "abc", "apiKey": "abcdefg123"} %}',
            "1: warning: apiKey is written into this file [MD703]",
        ),
        (
            "<password>abcdefg123</password>",
            "1: warning: password is written into this file [MD703]",
        ),
    ],
)
def test_a_secret_in_a_template(text, message):
    assert said(text) == [message]


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "00DWs000003xYZ1MAM",
        "{{ client_secret }}",
        "<password>{{ p }}</password>",
        "<isSecretRequiredForRefreshToken>false</isSecretRequiredForRefreshToken>",
        "{% set client_secret = oauth2.client_secret %}",
        "{% set password = 'password' %}",
        "force://{{ key }}:{{ secret }}:{{ token }}@{{ host }}",
    ],
)
def test_no_secret_in_a_template(text):
    assert said(text) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("values:\n  client_secret: abcdefg123\n", ["client_secret"]),
        ("values: {billing: {password: 'abcdefg123', x: 1}}\n", ["password"]),
        ("values:\n  - API_KEY: abcdefghijklmnopqrstuvwxyz\n", ["API_KEY"]),
        ("values: {secret: changeme}\n", []),
        ("login: {client_secret: {env: UAT_CLIENT_SECRET_2}}\n", []),
        ("login:\n  private_key:\n    file: ~/.keys/uat2.key\n", []),
        ("values: {refresh_token_policy: 'specific_inactivity:30:DAYS'}\n", []),
        ("values: {secret: &a1234567 b}\n", []),
    ],
)
def test_a_secret_in_an_org_file(text, names):
    found = said(text, ORG)
    assert [f.split()[2] for f in found] == names
    assert all(f.endswith("is written into this file [MD703]") for f in found)


@given(st.sampled_from([SESSION, REFRESH, "hunter2hunter2"]))
def test_no_message_repeats_a_secret(secret):
    for text in (secret, f"password: {secret}", f"<password>{secret}</password>"):
        for path in (TEMPLATE, ORG):
            assert all(secret not in str(p) for p in secrets.scan(path, text))


ORG_TEXT = "kind: emulated\nvalues: {}\n"
APP = """\
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>a@example.com</contactEmail>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>https://a.example.com/cb</callbackUrl>
        <consumerSecret>abcdefg123</consumerSecret>
    </oauthConfig>
</ConnectedApp>
"""


def problems(names=("uat",), **texts):
    found = Project({"orgs/uat.yaml": ORG_TEXT, **texts}).validate(names)
    return [f"{p.path}:{p.line} {p.rule}" for p in found]


def test_every_text_of_an_org_is_looked_at():
    assert problems(
        **{
            "orgs/defaults.yaml": f"# {SESSION}\n",
            "orgs/uat.yaml": f"{ORG_TEXT}# {REFRESH}\n",
            "certs/portal.key": f"{KEY}\nAAAA\n",
            "templates/macros/m.j2": f"\n{{# {SESSION} #}}\n",
            "metadeploy/ours.j2": KEY,
        }
    ) == [
        "certs/portal.key:1 MD214",
        "orgs/defaults.yaml:1 MD704",
        "orgs/uat.yaml:3 MD704",
        "templates/macros/m.j2:2 MD704",
    ]


def test_what_an_org_does_not_use_is_not_its_problem():
    texts = {
        "orgs/uat.yaml": f"{ORG_TEXT}templates: [profiles/*]\n",
        "orgs/dev.yaml": ORG_TEXT,
        TEMPLATE: f"{{# {SESSION} #}}\n",
    }
    assert problems(**texts) == []
    assert problems(["uat", "dev"], **texts) == [f"{TEMPLATE}:1 MD704"]


def test_an_unusable_org_file_is_looked_at_too():
    found = problems(**{"orgs/uat.yaml": f"kind: x\ntags: [{REFRESH}]\n"})
    assert found == ["orgs/uat.yaml:1 MD010", "orgs/uat.yaml:2 MD704"]


def test_one_secret_is_one_problem():
    assert problems(**{TEMPLATE: APP}) == [f"{TEMPLATE}:7 MD206"]


def test_nothing_is_deployed_with_a_token_in_the_templates():
    project = Project({"orgs/uat.yaml": f"{ORG_TEXT}# {SESSION}\n"})
    _, found = project.render(project.org("uat"))
    assert [p.rule for p in found] == ["MD704"]
