"""The flow of a deploy: send a plan's package, settle access, verify, record.

Every edge arrives as an argument. Only this module knows the order of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import externalapp, package
from metadeploy.classify import kept_nothing
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import (
    ConfigError,
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    OutOfTime,
    PlanRefused,
    StalePlan,
    Stopped,
    Unverified,
)
from metadeploy.failpoint import reach
from metadeploy.live import Live
from metadeploy.model import Component, DeployOptions, DeployResult, Ref, Secret
from metadeploy.plan import Plan, make_plan
from metadeploy.reading import passes, read_actual, resolve_names, wait
from metadeploy.sending import NOTHING_SENT, Sender, Sent
from metadeploy.target import Journal, Target
from metadeploy.verify import Verified, settle_access, verify
from metadeploy.wanted import Wanted

_OPTIONS = DeployOptions()
# How long a new app may take to be usable (observed: 2 to 10 minutes).
_NEW_APP_SECONDS = 600.0
_NOTHING_TO_DO = DeployResult(id="", status="Unchanged", done=True, success=True)


class Outcome(Struct, frozen=True):
    """How a run of a plan ended.

    result: the org's own; its status is "Unchanged" where nothing was to do. repaired:
    access that the deploy did not bring about and records did. verified: None where
    nothing was changed, or to be proven. own_keys: new apps whose key the org made
    itself. live: what became of the ref that tells which commit the org has; None where
    nothing did.
    """

    plan: Plan
    run_id: str
    result: DeployResult
    repaired: tuple[AccessChange, ...]
    verified: Verified | None
    own_keys: tuple[str, ...] = ()
    live: Live | None = None


def deploy(
    target: Target,
    plan: Plan,
    journal: Journal,
    master: Callable[[], Secret],
    *,
    options: DeployOptions = _OPTIONS,
) -> Outcome:
    """Run a plan: send its package, settle access, verify, record.

    master: asked for only when the plan creates an app whose key is derived.
    Raises PlanRefused before anything is sent, and DeployFailed when the org kept
    nothing. DeployTimeout, LostAnswer and Unverified leave the run open in the
    journal, for `resume`; any other error ends it as NotSent, or as Unverified once
    the org has what was sent.
    """
    if plan.refusals:
        raise PlanRefused(str(r) for r in plan.refusals)
    if plan.empty:
        return unchanged(plan)
    digest = package.digest(plan.files(plan.package))
    run_id = journal.begin(plan, digest, options)
    reach("begun")
    return _Run(plan, Sender(target, journal, run_id, options, master)).begin()


def unchanged(plan: Plan) -> Outcome:
    """Return the outcome of a plan that has nothing to do."""
    return Outcome(plan, "", _NOTHING_TO_DO, (), None)


def prove(target: Target, outcome: Outcome) -> Outcome:
    """Verify an org that nothing had to be done in, as after a deploy."""
    wanted = outcome.plan.wanted
    verified = verify(target, wanted, wait_for_apps=_NEW_APP_SECONDS)
    return replace(outcome, verified=verified)


class Unfinished(Struct, frozen=True):
    """A run that is open in the journal. sends: its packages, in order."""

    run_id: str
    plan: Plan
    options: DeployOptions
    sends: tuple[Sent, ...]


def resume(
    target: Target,
    unfinished: Unfinished,
    journal: Journal,
    master: Callable[[], Secret],
    *,
    replan: Callable[[], Plan],
) -> Outcome:
    """Take a run to its end from wherever it stopped; raises what `deploy` does.

    What the org has is never sent again. replan: returns the plan as it would be
    made now; where nothing was sent yet, the run goes on only if that is the same, and
    StalePlan ends it as NotSent otherwise.
    """
    run_id, plan = unfinished.run_id, unfinished.plan
    run = _Run(plan, Sender(target, journal, run_id, unfinished.options, master))
    done = any(s.status == "Succeeded" for s in unfinished.sends)
    last = unfinished.sends[-1] if unfinished.sends else None
    with run.settling(done):
        result = None if last is None else run.result_of(last, done)
    if result is not None:
        return run.complete(result)
    if done:
        return run.complete(NOTHING_SENT)
    now = replan()
    if _is_rest_of(now, plan):
        run.plan = replace(now, refusals=())
        return run.complete(NOTHING_SENT)
    if now.fingerprint != plan.fingerprint:
        journal.finish(run_id, "NotSent")
        raise StalePlan(
            f"nothing of run {run_id} was sent, and org {plan.wanted.org} is not as it"
            " was when it was planned"
        )
    run.plan = replace(now, refusals=())
    return run.begin()


def _is_rest_of(now: Plan, plan: Plan) -> bool:
    """Tell whether a plan is what is left of one that gives access by records alone.

    No package tells how far such a run came: what it did is not in the plan any more.
    """
    sends = plan.package or plan.deleted or now.package or now.deleted
    return not sends and set(now.access_changes) <= set(plan.access_changes)


def cancel(target: Target, run_id: str, deploy_id: str, journal: Journal | None) -> str:
    """Ask the org to cancel a run's deploy, and return how the deploy ended.

    "Canceled" where it was in time; the run then is over, as it is when the deploy has
    failed. One that has succeeded stays open: it is to be taken to its end, or back.
    journal: None where it does not have the run. Raises DeployTimeout, LostAnswer.
    """
    try:
        target.metadata.cancel_deploy(deploy_id)
    except MetadeployError as error:
        # It may be over already, or the answer be lost: its status tells.
        target.progress.step(f"{error.message}; asking how it went")
    result = wait(target, deploy_id, until=target.limits.until)
    if journal is not None:
        journal.ended(run_id, result.status)
        if result.status != "Succeeded":
            journal.finish(run_id, result.status)
    return result.status


def _joined(first: DeployResult, second: DeployResult) -> DeployResult:
    """Return two deploys of one run as one: the later id, what both did."""
    if not second.id:
        return first
    return replace(
        second,
        messages=(*first.messages, *second.messages),
        components_total=first.components_total + second.components_total,
        components_deployed=first.components_deployed + second.components_deployed,
    )


def _phases(plan: Plan) -> tuple[tuple[Component, ...], bool]:
    """Return what is sent first, and whether more follows.

    The policies of an External Client App that is only now created come after it: the
    org makes them itself, under its own names, and policies that arrive before the
    OAuth settings have broken orgs' Setup pages (observed).
    """
    created = {c.ref for c in plan.changes if c.action is Action.CREATE}
    apps = {r.full_name for r in created if r.type == externalapp.HEADER}
    first = tuple(
        c
        for c in plan.package
        if c.ref.type not in externalapp.POLICIES or externalapp.app_of(c) not in apps
    )
    return first, len(first) < len(plan.package)


class _Run(Struct):
    """One run at work: what follows what, and what an error means for the journal."""

    plan: Plan
    sender: Sender

    def begin(self) -> Outcome:
        """Send the plan's package, and do all that follows."""
        first, _ = _phases(self.plan)
        with self.settling(False):
            result = self.sender.send(self.plan, first)
        return self.complete(result)

    def result_of(self, last: Sent, done: bool) -> DeployResult | None:
        """Return how the last package went; None where the org does not have it.

        done: an earlier one succeeded; then it was a part of the plan, and nobody
        noted which.
        """
        first, _ = _phases(self.plan)
        return self.sender.result_of(self.plan, () if done else first, last)

    @contextmanager
    def settling(self, done: bool) -> Iterator[None]:
        """Write down what an error in sending means for the run.

        done: the org has taken an earlier package, so it is not as before.
        """
        try:
            yield
        except DeployFailed as error:
            odd = error.result.status == "Succeeded"
            status = "Failed" if odd else error.result.status
            partly = not kept_nothing(error.result)
            if done or partly:
                status = "Unverified"
            if partly:
                org = self.plan.wanted.org
                error.hint = f"`metadeploy plan {org}` shows what the org has of it."
            with suppress(ConfigError):  # then the run stays open
                self._finish(status)
            raise
        except DeployTimeout as error:
            error.hint = self._go_on()
            raise
        except LostAnswer as error:
            self._note("Unknown", error.message)
            error.hint = self._go_on()
            raise
        except MetadeployError:
            with suppress(ConfigError):
                self._finish("Unverified" if done else "NotSent")
            raise

    def complete(self, result: DeployResult) -> Outcome:
        """Do what follows a deploy that went well: policies, access, proof, record."""
        reach("deployed")
        run_id = self.sender.run_id
        if self.sender.options.check_only:
            self._finish("Checked")
            return Outcome(self.plan, run_id, result, (), None)
        target = self.sender.target
        try:
            result, wanted, repaired = self._rest(result)
            reach("settled")
            verified = verify(target, wanted, wait_for_apps=_NEW_APP_SECONDS)
        except MetadeployError as error:
            self._incomplete(result, error)
            raise
        reach("verified")
        try:
            if verified.ok:
                self._finish("Verified", wanted.components, wanted.absent)
            else:
                self._finish("Unverified")
        except ConfigError as error:
            what = f"deployed and verified, but {error.message}"
            raise Unverified(what, hint=self._go_on()) from error
        reach("finished")
        own = sorted(self.sender.sent_keys.items() - verified.consumer_keys.items())
        own_keys = tuple(app for app, _ in own)
        return Outcome(self.plan, run_id, result, repaired, verified, own_keys)

    def _rest(
        self, result: DeployResult
    ) -> tuple[DeployResult, Wanted, tuple[AccessChange, ...]]:
        target, wanted = self.sender.target, self.plan.wanted
        if _phases(self.plan)[1]:
            wanted = resolve_names(target, wanted)
            rest = make_plan(read_actual(target, wanted), wanted)
            result = _joined(result, self.sender.send(rest, rest.package))
        return result, wanted, settle_access(target, wanted)

    def _incomplete(self, result: DeployResult, error: MetadeployError) -> None:
        """Say what is left of a run whose deploy has succeeded."""
        done = f"Deploy {result.id} had succeeded by then. " if result.id else ""
        if passes(error) or isinstance(error, OutOfTime | Stopped):
            self._note("Deployed", error.message)
            hint = f"{done}{self._go_on()}"
            raise Unverified(error.message, hint=hint) from error
        with suppress(ConfigError):
            self._finish("Unverified")
        look = f"`metadeploy plan {self.plan.wanted.org}` shows what is left to do."
        error.hint = f"{done}{look}"

    def _go_on(self) -> str:
        org, run_id = self.plan.wanted.org, self.sender.run_id
        return f"`metadeploy runs resume {org}` goes on from here (run {run_id})."

    def _note(self, status: str, detail: str) -> None:
        # What went wrong matters more than that it cannot be written down.
        with suppress(ConfigError):
            self.sender.journal.note(self.sender.run_id, status, detail)

    def _finish(
        self, status: str, recorded: Iterable[Component] = (), gone: Iterable[Ref] = ()
    ) -> None:
        self.sender.journal.finish(self.sender.run_id, status, recorded, gone)
