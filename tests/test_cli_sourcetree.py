"""A project whose metadata lies in an sf source tree."""

from __future__ import annotations

import json
import shutil

import pytest
from apps import edit, git

MAIN = "force-app/main/default"


@pytest.fixture
def tree(runner, project):
    """The example, its apps as templates and its holders as files of a source tree."""
    main = project / MAIN
    (main / "connectedApps").mkdir(parents=True)
    shutil.move(
        project / "templates/connectedApps/Portal.connectedApp.j2",
        main / "connectedApps/Portal.connectedApp-meta.xml.j2",
    )
    (main / "permissionsets").mkdir()
    (main / "permissionsets/Portal_API.permissionset-meta.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata">\n'
        "    <connectedAppAccesses>\n"
        "        <connectedApp>Portal</connectedApp>\n"
        "        <enabled>true</enabled>\n"
        "    </connectedAppAccesses>\n"
        "    <hasActivationRequired>false</hasActivationRequired>\n"
        "    <label>Portal API</label>\n"
        "</PermissionSet>\n"
    )
    (main / "classes").mkdir()
    (main / "classes/Bin.cls").write_bytes(b"\xff\xfe")
    shutil.rmtree(project / "templates/permissionsets")
    (project / "sfdx-project.json").write_text(
        json.dumps({"packageDirectories": [{"path": "force-app", "default": True}]})
    )
    return project


def test_it_is_validated_planned_and_deployed(runner, tree):
    assert runner("validate").code == 0
    planned = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    names = {c.get("fullName") or c["holder"] for c in planned}
    assert {"Portal", "Portal_API", "Billing"} <= names
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_a_fault_names_the_file_in_the_tree(runner, tree):
    app = tree / MAIN / "connectedApps/Portal.connectedApp-meta.xml.j2"
    edit(app, "{{ contact }}", "{{ contat }}")
    edit(
        tree / MAIN / "permissionsets/Portal_API.permissionset-meta.xml",
        "    <label>Portal API</label>\n",
        "    <lable>Portal API</lable>\n",
    )
    out = runner("validate").out
    assert f"{MAIN}/connectedApps/Portal.connectedApp-meta.xml.j2:7: 'contat'" in out
    assert f"{MAIN}/permissionsets/Portal_API.permissionset-meta.xml:8: " in out


def test_forceignore_and_the_api_version_are_honoured(runner, tree):
    (tree / ".forceignore").write_text("**/permissionsets/**\n")
    defaults = tree / "orgs/defaults.yaml"
    defaults.write_text(defaults.read_text().replace('api_version: "66.0"\n', ""))
    (tree / "sfdx-project.json").write_text(
        '{"packageDirectories": [{"path": "force-app"}], "sourceApiVersion": "65.0"}'
    )
    files = runner("render", "dev", "--json").json["files"]
    assert not any("permissionset" in f for f in files)
    assert "connectedApps/Portal.connectedApp" in files
    assert "<version>65.0</version>" in runner("render", "dev").out


def test_what_is_staged_of_it_is_checked(runner, tree):
    git(tree, "init", "--quiet")
    edit(
        tree / MAIN / "permissionsets/Portal_API.permissionset-meta.xml",
        "<label>Portal API</label>",
        "<lable>Portal API</lable>",
    )
    git(tree, "add", ".")
    assert "lable" in runner("validate", "--staged").out
    (tree / ".forceignore").write_text("permissionsets/\n")
    git(tree, "add", ".")
    assert runner("validate", "--staged").code == 0


def test_a_broken_project_file_is_told(runner, tree):
    (tree / "sfdx-project.json").write_text("{")
    ran = runner("validate")
    assert ran.code == 1 and "sfdx-project.json: Expecting" in ran.err
