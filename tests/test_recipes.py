"""The pipelines of docs/ci do what they say, on emulated orgs and real git."""

from __future__ import annotations

import re

import pytest
from apps import edit
from recipes import ACTIONS, MASTER, GitHub, GitLab, Place, files, sh
from repos import git
from ruamel.yaml import YAML

from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.state import open_world
from metadeploy.model import Ref

ACTIONS_PAGE, GITLAB_PAGE, SHELL_PAGE = "github-actions.md", "gitlab.md", "shell.md"
WORKFLOWS = files(ACTIONS_PAGE)
PLAN, DEPLOY, PROMOTE, DRIFT, RESUME = (
    WORKFLOWS[f".github/workflows/metadeploy-{name}.yml"]
    for name in ("plan", "deploy", "promote", "drift", "resume")
)
PIPELINE = files(GITLAB_PAGE)[".gitlab-ci.yml"]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def place(tmp_path):
    """A host's repository, orgs that have nothing yet, and a store of secrets."""
    secrets = {MASTER: "METADEPLOY" + "m" * 40}
    for org in ("DEV", "UAT", "PROD"):
        secrets[f"{org}_CLIENT_ID"] = f"3MVG9canary{org}"
        secrets[f"{org}_PRIVATE_KEY"] = f"canary-key-{org}"
    return Place(tmp_path, secrets)


@pytest.fixture
def github(place):
    return GitHub(place)


def change(place, label="Bills"):
    path = place.first / "orgs/defaults.yaml"
    path.write_text(re.sub(r"(?<=label: )Bil\w+", label, path.read_text()))


def somebody_changes(place, org="dev"):
    """Somebody calls an app otherwise, in Setup."""
    world = open_world(place.folder / "world/world.sqlite3")
    state, ref = world.org(org), Ref("ConnectedApp", "Billing")
    body = state.component(ref).body
    changed = body.replace(b"<label>Billing", b"<label>Mine")
    assert changed != body
    state.put(ref, changed, user_id=admin_of(state))
    world.close()


def well(ran):
    """Give a workflow's run, all of which has to be well."""
    bad = [s for steps in ran.jobs.values() for s in steps if s.code]
    assert not bad, bad
    return ran


# -- the files themselves


@pytest.mark.parametrize("path", WORKFLOWS)
def test_a_workflow_asks_for_no_more_than_it_needs(path):
    text = WORKFLOWS[path]
    workflow = YAML(typ="safe").load(text)
    assert workflow["permissions"] == {}, "each job says what it may"
    for used in re.findall(r"uses: (.*)", text):
        name, _, commit = used.partition("@")
        assert ACTIONS[name][0] == commit
    for job in workflow["jobs"].values():
        assert job["permissions"] and job["runs-on"] == "ubuntu-24.04"
        told = "".join(step.get("run", "") for step in job["steps"])
        if "--wait 33" in told:
            assert job["timeout-minutes"] > 33 + 10
        changes = "deploy dev" in told or "--plan" in told or "resume" in told
        assert ("concurrency" in job) is changes
        if changes:
            assert job["concurrency"]["cancel-in-progress"] is False
            assert job["concurrency"]["group"].startswith("metadeploy-")
        for step in job["steps"]:
            assert ("run" in step) is not ("uses" in step)
            name = step.get("uses", "").partition("@")[0]
            assert set(step.get("with", ())) <= ACTIONS.get(name, ("", set()))[1]


