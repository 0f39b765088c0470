"""The command line as a process: how it ends, and what others see of that."""

from __future__ import annotations

import os
import subprocess
import sys

from metadeploy import cli

COMMAND = [sys.executable, "-m", "metadeploy"]


def test_all_that_was_said_arrives_in_a_pipe(project, capfd):
    assert cli.run(["-C", str(project), "render", "dev"]) == 0
    said = capfd.readouterr().out
    done = subprocess.run(
        [*COMMAND, "render", "dev"], cwd=project, capture_output=True, check=True
    )
    assert len(said) > 5_000
    assert done.stdout.decode("utf-8") == said


def test_the_exit_code_arrives(project):
    done = subprocess.run([*COMMAND, "orgs", "--no"], cwd=project, capture_output=True)
    assert done.returncode == cli.USAGE


def test_nobody_is_left_to_read(project):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "orgs"], cwd=project, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""
