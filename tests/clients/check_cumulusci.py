"""CumulusCI against an emulated org: check_cumulusci.py BASE_URL TOKEN PACKAGE_DIR

Runs the real `cci`, then CumulusCI's own Python API, in a project of their own in the
current folder. Prints `ok …` for each thing that held and exits 0 only if all did.
BASE_URL is https: CumulusCI speaks nothing else. Environment: REQUESTS_CA_BUNDLE,
NODE_EXTRA_CA_CERTS, SF_BIN, NODE22, WIRE_USERNAME, WIRE_CONSUMER_KEY,
WIRE_JWT_KEY_FILE, WIRE_ORG_ID, WIRE_USER_ID.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from cumulusci.cli.runtime import CliRuntime
from cumulusci.core.config import TaskConfig
from cumulusci.salesforce_api.exceptions import MetadataApiError
from cumulusci.salesforce_api.metadata import (
    ApiDeploy,
    ApiListMetadata,
    ApiListMetadataTypes,
    ApiRetrieveInstalledPackages,
    ApiRetrieveUnpackaged,
)
from cumulusci.salesforce_api.rest_deploy import RestDeploy
from cumulusci.tasks.salesforce import BaseSalesforceApiTask

BASE, TOKEN, PACKAGE = sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3])
API_VERSION = "66.0"
BAD_TOKEN = "00D000000000000!not.a.token"
PROJECT = Path("cci").resolve()
BROKEN = """<?xml version="1.0" encoding="UTF-8"?>
<PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata">
    <noSuchElement>1</noSuchElement>
    <label>Broken</label>
</PermissionSet>
"""
MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<Package xmlns="http://soap.sforce.com/2006/04/metadata">
    <types>
        <members>Broken</members>
        <name>PermissionSet</name>
    </types>
    <version>66.0</version>
</Package>
"""
PROJECT_FILE = """minimum_cumulusci_version: '4.0.0'
project:
    name: wire
    package:
        name: wire
        api_version: '66.0'
    git:
        default_branch: main
tasks:
    show_assigned:
        class_path: cumulusci.tasks.preflight.permsets.GetPermissionSetAssignments
    add_permission_set_perms:
        options:
            api_names: Wire_Perm_0001
            api_version: '66.0'
            field_permissions:
                - {field: Account.Phone, readable: true, editable: false}
"""


def ok(text: str) -> None:
    print("ok  ", text, flush=True)


