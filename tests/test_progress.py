"""Progress: what is told when, at a terminal and elsewhere. No test waits."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading

import pytest
from fake_org import DEPLOY, FakeOrg, Taken
from msgspec.structs import replace

from metadeploy import orglock
from metadeploy.cli.progress import Board, Lines, Watch, duration, told
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.model import DeployResult
from metadeploy.reading import wait

RUNNING = DeployResult(DEPLOY, "InProgress", done=False, success=False)
RUNNING = replace(RUNNING, components_total=40)
PENDING = replace(RUNNING, status="Pending", components_total=0)
DONE = replace(RUNNING, status="Succeeded", done=True, success=True)


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(
    "seconds,words",
    [(-1, "0s"), (0.9, "0s"), (59.9, "59s"), (65, "1m 05s"), (3725, "1h 02m")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_what_is_said_of_a_deploy():
    assert told(PENDING, None) == ("Pending", "Pending")
    assert told(PENDING, 0)[0] == "Pending"
    assert told(PENDING, 1)[0] == "Pending, 1 deploy is before it"
    assert told(PENDING, 3)[0] == "Pending, 3 deploys are before it"
    far = replace(
        RUNNING,
        components_deployed=12,
        component_errors=1,
        tests_total=9,
        tests_completed=4,
        test_errors=1,
        state_detail="Running tests",
    )
    text, state = told(far, None)
    assert text == ("InProgress, 12/40 components, 4/9 tests, 2 errors, Running tests")
    assert state == "InProgress"
    assert "1 error," in told(replace(far, test_errors=0), None)[0]


def test_one_line_a_change_of_state(clock, capsys):
    lines = Lines(["dev"], clock)
    at = lines.of("dev")
    at.step("logging in")
    at.step("logging in")
    for done in range(40):
        clock.time += 1
        at.deploying(replace(RUNNING, components_deployed=done))
    at.deploying(replace(RUNNING, status="Finalizing", components_deployed=40))
    assert capsys.readouterr().err.splitlines() == [
        "dev: logging in",
        "dev: InProgress, 0/40 components",
        "dev: Finalizing, 40/40 components",
    ]


def test_one_heartbeat_a_minute(clock, capsys):
    lines = Lines(["dev"], clock)
    lines.beat()
    at = lines.of("dev")
    at.deploying(RUNNING)
    capsys.readouterr()
    for _ in range(150):
        clock.time += 1
        lines.beat()
    at.deploying(replace(RUNNING, components_deployed=7))
    for _ in range(30):
        clock.time += 1
        lines.beat()
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("still at work: dev  ") for line in said] == [
        "1m 00s  InProgress, 0/40 components (no change for 1m 00s)",
        "2m 00s  InProgress, 0/40 components (no change for 2m 00s)",
        "3m 00s  InProgress, 7/40 components (no change for 30s)",
    ]


def test_many_orgs_are_one_heartbeat(clock, capsys):
    names = [f"org{n}" for n in range(20)]
    lines = Lines(names, clock)
    for name in names[:3]:
        lines.around(lambda _: None)(name)
    with pytest.raises(LostAnswer):
        lines.around(_breaks)("org3")
    lines.of("org4").deploying(RUNNING)
    lines.of("org5").step("reading the org")
    capsys.readouterr()
    clock.time += 61
    lines.beat()
    assert capsys.readouterr().err == (
        "still at work: 3 done, 1 failed, 1 deploying, 1 at work, 14 waiting  1m 01s\n"
    )


def _breaks(name):
    raise LostAnswer(name)


def test_nothing_is_said_when_nothing_goes_on(clock, capsys):
    lines = Lines(["dev"], clock)
    lines.around(lambda _: lines.of("dev").step("reading the org"))("dev")
    clock.time += 600
    lines.beat()
    assert capsys.readouterr().err == "dev: reading the org\n"


def test_the_page_is_a_line_an_org_or_counts(clock):
    watch = Watch(["a", "b", "c"], clock)
    watch.of("a").step("reading the org")
    clock.time += 40
    watch.of("b").deploying(RUNNING)
    clock.time += 5
    assert watch.page(8) == [
        "a  45s  reading the org (no change for 45s)",
        "b  5s  InProgress, 0/40 components",
        "1 deploying, 1 at work, 1 waiting  45s",
    ]
    assert watch.page(1) == ["1 deploying, 1 at work, 1 waiting  45s"]
    alone = Watch(["a"], clock)
    alone.of("a").step("verifying")
    assert alone.page(8) == ["a  0s  verifying"]


def test_a_deploy_s_time_is_its_own(clock):
    watch = Watch(["a"], clock)
    watch.of("a").step("reading the org")
    clock.time += 100
    watch.of("a").deploying(PENDING)
    clock.time += 7
    watch.of("a").deploying(RUNNING)
    assert watch.line("a") == "a  7s  InProgress, 0/40 components"
    watch.of("a").deploying(DONE)
    assert watch.line("a").startswith("a  7s  Succeeded")


def test_texts_of_an_org_stay_one_line(clock, capsys):
    at = Lines(["dev"], clock).of("dev")
    at.step("said\n::error::x\x1b[2J\r and 00DWs000003xYZ1!AQ4canary.of_it")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "\x1b" not in said and "canary" not in said


@pytest.mark.parametrize("width", [40, 60, 80])
def test_live_lines_are_cut_to_the_terminal(clock, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"customers/of-a-long-name-{n}/日本" for n in range(30)]
    board = Board(names, clock)
    for name in names[:5]:
        board.of(name).deploying(replace(RUNNING, state_detail="Running tests " * 9))
    lines = board._console.render_lines(board.drawn(), pad=False)
    assert len(lines) == 6
    assert all(sum(s.cell_length for s in line) <= width for line in lines)
    for name in names:
        board.of(name).step("reading the org")
    assert len(board._console.render_lines(board.drawn(), pad=False)) == 1


def test_the_place_in_the_queue_is_asked_seldom():
    org = FakeOrg(statuses=[PENDING] * 20 + [RUNNING, DONE])
    org.taken.append(Taken(DEPLOY, "f", False, ()))
    org.faults["ahead"] = [2, 1]
    assert wait(org.target(), DEPLOY, until=1e9).success
    assert org.calls().count("poll") == 22
    assert 2 <= org.calls().count("ahead") <= org.time / 30 + 1
    assert "Pending, 2 before it" in org.steps and "Pending, 1 before it" in org.steps
    assert org.steps[0] == "Pending" and org.steps[-2] == "InProgress"


@pytest.mark.parametrize("error", [ApiFault("X", "no"), LostAnswer("gone")])
def test_that_nobody_tells_the_place_changes_nothing(error):
    org = FakeOrg(statuses=[PENDING] * 20 + [DONE])
    org.taken.append(Taken(DEPLOY, "f", False, ()))
    org.faults["ahead"] = [error]
    assert wait(org.target(), DEPLOY, until=1e9).success
    assert org.calls().count("ahead") == 1  # and it is not asked again
    assert set(org.steps) == {"Pending", "Succeeded"}


# -- as a process


def at_terminal(project, words, *, interrupt=b"", answer=b"yes\n"):
    """Run the command line at a terminal; press Ctrl-C once it shows `interrupt`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color")
        # A job in the background has it ignored, and so would all that it starts.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        command = [sys.executable, "-m", "metadeploy", "-C", str(project), *words]
        os.execv(sys.executable, command)
    shown = b""
    pressed = 0
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        shown += data
        if interrupt and interrupt in shown and not pressed:
            pressed = os.write(terminal, b"\x03")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


