"""Connected apps in an org: keys, what comes back, who has access."""

from __future__ import annotations

import pytest
from deployer import Deployer, app, eca, manifest, permission_set, row_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadeploy import schema
from metadeploy.emulator import apps, records
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.tree import parse, subtree, text, texts, tree_of
from metadeploy.model import Ref

PATH = "connectedApps/Portal.connectedApp"
REF = Ref("ConnectedApp", "Portal")
SCOPES = schema.enum("ConnectedAppOauthAccessScope") or ()
SETS = {
    "permissionsets/P.permissionset": permission_set(),
    "permissionsets/Q.permissionset": permission_set(label="Q"),
}


@pytest.fixture
def deployer(org: OrgState) -> Deployer:
    return Deployer(org)


def retrieved(deployer: Deployer, version: float = 66.0) -> str:
    return deployer.retrieve({"ConnectedApp": ("Portal",)}, version=version)[PATH]


def key_of(deployer: Deployer) -> str:
    tree = tree_of(parse(retrieved(deployer).encode()))
    return text(tree, "oauthConfig", "consumerKey")


def test_a_new_app_gets_a_key_and_a_secret_of_its_own(
    deployer: Deployer, world: World
) -> None:
    job = deployer.deploy({PATH: app()})
    row = row_of(job, "Portal")
    assert (row.created, row.changed, row.success) == (True, True, True)
    assert row.id[:3] == "0H4"
    key = key_of(deployer)
    assert key.startswith("3MVG9")
    assert len(key) == 85
    assert world.org_of_consumer_key(key) == (deployer.org, REF)
    found = apps.oauth_app(deployer.org, REF)
    assert found
    assert len(found.consumer_secret) == 64


def test_a_key_and_secret_that_are_sent_are_taken(deployer: Deployer) -> None:
    assert deployer.deploy({PATH: app(key="mykey_123", secret="mysecret1")}).success
    found = apps.oauth_app(deployer.org, REF)
    assert found
    assert (found.consumer_key, found.consumer_secret) == ("mykey_123", "mysecret1")
    assert "mysecret1" not in retrieved(deployer)


@pytest.mark.parametrize("key", ["short", "with space 1", "x" * 257, "dash-dash-1"])
def test_a_malformed_key_is_refused(deployer: Deployer, key: str) -> None:
    assert deployer.problem({PATH: app(key=key)}).startswith("Invalid consumerKey")
    assert deployer.org.component(REF) is None


def test_an_update_keeps_the_key_and_takes_no_other(deployer: Deployer) -> None:
    deployer.deploy({PATH: app(key="firstkey", secret="firstsecret")})
    job = deployer.deploy({PATH: app(label="New")})
    assert (row_of(job, "Portal").created, job.success) == (False, True)
    assert key_of(deployer) == "firstkey"
    assert deployer.deploy({PATH: app(key="firstkey", label="New")}).success
    problem = deployer.problem({PATH: app(key="otherkey")})
    assert problem == "You cannot provide a Consumer Key"
    problem = deployer.problem({PATH: app(secret="othersecret")})
    assert problem == "You cannot provide a Consumer Secret"
    found = apps.oauth_app(deployer.org, REF)
    assert found
    assert found.consumer_secret == "firstsecret"


def test_a_deleted_app_frees_its_key(deployer: Deployer, world: World) -> None:
    deployer.deploy({PATH: app(key="firstkey")})
    other = Deployer(world.create_org("other"))
    assert other.problem({PATH: app(key="firstkey")}) == (
        "The consumer key is already taken"
    )
    gone = deployer.deploy(
        {
            "package.xml": manifest({}),
            "destructiveChangesPost.xml": manifest({"ConnectedApp": ("Portal",)}),
        }
    )
    assert row_of(gone, "Portal").deleted
    assert deployer.org.records("ConnectedApplication") == []
    assert other.deploy({PATH: app(key="firstkey")}).success


def test_a_failed_deploy_frees_the_key_it_took(deployer: Deployer) -> None:
    files = {PATH: app(key="firstkey"), "profiles/Admin.profile": "<Profile/>"}
    assert not deployer.deploy(files).success
    assert deployer.deploy({PATH: app(key="firstkey")}).success


