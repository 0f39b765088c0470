"""A ConnectedApp as an External Client App: what moves where, and what is lost."""

from __future__ import annotations

import pytest
from lxml import etree

from metadeploy import externalapp, rules, schema
from metadeploy.externalapp import app_of, convert, strip_org_bound
from metadeploy.model import METADATA_NS, Component, Ref, Severity, Source
from metadeploy.xmlfile import XmlError

APP = Ref("ConnectedApp", "Portal")
LINES = Source("templates/p.j2", tuple(("templates/p.j2", n) for n in range(1, 200)))


def app(*lines):
    """An app whose lines begin on line 4 of its template."""
    head = (
        f'<ConnectedApp xmlns="{METADATA_NS}">',
        "<contactEmail>a@example.com</contactEmail>",
        "<label>Portal</label>",
    )
    text = "\n".join([*head, *lines, "</ConnectedApp>"])
    return Component(APP, text.encode(), LINES)


def oauth(*lines):
    return app(
        "<oauthConfig>",
        "<callbackUrl>https://a.example/cb</callbackUrl>",
        *lines,
        "</oauthConfig>",
    )


def said(*components):
    """{type: {path: text}} of what each file says."""
    found = {}
    for component in components:
        root = etree.fromstring(component.body)
        tree = root.getroottree()
        found[component.ref.type] = {
            tree.getelementpath(e).replace(f"{{{METADATA_NS}}}", ""): e.text
            for e in root.iter()
            if len(e) == 0
        }
    return found


def converted(component):
    return said(*convert(component).components)


HEADER = "ExternalClientApplication"
GLOBAL = "ExtlClntAppGlobalOauthSettings"
SETTINGS = "ExtlClntAppOauthSettings"
OAUTH_POLICY = "ExtlClntAppOauthConfigurablePolicies"
POLICY = "ExtlClntAppConfigurablePolicies"


def test_every_file_names_its_app():
    made = convert(oauth()).components
    assert [c.ref.type for c in made] == sorted(
        [HEADER, GLOBAL, SETTINGS, OAUTH_POLICY, POLICY]
    )
    assert {app_of(c) for c in made} == {"Portal"}
    found = said(*made)
    assert found[HEADER]["distributionState"] == "Local"
    assert found[HEADER]["label"] == "Portal"
    assert found[GLOBAL]["callbackUrl"] == "https://a.example/cb"
    assert found[POLICY]["isEnabled"] == "true"


def test_what_is_made_is_valid():
    made = convert(oauth("<isAdminApproved>true</isAdminApproved>")).components
    errors = [
        p for p in rules.check(made, api_version="66.0") if p.severity is Severity.ERROR
    ]
    assert errors == []
    for component in made:
        known = schema.fields(component.ref.type)
        root = etree.fromstring(component.body)
        assert {etree.QName(e).localname for e in root} <= set(known)


@pytest.mark.parametrize(
    ("approved", "policy"),
    [
        ("<isAdminApproved>true</isAdminApproved>", "AdminApprovedPreAuthorized"),
        ("<isAdminApproved> 1 </isAdminApproved>", "AdminApprovedPreAuthorized"),
        ("<isAdminApproved>false</isAdminApproved>", "AllSelfAuthorized"),
        ("", "AllSelfAuthorized"),
    ],
)
def test_who_may_use_it(approved, policy):
    found = converted(oauth(approved))[OAUTH_POLICY]
    assert found["permittedUsersPolicyType"] == policy


@pytest.mark.parametrize(
    ("pkce", "required"),
    [("", "false"), ("<isPkceRequired>true</isPkceRequired>", "true")],
)
def test_silence_about_pkce_keeps_its_meaning(pkce, required):
    assert converted(oauth(pkce))[GLOBAL]["isPkceRequired"] == required


def test_scopes_are_one_list():
    scopes = [f"<scopes>{s}</scopes>" for s in ("Api", " RefreshToken ", "SFAP")]
    found = converted(oauth(*scopes))[SETTINGS]
    assert found["commaSeparatedOauthScopes"] == "Api, RefreshToken, SFApiPlatform"
    assert "commaSeparatedOauthScopes" not in converted(oauth())[SETTINGS]


def test_client_credentials_are_said_in_two_places():
    found = converted(
        oauth(
            "<isClientCredentialEnabled>true</isClientCredentialEnabled>",
            "<oauthClientCredentialUser>run@acme.example</oauthClientCredentialUser>",
        )
    )
    assert found[GLOBAL]["isClientCredentialsFlowEnabled"] == "true"
    assert found[OAUTH_POLICY]["isClientCredentialsFlowEnabled"] == "true"
    assert found[OAUTH_POLICY]["clientCredentialsFlowUser"] == "run@acme.example"


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ("infinite", ("Infinite", None, None)),
        ("zero", ("Zero", None, None)),
        ("specific_lifetime:8:HOURS", ("SpecificLifetime", "8", "Hours")),
        ("specific_inactivity:30:DAYS", ("SpecificInactivity", "30", "Days")),
        ("another", ("another", None, None)),
    ],
)
def test_policies_of_refresh_tokens(policy, found):
    said_ = converted(
        app(
            "<oauthPolicy>",
            "<ipRelaxation>BYPASS</ipRelaxation>",
            f"<refreshTokenPolicy>{policy}</refreshTokenPolicy>",
            "</oauthPolicy>",
        )
    )[OAUTH_POLICY]
    names = ("PolicyType", "ValidityPeriod", "ValidityUnit")
    assert tuple(said_.get(f"refreshToken{n}") for n in names) == found
    assert said_["ipRelaxationPolicyType"] == "Bypass"


