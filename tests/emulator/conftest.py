"""A world with one org, its server, and who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metadeploy.emulator.server import RunningServer, serve
from metadeploy.emulator.state import OrgState, World, open_world


class Clock:
    """A clock that stands until it is moved. now: seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> Iterator[World]:
    made = open_world(tmp_path / "orgs" / "world.db", clock=clock)
    yield made
    made.close()


@pytest.fixture
def org(world: World) -> OrgState:
    return world.create_org("dev")


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    with serve(world) as running:
        yield running
