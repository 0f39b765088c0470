"""Run whole processes, one by one or in turns, and say what they took.

Linux starts a child's peak memory at its parent's size, so commands are started by
a parent that is smaller than any of them. Peers are run in turns: what slows the
machine for a while slows all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Prints wall and CPU seconds, peak KiB and the exit status of argv[1:].
_STARTER = """
import os, sys, time
null = os.open(os.devnull, os.O_RDWR)
out, command = int(sys.argv[1]), sys.argv[2:]
files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1),
         (os.POSIX_SPAWN_DUP2, out, 2)]
start = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - start
print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss,
      os.waitstatus_to_exitcode(status))
"""


class Broken(Exception):
    """A command that was to be measured did not do its work."""


@dataclass(frozen=True)
class Peer:
    """A command to measure. ready: run before each start, not measured."""

    name: str
    command: Sequence[str]
    folder: Path = Path()
    extra_env: Mapping[str, str] | None = None
    ready: Callable[[], None] = lambda: None
    exit_code: int = 0


@dataclass(frozen=True)
class Sample:
    """One run: seconds of wall and CPU (children too), peak MiB of one process."""

    wall: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Measured:
    """All runs of one peer. Times in seconds, memory in MiB."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def wall(self) -> float:
        return statistics.median(s.wall for s in self.samples)

    @property
    def fastest(self) -> float:
        return min(s.wall for s in self.samples)

    @property
    def cpu(self) -> float:
        return statistics.median(s.cpu for s in self.samples)

    @property
    def peak(self) -> float:
        return max(s.peak for s in self.samples)


def in_turns(peers: Sequence[Peer], runs: int, *, warm: bool = True) -> list[Measured]:
    """Run all peers `runs` times in turns and return what each took.

    warm: one run more comes first and is not counted. Raises Broken.
    """
    samples: list[list[Sample]] = [[] for _ in peers]
    for turn in range(-int(warm), runs):
        for peer, taken in zip(peers, samples, strict=True):
            peer.ready()
            sample = once(peer)
            if turn >= 0:
                taken.append(sample)
    return [
        Measured(peer.name, tuple(taken))
        for peer, taken in zip(peers, samples, strict=True)
    ]


def once(peer: Peer) -> Sample:
    """Run a peer once. Raises Broken, with what it said, for another exit code."""
    with tempfile.TemporaryFile() as said:
        starter = subprocess.run(
            [sys.executable, "-SE", "-c", _STARTER, str(said.fileno()), *peer.command],
            cwd=peer.folder,
            env=environment(peer.extra_env),
            stdout=subprocess.PIPE,
            check=True,
            pass_fds=[said.fileno()],
        )
        wall, cpu, peak, code = starter.stdout.decode().split()
        if int(code) != peer.exit_code:
            said.seek(0)
            words = said.read().decode("utf-8", "replace")[-2000:]
            raise Broken(f"{peer.name}: exit code {code}\n{words}")
    return Sample(float(wall), float(cpu), int(peak) / 1024)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what changes how Python starts."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "METADEPLOY_", "COVERAGE_"))
    }
    return {**kept, "NO_COLOR": "1", **(extra or {})}
