"""--report: each command that reads or changes orgs, and however it ends."""

from __future__ import annotations

import json
import stat

import pytest
from apps import edit
from lxml import etree, html
from test_cli import leaves

from metadeploy import cli

PORTAL = "templates/connectedApps/Portal.connectedApp.j2"


def options(folder):
    """All reports to files, in a folder that is there."""
    kinds = {"markdown": "r.md", "junit": "r.xml", "gitlab": "r.json"}
    kinds |= {"html": "r.html"}
    return [w for k, f in kinds.items() for w in ("--report", f"{k}={folder / f}")]


def test_which_commands_report():
    found = {
        name
        for name, command in leaves(cli.metadeploy)
        if any("--report" in p.opts for p in command.params)
    }
    assert found == {
        *("plan", "deploy", "promote", "drift", "verify", "rollback"),
        "runs resume",
    }


class Written:
    """What stands in the files that `options` names."""

    def __init__(self, folder):
        self.markdown = (folder / "r.md").read_text("utf-8")
        self.junit = etree.fromstring((folder / "r.xml").read_bytes())
        self.gitlab = json.loads((folder / "r.json").read_text("utf-8"))
        self.page = html.document_fromstring((folder / "r.html").read_text("utf-8"))

    def cell(self, org, app):
        """The text of a cell of the page's matrix."""
        (table,) = self.page.find_class("matrix")
        names = [th.text_content() for th in table.find("thead/tr")]
        rows = {r[0].find("a").text: r for r in table.find_class("org")}
        return " ".join(rows[org][names.index(app)].itertext())


def test_a_run_is_reported_from_plan_to_rollback(runner, tmp_path):
    reports = options(tmp_path)

    def ran(*words, code=0):
        done = runner(*words, *reports, "--json")
        assert done.code == code, done.err
        assert done.json["command"] == " ".join(
            words[:2] if "runs" in words else words[:1]
        )
        said = Written(tmp_path)
        said.rows = done.json["orgs"]
        return said

    said = ran("plan", "dev")
    assert said.gitlab == {"create": 15, "update": 0, "delete": 0}
    assert "| `+` | <code>ConnectedApp Portal</code> |" in said.markdown
    assert said.junit.get("failures") == said.junit.get("errors") == "0"
    assert "+ create" in said.cell("dev", "Portal")
    assert "derived, generation 1" in said.cell("dev", "Portal")
    assert "drift" not in said.cell("dev", "Portal")  # nothing is recorded yet
    said = ran("deploy", "dev", "--auto-approve")
    assert "access: 6 granted, 0 revoked; verified." in said.markdown
    assert "logged in" in said.markdown and "- <code>deploy 0Af" in said.markdown
    (suite,) = said.junit
    assert (suite.get("name"), suite.get("failures")) == ("dev", "0")
    assert suite.find("testcase[@name='ConnectedApp Portal']") is not None
    cell = said.cell("dev", "Ledger")
    assert "+ create" in cell and "External Client App" in cell
    assert "derived, generation 1" in cell and "logged in by client_credentials" in cell
    said = ran("verify", "dev")
    assert "= as wanted" in said.cell("dev", "Portal")
    assert "### <code>dev</code> <code>00D" in said.markdown
    assert "The org matches." in said.markdown
    assert said.gitlab == {"create": 0, "update": 0, "delete": 0}
    said = ran("drift", "dev")
    assert "As it was deployed." in said.markdown
    assert "drift none" in said.cell("dev", "Portal")
    assert "## metadeploy runs resume" in ran("runs", "resume", "dev").markdown
    said = ran("rollback", "dev", "--auto-approve")
    assert "`-` | <code>ConnectedApp Portal</code> |" in said.markdown
    assert "- delete" in said.cell("dev", "Portal")
    (row,) = said.rows
    gone = [c for c in row["changes"] if c["action"] in ("delete", "revoke")]
    assert said.gitlab["delete"] == len(gone) > 0


