"""What an examination finds in an org that is well, and in each way to be unwell."""

from __future__ import annotations

import time

import pytest
from fake_org import ORG, FakeOrg, failure, result
from raw_server import http

from metadeploy import doctor, orgfile, yamlfile
from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.doctor import Check, Patient, Served
from metadeploy.doctor_api import DoctorApi
from metadeploy.emulator import records
from metadeploy.emulator.injection import Injection
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import open_world
from metadeploy.errors import ApiFault, AuthError, LostAnswer, Unreachable
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Ref, Secret
from metadeploy.plan import OrgFacts
from metadeploy.reach import LOOPBACK
from metadeploy.target import Target

SANDBOX = f"kind: sandbox\norg_id: {ORG}\n"
JWT = "login: {flow: jwt, url: https://a.my.salesforce.com}\n"
NEEDED = ("ApiEnabled", "ModifyMetadata", "CustomizeApplication", "ManageRemoteAccess")
FOR_ACCESS = ("ModifyAllData", "ManageProfilesPermissionsets")


def org_file(text):
    document = yamlfile.read(text, "orgs/dev.yaml")
    org, _ = orgfile.read("dev", "orgs/dev.yaml", document, None)
    return org


class Told:
    """An org's server and a session in it, as told."""

    def __init__(self, **told):
        self.versions = ("31.0", "66.0")
        self.date = 1000.0
        self.has = {name: name in NEEDED for name in (*NEEDED, *FOR_ACCESS)}
        self.jwt = False
        self.last = "0Af000000000001AAA"
        vars(self).update(told)

    def served(self):
        return Served(self.versions, self.date)

    def has_jwt_token(self):
        return self.jwt

    def permissions(self, names):
        if isinstance(self.has, Exception):
            raise self.has
        return {name: self.has[name] for name in names if name in self.has}

    def last_deploy(self):
        if isinstance(self.last, Exception):
            raise self.last
        return self.last


def examined(text=SANDBOX + JWT, *, org=None, grants=False, creation=False, **told):
    """The checks of an org, by name; `told` says what its server and session say."""
    said = Told(**told)

    def server():
        return said

    def log_in():
        return (org or FakeOrg()).target(), said

    patient = Patient(org_file(text), server, log_in, lambda: 1000.0, grants)
    found = doctor.examine(patient, creation=creation)
    assert len({c.name for c in found}) == len(found)
    assert all(c.advice or c.status != "failed" for c in found)
    return {c.name: c for c in found}


def unwell(found):
    return {c.name: c.status for c in found.values() if c.status != "ok"}


def test_an_org_that_is_well():
    found = examined(creation=True)
    assert unwell(found) == {}
    assert list(found) == [
        *("server", "clock", "api-version", "login", "token", "rest", "org-id"),
        *("kind", "soap", "permissions", "least-privilege", "deploy-requests"),
        "app-creation",
    ]


def test_creation_is_asked_about_on_request_only():
    org = FakeOrg()
    assert "app-creation" not in examined(org=org)
    assert org.calls("deploy") == []
    examined(org=org, creation=True)
    assert [c for c in org.log if c[0] == "deploy"] == [("deploy", True)]


@pytest.mark.parametrize(
    ("date", "status", "words"),
    [
        (940.0, "ok", "within 60 s"),
        (1060.0, "ok", "within 60 s"),
        (400.0, "warning", "this machine is 600 s ahead of the org"),
        (1600.0, "warning", "this machine is 600 s behind the org"),
        (None, "warning", "does not say what time it is"),
    ],
)
def test_the_clock(date, status, words):
    check = examined(date=date)["clock"]
    assert check.status == status and words in check.found


@pytest.mark.parametrize(
    ("versions", "status", "words", "advice"),
    [
        (("31.0", "66.0"), "ok", "66.0; the org serves 31.0 to 66.0", ""),
        (("31.0", "65.0"), "failed", "66.0 is not served yet", 'api_version: "65.0"'),
        (("67.0", "70.0"), "failed", "66.0 is retired", 'api_version: "67.0"'),
        ((), "warning", "lists no API versions", ""),
    ],
)
def test_the_api_version(versions, status, words, advice):
    check = examined(versions=versions)["api-version"]
    assert check.status == status
    assert words in check.found and advice in check.advice


@pytest.mark.parametrize(
    ("login", "status", "words"),
    [
        ("{flow: jwt}", "ok", "by jwt"),
        ("{flow: soap}", "warning", "retires in Summer '27"),
        ("{flow: access_token}", "ok", "cannot be renewed"),
    ],
)
def test_the_login(login, status, words):
    check = examined(f"{SANDBOX}login: {login}\n")["login"]
    assert check.status == status and words in check.found


def test_nobody_is_let_in():
    def log_in():
        raise AuthError("no token from https://a", hint="Approve the app.")

    patient = Patient(org_file(SANDBOX + JWT), Told, log_in, lambda: 1000.0)
    found = doctor.examine(patient)
    assert [c.name for c in found] == ["server", "clock", "api-version", "login"]
    told = Check("login", "failed", "no token from https://a", "Approve the app.")
    assert found[-1] == told


