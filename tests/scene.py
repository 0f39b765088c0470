"""One org, one project, one run: the whole real way, with faults where a test wants.

Everything is real but for time: login over HTTP to an emulated org, the journal
in its file, planning, sending, verifying. The server notes every package that reached
the org, so that what was sent can be compared with what was planned.
"""

from __future__ import annotations

import base64
import math
import re
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from emulator import oauth_apps
from fake_org import FakeOrg, app, holder
from raw_server import RawServer

from metadeploy import deploy as flow
from metadeploy import login, orgfile, planfile, planning, yamlfile
from metadeploy.access import raise_access
from metadeploy.connection import Answer, Connection
from metadeploy.data_api import DataApi
from metadeploy.deploy import Outcome
from metadeploy.emulator import server as served
from metadeploy.emulator.injection import Injection, Subject
from metadeploy.emulator.records import grant_access
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World, open_world
from metadeploy.emulator.wire import Answer as Served
from metadeploy.emulator.wire import Request
from metadeploy.errors import MetadeployError
from metadeploy.journal import Journal, Run
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import DeployOptions, DeployResult, Ref, Secret
from metadeploy.orgjournal import OrgJournal
from metadeploy.package import read_zip
from metadeploy.plan import Plan, make_plan
from metadeploy.reach import LOOPBACK
from metadeploy.reading import read_actual
from metadeploy.target import Limits, Target
from metadeploy.wanted import Wanted
from metadeploy.workspace import Workspace

MASTER = Secret("canary-master-" + "m" * 32)
NEEDED = frozenset({"revoke"})
# Every kind of call: an app with its key, holders in a list, records made and deleted.
WANTED = Wanted.of(
    "dev",
    "66.0",
    raise_access(
        (
            app(),
            holder("Portal_API", "Portal", "Data Loader"),
            holder("Old", "-Data Loader"),
        )
    ),
    {},
)
_ZIP = re.compile(rb"<(?:\w+:)?ZipFile>([^<]*)<")
# What the org makes anew for each app: ids of 15 or 18 characters.
_ID = re.compile(rb"\b[08][A-Za-z0-9]{14}(?:[A-Za-z0-9]{3})?\b")
_CHECK_ONLY = re.compile(rb"<(?:\w+:)?checkOnly>true<")


@dataclass(frozen=True)
class Package:
    """What reached the org in one deploy call: its folder, and path → bytes in it."""

    folder: str
    files: dict[str, bytes]
    check_only: bool


def package_of(body: bytes) -> Package:
    """Read the package in the envelope of a deploy."""
    found = _ZIP.search(body)
    assert found is not None
    whole = read_zip(base64.b64decode(found[1]))
    (folder,) = {path.partition("/")[0] for path in whole}
    files = {path.partition("/")[2]: text for path, text in whole.items()}
    return Package(folder, files, _CHECK_ONLY.search(body) is not None)


