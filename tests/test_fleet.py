"""A fleet: many orgs at once, each with a fault of its own, and a process that dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import invariants
from processes import serving, write_project
from scene import Package, has

from metadeploy.emulator.injection import Injection
from metadeploy.workspace import Workspace

ORGS = 200 if os.environ.get("METADEPLOY_SOAK") else 12
NAMES = [f"org{n:03}" for n in range(ORGS)]
AT_ONCE = 8
DEPLOY = ("deploy", "*", "--auto-approve", "--parallelism", str(AT_ONCE))
# However many orgs: the world's file and its log for each that is served at once, and
# a socket or two.
MORE_HANDLES = 2 * AT_ONCE + 4
# One org in twenty meets each of these, every fifth of a small fleet.
FAULTS = (
    ("reset-after-apply", "deploy"),
    ("reset-before-apply", "deploy"),
    ("status", "checkDeployStatus"),
    ("cut", "retrieve"),
    ("session-expired", "*/query"),
)


def handles() -> int:
    """How many files and sockets this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def settled_handles(most: int) -> int:
    """Return `handles` once there are no more than that, or after ten seconds.

    The server closes what a client that has ended left open, each in its own thread.
    """
    until = time.monotonic() + 10
    while handles() > most and time.monotonic() < until:
        threading.Event().wait(0.05)
    return handles()


def test_a_fleet_whose_coordinator_dies(tmp_path, zygote, counted):
    template = tmp_path / "template"
    for name in NAMES:
        write_project(template, "", "Portal", org=name)
    Workspace(template).make_state()
    Workspace(template).emulated_master()
    assert zygote.run(template, "plan", "*") == 0
    with serving(template, tmp_path, zygote) as fleet:
        orgs = [fleet.world.org(name) for name in NAMES]
        step = 20 if ORGS >= 100 else len(FAULTS)
        for number, org in enumerate(orgs):
            if number % step < len(FAULTS):
                kind, on = FAULTS[number % step]
                skip = int(on == "deploy")  # the first one only asks
                fleet.server.injections.add(Injection(kind, on, org=org.id, skip=skip))
        before = handles()
        # Somewhere in the middle: each org comes by about eleven moments.
        assert fleet.run(*DEPLOY, die_at=6 * ORGS) == -signal.SIGKILL
        under_way = fleet.statuses()
        assert len(under_way) > 0 and set(under_way) != {"Verified"}
        assert fleet.run("runs", "resume", "*", "--parallelism", str(AT_ONCE)) == 0, (
            fleet.out
        )
        assert fleet.run(*DEPLOY) == 0, fleet.out
        assert fleet.run("plan", "*", "--detailed-exitcode") == 0
        for org in orgs:
            invariants.one_at_a_time(org)
            invariants.derived_key(org, fleet.master)
            assert "ConnectedApp Portal" in has(org)
        invariants.none_twice(ours(fleet.packages))
        assert len(ours(fleet.packages)) == ORGS
        with fleet.journal() as journal:
            invariants.sent_as_planned(fleet.packages, journal)
            assert {r.status for r in journal.runs()} == {"Verified"}
        most = before + MORE_HANDLES
        assert settled_handles(most) <= most
    counted("orgs of a fleet deployed to", ORGS)


def ours(packages: list[Package]) -> list[Package]:
    return [p for p in packages if not p.check_only]
