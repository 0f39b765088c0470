"""What is live where: refs/metadeploy/<org>, kept by deploys to emulated orgs."""

from __future__ import annotations

import shutil

import pytest
from apps import edit, with_certificate
from repos import commit, git, repository
from test_cli_runs import Killed

from metadeploy import failpoint
from metadeploy.api import Orgs
from metadeploy.workspace import Workspace


@pytest.fixture
def first(project):
    """The project is a repository; its first commit."""
    (project / ".gitignore").write_text(".metadeploy/\n")
    return repository(project)


def deploy(runner, *words, org="dev"):
    ran = runner("deploy", org, "--auto-approve", "--json", *words)
    return ran.code, ran.json["orgs"][0]


def live(project, org="dev"):
    found = git(
        project, "for-each-ref", f"refs/metadeploy/{org}", "--format=%(objectname)"
    )
    return found or None


def change(project, label):
    edit(project / "orgs/defaults.yaml", "label: Billing", f"label: {label}")


def test_a_verified_deploy_is_noted(runner, project, first):
    code, row = deploy(runner)
    assert code == 0
    assert row["live"] == {
        "ref": "refs/metadeploy/dev",
        "commit": first,
        "why": "",
        "hint": "",
        "pushed": None,
        "notPushed": "",
    }
    assert live(project) == first
    shown = runner("deploy", "dev", "--auto-approve").out
    assert f"  live: {first[:12]} by refs/metadeploy/dev" in shown


def test_a_commit_that_changes_nothing_for_an_org_is_live_there_too(
    runner, project, first
):
    deploy(runner)
    edit(project / "orgs/uat.yaml", "ENFORCE_RELAXREFRESH", "ENFORCE")
    second = commit(project)
    code, row = deploy(runner)
    assert (code, row["status"], row["live"]["commit"]) == (0, "Unchanged", second)
    assert live(project) == second


def test_what_no_commit_holds_is_not_noted(runner, project, first):
    change(project, "Bills")
    code, row = deploy(runner)
    assert (code, row["verified"], live(project)) == (0, True, None)
    assert row["live"]["why"] == "orgs/defaults.yaml is not as it is committed"
    shown = runner("deploy", "dev", "--auto-approve")
    assert "Not noted as live: orgs/defaults.yaml is not as it is" in shown.flat
    assert "Commit it, then `metadeploy deploy dev` notes it." in shown.flat
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    second = commit(project)
    assert deploy(runner)[1]["live"]["commit"] == second == live(project)


def test_dry_runs_and_failed_runs_move_nothing(runner, project, first):
    code, row = deploy(runner, "--dry-run")
    assert (code, row["live"], live(project)) == (0, None, None)
    edit(project / "orgs/defaults.yaml", "platform@acme.example", "nobody at all")
    commit(project)
    assert deploy(runner)[0] == 1
    assert live(project) is None
    git(project, "checkout", "--quiet", first)
    assert deploy(runner)[1]["live"]["commit"] == first
    assert deploy(runner, "--dry-run")[1]["live"] is None


def test_a_run_that_the_org_kept_nothing_of_does_not_matter(runner, project, first):
    deploy(runner)
    edit(project / "orgs/dev.yaml", "integration@dev.emulated", "gone@dev.emulated")
    commit(project)
    assert deploy(runner)[0] == 1 and live(project) == first
    assert runner("runs", "list", "--json").json["runs"][0]["status"] == "Failed"
    git(project, "checkout", "--quiet", "-b", "other", first)
    second = commit(project, "Nothing of ours")
    code, row = deploy(runner)
    assert (code, row["status"], row["live"]["commit"]) == (0, "Unchanged", second)


def unverified(project, who="nobody"):
    """Have the Portal's login go wrong in dev, whose deploy does not."""
    said = f"username: {who}@dev.emulated, private_key: {{file: portal.key}}"
    with_certificate(project, f"Portal: {{login: [{{flow: jwt, {said}}}]}}")
    return commit(project)


