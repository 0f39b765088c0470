"""--policy isv: what Salesforce asks of vendors' apps, and whom it exempts."""

from __future__ import annotations

import pytest
from rule_files import app, component

from metadeploy import rules
from metadeploy.model import Component, Ref
from metadeploy.project import Project

WEB = "https://a.example.com/cb"
SUCCESS = "https://login.salesforce.com/services/oauth2/success"
LOCAL = "http://localhost:1717/OauthRedirect"
RANGE = "<ipRanges><end>203.0.113.9</end><start>203.0.113.0</start></ipRanges>"
PKCE = "<isPkceRequired>true</isPkceRequired>"
ROTATES = "<isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>"
SERVER = "<isClientCredentialEnabled>true</isClientCredentialEnabled>"
REFRESH = "<scopes>RefreshToken</scopes>"
RULES = {
    "MD801": "Portal does not require PKCE",
    "MD802": "refresh tokens of Portal are not rotated",
    "MD803": "refresh tokens of Portal may go unused without end",
    "MD804": "refresh tokens of Portal count from any IP address",
}


def connected(
    *lines: str,
    url: str = WEB,
    refresh: str = "specific_inactivity:30:DAYS",
    ip: str = "ENFORCE",
    ranges: str = RANGE,
) -> Component:
    return app(
        ranges,
        "<oauthConfig>",
        f"<callbackUrl>{url}</callbackUrl>",
        "<isAdminApproved>true</isAdminApproved>",
        *lines,
        "</oauthConfig>",
        "<oauthPolicy>",
        f"<ipRelaxation>{ip}</ipRelaxation>",
        f"<refreshTokenPolicy>{refresh}</refreshTokenPolicy>" if refresh else "",
        "</oauthPolicy>",
    )


def part(kind: str, *lines: str) -> Component:
    parent = "<externalClientApplication>Portal</externalClientApplication>"
    return component(Ref(kind, f"Portal_{kind}"), parent, *lines)


def client(
    keys: str = ROTATES,
    policy: str = "<refreshTokenPolicyType>SpecificInactivity</refreshTokenPolicyType>"
    "<refreshTokenValidityPeriod>30</refreshTokenValidityPeriod>"
    "<refreshTokenValidityUnit>Days</refreshTokenValidityUnit>",
    ranges: str = "<trustedIpRanges><endIpAddress>203.0.113.9</endIpAddress>"
    "<startIpAddress>203.0.113.0</startIpAddress></trustedIpRanges>",
    url: str = WEB,
) -> tuple[Component, ...]:
    listed = "<commaSeparatedOauthScopes>Api, RefreshToken</commaSeparatedOauthScopes>"
    return (
        component(Ref("ExternalClientApplication", "Portal")),
        part(
            "ExtlClntAppGlobalOauthSettings", f"<callbackUrl>{url}</callbackUrl>", keys
        ),
        part("ExtlClntAppOauthSettings", listed, ranges),
        part("ExtlClntAppOauthConfigurablePolicies", policy),
    )


def found(*components: Component) -> dict[str, str]:
    problems = rules.check_posture(components, policies=["isv"])
    assert len({p.rule for p in problems}) == len(problems)
    return {p.rule: p.message for p in problems}


def test_nothing_is_asked_without_the_policy() -> None:
    assert rules.check_posture([connected(REFRESH, refresh="infinite")]) == []


def test_an_app_that_has_it_all() -> None:
    assert found(connected(PKCE, ROTATES, REFRESH)) == {}
    assert found(*client()) == {}


def test_an_app_that_has_nothing() -> None:
    assert found(connected(REFRESH, refresh="infinite", ranges="")) == RULES
    off = "<isPkceRequired>false</isPkceRequired>"
    never = "<refreshTokenPolicyType>Infinite</refreshTokenPolicyType>"
    assert found(*client(off, never, "")) == RULES
    # What the org makes by itself: PKCE, and refresh tokens for 365 days.
    made = {k: v for k, v in RULES.items() if k != "MD801"}
    assert found(*client("", "", "")) == made


def test_each_problem_names_its_line() -> None:
    given = connected(REFRESH, refresh="infinite", ranges="")
    problems = rules.check_posture([given], policies=["isv"])
    assert [(p.line, p.rule) for p in problems] == [
        (5, "MD801"),
        (5, "MD802"),
        (5, "MD804"),
        (12, "MD803"),
    ]
    assert all(p.severity == "error" for p in problems)