def test_creation_can_be_blocked_while_updates_go_on(
    deployer: Deployer, world: World
) -> None:
    deployer.deploy({PATH: app()})
    blocked = OrgSettings(connected_app_creation="blocked")
    there = Deployer(world.configure_org("dev", blocked))
    assert there.deploy({PATH: app(label="New")}).success
    new = {"connectedApps/Other.connectedApp": app()}
    assert there.problem(new).startswith("You can't create a connected app.")
    assert there.deploy(eca("Ext")).success


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SCOPES), max_size=8))
def test_scopes_come_back_canonical_and_in_order(
    deployer: Deployer, names: list[str]
) -> None:
    config = "".join(f"<scopes>{name}</scopes>" for name in names)
    assert deployer.deploy({PATH: app(config=config)}).success
    tree = tree_of(parse(retrieved(deployer).encode()))
    got = texts(tree, "oauthConfig", "scopes")
    assert set(got) == {schema.canonical_scope(name) for name in names}
    assert got == sorted(got, key=SCOPES.index)


def test_what_comes_back_has_defaults_order_and_no_secret(deployer: Deployer) -> None:
    text_sent = app(
        secret="mysecret1",
        config="<scopes>Api</scopes>",
        top=("<description>R&amp;D 'x' \"y\"</description>"),
    )
    deployer.deploy({PATH: text_sent})
    file = retrieved(deployer)
    assert file.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<ConnectedApp xmlns'
    )
    assert (
        "    <description>R&amp;D &apos;x&apos; &quot;y&quot;</description>\n" in file
    )
    assert "<isSecretRequiredForRefreshToken>true</" in file
    assert "<isAdminApproved>false</" in file
    assert "<ipRelaxation>ENFORCE</" in file
    names = [line.split("<")[1].split(">")[0] for line in file.splitlines()[2:-1]]
    assert names.index("contactEmail") < names.index("description")
    assert "consumerSecret" not in names
    again = deployer.deploy({PATH: file})
    assert not row_of(again, "Portal").changed


def test_an_older_version_knows_less(deployer: Deployer) -> None:
    deployer.deploy({PATH: app(config="<scopes>Api</scopes>")})
    old = retrieved(deployer, version=45.0)
    assert "isPkceRequired" not in old
    assert "oauthPolicy" not in old
    assert "<consumerKey>" in old


def test_access_is_replaced_cleared_or_left(deployer: Deployer) -> None:
    def access(*names: str) -> str:
        return "".join(f"<permissionSetName>{n}</permissionSetName>" for n in names)

    def holders() -> set[str]:
        rows = deployer.org.records("SetupEntityAccess")
        sets = (deployer.org.record("PermissionSet", str(r["ParentId"])) for r in rows)
        return {str(s["Name"]) for s in sets if s}

    # The sets come with the app: one package is enough.
    assert deployer.deploy({**SETS, PATH: app(access=access("P", "Q"))}).success
    assert holders() == {"P", "Q"}
    assert deployer.deploy({PATH: app(access=access("Q"))}).success
    assert holders() == {"Q"}
    job = deployer.deploy({PATH: app(label="Other")})
    assert (job.success, holders()) == (True, {"Q"})
    job = deployer.deploy({PATH: app(access=access(""))})
    assert row_of(job, "Portal").changed
    assert holders() == set()


def test_profiles_are_named_as_people_see_them(deployer: Deployer) -> None:
    def access(name: str) -> str:
        return f"<profileName>{name}</profileName>"

    problem = deployer.problem({PATH: app(access=access("Admin"))})
    assert problem == "In field: profileName - no Profile named Admin found"
    assert deployer.deploy({PATH: app(access=access("System Administrator"))}).success
    assert access("System Administrator") in retrieved(deployer)
    (row,) = deployer.org.records("SetupEntityAccess")
    shadow = deployer.org.record("PermissionSet", str(row["ParentId"]))
    assert shadow
    assert shadow["IsOwnedByProfile"] is True
    assert row["SetupEntityType"] == "ConnectedApplication"


