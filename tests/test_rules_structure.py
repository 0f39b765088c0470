"""Structure rules: each with the exact text that a person reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_files import APP, SET, app, component, found, oauth

from metadeploy import rules
from metadeploy.model import METADATA_NS, Component, Ref, Severity, Source
from metadeploy.xmlfile import XmlError, parse


def test_a_whole_app_has_no_problem() -> None:
    assert (
        found(
            oauth(
                "<consumerSecret/>",
                "<idTokenConfig>",
                "<idTokenValidity> 10 </idTokenValidity>",
                "</idTokenConfig>",
                "<isPkceRequired>true</isPkceRequired>",
                "<scopes>Api</scopes>",
                "<scopes>RefreshToken</scopes>",
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            app("<oauthConfig>"),
            "5: not well-formed XML: Opening and ending tag mismatch: oauthConfig "
            "line 4 and ConnectedApp [MD101]",
        ),
        (
            Component(APP, b"<!DOCTYPE a><ConnectedApp/>"),
            "1: not well-formed XML: a DOCTYPE is not allowed in metadata [MD101]",
        ),
        (
            Component(APP, b"\n<Profile/>"),
            "2: the root element is <Profile>; it has to be <ConnectedApp> with "
            f'xmlns="{METADATA_NS}" [MD102]',
        ),
        (
            component(APP, root="connectedApp"),
            "1: the root element is <connectedApp>; it has to be <ConnectedApp> "
            "[MD102]",
        ),
        (
            component(Ref("Settings", "ConnectedApp"), root="Settings"),
            "1: the root element is <Settings>; it has to be <ConnectedAppSettings> "
            "[MD102]",
        ),
        (
            component(Ref("ApexTestSuite", "A"), root="ApexClass"),
            "1: the root element is <ApexClass>; it has to be <ApexTestSuite> [MD102]",
        ),
        (
            oauth("<scope>Api</scope>"),
            "6: oauthConfig has no element scope; did you mean scopes? [MD103]",
        ),
        (
            app("<consumerKey>abcdefgh</consumerKey>"),
            "4: ConnectedApp has no element consumerKey; it belongs inside "
            "oauthConfig [MD103]",
        ),
        (
            oauth("<startUrl>https://a.example.com</startUrl>"),
            "6: oauthConfig has no element startUrl; it belongs inside ConnectedApp "
            "[MD103]",
        ),
        (
            app("<permissionSetLicense>a</permissionSetLicense>"),
            "4: ConnectedApp has no element permissionSetLicense; did you mean "
            "permissionSetName? [MD103]",
        ),
        (
            app("<STARTURL>a</STARTURL>"),
            "4: ConnectedApp has no element STARTURL; did you mean startUrl? [MD103]",
        ),
        (
            app(f"<{'x' * 99}/>"),
            f"4: ConnectedApp has no element {'x' * 60}… [MD103]",
        ),
        (
            app('<label xmlns="urn:x">a</label>'),
            "4: label is not in the metadata namespace [MD103]",
        ),
        (
            component(Ref("ConectedApp", "A")),
            "1: 'ConectedApp' is not a metadata type; did you mean ConnectedApp? "
            "[MD104]",
        ),
        (
            app("<startUrl>https://a.example.com</startUrl>", "<label>B</label>"),
            "5: label is given twice, but is no list [MD105]",
        ),
        (
            app("<label>B</label>"),
            "4: label is given twice, but is no list [MD105]",
        ),
        (
            oauth("<scopes>Api</scopes>", "<certificate/>", "<scopes>Web</scopes>"),
            "8: scopes stands apart from the scopes above [MD106]",
        ),
        (
            oauth("<scopes>Full</scopes>", "<scopes>MCP</scopes>"),
            "7: scopes MCP came with API version 66.0; this org's package has 65.0 "
            "[MD107]",
        ),
        (
            component(APP, "<label>A</label>"),
            "1: ConnectedApp lacks the required element contactEmail [MD108]",
        ),
        (
            component(
                APP, "<contactEmail>a@example.com</contactEmail>", "<label> </label>"
            ),
            "3: label is empty [MD109]",
        ),
        (
            oauth("<isPkceRequired/>"),
            "6: isPkceRequired is empty [MD109]",
        ),
        (
            oauth("<isPkceRequired>True</isPkceRequired>"),
            "6: isPkceRequired is 'True'; it has to be true or false [MD110]",
        ),
        (
            app("<sessionPolicy><sessionTimeout>2h</sessionTimeout></sessionPolicy>"),
            "4: sessionTimeout is '2h'; it has to be a whole number [MD110]",
        ),
        (
            app(
                "<sessionPolicy>",
                "<sessionTimeout>2147483648</sessionTimeout>",
                "</sessionPolicy>",
            ),
            "5: sessionTimeout is '2147483648'; it has to be a whole number [MD110]",
        ),
        (
            oauth("<scopes>api</scopes>"),
            "6: scopes may not be 'api'; did you mean Api? [MD111]",
        ),
        (
            oauth("<scopes>Nothing like it</scopes>"),
            "6: scopes may not be 'Nothing like it'; allowed: Basic, Api, Web, Full, "
            "Chatter, CustomApplications, RefreshToken, OpenID, … (35 in all) [MD111]",
        ),
        (
            app(
                "<sessionPolicy>",
                "<policyAction>Forbid</policyAction>",
                "</sessionPolicy>",
            ),
            "5: policyAction may not be 'Forbid'; allowed: Block, RaiseSessionLevel "
            "[MD111]",
        ),
        (
            app("<fullName>Portal</fullName>"),
            "4: fullName does not belong in a file; it is ConnectedApp Portal [MD112]",
        ),
        (
            app("<startUrl><a/></startUrl>"),
            "4: startUrl holds text, not elements [MD113]",
        ),
        (
            oauth("stray"),
            "4: the text 'stray' stands between elements [MD113]",
        ),
        (
            app("<startUrl lang='en'>https://a.example.com</startUrl>"),
            "4: warning: startUrl has the attribute 'lang' [MD114]",
        ),
        (
            oauth("<scopes>Api</scopes>", "<scopes>Api</scopes>"),
            "7: scopes lists 'Api' twice [MD115]",
        ),
        (
            component(
                Ref("Profile", "Admin"),
                "<layoutAssignments><layout>A</layout></layoutAssignments>",
                "<layoutAssignments>",
                "<layout>A</layout><recordType>R</recordType>",
                "</layoutAssignments>",
                "<layoutAssignments>",
                "<layout>A</layout><recordType>R</recordType>",
                "</layoutAssignments>",
            ),
            "6: layoutAssignments lists 'A / R' twice [MD115]",
        ),
        (
            component(
                SET,
                "<fieldPermissions/>",
                "<fieldPermissions/>",
                "<label>A</label>",
            ),
            "2: fieldPermissions lacks the required element editable [MD108]\n"
            "2: fieldPermissions lacks the required element field [MD108]\n"
            "3: fieldPermissions lacks the required element editable [MD108]\n"
            "3: fieldPermissions lacks the required element field [MD108]",
        ),
    ],
)
def test_what_is_wrong_with_a_file(given: Component, message: str) -> None:
    assert found(given, version="65.0") == message.split("\n")


def test_what_came_or_went_with_an_api_version() -> None:
    new = oauth("<isPkceRequired>true</isPkceRequired>")
    assert found(new, version="52.0") == [
        "6: isPkceRequired came with API version 59.0; this org's package has 52.0 "
        "[MD107]"
    ]
    parent = component(Ref("ExternalClientApplication", "P"))
    old = component(
        Ref("ExtlClntAppOauthConfigurablePolicies", "P_policy"),
        "<externalClientApplication>P</externalClientApplication>",
        "<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>",
    )
    assert found(parent, old, version="64.0") == []
    assert found(parent, old) == [
        "3: isNamedUserJwtEnabled went after API version 64.0; this org's package has "
        "66.0 [MD107]"
    ]


def test_an_element_is_available_or_not_as_a_whole() -> None:
    given = app(
        "<oauthPolicy>",
        "<ipRelaxation>ENFORCE</ipRelaxation>",
        "<refreshTokenPolicy>infinite</refreshTokenPolicy>",
        "</oauthPolicy>",
    )
    assert found(given, version="49.0") == []
    assert found(given, version="48.0") == [
        "4: oauthPolicy came with API version 49.0; this org's package has 48.0 [MD107]"
    ]


@pytest.mark.parametrize(
    "given",
    [
        app('<startUrl xmlns:x="urn:x"/>', "<profileName/>"),
        app(
            "<pluginExecutionUser "
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
        ),
        component(
            SET,
            "<dataspaceScopes>",
            "<dataspaceScope>default</dataspaceScope>",
            "</dataspaceScopes>",
            "<label>A</label>",
        ),
        component(Ref("CustomObject", "Account"), "<anything><at/>all</anything>"),
        Component(Ref("ApexClass", "A"), b"public class A {}"),
        Component(Ref("LightningComponentBundle", "a"), b"export default 1"),
        component(Ref("Settings", "Account"), "<a/>", root="AccountSettings"),
    ],
)
def test_what_is_left_in_peace(given: Component) -> None:
    assert found(given) == []


def test_problems_stand_at_the_template_line() -> None:
    lines = (("templates/connectedApps/A.connectedApp.j2", 7), ("macros/oauth.j2", 3))
    body = f'<ConnectedApp xmlns="{METADATA_NS}">\n<label/></ConnectedApp>'
    source = Source(lines[0][0], lines)
    problems = rules.check([Component(APP, body.encode(), source)], api_version="66.0")
    assert [str(p) for p in problems] == [
        "macros/oauth.j2:3: label is empty [MD109]",
        "templates/connectedApps/A.connectedApp.j2:7: ConnectedApp lacks the required "
        "element contactEmail [MD108]",
    ]


def test_a_problem_says_what_to_do() -> None:
    (problem,) = rules.check([component(SET)], api_version="66.0")
    assert problem.severity is Severity.ERROR
    assert problem.remedy == "Add what is missing."


def test_an_unknown_type_is_named_where_it_has_no_path() -> None:
    (problem,) = rules.check([component(Ref("Nonsense", "A"))], api_version="66.0")
    assert str(problem) == "Nonsense A:1: 'Nonsense' is not a metadata type [MD104]"


_TAGS = st.sampled_from(
    ["ConnectedApp", "label", "oauthConfig", "scopes", "connectedAppAccesses", "x"]
)


@st.composite
def _trees(draw: st.DrawFn, depth: int = 3) -> str:
    tag = draw(_TAGS)
    texts = st.sampled_from(["", " ", "true", "Api", "1", "&amp;", "<!-- c -->"])
    inside = draw(texts)
    if depth:
        inside += "".join(draw(st.lists(_trees(depth=depth - 1), max_size=3)))
    return f"<{tag}>{inside}</{tag}>"


@given(_trees(), st.sampled_from(["ConnectedApp", "Profile", "PermissionSet"]))
def test_no_tree_is_too_strange(tree: str, type_name: str) -> None:
    given = component(Ref(type_name, "A"), tree)
    for problem in rules.check([given], api_version="66.0"):
        assert problem.rule in rules.RULES
        assert "\n" not in str(problem)


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(body: bytes) -> None:
    problems = rules.check([Component(APP, body)], api_version="66.0")
    try:
        parse(body)
    except XmlError:
        assert [p.rule for p in problems] == ["MD101"]
    else:
        assert problems


def test_every_rule_is_told() -> None:
    for id_, rule in rules.RULES.items():
        assert id_ == rule.id
        assert all((rule.name, rule.why, rule.remedy, rule.source))
    assert len({rule.name for rule in rules.RULES.values()}) == len(rules.RULES)