def test_nobody_answers():
    def nobody():
        raise Unreachable("cannot reach https://a")

    patient = Patient(org_file(SANDBOX + JWT), nobody, nobody, lambda: 1000.0)
    found = doctor.examine(patient)
    assert [(c.name, c.status) for c in found] == [
        ("server", "failed"),
        ("login", "failed"),
    ]


def test_a_jwt_is_no_token_for_soap():
    check = examined(jwt=True)["token"]
    assert check.status == "failed"
    assert "INVALID_SESSION_ID" in check.advice


def test_the_rest_api_refuses():
    org = FakeOrg(faults={"facts": [ApiFault("API_CURRENTLY_DISABLED", "no")]})
    found = examined(org=org)
    assert found["rest"].status == "failed"
    assert "API Enabled" in found["rest"].advice
    assert "org-id" not in found and "permissions" in found


def test_the_metadata_api_refuses():
    org = FakeOrg(faults={"list": [ApiFault("INSUFFICIENT_ACCESS", "no")]})
    check = examined(org=org)["soap"]
    assert check.status == "failed"
    assert "Modify Metadata Through Metadata API Functions" in check.advice


def test_another_org():
    check = examined(f"kind: sandbox\norg_id: 00DWs000003xYZ2MAM\n{JWT}")["org-id"]
    assert check.status == "failed"
    assert ORG in check.found and "00DWs000003xYZ2MAM" in check.found


def test_no_org_is_pinned():
    check = examined("kind: emulated\n")["org-id"]
    assert (check.status, check.found) == ("ok", f"{ORG}; the org file pins none")


@pytest.mark.parametrize(
    ("kind", "production", "status"),
    [
        ("sandbox", False, "ok"),
        ("production", True, "ok"),
        ("sandbox", True, "failed"),
        ("scratch", True, "failed"),
        ("production", False, "warning"),
    ],
)
def test_the_kind(kind, production, status):
    org = FakeOrg(OrgFacts(ORG, "Acme", production))
    found = examined(f"kind: {kind}\norg_id: {ORG}\n{JWT}", org=org)
    assert found["kind"].status == status


def without(*names):
    return {n: n in NEEDED and n not in names for n in (*NEEDED, *FOR_ACCESS)}


@pytest.mark.parametrize("name", NEEDED)
def test_a_permission_is_missing(name):
    check = examined(has=without(name))["permissions"]
    assert (check.status, check.found) == ("failed", f"no {name}")


def test_to_give_apps_to_somebody_takes_more():
    found = examined(grants=True)
    missing = "no ModifyAllData, ManageProfilesPermissionsets"
    assert found["permissions"].found == missing
    assert unwell(found) == {"permissions": "failed"}
    everything = dict.fromkeys((*NEEDED, *FOR_ACCESS), True)
    assert unwell(examined(has=everything, grants=True)) == {}


def test_all_data_is_more_than_is_needed():
    check = examined(has={**without(), "ModifyAllData": True})["least-privilege"]
    assert check.status == "warning" and "ModifyAllData" in check.found


def test_all_data_stands_for_two_others():
    has = {**without("ModifyMetadata", "ManageRemoteAccess"), "ModifyAllData": True}
    assert unwell(examined(has=has)) == {"least-privilege": "warning"}


def test_a_permission_that_the_org_does_not_know_is_not_missed():
    has = {n: True for n in NEEDED if n != "ManageRemoteAccess"}
    assert unwell(examined(has=has)) == {}


def test_what_is_not_told_is_a_warning():
    hidden = ApiFault("INSUFFICIENT_ACCESS", "no")
    found = examined(has=hidden, last=hidden)
    assert unwell(found) == {"permissions": "warning", "deploy-requests": "warning"}
    assert "cannot be found again" in found["deploy-requests"].advice


BLOCKED = "You can't create a connected app. Enable connected app creation…"


@pytest.mark.parametrize(
    ("problem", "status", "words"),
    [
        (BLOCKED, "warning", "lets nobody create connected apps"),
        ("Something else", "warning", "not known: Something else"),
    ],
)
def test_apps_may_not_be_created(problem, status, words):
    rows = (failure(Ref("ConnectedApp", "Metadeploy_Doctor"), problem),)
    org = FakeOrg(statuses=[result("Failed", messages=rows)])
    check = examined(org=org, creation=True)["app-creation"]
    assert check.status == status and words in check.found
    assert org.kept == {}


def test_whether_apps_may_be_created_is_not_told():
    org = FakeOrg(faults={"deploy": [ApiFault("REQUEST_LIMIT_EXCEEDED", "later")]})
    assert examined(org=org, creation=True)["app-creation"].status == "warning"


# The same of an emulated org.


@pytest.fixture
def org(tmp_path):
    world = open_world(tmp_path / "world.sqlite3")
    yield world.create_org("dev", OrgSettings(kind="sandbox"))
    world.close()


