"""REST as clients use it: over HTTP, with a token of the org's administrator."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from metadeploy.emulator.records import save
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.versions import versions


class Client:
    """A client with one session. Every path is below /services/data/v66.0."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        url = path if path.startswith("/services") else f"/services/data/v66.0/{path}"
        headers = {**self.headers, **more.pop("headers", {})}
        return requests.request(
            method, self.url + url, headers=headers, timeout=10, **more
        )

    def query(self, text: str, path: str = "query") -> list[dict[str, Any]]:
        answer = self("GET", path, params={"q": text})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["records"]
        return found


def fault(answer: requests.Response) -> tuple[int, str, str]:
    [error] = answer.json()
    return answer.status_code, error["errorCode"], error["message"]


@pytest.fixture
def admin(server: RunningServer, org: OrgState) -> Client:
    return Client(server.url, org.issue_token(admin_of(org)))


def test_versions_need_no_session(server: RunningServer):
    found = requests.get(server.url + "/services/data", timeout=5).json()
    assert [v["version"] for v in found] == list(versions())
    assert found[-1] == {
        "label": "Spring '26",
        "url": "/services/data/v66.0",
        "version": "66.0",
    }


@pytest.mark.parametrize("version", ["v31.0", "v51.0", "v66.0"])
def test_any_version_serves(admin: Client, version: str):
    answer = admin("GET", f"/services/data/{version}/")
    assert answer.json()["query"] == f"/services/data/{version}/query"


@pytest.mark.parametrize(
    ("version", "status"),
    [("v30.0", 410), ("v99.0", 404), ("66.0", 404), ("vx", 404), ("v66", 404)],
)
def test_other_versions_do_not(admin: Client, version: str, status: int):
    assert admin("GET", f"/services/data/{version}/limits").status_code == status


class TestSession:
    """Who may ask at all."""

    def test_no_token(self, server: RunningServer):
        answer = requests.get(server.url + "/services/data/v66.0", timeout=5)
        wanted = (401, "INVALID_SESSION_ID", "Session expired or invalid")
        assert fault(answer) == wanted

    @pytest.mark.parametrize("token", ["", "00D000000000000!not.a.token", "x"])
    def test_a_wrong_token(self, server: RunningServer, token: str):
        answer = Client(server.url, token)("GET", "limits")
        assert fault(answer)[:2] in (
            (401, "INVALID_SESSION_ID"),
            (401, "INVALID_AUTH_HEADER"),
        )

    def test_another_scheme(self, admin: Client):
        answer = admin("GET", "limits", headers={"Authorization": "Basic eA=="})
        assert fault(answer)[:2] == (401, "INVALID_AUTH_HEADER")

    def test_the_oauth_scheme_is_another_word_for_bearer(self, admin: Client):
        headers = {
            "Authorization": admin.headers["Authorization"].replace("Bearer", "OAuth")
        }
        assert admin("GET", "limits", headers=headers).status_code == 200

    def test_it_expires(self, admin: Client, clock: Any):
        clock.now += 121 * 60
        assert fault(admin("GET", "limits"))[:2] == (401, "INVALID_SESSION_ID")

    def test_a_token_without_the_api_scope(self, server: RunningServer, org: OrgState):
        token = org.issue_token(admin_of(org), scopes=("openid", "id"))
        answer = Client(server.url, token)("GET", "limits")
        assert fault(answer) == (
            401,
            "INVALID_SESSION_ID",
            "This session is not valid for use with the REST API",
        )

    def test_it_lies_about_its_content_type(self, admin: Client):
        headers = {"Content-Type": "text/xml", "SOAPAction": "checkRetrieveStatus"}
        answer = admin("GET", "query/?q=SELECT Id FROM User LIMIT 1", headers=headers)
        assert answer.json()["totalSize"] == 1


