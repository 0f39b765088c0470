"""validate, on the command line: certificates, secrets, policies, suppressions."""

from __future__ import annotations

import os
import subprocess

import pytest

APP = "templates/connectedApps/Portal.connectedApp.j2"
CALL = "        <certificate>{{ file('certs/portal.crt') }}</certificate>\n"
AFTER = "join('\\n') }}</callbackUrl>\n"
NO_FILE = f"{APP}:20: there is no file 'certs/portal.crt'"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def git(folder, *words):
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(
        ["git", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, **quiet},
    )


def test_a_certificate_is_read_from_the_work_tree_or_the_index(runner, project):
    git(project, "init", "--quiet")
    edit(project / APP, AFTER, AFTER + CALL)
    git(project, "add", ".")
    assert NO_FILE in runner("validate").out
    (project / "certs").mkdir()
    (project / "certs/portal.crt").write_text("no certificate\n")
    ran = runner("validate")
    assert f"{APP}:20: certificate is not the PEM text" in ran.out
    assert NO_FILE in runner("validate", "--staged").out
    git(project, "add", ".")
    assert runner("validate", "--staged").out == ran.out


def test_a_certificate_that_is_no_text(runner, project):
    (project / "certs").mkdir()
    (project / "certs/portal.der").write_bytes(b"\x30\x82\xff\x01")
    ran = runner("validate")
    assert ran.code == 1
    assert "cannot read certs/portal.der: it is not UTF-8 text" in ran.err


def test_a_policy_is_asked_for(runner):
    assert runner("validate").code == 0
    ran = runner("validate", "--policy", "isv", "--org", "dev")
    assert ran.code == 1
    assert f"{APP}:18: refresh tokens of Portal count from any IP address" in ran.out
    assert ran.err == "1 org checked: 1 error, 0 warnings.\n"
    ran = runner("validate", "--policy", "isw")
    assert ran.code == 64 and "'isw' is not 'isv'" in ran.err


def test_what_is_suppressed_is_listed_apart(runner, project):
    edit(project / "orgs/dev.yaml", "tags:", "policy: [isv]\ntags:")
    assert runner("validate").code == 1
    said = "suppress: [{rule: MD804, reason: set in Setup}]\ntags:"
    edit(project / "orgs/dev.yaml", "tags:", said)
    ran = runner("validate")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "3 orgs checked: 0 errors, 0 warnings, 1 suppressed.\n"
    found = runner("validate", "--json").json
    assert found["problems"] == []
    (quiet,) = found["suppressed"]
    assert quiet["reason"] == "set in Setup"
    assert quiet["suppressedBy"] == {"path": "orgs/dev.yaml", "line": 4}
    assert quiet["docs"] == "docs/rules.md#md804"
    elsewhere = runner("validate", "--json", project / "orgs").json
    assert elsewhere["suppressed"] == []


@pytest.mark.parametrize("form", ["github", "gitlab", "sarif"])
def test_a_code_host_is_told(runner, project, form):
    clean = runner("validate", "--format", form)
    assert (clean.code, clean.err) == (0, "3 orgs checked: 0 errors, 0 warnings.\n")
    edit(project / APP, "<label>", "<lable>x</lable><label>")
    ran = runner("validate", "--format", form)
    assert ran.code == 1 and "did you mean label?" in ran.out
    assert ran.err == "3 orgs checked: 1 error, 0 warnings.\n"


def test_a_code_host_is_told_paths_of_the_repository(runner, project):
    edit(project / APP, "<label>", "<lable>x</lable><label>")
    folder = project / "some where"
    folder.mkdir()
    for name in ("templates", "orgs"):
        (project / name).rename(folder / name)
    git(project, "init", "--quiet")
    ran = runner("validate", "--format", "gitlab", at=folder)
    assert ran.json[0]["location"]["path"] == f"some where/{APP}"
    git(folder, "init", "--quiet")
    ran = runner("validate", "--format", "gitlab", at=folder)
    assert ran.json[0]["location"]["path"] == APP


def test_json_is_a_format_too(runner):
    assert (
        runner("validate", "--format", "json").json == runner("validate", "--json").json
    )
    for words in (["--format", "json"], ["--format=json"], ["--json"]):
        failed = runner("validate", "--org", "nobody", *words)
        assert failed.code == 1
        assert failed.json["error"]["message"] == "no org is called 'nobody'"
    both = runner("validate", "--json", "--format", "sarif")
    assert both.code == 64
    assert both.json["error"]["message"] == "--json is not --format sarif"