@dataclass
class Clock:
    """Time that passes only by waiting."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += seconds


@dataclass
class Told:
    """What a person was told."""

    lines: list[str] = field(default_factory=list)

    def step(self, text: str) -> None:
        self.lines.append(text)

    def deploying(self, result: DeployResult, ahead: int | None = None) -> None:
        self.lines.append(f"{result.id} {result.status}")


@dataclass
class Detour:
    """Where requests go astray once, before anything of them is sent.

    fault: see `elsewhere`; "" for none. on: a glob over operation and path, as that of
    an injection. skip: how many to let be.
    """

    fault: str = ""
    on: str = ""
    skip: int = 0

    def take(self, subject: str) -> str:
        """Return the fault that strikes this one, "" for none."""
        if not self.fault or not fnmatchcase(subject, self.on):
            return ""
        if self.skip:
            self.skip -= 1
            return ""
        struck, self.fault = self.fault, ""
        return struck


class Line(Connection):
    """A connection that a detour can lead astray."""

    detour = Detour()

    def call(self, method: str, path: str, **how: object) -> Answer:
        body = how.get("body")
        start = body[:8192] if isinstance(body, bytes) else b""
        operation = Subject.of(path, "", start).operation
        fault = self.detour.take(operation or path.partition("?")[0])
        if not fault:
            return super().call(method, path, **how)  # type: ignore[arg-type]
        there = Connection("http://localhost:1", Secret(""), reach=LOOPBACK)
        with closing(there), elsewhere(fault) as url:
            there.url = url
            there._http.mount(url, there._http.get_adapter("http://localhost:1"))
            return there.call(method, path, **how)  # type: ignore[arg-type]


@contextmanager
def elsewhere(fault: str) -> Iterator[str]:
    """Where nothing can be sent to: by a name, by TLS, or because nobody is there."""
    if fault == "no-such-host":
        yield "http://org.invalid"  # never leads anywhere (RFC 2606)
    elif fault == "no-tls":
        plain = RawServer(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n")
        try:
            yield plain.url.replace("http:", "https:")
        finally:
            plain.stop()
    else:
        with socket.socket() as taken:  # bound, and not listening
            taken.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def has(org: OrgState) -> dict[str, object]:
    """What an org is like: components, their keys, and holders of apps; no ids."""
    found: dict[str, object] = {}
    for kind in org.component_types():
        for component in org.components(kind):
            secret = component.extra.get("secret")
            found[str(component.ref)] = (_ID.sub(b"(id)", component.body), secret)
    apps = {str(r["Id"]): str(r["Name"]) for r in org.records("ConnectedApplication")}
    apps |= {c.id: c.ref.full_name for c in org.components("ExternalClientApplication")}
    sets = {str(r["Id"]): str(r["Name"]) for r in org.records("PermissionSet")}
    rows = org.records("SetupEntityAccess")
    found["access"] = sorted(
        (apps.get(str(r["SetupEntityId"]), "?"), sets[str(r["ParentId"])]) for r in rows
    )
    return found


@dataclass
class Scene:
    """The org `dev`, the project that deploys to it, and what has happened so far."""

    folder: Path
    world: World
    org: OrgState
    server: served.RunningServer
    journal: Journal
    packages: list[Package]
    requests: Counter[str]
    timeout: float = 20.0
    window: float = 60.0
    clock: Clock = field(default_factory=Clock)
    told: Told = field(default_factory=Told)
    tokens: list[Secret] = field(default_factory=list)
    errors: list[MetadeployError] = field(default_factory=list)
    detour: Detour = field(default_factory=Detour)
    plans: list[Plan] = field(default_factory=list)
    wanted: Wanted = WANTED

    # -- the org from behind

    def has(self) -> dict[str, object]:
        return has(self.org)

    def inject(self, fault: Injection) -> str:
        return self.server.injections.add(fault)

    # -- what a user does

    def target(self, *, until: float = math.inf) -> Target:
        """Log in as the org file says, and return the org as the flow sees it."""
        line = self._line()
        return Target(
            org_id=self.org.id,
            metadata=MetadataApi(line, "66.0"),
            data=DataApi(line, "66.0"),
            prover=FakeOrg(proof=None),
            clock=self.clock,
            progress=self.told,
            limits=Limits(until, self.window),
        )

    def _line(self) -> Line:
        """Return a connection that logs in again as the real one does."""
        made = self._log_in()
        line = Line(made.url, made.token, self.timeout, reach=LOOPBACK)
        line.renew = lambda: self._log_in().token
        line.detour = self.detour
        self._open.append(line)
        return line

    def _log_in(self) -> Connection:
        fault = self.detour.take("/services/oauth2/token")
        if fault:
            with elsewhere(fault) as url:
                return self._log_in_at(url)
        return self._log_in_at(self.server.url)

    def _log_in_at(self, url: str) -> Connection:
        text = (
            f"kind: sandbox\norg_id: {self.org.id}\nlogin: {{flow: client_credentials,"
            f" url: '{url}', client_id: {oauth_apps.KEY},"
            " client_secret: {file: ../SECRET}}\n"
        )
        read, _ = orgfile.read("dev", "orgs/dev.yaml", yamlfile.read(text, "x"), None)
        assert read is not None
        made = login.connect(
            read,
            self.workspace,
            emulated=None,  # type: ignore[arg-type]  # no org of that kind is here
            reach=lambda: LOOPBACK,
            progress=self.told,
        )
        self.tokens.append(made.token)
        self._open.append(made)
        return made

    _open: list[Connection] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder)

    @property
    def org_journal(self) -> OrgJournal:
        return OrgJournal(self.journal, self.workspace)

    def plan(self, target: Target) -> Plan:
        return planning.plan(target, self.wanted, self.journal.recorded, allowed=NEEDED)

    def deploy(self) -> Outcome:
        """What `metadeploy deploy dev` does."""
        target = self.target()
        plan = self.plan(target)
        self.plans.append(plan)
        return flow.deploy(target, plan, self.org_journal, lambda: MASTER)

    def resume(self) -> Outcome | None:
        """What `metadeploy runs resume dev` does; None where nothing is open."""
        run = self.open_run()
        if run is None:
            return None
        (plan,) = planfile.loads(self.journal.plan(run.id))
        options = DeployOptions(check_only=run.intent.check_only)
        sends = self.journal.sends(run.id)
        target = self.target()
        return flow.resume(
            target,
            flow.Unfinished(run.id, plan, options, sends),
            self.org_journal,
            lambda: MASTER,
            replan=lambda: self.plan(target),
        )

    def attempt(self) -> Outcome | None:
        """Go on from wherever things are; an error is kept, and None returned.

        What is no MetadeployError is a bug, and fails the test.
        """
        try:
            return self.resume() if self.open_run() else self.deploy()
        except MetadeployError as error:
            self.errors.append(error)
            return None
        finally:
            self.close()

    def close(self) -> None:
        """End what was connected."""
        while self._open:
            self._open.pop().close()

    def cancel(self) -> str:
        """What `metadeploy runs cancel dev` does."""
        run = self.open_run()
        assert run is not None and run.deploy_id is not None
        try:
            target = self.target()
            return flow.cancel(target, run.id, run.deploy_id, self.org_journal)
        finally:
            self.close()

    def open_run(self) -> Run | None:
        found = [r for r in self.journal.runs(self.org.id) if r.open]
        assert len(found) <= 1
        return found[0] if found else None

    def matches(self) -> bool:
        """Whether the org is as wanted, asked of it without faults."""
        token = Secret(self.org.issue_token(admin_of(self.org)))
        connection = Connection(self.server.url, token, reach=LOOPBACK)
        try:
            target = Target(
                None,
                MetadataApi(connection, "66.0"),
                DataApi(connection, "66.0"),
                FakeOrg(proof=None),
                Clock(),
                Told(),
            )
            actual = read_actual(target, self.wanted)
            return make_plan(actual, self.wanted).empty
        finally:
            connection.close()


def prepare(folder: Path) -> None:
    """Make what every scene begins with: a world to be copied, and a login's key."""
    folder.mkdir()
    world = open_world(folder / "world.db")
    settings = OrgSettings(kind="sandbox", installed_apps=("Data Loader",))
    org = world.create_org("dev", settings)
    config: dict[str, str | list[str]] = {
        "oauthClientCredentialUser": "admin@dev.emulated",
        "scopes": ["Api", "Web"],  # without OpenID, nobody has to make RSA keys
    }
    oauth_apps.deploy_app(org, name="Deployer", config=config)
    oauth_apps.give_access(org, name="Deployer")
    label = {"label": ["Old"]}
    oauth_apps.deploy(org, Ref("PermissionSet", "Old"), label)  # type: ignore[arg-type]
    held = {str(r["Name"]): str(r["Id"]) for r in org.records("PermissionSet")}
    known = {str(r["Name"]): str(r["Id"]) for r in org.records("ConnectedApplication")}
    grant_access(org, held["Old"], known["Data Loader"], by=admin_of(org))
    world.close()
    (folder / "SECRET").write_text(oauth_apps.SECRET)


