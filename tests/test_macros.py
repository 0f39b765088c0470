"""The macros that we ship: each renders, keeps every rule, and says what it should."""

from __future__ import annotations

import pytest
from test_render import org

from metadeploy import rules, xmlfile
from metadeploy.access import raise_access
from metadeploy.model import Ref, Severity
from metadeploy.render import Renderer
from metadeploy.workspace import shipped_macros

PATH = "templates/connectedApps/App.connectedApp.j2"
HEAD = (
    "{% import 'metadeploy/oauth.j2' as oauth %}\n"
    '<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">\n'
    "<contactEmail>a@b.example</contactEmail><label>App</label>\n"
)


def app(call, ranges=""):
    text = f"{HEAD}{ranges}{{{{ {call} }}}}</ConnectedApp>\n"
    rendered = Renderer({PATH: text, **shipped_macros()}).render(org())
    assert rendered.problems == ()
    found = rules.check(rendered.components, api_version="66.0")
    assert [p for p in found if p.severity is Severity.ERROR] == []
    return xmlfile.canonical(xmlfile.parse(rendered.components[0].body)).decode()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "oauth.web_server(['https://a.example/cb', 'my://cb'], ['Api'])",
            ["<callbackUrl>https://a.example/cb\nmy://cb</callbackUrl>",
             "<isPkceRequired>true<", "<isRefreshTokenRotationEnabled>true<",
             "<isAdminApproved>true<", "specific_inactivity:30:DAYS"],
        ),
        (
            "oauth.web_server(['https://a.example/cb'], ['Api'], pkce=false,"
            " admin_approved=false, refresh_token='infinite')",
            ["<isPkceRequired>false<", "<isAdminApproved>false<", ">infinite<"],
        ),
        (
            "oauth.client_credentials('i@a.example', ['Api', 'Chatter'])",
            ["<isClientCredentialEnabled>true<",
             "<oauthClientCredentialUser>i@a.example<",
             "<scopes>Api</scopes>\n        <scopes>Chatter</scopes>",
             "<refreshTokenPolicy>zero<"],
        ),
    ],
)  # fmt: skip
def test_an_app_in_one_line(call, said):
    body = app(call)
    for text in said:
        assert text in body


def test_jwt_takes_a_certificate():
    text = f"{HEAD}{{{{ oauth.jwt(file('certs/a.crt'), ['Api']) }}}}</ConnectedApp>\n"
    texts = {PATH: text, "certs/a.crt": "PEM & more\n", **shipped_macros()}
    (found,) = Renderer(texts).render(org()).components
    assert b"PEM &amp; more" in found.body


def test_trusted_addresses():
    ranges = (
        "{{ oauth.ip_ranges([{'start': '10.0.0.1', 'end': '10.0.0.2'},"
        " {'start': '1.1.1.1', 'end': '1.1.1.1', 'description': 'x'}]) }}"
    )
    body = app("oauth.web_server(['https://a.example/cb'], ['Api'])", ranges)
    assert body.count("<ipRanges>") == 2 and "<description>x</description>" in body


def test_who_may_use_an_app():
    text = (
        "{% from 'metadeploy/access.j2' import may_use %}\n"
        '<Profile xmlns="http://soap.sforce.com/2006/04/metadata">'
        "{{ may_use('A & B') }}{{ may_use('Old', false) }}</Profile>"
    )
    path = "templates/profiles/Admin.profile.j2"
    rendered = Renderer({path: text, **shipped_macros()}).render(org())
    raised = raise_access(rendered.components)
    admin = Ref("Profile", "Admin")
    assert raised.access["A & B"].grants == {admin}
    assert raised.access["Old"].revokes == {admin}