def test_an_unverified_run_moves_nothing_nor_does_an_empty_plan_after_it(
    runner, project, first
):
    unverified(project)
    code, row = deploy(runner)
    assert (code, row["verified"], row["live"]) == (1, False, None)
    assert live(project) is None
    code, row = deploy(runner)
    assert (code, row["status"], row["verified"]) == (1, "Unchanged", False)
    assert "its last, is Unverified" in row["live"]["why"]
    assert live(project) is None
    report = project / "a.md"
    shown = runner("deploy", "dev", "--auto-approve", "--report", f"markdown={report}")
    assert "nothing to do: the org matches." in shown.out
    assert "nobody@dev.emulated" in shown.out
    assert "NOT as it has to be" in report.read_text()


def test_an_empty_plan_verifies_what_an_unverified_run_left(runner, project, first):
    unverified(project)
    assert deploy(runner)[0] == 1
    edit(project / "orgs/dev.yaml", "nobody@", "admin@")
    second = commit(project)
    code, row = deploy(runner)
    assert (code, row["status"], row["verified"]) == (0, "Unchanged", True)
    assert row["live"]["commit"] == second == live(project)
    assert [p["ok"] for p in row["proofs"]].count(False) == 0 and row["proofs"]
    (run,) = runner("runs", "list", "--json").json["runs"]
    assert run["status"] == "Verified"
    assert deploy(runner)[1]["proofs"] == []  # once is enough


def test_an_empty_plan_on_a_new_machine_is_verified_first(runner, project, first):
    unverified(project)
    assert deploy(runner)[0] == 1
    (project / ".metadeploy/journal.sqlite3").unlink()
    code, row = deploy(runner)
    assert (code, row["status"], row["verified"]) == (1, "Unchanged", False)
    assert row["live"]["why"] == "the org is not verified" and live(project) is None
    edit(project / "orgs/dev.yaml", "nobody@", "admin@")
    second = commit(project)
    code, row = deploy(runner)
    assert (code, row["live"]["commit"]) == (0, second)
    assert deploy(runner)[1]["proofs"] == []


