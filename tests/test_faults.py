"""One fault at a time on the whole way to an org: every call × every kind of fault.

Whatever goes wrong: at most one deploy is sent, the org is as before or as planned, the
run's status says which, and one command goes on from there.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import fault_tables
import invariants
import pytest
from fault_tables import PLANNING, RUNNING, Cell
from scene import MASTER, Detour, Scene, prepare, scene

from metadeploy import deploy as flow
from metadeploy.connection import MOST_RENEWALS
from metadeploy.deploy import Outcome
from metadeploy.emulator.injection import KINDS, Injection
from metadeploy.errors import DeployTimeout

SOAK = bool(os.environ.get("METADEPLOY_SOAK"))
CELLS = fault_tables.cells() if SOAK else fault_tables.chosen()


class Base(NamedTuple):
    """What every scene begins with, and what a run without faults makes of it.

    planning: how often each call is made before anything is sent.
    """

    folder: Path
    before: dict[str, object]
    planned: dict[str, object]
    planning: Counter[str]


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Base:
    folder = tmp_path_factory.mktemp("faults")
    prepare(folder / "base")
    (folder / "clean").mkdir()
    with scene(folder / "base", folder / "clean") as clean:
        before = clean.has()
        target = clean.target()
        clean.plan(target)
        planning = Counter(clean.requests)
        clean.close()
        assert clean.attempt() is not None
        return Base(folder / "base", before, clean.has(), planning)


@pytest.fixture
def opened(base, tmp_path) -> Iterator[Scene]:
    with scene(base.folder, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def trap() -> Iterator[tuple[str, list[object]]]:
    """Where no redirect may lead: its URL, and who came all the same."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def watch() -> None:
            while True:
                try:
                    sock, peer = listening.accept()
                except OSError:
                    return
                came.append(peer)
                sock.close()

        threading.Thread(target=watch, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", came
        listening.shutdown(socket.SHUT_RDWR)


def program(opened: Scene, cell: Cell, base: Base, location: str) -> str:
    """Have the fault strike its call; return the injection's key, "" for a detour."""
    call, fault = cell.call, cell.fault
    skip = 0
    if call.name == "token (renewal)":
        # The session ends when the deploy is asked after; then there is a new login.
        opened.inject(Injection("session-expired", "checkDeployStatus", skip=1))
        skip = 1
    elif cell.phase == RUNNING:
        skip = sum(
            n
            for name, n in base.planning.items()
            if name.rpartition(" ")[2] == call.on.replace("*/", DATA)
        )
    if fault.group == "slow":
        opened.timeout = 0.3
    if fault.astray:
        opened.detour = Detour(fault.name, call.on, skip)
        return ""
    how = {"on": call.on, "skip": skip, "location": location, **fault.how}
    return opened.inject(Injection(**how))


DATA = "/services/data/v66.0/"


def how_it_ended(opened: Scene, ended: Outcome | None) -> str:
    """Return which of `fault_tables.OUTCOMES` it is."""
    if ended is not None:
        assert ended.verified is not None and ended.verified.ok
        return "done"
    runs = opened.journal.runs()
    if not runs:
        return "again"
    if runs[0].open:
        return "resume"
    assert len(runs) == 1
    return {"NotSent": "not sent"}.get(runs[0].status, runs[0].status.lower())


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_a_fault_at_a_call(opened, base, trap, counted, cell):
    key = program(opened, cell, base, trap[0])
    ended = opened.attempt()
    struck = opened.server.injections.fired(key) if key else not opened.detour.fault
    assert struck, "the fault never struck"
    assert how_it_ended(opened, ended) == fault_tables.expected(cell)
    searched = invariants.check(opened, ended, base.before, base.planned)
    opened.server.injections.clear()
    if ended is None:  # one command goes on
        unverified = opened.journal.runs()[0].status if opened.journal.runs() else ""
        ended = opened.attempt()
        assert ended is not None, opened.errors
        assert (ended.verified is None) <= (unverified == "Unverified")
        searched += invariants.check(opened, ended, base.before, base.planned)
    assert opened.open_run() is None
    assert opened.matches()
    assert opened.has() == base.planned
    assert trap[1] == []
    counted("calls × faults survived", 1)
    counted("bytes searched for secrets", searched)


CANCELING = fault_tables.canceling()[:: 1 if SOAK else 2]


@pytest.mark.parametrize("fault", CANCELING, ids=lambda f: f"{f.group}-{f.name}")
def test_a_fault_when_a_deploy_is_canceled(opened, base, trap, counted, fault):
    settings = replace(opened.org.settings, deploy_polls=8)
    opened.org = opened.world.configure_org("dev", settings)
    plan = opened.plan(opened.target())
    until = opened.clock.now() + 2
    with pytest.raises(DeployTimeout):
        target = opened.target(until=until)
        flow.deploy(target, plan, opened.org_journal, lambda: MASTER)
    key = program(opened, Cell(fault_tables.CANCEL, PLANNING, fault), base, trap[0])
    status = opened.cancel()
    struck = opened.server.injections.fired(key) if key else not opened.detour.fault
    assert struck, "the fault never struck"
    assert status == ("Canceled" if fault_tables.canceled(fault) else "Succeeded")
    searched = invariants.check(opened, None, base.before, base.planned)
    opened.server.injections.clear()
    if status == "Canceled":
        assert opened.has() == base.before
        assert opened.journal.runs()[0].status == "Canceled"
    else:  # too late: then it is to be taken to its end
        ended = opened.attempt()
        assert ended is not None and ended.verified.ok
        assert opened.has() == base.planned
    assert opened.open_run() is None
    counted("calls × faults survived", 1)
    counted("bytes searched for secrets", searched)


def test_every_kind_of_fault_is_in_the_table():
    used = {cell.fault.how.get("kind") for cell in fault_tables.cells()}
    assert used >= KINDS.keys()


def test_the_cells_that_are_chosen_leave_no_call_and_no_fault_out():
    every, some = fault_tables.cells(), fault_tables.chosen()
    for part in (
        lambda c: (c.call.name, c.phase),
        lambda c: c.fault,
        lambda c: (c.call.name, c.fault.group),
    ):
        assert {str(part(c)) for c in some} == {str(part(c)) for c in every}


@pytest.mark.parametrize("call", ["deploy", "checkDeployStatus", "retrieve"])
def test_a_session_that_ends_again_and_again(opened, call):
    key = opened.inject(Injection("session-expired", call, times=MOST_RENEWALS))
    ended = opened.attempt()
    assert ended is not None and ended.verified.ok
    assert opened.server.injections.fired(key) == MOST_RENEWALS


def test_nothing_that_is_open_is_resumed_twice(opened, base):
    denied = Injection("fault", "checkDeployStatus", skip=1, code="INSUFFICIENT_ACCESS")
    opened.inject(denied)
    assert opened.attempt() is None
    assert opened.resume() is not None
    spent = opened.requests.total()
    assert opened.resume() is None
    assert opened.requests.total() == spent
    assert opened.has() == base.planned
