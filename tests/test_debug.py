"""--debug and bugs: what is shown, and what never is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import click
import pytest

BUG = """
import sys, types, click
from metadeploy import cli
from metadeploy.model import Secret

@click.command()
@click.option("--json", is_flag=True)
def boom(json):
    secret = Secret("canary-of-a-bug").reveal()
    token = "00DWs000003xYZ1!AQ4canary"
    raise LookupError(f"\\x1b[31mno {secret} nor {token}")

module = types.ModuleType("metadeploy.cli.boom")
module.boom = boom
sys.modules["metadeploy.cli.boom"] = module
cli.COMMANDS["boom"] = ("boom", "Fail.")
cli.main()
"""


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize("before", [[], ["--debug"]])
def test_a_bug_shows_where_and_no_secret(tmp_path, before, words):
    (tmp_path / "bug.py").write_text(BUG)
    done = subprocess.run(
        [sys.executable, tmp_path / "bug.py", *before, "boom", *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert 'raise LookupError(f"' in done.stderr  # the source's line
    assert "LookupError: \ufffd[31mno *** nor ***" in done.stderr
    assert "This is a bug in metadeploy" in done.stderr
    for said in (done.stdout, done.stderr):
        assert "\x1b" not in said
        assert "canary-of-a-bug" not in said.replace('Secret("canary-of-a-bug")', "")
        assert "AQ4canary" not in said.replace('"00DWs000003xYZ1!AQ4canary"', "")
    if words:
        error = json.loads(done.stdout)["error"]
        assert (error["name"], error["exitCode"]) == ("Bug", 1)
        assert error["message"] == "LookupError: \x1b[31mno *** nor ***"
    else:
        assert done.stdout == ""


def test_each_call_is_shown(project):
    command = [sys.executable, "-m", "metadeploy", "--debug", "plan", "dev", "--json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["command"] == "plan"
    debug = [line for line in done.stderr.splitlines() if line.startswith("debug: ")]
    assert any("/services/Soap/m/66.0 retrieve: 200, " in line for line in debug)
    assert any("/query?…: 200, " in line and line.endswith(" ms") for line in debug)
    assert "SELECT" not in done.stderr
    assert "dev: reading the org" in done.stderr


WARNS = """
import logging, sys, types, warnings, click
from metadeploy import cli

@click.command()
def boom():
    logging.getLogger("somebody").error("said 00DWs000003xYZ1!AQ4canary\x1b[2J")
    logging.getLogger("somebody").warning("%d", "no number")
    warnings.warn("said 00DWs000003xYZ1!AQ4canary")
    click.echo("done")

module = types.ModuleType("metadeploy.cli.boom")
module.boom = boom
sys.modules["metadeploy.cli.boom"] = module
cli.COMMANDS["boom"] = ("boom", "Warn.")
cli.main()
"""


def test_what_libraries_warn_of_is_shown_to_who_asks(tmp_path):
    (tmp_path / "warns.py").write_text(WARNS)
    command = [sys.executable, tmp_path / "warns.py"]
    done = subprocess.run([*command, "boom"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
    command += ["--debug", "boom"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "done\n"
    assert done.stderr.count("said ***") == 3  # the source line too
    assert "AQ4canary" not in done.stderr.replace('"said 00DWs000003xYZ1!AQ4', "")
    assert "\x1b" not in done.stderr


def test_a_call_tells_what_was_sent_and_each_new_session(project):
    words = ["emulator", "fault", "session-expired", "--on", "retrieve"]
    run = [sys.executable, "-m", "metadeploy"]
    serve = [*run, "emulator", "serve"]
    with subprocess.Popen(serve, cwd=project, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        subprocess.run([*run, *words], cwd=project, check=True, capture_output=True)
        command = [*run, "--debug", "plan", "dev"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        server.terminate()
    assert done.returncode == 0
    assert re.search(r" retrieve: 200, \d+ bytes for \d{3,} sent, \d+ ms", done.stderr)
    assert "the session has ended; login 1 again" in done.stderr
    assert re.search(r"debug: \d+ ms: metadeploy \S+, Python 3\.", done.stderr)


def test_nothing_is_shown_without_being_asked(project):
    command = [sys.executable, "-m", "metadeploy", "plan", "dev"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert "debug:" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no core files there")
def test_a_crash_leaves_no_core(tmp_path):
    program = (
        "import resource; from metadeploy import cli;"
        "resource.setrlimit(resource.RLIMIT_CORE, (4096, 8192));"
        "cli._have_no_core(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 8192)\n"


def test_what_an_org_repeats_is_masked(runner, project):
    from metadeploy.cli.output import error_json, error_text
    from metadeploy.errors import ApiFault

    said = "you sent 00DWs000003xYZ1!AQ4canary"
    error = ApiFault("X", said, hint=f"{said}\x1b")
    assert "canary" not in error_text(error) + json.dumps(error_json(error))
    assert "\x1b" not in click.unstyle(error_text(error))
