"""Faults on request against a whole world: over HTTP, and what they leave behind."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import pytest
import requests

from metadeploy.emulator import jobs
from metadeploy.emulator.injection import KINDS, Injection
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.server import RunningServer
from metadeploy.emulator.state import OrgState, World
from metadeploy.model import Ref

NS = "http://soap.sforce.com/2006/04/metadata"
PACKAGE = (
    f'<Package xmlns="{NS}"><types><members>P</members><name>PermissionSet</name>'
    "</types><version>66.0</version></Package>"
)
SET = f'<PermissionSet xmlns="{NS}"><label>p</label></PermissionSet>'
PERMISSION_SET = Ref("PermissionSet", "P")


def deploy(server: RunningServer, org: OrgState) -> requests.Response:
    """Send a deploy over SOAP."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("package.xml", PACKAGE)
        archive.writestr("permissionsets/P.permissionset", SET)
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:m="{NS}"><e:Header><m:SessionHeader><m:sessionId>'
        f"{org.issue_token(admin_of(org))}</m:sessionId></m:SessionHeader></e:Header>"
        "<e:Body><m:deploy><m:ZipFile>"
        f"{base64.b64encode(data.getvalue()).decode()}</m:ZipFile><m:DeployOptions>"
        "<m:singlePackage>true</m:singlePackage></m:DeployOptions></m:deploy>"
        "</e:Body></e:Envelope>"
    )
    url = f"{server.url}/services/Soap/m/66.0"
    return requests.post(url, data=body.encode(), timeout=20)


def admin(
    server: RunningServer, method: str, path: str = "", **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    url = f"{server.url}/emulator/faults{path}"
    return requests.request(method, url, headers=headers, timeout=5, **more)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("reset-before-body", False),
        ("reset-before-apply", False),
        ("session-expired", False),
        ("reset-after-apply", True),
        ("cut", True),
        ("no-length", True),
    ],
)
def test_a_deploy_is_there_or_it_is_not(
    server: RunningServer, org: OrgState, kind: str, kept: bool
):
    server.injections.add(Injection(kind, on="deploy"))
    try:
        answer = deploy(server, org)
    except requests.RequestException:
        pass
    else:
        assert "<id>0Af" not in answer.text or kind == "no-length"
    assert (org.component(PERMISSION_SET) is not None) == kept
    assert len(jobs.recent_deploys(org)) == int(kept)


def test_a_deploy_that_fails_of_a_lock(server: RunningServer, org: OrgState):
    message = "unable to obtain exclusive access to this record"
    fault = Injection("deploy-fails", code="UNABLE_TO_LOCK_ROW", message=message)
    server.injections.add(fault)
    assert deploy(server, org).status_code == 200
    [job] = jobs.recent_deploys(org)
    assert (job.status, job.error_code, job.error_message) == (
        "Failed",
        "UNABLE_TO_LOCK_ROW",
        message,
    )
    assert org.component(PERMISSION_SET) is None
    assert deploy(server, org).status_code == 200
    assert jobs.recent_deploys(org)[0].success


def test_one_org_of_two(server: RunningServer, world: World, org: OrgState):
    other = world.create_org("other")
    server.injections.add(Injection("fault", org=other.id, times=0))
    assert deploy(server, org).status_code == 200
    assert deploy(server, other).status_code == 500


def test_a_fault_of_rest_and_of_oauth(server: RunningServer, org: OrgState):
    code, message = "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."
    server.injections.add(Injection("fault", on="*/query", code=code, message=message))
    headers = {"Authorization": f"Bearer {org.issue_token(admin_of(org))}"}
    url = f"{server.url}/services/data/v66.0/query?q=SELECT Id FROM User"
    answer = requests.get(url, headers=headers, timeout=5)
    assert answer.status_code == 403
    assert answer.json() == [{"message": message, "errorCode": code}]
    assert requests.get(url, headers=headers, timeout=5).status_code == 200
    limit = Injection("fault", on="*/token", code="rate_limit_exceeded", message="x")
    server.injections.add(limit)
    token = requests.post(f"{server.url}/services/oauth2/token", timeout=5)
    assert token.json() == {"error": "rate_limit_exceeded", "error_description": "x"}
    server.injections.add(Injection("session-expired"))
    answer = requests.get(url, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (
        401,
        "INVALID_SESSION_ID",
    )


class TestOverHttp:
    def test_program_look_forget(self, server: RunningServer, org: OrgState):
        body = {"kind": "status", "on": "deploy", "status": 502, "times": 2}
        made = admin(server, "POST", json=body)
        assert made.status_code == 201
        key = made.json()["id"]
        assert deploy(server, org).status_code == 502
        [found] = admin(server, "GET").json()
        assert (found["id"], found["fired"], found["times"]) == (key, 1, 2)
        assert found["point"] == "before apply"
        assert admin(server, "DELETE", f"/{key}").status_code == 204
        assert admin(server, "DELETE", f"/{key}").status_code == 404
        assert admin(server, "DELETE").status_code == 204
        assert admin(server, "GET").json() == []
        assert deploy(server, org).status_code == 200

    def test_it_is_not_struck_itself(self, server: RunningServer):
        admin(server, "POST", json={"kind": "status", "times": 0})
        assert admin(server, "GET").status_code == 200

    def test_kinds(self, server: RunningServer):
        assert set(admin(server, "GET", "/kinds").json()) == set(KINDS)

    @pytest.mark.parametrize("data", [b"{", b"[]", b'{"kind":"x"}', b"[" * 9999])
    def test_refusals(self, server: RunningServer, data: bytes):
        answer = admin(server, "POST", data=data)
        assert answer.status_code == 400
        assert answer.json()["error"]

    @pytest.mark.parametrize("token", ["", "wrong", "é"])
    def test_without_the_admin_token(self, server: RunningServer, token: str):
        url = f"{server.url}/emulator/faults"
        headers = {"Authorization": f"Bearer {token}".encode()}
        for method in ("GET", "POST", "DELETE"):
            answer = requests.request(method, url, headers=headers, timeout=5)
            assert answer.status_code == 401

    def test_elsewhere(self, server: RunningServer):
        assert admin(server, "PUT").status_code == 404

    def test_the_token_is_the_worlds_and_its_owners(
        self, server: RunningServer, world: World
    ):
        path = world.store.path.parent / "admin-token"
        assert server.admin_token == path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
