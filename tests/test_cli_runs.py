"""runs and rollback on the command line, against emulated orgs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from apps import edit

from metadeploy import failpoint, orglock


def deploy(runner, *words):
    ran = runner("deploy", "dev", "--auto-approve", "--json", *words)
    return ran.code, ran.json["orgs"][0]


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def dying():
    """Have the process die at a moment: dying("sent"), as if it never came back."""

    def at(name):
        def watch(reached):
            if reached == name:
                raise Killed(name)

        failpoint.watcher = watch

    before = failpoint.watcher
    yield at
    failpoint.watcher = before


@pytest.fixture
def stopped(runner, dying):
    """A run of dev that died once its package was sent."""
    dying("sent")
    with pytest.raises(Killed):
        deploy(runner)
    dying("never")
    (run,) = runner("runs", "list", "--json").json["runs"]
    return run


def test_no_runs_yet(runner):
    assert runner("runs", "list").out == "Nothing has run yet.\n"
    assert runner("runs", "list", "--json").json["runs"] == []


def test_a_run_is_listed_and_shown(runner):
    code, row = deploy(runner)
    assert code == 0
    listed = runner("runs", "list").out.splitlines()
    assert listed[0].split() == ["RUN", "ORG", "BEGUN", "STATUS", "DEPLOY"]
    assert listed[1].split()[0] == row["runId"]
    assert listed[1].split()[-2:] == ["Verified", row["deployId"]]
    assert all(len(line) <= 80 for line in listed)
    (said,) = runner("runs", "list", "dev", "--json").json["runs"]
    assert (said["runId"], said["status"], said["open"]) == (
        row["runId"],
        "Verified",
        False,
    )
    assert runner("runs", "list", "uat", "--json").json["runs"] == []
    shown = runner("runs", "show", row["deployId"])
    assert f"run       {row['runId']}  Verified" in shown.out
    assert "+ ConnectedApp Portal" in shown.out
    assert re.search(r"\d\d:\d\d:\d\d  Intended\n", shown.out)
    data = runner("runs", "show", row["runId"], "--json").json
    assert [p["number"] for p in data["packages"]] == [1, 2]
    states = [e["status"] for e in data["events"]]
    assert (states[0], states[-1]) == ("Intended", "Verified")
    assert len(data["changes"]) == 15


def test_a_run_that_nobody_knows(runner):
    ran = runner("runs", "show", "beef")
    assert ran.code == 1
    assert "the journal has no run beef" in ran.err
    for words in (("resume", "dev"), ("cancel", "dev")):
        ran = runner("runs", *words, "-i", "beef")
        assert ran.code == 1
        assert "neither the journal nor the org has a run beef" in ran.err


def test_an_org_with_nothing_open_is_named_in_plain_text(runner, monkeypatch):
    monkeypatch.delenv("NO_COLOR")
    assert runner("runs", "resume", "dev").out.startswith("dev  nothing is open: ")


def test_a_run_that_died_is_resumed_once(runner, stopped):
    assert (stopped["status"], stopped["open"]) == ("Sent", True)
    assert "Sent *" in runner("runs", "list").out
    shown = runner("runs", "show", stopped["runId"]).out
    assert "`metadeploy runs resume dev` takes it there" in shown
    ran = runner("runs", "resume", "dev", "--json")
    assert ran.code == 0, ran.err
    (row,) = ran.json["orgs"]
    assert (row["runId"], row["verified"]) == (stopped["runId"], True)
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    again = runner("runs", "resume", "dev")
    assert (again.code, again.flat) == (
        0,
        "dev nothing is open: every run came to its end.",
    )
    assert runner("runs", "resume", "dev", "--json").json["orgs"] == []


def test_a_run_that_is_open_is_in_the_way_of_the_next(runner, project, stopped):
    edit(project / "orgs/dev.yaml", "open_to_admins: true", "open_to_admins: false")
    ran = runner("deploy", "dev", "--auto-approve")
    assert ran.code == 1
    assert f"run {stopped['runId']} of this org has not come to its end" in ran.err
    assert "`metadeploy runs resume dev` finds out" in ran.err
    assert deploy(runner, "--allow-unfinished", "--allow-revoke")[0] == 0


def test_a_run_is_found_in_the_org_by_those_who_have_no_journal(
    runner, project, stopped
):
    for path in (project / ".metadeploy").glob("journal.*"):
        path.unlink()
    ran = runner("runs", "resume", "dev", "--job-id", stopped["runId"], "--json")
    # It is followed, and told apart from what the templates say: the policies of the
    # External Client App were to be sent after it.
    (row,) = ran.json["orgs"]
    assert (ran.code, row["status"], row["verified"]) == (1, "Succeeded", False)
    by_deploy = runner("runs", "resume", "dev", "--job-id", row["deployId"])
    assert by_deploy.code == 1
    assert "deployed, DIFFERS" in by_deploy.out
    assert runner("deploy", "dev", "--auto-approve").code == 0
    assert runner("runs", "resume", "dev", "-i", row["deployId"]).code == 0


def test_only_one_org_has_a_run_of_that_id(runner):
    ran = runner("runs", "resume", "*", "--job-id", "beef")
    assert ran.code == 64
    assert "--job-id is of one org" in ran.err


def test_a_deploy_that_waits_is_canceled(runner, project, dying):
    edit(project / "orgs/dev.yaml", "values:", "emulator: {deploy_polls: 5}\nvalues:")
    code, row = deploy(runner, "--wait", "0")
    assert (code, row["error"]["name"]) == (69, "DeployTimeout")
    assert "`metadeploy runs resume dev` goes on from here" in row["error"]["hint"]
    ran = runner("runs", "cancel", "dev", "--json")
    assert (ran.code, ran.json["status"]) == (0, "Canceled")
    (run,) = runner("runs", "list", "--json").json["runs"]
    assert (run["status"], run["open"]) == ("Canceled", False)
    again = runner("runs", "cancel", "dev")
    assert (again.code, again.out) == (1, "")
    assert "nothing of dev is open that could be canceled" in again.err
    error = runner("runs", "cancel", "dev", "--json").json["error"]
    assert "nothing of dev is open" in error["message"]
    over = runner("runs", "cancel", "dev", "-i", run["runId"])
    assert f"run {run['runId']} is over: Canceled" in over.err
    by_deploy = runner("runs", "cancel", "dev", "-i", run["deployId"])
    assert "is over: Canceled" in by_deploy.err


def test_a_cancel_that_comes_too_late(runner, stopped):
    ran = runner("runs", "cancel", "dev")
    assert ran.code == 1
    assert "too late: Succeeded" in ran.out
    resumed = runner("runs", "cancel", "dev")
    assert "it has no deploy that could be canceled" in resumed.err
    assert "runs resume dev" in resumed.err
    assert runner("runs", "resume", "dev").code == 0


def test_a_wait_that_ends_is_69_and_goes_on(runner, project):
    edit(project / "orgs/dev.yaml", "values:", "emulator: {deploy_polls: 3}\nvalues:")
    assert deploy(runner, "--wait", "0")[0] == 69
    done = runner("runs", "resume", "dev", "--json")
    assert (done.code, done.json["orgs"][0]["verified"]) == (0, True)


# -- back


def test_a_run_is_taken_back(runner):
    deploy(runner)
    ran = runner("rollback", "dev", "--auto-approve")
    assert ran.code == 0, ran.err
    assert "The way back from run" in ran.out
    assert "  - ConnectedApp Portal" in ran.out
    changes = runner("plan", "dev", "--json").json["orgs"][0]["changes"]
    assert {c["action"] for c in changes} == {"create", "grant"}
    back, forth = runner("runs", "list", "--json").json["runs"]
    assert back["undoes"] == forth["runId"]
    assert f"rollback of {forth['runId']}" in runner("runs", "show", back["runId"]).out
    again = runner("rollback", "dev", "--auto-approve")
    assert again.code == 1
    assert "org dev has no run here that could be taken back" in again.err


def test_a_way_back_is_only_shown(runner):
    deploy(runner)
    ran = runner("rollback", "dev", "--dry-run", "--auto-approve", "--json")
    (row,) = ran.json["orgs"]
    assert (ran.code, row["checkOnly"], row["status"]) == (0, True, "Succeeded")
    assert runner("plan", "dev", "--detailed-exitcode").code == 0
    asked = runner("rollback", "dev")
    assert asked.code == 64  # nobody is there to be asked
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


def test_production_is_taken_back_by_its_flag_only(runner):
    assert runner("deploy", "prod", "--auto-approve", "--production").code == 0
    refused = runner("rollback", "prod", "--auto-approve")
    assert (refused.code, "is a production org" in refused.err) == (1, True)
    assert runner("rollback", "prod", "--auto-approve", "--production").code == 0


def test_a_validation_is_nothing_to_take_back(runner):
    code, row = deploy(runner, "--dry-run")
    ran = runner("rollback", "dev", row["runId"], "--auto-approve")
    assert (code, ran.code) == (0, 1)
    assert "there is nothing to take back" in ran.err


def test_a_rollback_that_died_is_resumed(runner, dying):
    deploy(runner)
    dying("sent")
    with pytest.raises(Killed):
        runner("rollback", "dev", "--auto-approve")
    dying("never")
    assert runner("runs", "resume", "dev").code == 0
    back, _ = runner("runs", "list", "--json").json["runs"]
    assert back["status"] == "Verified" and back["undoes"]


# -- together


def test_an_org_that_another_process_is_at(runner, project):
    planned = runner("plan", "dev", "--json").json["orgs"][0]
    org_id = planned["orgId"]
    with orglock.alone(project / ".metadeploy" / "locks", org_id, 0):
        code, row = deploy(runner)
    assert (code, row["error"]["name"]) == (1, "OrgBusy")
    assert "--lock-timeout" in row["error"]["hint"]
    assert runner("runs", "list", "--json").json["runs"] == []
    assert deploy(runner, "--lock-timeout", "1")[0] == 0


def test_somebody_elses_deploy_is_in_the_way(runner, project):
    """Another client's deploy waits in the org: ours would queue behind it."""
    edit(project / "orgs/dev.yaml", "values:", "emulator: {deploy_polls: 9}\nvalues:")
    assert deploy(runner, "--wait", "0")[0] == 69
    for path in (project / ".metadeploy").glob("journal.*"):
        path.unlink()  # it might as well be of another machine
    refused = runner("plan", "dev", "--json").json["orgs"][0]["refusals"]
    assert [(r["code"], r["flag"]) for r in refused] == [("queue", "--allow-queue")]
    assert re.search("is at work on another deploy: 0Af", refused[0]["message"])