def test_nothing_that_a_pull_request_reaches_has_what_deploys():
    workflow = YAML(typ="safe").load(PLAN)
    said = str(workflow)
    assert MASTER not in said and "PROD" not in said
    assert "pull_request_target" not in said
    for job in workflow["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        secrets = "secrets." in str(job)
        own = "github.event.pull_request.head.repo.full_name == github.repository"
        assert (job.get("if") == own) is secrets


def test_production_is_behind_its_environments():
    for text in (DEPLOY, PROMOTE, DRIFT, RESUME):
        for job in YAML(typ="safe").load(text)["jobs"].values():
            guarded = job["environment"] in (
                "prod-plan", "${{ inputs.org }}", "${{ inputs.org }}-plan"
            )  # fmt: skip
            assert guarded or "PROD" not in str(job)


# -- GitHub Actions


def proposed(place, branch="change"):
    """Push what is in the clone as a branch, and the merge that GitHub makes of it."""
    git(place.first, "checkout", "--quiet", "-b", branch)
    place.push("Change", branch)
    git(place.first, "checkout", "--quiet", "--detach", "main")
    git(place.first, "merge", "--quiet", "--no-ff", "-m", "Merge", branch)
    git(place.first, "push", "--quiet", "origin", "HEAD:refs/pull/7/merge")
    git(place.first, "checkout", "--quiet", "main")
    head = {"repo": {"full_name": "acme/portal"}}
    event = {"number": 7, "base": "main", "pull_request": {"head": head}}
    return event, "refs/pull/7/merge"


def test_a_pull_request_is_checked_and_planned(place, github):
    well(github.run(DEPLOY, {}))
    change(place)
    event, ref = proposed(place)
    ran = well(github.run(PLAN, event, ref=ref))
    assert set(ran.jobs) == {"validate", "plan"}
    (comment,) = [c for c in place.told() if c["call"] == "gh pr comment"]
    assert comment["words"] == ["7"]
    assert "Bills" in comment["body"] and "<code>uat</code>" in comment["body"]
    assert comment["body"] in ran.summary
    for name in ("dev-uat.plan", "plan.html"):
        assert b"Bills" in (place.folder / "artifacts/plan" / name).read_bytes()


def test_a_pull_request_that_reaches_no_org_is_well_too(place, github):
    (place.first / "README.md").write_text("Hello")
    event, ref = proposed(place)
    well(github.run(PLAN, event, ref=ref))
    assert "Nothing to do" in place.told()[-1]["body"]


def test_a_pull_request_that_is_wrong_is_annotated_and_not_planned(place, github):
    edit(place.first / "orgs/dev.yaml", "integration@dev", "{{ nobody@dev")
    (place.first / "orgs/dev.yaml").write_text("kind: castle\n")
    event, ref = proposed(place)
    ran = github.run(PLAN, event, ref=ref)
    assert set(ran.jobs) == {"validate"} and not ran.well
    assert "::error " in ran.step("validate", "Check, and annotate the lines").out
    assert ran.step("validate", "The same for code scanning").code == 0
    assert ran.jobs["validate"][-1].name.startswith("github/codeql-action")


def test_a_plan_that_goes_wrong_fails_the_job_and_is_commented(place, github):
    change(place)
    event, ref = proposed(place)
    ran = github.run(PLAN, {**event, "base": "nowhere"}, ref=ref)
    assert ran.step("plan", "Plan").code == 1
    assert "git knows no commit" in place.told()[-1]["body"]


def test_a_fork_gets_no_plan(place, github):
    change(place)
    event, ref = proposed(place)
    event["pull_request"]["head"]["repo"]["full_name"] = "stranger/portal"
    ran = well(github.run(PLAN, event, ref=ref))
    assert set(ran.jobs) == {"validate"}
    names = [s.name for s in ran.jobs["validate"]]
    assert not any("upload-sarif" in name for name in names)


def test_a_command_that_is_proposed_is_not_run(place, github):
    ran = place.folder / "ran"
    change(place)
    login = (
        "{flow: access_token, url: https://acme.my.salesforce.com,"
        f" access_token: {{command: [touch, {ran}]}}}}"
    )
    (place.first / "orgs/evil.yaml").write_text(
        f"kind: sandbox\norg_id: 00DWs000003xYZ1MAM\nlogin: {login}\n"
        "values: {integration_user: a@b.c}\n"
    )
    event, ref = proposed(place)
    well(github.run(PLAN, event, ref=ref))
    with place.machine(ref=ref) as machine:
        done = machine.run("metadeploy plan evil", "bash -e")
    assert done.code == 1 and "it is not trusted" in done.err
    assert not ran.exists()


def test_a_merge_is_deployed_and_noted(place, github):
    first = git(place.far, "rev-parse", "main")
    ran = well(github.run(DEPLOY, {}))
    assert place.live("dev") == first
    assert "dev" in ran.summary
    assert (place.folder / "artifacts/journal-dev-1/journal.sqlite3").exists()
    change(place)
    second = place.push("Bills")
    well(github.run(DEPLOY, {}))
    assert place.live("dev") == second


def test_a_job_that_was_lost_is_run_again(place, github):
    """Its org is done, but nobody knows: another one, without any journal, finds it."""
    well(github.run(DEPLOY, {}))
    git(place.far, "update-ref", "-d", "refs/metadeploy/dev")
    shown = well(github.run(DEPLOY, {})).step("dev", "Deploy").out
    assert "nothing to do" in shown
    assert place.live("dev") == git(place.far, "rev-parse", "main")


def test_a_promotion_goes_from_org_to_org(place, github):
    first = git(place.far, "rev-parse", "main")
    well(github.run(DEPLOY, {}))
    change(place)
    place.push("Later")  # what lies about is not what goes on
    for org in ("uat", "prod"):
        ran = well(github.run(PROMOTE, {}, inputs={"org": org}))
        assert place.live(org) == first
        assert f"→ {org}  {first[:12]}" in ran.step("plan", "Plan").out
        assert (place.folder / f"artifacts/journal-{org}-1/journal.sqlite3").exists()


def test_a_promotion_that_is_not_what_was_approved_ends(place, github):
    well(github.run(DEPLOY, {}))
    ran = github.run(
        PROMOTE, {}, inputs={"org": "uat"}, between=lambda: next_one(place, github)
    )
    assert ran.step("promote", "Promote").code == 1
    assert "is not what the plan says" in ran.step("promote", "Promote").err
    assert place.live("uat") == ""


def next_one(place, github):
    change(place)
    place.push("Bills")
    well(github.run(DEPLOY, {}))


def test_drift_opens_an_issue_and_closes_it(place, github):
    well(github.run(DEPLOY, {}))
    for org in ("uat", "prod"):
        well(github.run(PROMOTE, {}, inputs={"org": org}))

    def looked():
        before = len(place.told())
        well(github.run(DRIFT, {}))
        return [c for c in place.told()[before:] if c["call"].startswith("gh issue")]

    assert [c["call"] for c in looked()] == ["gh issue list"]
    somebody_changes(place)
    _, created = looked()
    assert created["call"] == "gh issue create"
    assert "ConnectedApp" in created["body"] and "Billing" in created["body"]
    assert [c["call"] for c in looked()] == ["gh issue list", "gh issue edit"]
    well(github.run(DEPLOY, {}))
    assert [c["call"] for c in looked()] == ["gh issue list", "gh issue close"]


def test_drift_that_cannot_be_looked_for_fails_the_job(place, github):
    ran = github.run(DRIFT, {})
    assert ran.step("drift", "Look").code == 1 and not ran.well
    assert "Tell" not in [s.name for s in ran.jobs["drift"]]


def test_a_lost_deploy_is_waited_for_by_its_id(place, github):
    shown = well(github.run(DEPLOY, {})).step("dev", "Deploy").out
    deploy = re.search(r"\b0Af\w+", shown)[0]
    inputs = {"org": "dev", "job-id": deploy}
    ran = well(github.run(RESUME, {}, inputs=inputs))
    assert deploy in ran.jobs["resume"][-1].out
    ran = github.run(RESUME, {}, inputs={**inputs, "job-id": "0Af000000000000AAA"})
    assert not ran.well


def taken_back(place, page, artifact):
    """Take the last run back on a person's machine, as a page tells."""
    (steps,) = [block for block in sh(page) if "rollback" in block]
    kept = place.folder / "artifacts"
    (kept / artifact).rename(kept / artifact_of(steps))
    with place.machine() as machine:
        done = machine.run(steps, "bash -e", **{MASTER: place.secrets[MASTER]})
    assert done.code == 0, done
    return done


def artifact_of(steps):
    return (
        re.search(r"--name (\S+)|-oj (\S+)", steps).group(1, 2)[1]
        or (re.search(r"--name (\S+)", steps)[1])
    )


def test_a_run_is_taken_back_by_its_journal(place, github):
    first = git(place.far, "rev-parse", "main")
    well(github.run(DEPLOY, {}))
    change(place)
    place.push("Bills")
    well(github.run(DEPLOY, {}))
    done = taken_back(place, ACTIONS_PAGE, "journal-dev-1")
    assert "Bills → Billing" in done.out
    assert place.live("dev") == first


# -- GitLab


def merge_request(place):
    base = git(place.first, "rev-parse", "HEAD")
    change(place)
    place.push("Bills", "change")
    return {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
    }


ON_MAIN = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}
PUSHED = {**ON_MAIN, "CI_PIPELINE_SOURCE": "push"}


