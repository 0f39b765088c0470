"""The command line on emulated orgs, over real HTTP: what a user sees."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import zipfile

import click
import pytest

from metadeploy import cli
from metadeploy.emulated import EmulatedOrgs
from metadeploy.emulator.server import RunningServer, answer
from metadeploy.emulator.state import open_world
from metadeploy.package import base64_text, read_zip, zip_files


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def fields(ran, org=0):
    changes = ran.json["orgs"][org]["changes"]
    return [(c["type"], c.get("fullName"), c["fields"]) for c in changes]


# -- help


@pytest.mark.parametrize("command", ["metadeploy", *cli.COMMANDS])
def test_help(command, snapshot, capsys):
    words = [] if command == "metadeploy" else [command]
    assert cli.run([*words, "--help"]) == 0
    snapshot.assert_match(capsys.readouterr().out, "help.txt")


def test_the_help_that_is_printed_without_loading_is_the_commands_own():
    group = cli.metadeploy
    with click.Context(group) as ctx:
        for name, (_, text) in cli.COMMANDS.items():
            assert group.get_command(ctx, name).get_short_help_str(80) == text


def leaves(command, words=()):
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                yield from leaves(command.get_command(ctx, name), (*words, name))
    else:
        yield " ".join(words), command


def test_every_command_takes_json_and_says_what_it_does():
    found = dict(leaves(cli.metadeploy))
    assert len(found) >= 20
    for name, command in found.items():
        opts = {o for p in command.params for o in p.opts}
        assert "--json" in opts, name
        assert command.help and command.help.strip(), name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


def test_a_new_master_as_json(runner):
    made = runner("keys", "init", "--json").json
    assert made["variable"] == "METADEPLOY_MASTER_KEY" and len(made["master"]) == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plann"], "No such command 'plann'. Did you mean 'plan'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["plan", "--outt", "x"], "No such option '--outt'. Did you mean '--out'?"),
        (["deploy", "--wait", "soon"], "'soon' is not a valid float range"),
        (["render"], "Missing argument 'ORG'"),
        (["render", "*"], "one org is wanted, not dev, prod, uat"),
        (["deploy"], "name the orgs to deploy to, or '*' for all"),
        (["deploy", "dev"], "nobody is there to be asked: --auto-approve answers"),
    ],
)
def test_wrong_usage(runner, words, message):
    ran = runner(*words)
    assert (ran.code, message in ran.err) == (64, True), ran.err
    as_json = runner(*words, "--json")
    assert as_json.code == 64
    assert message in as_json.json["error"]["message"]


# -- validate


def test_validate_finds_nothing_in_the_example(runner):
    ran = runner("validate")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "3 orgs checked: 0 errors, 0 warnings.\n"
    assert runner("validate", "--json").json == {
        "schemaVersion": 1,
        "command": "validate",
        "orgs": ["dev", "prod", "uat"],
        "problems": [],
        "suppressed": [],
    }


BREAKS = [
    ("orgs/dev.yaml", "tags: [playground]", "tags: [a]\ntags: [b]",
     "orgs/dev.yaml:4: duplicate key 'tags', first on line 3 [MD001]"),
    ("orgs/dev.yaml", "tags:", "tag:",
     "orgs/dev.yaml:3: unknown key 'tag'; did you mean 'tags'? [MD010]"),
    ("orgs/dev.yaml", "[playground]", "playground",
     "orgs/dev.yaml:3: tags must be a list, not text [MD010]"),
    ("templates/connectedApps/Portal.connectedApp.j2", "{{ contact }}", "{{ contat }}",
     "templates/connectedApps/Portal.connectedApp.j2:7: 'contat' is undefined for org"
     " dev (orgs/dev.yaml) [MD021]"),
    ("templates/connectedApps/Portal.connectedApp.j2", "</infoUrl>", "</infoUrL>",
     "templates/connectedApps/Portal.connectedApp.j2:9: "),
    ("templates/connectedApps/Portal.connectedApp.j2", "infoUrl>", "infoUrI>",
     "templates/connectedApps/Portal.connectedApp.j2:9: "),
    ("orgs/defaults.yaml", "Chatter", "Chater",
     "templates/connectedApps/Portal.connectedApp.j2:26: "),
    ("orgs/dev.yaml", "http://localhost", "http://dev.acme.example",
     "templates/connectedApps/Portal.connectedApp.j2:19: "),
    ("templates/permissionsets/Portal_API.permissionset.j2",
     "    <label>Portal API</label>\n", "",
     "templates/permissionsets/Portal_API.permissionset.j2:3: "),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "line"), BREAKS)
def test_validate_names_the_place(runner, project, path, old, new, line):
    edit(project / path, old, new)
    ran = runner("validate")
    assert ran.code == 1
    found = [row for row in ran.out.split("\n") if row.startswith(line)]
    assert found, ran.out
    as_json = runner("validate", "--json")
    assert as_json.code == 1 and as_json.json["problems"]


def test_validate_can_be_limited(runner, project):
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    edit(project / "orgs/uat.yaml", "tags:", "tag:")
    assert runner("validate", project / "orgs/uat.yaml").out.count("MD010") == 1
    assert runner("validate", project / "orgs").out.count("MD010") == 2
    assert runner("validate", "--org", "prod").code == 0
    assert "is not in the project" in runner("validate", "/etc").err


def git(folder, *words):
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, **quiet},
    )


def test_validate_reads_what_is_staged(runner, project):
    git(project, "init", "--quiet")
    git(project, "add", ".")
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    assert runner("validate").code == 1
    assert runner("validate", "--staged").code == 0
    git(project, "add", ".")
    edit(project / "orgs/dev.yaml", "tag:", "tags:")
    assert runner("validate").code == 0
    assert "orgs/dev.yaml:3: unknown key 'tag'" in runner("validate", "--staged").out


def test_no_project_here(runner, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    ran = runner("validate", at=empty)
    assert ran.code == 1
    assert "no project here" in ran.err and "metadeploy init" in ran.err


# -- init, orgs, render


def test_init_writes_the_example_and_keeps_what_is_there(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "portal"
    (folder / "orgs").mkdir(parents=True)
    (folder / "orgs/dev.yaml").write_text("kind: emulated\n")
    ran = runner("init", folder)
    assert ran.code == 0
    assert "orgs/dev.yaml is there already, and stays" in ran.out
    assert (folder / "orgs/dev.yaml").read_text() == "kind: emulated\n"
    assert ".metadeploy/" in (folder / ".gitignore").read_text()
    kept = runner("init", folder, "--json").json
    assert kept["written"] == [] and "orgs/uat.yaml" in kept["kept"]


def test_the_example_is_the_repositorys_own(request):
    root = request.config.rootpath
    scaffold = root / "metadeploy/_scaffold"
    for folder in ("templates", "orgs"):
        ours = {
            p.relative_to(root).as_posix(): p.read_bytes()
            for p in (root / folder).rglob("*")
            if p.is_file()
        }
        shipped = {
            p.relative_to(scaffold).as_posix(): p.read_bytes()
            for p in (scaffold / folder).rglob("*")
            if p.is_file()
        }
        assert ours == shipped, f"cp -r {folder} metadeploy/_scaffold/"


def test_orgs(runner, project):
    rows = runner("orgs", "--json").json["orgs"]
    assert [r["org"] for r in rows] == ["dev", "prod", "uat"]
    assert rows[2]["promoteFrom"] == "dev"
    assert runner("orgs", "tag:uat").out == "uat  emulated  [playground, uat]\n"
    assert "no org is called 'uta'" in runner("orgs", "uta").err
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    ran = runner("orgs")
    assert ran.code == 1 and "dev   not usable: see metadeploy validate" in ran.out


def test_render_writes_what_would_be_sent(runner, project, snapshot, tmp_path):
    # The Id of an emulated org is of its own choosing; a pinned one is not.
    for name in ("dev", "uat", "prod"):
        kind = {"dev": "developer", "uat": "sandbox", "prod": "production"}[name]
        text = (project / f"orgs/{name}.yaml").read_text()
        login = (
            f"kind: {kind}\norg_id: 00D00000000000{name[0]}\n"
            "login: {flow: access_token, url: https://acme.my.salesforce.com,"
            " access_token: {env: TOKEN}}\n"
        )
        text = re.sub("(?m)^(kind|emulator):.*\n", "", text)
        (project / f"orgs/{name}.yaml").write_text(login + text)
        ran = runner("render", name, "--out", tmp_path / "out" / name)
        assert ran.code == 0
        assert "METADEPLOY_MASTER_KEY is not set" in ran.err
        snapshot.assert_match_dir(tree(tmp_path / "out" / name), f"render-{name}")


def tree(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            *parents, name = path.relative_to(folder).parts
            here = found
            for parent in parents:
                here = here.setdefault(parent, {})
            here[name] = path.read_text()
    return found


def test_render_masks_secrets_unless_told(runner, tmp_path):
    assert runner("emulator", "reset", "dev").code == 0
    runner("render", "dev", "--out", tmp_path / "a")
    app = "connectedApps/Portal.connectedApp"
    assert "<consumerSecret>***<" in (tmp_path / "a" / app).read_text()
    shown = runner("render", "dev")
    assert "<consumerSecret>***<" in shown.out and "=== package.xml" in shown.out
    runner("render", "dev", "--out", tmp_path / "b", "--reveal-secrets")
    text = (tmp_path / "b" / app).read_text()
    exported = runner("keys", "export", "dev", "--app", "Portal", "--format", "json")
    assert exported.json["consumerSecret"] in text
    assert exported.json["consumerKey"] in text
    assert (tmp_path / "b" / app).stat().st_mode & 0o777 == 0o600
    assert "connectedAppAccesses" not in text


# -- plan and deploy


def test_the_main_job(runner, project):
    planned = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert planned.code == 2
    (row,) = planned.json["orgs"]
    assert row["org"] == "dev" and row["refusals"] == row["drift"] == []
    assert {
        "action": "grant",
        "type": "ConnectedAppAccess",
        "app": "Portal",
        "holderType": "PermissionSet",
        "holder": "Portal_API",
    } in row["changes"]
    created = [c for c in row["changes"] if c["action"] == "create"]
    assert {c["fullName"] for c in created} == {
        *("Billing", "Portal", "Portal_API", "Portal Community User"),
        *("Ledger", "Ledger_glblOauth", "Ledger_oauth"),
        *("Ledger_oauthPlcy", "Ledger_plcy"),
    }
    deployed = runner("deploy", "dev", "--auto-approve", "--json")
    assert deployed.code == 0, deployed.err
    (row,) = deployed.json["orgs"]
    assert (row["status"], row["verified"]) == ("Succeeded", True)
    assert row["deployId"].startswith("0Af") and row["runId"]
    assert {p["app"]: p["ok"] for p in row["proofs"]} == {
        "Billing": True,
        "Ledger": True,
        "Portal": True,
    }
    assert {m["fullName"] for m in row["messages"] if m["success"]} >= {"Portal"}
    again = runner("plan", "dev", "--json", "--detailed-exitcode")
    assert (again.code, again.json["orgs"][0]["changes"]) == (0, [])
    unchanged = runner("deploy", "dev", "--auto-approve", "--json").json["orgs"][0]
    assert (unchanged["status"], unchanged["verified"]) == ("Unchanged", True)
    assert runner("verify", "dev").code == 0


def test_a_plan_is_shown_for_people(runner, snapshot):
    runner("emulator", "reset", "prod")
    ran = runner("plan", "prod")
    assert ran.code == 0
    text = re.sub(r"00D\w{15}", "00D" + "x" * 15, ran.out)
    text = re.sub(r"(?<=Fingerprint: )\w{12}", "x" * 12, text)
    assert all(len(line) <= 80 for line in text.split("\n")), text
    snapshot.assert_match(text, "plan-prod.txt")


def test_one_changed_callback_url_is_one_field_of_one_change(runner, project):
    runner("deploy", "uat", "--auto-approve")
    new = "https://uat2.portal.acme.example/oauth/callback"
    edit(
        project / "orgs/uat.yaml", "https://uat.portal.acme.example/oauth/callback", new
    )
    (change,) = runner("plan", "uat", "--json").json["orgs"][0]["changes"]
    assert change == {
        "action": "update",
        "type": "ConnectedApp",
        "fullName": "Portal",
        "fields": [
            {
                "path": "oauthConfig.callbackUrl",
                "actual": "https://uat.portal.acme.example/oauth/callback",
                "wanted": new,
            }
        ],
    }
    deployed = runner("deploy", "uat", "--auto-approve", "--json")
    assert deployed.code == 0 and deployed.json["orgs"][0]["verified"]


def test_access_is_taken_away_where_it_is_no_longer_declared(runner, project):
    runner("deploy", "dev", "--auto-approve")
    edit(project / "orgs/dev.yaml", "open_to_admins: true", "open_to_admins: false")
    shown = runner("plan", "dev").out
    assert "  - Portal  may no longer be used by  Profile Admin" in shown
    (change,) = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    assert (change["action"], change["holder"]) == ("revoke", "Admin")
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_a_production_org_needs_its_flag(runner):
    ran = runner("deploy", "prod", "--auto-approve", "--json")
    assert ran.code == 1
    (row,) = ran.json["orgs"]
    assert row["status"] == "Refused" and row["verified"] is False
    assert "is a production org" in row["error"]["refusals"][0]
    assert runner("deploy", "prod", "--auto-approve", "--production").code == 0


def test_nobody_left_to_use_an_app_needs_its_flag(runner, project):
    runner("deploy", "dev", "--auto-approve")
    for path in (project / "templates").rglob("*.j2"):
        text = path.read_text()
        path.write_text(text.replace("may_use('Portal')", "may_use('Portal', false)"))
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert "nobody could use Portal any more" in ran.err
    allowed = runner("deploy", "dev", "--auto-approve", "--allow-lockout")
    assert allowed.code == 0
    assert runner("plan", "dev", "--json").json["orgs"][0]["changes"] == []


def test_a_check_only_deploy_keeps_nothing(runner):
    ran = runner("deploy", "dev", "--auto-approve", "--dry-run", "--json")
    (row,) = ran.json["orgs"]
    assert (ran.code, row["status"], row["checkOnly"]) == (0, "Succeeded", True)
    assert row["verified"] is False
    assert runner("plan", "dev", "--detailed-exitcode").code == 2


def test_a_saved_plan_is_applied_exactly_or_refused_as_stale(runner, project):
    assert runner("plan", "dev", "--out", project / "p.json").code == 0
    text = (project / "p.json").read_text()
    runner("deploy", "dev", "--auto-approve")
    stale = runner("deploy", "--plan", project / "p.json", "--auto-approve")
    assert stale.code == 1
    assert "org dev is not as it was when the plan was made" in stale.err
    assert "Plan again and read the new plan before you deploy." in stale.err
    runner("emulator", "reset", "dev")
    # The templates may have moved on: the plan that was read is what runs.
    edit(
        project / "orgs/dev.yaml",
        "https://dev.portal.acme.example/",
        "https://x.example/",
    )
    (project / "p.json").write_text(text)
    applied = runner("deploy", "dev", "--plan", project / "p.json", "--auto-approve")
    assert applied.code == 0, applied.err
    (change,) = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    assert change["fields"][0]["actual"].startswith("https://dev.portal.acme.example/")
    other = runner("deploy", "uat", "--plan", project / "p.json", "--auto-approve")
    assert "has no plan for uat" in other.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no plan that can be applied"),
        ("{}", "this is no plan that can be applied"),
        ("[" * 99999, "this is no plan that can be applied"),
        ('{"metadeploy_plan": 9}', "Plan again with this version of metadeploy."),
    ],
)
def test_what_is_no_plan_is_refused(runner, project, text, message):
    (project / "p.json").write_text(text)
    ran = runner("deploy", "--plan", project / "p.json", "--auto-approve")
    assert (ran.code, message in ran.err) == (1, True), ran.err
    assert "cannot read" in runner("deploy", "--plan", project / "absent").err


def test_a_failure_is_shown_at_its_template_line(runner, project):
    app = project / "templates/connectedApps/Portal.connectedApp.j2"
    # Well-formed and allowed by every rule, but the org has no such user. The
    # platform names field and value, no line: we find it.
    edit(project / "orgs/dev.yaml", "integration@dev.emulated", "nobody@dev.emulated")
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    line = (
        app.read_text()
        .split("\n")
        .index(
            "        <oauthClientCredentialUser>{{ integration_user }}"
            "</oauthClientCredentialUser>"
        )
    )
    place = f"templates/connectedApps/Portal.connectedApp.j2:{line + 1}: "
    assert place in ran.err and "ConnectedApp Portal: " in ran.err, ran.err
    as_json = runner("deploy", "dev", "--auto-approve", "--json")
    assert as_json.code == 1
    assert as_json.json["orgs"][0]["error"]["name"] == "DeployFailed"
    assert runner("plan", "dev", "--detailed-exitcode").code == 2


def test_one_org_that_fails_stops_no_other(runner, project):
    edit(project / "orgs/dev.yaml", "integration@dev.emulated", "nobody@dev.emulated")
    ran = runner("deploy", "dev", "uat", "--auto-approve", "--json")
    assert ran.code == 68
    dev, uat = ran.json["orgs"]
    assert (dev["status"], uat["status"]) == ("Failed", "Succeeded")


def test_a_broken_org_file_stops_no_other(runner, project):
    edit(project / "orgs/dev.yaml", "tags:", "tag:")
    ran = runner("plan", "--json")
    assert ran.code == 68
    assert ran.json["orgs"][0]["error"]["name"] == "InvalidMetadata"
    assert ran.json["orgs"][1]["changes"]
    assert runner("plan", "dev").code == 1


def test_drift_is_told_apart_from_change(runner, project):
    runner("deploy", "dev", "--auto-approve")
    somebody_changes(project, b"platform@acme.example", b"somebody@else.example")
    row = runner("plan", "dev", "--json").json["orgs"][0]
    assert row["drift"] == [
        {
            "action": "update",
            "type": "ConnectedApp",
            "fullName": "Portal",
            "fields": [
                {
                    "path": "contactEmail",
                    "recorded": "platform@acme.example",
                    "actual": "somebody@else.example",
                }
            ],
        }
    ]
    assert [c["fullName"] for c in row["changes"]] == ["Portal"]
    assert "Changed outside metadeploy" in runner("plan", "dev").out


def somebody_changes(project, old, new):
    """Deploy the Portal app as another client would, with one text changed."""
    from metadeploy.connection import Connection
    from metadeploy.metadata_api import MetadataApi
    from metadeploy.model import DeployOptions, Manifest, Ref
    from metadeploy.workspace import Workspace

    workspace = Workspace(project)
    org = workspace.project().org("dev")
    with EmulatedOrgs(workspace.make_state()) as emulated:
        connection = Connection(emulated.url(), emulated.login(org).token)
        api = MetadataApi(connection, "66.0")
        ref = Ref("ConnectedApp", "Portal")
        found = api.check_retrieve_status(api.retrieve(Manifest.of([ref], "66.0")))
        (component,) = found.components
        body = re.sub(rb"<consumerKey>.*</consumerKey>", b"", component.body)
        assert old in body
        manifest = (
            b'<Package xmlns="http://soap.sforce.com/2006/04/metadata"><types><members>'
            b"Portal</members><name>ConnectedApp</name></types><version>66.0</version>"
            b"</Package>"
        )
        files = {
            "connectedApps/Portal.connectedApp": body.replace(old, new),
            "package.xml": manifest,
        }
        deploy_id = api.deploy(zip_files(files), DeployOptions())
        assert api.check_deploy_status(deploy_id).success
        connection.close()


# -- keys


def test_every_org_has_keys_of_its_own(runner):
    runner("deploy", "*", "--auto-approve", "--production")
    rows = runner("keys", "list", "--json").json["orgs"]
    keys = [a["consumerKey"] for row in rows for a in row["apps"]]
    assert len(keys) == len(set(keys)) == 9
    (app,) = [a for a in rows[0]["apps"] if a["app"] == "Portal"]
    assert (
        app.items()
        >= {
            "app": "Portal",
            "type": "ConnectedApp",
            "origin": "derived",
            "generation": 1,
            "wantedGeneration": 1,
            "deployed": True,
        }.items()
    )
    shown = runner("keys", "list", "dev").out
    assert "dev  Portal  derived, generation 1, created " in shown


def test_another_orgs_package_is_refused_by_the_org(runner, project, tmp_path):
    for path in (project / "templates/connectedApps").iterdir():
        # The run-as user is another one in every org; here only keys matter.
        text = re.sub("(?m)^ *<.*lientCredential.*\n", "", path.read_text())
        path.write_text(text)
    runner("deploy", "dev", "--auto-approve")
    runner("render", "dev", "--out", tmp_path / "pkg", "--reveal-secrets")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted((tmp_path / "pkg").rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path / "pkg").as_posix())
    assert read_zip(out.getvalue())
    from metadeploy.connection import Connection
    from metadeploy.metadata_api import MetadataApi
    from metadeploy.model import DeployOptions
    from metadeploy.workspace import Workspace

    workspace = Workspace(project)
    org = workspace.project().org("uat")
    with EmulatedOrgs(workspace.make_state()) as emulated:
        connection = Connection(emulated.url(), emulated.login(org).token)
        api = MetadataApi(connection, "66.0")
        result = api.check_deploy_status(api.deploy(out.getvalue(), DeployOptions()))
        connection.close()
    assert not result.success
    problems = {m.problem for m in result.messages if not m.success}
    assert any("The consumer key is already taken" in p for p in problems), problems


def test_a_key_of_the_orgs_own_is_left_alone(runner, project):
    edit(
        project / "orgs/dev.yaml",
        "values:",
        "apps: {Portal: {consumer_key: PinnedKey123}}\nvalues:",
    )
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    (proof,) = [p for p in ran.json["orgs"][0]["proofs"] if p["app"] == "Portal"]
    assert proof["ok"] is None and "its secret is not known" in proof["detail"]
    edit(project / "orgs/dev.yaml", "apps: {Portal: {consumer_key: PinnedKey123}}", "")
    rows = runner("keys", "list", "dev", "--json").json["orgs"][0]["apps"]
    (portal,) = [a for a in rows if a["app"] == "Portal"]
    assert (portal["consumerKey"], portal["origin"]) == ("PinnedKey123", "org")
    refused = runner("keys", "export", "dev", "--app", "Portal")
    assert refused.code == 1 and "is known to the org only" in refused.err
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_a_master_secret_of_ones_own(runner, monkeypatch):
    printed = runner("keys", "init").out.strip()
    name, _, master = printed.partition("=")
    assert name == "METADEPLOY_MASTER_KEY" and len(master) == 64
    before = runner("keys", "list", "dev", "--json").json
    monkeypatch.setenv(name, master)
    assert runner("keys", "list", "dev", "--json").json != before
    monkeypatch.setenv(name, "short")
    ran = runner("keys", "list", "dev")
    assert ran.code == 1 and "fewer than 32 characters" in ran.err
    unknown = runner("keys", "export", "dev", "--app", "Nope")
    assert unknown.code == 1


def test_no_secret_is_ever_printed_or_kept(runner, project):
    runner("plan", "dev", "--out", project / "p.json")
    rans = [
        runner("deploy", "dev", "--auto-approve", "--json"),
        runner("plan", "dev", "--json"),
        runner("verify", "dev", "--json"),
        runner("keys", "list", "dev", "--json"),
        runner("render", "dev", "--json"),
    ]
    exported = runner("keys", "export", "dev", "--app", "Portal", "--format", "json")
    secret = exported.json["consumerSecret"]
    master = (project / ".metadeploy/emulated-master").read_text()
    for ran in rans:
        assert secret not in ran.out + ran.err
        assert master not in ran.out + ran.err
    for path in project.rglob("*"):
        if path.is_file() and "emulator" not in path.parts:
            data = path.read_bytes()
            assert secret.encode() not in data, path
            assert master.encode() not in data or path.name == "emulated-master"
    assert (project / ".metadeploy").stat().st_mode & 0o777 == 0o700
    assert (project / ".metadeploy/emulated-master").stat().st_mode & 0o777 == 0o600
    assert (project / ".metadeploy/journal.sqlite3").stat().st_mode & 0o777 == 0o600


# -- emulator


def test_a_served_org_is_joined(runner, project):
    server = subprocess.Popen(
        [sys.executable, "-m", "metadeploy", "-C", project, "emulator", "serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(server.stdout.readline())
        assert [o["org"] for o in ready["orgs"]] == ["dev", "prod", "uat"]
        token = runner("emulator", "token", "dev").json
        assert token["instanceUrl"] == ready["url"]
        assert token["username"] == ready["orgs"][0]["username"]
        assert token["orgId"] == ready["orgs"][0]["orgId"]
        assert token["accessToken"].startswith(token["orgId"][:15] + "!")
        assert runner("deploy", "dev", "--auto-approve").code == 0
        ran = runner("emulator", "token", "dev", "--username", "nobody@x")
        assert ran.code == 1 and "has no user nobody@x" in ran.err
    finally:
        server.terminate()
        assert server.wait(10) == 0
        server.stdout.close()
    late = runner("emulator", "token", "dev")
    assert late.code == 1 and late.json["instanceUrl"] is None


@pytest.fixture
def served(project):
    """The project's emulated orgs, served by another process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "metadeploy", "-C", project, "emulator", "serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    yield json.loads(server.stdout.readline())
    server.terminate()
    server.wait(10)
    server.stdout.close()


