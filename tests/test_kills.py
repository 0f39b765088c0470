"""kill -9 at every named moment of a run, and `runs resume` from there.

The moments are the calls of `failpoint.reach` in the source: a new one fails here until
a scenario comes by it.
"""

from __future__ import annotations

import ast
import signal
from pathlib import Path
from typing import NamedTuple

import invariants
import pytest
from processes import Served, serving, write_project
from scene import has

from metadeploy import keys
from metadeploy.emulator.injection import Injection
from metadeploy.workspace import Workspace

SOURCE = Path(__file__).parent.parent / "metadeploy"


class Scenario(NamedTuple):
    """A project, the commands that make its org ready, and the one that is killed.

    lost: the answer to the deploy never arrives. moments: what it comes by.
    """

    said: str
    apps: tuple[str, ...]
    moments: tuple[str, ...]
    words: tuple[str, ...] = ("deploy", "dev", "--auto-approve")
    before: tuple[tuple[str, ...], ...] = (("plan", "dev"),)
    lost: bool = False


ONE = ("sending", "answered", "sent", "polled")
END = ("deployed", "settled", "verified", "finished")
# Planning polls a deploy that only asks whether apps may be created.
ASKED = ("polled",)
ECA = "apps:\n  Portal: {kind: external_client_app}\n"
SCENARIOS = {
    "one app": Scenario("", ("Portal",), (*ASKED, "locked", "begun", *ONE, *END)),
    "its answer lost": Scenario(
        "",
        ("Portal",),
        (
            *ASKED,
            "locked",
            "begun",
            "sending",
            "answer lost",
            *ONE[1:],
            *END,
        ),
        lost=True,
    ),
    "an External Client App: two packages": Scenario(
        ECA,
        ("Portal",),
        ("locked", "begun", *ONE, "deployed", *ONE, *END[1:]),
    ),
    "access by records": Scenario(
        "emulator: {installed_apps: [Data Loader]}\n",
        ("Data Loader",),
        ("locked", "begun", *END),
        before=(("deploy", "dev", "--auto-approve"),),
    ),
    "the way back": Scenario(
        "",
        ("Portal",),
        ("locked", "begun", *ONE, *END),
        words=("rollback", "dev", "--auto-approve"),
        before=(("deploy", "dev", "--auto-approve"),),
    ),
}


def named_moments() -> set[str]:
    """The names that the source gives to `reach`."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text("utf-8")
        if "from metadeploy.failpoint import reach" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "reach":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}"
                found.add(name.value)
    return found


def test_every_moment_is_in_a_scenario():
    assert named_moments() == {m for s in SCENARIOS.values() for m in s.moments}


class Template(NamedTuple):
    """A project up to where it is killed; its org then, and after the whole run."""

    folder: Path
    before: dict[str, object]
    planned: dict[str, object]
    packages: int


@pytest.fixture(scope="module")
def template(tmp_path_factory, zygote):
    """Make the template of a scenario, once: template(name)."""
    made: dict[str, Template] = {}

    def make(name: str) -> Template:
        if name not in made:
            scenario = SCENARIOS[name]
            folder = tmp_path_factory.mktemp("template")
            apps = () if name == "access by records" else scenario.apps
            write_project(folder, scenario.said, *apps)
            Workspace(folder).make_state()
            Workspace(folder).emulated_master()  # the same one in all copies
            for words in scenario.before:
                assert zygote.run(folder, *words) == 0
            write_project(folder, scenario.said, *scenario.apps)
            with serving(folder, tmp_path_factory.mktemp("clean"), zygote) as clean:
                before = has(clean.org)
                assert begin(clean, scenario, 0) == 0, clean.out
                assert tuple(clean.moments) == scenario.moments
                sent = sum(not p.check_only for p in clean.packages)
                made[name] = Template(folder, before, has(clean.org), sent)
        return made[name]

    return make


def begin(one: Served, scenario: Scenario, die_at: int) -> int:
    if scenario.lost:
        one.server.injections.add(Injection("reset-after-apply", "deploy", skip=1))
    return one.run(*scenario.words, die_at=die_at)


def hold(one: Served, made: Template) -> int:
    """What has to hold at every time; returns the bytes searched."""
    org, master = one.org, one.master
    invariants.one_at_a_time(org)
    invariants.none_twice(one.packages)
    invariants.derived_key(org, master)
    taken = sum(not p.check_only for p in one.packages)
    if taken in (0, made.packages):  # several packages are several transactions
        invariants.before_or_planned(has(org), made.before, made.planned)
    if (one.project / ".metadeploy/journal.sqlite3").exists():
        with one.journal() as journal:
            invariants.runs_are_ended_or_open(journal)
            if not any(r.intent.undoes for r in journal.runs()):
                invariants.sent_as_planned(one.packages, journal, whole=False)
    made = keys.derive(master, org.id, "Portal", 1)
    assert made.consumer_secret is not None
    secrets = [master, made.consumer_secret]
    return invariants.no_secret(one.folder, [], secrets)


POINTS = [(n, at) for n, s in SCENARIOS.items() for at in range(len(s.moments))]


@pytest.mark.parametrize(
    ("name", "at"),
    POINTS,
    ids=[f"{n}-{at}-{SCENARIOS[n].moments[at]}" for n, at in POINTS],
)
def test_a_run_that_is_killed_is_resumed(template, tmp_path, zygote, counted, name, at):
    scenario, made = SCENARIOS[name], template(name)
    with serving(made.folder, tmp_path, zygote) as one:
        assert begin(one, scenario, at + 1) == -signal.SIGKILL, one.out
        searched = hold(one, made)
        assert one.run("runs", "resume", "dev") == 0, one.out
        hold(one, made)
        spent = one.requests.total()
        assert one.run("runs", "resume", "dev") == 0
        assert one.out.endswith("nothing is open: every run came to its end.\n")
        assert one.requests.total() == spent
        if has(one.org) != made.planned:
            # It died before there was a run: the same command again.
            assert scenario.moments[at] in ("locked", *ASKED)
            assert one.run(*scenario.words) == 0, one.out
        assert has(one.org) == made.planned
        assert one.statuses()[0] == "Verified"
        searched += hold(one, made)
    counted("kill points", 1)
    counted("bytes searched for secrets", searched)