@pytest.fixture
def server(org):
    with serve(org.world) as running:
        yield running


@pytest.fixture
def examine(org, server):
    """examine(user, scopes=…) → the checks of the emulated org, by name."""
    made = []

    def to(user="admin", *, scopes=("api",), version="66.0", off=0.0, creation=False):
        found = org.world.user_by_username(f"{user}@dev.emulated")
        token = Secret(org.issue_token(str(found[1]["Id"]), scopes=scopes))
        connection = Connection(server.url, token, reach=LOOPBACK)
        made.append(connection)
        stand_in = FakeOrg()
        target = Target(
            org_id=org.id,
            metadata=MetadataApi(connection, version),
            data=DataApi(connection, version),
            prover=stand_in,
            clock=stand_in,
            progress=stand_in,
        )
        api = DoctorApi(connection, version)
        text = f"kind: sandbox\norg_id: {org.id}\napi_version: '{version}'\n{JWT}"
        patient = Patient(
            org_file(text),
            lambda: api,
            lambda: (target, api),
            lambda: time.time() + off,
        )
        return {c.name: c for c in doctor.examine(patient, creation=creation)}

    yield to
    for connection in made:
        connection.close()


def test_an_emulated_org_that_is_well(org, examine):
    assert unwell(examine(creation=True)) == {"least-privilege": "warning"}
    assert org.component(Ref("ConnectedApp", "Metadeploy_Doctor")) is None


def test_an_integration_user_with_what_is_needed(org, examine):
    found = org.world.user_by_username("integration@dev.emulated")
    set_id = records.save(
        org,
        "PermissionSet",
        "0PS000000000001AAA",
        {"Name": "Deployer", "Label": "Deployer", "IsOwnedByProfile": False}
        | {f"Permissions{name}": True for name in (*NEEDED, "ViewSetup")},
        by=admin_of(org),
    )
    records.save(
        org,
        "PermissionSetAssignment",
        "0Pa000000000001AAA",
        {"PermissionSetId": "0PS000000000001AAA", "AssigneeId": found[1]["Id"]},
        by=admin_of(org),
    )
    assert set_id is None
    assert unwell(examine("integration")) == {}


def test_an_integration_user_with_nothing(examine):
    found = unwell(examine("integration"))
    assert found["permissions"] == found["soap"] == "failed"


def test_a_token_of_another_scope(examine):
    found = examine(scopes=("id",))
    assert found["rest"].status == found["soap"].status == "failed"
    assert "not valid for use with" in found["rest"].found


@pytest.mark.parametrize(("version", "nearest"), [("67.0", "66.0"), ("25.0", "31.0")])
def test_a_version_that_is_not_served(examine, version, nearest):
    check = examine(version=version)["api-version"]
    assert check.status == "failed" and f'"{nearest}"' in check.advice


@pytest.mark.parametrize("off", [-600.0, 600.0])
def test_a_clock_that_is_wrong(examine, off):
    assert unwell(examine(off=off))["clock"] == "warning"


def test_an_org_that_blocks_new_apps(org, examine):
    org.world.configure_org(
        "dev", OrgSettings(kind="sandbox", connected_app_creation="blocked")
    )
    assert unwell(examine(creation=True))["app-creation"] == "warning"


@pytest.mark.parametrize("on", ["*/query", "*/tooling/query"])
def test_a_fault_is_a_finding(server, examine, on):
    server.injections.add(Injection("fault", on, times=0))
    found = unwell(examine())
    assert found["deploy-requests"] == "warning"


def test_permissions_are_asked_one_by_one_where_one_is_unknown(org, server):
    token = Secret(org.issue_token(admin_of(org)))
    api = DoctorApi(Connection(server.url, token, reach=LOOPBACK), "66.0")
    found = api.permissions(["ApiEnabled", "NoSuchThing", "ModifyAllData"])
    assert found == {"ApiEnabled": True, "ModifyAllData": True}
    api.connection.close()


ODD = {
    "no identity": ["{}"],
    "no records": [
        '{"identity": "https://a/id/00D000000000001/005000000000001"}',
        "{}",
    ],
}


@pytest.mark.parametrize("answers", ODD.values(), ids=ODD)
def test_answers_that_say_nothing(raw_server, answers):
    replies = [http(a, Content_Type="application/json") for a in answers]
    url = raw_server(*replies).url
    api = DoctorApi(Connection(url, Secret("t"), reach=LOOPBACK), "66.0")
    with pytest.raises(LostAnswer):
        api.permissions(["ApiEnabled"])
    api.connection.close()


def test_versions_that_are_none(raw_server):
    body = '[{"version": "66.0"}, {"version": "x"}, 5, {}]'
    about = {
        "Content_Type": "application/json",
        "Date": "Fri, 15 Jan 2027 08:00:00 GMT",
    }
    url = raw_server(http(body, **about)).url
    api = DoctorApi(Connection(url, Secret(""), reach=LOOPBACK), "66.0")
    assert api.served() == Served(("66.0",), 1_800_000_000.0)
    api.connection.close()
