"""Fixtures: a project of one's own, and the command line as a function."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import keyring
import pytest
from hypothesis import settings
from memory_keyring import Memory
from processes import Zygote
from raw_server import RawServer

from metadeploy import cli

REPOSITORY = Path(__file__).parent.parent
EXAMPLE = REPOSITORY / "metadeploy" / "_scaffold"

# A busy machine is no failed test.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# What the tests counted, told at the end of the run.
_TOLD: Counter[str] = Counter()


@pytest.fixture
def counted(request):
    """Count something that is told at the end: counted("kill points", 1)."""

    def count(name, number):
        request.node.user_properties.append(("counted", (name, number)))

    return count


def pytest_runtest_logreport(report):
    # Here too where tests run in several processes: reports come to the first one.
    if report.when == "call" and report.passed:
        for kind, value in report.user_properties:
            if kind == "counted":
                _TOLD[value[0]] += value[1]


def pytest_terminal_summary(terminalreporter):
    """Tell what was counted."""
    if _TOLD:
        told = ", ".join(f"{n:,} {name}" for name, n in sorted(_TOLD.items()))
        terminalreporter.write_line(told)


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def flat(self):
        """The text on stdout with its lines joined, wherever they were broken."""
        return " ".join(self.out.split())

    @property
    def json(self):
        """The one document on stdout; anything beside it fails."""
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path):
    """A folder with the example project in it."""
    for folder in ("templates", "orgs"):
        shutil.copytree(EXAMPLE / folder, tmp_path / folder)
    return tmp_path


@pytest.fixture
def runner(project, capsys, monkeypatch):
    """The command line in that project: runner("plan", "dev") → Ran."""
    for name in ("KEY", "KEY_FILE", "KEY_PREVIOUS"):
        monkeypatch.delenv(f"METADEPLOY_MASTER_{name}", raising=False)
    monkeypatch.setenv("METADEPLOY_CONFIG", str(project / "no" / "config.yaml"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words, at=None):
        capsys.readouterr()
        code = cli.run(["-C", str(at or project), *map(str, words)])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture
def raw_server():
    """Make servers of canned answers: raw_server(reply, ...) → RawServer."""
    made = []

    def make(*replies, **how):
        made.append(RawServer(*replies, **how))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def memory():
    """The OS keyring, for as long as the test runs."""
    before, mine = keyring.get_keyring(), Memory()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    """Runs commands in processes of their own, soon: zygote.run(project, "plan")."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.stop()


@pytest.fixture
def no_umask():
    """What is written is for its owner because we say so, not the user's umask."""
    before = os.umask(0)
    yield
    os.umask(before)