class TestQuery:
    """/query, /tooling/query, pages and columns."""

    def test_one_record(self, admin: Client, org: OrgState):
        answer = admin(
            "GET", "query", params={"q": "SELECT Id, Name, IsSandbox FROM Organization"}
        )
        assert answer.headers["Content-Type"].startswith("application/json")
        url = f"/services/data/v66.0/sobjects/Organization/{org.id}"
        assert answer.json() == {
            "totalSize": 1,
            "done": True,
            "records": [
                {
                    "attributes": {"type": "Organization", "url": url},
                    "Id": org.id,
                    "Name": "dev",
                    "IsSandbox": False,
                }
            ],
        }

    def test_parents_and_children(self, admin: Client):
        text = (
            "SELECT Username, CreatedDate, Profile.Name, (SELECT PermissionSetId FROM "
            "PermissionSetAssignments) FROM User WHERE Username = 'admin@dev.emulated'"
        )
        [user] = admin.query(text)
        assert user["CreatedDate"] == "2027-01-15T08:00:00.000+0000"
        assert user["Profile"]["attributes"]["type"] == "Profile"
        assert user["Profile"]["Name"] == "System Administrator"
        assert user["PermissionSetAssignments"] is None

    def test_pages(self, admin: Client, org: OrgState):
        for number in range(450):
            values = {"Name": f"P{number:03}", "Label": "x"}
            save(org, "PermissionSet", f"0PS0000000{number:05}", values, by="")
        headers = {"Sforce-Query-Options": "batchSize=200"}
        text = "SELECT Name FROM PermissionSet WHERE Label = 'x' ORDER BY Name"
        page = admin("GET", "query", params={"q": text}, headers=headers).json()
        names = [r["Name"] for r in page["records"]]
        while not page["done"]:
            assert page["totalSize"] == 450
            page = admin("GET", page["nextRecordsUrl"], headers=headers).json()
            names += [r["Name"] for r in page["records"]]
        assert names == [f"P{number:03}" for number in range(450)]
        assert "nextRecordsUrl" not in page

    def test_a_page_of_somebody_else(
        self, admin: Client, org: OrgState, server: RunningServer
    ):
        for number in range(201):
            save(org, "OauthToken", f"0CQ0000000{number:05}", {"AppName": "x"}, by="")
        headers = {"Sforce-Query-Options": "batchSize=1"}
        answer = admin("GET", "query?q=SELECT Id FROM OauthToken", headers=headers)
        url = answer.json()["nextRecordsUrl"]
        assert url.endswith("-200")
        integration = org.world.user_by_username("integration@dev.emulated")
        assert integration is not None
        other = Client(server.url, org.issue_token(str(integration[1]["Id"])))
        wanted = (400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        assert fault(other("GET", url)) == wanted
        assert fault(admin("GET", "query/01gNothing-2000")) == wanted
        assert fault(admin("GET", "query/nonsense")) == wanted

    def test_columns(self, admin: Client):
        text = "SELECT Id, Profile.Name FROM User"
        answer = admin("GET", "query", params={"q": text, "columns": "true"}).json()
        first, second = answer["columnMetadata"]
        assert (first["columnName"], first["joinColumns"]) == ("Id", [])
        assert (first["aggregate"], first["textType"]) == (False, True)
        assert second["columnName"] == "Profile"
        assert [c["columnName"] for c in second["joinColumns"]] == ["Name"]
        assert answer["entityName"] == "User"
        tooling = admin(
            "GET",
            "tooling/query",
            params={"q": "SELECT Id FROM User", "columns": "true"},
        )
        assert tooling.json()["columnMetadata"][0]["columnName"] == "Id"

    def test_grouped_rows_have_a_type_and_no_url(self, admin: Client):
        [row] = admin.query("SELECT COUNT(Id) n FROM Organization")
        assert row == {"attributes": {"type": "AggregateResult"}, "n": 1}

    @pytest.mark.parametrize(
        ("path", "text", "code"),
        [
            ("query", "SELECT nonsense FROM", "MALFORMED_QUERY"),
            ("query", "", "MALFORMED_QUERY"),
            ("query", "SELECT Id FROM ScratchOrgInfo limit 1", "INVALID_TYPE"),
            ("query", "SELECT Id FROM DeployRequest", "INVALID_TYPE"),
            ("query", "SELECT ConsumerKey FROM ConnectedApplication", "INVALID_FIELD"),
            ("tooling/query", "SELECT Id FROM SandboxProcess", "INVALID_TYPE"),
            ("tooling/query", "SELECT Id FROM SetupEntityAccess", "INVALID_TYPE"),
            (
                "tooling/query",
                "SELECT Id FROM ExtlClntAppOauthPlcyCnfg",
                "INVALID_TYPE",
            ),
        ],
    )
    def test_refusals(self, admin: Client, path: str, text: str, code: str):
        answer = admin("GET", path, params={"q": text})
        assert fault(answer)[:2] == (400, code)

    def test_tooling_knows_deploys(self, admin: Client):
        text = "SELECT Id, Status, CheckOnly FROM DeployRequest ORDER BY CreatedDate"
        assert admin.query(text, "tooling/query") == []


class TestRecords:
    """Create, read, update, delete, and their refusals."""

    def test_the_life_of_a_permission_set(self, admin: Client):
        made = admin(
            "POST", "sobjects/PermissionSet/", json={"Name": "P", "Label": "p"}
        )
        assert made.status_code == 201
        record_id = made.json()["id"]
        assert made.json() == {"id": record_id, "success": True, "errors": []}
        where = f"sobjects/PermissionSet/{record_id}"
        assert made.headers["Location"] == f"/services/data/v66.0/{where}"
        assert admin("PATCH", where, json={"Label": "q"}).status_code == 204
        found = admin("GET", where[:-3]).json()
        assert (found["Name"], found["Label"]) == ("P", "q")
        assert found["attributes"]["url"].endswith(record_id)
        some = admin("GET", where + "?fields=Name, label").json()
        assert list(some) == ["attributes", "Name", "Label"]
        gone = admin("DELETE", where)
        assert (gone.status_code, gone.content) == (204, b"")
        assert fault(admin("GET", where))[:2] == (404, "NOT_FOUND")
        assert fault(admin("DELETE", where))[:2] == (404, "ENTITY_IS_DELETED")

    @pytest.mark.parametrize(
        ("method", "path", "body", "wanted"),
        [
            ("GET", "sobjects/Nothing", None, (404, "NOT_FOUND")),
            ("GET", "sobjects/DeployRequest/describe", None, (404, "NOT_FOUND")),
            ("GET", "sobjects/User/005000000000000AAA", None, (404, "NOT_FOUND")),
            ("GET", "sobjects/User/me", None, (404, "NOT_FOUND")),
            ("GET", "sobjects/User/x/y/z", None, (404, "NOT_FOUND")),
            ("PUT", "sobjects/User", None, (405, "METHOD_NOT_ALLOWED")),
            ("POST", "sobjects/PermissionSet", b"{", (400, "JSON_PARSER_ERROR")),
            ("POST", "sobjects/PermissionSet", b"[]", (400, "JSON_PARSER_ERROR")),
            (
                "POST",
                "sobjects/PermissionSet",
                b'{"Name":{}}',
                (400, "JSON_PARSER_ERROR"),
            ),
            (
                "POST",
                "sobjects/PermissionSet",
                b"[" * 99999,
                (400, "JSON_PARSER_ERROR"),
            ),
            ("POST", "sobjects/PermissionSet", b"{}", (400, "REQUIRED_FIELD_MISSING")),
            ("POST", "sobjects/PermissionSet", b'{"X":1}', (400, "INVALID_FIELD")),
            ("POST", "sobjects/Profile", b"{}", (405, "INVALID_TYPE_FOR_OPERATION")),
        ],
    )
    def test_refusals(
        self, admin: Client, method: str, path: str, body: bytes | None, wanted: Any
    ):
        assert fault(admin(method, path, data=body))[:2] == wanted

    def test_the_type_of_an_access_is_the_orgs_to_say(self, admin: Client):
        body = {"SetupEntityType": "ConnectedApplication"}
        answer = admin("POST", "sobjects/SetupEntityAccess", json=body)
        assert fault(answer) == (
            400,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Field is not writeable: SetupEntityAccess.SetupEntityType",
        )
        assert answer.json()[0]["fields"] == ["SetupEntityType"]

    def test_a_user_who_may_not(self, server: RunningServer, org: OrgState):
        found = org.world.user_by_username("user@dev.emulated")
        assert found is not None
        user = Client(server.url, org.issue_token(str(found[1]["Id"])))
        answer = user(
            "POST", "sobjects/PermissionSet", json={"Name": "P", "Label": "p"}
        )
        assert fault(answer)[:2] == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
        assert not user.query("SELECT Id FROM PermissionSet WHERE Name = 'P'")


class TestDescribe:
    """Describe, and the 404 that Salesforce CLI waits for."""

    def test_source_tracking_is_not_here(self, admin: Client):
        answer = admin("GET", "tooling/sobjects/SourceMember/describe")
        wanted = (404, "NOT_FOUND", "The requested resource does not exist")
        assert fault(answer) == wanted

    def test_an_sobject(self, admin: Client):
        found = admin("GET", "sobjects/SetupEntityAccess/describe").json()
        fields = {field["name"]: field for field in found["fields"]}
        assert fields["ParentId"]["referenceTo"] == ["PermissionSet"]
        assert fields["SetupEntityType"]["createable"] is False
        assert (found["createable"], found["updateable"]) == (True, False)
        assert found["keyPrefix"] == "0J0"

    def test_lists(self, admin: Client):
        names = [s["name"] for s in admin("GET", "sobjects").json()["sobjects"]]
        assert "User" in names and "DeployRequest" not in names
        tooling = admin("GET", "tooling/sobjects").json()["sobjects"]
        assert "DeployRequest" in [s["name"] for s in tooling]
        basic = admin("GET", "sobjects/User").json()
        assert basic["objectDescribe"]["name"] == "User"

    def test_what_is_not_emulated_says_so(self, admin: Client):
        assert fault(admin("GET", "chatter/feeds/news")) == (
            404,
            "NOT_FOUND",
            "The requested resource does not exist (not emulated: chatter/feeds/news)",
        )
        assert fault(admin("GET", "nonsense"))[2] == (
            "The requested resource does not exist"
        )

    def test_limits(self, admin: Client):
        limits = admin("GET", "limits").json()
        assert limits["DailyApiRequests"] == {"Max": 15000, "Remaining": 15000}


class TestCollections:
    """composite/sobjects."""

    def records(self, *names: str) -> list[dict[str, Any]]:
        kind = {"type": "PermissionSet"}
        return [{"attributes": kind, "Name": name, "Label": "x"} for name in names]

    def names(self, admin: Client) -> list[str]:
        text = "SELECT Name FROM PermissionSet WHERE Label = 'x' ORDER BY Name"
        return [row["Name"] for row in admin.query(text)]

    def test_some_of_them(self, admin: Client):
        body = {"allOrNone": False, "records": self.records("A", "1 bad", "B")}
        first, second, third = admin("POST", "composite/sobjects", json=body).json()
        assert first["success"] and third["success"]
        assert second["success"] is False
        assert second["errors"][0]["fields"] == ["Name"]
        assert self.names(admin) == ["A", "B"]

    def test_all_or_none(self, admin: Client):
        body = {"allOrNone": True, "records": self.records("A", "1 bad")}
        first, second = admin("POST", "composite/sobjects", json=body).json()
        assert first["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        assert second["errors"][0]["statusCode"] == "INVALID_FIELD"
        assert self.names(admin) == []

    def test_update_and_delete(self, admin: Client):
        body = {"records": self.records("A", "B")}
        made = admin("POST", "composite/sobjects", json=body).json()
        change = {
            "attributes": {"type": "PermissionSet"},
            "id": made[0]["id"],
            "Name": "C",
        }
        [updated] = admin(
            "PATCH", "composite/sobjects", json={"records": [change]}
        ).json()
        assert updated == {"id": made[0]["id"], "success": True, "errors": []}
        assert self.names(admin) == ["B", "C"]
        ids = ",".join([made[0]["id"], made[1]["id"], "zzz000000000001"])
        gone = admin("DELETE", f"composite/sobjects?ids={ids}").json()
        assert [r["success"] for r in gone] == [True, True, False]
        assert self.names(admin) == []

    @pytest.mark.parametrize(
        "body", [{}, {"records": {}}, {"records": [1]}, {"records": [{}] * 201}]
    )
    def test_refusals(self, admin: Client, body: Any):
        assert admin("POST", "composite/sobjects", json=body).status_code == 400

    def test_a_record_without_a_type(self, admin: Client):
        [row] = admin("POST", "composite/sobjects", json={"records": [{}]}).json()
        assert row["errors"][0]["statusCode"] == "INVALID_INPUT"


def test_two_orgs_do_not_see_each_other(
    world: World, org: OrgState, admin: Client, server: RunningServer
):
    other = world.create_org("uat")
    client = Client(server.url, other.issue_token(admin_of(other)))
    assert client.query("SELECT Name FROM Organization")[0]["Name"] == "uat"
    assert fault(client("GET", f"sobjects/Organization/{org.id}"))[0] == 404
