"""promote, diff and log: from org to org by what is live, with real git."""

from __future__ import annotations

import re

import pytest
from apps import PORTAL, edit, emulated
from repos import commit, git, repository
from test_cli_runs import Killed

from metadeploy import failpoint
from metadeploy.emulator import records, trail
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.sobjects import SOBJECTS
from metadeploy.model import Ref


@pytest.fixture
def first(project):
    """The project is a repository; its first commit."""
    (project / ".gitignore").write_text(".metadeploy/\n")
    return repository(project)


@pytest.fixture
def second(runner, project, first):
    """Both orgs are at the first commit, dev is at a second one."""
    for org in ("dev", "uat"):
        assert runner("deploy", org, "--auto-approve").code == 0
    change(project, "Bills")
    made = commit(project, "Call it Bills")
    assert runner("deploy", "dev", "--auto-approve").code == 0
    return made


def change(project, label):
    path = project / "orgs/defaults.yaml"
    path.write_text(re.sub(r"(?<=label: )Bil\w+", label, path.read_text()))


def live(project, org):
    return git(project, "rev-parse", f"refs/metadeploy/{org}")


def promote(runner, *words):
    ran = runner("promote", "uat", "--auto-approve", "--json", *words)
    return ran.code, ran.json["orgs"][0]


def test_what_is_live_in_dev_goes_to_uat_whatever_lies_about(runner, project, second):
    change_text = project / PORTAL
    change_text.write_text("no template any more {{")
    edit(project / "orgs/uat.yaml", "uat.portal", "uat2.portal")
    shown = runner("promote", "uat", "--auto-approve", "--dry-run").out
    assert shown.startswith(f"dev → uat  {second[:12]} Call it Bills\n\nuat  00D")
    assert "label         Billing → Bills" in shown
    assert "Plan: 0 to create, 1 to update, access: 0 granted, 0 revoked." in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert live(project, "uat") != second
    code, row = promote(runner)
    assert (code, row["status"], row["verified"]) == (0, "Succeeded", True)
    assert [c["fullName"] for c in row["changes"]] == ["Billing"]
    assert row["live"]["commit"] == second == live(project, "uat")
    code, row = promote(runner)
    assert (code, row["status"]) == (0, "Unchanged")


def test_it_is_asked_first_and_refused_without_anybody(runner, second):
    ran = runner("promote", "uat")
    assert ran.code == 64 and "nobody is there to be asked" in ran.err


def test_what_nobody_knows_to_be_live_is_not_promoted(runner, project, first):
    ran = runner("promote", "uat", "--auto-approve")
    assert ran.code == 1
    assert "no commit is known to be live in dev: there is no refs/metadeploy/" in (
        ran.err
    )
    assert "git fetch origin refs/metadeploy/dev:refs/metadeploy/dev" in ran.err
    ran = runner("promote", "dev", "--auto-approve")
    assert ran.code == 1
    assert "orgs/dev.yaml does not say which org dev follows" in ran.err


def test_a_source_that_has_drifted_is_refused(runner, project, second):
    change(project, "Bill")  # not committed, and then what no commit holds
    runner("deploy", "dev", "--auto-approve")
    code, row = promote(runner)
    assert (code, row["status"]) == (1, "Refused")
    (refusal,) = row["error"]["refusals"]
    assert f"dev is not as {second[:12]} says: 1 of its components" in refusal
    assert refusal.endswith("Allow it with --allow-drift.")
    assert live(project, "uat") != second
    code, row = promote(runner, "--allow-drift")
    assert (code, row["live"]["commit"]) == (0, second)


def test_a_source_whose_last_run_went_wrong_is_refused(runner, project, second):
    def watch(reached):
        if reached == "sent":
            raise Killed(reached)

    change(project, "Bill")
    before, failpoint.watcher = failpoint.watcher, watch
    try:
        with pytest.raises(Killed):
            runner("deploy", "dev", "--auto-approve")
    finally:
        failpoint.watcher = before
    code, row = promote(runner)
    assert code == 1
    assert (
        "of dev, its last, is Sent. Allow it with --allow-unverified."
        in (row["error"]["refusals"][0])
    )
    code, row = promote(runner, "--allow-unverified", "--allow-drift")
    assert (code, live(project, "uat")) == (0, second)


