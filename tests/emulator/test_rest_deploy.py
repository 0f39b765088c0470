"""Deploys over REST, as each client writes them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.emulator import jobs
from metadeploy.emulator.multipart import parts_of
from metadeploy.emulator.rest_deploy import deploy_options
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref, id18

NS = "http://soap.sforce.com/2006/04/metadata"
PACKAGE = (
    f'<Package xmlns="{NS}"><types><members>P</members><name>PermissionSet</name>'
    "</types><version>66.0</version></Package>"
)
SET = f'<PermissionSet xmlns="{NS}"><label>p</label></PermissionSet>'
BROKEN = f'<PermissionSet xmlns="{NS}"><nonsense/><label>p</label></PermissionSet>'
URL = "/services/data/v66.0/metadata/deployRequest"


def zipped(body: str = SET, folder: str = "") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(folder + "package.xml", PACKAGE)
        archive.writestr(folder + "permissionsets/P.permissionset", body)
    return data.getvalue()


class Client:
    def __init__(self, server: RunningServer, org: OrgState) -> None:
        self.url = server.url + URL
        self.headers = {"Authorization": f"Bearer {org.issue_token(admin_of(org))}"}

    def post(self, **more: Any) -> requests.Response:
        return requests.post(self.url, headers=self.headers, timeout=20, **more)

    def deploy(self, data: bytes | None = None, **options: Any) -> requests.Response:
        """Deploy as Salesforce CLI and jsforce do."""
        described = json.dumps({"deployOptions": {"singlePackage": True, **options}})
        files = [
            ("file", ("package.xml", data or zipped(), "application/zip")),
            ("entity_content", (None, described, "application/json")),
        ]
        return self.post(files=files)

    def status(self, deploy_id: str, *, details: bool = True) -> dict[str, Any]:
        answer = requests.get(
            f"{self.url}/{deploy_id}",
            params={"includeDetails": "true"} if details else {},
            headers=self.headers,
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def cancel(self, deploy_id: str, status: str = "Canceling") -> requests.Response:
        body = {"deployResult": {"status": status}}
        return requests.patch(
            f"{self.url}/{deploy_id}", json=body, headers=self.headers, timeout=20
        )


@pytest.fixture
def client(server: RunningServer, org: OrgState) -> Client:
    return Client(server, org)


def test_the_way_of_salesforce_cli(client: Client, org: OrgState):
    answer = client.deploy()
    assert answer.status_code == 201
    deploy_id = answer.json()["id"]
    found = client.status(deploy_id)
    result = found["deployResult"]
    assert found["id"] == result["id"] == deploy_id
    assert (result["done"], result["success"], result["status"]) == (
        True,
        True,
        "Succeeded",
    )
    assert result["errorMessage"] is None
    assert result["createdDate"].endswith("+0000")
    rows = {r["fullName"]: r for r in result["details"]["componentSuccesses"]}
    assert rows["P"]["created"] is True
    assert result["details"]["componentFailures"] == []
    assert org.component(Ref("PermissionSet", "P"))
    assert client.status(deploy_id, details=False)["deployResult"]["details"] == {}


def test_the_way_of_cumulusci(client: Client, org: OrgState):
    """JSON first, booleans as text, null for nothing, the zip below a folder."""
    options = {"checkOnly": "true", "purgeOnDelete": "false", "testLevel": None}
    files = [
        ("json", (None, json.dumps({"deployOptions": options}), "application/json")),
        ("file", ("metadata.zip", zipped(folder="metadata/"), "application/zip")),
    ]
    answer = client.post(files=files)
    assert answer.status_code == 201
    result = client.status(answer.json()["id"])["deployResult"]
    assert (result["checkOnly"], result["status"]) == (True, "Succeeded")
    assert org.component(Ref("PermissionSet", "P")) is None


def test_a_failure_has_all_its_keys(client: Client):
    answer = client.deploy(zipped(BROKEN))
    result = client.status(answer.json()["id"])["deployResult"]
    assert (result["status"], result["success"]) == ("Failed", False)
    [row] = result["details"]["componentFailures"]
    assert row["problemType"] == "Error"
    assert "nonsense" in row["problem"]
    assert {"lineNumber", "columnNumber", "problem", "fileName"} <= set(row)


def test_soap_knows_the_same_job(client: Client, org: OrgState):
    deploy_id = client.deploy().json()["id"]
    assert jobs.load_deploy(org, deploy_id).status == "Succeeded"
    assert [row["Id"] for row in org.records("DeployRequest")] == [deploy_id]


def test_quick_deploy(client: Client, org: OrgState):
    options = {"checkOnly": True, "testLevel": "RunLocalTests"}
    validation = client.deploy(**options).json()["id"]
    answer = client.post(json={"validatedDeployRequestId": validation})
    assert answer.status_code == 201
    assert answer.json()["id"] != validation
    assert answer.json()["validatedDeployRequestId"] == validation
    result = client.status(answer.json()["id"])["deployResult"]
    assert result["status"] == "Succeeded"
    assert org.component(Ref("PermissionSet", "P"))


def test_cancel(server: RunningServer, world: World):
    org = world.create_org("slow", OrgSettings(deploy_polls=5))
    client = Client(server, org)
    first, second = client.deploy().json(), client.deploy().json()
    assert first["deployResult"]["status"] == "Pending"
    assert client.status(first["id"])["deployResult"]["done"] is False
    answer = client.cancel(second["id"])
    assert answer.status_code == 202
    assert answer.json()["deployResult"]["status"] == "Canceled"
    assert client.cancel(first["id"], "Canceled").json()["deployResult"]["status"] == (
        "Canceling"
    )
    assert client.status(first["id"])["deployResult"]["status"] == "Canceled"
    assert client.cancel(first["id"], "Succeeded").status_code == 400


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"json": {}}, "INVALID_INPUT"),
        ({"data": b"nonsense"}, "JSON_PARSER_ERROR"),
        (
            {"files": [("json", (None, "{}", "application/json"))]},
            "INVALID_MULTIPART_REQUEST",
        ),
        (
            {
                "files": [
                    ("file", ("p.zip", b"x", "application/zip")),
                    ("json", (None, "[]", "application/json")),
                ]
            },
            "JSON_PARSER_ERROR",
        ),
        ({"json": {"validatedDeployRequestId": "0Af"}}, "INVALID_ID_FIELD"),
    ],
)
def test_refusals(client: Client, request_: dict[str, Any], code: str):
    answer = client.post(**request_)
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code


def test_what_is_no_zip_is_a_job_that_failed(client: Client):
    result = client.status(client.deploy(b"garbage").json()["id"])["deployResult"]
    assert (result["done"], result["success"], result["status"]) == (
        True,
        False,
        "Failed",
    )
    assert result["errorMessage"]


def test_an_unknown_deploy(client: Client):
    answer = requests.get(
        f"{client.url}/{id18('0Af000000000001')}", headers=client.headers, timeout=5
    )
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == "INVALID_CROSS_REFERENCE_KEY"


def test_options_of_json():
    options = deploy_options(
        {"runTests": "A, B", "testLevel": "RunSpecifiedTests", "rollbackOnError": False}
    )
    assert options.run_tests == ("A", "B")
    assert options.rollback_on_error is False
    assert deploy_options({"runTests": ["A"], "checkOnly": "TRUE"}).check_only
    assert deploy_options({}) == jobs.DeployOptions()


BYTES = st.binary(max_size=200).filter(lambda data: b"--bound" not in data)


@given(st.lists(BYTES, min_size=1, max_size=4))
def test_parts_come_back_as_they_went(bodies: list[bytes]):
    files = [("n", (f"f{i}", body, "a/b")) for i, body in enumerate(bodies)]
    request = requests.Request("POST", "http://localhost", files=files).prepare()
    content_type = str(request.headers["Content-Type"])
    assert isinstance(request.body, bytes)
    found = parts_of(content_type, request.body)
    assert found is not None
    assert [part.body for part in found] == bodies
    assert [part.file_name for part in found] == [f"f{i}" for i in range(len(bodies))]
    assert parts_of("text/xml", request.body) == found


@given(st.binary(max_size=300))
def test_any_body_is_taken_apart_or_not(body: bytes):
    parts = parts_of("multipart/form-data; boundary=bound", b"--bound" + body)
    assert parts is not None
    assert all(part.body in body for part in parts)