def test_a_name_twice_is_refused(deployer: Deployer) -> None:
    twice = "<profileName>Standard User</profileName>" * 2
    assert deployer.problem({PATH: app(access=twice)}) == (
        "Field:profileName, value:Standard User appears more than once"
    )


def test_rows_and_names_are_the_same_thing(deployer: Deployer) -> None:
    """A row made through the data API shows in the app's file, and the reverse."""
    org, admin = deployer.org, admin_of(deployer.org)
    approved = "<isAdminApproved>true</isAdminApproved>"
    deployer.deploy({**SETS, PATH: app(config=approved)})
    found = apps.oauth_app(org, REF)
    user = org.record("User", admin)
    assert found and user
    assert not apps.may_use(org, found, user)
    shadow = records.shadow_of(org, str(user["ProfileId"]))
    assert shadow
    values = {"ParentId": shadow["Id"], "SetupEntityId": found.id}
    row_id = org.create_record("SetupEntityAccess", values, as_user=admin)
    assert apps.may_use(org, found, user)
    assert "<profileName>System Administrator</profileName>" in retrieved(deployer)
    org.delete_record("SetupEntityAccess", row_id, as_user=admin)
    assert "profileName" not in retrieved(deployer)
    assert not apps.may_use(org, found, user)


def test_deleting_the_permission_set_removes_its_access(deployer: Deployer) -> None:
    access = "<permissionSetName>P</permissionSetName>"
    deployer.deploy({**SETS, PATH: app(access=access)})
    component = deployer.org.component(Ref("PermissionSet", "P"))
    assert component
    admin = admin_of(deployer.org)
    deployer.org.delete_record("PermissionSet", component.id, as_user=admin)
    assert deployer.org.records("SetupEntityAccess") == []
    assert "permissionSetName" not in retrieved(deployer)


def test_the_record_shows_label_and_policy_but_no_key(deployer: Deployer) -> None:
    policy = (
        "<oauthPolicy><ipRelaxation>ENFORCE</ipRelaxation><refreshTokenPolicy>"
        "specific_lifetime:30:DAYS</refreshTokenPolicy></oauthPolicy>"
    )
    config = "<isAdminApproved>true</isAdminApproved>"
    deployer.deploy({PATH: app(config=config, top=policy, label="Portal (EMEA)")})
    (record,) = deployer.org.records("ConnectedApplication")
    assert record["Name"] == "Portal (EMEA)"
    assert record["OptionsAllowAdminApprovedUsersOnly"] is True
    assert record["RefreshTokenValidityPeriod"] == 30
    assert "ConsumerKey" not in record


def test_a_plugin_user_who_is_not_there_is_dropped(deployer: Deployer) -> None:
    def with_user(name: str) -> str:
        return app(top=f"<pluginExecutionUser>{name}</pluginExecutionUser>")

    assert deployer.deploy({PATH: with_user("nobody@example.com")}).success
    assert "pluginExecutionUser" not in retrieved(deployer)
    assert deployer.deploy({PATH: with_user("admin@dev.emulated")}).success
    assert "<pluginExecutionUser>admin@dev.emulated</" in retrieved(deployer)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "<oauthPolicy><ipRelaxation>Enforce</ipRelaxation><refreshTokenPolicy>"
            "infinite</refreshTokenPolicy></oauthPolicy>",
            "Invalid ipRelaxation: Enforce",
        ),
        (
            "<oauthPolicy><ipRelaxation>BYPASS</ipRelaxation><refreshTokenPolicy>"
            "specific_lifetime:3:WEEKS</refreshTokenPolicy></oauthPolicy>",
            "Invalid refreshTokenPolicy: specific_lifetime:3:WEEKS",
        ),
    ],
)
def test_policies_are_checked(deployer: Deployer, content: str, problem: str) -> None:
    assert deployer.problem({PATH: app(top=content)}) == problem


