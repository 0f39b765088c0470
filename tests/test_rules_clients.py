"""Rules for External Client Apps and the files that belong to them."""

from __future__ import annotations

import pytest
from rule_files import app, component, found

from metadeploy.model import Component, Ref

PARENT = component(Ref("ExternalClientApplication", "Portal"))
POLICY = Ref("ExtlClntAppOauthConfigurablePolicies", "Portal_oauthPlcy")
SETTINGS = Ref("ExtlClntAppOauthSettings", "Portal_oauth")
GLOBAL = Ref("ExtlClntAppGlobalOauthSettings", "Portal_glbl")


def satellite(ref: Ref, *lines: str, parent: str = "Portal") -> Component:
    """A file that belongs to an app; `lines` are from line 3."""
    name = f"<externalClientApplication>{parent}</externalClientApplication>"
    return component(ref, name, *lines)


def _rule(problem: str) -> str:
    return problem.rpartition("[")[2]


@pytest.mark.parametrize(
    ("ref", "line", "message"),
    [
        (
            SETTINGS,
            "<commaSeparatedOauthScopes>Api, RefreshToken,SFApiPlatform"
            "</commaSeparatedOauthScopes>",
            "",
        ),
        (
            SETTINGS,
            "<commaSeparatedOauthScopes>Api,,api</commaSeparatedOauthScopes>",
            "commaSeparatedOauthScopes has an empty place in 'Api,,api' [MD402]\n"
            "3: commaSeparatedOauthScopes may not list 'api'; did you mean Api? "
            "[MD111]",
        ),
        (
            SETTINGS,
            "<commaSeparatedOauthScopes>Api,?</commaSeparatedOauthScopes>",
            "commaSeparatedOauthScopes may not list '?' [MD111]",
        ),
        (
            SETTINGS,
            "<scopes>Api</scopes>",
            "ExtlClntAppOauthSettings has no element scopes [MD103]",
        ),
        (
            POLICY,
            "<commaSeparatedProfile>Admin,Admin</commaSeparatedProfile>",
            "commaSeparatedProfile lists 'Admin' twice [MD115]",
        ),
        (
            POLICY,
            "<ipRelaxationPolicyType>ENFORCE</ipRelaxationPolicyType>",
            "ipRelaxationPolicyType may not be 'ENFORCE'; did you mean Enforce? "
            "[MD111]",
        ),
        (
            POLICY,
            "<sessionTimeoutInMinutes>0</sessionTimeoutInMinutes>",
            "sessionTimeoutInMinutes is 0; it has to be 1 or more [MD208]",
        ),
        (
            POLICY,
            "<refreshTokenPolicyType>SpecificLifetime</refreshTokenPolicyType>",
            "refreshTokenPolicyType SpecificLifetime needs "
            "refreshTokenValidityPeriod [MD405]\n"
            "3: refreshTokenPolicyType SpecificLifetime needs "
            "refreshTokenValidityUnit [MD405]",
        ),
        (POLICY, "<refreshTokenPolicyType>Zero</refreshTokenPolicyType>", ""),
        (
            POLICY,
            "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>",
            "isClientCredentialsFlowEnabled is true without "
            "clientCredentialsFlowUser [MD210]",
        ),
        (
            GLOBAL,
            "<shouldRotateConsumerKey>true</shouldRotateConsumerKey>",
            "warning: shouldRotateConsumerKey is true [MD406]",
        ),
        (GLOBAL, "<shouldRotateConsumerKey>false</shouldRotateConsumerKey>", ""),
        (
            GLOBAL,
            "<callbackUrl>http://a.example.com</callbackUrl>",
            "callbackUrl 'http://a.example.com' has to use https, since it is not "
            "localhost [MD202]",
        ),
        (
            GLOBAL,
            "<consumerSecret>abcdefgh</consumerSecret>",
            "consumerSecret does not belong in a template or an org file [MD206]",
        ),
    ],
)
def test_values_of_a_satellite(ref: Ref, line: str, message: str) -> None:
    wanted = f"3: {message}".split("\n") if message else []
    assert found(PARENT, satellite(ref, line)) == sorted(wanted, key=_rule)


def test_a_limited_refresh_token_with_its_validity() -> None:
    given = satellite(
        POLICY,
        "<refreshTokenPolicyType>SpecificLifetime</refreshTokenPolicyType>",
        "<refreshTokenValidityPeriod>30</refreshTokenValidityPeriod>",
        "<refreshTokenValidityUnit>Days</refreshTokenValidityUnit>",
    )
    assert found(PARENT, given) == []


def test_a_client_credentials_flow_with_its_user() -> None:
    given = satellite(
        POLICY,
        "<clientCredentialsFlowUser>a@example.com</clientCredentialsFlowUser>",
        "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>",
    )
    assert found(PARENT, given) == []


def test_a_satellite_names_its_app() -> None:
    assert found(satellite(SETTINGS)) == [
        "2: warning: there is no ExternalClientApplication 'Portal' here [MD401]"
    ]
    assert found(PARENT, satellite(SETTINGS, parent="Portl")) == [
        "2: warning: there is no ExternalClientApplication 'Portl' here; did you mean "
        "Portal? [MD401]"
    ]
    assert found(PARENT, component(SETTINGS)) == [
        "1: ExtlClntAppOauthSettings lacks the required element "
        "externalClientApplication [MD108]"
    ]


def test_an_app_has_each_kind_of_settings_once() -> None:
    second = Ref(SETTINGS.type, "Portal_second")
    given = (PARENT, satellite(SETTINGS), satellite(POLICY), satellite(second))
    assert found(*given) == [
        "2: 'Portal' has a ExtlClntAppOauthSettings already: Portal_oauth [MD403]"
    ]


def test_an_app_is_of_one_kind() -> None:
    assert found(app(), PARENT) == ["1: Portal is a ConnectedApp as well [MD404]"]


def test_an_app_has_128_trusted_ranges() -> None:
    ranges = [
        f"<trustedIpRanges><endIpAddress>10.0.0.{n}</endIpAddress>"
        f"<startIpAddress>10.0.0.{n}</startIpAddress></trustedIpRanges>"
        for n in range(129)
    ]
    assert found(PARENT, satellite(SETTINGS, *ranges[:128])) == []
    assert found(PARENT, satellite(SETTINGS, *ranges)) == [
        "131: there are 129 trustedIpRanges; 128 are allowed [MD407]"
    ]
