"""External Client Apps in an org: what it generates, keeps, hides and refuses."""

from __future__ import annotations

import pytest
from deployer import XMLNS, Deployer, app, eca, manifest, permission_set, row_of

from metadeploy import schema
from metadeploy.emulator import apps, records
from metadeploy.emulator.externalapps import (
    OAUTH_POLICY,
    POLICY,
    SATELLITES,
    replace_credentials,
    satellite,
)
from metadeploy.emulator.jobs import DeployOptions
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref

HEADER = Ref("ExternalClientApplication", "Ext")
GLOBAL = "extlClntAppGlobalOauthSets/Ext_glbl.ecaGlblOauth"
POLICY_PATH = "extlClntAppOauthPolicies/{}.ecaOauthPlcy"
GENERATED = "Ext_oauth_defaultPolicy"


@pytest.fixture
def deployer(org: OrgState) -> Deployer:
    return Deployer(org)


def policy(content: str = "", name: str = GENERATED) -> dict[str, str]:
    parent = "<externalClientApplication>Ext</externalClientApplication>"
    text = f"<{OAUTH_POLICY} {XMLNS}>{content}{parent}</{OAUTH_POLICY}>"
    return {POLICY_PATH.format(name): text}


def oauth(deployer: Deployer) -> apps.OauthApp:
    found = apps.oauth_app(deployer.org, HEADER)
    assert found
    return found


def test_an_app_comes_with_policies_under_names_of_the_org(deployer: Deployer) -> None:
    job = deployer.deploy(eca("Ext", key="extkey123"))
    assert {r.full_name for r in job.rows if r.created} == {
        "Ext",
        "Ext_glbl",
        "Ext_oauth",
    }
    assert [c.ref.full_name for c in deployer.org.components(OAUTH_POLICY)] == [
        GENERATED
    ]
    assert [c.ref.full_name for c in deployer.org.components(POLICY)] == [
        "Ext_defaultPolicy"
    ]
    found = oauth(deployer)
    assert found.consumer_key == "extkey123"
    assert found.scopes == {"api", "refresh_token"}
    assert (found.pkce_required, found.admin_approved, found.blocked) == (
        True,
        False,
        False,
    )
    assert [a.ref for a in apps.oauth_apps(deployer.org)] == [HEADER]
    (record,) = deployer.org.records("ExternalClientApplication")
    assert record["OrgScopedExternalApp"] == f"{deployer.org.id}:Ext"
    (record,) = deployer.org.records("ExtlClntAppOauthPlcyCnfg")
    assert record["PermittedUsersPolicyType"] == "AllSelfAuthorized"


def test_a_policy_in_the_same_package_keeps_its_name(deployer: Deployer) -> None:
    assert deployer.deploy({**eca("Ext"), **policy(name="Ext_mine")}).success
    assert [c.ref.full_name for c in deployer.org.components(OAUTH_POLICY)] == [
        "Ext_mine"
    ]