def test_a_rollback_goes_back_to_what_was_live(runner, project, first):
    deploy(runner)
    change(project, "Bills")
    second = commit(project)
    deploy(runner)
    assert live(project) == second
    ran = runner("rollback", "dev", "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["orgs"][0]["live"]["commit"] == first == live(project)
    ran = runner("rollback", "dev", "--auto-approve", "--allow-lockout")
    assert ran.code == 0, ran.err
    assert "No commit is what the org has now: refs/metadeploy/dev is no" in ran.flat
    assert live(project) is None


def test_a_rollback_of_another_run_than_the_last_leaves_no_commit(
    runner, project, first
):
    deploy(runner)
    change(project, "Bills")
    commit(project)
    earlier = deploy(runner)[1]["runId"]
    edit(project / "orgs/defaults.yaml", "platform@acme", "team@acme")
    commit(project)
    deploy(runner)
    ran = runner("rollback", "dev", earlier, "--auto-approve", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["orgs"][0]["live"]["commit"], live(project)) == (None, None)


def test_a_rollback_of_what_no_commit_held_stays(runner, project, first):
    deploy(runner)
    change(project, "Bills")
    deploy(runner)
    assert live(project) == first
    assert runner("rollback", "dev", "--auto-approve").code == 0
    assert live(project) == first


def test_a_run_that_died_is_noted_when_it_comes_to_its_end(runner, project, first):
    def watch(reached):
        if reached == "deployed":
            raise Killed(reached)

    before, failpoint.watcher = failpoint.watcher, watch
    try:
        with pytest.raises(Killed):
            deploy(runner)
    finally:
        failpoint.watcher = before
    assert live(project) is None
    change(project, "Bills")
    commit(project)
    ran = runner("runs", "resume", "dev", "--json")
    assert ran.code == 0, ran.err
    # It is of the commit that it began at.
    assert ran.json["orgs"][0]["live"]["commit"] == first == live(project)


def test_a_saved_plan_is_of_a_commit_only_where_it_says_the_same(
    runner, project, first
):
    runner("plan", "dev", "--out", project / "same.plan")
    git(project, "checkout", "--quiet", "-b", "other")
    change(project, "Bills")
    second = commit(project)
    code, row = deploy(runner, "--plan", project / "same.plan")
    assert (code, live(project)) == (0, None)
    assert row["live"]["why"] == "the saved plan is not of all that templates make now"
    runner("plan", "dev", "--out", project / "mine.plan")
    code, row = deploy(runner, "--plan", project / "mine.plan")
    assert (code, row["live"]["why"], live(project)) == (0, "", second)


def test_without_git_nothing_is_said(runner, project):
    code, row = deploy(runner)
    assert (code, row["live"]) == (0, None)
    assert "live" not in runner("deploy", "dev", "--auto-approve").out
    ran = runner("rollback", "dev", "--auto-approve", "--push")
    assert ran.code == 1 and "no git repository here" in ran.err
    assert runner("rollback", "dev", "--auto-approve").code == 0
    ran = runner("deploy", "dev", "--auto-approve", "--push")
    assert ran.code == 1 and "no git repository here" in ran.err


def test_a_project_below_the_top_of_its_repository(runner, project, tmp_path_factory):
    top = tmp_path_factory.mktemp("top")
    for folder in ("templates", "orgs"):
        shutil.copytree(project / folder, top / "portal" / folder)
    (top / ".gitignore").write_text(".metadeploy/\n")
    first = repository(top)
    (top / "README").write_text("not committed, and nothing of ours")
    ran = runner("deploy", "dev", "--auto-approve", "--json", at=top / "portal")
    assert ran.code == 0, ran.err
    assert ran.json["orgs"][0]["live"]["commit"] == first == live(top)


def test_it_is_pushed_on_request(runner, project, first, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    git(far, "init", "--quiet", "--bare")
    git(project, "remote", "add", "origin", str(far))
    code, row = deploy(runner, "--push")
    assert (code, row["live"]["pushed"], live(far)) == (0, "origin", first)
    ran = runner("deploy", "dev", "--auto-approve", "--push", "--remote", "nowhere")
    assert ran.code == 1
    assert "refs/metadeploy/dev is not pushed to nowhere" in ran.flat
    change(project, "Bills")
    ran = runner("deploy", "dev", "--auto-approve", "--push")
    assert ran.code == 1 and "Nothing was sent. Commit it first" in ran.err


def test_a_rollback_is_pushed_too(runner, project, first, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    git(far, "init", "--quiet", "--bare")
    git(project, "remote", "add", "origin", str(far))
    deploy(runner, "--push")
    change(project, "Bills")
    second = commit(project)
    deploy(runner, "--push")
    assert live(far) == second
    edit(project / "orgs/defaults.yaml", "platform@", "team@")  # lies about
    ran = runner("rollback", "dev", "--auto-approve", "--push", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["orgs"][0]["live"]["pushed"] == "origin"
    assert live(far) == first == live(project)
    ran = runner("rollback", "dev", "--auto-approve", "--allow-lockout", "--push")
    assert ran.code == 0, ran.err
    assert live(far) is None


def test_a_rollback_does_not_take_back_what_others_have_noted(
    runner, project, first, tmp_path_factory
):
    far = tmp_path_factory.mktemp("far")
    git(far, "init", "--quiet", "--bare")
    git(project, "remote", "add", "origin", str(far))
    deploy(runner, "--push")
    change(project, "Bills")
    commit(project)
    deploy(runner, "--push")
    theirs = commit(project, "Theirs")
    git(project, "push", "--quiet", "origin", f"{theirs}:refs/metadeploy/dev")
    ran = runner("rollback", "dev", "--auto-approve", "--push")
    assert ran.code == 1
    assert "is not pushed to origin: rejected (stale info)" in ran.flat
    assert (live(far), live(project)) == (theirs, first)


def test_the_python_api_notes_it_too(runner, project, first):
    with Orgs(Workspace(project)) as orgs:
        outcome = orgs.deploy(orgs.plan("dev"))
    assert outcome.live is not None and outcome.live.commit == first == live(project)
