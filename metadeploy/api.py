"""What metadeploy can do, as functions: the command line is one caller of these.

This module wires the edges to the flow. Orgs are worked on side by side, each on its
own: what goes wrong in one is that org's `error` and stops no other.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import adopt as adopting
from metadeploy import (
    deploy,
    doctor,
    history,
    keys,
    login,
    master,
    orglock,
    package,
    planning,
    rotation,
    userconfig,
)
from metadeploy.access import Raised, lower_access
from metadeploy.adopt import Adopted
from metadeploy.connection import Connection
from metadeploy.data_api import DataApi
from metadeploy.deploy import Outcome
from metadeploy.doctor import Check
from metadeploy.doctor_api import DoctorApi
from metadeploy.errors import ConfigError, MetadeployError, OrgBusy, Stopped
from metadeploy.failpoint import reach
from metadeploy.journal import Journal
from metadeploy.keys import Masters
from metadeploy.live import Origin
from metadeploy.metadata_api import MetadataApi
from metadeploy.model import Component, DeployOptions, DeployResult, Ref, Secret
from metadeploy.orgfile import Org
from metadeploy.orgjournal import OrgJournal
from metadeploy.plan import Actual, Plan, Refusal
from metadeploy.project import Project
from metadeploy.prover import AppProver
from metadeploy.reading import resolve_names
from metadeploy.target import Limits, Progress, Target
from metadeploy.verify import Verified, verify
from metadeploy.wanted import Wanted
from metadeploy.workspace import Workspace

if TYPE_CHECKING:
    from metadeploy.emulated import EmulatedOrgs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_DEFAULT_PARALLEL = 4
DEFAULT_WAIT = 1980.0
"""Seconds that a run may take, as the Salesforce CLI waits."""


class Result(Generic[T_co], Struct, frozen=True):
    """What came of one org: a value, or the error that stopped it."""

    org: str
    value: T_co | None
    error: MetadeployError | None = None


class SystemClock:
    """The time of this machine: monotonic, so no clock change shortens a wait."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class NoProgress:
    """Says nothing; for callers that only want the result."""

    def step(self, text: str) -> None:
        """Ignore it."""

    def deploying(self, result: DeployResult, ahead: int | None = None) -> None:
        """Ignore it."""


class Goal(Struct, frozen=True):
    """What an org is to be like, and why.

    undoes: the run that is taken back, "" where templates say it. Only then count
    recorded: what that run has deployed, and replaced: apps to be created anew.
    part: in which way it is not all that the project's templates make, "" if it is.
    promoted_from: the org that has it already. refused: why it may not be deployed,
    beside what the plan itself says.
    """

    wanted: Wanted
    undoes: str = ""
    recorded: tuple[Component, ...] = ()
    replaced: frozenset[Ref] = frozenset()
    part: str = ""
    promoted_from: str = ""
    refused: tuple[Refusal, ...] = ()


_NOBODY_LISTENS = NoProgress()
ProgressOf = Callable[[str], Progress]


def _silent(org: str) -> Progress:
    return _NOBODY_LISTENS


