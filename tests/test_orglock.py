"""One run at a time for an org: among threads, processes, and those that die."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from metadeploy.errors import ConfigError, OrgBusy
from metadeploy.orglock import alone

ORG = "00D000000000001EAA"
# Takes the lock, or says that it is busy; holds it until its input ends.
TAKE = """
import sys
from pathlib import Path
from metadeploy.errors import OrgBusy
from metadeploy.orglock import alone
try:
    with alone(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])):
        print("held", flush=True)
        sys.stdin.read()
except OrgBusy:
    print("busy", flush=True)
"""


def take(folder, org_id=ORG, timeout=0.0):
    words = [sys.executable, "-c", TAKE, str(folder), org_id, str(timeout)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)


def said(process):
    line = process.stdout.readline().strip()
    process.communicate(timeout=30)
    return line


def test_one_process_alone(tmp_path):
    with alone(tmp_path, ORG, 0.0):
        assert said(take(tmp_path)) == "busy"
        assert said(take(tmp_path, "00D000000000002EAA")) == "held"
    assert said(take(tmp_path)) == "held"


def test_who_finds_it_taken_does_not_free_it(tmp_path):
    """The system frees a process's locks of a file that any of its threads closes."""
    with alone(tmp_path, ORG, 0.0):
        with pytest.raises(OrgBusy), alone(tmp_path, ORG, 0.0):
            pass
        assert said(take(tmp_path)) == "busy"


def test_who_is_killed_holds_nothing(tmp_path):
    holder = take(tmp_path)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(OrgBusy), alone(tmp_path, ORG, 0.0):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)
    with alone(tmp_path, ORG, 0.0):
        pass


def test_who_waits_gets_it(tmp_path):
    with alone(tmp_path, ORG, 0.0):
        waiting = [take(tmp_path, timeout=60) for _ in range(3)]
    for process in waiting:  # each lets it go at once, whichever is first
        process.stdin.close()
    for process in waiting:
        with process:
            assert process.stdout.read() == "held\n"


def test_a_place_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError), alone(tmp_path / "file", ORG, 0.0):
        pass
    (tmp_path / f"{ORG}.lock").symlink_to("elsewhere")
    with pytest.raises(ConfigError), alone(tmp_path, ORG, 0.0):
        pass
