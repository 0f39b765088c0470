"""Queries and access records: against an emulated org, and against odd answers."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from raw_server import http

from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import serve
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import open_world
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployOptions,
    DeployRequest,
    Ref,
    Secret,
    id18,
)
from metadeploy.package import pack
from metadeploy.plan import OrgFacts
from metadeploy.reach import LOOPBACK

APP = "0H4000000000001AAA"
ODD_NAMES = [
    "O'Hara",
    "back\\slash",
    "both\\'s",
    "' OR Name != '",
    "\\",
    'say "hi"',
    "%",
]


@pytest.fixture
def world(tmp_path):
    made = open_world(tmp_path / "orgs" / "world.db")
    with serve(made) as server:
        made.url = server.url
        yield made
    made.close()


def connection_to(world, org):
    return Connection(world.url, Secret(org.issue_token(admin_of(org))), reach=LOOPBACK)


@pytest.fixture
def org(world):
    return world.create_org("dev")


@pytest.fixture
def connection(world, org):
    made = connection_to(world, org)
    yield made
    made.close()


@pytest.fixture
def data(connection):
    return DataApi(connection, "66.0")


def component(ref, inside):
    body = f'<{ref.type} xmlns="{METADATA_NS}">{inside}</{ref.type}>'
    return Component(ref, body.encode())


def app(name, label):
    return component(
        Ref("ConnectedApp", name),
        f"<contactEmail>a@example.com</contactEmail><label>{label}</label><oauthConfig>"
        "<callbackUrl>https://a.example</callbackUrl><isAdminApproved>true"
        "</isAdminApproved><scopes>Api</scopes></oauthConfig>",
    )


def permission_set(name):
    return component(Ref("PermissionSet", name), f"<label>{name}</label>")


@pytest.fixture
def deploy(connection):
    def send(*components):
        api = MetadataApi(connection, "66.0")
        deploy_id = api.deploy(pack(components, "66.0"), DeployOptions())
        result = api.check_deploy_status(deploy_id)
        assert result.success, result.messages
        return {f.ref.full_name: f.id for f in api.list_metadata(["ConnectedApp"])}

    return send


# An emulated org.


@pytest.mark.parametrize(
    ("kind", "production"),
    [
        ("production", True),
        ("sandbox", False),
        ("scratch", False),
        ("developer", False),
    ],
)
def test_what_an_org_is_it_says_itself(world, kind, production):
    org = world.create_org("acme", OrgSettings(kind=kind))
    connection = connection_to(world, org)
    facts = DataApi(connection, "66.0").facts()
    connection.close()
    assert facts == OrgFacts(id18(org.id), "acme", production)


def test_who_changed_what_is_told_the_newest_first(world, org, data, deploy):
    before = world.clock()
    app_id = deploy(app("Portal", "My portal"), permission_set("P"))["Portal"]
    data.grant(data.parent_id(Ref("PermissionSet", "P")), app_id)
    rows = data.setup_changes()
    assert {row.user for row in rows} == {rows[0].user} != {""}
    assert {(row.action, row.section, row.words) for row in rows} == {
        ("insertApplication", "Application", "Created Connected App My portal"),
        (
            "PermSetCreateNoLicense",
            "Manage Users",
            "Created permission set P: with no license",
        ),
        (
            "SetupEntityAccessAudit_PermissionSet_ConnectedApplication_Enabled",
            "Manage Users",
            "Changed permission set P: Portal connected app is enabled",
        ),
    }
    times = [row.at for row in rows]
    assert times == sorted(times, reverse=True)
    assert data.setup_changes(before - 60) == rows
    assert data.setup_changes(world.clock() + 60) == ()
    now = datetime.strptime(rows[0].at, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    assert data.setup_changes(now) == ()
    assert rows[0] in data.setup_changes(now - 0.001)


def test_access_is_given_seen_and_taken(data, deploy):
    app_id = deploy(app("Portal", "Portal"), permission_set("Portal_API"))["Portal"]
    assert data.holders([app_id]) == {app_id: {}}
    people = Ref("PermissionSet", "Portal_API")
    admins = Ref("Profile", "Admin")
    for holder in (people, admins):
        data.grant(data.parent_id(holder), app_id)
    found = data.holders([app_id, app_id])
    assert set(found) == {app_id}
    assert set(found[app_id]) == {people, admins}
    data.revoke(found[app_id][people])
    assert set(data.holders([app_id])[app_id]) == {admins}


def test_no_app_is_no_question(raw_server):
    server = raw_server()
    assert (
        DataApi(Connection(server.url, Secret("t"), reach=LOOPBACK), "66.0").holders([])
        == {}
    )
    assert server.requests == []


def test_a_holder_that_is_not_there(data):
    with pytest.raises(ApiFault, match="the org has 0 of PermissionSet Nobody"):
        data.parent_id(Ref("PermissionSet", "Nobody"))
    with pytest.raises(ApiFault, match="the org has 0 of Profile Nobody"):
        data.parent_id(Ref("Profile", "Nobody"))


@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_is_more_than_a_name(data, name):
    assert data.app_id(name) is None
    for type_ in ("Profile", "PermissionSet"):
        with pytest.raises(ApiFault, match="the org has 0 of"):
            data.parent_id(Ref(type_, name))


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_app_is_found_by_its_label_to_the_character(data, deploy, name):
    ids = deploy(app("Odd", name), app("Even", "even"))
    assert data.app_id(name) == ids["Odd"]
    assert data.app_id("even") == ids["Even"]


def test_two_apps_of_one_label_are_not_guessed_at(data, deploy):
    deploy(app("One", "Same"), app("Two", "Same"))
    with pytest.raises(ApiFault, match="the org has 2 apps labelled 'Same'"):
        data.app_id("Same")


def test_giving_twice_is_the_orgs_fault(data, deploy):
    app_id = deploy(app("Portal", "Portal"))["Portal"]
    parent = data.parent_id(Ref("Profile", "Admin"))
    data.grant(parent, app_id)
    with pytest.raises(ApiFault) as caught:
        data.grant(parent, app_id)
    assert caught.value.code == "DUPLICATE_VALUE"


def test_a_query_that_is_none(data):
    with pytest.raises(ApiFault) as caught:
        data.query("SELECT nonsense FROM Organization")
    assert caught.value.code == "INVALID_FIELD"


# Odd answers.


@pytest.fixture
def answering(raw_server):
    made = []

    def to(*pages):
        texts = (p if isinstance(p, str) else json.dumps(p) for p in pages)
        server = raw_server(*(http(t, Content_Type="application/json") for t in texts))
        made.append(Connection(server.url, Secret("canary.token"), reach=LOOPBACK))
        found = DataApi(made[-1], "66.0")
        found.server = server
        return found

    yield to
    for connection in made:
        connection.close()


def rows(*records, **more):
    return {"totalSize": len(records), "done": True, "records": records, **more}


def test_all_pages_are_read(answering):
    second = "/services/data/v66.0/query/01g-2"
    data = answering(
        rows({"Id": "1"}, done=False, nextRecordsUrl=second),
        rows({"Id": "2"}, done=False, nextRecordsUrl=f"{second}000"),
        rows({"Id": "3"}),
    )
    found = data.query("SELECT Id FROM A WHERE B = 'x & y + z/é'")
    assert [r["Id"] for r in found] == ["1", "2", "3"]
    asked = [r.split(b" ")[1] for r in data.server.requests]
    assert asked[0] == (
        b"/services/data/v66.0/query?q=SELECT%20Id%20FROM%20A%20WHERE%20B%20%3D%20"
        b"%27x%20%26%20y%20%2B%20z%2F%C3%A9%27"
    )
    assert asked[1:] == [second.encode(), f"{second}000".encode()]
    assert all(b"Authorization: Bearer canary.token" in r for r in data.server.requests)


NO_PAGES = {
    "no next page": [rows(done=False)],
    "an empty next page": [rows(done=False, nextRecordsUrl="")],
    "no word of the end": [{"records": []}],
    "a circle": [rows(done=False, nextRecordsUrl="/services/data/v66.0/query/1")],
    "a list": [[]],
    "no records": [{"done": True}],
    "records that are none": [{"done": True, "records": {"Id": "1"}}],
    "a row that is none": [rows("Id")],
    "nothing": ["null"],
}


@pytest.mark.parametrize("pages", NO_PAGES.values(), ids=NO_PAGES)
def test_half_an_answer_is_none(answering, pages):
    data = answering(*pages)
    with pytest.raises(LostAnswer, match="the org's answer to a query has"):
        data.query("SELECT Id FROM A")
    assert len(data.server.requests) < 4


def test_a_next_page_cannot_lead_elsewhere(answering, raw_server):
    other = raw_server(http("{}"))
    elsewhere = f"@127.0.0.1:{other.port}/services/data/v66.0/query/1"
    with pytest.raises(ApiFault, match="is no path"):
        answering(rows(done=False, nextRecordsUrl=elsewhere)).query("SELECT Id FROM A")
    assert other.requests == []


@pytest.mark.parametrize(
    ("about", "production"),
    [
        ({"IsSandbox": False, "OrganizationType": "Enterprise Edition"}, True),
        ({"IsSandbox": True}, False),
        ({}, True),
        ({"IsSandbox": None}, True),
        ({"IsSandbox": "true"}, True),
        ({"TrialExpirationDate": "2027-01-01T00:00:00.000+0000"}, False),
        ({"OrganizationType": "Developer Edition"}, False),
    ],
)
def test_an_org_that_says_too_little_is_production(answering, about, production):
    row = {"Id": "00DWs000003xYZ1", "Name": "Acme", **about}
    facts = answering(rows(row)).facts()
    assert facts == OrgFacts(id18("00DWs000003xYZ1"), "Acme", production)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "the org says that it is 0 orgs"),
        ([{}, {}], "the org says that it is 2 orgs"),
        ([{"Name": "Acme"}], "a row without Id"),
        ([{"Id": None, "Name": "Acme"}], "a row without Id"),
        ([{"Id": "00D", "Name": "Acme"}], "the org's Id is none"),
        ([{"Id": "00DWs000003xYZ1"}], "a row without Name"),
    ],
)
def test_facts_that_are_none(answering, found, said):
    with pytest.raises(LostAnswer, match=said):
        answering(rows(*found)).facts()


def access(**more):
    return {
        "Id": "0J0000000000001",
        "SetupEntityId": APP,
        "Parent": {"Name": "Portal_API", "IsOwnedByProfile": False},
        **more,
    }


def test_ids_of_15_and_18_characters_are_one(answering):
    data = answering(rows(access(SetupEntityId=APP[:15])))
    holder = Ref("PermissionSet", "Portal_API")
    assert data.holders([APP]) == {APP: {holder: "0J0000000000001"}}


def test_rows_of_other_apps_are_not_ours(answering):
    data = answering(rows(access(SetupEntityId="0H4000000000009AAA")))
    assert data.holders([APP]) == {APP: {}}


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        (access(SetupEntityId=None), "SetupEntityId"),
        (access(Id=5), "Id"),
        (access(Parent=None), "Parent"),
        (access(Parent={"IsOwnedByProfile": False}), "Name"),
        (access(Parent={"IsOwnedByProfile": True}), "Profile"),
        (access(Parent={"IsOwnedByProfile": True, "Profile": {}}), "Name"),
    ],
)
def test_a_row_that_lacks_what_it_is_about(answering, row, missing):
    with pytest.raises(LostAnswer, match=f"a row without {missing}$"):
        answering(rows(row)).holders([APP])


def test_many_apps_are_asked_for_in_parts(answering):
    data = answering(rows())
    ids = [f"0H4{n:012}AAA" for n in range(250)]
    assert set(data.holders(ids)) == set(ids)
    assert [r.count(b"0H4") for r in data.server.requests] == [100, 100, 50]


def test_a_row_id_is_one_step_of_a_path(answering):
    data = answering('{"success": true}')
    data.revoke("../../x?y")
    assert (
        b"/sobjects/SetupEntityAccess/..%2F..%2Fx%3Fy HTTP" in data.server.requests[0]
    )


# -- the org's deploys


def deployed(connection, *components, check_only=False):
    api = MetadataApi(connection, "66.0")
    return api.deploy(pack(components, "66.0"), DeployOptions(check_only=check_only))


def test_the_last_deploys_are_listed_newest_first(data, connection):
    assert data.deploys() == ()
    first = deployed(connection, app("A", "A"))
    second = deployed(connection, app("B", "B"), check_only=True)
    failed = deployed(connection, component(Ref("ConnectedApp", "C"), "<odd/>"))
    rows = data.deploys()
    assert [row.id for row in rows] == [failed, second, first]
    assert [row.check_only for row in rows] == [False, True, False]
    assert [row.status for row in rows] == ["Failed", "Succeeded", "Succeeded"]
    assert not any(row.running for row in rows)
    assert {row.created_by for row in rows} == {"Admin"}
    assert rows[2].total == 1


def test_a_deploy_that_waits_is_running(world):
    org = world.create_org("slow", OrgSettings(deploy_polls=5))
    made = connection_to(world, org)
    deployed(made, app("A", "A"))
    (row,) = DataApi(made, "66.0").deploys()
    assert (row.status, row.running) == ("Pending", True)
    made.close()


def test_how_many_deploys_come_before_ours(world):
    org = world.create_org("slow", OrgSettings(deploy_polls=5))
    made = connection_to(world, org)
    data = DataApi(made, "66.0")
    ids = [deployed(made, app(name, name)) for name in "ABC"]
    assert [data.ahead(one) for one in ids] == [0, 1, 2]
    assert data.ahead(ids[2][:15]) == 2
    assert data.ahead("0Af000000000009AAA") is None
    made.close()


def test_the_queue_is_asked_in_no_new_session(raw_server):
    expired = json.dumps([{"errorCode": "INVALID_SESSION_ID", "message": "expired"}])
    server = raw_server(http(expired, status=401))
    made = Connection(server.url, Secret("canary.token"), reach=LOOPBACK)
    made.renew = lambda: pytest.fail("nobody logs in for that")
    with pytest.raises(ApiFault, match="INVALID_SESSION_ID"):
        DataApi(made, "66.0").ahead("0Af000000000001AAA")
    assert len(server.requests) == 1
    made.close()


@pytest.mark.parametrize("said", [{}, {"Id": "x"}, {"Id": "0Af000000000001AAB"}])
def test_a_queue_that_makes_no_sense_is_a_fault(answering, said):
    with pytest.raises(LostAnswer):
        answering(rows(said)).ahead("0Af000000000001AAA")


def test_a_deploy_of_a_status_that_nobody_knows_is_running():
    assert DeployRequest("0Af", "Polishing", False, "Ann").running


def test_rows_of_the_trail_that_say_little_or_nonsense(answering):
    at = "2026-01-01T00:00:00.000+0000"
    by_nobody = {"CreatedDate": at, "CreatedBy": None, "Display": "x"}
    (row,) = answering(rows(by_nobody)).setup_changes()
    assert (row.user, row.words, row.delegate) == ("", "x", "")
    with pytest.raises(LostAnswer, match="a time that is none: 'soon'"):
        answering(rows({**by_nobody, "CreatedDate": "soon"})).setup_changes(1.0)
