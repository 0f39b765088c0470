"""docs/ci/setup.md: from an administrator's org to one that a pipeline deploys to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipes import MASTER, files, sh

from metadeploy.emulator import records
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.state import open_world

PAGE = "setup.md"
FILES = files(PAGE)
KEYS, ADMIN, ASSIGN, TEST = sh(PAGE)
USER = "deploy@acme.example.uat"
# What the page's org is here. The administrator of an emulated one logs in unasked.
EMULATED = f"""
kind: emulated
emulator:
  users: [{{username: {USER}, profile: Minimum Access - API Only Integrations}}]
"""
APP = """{% import 'metadeploy/oauth.j2' as oauth %}
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>a@acme.example</contactEmail>
    <label>{{ org.name }}</label>
    {{ oauth.client_credentials('integration@uat.emulated', ['Api']) }}
</ConnectedApp>
"""
HOLDER = """{% from 'metadeploy/access.j2' import may_use %}
<?xml version="1.0" encoding="UTF-8"?>
<PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata">
    {{ may_use('Old') }}
    <label>Billing</label>
</PermissionSet>
"""
pytestmark = pytest.mark.timeout(300)


class Setup:
    """The page's files in a folder, and what runs its commands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path, text in FILES.items():
            self.write(path, text)
        self.write("templates/connectedApps/Old.connectedApp.j2", APP)
        self.write("templates/connectedApps/New.connectedApp.j2", APP)
        self.write("orgs/defaults.yaml", "apps: {New: {kind: external_client_app}}\n")
        binaries = Path(sys.executable).parent
        self.env = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(folder),
            MASTER: "METADEPLOY" + "m" * 40,
            "METADEPLOY_CONFIG": str(folder / "config.yaml"),
            "NO_COLOR": "1",
        }

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def run(self, script: str, project: str = ".") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.folder / project,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=200,
        )

    def done(self, script: str, project: str = ".") -> str:
        """Run what has to go well; return what it printed."""
        ran = self.run(script, project)
        assert ran.returncode == 0, ran
        return ran.stdout

    def assign(self) -> None:
        """Give the user the permission set, as the page has Salesforce CLI do."""
        world = open_world(self.folder / "admin/.metadeploy/emulator/world.sqlite3")
        org = world.org("uat")
        found = org.world.user_by_username(USER)
        (given,) = (
            str(r["Id"])
            for r in org.records("PermissionSet")
            if r["Name"] == "Metadeploy_Deployer"
        )
        values = {"PermissionSetId": given, "AssigneeId": found[1]["Id"]}
        key = "0Pa000000000001AAA"
        records.save(org, "PermissionSetAssignment", key, values, by=admin_of(org))
        world.close()

    @contextmanager
    def served(self):
        """The org, at a URL of its own, as far as the pipeline knows a real one."""
        server = subprocess.Popen(
            [sys.executable, "-m", "metadeploy", "emulator", "serve"],
            cwd=self.folder / "admin",
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            said = json.loads(server.stdout.readline())
            place = said["httpsUrl"].removeprefix("https://")
            self.write(
                "config.yaml",
                f"allowed_hosts: ['{place}']\nca_bundle: '{said['caPath']}'\n",
            )
            (self.folder / "config.yaml").chmod(0o600)
            text = FILES["orgs/uat.yaml"]
            text = re.sub(r"url: .*", f"url: {said['httpsUrl']}", text)
            org_id = said["orgs"][0]["orgId"]
            self.write(
                "orgs/uat.yaml", re.sub(r"org_id: .*", f"org_id: {org_id}", text)
            )
            yield
        finally:
            server.terminate()
            server.wait(10)
            server.stdout.close()


@pytest.fixture
def setup(tmp_path):
    """An org whose pipeline's user has what the page gives it."""
    made = Setup(tmp_path)
    made.done(KEYS, "admin")
    made.done("metadeploy validate", "admin")  # the page's files, as they are
    made.write("admin/orgs/uat.yaml", EMULATED)
    printed = made.done(ADMIN, "admin")
    (made.env["UAT_CLIENT_ID"],) = re.findall(r"CONSUMER_KEY='?([A-Za-z0-9]+)", printed)
    made.env["UAT_PRIVATE_KEY"] = (tmp_path / "admin/uat.key").read_text()
    (tmp_path / "admin/uat.key").unlink()
    return made


def test_the_user_may_deploy_apps_and_no_more(setup):
    with setup.served():
        ran = setup.run(TEST)
        assert ran.returncode == 1, "it is not assigned yet"
        assert "login" in ran.stdout
        setup.assign()
        shown = setup.done(TEST)
        assert "failed" not in shown and "warning" not in shown, shown
        assert "least-privilege no more than templates need" in shown
        setup.done("metadeploy deploy uat --auto-approve")
        assert "Nothing to do" in setup.done("metadeploy plan uat")
        setup.write("templates/permissionsets/Billing.permissionset.j2", HOLDER)
        ran = setup.run(TEST)
        assert ran.returncode == 1
        assert "no ModifyAllData, ManageProfilesPermissionsets" in ran.stdout
        assert setup.run("metadeploy deploy uat --auto-approve").returncode == 1


def test_the_user_may_give_access_where_the_page_is_asked_to(setup):
    path = setup.folder / "admin/orgs/defaults.yaml"
    path.write_text(
        path.read_text().replace("gives_access: false", "gives_access: true")
    )
    setup.assign()
    setup.done("metadeploy deploy uat --auto-approve", "admin")
    setup.write("templates/permissionsets/Billing.permissionset.j2", HOLDER)
    with setup.served():
        shown = setup.done(TEST)
        assert "failed" not in shown and "warning" not in shown, shown
        setup.done("metadeploy deploy uat --auto-approve")


def test_salesforce_cli_is_told_what_it_takes(tmp_path):
    tool = tmp_path / "sf"
    stand_in = Path(__file__).with_name("stand_in.py").read_text()
    tool.write_text(f"#!{sys.executable}\n{stand_in}")
    tool.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(tmp_path)}
    subprocess.run(["sh", "-e", "-c", ASSIGN], env=env, check=True)
    told = json.loads((tmp_path / "calls.jsonl").read_text())
    assert told["options"]["--name"] == "Metadeploy_Deployer"
    assert told["options"]["--on-behalf-of"] == USER
    assert shutil.which("sf", path=str(tmp_path))