def test_a_commit_that_the_branch_does_not_have_is_refused(
    runner, project, first, second
):
    git(project, "branch", "release", first)
    code, row = promote(runner, "--branch", "release")
    assert code == 1
    (refusal,) = row["error"]["refusals"]
    assert f"{second[:12]}, live in dev, is not part of branch release" in refusal
    assert live(project, "uat") == first
    ran = runner("promote", "uat", "--auto-approve", "--branch", "nowhere")
    assert ran.code == 1 and "git knows no commit 'nowhere' here" in ran.err
    git(project, "checkout", "--quiet", "release")
    refused = runner("promote", "uat", "--auto-approve")
    assert refused.code == 1
    assert "not part of the branch that is checked out" in refused.err
    code, row = promote(runner, "--allow-unmerged")
    assert (code, live(project, "uat")) == (0, second)
    code, row = promote(runner, "--branch", "main")
    assert (code, row["status"]) == (0, "Unchanged")


def test_an_empty_plan_of_a_refused_promotion_is_refused_too(runner, project, second):
    git(project, "checkout", "--quiet", "--orphan", "other")
    commit(project, "Other")
    assert promote(runner, "--allow-unmerged")[0] == 0
    git(project, "update-ref", "refs/metadeploy/uat", "HEAD")
    ran = runner("promote", "uat", "--auto-approve")
    assert ran.code == 1
    assert "Nothing to do: the org matches." in ran.out
    assert "Allow it with --allow-unmerged." in ran.out
    assert live(project, "uat") == git(project, "rev-parse", "HEAD")


def test_production_needs_its_flag_here_too(runner, project, second):
    assert promote(runner)[0] == 0
    ran = runner("promote", "prod", "--auto-approve")
    assert ran.code == 1 and "is a production org. Allow it with --prod" in ran.err
    ran = runner("promote", "prod", "--auto-approve", "--production", "--json")
    assert (ran.code, ran.json["orgs"][0]["live"]["commit"]) == (0, second)


def test_a_saved_plan_is_shown_first_and_deployed_exactly(
    runner, project, first, second, tmp_path
):
    saved = tmp_path / "uat.plan"
    ran = runner("promote", "uat", "--out", saved, "--json")
    assert (ran.code, live(project, "uat")) == (0, first)
    (row,) = ran.json["orgs"]
    assert [c["fullName"] for c in row["changes"]] == ["Billing"]
    code, row = promote(runner, "--plan", saved)
    assert (code, row["status"], row["live"]["commit"]) == (0, "Succeeded", second)
    assert runner("log", "uat", "--json").json["runs"][0]["promotedFrom"] == "dev"
    ran = runner("promote", "uat", "--auto-approve", "--plan", saved)
    assert ran.code == 1
    assert "what goes from dev to uat now is not what the plan says (fingerprint" in (
        ran.err
    )
    assert "Plan again and read the new plan" in ran.err


def test_a_saved_plan_does_not_hold_what_is_live_in_the_source(
    runner, project, second, tmp_path
):
    saved = tmp_path / "uat.plan"
    assert runner("promote", "uat", "--out", saved).code == 0
    change(project, "Bill")
    commit(project)
    assert runner("deploy", "dev", "--auto-approve").code == 0
    ran = runner("promote", "uat", "--auto-approve", "--plan", saved)
    assert ran.code == 1 and "is not what the plan says" in ran.err


def test_a_saved_plan_is_of_that_org_and_of_no_refused_promotion(
    runner, project, second, tmp_path
):
    saved = tmp_path / "prod.plan"
    assert promote(runner)[0] == 0
    ran = runner("promote", "prod", "--out", saved)
    assert ran.code == 1 and "Allow it with --production." in ran.out
    assert not saved.exists()
    assert runner("promote", "prod", "--production", "--out", saved).code == 0
    ran = runner("promote", "uat", "--auto-approve", "--plan", saved)
    assert ran.code == 1 and f"{saved} has no plan for uat" in ran.err
    ran = runner("promote", "prod", "--auto-approve", "--plan", saved)
    assert ran.code == 1 and "Allow it with --production." in ran.err
    ran = runner("promote", "prod", "--plan", saved, "--auto-approve", "--production")
    assert ran.code == 0, ran.err
    ran = runner("promote", "prod", "--plan", saved, "--out", saved)
    assert ran.code == 64 and "--out makes a plan, and --plan takes one" in ran.err