def test_what_a_file_is_like(runner, tmp_path):
    file = tmp_path / "r.md"
    file.write_text("what was there before")
    assert runner("plan", "dev", "--report", f"markdown={file}").code == 0
    assert file.read_text().startswith("## metadeploy plan\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.glob(".r.md*")] == []


def test_what_the_org_refuses_is_a_failure_in_its_words(runner, project, tmp_path):
    edit(
        project / "templates/permissionsets/Portal_API.permissionset.j2",
        "</PermissionSet>",
        "<userPermissions><enabled>true</enabled><name>NoSuch</name></userPermissions>"
        "</PermissionSet>",
    )
    ran = runner("deploy", "dev", "--auto-approve", *options(tmp_path))
    assert ran.code == 1
    said = Written(tmp_path)
    (failure,) = said.junit.findall(
        ".//testcase[@name='PermissionSet Portal_API']/failure"
    )
    assert "NoSuch" in failure.text
    assert "**failed**" in said.markdown and "NoSuch" in said.markdown
    # What was planned is told all the same, and counts nowhere as done.
    assert "what was to be done" in said.markdown
    assert "| `+` | <code>ConnectedApp Portal</code> |" in said.markdown
    done = {c.get("name") for c in said.junit.iter("testcase") if len(c) == 0}
    assert "access: Portal to PermissionSet Portal_API" not in done
    assert "+ create" in said.cell("dev", "Portal")
    assert "create" not in said.gitlab


def test_what_is_refused_and_what_is_wrong_is_reported(runner, project, tmp_path):
    ran = runner("deploy", "prod", "--auto-approve", *options(tmp_path))
    assert ran.code == 1
    said = Written(tmp_path)
    assert "**refused**" in said.markdown and "--production" in said.markdown
    (case,) = said.junit.findall(".//testcase")
    assert case.get("name") == "nothing is refused" and len(case) == 1
    assert runner("plan", "nobody", *options(tmp_path)).code == 1
    said = Written(tmp_path)
    assert "no org is called 'nobody'" in said.markdown
    assert said.junit.find(".//error").get("type") == "ConfigError"
    edit(project / PORTAL, "<label>", "<lable>x</lable><label>")
    assert runner("plan", "dev", *options(tmp_path)).code == 1
    (case,) = Written(tmp_path).junit.findall(".//testcase")
    assert case.get("name") == f"MD103 {PORTAL}:17"


def test_a_job_on_github_is_told(runner, project, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ran = runner("plan", "prod", "--report", "github", "--json")
    assert ran.json["command"] == "plan"
    assert "\n::warning title=prod%3A refused::prod (00D" in f"\n{ran.err}"
    assert summary.read_text().startswith("before\n## metadeploy plan\n")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    size = summary.stat().st_size
    assert runner("plan", "prod", "--report", "github").code == 0
    assert summary.stat().st_size == size
    edit(project / PORTAL, "<label>", "<lable>x</lable><label>")
    ran = runner("plan", "dev", "--report", "github")
    assert f"::error file={PORTAL},line=17,title=MD103 unknown-element::" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pdf=x"], "'pdf=x' is none of html=FILE, markdown=FILE, junit=FILE,"),
        (["markdown"], "'markdown' is none of"),
        (["junit="], "'junit=' is none of"),
        (["github=x"], "'github=x' is none of"),
        (["junit=no/such/folder/x"], "no file can be written at no/such/folder/x"),
        (["junit=."], "no file can be written at ."),
        (["junit=x", "markdown=x"], "x cannot hold two reports"),
    ],
)
def test_a_report_that_cannot_be(runner, words, message):
    ran = runner("deploy", "dev", *(w for one in words for w in ("--report", one)))
    assert (ran.code, message in " ".join(ran.err.split())) == (64, True), ran.err


@pytest.mark.parametrize("org", ["dev", "nobody"])
def test_a_report_that_is_not_written_is_a_failure(runner, tmp_path, org):
    (tmp_path / "link.md").symlink_to("elsewhere")
    asked = [f"markdown={tmp_path / 'link.md'}", f"junit={tmp_path / 'r.xml'}"]
    words = [w for one in asked for w in ("--report", one)]
    ran = runner("plan", org, "--json", *words)
    assert ran.code == 1
    assert ran.json["command"] == "plan"  # one document, all the same
    assert "link.md is a link: nothing is written there" in ran.err
    assert (tmp_path / "r.xml").exists() and not (tmp_path / "elsewhere").exists()


def test_a_summary_that_cannot_be_written_is_told(runner, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary"))
    ran = runner("plan", "dev", "--report", "github")
    assert ran.code == 1 and "cannot write" in ran.err