def test_values_of_the_oauth_block_are_checked(deployer: Deployer) -> None:
    user = "<oauthClientCredentialUser>x@example.com</oauthClientCredentialUser>"
    assert deployer.problem({PATH: app(config=user)}) == (
        "In field: oauthClientCredentialUser - no User named x@example.com found"
    )
    minutes = "<idTokenConfig><idTokenValidity>721</idTokenValidity></idTokenConfig>"
    assert deployer.problem({PATH: app(config=minutes)}) == (
        "Invalid idTokenValidity: it must be 1 to 720 minutes"
    )
    long = app().replace("example/callback", "example/" + "x" * 2000)
    assert "max length=2000" in deployer.problem({PATH: long})


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/b",
        "http://localhost:1717/OauthRedirect",
        "http://127.0.0.1/x",
        "com.example.app:/done",
        "https://a.example/b\n  https://b.example/c",
    ],
)
def test_good_callbacks(deployer: Deployer, url: str) -> None:
    sent = app().replace("https://portal.example/callback", url)
    assert deployer.deploy({PATH: sent}).success
    found = apps.oauth_app(deployer.org, REF)
    assert found
    assert found.callback_urls == tuple(part.strip() for part in url.split("\n"))


@pytest.mark.parametrize("url", ["/relative", "https://a.example/#x", "nonsense"])
def test_bad_callbacks(deployer: Deployer, url: str) -> None:
    sent = app().replace("https://portal.example/callback", url)
    assert deployer.problem({PATH: sent}) == f"Invalid callback URL: {url}"


def test_an_app_without_oauth_has_no_key(deployer: Deployer, org: OrgState) -> None:
    plain = app().split("<oauthConfig>")[0] + "</ConnectedApp>"
    assert deployer.deploy({PATH: plain}).success
    assert apps.oauth_app(org, REF) is None
    assert deployer.deploy({PATH: app(key="laterkey")}).success
    assert key_of(deployer) == "laterkey"
    # Switched off and on again it is the same app with the same key.
    assert deployer.deploy({PATH: plain}).success
    assert deployer.deploy({PATH: app()}).success
    assert key_of(deployer) == "laterkey"


def test_an_app_cannot_bear_the_name_of_an_external_one(deployer: Deployer) -> None:
    deployer.deploy(eca("Portal"))
    assert deployer.problem({PATH: app()}).startswith("duplicate value found")
    external = {k: v for k, v in eca("Taken").items() if "externalClientApps" in k}
    deployer.deploy({"connectedApps/Taken.connectedApp": app()})
    assert deployer.problem(external).startswith("duplicate value found")


def test_tokens_of_a_deleted_app_end(deployer: Deployer, world: World) -> None:
    deployer.deploy({PATH: app()})
    token = deployer.org.issue_token(admin_of(deployer.org), app=REF)
    deployer.deploy(
        {
            "package.xml": manifest({}),
            "destructiveChanges.xml": manifest({"ConnectedApp": ("Portal",)}),
        }
    )
    assert world.org_of_token(token) is None


def test_settings_of_the_feature_are_kept_when_it_is_there(world: World) -> None:
    deployer = Deployer(
        world.create_org("strict", OrgSettings(api_access_control=True))
    )
    path = "settings/ConnectedApp.settings"
    one = "enableAdminApprovedAppsOnly"
    two = "enableSkipUserProvisioningWizardWelcomePage"

    def sent(name: str) -> dict[str, str]:
        root = '<ConnectedAppSettings xmlns="http://soap.sforce.com/2006/04/metadata">'
        return {path: f"{root}<{name}>true</{name}></ConnectedAppSettings>"}

    job = deployer.deploy(sent(one))
    assert row_of(job, "ConnectedApp").component_type == "ConnectedAppSettings"
    assert deployer.deploy(sent(two)).success
    file = deployer.retrieve({"Settings": ("ConnectedApp",)})[path]
    assert f"<{one}>true</{one}>" in file
    assert f"<{two}>true</{two}>" in file


def test_a_config_is_found_again(deployer: Deployer) -> None:
    deployer.deploy({PATH: app()})
    component = deployer.org.component(REF)
    assert component
    assert subtree(tree_of(parse(component.body)), "oauthConfig")
