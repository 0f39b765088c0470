"""Every message of the rulebook, produced by the situation that causes it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from deployer import (
    XMLNS,
    Deployer,
    app,
    eca,
    manifest,
    pack,
    permission,
    permission_set,
    profile,
)

from metadeploy.emulator import crud, jobs, retrieving
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import DeployOptions
from metadeploy.emulator.rulebook import BEHAVIOURS, COMPLAINTS, MARKS
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.soap import handle
from metadeploy.emulator.state import World
from metadeploy.emulator.store import Store
from metadeploy.emulator.tree import parse

APP = "connectedApps/Portal.connectedApp"
SET = "permissionsets/P.permissionset"
PROFILE = "profiles/Admin.profile"
OBJECT = "objects/Thing__c.object"


@dataclass(frozen=True)
class Scene:
    """A world to act in; orgs are made as the situation needs them."""

    world: World

    def org(self, settings: OrgSettings | None = None, name: str = "dev") -> Deployer:
        return Deployer(self.world.create_org(name, settings or OrgSettings()))

    def problem(self, *packages: Mapping[str, str], version: str = "66.0") -> str:
        """Deploy all packages to a new org, of which the last one fails."""
        deployer = self.org()
        for files in packages[:-1]:
            assert deployer.deploy(files).success
        return deployer.problem(packages[-1], version=version)

    def soap(self, body: str, *, token: str = "", path: str = "m/66.0") -> str:
        """Send a SOAP request and return the faultstring."""
        namespace = "urn:partner.soap.sforce.com" if path[0] == "u" else XMLNS[7:-1]
        envelope = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
            f' xmlns="{namespace}"><e:Header><SessionHeader><sessionId>{token}'
            f"</sessionId></SessionHeader></e:Header><e:Body>{body}</e:Body>"
            "</e:Envelope>"
        )
        url = "http://127.0.0.1:8000"
        answer = handle(self.world, f"/services/Soap/{path}", envelope.encode(), url)
        assert answer.status == 500
        return parse(answer.body).findtext(".//faultstring") or ""


Situation = Callable[[Scene], str]
SITUATIONS: dict[str, Situation] = {}


def situation(name: str) -> Callable[[Situation], Situation]:
    def note(function: Situation) -> Situation:
        SITUATIONS[name] = function
        return function

    return note


def refused(call: Callable[[], object]) -> str:
    """Return the fault a call ends in."""
    with pytest.raises(Fault) as caught:
        call()
    return str(caught.value)


def test_every_complaint_has_its_situation_and_a_mark() -> None:
    assert SITUATIONS.keys() == COMPLAINTS.keys()
    assert {c.mark for c in COMPLAINTS.values()} <= set(MARKS)
    assert {b.mark for b in BEHAVIOURS} <= set(MARKS)
    sourced = {"documented", "observed"}
    assert all(c.source for c in COMPLAINTS.values() if c.mark in sourced)


@pytest.mark.parametrize("name", sorted(COMPLAINTS))
def test_the_situation_causes_the_message(name: str, world: World) -> None:
    wanted = re.escape(COMPLAINTS[name].text)
    # What the situation fills in: {name}, but not the {http://…} of a namespace.
    pattern = re.sub(r"\\{[a-z]+\\}", "(.+)", wanted)
    message = SITUATIONS[name](Scene(world))
    assert re.fullmatch(pattern, message), f"{message!r} is not {pattern!r}"


# -- connected apps


@situation("creation_blocked")
def _(scene: Scene) -> str:
    deployer = scene.org(OrgSettings(connected_app_creation="blocked"))
    return deployer.problem({APP: app()})


@situation("key_taken")
def _(scene: Scene) -> str:
    assert scene.org(name="other").deploy({APP: app(key="sharedkey")}).success
    return scene.org().problem({APP: app(key="sharedkey")})


@situation("key_not_allowed")
def _(scene: Scene) -> str:
    return scene.problem({APP: app(key="firstkey")}, {APP: app(key="secondkey")})


@situation("bad_callback")
def _(scene: Scene) -> str:
    text = app().replace("https://portal.example", "http://portal.example")
    return scene.problem({APP: text})


@situation("no_rights_for_app")
def _(scene: Scene) -> str:
    deployer = scene.org()
    path = "permissionsets/Deploy.permissionset"
    assert deployer.deploy({path: permission_set(permission("ModifyMetadata"))}).success
    user = standard_user(deployer)
    set_id = deployer.org.components("PermissionSet")[0].id
    values = {"PermissionSetId": set_id, "AssigneeId": user}
    deployer.org.create_record(
        "PermissionSetAssignment", values, as_user=admin_of(deployer.org)
    )
    return Deployer(deployer.org, user).problem({APP: app()})


@situation("canvas_location")
def _(scene: Scene) -> str:
    deployer = scene.org(OrgSettings(unsupported_canvas_locations=("OpenCTI",)))
    canvas = (
        "<canvasConfig><accessMethod>Get</accessMethod><canvasUrl>https://x.example"
        "</canvasUrl><locations>OpenCTI</locations></canvasConfig>"
    )
    return deployer.problem({APP: app(top=canvas)})


@situation("feature_off")
def _(scene: Scene) -> str:
    text = (
        f"<ConnectedAppSettings {XMLNS}><enableAdminApprovedAppsOnly>true"
        "</enableAdminApprovedAppsOnly></ConnectedAppSettings>"
    )
    return scene.problem({"settings/ConnectedApp.settings": text})


# -- files


@situation("unknown_element")
def _(scene: Scene) -> str:
    text = (
        "<connectedAppAccesses><connectedApp>Portal</connectedApp><enabled>true"
        "</enabled></connectedAppAccesses>"
    )
    return scene.problem({PROFILE: profile(text)})


@situation("element_too_new")
def _(scene: Scene) -> str:
    text = app(config="<isPkceRequired>true</isPkceRequired>")
    return scene.problem({APP: text}, version="58.0")


@situation("not_contiguous")
def _(scene: Scene) -> str:
    text = permission("ApiEnabled") + "<license/>" + permission("ViewSetup")
    return scene.problem({SET: permission_set(text)})


@situation("bad_enum")
def _(scene: Scene) -> str:
    return scene.problem({APP: app(config="<scopes>api</scopes>")})


@situation("bad_value")
def _(scene: Scene) -> str:
    text = "<hasActivationRequired>yes</hasActivationRequired>"
    return scene.problem({SET: permission_set(text)})


@situation("required_field")
def _(scene: Scene) -> str:
    text = app().replace("<label>Portal</label>", "")
    return scene.problem({APP: text})


@situation("required_fields")
def _(scene: Scene) -> str:
    return scene.problem({APP: f"<ConnectedApp {XMLNS}></ConnectedApp>"})


@situation("not_well_formed")
def _(scene: Scene) -> str:
    return scene.problem({APP: app().replace("</label>", "</labels>")})


@situation("component_version")
def _(scene: Scene) -> str:
    text = f"<ApexClass {XMLNS}><apiVersion>99.0</apiVersion></ApexClass>"
    files = {"classes/A.cls": "class A {}", "classes/A.cls-meta.xml": text}
    return scene.problem(files)


# -- profiles and permission sets


@situation("dangling")
def _(scene: Scene) -> str:
    text = app(access="<permissionSetName>Nobody</permissionSetName>")
    return scene.problem({APP: text})


@situation("unknown_permission")
def _(scene: Scene) -> str:
    return scene.problem({SET: permission_set(permission("FlyToTheMoon"))})


@situation("permission_dependency")
def _(scene: Scene) -> str:
    text = (
        "<objectPermissions><allowCreate>true</allowCreate><allowDelete>false"
        "</allowDelete><allowEdit>false</allowEdit><allowRead>false</allowRead>"
        "<modifyAllRecords>false</modifyAllRecords><object>Account</object>"
        "<viewAllRecords>false</viewAllRecords></objectPermissions>"
    )
    return scene.problem({SET: permission_set(text)})


def thing(field: str = "") -> str:
    return (
        f"<CustomObject {XMLNS}><fields><fullName>A__c</fullName>{field}<label>A"
        "</label><type>Text</type></fields><label>Thing</label></CustomObject>"
    )


@situation("required_field_permission")
def _(scene: Scene) -> str:
    text = (
        "<fieldPermissions><editable>true</editable><field>Thing__c.A__c</field>"
        "<readable>true</readable></fieldPermissions>"
    )
    return scene.problem(
        {OBJECT: thing("<required>true</required>")}, {SET: permission_set(text)}
    )


def visible(default: str) -> str:
    return (
        "<applicationVisibilities><application>standard__Sales</application>"
        f"<default>{default}</default><visible>true</visible>"
        "</applicationVisibilities>"
    )


@situation("only_default_app")
def _(scene: Scene) -> str:
    return scene.problem(
        {PROFILE: profile(visible("true"))}, {PROFILE: profile(visible("false"))}
    )


@situation("repeated_item")
def _(scene: Scene) -> str:
    return scene.problem({SET: permission_set(permission("ApiEnabled") * 2)})


@situation("still_assigned")
def _(scene: Scene) -> str:
    deployer = scene.org()
    assert deployer.deploy({SET: permission_set()}).success
    component = deployer.org.components("PermissionSet")[0]
    values = {"PermissionSetId": component.id, "AssigneeId": admin_of(deployer.org)}
    deployer.org.create_record(
        "PermissionSetAssignment", values, as_user=admin_of(deployer.org)
    )
    return deployer.problem(deletion("PermissionSet", "P"))


# -- External Client Apps

POLICY = "ExtlClntAppOauthConfigurablePolicies"


def policy(content: str, name: str = "Ext_oauth_defaultPolicy") -> dict[str, str]:
    path = f"extlClntAppOauthPolicies/{name}.ecaOauthPlcy"
    parent = "<externalClientApplication>Ext</externalClientApplication>"
    return {path: f"<{POLICY} {XMLNS}>{content}{parent}</{POLICY}>"}


@situation("duplicate_satellite")
def _(scene: Scene) -> str:
    return scene.problem(eca("Ext"), policy("", "Ext_oauthPlcy"))


@situation("no_parent_app")
def _(scene: Scene) -> str:
    text = f"<ExtlClntAppOauthSettings {XMLNS}></ExtlClntAppOauthSettings>"
    return scene.problem({"extlClntAppOauthSettings/Ext_oauth.ecaOauth": text})


@situation("plugin_settings")
def _(scene: Scene) -> str:
    files = eca("Ext")
    path = "extlClntAppOauthSettings/Ext_oauth.ecaOauth"
    link = "<oauthLink>00D000000000001:888000000000001</oauthLink></Extl"
    return scene.problem({**files, path: files[path].replace("</Extl", link)})


@situation("policy_too_early")
def _(scene: Scene) -> str:
    header = {"externalClientApps/Ext.eca": eca("Ext")["externalClientApps/Ext.eca"]}
    return scene.problem({**header, **policy("")})


@situation("restricted_picklist")
def _(scene: Scene) -> str:
    text = "<ipRelaxationPolicyType>ENFORCE</ipRelaxationPolicyType>"
    return scene.problem(eca("Ext"), policy(text))


@situation("rotation_warning")
def _(scene: Scene) -> str:
    more = "<shouldRotateConsumerKey>true</shouldRotateConsumerKey>"
    return scene.problem(eca("Ext"), eca("Ext", more=more))


# -- packages


def deletion(kind: str, name: str) -> dict[str, str]:
    """Return a package that deletes one component."""
    return {
        "package.xml": manifest({}),
        "destructiveChanges.xml": manifest({kind: (name,)}),
    }


@situation("no_manifest")
def _(scene: Scene) -> str:
    deployer = scene.org()
    data = pack({"readme.txt": "hello", "package.xml": "x"}, folder="pkg/")
    without = data.replace(b"pkg/package.xml", b"pkg/package.txt")
    deploy_id = jobs.submit_deploy(deployer.session, without, DeployOptions())
    job = deployer.status(deploy_id)
    assert [r.file_name for r in job.rows] == ["pkg/package.xml"]
    return job.rows[0].problem


@situation("file_missing")
def _(scene: Scene) -> str:
    return scene.problem({"package.xml": manifest({"ConnectedApp": ("Portal",)})})


@situation("not_listed")
def _(scene: Scene) -> str:
    return scene.problem({"package.xml": manifest({}), SET: permission_set()})


@situation("type_not_available")
def _(scene: Scene) -> str:
    path = "externalClientApps/Ext.eca"
    return scene.problem({path: eca("Ext")[path]}, version="58.0")


@situation("unknown_type")
def _(scene: Scene) -> str:
    return scene.problem({"package.xml": manifest({"Nonsense": ("X",)})})


@situation("nothing_to_delete")
def _(scene: Scene) -> str:
    job = scene.org().deploy(deletion("ConnectedApp", "Nobody"))
    (row,) = [r for r in job.rows if r.problem]
    assert job.success
    assert (row.success, row.problem_type) == (True, "Warning")
    assert row.full_name == "destructiveChanges.xml"
    return row.problem


# -- faults


@situation("no_test_run")
def _(scene: Scene) -> str:
    deployer = scene.org(OrgSettings(kind="production"))
    options = DeployOptions(test_level="NoTestRun")
    message = refused(lambda: deployer.submit({SET: permission_set()}, options))
    assert deployer.org.records("DeployRequest") == []
    return message


@situation("duplicate")
def _(scene: Scene) -> str:
    deployer = scene.org()
    assert deployer.deploy({SET: permission_set()}).success
    element = parse(
        b'<metadata xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        + XMLNS.encode()
        + b' xsi:type="PermissionSet"><fullName>P</fullName><label>P</label></metadata>'
    )
    (saved,) = crud.create_metadata(
        deployer.session, [element], version=66.0, all_or_none=False
    )
    assert saved.code == "DUPLICATE_VALUE"
    return saved.message


def standard_user(deployer: Deployer) -> str:
    users = deployer.org.records("User")
    return next(str(u["Id"]) for u in users if str(u["Username"]).startswith("user@"))


@situation("no_metadata_rights")
def _(scene: Scene) -> str:
    deployer = scene.org()
    other = Deployer(deployer.org, standard_user(deployer))
    return refused(lambda: other.submit({SET: permission_set()}))


@situation("no_api")
def _(scene: Scene) -> str:
    guest = UserSpec("guest@example.com", profile="Customer Community User")
    deployer = scene.org(OrgSettings(users=(guest,)))
    found = scene.world.user_by_username("guest@example.com")
    assert found
    other = Deployer(deployer.org, str(found[1]["Id"]))
    return refused(lambda: other.submit({SET: permission_set()}))


@situation("no_record_rights")
def _(scene: Scene) -> str:
    deployer = scene.org()
    values = {"Name": "P", "Label": "P"}
    user = standard_user(deployer)
    call = deployer.org.create_record
    fault = refused(lambda: call("PermissionSet", values, as_user=user))
    return fault.partition(": ")[2]


@situation("duplicate_name")
def _(scene: Scene) -> str:
    deployer = scene.org()
    assert deployer.deploy({SET: permission_set()}).success
    values = {"Name": "P", "Label": "P"}
    call = deployer.org.create_record
    fault = refused(
        lambda: call("PermissionSet", values, as_user=admin_of(deployer.org))
    )
    code, _, message = fault.partition(": ")
    assert code == "DUPLICATE_DEVELOPER_NAME"
    return message


def access(scene: Scene, **more: str) -> Callable[[], str]:
    """Return a call that creates an access row in an org with an app."""
    deployer = scene.org()
    assert deployer.deploy({APP: app(), SET: permission_set()}).success
    values = {
        "ParentId": deployer.org.components("PermissionSet")[0].id,
        "SetupEntityId": deployer.org.components("ConnectedApp")[0].id,
        **more,
    }
    admin = admin_of(deployer.org)
    call = deployer.org.create_record
    return lambda: call("SetupEntityAccess", values, as_user=admin)


@situation("not_writeable")
def _(scene: Scene) -> str:
    create = access(scene, SetupEntityType="ConnectedApplication")
    return refused(create).partition(": ")[2]


@situation("duplicate_access")
def _(scene: Scene) -> str:
    create = access(scene)
    assert create()
    code, _, message = refused(create).partition(": ")
    assert code == "DUPLICATE_VALUE"
    return message


@situation("no_update")
def _(scene: Scene) -> str:
    record_id = access(scene)()
    org = scene.world.org("dev")
    call = org.update_record
    fault = refused(
        lambda: call("SetupEntityAccess", record_id, {}, as_user=admin_of(org))
    )
    return fault.partition(": ")[2]


@situation("not_found")
def _(scene: Scene) -> str:
    job = scene.org().retrieve_job({"ConnectedApp": ("Nobody",)})
    assert job.success
    ((name, problem),) = job.messages
    assert name == "unpackaged/package.xml"
    return problem


@situation("system_app")
def _(scene: Scene) -> str:
    job = scene.org().retrieve_job({"ConnectedApp": ("*",)})
    assert job.status == "Succeeded"
    return job.messages[0][1]


@situation("zip_taken")
def _(scene: Scene) -> str:
    deployer = scene.org()
    job = deployer.retrieve_job({"Profile": ("Admin",)})
    assert job.zip_bytes
    return refused(lambda: retrieving.retrieve_status(deployer.session, job.id))


@situation("locked")
def _(scene: Scene) -> str:
    scene.org()
    impatient = World(Store(scene.world.store.path, patience=0.05), scene.world.clock)
    holder = sqlite3.connect(scene.world.store.path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        return refused(lambda: impatient.org("dev").log("never"))
    finally:
        holder.close()
        impatient.close()


@situation("bad_version")
def _(scene: Scene) -> str:
    assert scene.soap("<x/>", path="m/v66.0") == scene.soap("<x/>", path="m/99.0")
    return scene.soap("<x/>", path="m/20.0")


@situation("bad_session")
def _(scene: Scene) -> str:
    body = "<listMetadata><queries><type>Profile</type></queries></listMetadata>"
    assert scene.soap(body) == scene.soap(body, token="00D000000000000!EMU.x")
    return scene.soap(body, token="")


def login(username: str, password: str) -> str:
    return (
        f"<login><username>{username}</username><password>{password}</password></login>"
    )


@situation("bad_login")
def _(scene: Scene) -> str:
    users = (
        UserSpec("anna@example.com", password="right"),
        UserSpec("gone@example.com", password="right", active=False),
    )
    scene.org(OrgSettings(users=users))
    path = "u/64.0"
    wrong = scene.soap(login("anna@example.com", "wrong"), path=path)
    assert wrong == scene.soap(login("nobody@example.com", "right"), path=path)
    assert wrong == scene.soap(login("gone@example.com", "right"), path=path)
    return wrong


@situation("login_disabled")
def _(scene: Scene) -> str:
    users = (UserSpec("anna@example.com", password="right"),)
    scene.org(OrgSettings(soap_login=False, users=users))
    return scene.soap(login("anna@example.com", "right"), path="u/64.0")


@situation("login_retired")
def _(scene: Scene) -> str:
    scene.org(OrgSettings(users=(UserSpec("anna@example.com", password="right"),)))
    return scene.soap(login("anna@example.com", "right"), path="u/66.0")


@situation("bad_job")
def _(scene: Scene) -> str:
    other = scene.org(name="other")
    foreign = other.submit({SET: permission_set()})
    session = scene.org().session
    return refused(lambda: jobs.deploy_status(session, foreign))


@situation("cancel_too_late")
def _(scene: Scene) -> str:
    deployer = scene.org()
    deploy_id = deployer.submit({SET: permission_set()})
    return refused(lambda: jobs.cancel_deploy(deployer.session, deploy_id))


@situation("cancel_finalizing")
def _(scene: Scene) -> str:
    deployer = scene.org(OrgSettings(deploy_polls=3))
    deploy_id = deployer.submit({SET: permission_set()})
    assert deployer.status(deploy_id).status == "InProgress"
    assert deployer.status(deploy_id).status == "Finalizing"
    return refused(lambda: jobs.cancel_deploy(deployer.session, deploy_id))


@situation("not_validated")
def _(scene: Scene) -> str:
    deployer = scene.org()
    deploy_id = deployer.submit({SET: permission_set()})
    return refused(lambda: jobs.quick_deploy(deployer.session, deploy_id))


@situation("too_many_records")
def _(scene: Scene) -> str:
    session = scene.org().session
    names = [f"P{n}" for n in range(11)]
    return refused(lambda: crud.read_metadata(session, "PermissionSet", names))


@situation("too_many_queries")
def _(scene: Scene) -> str:
    token = scene.org().session.token
    queries = "<queries><type>Profile</type></queries>" * 4
    return scene.soap(f"<listMetadata>{queries}</listMetadata>", token=token)
