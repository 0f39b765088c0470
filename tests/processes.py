"""Projects whose orgs live in the test's process, and commands that run in others.

So an org goes on when a command is killed, as a real one does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scene import Package, noted

from metadeploy.emulator import server as served
from metadeploy.emulator.state import OrgState, World, open_world
from metadeploy.journal import Journal
from metadeploy.model import METADATA_NS, Secret
from metadeploy.workspace import Workspace

XMLNS = f'xmlns="{METADATA_NS}"'
APP = f"""<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp {XMLNS}>
    <contactEmail>a@example.com</contactEmail>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>https://portal.example/callback</callbackUrl>
        <isAdminApproved>true</isAdminApproved>
        <scopes>Api</scopes>
    </oauthConfig>
    <oauthPolicy>
        <ipRelaxation>ENFORCE</ipRelaxation>
        <refreshTokenPolicy>infinite</refreshTokenPolicy>
    </oauthPolicy>
</ConnectedApp>
"""


def holder(*apps: str) -> str:
    accesses = "".join(
        f"<connectedAppAccesses><connectedApp>{app}</connectedApp>"
        "<enabled>true</enabled></connectedAppAccesses>"
        for app in apps
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PermissionSet {XMLNS}>'
        f"{accesses}<label>Portal API</label></PermissionSet>\n"
    )


def write_project(folder: Path, said: str = "", *apps: str, org: str = "dev") -> None:
    """Write a project with one emulated org. said: more of its file."""
    for name in ("orgs", "templates/connectedApps", "templates/permissionsets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "orgs" / f"{org}.yaml"
    file.write_text(f'kind: emulated\napi_version: "66.0"\n{said}')
    templates = folder / "templates"
    if "Portal" in apps:
        (templates / "connectedApps/Portal.connectedApp.j2").write_text(APP)
    sets = templates / "permissionsets/Portal_API.permissionset.j2"
    sets.write_text(holder(*apps))


class Zygote:
    """Runs commands in forks of a process that has loaded everything."""

    def __init__(self, folder: Path) -> None:
        here = Path(__file__).parent
        self._folder = folder
        quiet = {k: v for k, v in os.environ.items() if not k.startswith("METADEPLOY_")}
        quiet |= {"METADEPLOY_CONFIG": str(folder / "none.yaml"), "NO_COLOR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(here / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=quiet,
        )
        self._lock = threading.Lock()

    def run(
        self, project: Path, *words: str, folder: Path | None = None, **job: object
    ) -> int:
        """Return the exit code of a command, or minus the signal that ended it."""
        whole = {
            "project": str(project),
            "folder": str(folder or self._folder),
            "words": words,
            **job,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(whole) + "\n")
            self._process.stdin.flush()
            return int(json.loads(self._process.stdout.readline())["code"])

    def stop(self) -> None:
        self._process.communicate(timeout=30)


def write_planned_project(folder: Path, zygote: Zygote) -> None:
    """Write a project with an app; its org is there, and so is the master of all."""
    write_project(folder, "", "Portal")
    Workspace(folder).make_state()
    Workspace(folder).emulated_master()
    assert zygote.run(folder, "plan", "dev") == 0


@dataclass
class Served:
    """A project whose orgs are served by this process."""

    project: Path
    folder: Path
    zygote: Zygote
    world: World
    server: served.RunningServer
    packages: list[Package]
    requests: Counter[str]

    def run(self, *words: str, **job: object) -> int:
        return self.zygote.run(self.project, *words, folder=self.folder, **job)

    @property
    def org(self) -> OrgState:
        return self.world.org("dev")

    @property
    def out(self) -> str:
        return (self.folder / "out.txt").read_text()

    @property
    def moments(self) -> list[str]:
        return (self.folder / "moments").read_text().split("\n")[:-1]

    @property
    def master(self) -> Secret:
        return Workspace(self.project).emulated_master()

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        made = Journal(self.project / ".metadeploy/journal.sqlite3")
        try:
            yield made
        finally:
            made.close()

    def statuses(self) -> list[str]:
        """How the runs stand, the newest first."""
        with self.journal() as journal:
            return [run.status for run in journal.runs()]


@contextmanager
def serving(template: Path, folder: Path, zygote: Zygote) -> Iterator[Served]:
    """Serve a copy of a project whose orgs are there already."""
    project = folder / "project"
    shutil.copytree(template, project)
    state = project / ".metadeploy/emulator"
    world = open_world(state / "world.sqlite3")
    packages: list[Package] = []
    requests: Counter[str] = Counter()
    running = served.RunningServer(
        partial(noted, world, packages, requests),
        directory=state,
        plan_failure=partial(served._plan_failure, world),
    )
    note = {"url": running.url, "pid": os.getpid()}
    (state / "server.json").write_text(json.dumps(note))
    try:
        yield Served(project, folder, zygote, world, running, packages, requests)
    finally:
        running.stop()
        world.close()