@pytest.fixture
def gitlab(place):
    for org in ("DEV", "UAT", "PROD"):
        del place.secrets[f"{org}_PRIVATE_KEY"]
        place.secrets[f"{org}_PRIVATE_KEY_BASE64"] = "Y2FuYXJ5"
    return GitLab(place, PIPELINE)


def test_a_merge_request_is_checked_and_planned_on_gitlab(place, gitlab):
    variables = merge_request(place)
    assert list(gitlab.names(variables)) == ["validate", "plan"]
    for name in gitlab.names(variables):
        done = gitlab.run(name, variables, "refs/heads/change")
        assert done.code == 0, done
    kept = place.folder / "artifacts"
    assert (kept / "validate/gl-code-quality.json").read_text().startswith("[")
    assert '"create"' in (kept / "plan/tf.json").read_text()
    assert "Bills" in (kept / "plan/plan.html").read_text()


def test_a_merge_goes_through_all_orgs_on_gitlab(place, gitlab):
    jobs = gitlab.names(PUSHED)
    assert [name for name, when in jobs.items() if when == "manual"] == [
        "promote-uat",
        "promote-prod",
    ]
    for name in jobs:
        done = gitlab.run(name, PUSHED)
        assert done.code == 0, done
    head = git(place.far, "rev-parse", "main")
    assert {place.live(org) for org in ("dev", "uat", "prod")} == {head}
    assert "Portal" in (place.folder / "artifacts/plan-prod/promotion.html").read_text()
    assert gitlab.names({**ON_MAIN, "CI_PIPELINE_SOURCE": "schedule"}) == {
        "drift": "on_success"
    }
    assert gitlab.run("drift", ON_MAIN).code == 0
    somebody_changes(place, "uat")
    assert gitlab.run("drift", ON_MAIN).code == 2
    assert "Billing" in (place.folder / "artifacts/drift/drift.html").read_text()


