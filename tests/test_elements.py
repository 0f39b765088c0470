"""Every element that the field tables know: set, deployed, compared, changed.

Each is deployed to an emulated org over HTTP, planned empty, then changed, and the
plan must be that one change.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from lxml import etree

from metadeploy import planning, schema
from metadeploy.access import raise_access
from metadeploy.api import SystemClock
from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.diff import Action
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import open_world
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import METADATA_NS, Component, DeployOptions, Ref, Secret
from metadeploy.package import pack
from metadeploy.reach import LOOPBACK
from metadeploy.target import Target
from metadeploy.wanted import Wanted

NS = f"{{{METADATA_NS}}}"
CERTIFICATES: list[str] = []


class Quiet:
    def step(self, text):
        pass

    def deploying(self, result, ahead=None):
        pass


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    world = open_world(tmp_path_factory.mktemp("world") / "world.sqlite3")
    org = world.create_org(
        "dev", OrgSettings(check_references=False, api_access_control=True)
    )
    with serve(world) as server:
        connection = Connection(
            server.url, Secret(org.issue_token(admin_of(org))), reach=LOOPBACK
        )
        yield Target(
            org_id=org.id,
            metadata=MetadataApi(connection, "66.0"),
            data=DataApi(connection, "66.0"),
            prover=None,
            clock=SystemClock(),
            progress=Quiet(),
        )
        connection.close()
    world.close()


# What each file holds besides the element under test.
BASE = {
    "ConnectedApp": {
        "contactEmail": "a@acme.example",
        "label": "App",
        "oauthConfig": {"callbackUrl": "https://acme.example/cb"},
    },
    "ExternalClientApplication": {"label": "App", "distributionState": "Local"},
    "ExtlClntAppGlobalOauthSettings": {
        "callbackUrl": "https://acme.example/cb",
        "externalClientApplication": "App",
        "isPkceRequired": "true",
        "label": "App",
    },
    "ExtlClntAppOauthSettings": {
        "commaSeparatedOauthScopes": "Api",
        "externalClientApplication": "App",
        "label": "App",
    },
    "ExtlClntAppOauthConfigurablePolicies": {
        "externalClientApplication": "App",
        "ipRelaxationPolicyType": "Enforce",
        "label": "App",
        "permittedUsersPolicyType": "AllSelfAuthorized",
        "refreshTokenPolicyType": "Infinite",
    },
    "ExtlClntAppConfigurablePolicies": {
        "externalClientApplication": "App",
        "isEnabled": "true",
        "label": "App",
    },
    "Profile": {"custom": "true", "userLicense": "Salesforce"},
    "PermissionSet": {"label": "Set", "hasActivationRequired": "false"},
    "ConnectedAppSettings": {},
}

# Why an element has no place in this test; each has one of its own, or no meaning.
LEFT_OUT = {
    "ConnectedApp.oauthConfig.consumerKey": "sent on creation only",
    "ConnectedApp.oauthConfig.consumerSecret": "sent on creation only, never returned",
    "ConnectedApp.profileName": "access: compared as such",
    "ConnectedApp.permissionSetName": "access: compared as such",
    "ConnectedApp.canvas": "in the WSDL, in no documentation",
    "ExternalClientApplication.orgScopedExternalApp": "the org's own",
    "ExternalClientApplication.managedType": "of managed packages",
    "ExtlClntAppGlobalOauthSettings.consumerKey": "sent on creation only",
    "ExtlClntAppGlobalOauthSettings.consumerSecret": "sent on creation only",
    "ExtlClntAppGlobalOauthSettings.certificate": "never returned: see external apps",
    "ExtlClntAppGlobalOauthSettings.shouldRotateConsumerKey": "an order, not a state",
    "ExtlClntAppGlobalOauthSettings.shouldRotateConsumerSecret": "an order",
    "ExtlClntAppGlobalOauthSettings.externalClientApplication": "the app it is part of",
    "ExtlClntAppOauthSettings.externalClientApplication": "the app it is part of",
    "ExtlClntAppOauthSettings.oauthLink": "the org's own",
    "ExtlClntAppOauthConfigurablePolicies.externalClientApplication": "its app",
    "ExtlClntAppOauthConfigurablePolicies.commaSeparatedPermissionSet": "access",
    "ExtlClntAppOauthConfigurablePolicies.commaSeparatedProfile": "access",
    "ExtlClntAppOauthConfigurablePolicies.isNamedUserJwtEnabled": "gone since API 65",
    "ExtlClntAppConfigurablePolicies.externalClientApplication": "its app",
    "Profile.loginFlows.flowType": "has one value only",
    "Profile.custom": "the org's own",
    "Profile.userLicense": "the org's own",
}

# (first value, second value) where the kind alone does not say what is allowed.
VALUES = {
    "callbackUrl": ("https://one.example/cb", "https://two.example/cb"),
    "contactEmail": ("one@acme.example", "two@acme.example"),
    "refreshTokenPolicy": ("zero", "specific_lifetime:5:DAYS"),
    "ipRelaxation": ("BYPASS", "ENFORCE_RELAXREFRESH"),
    "ipRelaxationPolicyType": ("Bypass", "Enforce_RelaxRefresh"),
    "refreshTokenValidityUnit": ("Hours", "Days"),
    "policyAction": ("Block", "RaiseSessionLevel"),
    "sessionLevel": ("HIGH_ASSURANCE", "STANDARD"),
    "idTokenValidity": ("5", "7"),
    "start": ("10.0.0.1", "10.0.0.2"),
    "end": ("10.0.0.8", "10.0.0.9"),
    "startIpAddress": ("10.0.0.1", "10.0.0.2"),
    "endIpAddress": ("10.0.0.8", "10.0.0.9"),
    "startAddress": ("10.0.0.1", "10.0.0.2"),
    "endAddress": ("10.0.0.8", "10.0.0.9"),
    "oauthClientCredentialUser": ("admin@dev.emulated", "integration@dev.emulated"),
    "clientCredentialsFlowUser": ("admin@dev.emulated", "integration@dev.emulated"),
    "executeHandlerAs": ("admin@dev.emulated", "user@dev.emulated"),
    "pluginExecutionUser": ("admin@dev.emulated", "user@dev.emulated"),
    "singleLogoutUrl": ("https://one.example/out", "https://two.example/out"),
    "logoUrl": ("https://one.example/l.png", "https://two.example/l.png"),
    "accessMethod": ("Get", "Post"),
    "devicePlatform": ("ios", "android"),
    "commaSeparatedOauthScopes": ("Api, Web", "Api, Chatter"),
    "license": ("Salesforce", "Identity"),
    "default": ("false", "true"),
    "visible": ("true", "false"),
}

# What else an item says, so that the platform takes it: permissions need others.
_READ = {"allowRead": "true"}
_EDIT = {**_READ, "allowEdit": "true"}
_DELETE = {**_EDIT, "allowDelete": "true"}
_SEE_ALL = {**_READ, "viewAllRecords": "true"}
BESIDE = {
    "allowCreate": _READ,
    "allowEdit": _READ,
    "allowDelete": _EDIT,
    "viewAllRecords": _READ,
    "modifyAllRecords": {**_DELETE, **_SEE_ALL},
    "customizeSetup": _READ,
    "deleteSetup": _READ,
    "viewSetup": _READ,
    "viewAllFields": _READ,
    "default": {"visible": "true"},
}
OBJECT = dict.fromkeys(
    ("allowCreate", "allowEdit", "allowDelete", "allowRead", "modifyAllRecords"),
    "false",
) | {"viewAllRecords": "false"}


@dataclass(frozen=True)
class Element:
    """One element: the type, and the steps from the root to it."""

    type: str
    steps: tuple[str, ...]

    def __str__(self):
        return ".".join((self.type, *self.steps))


def elements(type_, struct=None, steps=()):
    for name, field in schema.fields(struct or type_).items():
        path = (*steps, name)
        if schema.fields(field.kind) is not None and field.kind != struct:
            yield from elements(type_, field.kind, path)
        elif name not in item_key_of(type_, steps):
            yield Element(type_, path)
        elif len(schema.fields(struct)) == len(item_key_of(type_, steps)):
            yield Element(type_, path)  # an item that is nothing but its key


def item_key_of(type_, steps):
    struct, field = type_, None
    for step in steps:
        field = schema.fields(struct)[step]
        struct = field.kind
    return schema.item_key(struct) if field is not None and field.many else ()


ALL = [e for t in BASE for e in elements(t)]
DONE = [e for e in ALL if str(e) not in LEFT_OUT and ".canvas." not in f".{e}."]


def test_nothing_is_left_out_that_does_not_exist():
    assert set(LEFT_OUT) - {str(e) for e in ALL} <= {"ConnectedApp.canvas"}
    assert len(DONE) > 250


def value(element, field, second):
    name = element.steps[-1]
    if element.steps[-2:] == ("userPermissions", "name"):
        return "ChatterInternalUser" if second else "ApiEnabled"
    if name in VALUES:
        return VALUES[name][second]
    literals = schema.enum(field.kind)
    if literals:
        return literals[1 if second and len(literals) > 1 else 0]
    if field.kind == "boolean":
        default = field.default or "false"
        other = "true" if default == "false" else "false"
        return default if second else other
    if field.kind in ("int", "double"):
        return "7" if second else "5"
    if field.kind == "date":
        return "2026-01-02" if second else "2026-01-01"
    return "Two" if second else "One"


def build(element, second):
    """Return the body with the element in it, and the path a plan gives it."""
    root = etree.Element(NS + element.type, nsmap={None: METADATA_NS})
    fill(root, BASE[element.type])
    here, struct, path, keys = root, element.type, [], ()
    for step in element.steps[:-1]:
        field = schema.fields(struct)[step]
        inner = here.find(NS + step)
        if inner is None:
            inner = etree.SubElement(here, NS + step)
            complete(inner, step, field.kind, element.steps[-1])
        keys = schema.item_key(field.kind) if field.many else ()
        path.append((step, keys, inner))
        here, struct = inner, field.kind
    name = element.steps[-1]
    field = schema.fields(struct)[name]
    for old in here.findall(NS + name):
        here.remove(old)
    etree.SubElement(here, NS + name).text = value(element, field, second)
    shown = [
        step + (f"[{', '.join(key_of(inner, keys))}]" if keys else "")
        for step, keys, inner in path
    ]
    if name not in keys:
        shown.append(name)
    return etree.tostring(root), ".".join(shown)


def key_of(item, keys):
    return filter(None, (item.findtext(NS + k) or "" for k in keys))


def fill(parent, values):
    for name, found in values.items():
        child = etree.SubElement(parent, NS + name)
        if isinstance(found, dict):
            fill(child, found)
        else:
            child.text = found


def complete(parent, step, struct, skip):
    """Add what a struct requires, and what tells it from others."""
    said = {}
    for name, field in schema.fields(struct).items():
        needed = field.required or name in schema.item_key(struct)
        if needed and schema.fields(field.kind) is None:
            said[name] = value(Element(struct, (step, name)), field, False)
    if step == "objectPermissions":
        said |= OBJECT
    said |= BESIDE.get(skip, {})
    said.pop(skip, None)
    fill(parent, said)


def wanted_of(element, body):
    own = "_".join(("Of", *element.steps))
    ref = Ref(element.type, "App" if element.type.startswith("Ext") else own)
    if element.type == "ConnectedAppSettings":
        ref = Ref("Settings", "ConnectedApp")
    found = raise_access([Component(ref, body)])
    return Wanted.of("dev", "66.0", found, {})


def send(target, components):
    deploy_id = target.metadata.deploy(pack(components, "66.0"), DeployOptions())
    result = target.metadata.check_deploy_status(deploy_id)
    problems = [m.problem for m in result.messages if not m.success]
    assert result.success, problems


@pytest.fixture(scope="module")
def app(target):
    """An External Client App, for its files to be tested one by one."""
    files = []
    for type_ in (t for t in BASE if t.startswith("Ext")):
        root = etree.Element(NS + type_, nsmap={None: METADATA_NS})
        fill(root, BASE[type_])
        files.append(Component(Ref(type_, "App"), etree.tostring(root)))
    send(target, files)


@pytest.mark.parametrize("element", DONE, ids=str)
def test_every_element_is_deployed_and_compared(target, app, element):
    body, path = build(element, False)
    first = planning.plan(target, wanted_of(element, body))
    if not first.empty:
        send(target, first.package)
    assert planning.plan(target, wanted_of(element, body)).changes == ()
    body, changed = build(element, True)
    if body == build(element, False)[0]:
        pytest.fail("the test has one value only for this element")
    plan = planning.plan(target, wanted_of(element, body))
    (change,) = plan.changes
    assert change.action is Action.UPDATE
    if changed == path:
        assert [f.path for f in change.fields] == [path]
    else:  # its key: another item; profiles and permission sets keep the first one
        items = {f.path.partition("]")[0] + "]" for f in change.fields}
        assert items <= {path, changed} and changed in items
    send(target, plan.package)
    assert planning.plan(target, wanted_of(element, body)).changes == ()