@contextmanager
def scene(base: Path, folder: Path) -> Iterator[Scene]:
    """Open a scene of its own: `base` is what `prepare` made."""
    project = folder / "project"
    project.mkdir()
    (folder / "orgs").mkdir()
    shutil.copy(base / "world.db", folder / "orgs" / "world.db")
    shutil.copy(base / "SECRET", folder / "SECRET")
    world = open_world(folder / "orgs" / "world.db")
    packages: list[Package] = []
    requests: Counter[str] = Counter()
    running = served.RunningServer(
        partial(noted, world, packages, requests),
        directory=folder / "orgs",
        plan_failure=partial(served._plan_failure, world),
    )
    journal = Journal(project / "journal.sqlite3")
    org = world.org("dev")
    try:
        yield Scene(project, world, org, running, journal, packages, requests)
    finally:
        journal.close()
        running.stop()
        world.close()


def noted(
    world: World, packages: list[Package], requests: Counter[str], request: Request
) -> Served:
    """Have the world answer; note the request, and a package that it took."""
    operation = Subject.of(request.path, "", request.body[:8192]).operation
    requests[operation or f"{request.method} {request.path}"] += 1
    answer = served.answer(world, request)
    if operation == "deploy" and answer.status == 200:
        packages.append(package_of(request.body))
    return answer