def test_it_is_pushed_on_request(runner, project, second, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    git(far, "init", "--quiet", "--bare")
    git(project, "remote", "add", "origin", str(far))
    code, row = promote(runner, "--push")
    assert (code, row["live"]["pushed"]) == (0, "origin")
    assert git(far, "rev-parse", "refs/metadeploy/uat") == second


def test_a_promotion_is_taken_back_like_any_run(runner, project, first, second):
    promote(runner)
    ran = runner("rollback", "uat", "--auto-approve")
    assert ran.code == 0, ran.err
    assert live(project, "uat") == first


def test_the_log_of_an_org(runner, project, first, second):
    promote(runner)
    runner("rollback", "uat", "--auto-approve")
    change(project, "Bill")
    runner("deploy", "uat", "--auto-approve")
    runner("deploy", "uat", "--auto-approve", "--dry-run")
    said = runner("log", "uat", "--json").json
    assert said["live"] == {"commit": first, "subject": "First"}
    changed, back, promoted, begun = said["runs"]
    assert (begun["commit"], begun["subject"], begun["exact"]) == (first, "First", True)
    assert begun["promotedFrom"] is None and begun["status"] == "Verified"
    assert (promoted["commit"], promoted["promotedFrom"]) == (second, "dev")
    assert promoted["subject"] == "Call it Bills" and promoted["user"]
    assert back["undoes"] == promoted["runId"]
    assert (changed["commit"], changed["exact"]) == (second, False)
    shown = runner("log", "uat").out
    assert shown.startswith(f"uat  live: {first[:12]} First\n")
    assert f"\n    takes back {promoted['runId']}\n" in shown
    assert f"    {second[:12]} Call it Bills, changed\n" in shown
    assert re.search(r"Verified    \S+  from dev\n", shown)
    assert all(len(line) <= 80 for line in shown.splitlines())
    runs = runner("runs", "list", "uat", "--json").json["runs"]
    assert {r["promotedFrom"] for r in runs} == {None, "dev"}


def test_the_log_of_an_org_that_nothing_went_to(runner, project):
    assert runner("log", "dev").out == (
        "dev  live: nobody knows which commit\n\n  Nothing has run here yet.\n"
    )
    assert runner("log", "dev", "--json").json["live"] is None


def test_what_a_promotion_would_bring_is_known_offline(runner, project, first, second):
    (project / PORTAL).write_text("not looked at {{")
    ran = runner("diff", "dev..uat")
    assert ran.code == 0, ran.err
    assert ran.out == (
        f"dev  {second[:12]} Call it Bills\n"
        f"uat  {first[:12]} First\n"
        "\n"
        "  ~ ConnectedApp Billing\n"
        "      label         Billing → Bills\n"
        "\n"
        "  0 to create, 1 to update, access: 0 granted, 0 revoked.\n"
    )
    said = runner("diff", "dev..uat", "--json").json
    assert said["from"]["live"] == {"commit": second, "subject": "Call it Bills"}
    assert said["to"] == {"org": "uat", "live": {"commit": first, "subject": "First"}}
    assert [c["fullName"] for c in said["changes"]] == ["Billing"]
    git(project, "checkout", "--quiet", "--force", "main")
    promote(runner)
    assert "For uat, both make the same." in runner("diff", "dev..uat").out


def test_a_diff_to_an_org_that_nobody_knows_shows_all(runner, first):
    runner("deploy", "dev", "--auto-approve")
    ran = runner("diff", "dev..uat")
    assert "uat  nobody knows which commit\n" in ran.out
    assert "  + Portal  may be used by  PermissionSet Portal_API" in ran.out
    said = runner("diff", "dev..uat", "--json").json
    assert said["to"]["live"] is None
    assert {c["action"] for c in said["changes"]} == {"create", "grant"}


@pytest.mark.parametrize("pair", ["dev", "dev..", "..uat"])
def test_a_diff_is_of_two_orgs(runner, pair):
    ran = runner("diff", pair)
    assert ran.code == 64 and "two orgs are wanted, as in sit..uat" in ran.err


def test_what_goes_away_and_new_generations_are_in_a_diff(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    runner("deploy", "uat", "--auto-approve")
    edit(
        project / "orgs/defaults.yaml",
        "apps:\n",
        "apps:\n  Billing: {generation: 2}\n",
    )
    (project / "templates/permissionsets/Portal_API.permissionset.j2").unlink()
    commit(project)
    words = ("--allow-interruption", "--allow-revoke", "--allow-lockout")
    assert runner("deploy", "dev", "--auto-approve", *words).code == 0
    said = runner("diff", "dev..uat", "--json").json
    assert said["replaced"] == [{"type": "ConnectedApp", "fullName": "Billing"}]
    found = {(c["action"], c.get("fullName", c.get("holder"))) for c in said["changes"]}
    assert ("delete", "Portal_API") in found and ("revoke", "Portal_API") in found
    assert "- ConnectedApp Billing\n" in runner("diff", "dev..uat").out


# -- drift


def somebody_changes(project, name="dev"):
    """Somebody gives Portal another label and takes it from a permission set."""
    ref = Ref("ConnectedApp", "Portal")
    with emulated(project, name) as org:
        admin = admin_of(org)
        app = org.component(ref)
        body = app.body.replace(b"<label>Portal</label>", b"<label>Mine</label>")
        assert body != app.body
        org.put(ref, body, user_id=admin)
        words = "Changed connected app Portal settings"
        trail.note(org, "Application", "changeApplication", words, by=admin)
        trail.note(org, "Manage Users", "other", "Changed profile Nobody", by=admin)
        for row in records.all_records(org, SOBJECTS["SetupEntityAccess"]):
            holder = records.raw(org, "PermissionSet", str(row["ParentId"]))
            if row["SetupEntityId"] == app.id and holder["Name"] == "Portal_API":
                records.erase(org, "SetupEntityAccess", str(row["Id"]))


def test_an_org_as_it_was_deployed_has_no_drift(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    change(project, "Bills")  # what lies about is no drift
    ran = runner("drift", "dev")
    assert (ran.code, ran.out) == (
        0,
        f"dev  {first[:12]} First\n\n  As it was deployed.\n\n",
    )
    (row,) = runner("drift", "dev", "--json").json["orgs"]
    assert (row["live"]["commit"], row["drift"], row["access"]) == (first, [], [])


@pytest.mark.parametrize("with_git", [True, False])
def test_what_somebody_changed_is_found_and_who(runner, project, with_git):
    if with_git:
        (project / ".gitignore").write_text(".metadeploy/\n")
        repository(project)
    runner("deploy", "dev", "--auto-approve")
    somebody_changes(project)
    ran = runner("drift", "dev", "--json")
    assert ran.code == 2
    (row,) = ran.json["orgs"]
    (changed,) = row["drift"]
    assert changed["fields"] == [
        {"path": "label", "recorded": "Portal", "actual": "Mine"}
    ]
    (planned,) = runner("plan", "dev", "--json").json["orgs"]
    assert planned["drift"] == row["drift"]
    if with_git:  # the journal does not record who may use what
        (lost,) = row["access"]
        assert (lost["action"], lost["holder"]) == ("revoke", "Portal_API")
    assert [(t["display"], t["action"]) for t in row["trail"]] == [
        ("Changed connected app Portal settings", "changeApplication")
    ]
    assert row["trail"][0]["user"] and row["untold"] == ""
    shown = runner("drift", "dev")
    assert shown.code == 2
    assert "deployed Portal\n" in shown.out and "now      Mine" in shown.out
    assert "Who may have done it, by the org's setup audit trail:" in shown.out
    assert "    Changed connected app Portal settings\n" in shown.out
    lost = "! Portal  may no longer be used by  PermissionSet Portal_API"
    assert (lost in shown.out) == with_git
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_orgs_of_which_nothing_is_known_are_told(runner, first):
    runner("deploy", "dev", "--auto-approve")
    ran = runner("drift", "dev", "uat", "--json")
    assert ran.code == 68
    known, unknown = ran.json["orgs"]
    assert known["drift"] == []
    assert "nothing is known to be deployed to uat" in unknown["error"]["message"]
    shown = runner("drift", "uat")
    assert shown.code == 1 and "`metadeploy deploy uat` makes it known" in shown.err


def test_what_somebody_deleted_is_drift(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    with emulated(project) as org:
        org.remove(Ref("ConnectedApp", "Billing"))
    ran = runner("drift", "dev")
    assert ran.code == 2 and "! ConnectedApp Billing is gone from the org" in ran.out


# -- since


def test_a_plan_since_a_commit_is_of_what_edits_reach(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    somebody_changes(project)  # Portal, which no edit reaches
    change(project, "Bills")
    ran = runner("plan", "dev", "--since", "HEAD", "--json")
    (row,) = ran.json["orgs"]
    assert [c["fullName"] for c in row["changes"]] == ["Billing"]
    assert row["drift"] == []
    shown = runner("plan", "dev", "--since", first[:10]).out
    assert "ConnectedApp Billing" in shown and "Portal" not in shown
    whole = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    assert {c.get("fullName") for c in whole} >= {"Billing", "Portal"}
    commit(project)
    ran = runner("plan", "dev", "--since", "HEAD")
    assert "Nothing to do: the org matches." in ran.out


def test_a_deploy_since_what_was_live_is_whole(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    change(project, "Bills")
    second = commit(project)
    ran = runner("deploy", "dev", "--auto-approve", "--since", "HEAD~1", "--json")
    assert (ran.code, ran.json["orgs"][0]["live"]["commit"]) == (0, second)
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_a_deploy_since_another_commit_is_not(runner, project, first):
    change(project, "Bills")
    second = commit(project)
    runner("deploy", "dev", "--auto-approve")
    change(project, "Bill")
    commit(project)
    ran = runner("deploy", "dev", "--auto-approve", "--since", first, "--json")
    assert ran.code == 0
    assert ran.json["orgs"][0]["live"]["commit"] == second == live(project, "dev")
    assert (
        f"only what changed since {first} counted"
        in (ran.json["orgs"][0]["live"]["why"])
    )


def test_a_deleted_template_deletes_where_that_is_allowed(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    (project / "templates/permissionsets/Portal_API.permissionset.j2").unlink()
    (project / "templates/profiles/Portal Community User.profile.j2").unlink()
    commit(project)
    words = ("deploy", "dev", "--auto-approve", "--since", first, "--allow-revoke")
    ran = runner(*words)
    assert ran.code == 1
    assert "this deletes PermissionSet Portal_API. Allow it with --allow-delete" in (
        ran.err
    )
    assert "  - PermissionSet Portal_API\n" in ran.out
    assert "  - Profile" not in ran.out  # it is not ours to delete
    ran = runner(*words, "--allow-delete", "--json")
    assert (ran.code, ran.json["orgs"][0]["verified"]) == (0, True), ran.out
    with emulated(project) as org:
        assert org.component(Ref("PermissionSet", "Portal_API")) is None
    again = runner(*words[:2], "--since", first, "--auto-approve")
    assert "nothing to do" in again.out


def test_an_app_whose_template_is_gone_goes_whole(runner, project, first):
    runner("deploy", "dev", "--auto-approve")
    path = project / "orgs/defaults.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "name: Ledger" not in line))
    ran = runner("deploy", "dev", "--auto-approve", "--since", "HEAD", "--allow-delete",
                 "--allow-revoke", "--json")  # fmt: skip
    assert ran.code == 0, ran.err + ran.out
    deleted = [
        c["fullName"] for c in ran.json["orgs"][0]["changes"] if c["action"] == "delete"
    ]
    assert deleted == ["Ledger"]
    with emulated(project) as org:
        assert org.component(Ref("ExternalClientApplication", "Ledger")) is None


def test_an_org_that_was_not_there_is_reached_whole(runner, project, first):
    (project / "orgs/new.yaml").write_text((project / "orgs/dev.yaml").read_text())
    (row,) = runner("plan", "new", "--since", "HEAD", "--json").json["orgs"]
    (whole,) = runner("plan", "new", "--json").json["orgs"]
    assert row["changes"] == whole["changes"] != []


def test_a_commit_that_is_none_or_does_not_render(runner, project, first):
    ran = runner("plan", "dev", "--since", "nowhere")
    assert ran.code == 1 and "git knows no commit 'nowhere' here" in ran.err
    good = (project / PORTAL).read_text()
    (project / PORTAL).write_text("{{ nothing.at.all }}")
    commit(project)
    (project / PORTAL).write_text(good)
    ran = runner("plan", "dev", "--since", "HEAD")
    assert ran.code == 1 and "at HEAD, dev does not render: templates/conn" in ran.err
    ran = runner("deploy", "dev", "--since", "HEAD", "--plan", "x")
    assert ran.code == 64 and "--since is for a plan to be made" in ran.err