def test_faults_on_request(runner, served):
    kinds = runner("emulator", "fault").json["kinds"]
    assert "reset-after-apply" in kinds
    made = runner(
        *("emulator", "fault", "fault", "--on", "retrieve", "--org", "dev"),
        *("--set", "code=INSUFFICIENT_ACCESS", "--set", "message=no rights"),
    )
    assert made.code == 0 and made.json["id"]
    failed = runner("plan", "dev")
    assert failed.code == 1 and "INSUFFICIENT_ACCESS: no rights" in failed.err
    assert runner("plan", "dev").code == 0
    runner("emulator", "fault", "maintenance", "--times", "0", "--on", "retrieve")
    assert "HTTP 503 with text/html" in runner("plan", "uat").err
    assert runner("emulator", "fault", "--clear").code == 0
    assert runner("plan", "uat").code == 0
    wrong = runner("emulator", "fault", "nope")
    assert wrong.code == 1 and "no fault is called 'nope'" in wrong.err


def test_faults_need_a_server(runner):
    ran = runner("emulator", "fault", "status")
    assert ran.code == 1 and "no server runs" in ran.err


def test_a_refreshed_sandbox_gets_new_keys(runner):
    runner("deploy", "uat", "prod", "--auto-approve", "--production")
    before = runner("keys", "list", "uat", "--json").json["orgs"][0]
    ran = runner("emulator", "refresh", "uat", "--from", "prod", "--json")
    assert ran.json["orgs"][0]["orgId"] != before["orgId"]
    after = runner("keys", "list", "uat", "--json").json["orgs"][0]
    assert after["orgId"] == ran.json["orgs"][0]["orgId"]
    old = {a["consumerKey"] for a in before["apps"]}
    assert old.isdisjoint(a["consumerKey"] for a in after["apps"])


