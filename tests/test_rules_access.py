"""Rules for access: apps, and the profiles and permission sets that may use them."""

from __future__ import annotations

from rule_files import SET, app, component, found, oauth

from metadeploy.model import Component, Ref

APPROVED = oauth("<isAdminApproved>true</isAdminApproved>")
LABEL = "<label>Portal API</label>"


def access(name: str, enabled: str = "true") -> tuple[str, ...]:
    return (
        "<connectedAppAccesses>",
        f"<connectedApp>{name}</connectedApp>",
        f"<enabled>{enabled}</enabled>",
        "</connectedAppAccesses>",
    )


def holder(*lines: str) -> Component:
    """A permission set whose `lines` are from line 2."""
    return component(SET, *lines, LABEL)


def client(*policy: str) -> tuple[Component, Component]:
    """An External Client App and its policy, whose `policy` lines are from line 3."""
    return (
        component(Ref("ExternalClientApplication", "Portal")),
        component(
            Ref("ExtlClntAppOauthConfigurablePolicies", "Portal_policy"),
            "<externalClientApplication>Portal</externalClientApplication>",
            *policy,
        ),
    )


def test_access_by_a_permission_set_or_a_profile() -> None:
    profile = component(Ref("Profile", "Admin"), *access("Portal"))
    assert found(APPROVED, holder(*access("Portal"))) == []
    assert found(APPROVED, profile) == []


def test_access_needs_an_app_and_a_decision() -> None:
    given = holder("<connectedAppAccesses/>", "<connectedAppAccesses/>")
    assert found(given) == [
        f"{line}: connectedAppAccesses lacks the required element {name} [MD108]"
        for line in (2, 3)
        for name in ("connectedApp", "enabled")
    ]


def test_access_is_declared_nowhere_else() -> None:
    assert found(app(*access("Portal"))) == [
        "4: ConnectedApp has no element connectedAppAccesses [MD103]"
    ]


def test_access_to_an_app_of_others() -> None:
    assert found(holder(*access("Salesforce CLI"), *access("a" * 81))) == [
        "2: warning: Salesforce CLI is no app of this project [MD301]",
        f"6: '{'a' * 60}…' cannot be the name of an app [MD302]",
    ]
    assert found(app(), holder(*access("Portl"))) == [
        "2: warning: Portl is no app of this project; did you mean Portal? [MD301]"
    ]


def test_an_app_that_cannot_be_read_is_an_app_of_ours() -> None:
    broken = Component(app().ref, b"<ConnectedApp>")
    (problem,) = found(broken, holder(*access("Portal")))
    assert problem.endswith("[MD101]")


def test_access_counts_only_for_an_approved_app() -> None:
    open_app = oauth("<isAdminApproved>false</isAdminApproved>")
    assert found(open_app, holder(*access("Portal"))) == [
        "2: Portal may be used by everybody, since it is not admin approved [MD303]"
    ]
    assert found(open_app, holder(*access("Portal", "false"))) == []
    # Without OAuth an app has no such switch: access decides who sees it.
    assert found(app(), holder(*access("Portal"))) == []


def test_the_same_app_twice() -> None:
    given = holder(*access("Portal"), *access("Portal", "false"))
    assert found(APPROVED, given) == [
        "6: connectedAppAccesses lists 'Portal' twice [MD115]"
    ]


def test_an_approved_app_that_nobody_may_use() -> None:
    nobody = "6: warning: Portal is admin approved, but nobody may use it [MD304]"
    assert found(APPROVED) == [nobody]
    assert found(APPROVED, holder(*access("Portal", "false"))) == [nobody]


def test_access_to_an_external_client_app() -> None:
    open_policy = (
        "<permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType>"
    )
    closed = "<permittedUsersPolicyType>AdminApprovedPreAuthorized"
    closed += "</permittedUsersPolicyType>"
    who = "<commaSeparatedPermissionSet>Portal_API</commaSeparatedPermissionSet>"
    used = holder(*access("Portal"))
    assert found(*client(open_policy), used) == [
        "2: Portal may be used by everybody, since it is not admin approved [MD303]"
    ]
    assert found(*client(), used) == []
    assert found(client()[0], used) == []
    assert found(*client(closed), used) == []
    assert found(*client(who, closed)) == []
    assert found(*client(closed)) == [
        "3: warning: Portal is admin approved, but nobody may use it [MD304]"
    ]
