"""Runs, as functions: which there were, to their end, canceled, or taken back.

The command line is one caller. What is in the journal is known without any org; a run
of another machine is found in the org, by its id or by that of its deploy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import deploy, keys, planfile, rollback
from metadeploy.api import DEFAULT_WAIT, Goal, Orgs
from metadeploy.deploy import Outcome, Unfinished
from metadeploy.errors import ConfigError, DeployFailed
from metadeploy.journal import Event, Send
from metadeploy.journal import Run as Run
from metadeploy.keys import KeyChoice
from metadeploy.model import DeployOptions, DeployResult, id18
from metadeploy.near import nearest
from metadeploy.orgfile import Org
from metadeploy.plan import Before, Plan
from metadeploy.reading import wait
from metadeploy.reconcile import find_run
from metadeploy.target import Target
from metadeploy.verify import Verified, verify

_DEPLOY_ID = re.compile("0Af[A-Za-z0-9]{12}([A-Z0-5]{3})?")


class Shown(Struct, frozen=True):
    """All that the journal knows of a run. plan: None for one of an older version."""

    run: Run
    plan: Plan | None
    before: Before
    sends: tuple[Send, ...]
    events: tuple[Event, ...]


class Followed(Struct, frozen=True):
    """A deploy that this project's journal does not have, and how the org is now.

    verified: against the templates of now; None where the org was to keep nothing.
    """

    org: str
    result: DeployResult
    verified: Verified | None


class Canceled(Struct, frozen=True):
    """How a deploy ended that was to be canceled; "Canceled" where it was in time."""

    org: str
    run_id: str
    deploy_id: str
    status: str


class Runs:
    """The runs of a project's orgs."""

    def __init__(self, orgs: Orgs) -> None:
        self._orgs = orgs

    def list(self, names: Iterable[str] = ()) -> tuple[Run, ...]:
        """Return the runs of these orgs, or of all, the newest first."""
        found = self._orgs.journal().runs()
        wanted = set(names)
        return tuple(r for r in found if not wanted or r.intent.org in wanted)

    def show(self, run_id: str) -> Shown:
        """Return what is known of a run. Raises ConfigError where nothing is."""
        journal, run = self._orgs.journal(), self._run(run_id)
        return Shown(
            run,
            self._plan(run) if journal.plan(run.id) else None,
            journal.before(run.id),
            journal.sends(run.id),
            journal.events(run.id),
        )

    def open(self, name: str) -> tuple[Run, ...]:
        """Return the runs of an org that have to be taken to their end, oldest first.

        By the org's Id: it may have had another name.
        """
        org_id = self._orgs.org_id(self._orgs.project.org(name))
        runs = self._orgs.journal().runs(org_id)
        return tuple(run for run in reversed(runs) if run.open)

    def resume(
        self,
        name: str,
        run_id: str,
        *,
        timeout: float = DEFAULT_WAIT,
        lock_timeout: float = 0.0,
    ) -> Outcome | Followed | None:
        """Take a run to its end; None where it has come to it already.

        run_id: of the run, or of its deploy. Raises what `deploy.deploy` does, and
        OrgBusy while another process is at it.
        """
        org = self._orgs.project.org(name)
        until = time.monotonic() + timeout
        org_id, progress = self._orgs.org_id(org), self._orgs.progress(name)
        with self._orgs.alone(org_id, timeout=lock_timeout, progress=progress):
            run = self._orgs.journal().run(run_id)
            target = self._orgs.target(org, until=until)
            if run is None:
                return self._follow(org, target, run_id)
            return self._resumed(org, target, run) if run.open else None

    def _resumed(self, org: Org, target: Target, run: Run) -> Outcome:
        plan, undoes = self._plan(run), run.intent.undoes
        goal = self._goal_back(org, undoes) if undoes else Goal(plan.wanted)
        options = DeployOptions(
            check_only=run.intent.check_only,
            test_level=run.intent.test_level or None,  # type: ignore[arg-type]
        )
        sends = self._orgs.journal().sends(run.id)
        journal = self._orgs.org_journal(undoes)
        outcome = deploy.resume(
            target,
            Unfinished(run.id, plan, options, sends),
            journal,
            lambda: self._orgs.master(org),
            replan=lambda: self._orgs.plan_of(target, goal, frozenset()),
        )
        return replace(outcome, live=journal.live)

    def _follow(self, org: Org, target: Target, run_id: str) -> Followed:
        """Wait for a deploy that another machine sent, and compare."""
        deploy_id = self._in_the_org(target, run_id)
        result = wait(target, deploy_id, until=target.limits.until)
        if not result.success or result.status != "Succeeded":
            what = f"org {org.name}: deploy {deploy_id} ended {result.status}"
            raise DeployFailed(result, what)
        if result.check_only:
            return Followed(org.name, result, None)
        wanted = self._orgs.project.wanted(org)
        return Followed(org.name, result, verify(target, wanted))

    def _in_the_org(self, target: Target, run_id: str) -> str:
        if _DEPLOY_ID.fullmatch(run_id):
            return id18(run_id)
        deploy_id = find_run(target, run_id)
        if deploy_id is None:
            like = self._like(run_id)
            raise ConfigError(
                f"neither the journal nor the org has a run {run_id}",
                hint=(f"Did you mean {like}? " if like else "")
                + "`metadeploy runs list` shows those of this machine; an id of a"
                " deploy (0Af…) is taken too.",
            )
        return deploy_id

    def cancel(
        self, name: str, run_id: str, *, timeout: float = DEFAULT_WAIT
    ) -> Canceled:
        """Have the org cancel a run's deploy, if it still can.

        It does not wait for another process that polls it: that one sees it end.
        Raises ConfigError where there is nothing to cancel.
        """
        org = self._orgs.project.org(name)
        run = self._orgs.journal().run(run_id)
        target = self._orgs.target(org, until=time.monotonic() + timeout)
        if run is None:
            deploy_id, id_ = self._in_the_org(target, run_id), ""
        else:
            deploy_id, id_ = self._cancelable(run), run.id
        journal = self._orgs.org_journal()
        status = deploy.cancel(target, id_, deploy_id, journal if run else None)
        return Canceled(name, id_, deploy_id, status)

    def _cancelable(self, run: Run) -> str:
        last = self._orgs.journal().sends(run.id)[-1:]
        if run.open and last and last[0].deploy_id and not last[0].status:
            return last[0].deploy_id
        if not run.open:
            raise ConfigError(
                f"run {run.id} is over: {run.status}",
                hint=f"`metadeploy rollback {run.intent.org}` takes back what it did.",
            )
        raise ConfigError(
            f"run {run.id} is {run.status}: it has no deploy that could be canceled",
            hint=f"`metadeploy runs resume {run.intent.org}` takes it to its end;"
            " `metadeploy rollback` takes back what it did.",
        )

    # -- the way back

    def newest(self, name: str) -> str:
        """Return the id of the last run of an org that can be taken back.

        Raises ConfigError where there is none.
        """
        org_id = self._orgs.org_id(self._orgs.project.org(name))
        runs = self._orgs.journal().runs(org_id)
        undone = {r.intent.undoes for r in runs if r.status == "Verified"}
        for run in runs:
            if _changed(run) and not run.intent.undoes and run.id not in undone:
                return run.id
        raise ConfigError(
            f"org {name} has no run here that could be taken back",
            hint=f"`metadeploy runs list {name}` shows what ran.",
        )

    def goal_back(self, name: str, run_id: str) -> Goal:
        """Return what an org was like before a run. Raises ConfigError."""
        return self._goal_back(self._orgs.project.org(name), run_id)

    def plan_back(self, goal: Goal, *, allowed: frozenset[str] = frozenset()) -> Plan:
        """Return what would take a run back; nothing is changed."""
        target = self._orgs.target(self._orgs.project.org(goal.wanted.org))
        return self._orgs.plan_of(target, goal, allowed | rollback.ALLOWED)

    def _goal_back(self, org: Org, run_id: str) -> Goal:
        run = self._run(run_id)
        if run.intent.org_id != self._orgs.org_id(org):
            raise ConfigError(
                f"run {run.id} was of org {run.intent.org} ({run.intent.org_id})",
                hint=f"`metadeploy rollback {run.intent.org} {run.id}` takes it back.",
            )
        if not _changed(run):
            raise ConfigError(
                f"run {run.id} is {run.status}: there is nothing to take back",
                hint=f"`metadeploy runs show {run.id}` tells what happened.",
            )
        journal, plan = self._orgs.journal(), self._plan(run)
        masters = self._orgs.masters

        def choice(app: str, key: str) -> KeyChoice:
            said = plan.wanted.keys.get(app, KeyChoice())
            known = keys.recognise(masters(org), run.intent.org_id, app, said, key)
            derived = known.origin == "derived"
            return KeyChoice(known.generation, "" if derived else key)

        wanted = rollback.wanted_before(
            plan, journal.before(run.id), journal.recorded_before(run.id), choice
        )
        return Goal(wanted, run.id, plan.wanted.components, frozenset(plan.replaced))

    def _run(self, run_id: str) -> Run:
        run = self._orgs.journal().run(run_id)
        if run is None:
            like = self._like(run_id)
            listed = "`metadeploy runs list` shows those that it has."
            raise ConfigError(
                f"the journal has no run {run_id}",
                hint=f"Did you mean {like}? {listed}" if like else listed,
            )
        return run

    def _like(self, run_id: str) -> str:
        """Return the newest run whose id begins so, or one that is like it; or ""."""
        ids = [run.id for run in self._orgs.journal().runs()]
        begun = next((i for i in ids if run_id and i.startswith(run_id.lower())), "")
        return begun or nearest(run_id, ids, cutoff=0.75)

    def _plan(self, run: Run) -> Plan:
        text = self._orgs.journal().plan(run.id)
        if not text:
            raise ConfigError(
                f"run {run.id} is of a version that kept no plan",
                hint=f"`metadeploy runs show {run.id}` tells what is known of it.",
            )
        return planfile.loads(text)[0]


def _changed(run: Run) -> bool:
    """Tell whether a run may have changed its org, and nobody is at it any more."""
    changed = run.status in ("Verified", "Unverified")
    return changed and not run.intent.check_only