def test_an_ip_relaxation_that_nobody_knows_stays_for_the_rules_to_tell():
    text = "<oauthPolicy><ipRelaxation>ODD</ipRelaxation></oauthPolicy>"
    assert converted(app(text))[OAUTH_POLICY]["ipRelaxationPolicyType"] == "ODD"


def test_holders_become_lists():
    found = converted(
        app(
            "<permissionSetName>A</permissionSetName>",
            "<permissionSetName>B</permissionSetName>",
            "<profileName/>",
        )
    )[OAUTH_POLICY]
    assert found["commaSeparatedPermissionSet"] == "A,B"
    assert found["commaSeparatedProfile"] is None
    assert "permittedUsersPolicyType" not in found


def test_structs_keep_what_they_hold():
    found = converted(
        app(
            "<attributes><formula>$User.Id</formula><key>id</key></attributes>",
            "<ipRanges><description>office</description><end>10.0.0.9</end>"
            "<start>10.0.0.1</start><new>?</new></ipRanges>",
        )
    )[SETTINGS]
    assert found["trustedIpRanges/startIpAddress"] == "10.0.0.1"
    assert found["trustedIpRanges/endIpAddress"] == "10.0.0.9"
    assert found["customAttributes/key"] == "id"
    assert "trustedIpRanges/new" not in found


def test_what_has_no_place_is_told_with_its_line():
    made = convert(
        oauth(
            "<consumerSecret>canary</consumerSecret>",
            "<idTokenConfig><idTokenValidity>5</idTokenValidity></idTokenConfig>",
        )
    )
    assert made.lost == ()  # a secret goes nowhere: metadeploy derives them
    assert b"canary" not in b"".join(c.body for c in made.components)
    lost = convert(
        app(
            "<startUrl>https://a.example</startUrl>",
            "<samlConfig>",
            "<acsUrl>https://a.example</acsUrl>",
            "</samlConfig>",
            "<oauthPolicy>",
            "<odd>1</odd>",
            "</oauthPolicy>",
        )
    ).lost
    assert ("samlConfig", "templates/p.j2", 5) in [
        (one.element, one.path, one.line) for one in lost
    ]
    assert "oauthPolicy.odd" in [one.element for one in lost]


def test_each_line_knows_its_template_line():
    made = {c.ref.type: c for c in convert(oauth("<scopes>Api</scopes>")).components}
    rows = made[SETTINGS].body.decode().splitlines()
    (at,) = (n for n, row in enumerate(rows, 1) if "OauthScopes" in row)
    assert made[SETTINGS].source.locate(at) == ("templates/p.j2", 6)


def test_an_app_without_a_source():
    bare = Component(APP, app().body)
    assert convert(bare).components[0].source.path == "ConnectedApp Portal"


def test_what_is_no_xml():
    with pytest.raises(XmlError):
        convert(Component(APP, b"<a>"))


def test_files_of_other_kinds_are_of_no_external_app():
    assert app_of(app()) is None
    assert app_of(Component(Ref("Profile", "Admin"), b"<Profile/>")) is None


def test_what_only_one_org_may_hold_is_left_out():
    text = (
        f'<ExternalClientApplication xmlns="{METADATA_NS}">\n'
        "    <distributionState>Local</distributionState>\n"
        "    <label>Portal</label>\n"
        "    <orgScopedExternalApp>00D:Portal</orgScopedExternalApp>\n"
        "    <zzz>1</zzz>\n"
        "</ExternalClientApplication>\n"
    )
    header = Component(Ref(HEADER, "Portal"), text.encode(), LINES)
    bare = strip_org_bound(header)
    assert b"00D:Portal" not in bare.body
    rows = bare.body.decode().splitlines()
    # Every line still knows where it came from, also below what went away.
    for name, line in (("<label>", 3), ("<zzz>", 5)):
        (at,) = (n for n, row in enumerate(rows, 1) if name in row)
        assert bare.source.locate(at) == ("templates/p.j2", line)
    assert strip_org_bound(Component(header.ref, header.body)).source is None


def test_what_every_org_may_hold_stays():
    plain = convert(oauth()).components[0]
    assert strip_org_bound(plain) is plain
    assert strip_org_bound(app()).body == app().body
    assert externalapp.ORG_BOUND[HEADER] == "orgScopedExternalApp"
