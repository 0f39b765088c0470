"""Rules about what an org accepts of an app, and should not."""

from __future__ import annotations

import pytest
from rule_files import app, component, oauth

from metadeploy import rules
from metadeploy.model import Component, Ref
from metadeploy.project import Project

APPROVED = "<isAdminApproved>true</isAdminApproved>"
POLICY = "ExtlClntAppOauthConfigurablePolicies"


def scopes(*names: str) -> tuple[str, ...]:
    return tuple(f"<scopes>{name}</scopes>" for name in names)


def client(kind: str, *lines: str) -> Component:
    """A file of the External Client App Portal, whose `lines` are from line 3."""
    parent = "<externalClientApplication>Portal</externalClientApplication>"
    return component(Ref(kind, f"Portal_{kind}"), parent, *lines)


def settings(names: str) -> Component:
    text = f"<commaSeparatedOauthScopes>{names}</commaSeparatedOauthScopes>"
    return client("ExtlClntAppOauthSettings", text)


def permitted(users: str) -> Component:
    text = f"<permittedUsersPolicyType>{users}</permittedUsersPolicyType>"
    return client(POLICY, text)


def found(*components: Component) -> list[str]:
    problems = rules.check_posture(components)
    return [str(p).partition(":")[2] for p in problems]


def test_an_app_that_asks_for_what_it_needs() -> None:
    assert found(oauth(APPROVED, *scopes("Api", "RefreshToken", "OpenID"))) == []
    assert found(oauth(*scopes("OpenID", "Profile"))) == []
    assert found(app()) == []
    assert found(component(Ref("ExternalClientApplication", "Portal"))) == []
    assert found(Component(app().ref, b"<ConnectedApp")) == []


def test_scopes_that_hold_too_much() -> None:
    assert found(oauth(APPROVED, *scopes("Full", "Web"))) == [
        "7: warning: the scope Full gives the app everything that its user may do"
        " [MD701]",
        "8: warning: the scope Web lets the app open the whole user interface as its"
        " user [MD701]",
    ]
    assert found(settings("Api, Full"))[0].startswith("3: warning: the scope Full ")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Api",), "the scope Api"),
        (("OfflineAccess", "Api"), "the scopes Api and RefreshToken"),
    ],
)
def test_an_app_that_everybody_may_let_in(names, told) -> None:
    text = f"warning: everybody may let Portal in by themselves, with {told} [MD702]"
    assert found(oauth(*scopes(*names))) == [f"4: {text}"]
    said = "<isAdminApproved>false</isAdminApproved>"
    assert found(oauth(said, *scopes(*names))) == [f"6: {text}"]
    listed = settings(",".join(names))
    assert found(listed, permitted("AllSelfAuthorized")) == [f"3: {text}"]
    assert found(listed, permitted("AdminApprovedPreAuthorized")) == []
    # Who may use it is not said here, and the org's own policy stays as it is.
    assert found(listed) == []


TEXTS = {
    "orgs/uat.yaml": "kind: emulated\nvalues: {}\n",
    "templates/connectedApps/Portal.connectedApp.j2": """\
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>a@example.com</contactEmail>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>https://a.example.com/cb</callbackUrl>
        <scopes>Api</scopes>
        <scopes>Web</scopes>
    </oauthConfig>
</ConnectedApp>
""",
}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("connected_app", ["5 MD702", "8 MD701"]),
        # Its scopes are one element, which comes from the line of the first.
        ("external_client_app", ["5 MD702", "7 MD701"]),
    ],
)
def test_an_app_is_judged_once_as_what_it_becomes(kind, told) -> None:
    text = f"kind: emulated\napps: {{Portal: {{kind: {kind}}}}}\n"
    problems = Project({**TEXTS, "orgs/uat.yaml": text}).validate(["uat"])
    judged = [f"{p.line} {p.rule}" for p in problems if p.rule.startswith("MD7")]
    assert judged == told
