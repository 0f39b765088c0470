import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.access import AppAccess, lower_access, profile_label, raise_access
from metadeploy.model import METADATA_NS, Component, Ref, Source


def component(type_, name, inside):
    body = f'<{type_} xmlns="{METADATA_NS}">\n{inside}</{type_}>\n'
    return Component(Ref(type_, name), body.encode(), Source(f"templates/{name}.j2"))


def access(app, enabled="true"):
    return (
        f"<connectedAppAccesses><connectedApp>{app}</connectedApp>"
        f"<enabled>{enabled}</enabled></connectedAppAccesses>\n"
    )


PORTAL = component("ConnectedApp", "Portal", "<label>P</label>\n")
API = Ref("PermissionSet", "Portal_API")
ADMIN = Ref("Profile", "Admin")


def bodies(components):
    return {str(c.ref): c.body.decode() for c in components}


def test_declared_access_is_lowered_into_the_app():
    raised = raise_access(
        [
            PORTAL,
            component("PermissionSet", "Portal_API", access("Portal")),
            component("Profile", "Admin", access("Portal") + "<custom>false</custom>"),
        ]
    )
    assert raised.access == {"Portal": AppAccess(frozenset({API, ADMIN}), owned=True)}
    found = bodies(lower_access(raised.components, raised))
    assert "connectedAppAccesses" not in "".join(found.values())
    assert found["ConnectedApp Portal"] == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ConnectedApp xmlns="{METADATA_NS}">\n'
        "    <label>P</label>\n"
        "    <permissionSetName>Portal_API</permissionSetName>\n"
        "    <profileName>System Administrator</profileName>\n"
        "</ConnectedApp>\n"
    )


def test_the_lowered_line_knows_who_declared_it():
    raised = raise_access(
        [PORTAL, component("PermissionSet", "Portal_API", "\n\n" + access("Portal"))]
    )
    app, _ = lower_access(raised.components, raised)
    line = (
        app.body.decode()
        .split("\n")
        .index("    <permissionSetName>Portal_API</permissionSetName>")
    )
    assert app.source.locate(line + 1) == ("templates/Portal_API.j2", 4)
    assert app.source.locate(3) == ("templates/Portal.j2", 2)


def test_a_profile_that_only_declares_access_is_no_component():
    raised = raise_access([component("Profile", "Admin", access("Portal"))])
    assert raised.components == ()
    assert raised.access["Portal"].grants == {ADMIN}
    assert not raised.access["Portal"].owned
    assert raise_access([component("Profile", "Admin", "")]).components != ()


def test_an_app_about_which_nothing_is_said_keeps_what_it_has():
    raised = raise_access([PORTAL])
    assert raised.access == {}
    assert b"Name>" not in lower_access(raised.components, raised)[0].body


def test_access_taken_from_everybody_is_an_empty_element():
    raised = raise_access(
        [PORTAL, component("PermissionSet", "Portal_API", access("Portal", "false"))]
    )
    assert raised.access["Portal"].revokes == {API}
    app = lower_access(raised.components, raised)[0].body
    assert b"<permissionSetName/>" in app and b"<profileName/>" in app


def test_the_platforms_own_form_is_raised_too():
    raised = raise_access(
        [
            component(
                "ConnectedApp",
                "Portal",
                "<profileName>System Administrator</profileName>"
                "<permissionSetName></permissionSetName>",
            )
        ]
    )
    assert raised.access == {"Portal": AppAccess(frozenset({ADMIN}), owned=True)}
    assert b"Name>" not in raised.components[0].body


POLICY = component(
    "ExtlClntAppOauthConfigurablePolicies",
    "Portal_oauthPlcy",
    "<commaSeparatedProfile>Custom, System Administrator,</commaSeparatedProfile>"
    "<externalClientApplication>Portal</externalClientApplication>",
)


def test_the_policy_of_an_external_client_app():
    raised = raise_access(
        [POLICY, component("PermissionSet", "Portal_API", access("Portal"))]
    )
    assert raised.access["Portal"].grants == {API, ADMIN, Ref("Profile", "Custom")}
    assert raised.access["Portal"].owned
    policy = lower_access(raised.components, raised)[0].body.decode()
    assert (
        "    <commaSeparatedPermissionSet>Portal_API</commaSeparatedPermissionSet>\n"
        "    <commaSeparatedProfile>System Administrator,Custom</commaSeparatedProfile>"
    ) in policy


@pytest.mark.parametrize("name", ["Admin", "StandardAul", "Custom"])
def test_profiles_have_two_names(name):
    from metadeploy.access import profile_name

    assert profile_name(profile_label(name)) == name


holders = st.sampled_from(["A", "B", "C"])
declared = st.lists(st.tuples(st.sampled_from(["X", "Y"]), holders), unique=True)


@given(declared, declared)
def test_lowering_and_raising_are_each_others_reverse(by_set, by_profile):
    given_ = [component("ConnectedApp", app, "<label>x</label>") for app in "XY"]
    for type_, pairs in (("PermissionSet", by_set), ("Profile", by_profile)):
        for holder in "ABC":
            inside = "".join(access(a) for a, h in pairs if h == holder)
            given_.append(component(type_, holder, f"<label>l</label>{inside}"))
    raised = raise_access(given_)
    again = raise_access(lower_access(raised.components, raised))
    assert again.access == raised.access
    assert again.components == raised.components