def test_a_user_gets_a_password(runner):
    ran = runner("emulator", "password", "dev", "user@dev.emulated")
    assert ran.json["username"] == "user@dev.emulated" and len(ran.json["password"]) > 8
    ran = runner("emulator", "password", "dev", "nobody@dev.emulated")
    assert ran.code == 1 and "has no user nobody@dev.emulated" in ran.err


def test_reset_makes_an_org_new(runner):
    runner("deploy", "dev", "--auto-approve")
    assert runner("emulator", "reset", "dev").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 2
    # What a new org does not have was not changed by anybody.
    assert runner("plan", "dev", "--json").json["orgs"][0]["drift"] == []


# -- at a terminal


def at_terminal(project, words, answer):
    """Run the command line with a terminal for stdin, stdout and stderr."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child is the command
        os.environ.update(TERM="xterm-256color", COLUMNS="80")
        os.environ.pop("NO_COLOR", None)
        os.execv(
            sys.executable,
            [sys.executable, "-m", "metadeploy", "-C", str(project), *words],
        )
    shown = b""
    answered = False
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
        if not answered and b"Only 'yes'" in shown:
            os.write(terminal, answer)
            answered = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_deploy_asks_a_person(project):
    code, shown = at_terminal(project, ["deploy", "dev"], b"y\n")
    assert code == 1 and "not confirmed" in shown
    code, shown = at_terminal(project, ["deploy", "dev"], b"yes\n")
    assert code == 0, shown
    assert "\x1b[32m" in shown and "deployed and verified" in shown
    code, shown = at_terminal(project, ["plan", "dev"], b"")
    assert code == 0 and "Nothing to do: the org matches." in shown


# -- what the org sees


@pytest.fixture
def wire(runner, project):
    """Every request body that the emulated orgs of the project are sent."""
    runner("emulator", "reset", "dev")
    world = open_world(project / ".metadeploy/emulator/world.sqlite3")
    bodies = []

    def route(request):
        bodies.append(request.body)
        return answer(world, request)

    with RunningServer(route) as server:
        note = project / ".metadeploy/emulator/server.json"
        note.write_text(json.dumps({"url": server.url}))
        yield bodies
    world.close()


def packages(bodies):
    """The packages that were to be kept, in the order of deploys."""
    for body in bodies:
        if b"ZipFile>" in body and b"checkOnly>false" in body:
            yield read_zip(base64_text(body.split(b"ZipFile>")[1].split(b"<")[0]))


def test_what_we_declare_never_reaches_the_wire(runner, wire):
    assert runner("deploy", "dev", "--auto-approve").code == 0
    sent, policies = packages(wire)
    for path, body in (*sent.items(), *policies.items()):
        assert b"connectedAppAccesses" not in body, path
    assert not any(b"connectedAppAccesses" in body for body in wire)
    app = sent["connectedApps/Portal.connectedApp"]
    assert b"<permissionSetName>Portal_API</permissionSetName>" in app
    assert b"<profileName>System Administrator</profileName>" in app


def test_a_key_is_sent_on_creation_only(runner, project, wire):
    runner("deploy", "dev", "--auto-approve")
    edit(project / "orgs/dev.yaml", "ip_relaxation: BYPASS", "ip_relaxation: ENFORCE")
    assert runner("deploy", "dev", "--auto-approve").code == 0
    path = "connectedApps/Portal.connectedApp"
    first, second = (p[path] for p in packages(wire) if path in p)
    assert b"<consumerKey>" in first and b"<consumerSecret>" in first
    assert b"<consumer" not in second


# -- a login that needs no approval


@pytest.fixture(scope="module")
def key_pair():
    """A private key and its certificate, PEM."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    return private.decode(), certificate.public_bytes(pem).decode()