def make_project() -> None:
    """Write a CumulusCI project, which has to be a git repository."""
    shutil.copytree(PACKAGE / "mdapi", PROJECT / "src")
    (PROJECT / "cumulusci.yml").write_text(PROJECT_FILE, "utf-8")
    (PROJECT / "bad" / "permissionsets").mkdir(parents=True)
    broken = PROJECT / "bad" / "permissionsets" / "Broken.permissionset"
    broken.write_text(BROKEN, "utf-8")
    (PROJECT / "bad" / "package.xml").write_text(MANIFEST, "utf-8")
    git = ["git", "-c", "user.name=wire", "-c", "user.email=wire@wire.example"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"]):
        subprocess.run([*git, *command], cwd=PROJECT, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Start"], cwd=PROJECT, check=True)
    # It has looked for a newer CumulusCI just now, so it does not look again.
    stamp = Path.home() / ".cumulusci" / "cumulus_timestamp"
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(str(time.time()), "utf-8")


def org_from_environment(name: str, token: str) -> dict[str, str]:
    """Return the variables by which CumulusCI knows an org; it keeps what it read."""
    org_id, user_id = os.environ["WIRE_ORG_ID"], os.environ["WIRE_USER_ID"]
    org = {
        "instance_url": BASE,
        "username": os.environ["WIRE_USERNAME"],
        "id": f"{BASE}/id/{org_id}/{user_id}",
        "access_token": token,
    }
    return {
        "CUMULUSCI_KEYCHAIN_CLASS": "cumulusci.core.keychain."
        "EnvironmentProjectKeychain",
        "CUMULUSCI_KEY": "0123456789abcdef",
        f"CUMULUSCI_ORG_{name}": json.dumps(org),
    }


KEPT = {**org_from_environment("dev", TOKEN), "CUMULUSCI_DISABLE_REFRESH": "1"}
BY_JWT = {
    **org_from_environment("jwt", BAD_TOKEN),
    "SFDX_CLIENT_ID": os.environ["WIRE_CONSUMER_KEY"],
    "SFDX_HUB_KEY": Path(os.environ["WIRE_JWT_KEY_FILE"]).read_text("utf-8"),
    "SF_PROD_LOGIN_URL": BASE,
}


def run(
    command: list[str], *, extra: dict[str, str] | None = None, code: int = 0
) -> str:
    """Run a command in the project; return what it printed. It ends with `code`."""
    path = [str(Path(sys.executable).parent), os.environ["NODE22"]]
    path += [str(Path(os.environ["SF_BIN"]).parent), os.environ["PATH"]]
    switches = {
        "SF_DISABLE_TELEMETRY": "true",
        "SF_AUTOUPDATE_DISABLE": "true",
        "SF_DISABLE_AUTOUPDATE": "true",
        "SF_SKIP_NEW_VERSION_CHECK": "true",
        "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
        "SF_DISABLE_LOG_FILE": "true",
        "CI": "true",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "PATH": ":".join(path),
    }
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **switches, **(extra or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode == code, f"{command}: exit {done.returncode}\n{output}"
    return output


def cci(
    *arguments: str,
    extra: dict[str, str] | None = None,
    code: int = 0,
    org: str = "dev",
) -> str:
    """Run `cci task run …` against an org."""
    command = ["cci", "task", "run", arguments[0], "--org", org, *arguments[1:]]
    return run(command, extra=extra or KEPT, code=code)


def check_deploys() -> None:
    assert "[Success]: Succeeded" in cci("deploy", "--path", "src")
    ok("cci task run deploy")
    shown = cci("deploy", "--path", "src", "-o", "rest_deploy", "True")
    assert "Deployment Succeeded" in shown, shown
    ok("cci task run deploy -o rest_deploy True")
    shown = cci("deploy", "--path", "src", "-o", "check_only", "True")
    assert "[Success]: Succeeded" in shown
    ok("cci task run deploy -o check_only True")
    shown = cci("deploy", "--path", "bad", code=1)
    told = (
        r"Update of PermissionSet Broken: Error on line 3, col \d+: Error parsing file"
    )
    assert re.search(told, " ".join(shown.split())), shown
    shown = cci("deploy", "--path", "bad", "-o", "rest_deploy", "True", code=1)
    told = "ERROR in file permissionsets/Broken.permissionset: Error parsing file: "
    assert told in " ".join(shown.split()), shown
    assert re.search(r"at line 3:\d+", shown), shown
    ok("a failing deploy, over SOAP and over REST, with line and column")


def check_retrieves() -> None:
    cci(
        "retrieve_unpackaged",
        *("--path", "back", "--package_xml", "src/package.xml"),
        *("--api_version", API_VERSION),
    )
    back, src = PROJECT / "back", PROJECT / "src"
    wanted = {p.relative_to(src) for p in src.rglob("*") if p.is_file()}
    got = {p.relative_to(back) for p in back.rglob("*") if p.is_file()}
    assert wanted <= got, wanted - got
    app = (back / "connectedApps/Wire_App.connectedApp").read_text("utf-8")
    assert "<permissionSetName>Wire_Perm_0001</permissionSetName>" in app, app
    ok("cci task run retrieve_unpackaged")
    assert "{}" in cci("get_installed_packages")
    ok("cci task run get_installed_packages")


def check_permission_sets() -> None:
    cci(
        "create_permission_set",
        *("--api_name", "Wire_CCI", "--label", "Wire & CCI"),
        *("--user_permissions", "PermissionsApiEnabled"),
    )
    assert "Wire_CCI" in cci("show_assigned")
    ok("cci task run create_permission_set, and the running user has it")
    shown = cci("assign_permission_sets", "--api_names", "Wire_CCI,Wire_Perm_0001")
    assert re.search(r'"Wire_CCI" is already\s+assigned', shown), shown
    assert re.search(r"\b0Pa\w{15}\b", shown), shown
    assert "Wire_Perm_0001" in cci("show_assigned")
    shown = cci("assign_permission_sets", "--api_names", "No_Such_Set", code=1)
    assert "not found: No_Such_Set" in " ".join(shown.split()), shown
    ok("cci task run assign_permission_sets: one new, one there, one unknown")
    assert "[Success]: Succeeded" in cci("add_permission_set_perms")
    ok("cci task run add_permission_set_perms")


def check_ways_in() -> None:
    assert "{}" in cci("get_installed_packages", extra=BY_JWT, org="jwt")
    ok("an org from the environment, by JWT")
    late = {**org_from_environment("late", BAD_TOKEN), "CUMULUSCI_DISABLE_REFRESH": "1"}
    refused = cci("deploy", "--path", "src", extra=late, org="late", code=1)
    assert "403 Client Error" in refused, refused
    ok("a bad session is refused")
    login = ["org", "login", "access-token", "--instance-url", BASE, "--no-prompt"]
    run(
        [os.environ["SF_BIN"], *login, "--alias", "wire"],
        extra={"SF_ACCESS_TOKEN": TOKEN},
    )
    kept = {"CUMULUSCI_KEY": "0123456789abcdef"}
    run(["cci", "org", "import", "wire", "imported"], extra=kept)
    info = json.loads(
        run(["cci", "org", "info", "imported", "--json"], extra=kept).strip()
    )
    assert info["org_id"][:15] == os.environ["WIRE_ORG_ID"][:15], info
    shown = cci("deploy", "--path", "src", extra=kept, org="imported")
    assert "[Success]: Succeeded" in shown
    ok("sf org login, cci org import, org info, deploy")


class Probe(BaseSalesforceApiTask):
    """A task that asks the org what the checks want to know."""

    def _run_task(self) -> None:
        found = self.sf.query("SELECT Id, IsSandbox FROM Organization")
        parent = self.sf.query(
            "SELECT Id FROM PermissionSet WHERE IsOwnedByProfile = true"
            " AND Profile.Name = 'Wire Profile'"
        )["records"][0]["Id"]
        entity = self.sf.query(
            "SELECT Id FROM ConnectedApplication WHERE Name = 'Wire App'"
        )["records"][0]["Id"]
        row = {"ParentId": parent, "SetupEntityId": entity}
        made = self.sf.SetupEntityAccess.create(row)
        gone = self.sf.SetupEntityAccess.delete(made["id"])
        self.return_values = {"org": found["records"][0]["Id"], "deleted": gone}


def check_python_api() -> None:
    """Use CumulusCI as a library, as other tools do."""
    os.environ.update(BY_JWT)
    os.chdir(PROJECT)
    runtime = CliRuntime(load_keychain=True)
    _, org = runtime.get_org("jwt")
    task = SimpleNamespace(
        org_config=org,
        project_config=runtime.project_config,
        logger=logging.getLogger("wire"),
    )
    probe = Probe(runtime.project_config, TaskConfig({}), org_config=org)
    found = probe()
    assert found == {"org": os.environ["WIRE_ORG_ID"], "deleted": 204}, found
    ok("Python API: queries, SetupEntityAccess through a profile's shadow set")

    zipped = base64.b64encode((PACKAGE / "mdapi.zip").read_bytes()).decode()
    assert ApiDeploy(task, zipped, api_version=API_VERSION, check_only=True)() == (
        "Success"
    )
    listed = ApiListMetadata(task, "ConnectedApp", as_of_version=API_VERSION)()
    (app,) = [a for a in listed["ConnectedApp"] if a["fullName"] == "Wire_App"]
    assert app["lastModifiedDate"].year >= 2026, app
    types = ApiListMetadataTypes(task, API_VERSION)()
    assert {"ConnectedApp", "PermissionSet", "CustomField"} <= set(types)
    manifest = (PACKAGE / "mdapi/package.xml").read_text("utf-8")
    archive = ApiRetrieveUnpackaged(task, manifest, API_VERSION)()
    assert "connectedApps/Wire_App.connectedApp" in archive.namelist()
    assert ApiRetrieveInstalledPackages(task, API_VERSION)() == {}
    ok("Python API: deploy, list, describe, retrieve, installed packages")

    broken = shutil.make_archive("broken", "zip", "bad")
    bad = base64.b64encode(Path(broken).read_bytes()).decode()
    soap = ApiDeploy(task, bad, api_version=API_VERSION)
    rest = RestDeploy(task, bad, False, False, None, [])
    for attempt in (soap, rest):
        told = refusal(attempt)
        assert "noSuchElement invalid at this location" in told, told
    org.config["access_token"] = BAD_TOKEN
    told = refusal(ApiListMetadataTypes(task, API_VERSION))
    assert told.startswith("sf:INVALID_SESSION_ID: INVALID_SESSION_ID: "), told
    ok("Python API: failing deploys over SOAP and REST, bad session")


def refusal(call: Callable[[], object]) -> str:
    """Return how a call is refused."""
    try:
        call()
    except MetadataApiError as error:
        return str(error)
    raise AssertionError(f"{call} was not refused")


def main() -> None:
    make_project()
    check_deploys()
    check_retrieves()
    check_permission_sets()
    check_ways_in()
    check_python_api()
    print("PASS CumulusCI")


if __name__ == "__main__":
    main()