@pytest.mark.parametrize(
    ("policy", "idle"),
    [
        ("zero", None),
        ("specific_inactivity:30:DAYS", None),
        ("specific_inactivity:720:HOURS", None),
        ("specific_lifetime:8:HOURS", None),
        ("specific_inactivity:31:DAYS", "for 31 days"),
        ("specific_inactivity:721:HOURS", "for 721 hours"),
        ("specific_inactivity:1:MONTHS", "for 1 month"),
        ("specific_lifetime:365:DAYS", "for 365 days"),
        ("infinite", "without end"),
        ("", "without end"),
        ("specific_lifetime:x:DAYS", None),  # MD207
        ("specific_lifetime:9:YEARS", None),
    ],
)
def test_refresh_tokens_end_when_unused(policy, idle) -> None:
    told = found(connected(PKCE, ROTATES, REFRESH, refresh=policy))
    text = f"refresh tokens of Portal may go unused {idle}"
    assert told == ({"MD803": text} if idle else {})


@pytest.mark.parametrize(
    ("url", "exempt"),
    [
        (WEB, False),
        (SUCCESS, True),
        (LOCAL, True),
        ("https://acme.my.salesforce.com/cb", True),
        ("myapp://callback", True),
        (f"{LOCAL}\nmyapp:/cb", True),
        (f"{LOCAL}\n{WEB}", False),
        ("https://salesforce.com.example.com/cb", False),
        ("https://[bad/cb", False),
    ],
)
def test_some_callbacks_need_no_list_of_addresses(url, exempt) -> None:
    told = found(connected(PKCE, ROTATES, REFRESH, url=url, ranges=""))
    assert told == ({} if exempt else {"MD804": RULES["MD804"]})
    assert found(*client(url=url, ranges="")) == told


def test_ranges_that_are_bypassed() -> None:
    told = {"MD804": "the IP ranges of Portal do not count while they are bypassed"}
    assert found(connected(PKCE, ROTATES, REFRESH, ip="BYPASS")) == told
    assert found(connected(PKCE, ROTATES, REFRESH, ip="BYPASS_2FACTOR")) == {}
    relaxed = part(
        "ExtlClntAppOauthConfigurablePolicies",
        "<ipRelaxationPolicyType>Bypass</ipRelaxationPolicyType>"
        "<refreshTokenPolicyType>Zero</refreshTokenPolicyType>",
    )
    assert found(*client()[:3], relaxed) == told


def test_a_security_file_stands_for_the_list() -> None:
    kept = part("ExtlClntAppOauthSecuritySettings")
    assert found(*client(ranges=""), kept) == {}


def test_an_app_that_takes_no_codes_is_exempt() -> None:
    certificate = "<certificate>x</certificate>"
    for own in (SERVER, certificate):
        assert found(connected(own, url=SUCCESS, refresh="infinite", ranges="")) == {}
        assert found(connected(own, url=LOCAL, refresh="infinite", ranges="")) == {}
        # Codes could arrive there.
        assert set(found(connected(own, ranges=""))) == {"MD801"}
        assert set(found(connected(own, REFRESH, url=SUCCESS))) == {"MD801", "MD802"}
    # No flow of its own: it must be there for codes.
    assert set(found(connected(url=LOCAL))) == {"MD801"}


TEMPLATE = "templates/connectedApps/Portal.connectedApp.j2"


def test_an_org_file_asks_for_it() -> None:
    texts = {
        TEMPLATE: connected(ROTATES, REFRESH).body.decode(),
        "orgs/dev.yaml": "kind: emulated\n",
        "orgs/prod.yaml": "kind: emulated\npolicy: [isv]\n",
    }
    project = Project(texts)
    assert [p.rule for p in project.validate(["dev"])] == ["MD304"]
    told = project.validate(["prod"])
    assert [p.rule for p in told] == ["MD801", "MD304"]
    assert project.validate(["dev"], policies=["isv"]) == told
    by_default = {**texts, "orgs/defaults.yaml": "policy: [isv]\n"}
    assert Project(by_default).validate(["dev"]) == told


def test_a_policy_that_nobody_knows() -> None:
    (problem,) = Project({"orgs/dev.yaml": "kind: emulated\npolicy: [isw]\n"}).validate(
        ["dev"]
    )
    assert str(problem) == (
        "orgs/dev.yaml:2: policy.0 cannot be 'isw': one of isv [MD010]"
    )