def test_a_portal_user_is_logged_in_without_being_asked(runner, project, key_pair):
    private, certificate = key_pair
    (project / "portal.key").write_text(private)
    edit(
        project / "templates/connectedApps/Portal.connectedApp.j2",
        "<isAdminApproved>",
        "<certificate>{{ certificate }}</certificate>\n        <isAdminApproved>",
    )
    indented = certificate.replace("\n", "\n    ")
    edit(
        project / "orgs/dev.yaml",
        "values:",
        "apps:\n  Portal:\n    login: {flow: jwt, username: user@dev.emulated,"
        " private_key: {file: portal.key}}\n"
        f"values:\n  certificate: |\n    {indented}",
    )
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert "Portal: REFUSED by jwt" in ran.out
    assert "user is not admin approved to access this app" in ran.out
    assert "Grant the app to a profile or permission set that the user has" in ran.out
    # The user's profile is given the app, and nobody is asked for anything.
    admin = project / "templates/profiles/Admin.profile.j2"
    (admin.parent / "Standard.profile.j2").write_text(admin.read_text())
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    proofs = {p["app"]: p for p in ran.json["orgs"][0]["proofs"]}
    assert (proofs["Portal"]["flow"], proofs["Portal"]["ok"]) == ("jwt", True)
    assert private.splitlines()[3] not in ran.out + ran.err


def test_what_an_emulated_org_is_like_is_said_in_its_file(runner, project):
    edit(
        project / "orgs/dev.yaml",
        "values:",
        "emulator:\n  kind: sandbox\n  edition: Unlimited Edition\n"
        "  eca_consumer_keys: false\n"
        "  profiles: {Partner Portal: Customer Community}\n"
        "  users: [{username: p@acme.example, profile: Partner Portal}]\nvalues:",
    )
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.out
    # An org may refuse the key of an External Client App: then it makes one itself.
    assert ran.json["orgs"][0]["ownKeys"] == ["Ledger"]
    token = runner("emulator", "token", "dev", "--username", "p@acme.example")
    assert "has no user" not in token.err
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