COMMAND = [sys.executable, "-m", "metadeploy"]


@contextmanager
def started(project, *words):
    """A command in a process of its own, which ends with the block."""
    env = {**os.environ, "METADEPLOY_CONFIG": str(project / "none.yaml")}
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process, text):
    """Read a process's stderr up to a line with that text."""
    read = []
    for line in process.stderr:
        read.append(line)
        if text in line:
            return
    raise AssertionError(f"it ended without a word of {text!r}: {read}")


@pytest.fixture
def slow(runner, project):
    """A project whose org takes some polls, seconds apart, for a deploy."""
    edit(project / "orgs/dev.yaml", "values:", "emulator: {deploy_polls: 6}\nvalues:")
    return project


def at_once(slow):
    edit(slow / "orgs/dev.yaml", "deploy_polls: 6", "deploy_polls: 0")


def test_ctrl_c_once_waits_for_what_was_sent(runner, slow):
    with started(slow, "deploy", "dev", "--auto-approve") as process:
        wait_for(process, "InProgress")
        process.send_signal(signal.SIGINT)
        wait_for(process, "Stopping: nothing more is sent")
        _, err = process.communicate(timeout=100)
    # The first package was waited for; the second was not sent any more.
    assert "told to stop before the package was sent" in err
    assert "had succeeded by then" in err
    assert process.returncode == 69
    at_once(slow)
    assert runner("runs", "resume", "dev").code == 0
    assert runner("plan", "dev", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("twice", [True, False], ids=["ctrl-c twice", "terminated"])
def test_leaving_at_once_loses_nothing(runner, slow, twice):
    with started(slow, "deploy", "dev", "--auto-approve", "--json") as process:
        wait_for(process, "InProgress")
        if twice:
            process.send_signal(signal.SIGINT)
            wait_for(process, "Ctrl-C again leaves it running")
        process.send_signal(signal.SIGINT if twice else signal.SIGTERM)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 69
    assert "`metadeploy runs resume dev` goes on from there" in err
    assert json.loads(out)["error"]["exitCode"] == 69
    at_once(slow)
    resumed = runner("runs", "resume", "dev", "--json")
    assert resumed.json["orgs"][0]["verified"], resumed.out


# What a clock says: only the monotonic one counts for waiting.

CLOCK = """
import sys, time
from metadeploy import cli, failpoint

real, wrong = time.time, [float(sys.argv[1])]
time.time = lambda: real() + wrong[0]

def watch(name):
    if name == sys.argv[2]:  # the clock is set in the middle of the run
        wrong[0] = -wrong[0]

failpoint.watcher = watch
cli.main(sys.argv[3:])
"""


@pytest.mark.parametrize("moment", ["never", "sending", "polled"])
@pytest.mark.parametrize("minutes", [10, -10, 60])
def test_a_clock_that_is_wrong_or_jumps_changes_nothing(project, minutes, moment):
    """Ten minutes off, an hour by daylight saving, and set back while it waits."""
    program = [sys.executable, "-c", CLOCK, str(minutes * 60), moment]
    env = {**os.environ, "METADEPLOY_CONFIG": str(project / "none.yaml")}
    with started(project, "emulator", "serve") as server:
        assert server.stdout.readline()  # it serves now, by the right clock
        done = subprocess.run(
            [*program, "deploy", "dev", "--auto-approve", "--wait", "2", "--json"],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(done.stdout)["orgs"]
    assert row["verified"]