@dataclass
class Orgs:
    """The orgs of a project, connected when first needed. A context manager.

    stop: once set, nothing more is sent; what is sent already is waited for.
    """

    workspace: Workspace
    progress: ProgressOf = _silent
    parallel: int = _DEFAULT_PARALLEL
    stop: threading.Event = field(default_factory=threading.Event)
    project: Project = field(init=False)
    _root: Orgs | None = field(init=False, default=None, repr=False)
    _origins: list[Origin | None] = field(init=False, default_factory=list)
    _goals: dict[str, Goal] = field(init=False, default_factory=dict, repr=False)
    _stack: ExitStack = field(init=False, default_factory=ExitStack, repr=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _connections: dict[str, Connection] = field(init=False, default_factory=dict)
    _masters: dict[tuple[str, ...], Masters] = field(
        init=False, default_factory=dict, repr=False
    )
    _held: set[str] = field(init=False, default_factory=set)
    _seen: dict[str, int] = field(init=False, default_factory=dict)
    _emulated: EmulatedOrgs | None = field(init=False, default=None, repr=False)
    _journal: Journal | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.project = self.workspace.project()

    def __enter__(self) -> Orgs:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def at(self, commit: str, project: Project) -> Orgs:
        """Return the same orgs, as a commit's project describes them.

        They share what is open, and close with these.
        """
        other = copy.copy(self)
        other._root = self._root or self
        other.project, other._origins = project, [Origin(commit)]
        other._connections, other._goals = {}, {}
        other.progress = lambda org: self.progress(org)
        return other

    def origin(self) -> Origin | None:
        """Return the commit that the project's texts are of; None without git."""
        with self._lock:
            if not self._origins:
                self._origins.append(history.origin(self.workspace, self.project))
            return self._origins[0]

    def each(self, names: Sequence[str], work: Callable[[str], T]) -> list[Result[T]]:
        """Return what `work` makes of each org, in the order of `names`."""

        def one(name: str) -> Result[T]:
            try:
                return Result(name, work(name))
            except MetadeployError as error:
                return Result(name, None, error)

        if len(names) < 2 or self.parallel < 2:
            return [one(name) for name in names]
        pool = ThreadPoolExecutor(min(self.parallel, len(names)))
        try:
            return list(pool.map(one, names))
        finally:
            # All are done; or somebody interrupts, and waits for none of them.
            pool.shutdown(wait=False, cancel_futures=True)

    def plan(
        self,
        name: str,
        *,
        allowed: frozenset[str] = frozenset(),
        goal: Goal | None = None,
    ) -> Plan:
        """Return what would make an org match its templates, or another goal."""
        org = self.project.org(name)
        goal = goal or Goal(self.project.wanted(org))
        made = self.plan_of(self.target(org), goal, allowed)
        self._goals[made.fingerprint] = goal
        return made

    def plan_of(self, target: Target, goal: Goal, allowed: frozenset[str]) -> Plan:
        """Return what would take an org to a goal."""
        journal, wanted = self.journal(), goal.wanted
        org = self.project.org(wanted.org)
        self._seen[org.name] = journal.changes()

        def renewals(actual: Actual) -> frozenset[Ref]:
            if goal.undoes:
                return goal.replaced & {c.ref for c in actual.components}
            return rotation.renewals(lambda: self.masters(org), wanted, actual)

        def recorded(org_id: str) -> Iterable[Component]:
            return goal.recorded if goal.undoes else journal.recorded(org_id)

        made = planning.plan(
            target,
            wanted,
            recorded,
            allowed=allowed,
            renewals=renewals,
            unfinished=self._unfinished,
        )
        refused = (r for r in goal.refused if r.code not in allowed)
        return replace(made, refusals=(*refused, *made.refusals))

    def _unfinished(self, org_id: str) -> list[str]:
        """Return the runs of an org that are open, and that no process is at."""
        found = [r.id for r in self.journal().runs(org_id) if r.open]
        if not found or org_id in self._held:
            return found
        try:
            with self._lock_file(org_id, 0.0):
                return found
        except OrgBusy:
            return []

    def _lock_file(self, org_id: str, timeout: float) -> AbstractContextManager[None]:
        return orglock.alone(self.workspace.make_state() / "locks", org_id, timeout)

    def _lock_in_time(
        self, org_id: str, timeout: float, progress: Progress
    ) -> ExitStack:
        # Whoever only looks whether it is free has it for a moment.
        until = time.monotonic() + max(timeout, 2.0)
        with ExitStack() as held:
            while True:
                # A second at a time: SQLite lets nobody interrupt it.
                left = min(max(until - time.monotonic(), 0.0), 1.0)
                try:
                    held.enter_context(self._lock_file(org_id, left))
                except OrgBusy:
                    if time.monotonic() >= until:
                        raise
                else:
                    return held.pop_all()
                if self.stop.is_set():
                    raise Stopped("told to stop while waiting for the org")
                progress.step("waiting for another metadeploy at work on the org")

    @contextmanager
    def alone(
        self,
        org_id: str,
        *,
        timeout: float = 0.0,
        progress: Progress = _NOBODY_LISTENS,
    ) -> Iterator[None]:
        """Be the only one, on this machine, to change the org of that Id.

        timeout: seconds to wait for somebody else. Raises OrgBusy, and Stopped when
        that is asked for meanwhile.
        """
        with ExitStack() as held:
            held.enter_context(self._lock_in_time(org_id, timeout, progress))
            self._held.add(org_id)
            try:
                yield
            finally:
                self._held.discard(org_id)

    def deploy(
        self,
        plan: Plan,
        *,
        options: DeployOptions | None = None,
        timeout: float = DEFAULT_WAIT,
        allowed: frozenset[str] = frozenset(),
        recheck: bool = True,
        lock_timeout: float = 0.0,
        goal: Goal | None = None,
    ) -> Outcome:
        """Apply exactly that plan.

        goal: what it was made for, where that is not what the templates say and
        `plan` of this object did not make it.
        timeout: seconds for all of it. recheck: read the org again first, and raise
        StalePlan when it has moved since the plan was made; without it, the plan must
        have been made just now. lock_timeout: seconds to wait for another process that
        is at work on the org; raises OrgBusy.
        """
        org = self.project.org(plan.wanted.org)
        options = options or DeployOptions()
        goal = goal or self._goals.get(plan.fingerprint)
        if plan.empty and not plan.refusals and not recheck:
            journal = self._journal_for(goal, plan)
            target = self.target(org, until=time.monotonic() + timeout)
            return _with_live(target, deploy.unchanged(plan), journal, options)
        progress = self.progress(org.name)
        with self.alone(plan.facts.org_id, timeout=lock_timeout, progress=progress):
            reach("locked")
            target = self.target(org, until=time.monotonic() + timeout)
            moved = self.journal().changes() != self._seen.get(org.name)
            if recheck or moved or plan.refusals:
                now = self.plan_of(target, goal or Goal(plan.wanted), allowed)
                if recheck or not now.empty:  # else somebody else has done it
                    planning.check_fresh(plan, now)
                plan = now
            journal = self._journal_for(goal, plan)
            outcome = deploy.deploy(
                target, plan, journal, lambda: self.master(org), options=options
            )
            return _with_live(target, outcome, journal, options)

    def org_journal(self, undoes: str = "") -> OrgJournal:
        """Return the journal as the flow sees it. undoes: a run that is taken back."""
        return OrgJournal(self.journal(), self.workspace, undoes)

    def _journal_for(self, goal: Goal | None, plan: Plan) -> OrgJournal:
        """Return the journal for a run of a plan. goal: None for a saved plan."""

        def origin() -> Origin | None:
            found = self.origin()
            if found is None or not found.exact:
                return found
            part = self._part(plan) if goal is None else goal.part
            return Origin(found.commit, part)

        undoes, source = (goal.undoes, goal.promoted_from) if goal else ("", "")
        return OrgJournal(self.journal(), self.workspace, undoes, origin, source)

    def _part(self, plan: Plan) -> str:
        """Say in which way a plan is not what the templates make, "" if it is."""
        org = self.project.org(plan.wanted.org)
        try:
            wanted = resolve_names(self.target(org), self.project.wanted(org))
        except MetadeployError as error:
            return error.message
        same = wanted.says_what(plan.wanted)
        return "" if same else "the saved plan is not of all that templates make now"

    def verify(self, name: str, *, wait: float = 0.0, username: str = "") -> Verified:
        """Return what differs in an org, and whether its apps give tokens.

        wait: seconds for which an org may not know new apps yet. username: try this
        user instead of the logins of the org file, by JWT with each app's key.
        """
        org = self.project.org(name)
        wanted = self.project.wanted(org)
        target = self.target(org, username)
        return verify(target, wanted, wait_for_apps=wait)

    def doctor(self, name: str, *, creation: bool = False) -> tuple[Check, ...]:
        """Return what an examination of an org found: login, access, settings.

        creation: also ask, by a check-only deploy, whether connected apps may be
        created. Raises ConfigError for an org file that is no good.
        """
        org = self.project.org(name)

        def server() -> DoctorApi:
            connection = login.outside(
                org, self.workspace, emulated=self.emulated, reach=userconfig.reach
            )
            self._stack.callback(connection.close)
            return DoctorApi(connection, org.api_version)

        def log_in() -> tuple[Target, DoctorApi]:
            target = self.target(org)
            return target, DoctorApi(self.connection(name), org.api_version)

        grants = self._grants(org)
        patient = doctor.Patient(org, server, log_in, time.time, grants)
        return doctor.examine(patient, creation=creation)

    def _grants(self, org: Org) -> bool:
        """Tell whether templates give connected apps to anybody, as far as they go."""
        try:
            wanted = self.project.wanted(org)
        except MetadeployError:  # what is wrong with them is for `validate` to say
            return False
        apps = {c.ref.full_name for c in wanted.components if _is_connected_app(c)}
        return any(app in wanted.access for app in apps)

    def org_id(self, org: Org) -> str:
        """Return the 18-character Id of an org, without asking a real one."""
        if org.emulated:
            self.emulated().prepare([org])
            return self.emulated().world.org(org.name).id
        assert org.org_id is not None  # only emulated orgs may pin none
        return org.org_id

    def render(
        self, name: str, *, reveal_secrets: bool = False
    ) -> tuple[Mapping[str, bytes], str]:
        """Return path → bytes of an org's package as it would create everything.

        Consumer secrets are masked unless asked for. The note that comes along says
        why there are no keys in it, where they cannot be derived.
        """
        org = self.project.org(name)
        wanted = self.project.wanted(org)
        raised = Raised(wanted.components, wanted.access, {})
        components = lower_access(wanted.components, raised)
        org_id, note = self.org_id(org), ""
        try:
            current = self.master(org)
        except ConfigError as error:
            return package.files(components, org.api_version), str(error)
        keyed = []
        for component in components:
            app = keys.app_of(component)
            if app is not None:
                choice = wanted.key_choice(component, app)
                made = keys.credentials(current, org_id, app, choice)
                if not reveal_secrets and made.consumer_secret is not None:
                    made = replace(made, consumer_secret=Secret("***"))
                component = keys.with_key(component, made)
            keyed.append(component)
        return package.files(keyed, org.api_version), note

    def adopt(self, names: Sequence[str], app: str) -> Adopted:
        """Return templates and values that give these orgs the app that they have."""
        live = {}
        for name in names:
            org = self.project.org(name)
            target = self.target(org)
            live[name] = adopting.live_app(target, name, app, org.api_version)
        return adopting.adopt(app, live)

    def master(self, org: Org) -> Secret:
        """Return the master secret that this org's new keys are derived from."""
        return self.masters(org).current

    def masters(self, org: Org) -> Masters:
        """Return this org's master, and the one before it was rotated.

        Read once for all orgs of the same tags: a command may ask a person.
        """
        place = ("emulated" if org.emulated else "", *sorted(org.file.tags))
        with self._lock:
            if place not in self._masters:
                if org.emulated:
                    self.workspace.make_state()
                self._masters[place] = master.masters(
                    org.file.tags,
                    otherwise=self.workspace.emulated_master if org.emulated else None,
                )
            return self._masters[place]

    def journal(self) -> Journal:
        """Return the project's journal, made when first asked for."""
        if self._root is not None:
            return self._root.journal()
        with self._lock:
            if self._journal is None:
                state = self.workspace.make_state()
                self._journal = Journal(state / "journal.sqlite3")
                self._stack.callback(self._journal.close)
            return self._journal

    def emulated(self) -> EmulatedOrgs:
        """Return the project's emulated orgs, opened when first asked for."""
        # Loaded here and not at the top: who works on real orgs needs no emulator.
        from metadeploy.emulated import EmulatedOrgs

        if self._root is not None:
            return self._root.emulated()
        with self._lock:
            if self._emulated is None:
                state = self.workspace.make_state()
                self._emulated = self._stack.enter_context(EmulatedOrgs(state))
            return self._emulated

    def connection(self, name: str) -> Connection:
        """Return the session with an org that `target` has made."""
        return self._connections[name]

    def target(
        self, org: Org, username: str = "", *, until: float = math.inf
    ) -> Target:
        """Return what it takes to talk to an org: one login for the whole command.

        until: when all waiting ends, as time.monotonic() tells time.
        """
        progress, clock = self.progress(org.name), SystemClock()
        connection = self._connections.get(org.name)
        if connection is None:
            progress.step("logging in")
            connection = login.connect(
                org,
                self.workspace,
                emulated=self.emulated,
                reach=userconfig.reach,
                progress=progress,
            )
            self._stack.callback(connection.close)
            self._connections[org.name] = connection
        connection.until = until
        return Target(
            org_id=org.org_id,
            metadata=MetadataApi(connection, org.api_version),
            data=DataApi(connection, org.api_version),
            prover=AppProver(
                org,
                connection,
                lambda: self.masters(org),
                self.workspace.secret,
                clock=clock,
                progress=progress,
                username=username,
            ),
            clock=clock,
            progress=progress,
            limits=Limits(
                until,
                # An emulated org lists a deploy as soon as it has it.
                window=2.0 if org.emulated else 60.0,
                stop=self.stop.is_set,
            ),
        )


def _with_live(
    target: Target, outcome: Outcome, journal: OrgJournal, options: DeployOptions
) -> Outcome:
    """Return an outcome with what became of the org's ref.

    Where nothing was to do, and nobody has verified that yet, it is done now.
    """
    if outcome.result.status == "Unchanged" and not options.check_only:
        if journal.unproven(outcome.plan):
            outcome = deploy.prove(target, outcome)
        verified = outcome.verified.ok if outcome.verified is not None else None
        journal.unchanged(outcome.plan, verified=verified)
    return replace(outcome, live=journal.live)


def _is_connected_app(component: Component) -> bool:
    return component.ref.type == "ConnectedApp"
