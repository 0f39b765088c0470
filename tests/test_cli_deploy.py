"""plan, deploy and keys on emulated orgs, over real HTTP."""

from __future__ import annotations

import io
import json
import re
import zipfile
from base64 import b64decode

import pytest
from apps import edit, key_pair

from metadeploy.emulated import EmulatedOrgs
from metadeploy.emulator.server import RunningServer, answer
from metadeploy.emulator.state import open_world
from metadeploy.package import read_zip, zip_files

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
    # What is left of a job that was killed is its log.
    begun = f"dev: deploying as {row['deployId']}, run {row['runId']}\n"
    assert begun in deployed.err
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
    refused = runner("deploy", "dev", "--auto-approve")
    assert refused.code == 1
    assert "this takes access away: Portal from Profile Admin" in refused.err
    assert runner("deploy", "dev", "--auto-approve", "--allow-revoke").code == 0
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
    allowed = runner(
        "deploy", "dev", "--auto-approve", "--allow-lockout", "--allow-revoke"
    )
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
    from metadeploy.reach import LOOPBACK
    from metadeploy.workspace import Workspace

    workspace = Workspace(project)
    org = workspace.project().org("dev")
    with EmulatedOrgs(workspace.make_state()) as emulated:
        connection = Connection(
            emulated.url(), emulated.login(org).token, reach=LOOPBACK
        )
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
    assert "dev  Portal  derived  generation 1  created " in shown


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
    from metadeploy.reach import LOOPBACK
    from metadeploy.workspace import Workspace

    workspace = Workspace(project)
    org = workspace.project().org("uat")
    with EmulatedOrgs(workspace.make_state()) as emulated:
        connection = Connection(
            emulated.url(), emulated.login(org).token, reach=LOOPBACK
        )
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
    """The packages that were to be kept, in the order of deploys, without folder."""
    for body in bodies:
        if b"ZipFile>" in body and b"checkOnly>false" in body:
            files = read_zip(b64decode(body.split(b"ZipFile>")[1].split(b"<")[0]))
            yield {path.partition("/")[2]: text for path, text in files.items()}


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


def test_a_portal_user_is_logged_in_without_being_asked(runner, project):
    private, certificate = key_pair()
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
    assert "user is not admin approved to access this app" in ran.flat
    assert "Grant the app to a profile or permission set that the user has" in ran.flat
    # The user's profile is given the app, and nobody is asked for anything.
    admin = project / "templates/profiles/Admin.profile.j2"
    (admin.parent / "Standard.profile.j2").write_text(admin.read_text())
    ran = runner("deploy", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    proofs = {p["app"]: p for p in ran.json["orgs"][0]["proofs"]}
    assert (proofs["Portal"]["flow"], proofs["Portal"]["ok"]) == ("jwt", True)
    assert private.splitlines()[3] not in ran.out + ran.err