def test_a_lost_deploy_is_waited_for_on_gitlab(place, gitlab):
    shown = gitlab.run("deploy-dev", PUSHED).out
    by_hand = {**ON_MAIN, "CI_PIPELINE_SOURCE": "web", "ORG": "dev"}
    assert gitlab.names(by_hand) == {}
    by_hand["JOB_ID"] = re.search(r"\b0Af\w+", shown)[0]
    assert list(gitlab.names(by_hand)) == ["resume"]
    assert gitlab.run("resume", by_hand).code == 0


def test_a_run_is_taken_back_on_gitlab(place, gitlab):
    assert gitlab.run("deploy-dev", PUSHED).code == 0
    taken_back(place, GITLAB_PAGE, "deploy-dev")
    assert place.live("dev") == ""


def test_what_deploys_on_gitlab_is_alone_and_waited_for(gitlab):
    for name in ("deploy-dev", "promote-uat", "promote-prod"):
        job = gitlab.job(name)
        org = name.rpartition("-")[2]
        assert job["resource_group"] == f"metadeploy-{org}"
        assert job["environment"] == org and job["interruptible"] is False
        assert int(job["timeout"].split()[0]) > 33 + 10
    for name in ("validate", "plan"):
        assert gitlab.job(name)["interruptible"] is True
        assert "PROD" not in str(gitlab.job(name)["script"])


# -- a plain shell


@pytest.fixture
def scripts(place):
    """The scripts of the page are in the repository."""
    for path, text in files(SHELL_PAGE).items():
        file = place.first / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    place.push("Scripts")
    return place


def test_one_machine_does_it_all_by_scripts(scripts):
    place = scripts
    master = {MASTER: place.secrets[MASTER]}
    first = git(place.far, "rev-parse", "main")
    with place.machine() as machine:
        empty = git(machine.work, "mktree")  # of nothing at all
        none = git(machine.work, "commit-tree", "-m", "No orgs", empty)
        git(machine.work, "tag", "no-orgs", none)

        def done(command, code=0):
            ran = machine.run(command, "sh -e", **master)
            assert ran.code == code, ran
            return ran.out + ran.err

        assert "Something to do" not in done("ci/plan.sh HEAD")
        assert "Something to do" in done("ci/plan.sh no-orgs")
        assert "deployed and verified" in done("ci/deploy.sh")
        assert place.live("dev") == first
        done("ci/promote.sh plan uat")
        assert "Portal" in (machine.work / "uat.md").read_text()
        done("ci/promote.sh deploy uat")
        done("ci/promote.sh deploy uat", 1)  # it is not what was planned any more
        done("ci/promote.sh plan prod; ci/promote.sh deploy prod")
        assert place.live("prod") == first
        done("ci/promote.sh show uat", 64)
        done("ci/drift.sh")
        assert "mail" not in [c["call"] for c in place.told()]
        change(place)
        place.push("Bills")
        git(machine.work, "pull", "--quiet", "origin", "main")
        shown = done("ci/deploy.sh")
        resume, by_id, back = sh(SHELL_PAGE)
        assert "nothing is open" in done(resume)
        by_id = by_id.replace('"$JOB_ID"', re.search(r"\b0Af\w+", shown)[0])
        assert "every run came to its end" in done(by_id)
        assert "Bills → Billing" in done(back)
        assert place.live("dev") == first


def test_drift_is_mailed(scripts):
    place = scripts
    with place.machine() as machine:
        done = machine.run("ci/deploy.sh", "sh -e", **{MASTER: place.secrets[MASTER]})
        assert done.code == 0, done
        for org in ("uat", "prod"):
            for step in ("plan", "deploy"):
                machine.run(
                    f"ci/promote.sh {step} {org}",
                    "sh -e",
                    **{MASTER: place.secrets[MASTER]},
                )
    somebody_changes(place)
    with place.machine() as machine:
        assert machine.run("ci/drift.sh", "sh -e").code == 0
    (mail,) = [c for c in place.told() if c["call"] == "mail"]
    assert "Billing" in mail["body"] and mail["words"] == ["team@acme.example"]