SLOW = "emulator: {retrieve_polls: 5000}\n"


@pytest.mark.parametrize("orgs", [["dev"], ["dev", "uat"]])
def test_ctrl_c_leaves_a_clean_terminal(project, orgs):
    for org in orgs:
        with (project / "orgs" / f"{org}.yaml").open("a") as file:
            file.write(SLOW)
    code, shown = at_terminal(project, ["plan", *orgs], interrupt=b"retrieve what")
    assert code == 130
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.rstrip().endswith("Interrupted.")


def test_a_long_wait_is_seen_at_a_terminal(project):
    with (project / "orgs" / "dev.yaml").open("a") as file:
        file.write("emulator: {deploy_polls: 2}\n")
    code, shown = at_terminal(project, ["deploy", "dev", "--auto-approve"])
    assert code == 0
    assert re.search(r"dev  \d+s  InProgress, \d+/\d+ components", shown)


def test_waiting_for_the_lock_is_told_and_can_be_stopped(project):
    (project / ".metadeploy" / "locks").mkdir(parents=True)
    command = [sys.executable, "-m", "metadeploy", "deploy", "dev", "--auto-approve"]
    plan = subprocess.run(
        [*command[:3], "plan", "dev", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    org_id = re.search(r'"orgId": "(\w+)"', plan.stdout)[1]
    with (
        orglock.alone(project / ".metadeploy" / "locks", org_id, 5.0),
        subprocess.Popen(
            [*command, "--lock-timeout", "30"],
            cwd=project,
            stderr=subprocess.PIPE,
            text=True,
        ) as running,
    ):
        lines = []
        for line in running.stderr:
            lines.append(line)
            if "waiting for another metadeploy" in line:
                running.send_signal(signal.SIGINT)
        assert running.wait() == 130
    assert any("dev: waiting for another metadeploy" in line for line in lines)
    assert "told to stop while waiting" in "".join(lines)


def test_beats_come_by_themselves_and_end(clock, capsys):
    before = threading.active_count()
    clock.time = 0.0
    with Lines(["dev"], clock) as lines:
        lines.of("dev").step("reading the org")
        assert threading.active_count() == before + 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(5)
    assert threading.active_count() <= before