def test_another_name_than_the_known_one_is_refused(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext"))
    assert deployer.problem(policy(name="Ext_oauthPlcy")) == (
        "duplicate value found: ExternalClientApplicationId duplicates value on"
        f" {GENERATED}"
    )
    assert deployer.deploy(policy()).success


def test_another_key_is_ignored_without_a_word(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext", key="firstkey1"))
    assert deployer.deploy(eca("Ext", key="otherkey1")).status == "Succeeded"
    file = deployer.retrieve({"ExtlClntAppGlobalOauthSettings": ("*",)})[GLOBAL]
    assert "<consumerKey>firstkey1</consumerKey>" in file


def test_keys_are_unique_with_those_of_connected_apps(deployer: Deployer) -> None:
    deployer.deploy({"connectedApps/A.connectedApp": app(key="sharedkey")})
    assert deployer.problem(eca("Ext", key="sharedkey")) == (
        "The consumer key is already taken"
    )


def test_an_org_may_take_no_keys(world: World) -> None:
    deployer = Deployer(world.create_org("x", OrgSettings(eca_consumer_keys=False)))
    problem = deployer.problem(eca("Ext", key="firstkey1"))
    assert problem == "You cannot provide a Consumer Key"
    assert deployer.deploy(eca("Ext")).success
    assert oauth(deployer).consumer_key.startswith("3MVG9")


def test_a_certificate_left_out_is_cleared_and_never_comes_back(
    deployer: Deployer,
) -> None:
    deployer.deploy(eca("Ext", more="<certificate>PEM</certificate>"))
    assert oauth(deployer).certificate == "PEM"
    file = deployer.retrieve({"ExtlClntAppGlobalOauthSettings": ("Ext_glbl",)})[GLOBAL]
    assert "certificate" not in file
    assert "consumerSecret" not in file
    job = deployer.deploy({GLOBAL: eca("Ext")[GLOBAL]})
    assert row_of(job, "Ext_glbl").changed
    assert oauth(deployer).certificate == ""


def test_rotation_on_deploy_needs_warnings_ignored(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext", key="firstkey1"))
    before = oauth(deployer)
    more = (
        "<shouldRotateConsumerKey>true</shouldRotateConsumerKey>"
        "<shouldRotateConsumerSecret>true</shouldRotateConsumerSecret>"
    )
    refused = deployer.deploy({GLOBAL: eca("Ext", more=more)[GLOBAL]})
    assert row_of(refused, "Ext_glbl").problem_type == "Warning"
    assert oauth(deployer) == before
    rotated = deployer.deploy(
        {GLOBAL: eca("Ext", more=more)[GLOBAL]}, DeployOptions(ignore_warnings=True)
    )
    assert rotated.success
    after = oauth(deployer)
    assert after.consumer_key != before.consumer_key
    assert after.consumer_secret != before.consumer_secret
    world = deployer.org.world
    assert world.org_of_consumer_key("firstkey1") is None
    assert world.org_of_consumer_key(after.consumer_key) == (deployer.org, HEADER)


def test_staged_credentials_can_take_over(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext", key="firstkey1"))
    admin = admin_of(deployer.org)
    replace_credentials(deployer.org, "Ext", key="stagedkey", by=admin)
    assert oauth(deployer).consumer_key == "stagedkey"
    secret = oauth(deployer).consumer_secret
    replace_credentials(deployer.org, "Ext", secret="stagedsecret", by=admin)
    assert oauth(deployer).consumer_secret == "stagedsecret" != secret
    with pytest.raises(KeyError):
        replace_credentials(deployer.org, "Nobody", by=admin)


def test_the_policy_says_who_may_use_the_app(deployer: Deployer) -> None:
    org = deployer.org
    deployer.deploy({**eca("Ext"), "permissionsets/P.permissionset": permission_set()})
    admin = org.record("User", admin_of(org))
    assert admin
    approved = (
        "<permittedUsersPolicyType>AdminApprovedPreAuthorized"
        "</permittedUsersPolicyType>"
    )
    names = (
        "<commaSeparatedPermissionSet>P</commaSeparatedPermissionSet>"
        "<commaSeparatedProfile>System Administrator</commaSeparatedProfile>"
    )
    token = org.issue_token(str(admin["Id"]), app=HEADER)
    assert deployer.deploy(policy(names + approved)).success
    assert org.world.org_of_token(token) is None
    assert oauth(deployer).admin_approved
    assert apps.may_use(org, oauth(deployer), admin)
    path = POLICY_PATH.format(GENERATED)
    members = {OAUTH_POLICY: (GENERATED,)}
    assert names in deployer.retrieve(members)[path].replace("\n    ", "")
    assert {r["SetupEntityType"] for r in org.records("SetupEntityAccess")} == {
        "ExternalClientApplication"
    }
    assert deployer.deploy(policy(approved)).success
    assert apps.may_use(org, oauth(deployer), admin)
    only_set = "<commaSeparatedPermissionSet>P</commaSeparatedPermissionSet>"
    assert deployer.deploy(policy(only_set + approved)).success
    assert not apps.may_use(org, oauth(deployer), admin)
    assert len(org.records("SetupEntityAccess")) == 1
    cleared = "<commaSeparatedPermissionSet></commaSeparatedPermissionSet>"
    assert deployer.deploy(policy(cleared + approved)).success
    assert org.records("SetupEntityAccess") == []


def test_permission_sets_may_be_named_by_id(deployer: Deployer) -> None:
    deployer.deploy({**eca("Ext"), "permissionsets/P.permissionset": permission_set()})
    component = deployer.org.component(Ref("PermissionSet", "P"))
    assert component
    by_id = f"<commaSeparatedPermissionSet>{component.id}</commaSeparatedPermissionSet>"
    assert deployer.deploy(policy(by_id)).success
    assert len(deployer.org.records("SetupEntityAccess")) == 1
    unknown = "<commaSeparatedProfile>Nobody</commaSeparatedProfile>"
    assert deployer.problem(policy(unknown)) == (
        "In field: commaSeparatedProfile - no Profile named Nobody found"
    )


def test_lifetimes_and_flows_of_a_policy(deployer: Deployer) -> None:
    flow = "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"
    deployer.deploy(eca("Ext", more=flow))
    content = (
        "<clientCredentialsFlowUser>integration@dev.emulated</clientCredentialsFlowUser>"
        + flow
        + "<ipRelaxationPolicyType>Bypass_2factor</ipRelaxationPolicyType>"
        "<refreshTokenPolicyType>SpecificInactivity</refreshTokenPolicyType>"
        "<refreshTokenValidityPeriod>12</refreshTokenValidityPeriod>"
        "<refreshTokenValidityUnit>Hours</refreshTokenValidityUnit>"
        "<sessionTimeoutInMinutes>15</sessionTimeoutInMinutes>"
    )
    assert deployer.deploy(policy(content)).success
    found = oauth(deployer)
    assert found.client_credentials_enabled
    assert found.client_credential_user == "integration@dev.emulated"
    assert found.ip_relaxation == "BYPASS_2FACTOR"
    assert found.refresh_policy == apps.RefreshPolicy(12 * 3600.0, inactivity=True)
    assert found.session_minutes == 15
    missing = "<refreshTokenPolicyType>SpecificLifetime</refreshTokenPolicyType>"
    assert deployer.problem(policy(missing)) == (
        "Required field is missing: refreshTokenValidityPeriod"
    )
    nobody = "<clientCredentialsFlowUser>x@example.com</clientCredentialsFlowUser>"
    assert deployer.problem(policy(nobody)) == (
        "In field: clientCredentialsFlowUser - no User named x@example.com found"
    )


def test_a_disabled_app_is_blocked(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext"))
    text = (
        f"<{POLICY} {XMLNS}><externalClientApplication>Ext</externalClientApplication>"
        f"<isEnabled>false</isEnabled></{POLICY}>"
    )
    path = "extlClntAppPolicies/Ext_defaultPolicy.ecaPlcy"
    assert deployer.deploy({path: text}).success
    assert oauth(deployer).blocked


def test_satellites_need_their_app(deployer: Deployer) -> None:
    assert deployer.problem({GLOBAL: eca("Ext")[GLOBAL]}) == (
        "In field: externalClientApplication - no ExternalClientApplication named Ext"
        " found"
    )


def test_scopes_are_one_list(deployer: Deployer) -> None:
    path = "extlClntAppOauthSettings/Ext_oauth.ecaOauth"
    files = eca("Ext")
    wrong = {**files, path: files[path].replace("Api,RefreshToken", "Api,api")}
    assert "'api' is not a valid value" in deployer.problem(wrong)
    platform = {**files, path: files[path].replace("Api,", "SFApiPlatform, ")}
    assert deployer.deploy(platform).success
    assert oauth(deployer).scopes == {"sfap_api", "refresh_token"}


def test_a_link_of_ones_own_org_is_accepted(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext"))
    members = {"ExtlClntAppOauthSettings": ("Ext_oauth",)}
    path = "extlClntAppOauthSettings/Ext_oauth.ecaOauth"
    file = deployer.retrieve(members)[path]
    assert f"<oauthLink>{deployer.org.id}:888" in file
    assert deployer.deploy({path: file}).success


def test_deleting_the_app_deletes_everything(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext", key="firstkey1"))
    org = deployer.org
    job = deployer.deploy(
        {
            "package.xml": manifest({}),
            "destructiveChanges.xml": manifest({HEADER.type: ("Ext",)}),
        }
    )
    assert job.success
    assert org.component_types() == ["Profile"]
    for name in ("ExternalClientApplication", "ExtlClntAppOauthPlcyCnfg"):
        assert org.records(name) == []
    assert org.world.org_of_consumer_key("firstkey1") is None
    assert satellite(org, OAUTH_POLICY, "Ext") is None
    assert deployer.deploy(eca("Ext", key="firstkey1")).success


def test_access_can_be_given_by_row(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext"))
    org = deployer.org
    component = org.component(HEADER)
    user = org.record("User", admin_of(org))
    assert component and user
    shadow = records.shadow_of(org, str(user["ProfileId"]))
    assert shadow
    values = {"ParentId": shadow["Id"], "SetupEntityId": component.id}
    org.create_record("SetupEntityAccess", values, as_user=str(user["Id"]))
    assert apps.may_use(org, oauth(deployer), user)


def test_other_satellites_are_kept_with_their_app(deployer: Deployer) -> None:
    deployer.deploy(eca("Ext"))
    kind = "ExtlClntAppNotificationSettings"
    path = "extlClntAppNotifSettings/Ext_notify.ecaNotifications"
    parent = "<externalClientApplication>Ext</externalClientApplication>"
    assert deployer.deploy({path: f"<{kind} {XMLNS}>{parent}</{kind}>"}).success
    assert satellite(deployer.org, kind, "Ext")


def test_an_oauth_plugin_must_be_there_to_be_switched_on(deployer: Deployer) -> None:
    files = eca("Ext")
    header = {k: v for k, v in files.items() if k.startswith("externalClientApps")}
    deployer.deploy(header)
    text = (
        f"<{POLICY} {XMLNS}><externalClientApplication>Ext</externalClientApplication>"
        f"<isEnabled>true</isEnabled><isOauthPluginEnabled>true</isOauthPluginEnabled>"
        f"</{POLICY}>"
    )
    path = "extlClntAppPolicies/Ext_defaultPolicy.ecaPlcy"
    assert deployer.problem({path: text}) == "Invalid plugin settings"
    assert deployer.deploy(files).success
    assert deployer.deploy({path: text}).success


def test_keys_are_well_formed_and_lists_bounded(deployer: Deployer) -> None:
    assert deployer.problem(eca("Ext", key="short")).startswith("Invalid consumerKey")
    path = "extlClntAppOauthSettings/Ext_oauth.ecaOauth"
    files = eca("Ext")
    ranges = "".join(
        f"<trustedIpRanges><endIpAddress>10.0.0.{n}</endIpAddress><startIpAddress>"
        f"10.0.0.{n}</startIpAddress></trustedIpRanges>"
        for n in range(129)
    )
    wide = files[path].replace("</ExtlClntAppOauthSettings>", ranges + "</Extl")
    wide = wide.removesuffix("</Extl") + "</ExtlClntAppOauthSettings>"
    assert deployer.problem({**files, path: wide}) == "Invalid plugin settings"


def test_the_satellites_are_those_of_the_table() -> None:
    kinds = [name for name in schema.metadata_types() if name.startswith("ExtlClnt")]
    assert list(SATELLITES) == kinds
