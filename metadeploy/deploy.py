"""The flow of a deploy: send a plan's package, settle access, verify, record.

Every edge arrives as an argument. Only this module knows the order of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import externalapp, keys, package, schema, xmlfile
from metadeploy.classify import Fate, fate, was_locked_out
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    OutOfTime,
    PlanRefused,
    StalePlan,
    Stopped,
    Unreachable,
    Unverified,
)
from metadeploy.failpoint import reach
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployOptions,
    DeployResult,
    Ref,
    Secret,
)
from metadeploy.plan import Plan, locate, make_plan
from metadeploy.reading import passes, patiently, read_actual, resolve_names, wait
from metadeploy.reconcile import Question, find, folder_of
from metadeploy.target import Journal, Target
from metadeploy.verify import Verified, settle_access, verify
from metadeploy.wanted import Wanted

_OPTIONS = DeployOptions()
# How long a new app may take to be usable (observed: 2 to 10 minutes).
_NEW_APP_SECONDS = 600.0
# Seconds before a package is sent again that the org did not take.
_NOT_TAKEN = (1.0, 5.0, 15.0)
# The same where somebody else's change held it up (as Salesforce's own tests wait).
_LOCKED_OUT = (15.0, 30.0, 45.0)


class Outcome(Struct, frozen=True):
    """How a run of a plan ended.

    result: the org's own; its status is "Unchanged" where nothing was to do. repaired:
    access that the deploy did not bring about and records did. verified: None where
    nothing was changed. own_keys: new apps whose key the org made itself.
    """

    plan: Plan
    run_id: str
    result: DeployResult
    repaired: tuple[AccessChange, ...]
    verified: Verified | None
    own_keys: tuple[str, ...] = ()


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
    return _Run(target, journal, run_id, plan, options, master).begin()


def unchanged(plan: Plan) -> Outcome:
    """Return the outcome of a plan that has nothing to do."""
    return Outcome(plan, "", _NOTHING_TO_DO, (), None)


class Sent(Protocol):
    """One package of a run, as the journal has it (see `journal.Send`)."""

    @property
    def number(self) -> int: ...
    @property
    def known(self) -> tuple[str, ...]: ...
    @property
    def deploy_id(self) -> str | None: ...
    @property
    def status(self) -> str: ...


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
    run = _Run(target, journal, run_id, plan, unfinished.options, master)
    done = any(s.status == "Succeeded" for s in unfinished.sends)
    last = unfinished.sends[-1] if unfinished.sends else None
    with run.settling(done):
        result = None if last is None else run.result_of(last, done)
    if result is not None:
        return run.complete(result)
    if done:
        return run.complete(_NOTHING_SENT)
    now = replan()
    if now.fingerprint != plan.fingerprint:
        journal.finish(run_id, "NotSent")
        raise StalePlan(
            f"nothing of run {run_id} was sent, and org {plan.wanted.org} is not as it"
            " was when it was planned"
        )
    run.plan = replace(now, refusals=())
    return run.begin()


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
    """One run at work: sends its packages, and knows which keys it sent."""

    target: Target
    journal: Journal
    run_id: str
    plan: Plan
    options: DeployOptions
    master: Callable[[], Secret]
    sent_keys: dict[str, str] = field(default_factory=dict)

    def begin(self) -> Outcome:
        """Send the plan's package, and do all that follows."""
        first, _ = _phases(self.plan)
        with self.settling(False):
            result = self._send(self.plan, first)
        return self.complete(result)

    def result_of(self, last: Sent, done: bool) -> DeployResult | None:
        """Return how the last package went; None where the org does not have it.

        done: an earlier one succeeded. Raises DeployFailed, DeployTimeout, LostAnswer.
        """
        if last.status:
            return None  # it is known already
        deploy_id = last.deploy_id
        if deploy_id is None:
            folder = folder_of(self.run_id, last.number)
            refs = frozenset(c.ref for c in self.plan.package)
            if done:  # then it was a part of the plan, and nobody noted which
                refs = frozenset()
            question = Question(folder, refs, self.options.check_only, last.known)
            deploy_id = find(self.target, question)
            if deploy_id is None:
                return None
            self._note_sent(deploy_id)
        result = wait(self.target, deploy_id, until=self.target.limits.until)
        first, _ = _phases(self.plan)
        return self._judged(self.plan, () if done else first, result)

    @contextmanager
    def settling(self, done: bool) -> Iterator[None]:
        """Write down what an error in sending means for the run.

        done: the org has taken an earlier package, so it is not as before.
        """
        org = self.plan.wanted.org
        try:
            yield
        except DeployFailed as error:
            odd = error.result.status == "Succeeded"
            status = "Failed" if odd else error.result.status
            self.journal.finish(self.run_id, "Unverified" if done else status)
            raise
        except DeployTimeout as error:
            error.hint = _go_on(org, self.run_id)
            raise
        except LostAnswer as error:
            self._note("Unknown", error.message)
            error.hint = _go_on(org, self.run_id)
            raise
        except MetadeployError:
            self.journal.finish(self.run_id, "Unverified" if done else "NotSent")
            raise

    def complete(self, result: DeployResult) -> Outcome:
        """Do what follows a deploy that went well: policies, access, proof, record."""
        reach("deployed")
        if self.options.check_only:
            self.journal.finish(self.run_id, "Checked")
            return Outcome(self.plan, self.run_id, result, (), None)
        try:
            result, wanted, repaired = self._rest(result)
            reach("settled")
            verified = verify(self.target, wanted, wait_for_apps=_NEW_APP_SECONDS)
        except MetadeployError as error:
            self._incomplete(result, error)
            raise
        reach("verified")
        self.journal.finish(
            self.run_id,
            "Verified" if verified.ok else "Unverified",
            wanted.components if verified.ok else (),
            wanted.absent if verified.ok else (),
        )
        reach("finished")
        own = sorted(self.sent_keys.items() - verified.consumer_keys.items())
        own_keys = tuple(app for app, _ in own)
        return Outcome(self.plan, self.run_id, result, repaired, verified, own_keys)

    def _rest(
        self, result: DeployResult
    ) -> tuple[DeployResult, Wanted, tuple[AccessChange, ...]]:
        wanted = self.plan.wanted
        if _phases(self.plan)[1]:
            wanted = resolve_names(self.target, wanted)
            rest = make_plan(read_actual(self.target, wanted), wanted)
            result = _joined(result, self._send(rest, rest.package))
        return result, wanted, settle_access(self.target, wanted)

    def _incomplete(self, result: DeployResult, error: MetadeployError) -> None:
        """Say what is left of a run whose deploy has succeeded."""
        org = self.plan.wanted.org
        done = f"Deploy {result.id} had succeeded by then. " if result.id else ""
        if passes(error) or isinstance(error, OutOfTime):
            self._note("Deployed", error.message)
            hint = f"{done}{_go_on(org, self.run_id)}"
            raise Unverified(error.message, hint=hint) from error
        self.journal.finish(self.run_id, "Unverified")
        error.hint = f"{done}`metadeploy plan {org}` shows what is left to do."

    def _note(self, status: str, detail: str) -> None:
        # What went wrong matters more than that it cannot be written down.
        with suppress(ConfigError):
            self.journal.note(self.run_id, status, detail)

    # -- sending

    def _send(self, plan: Plan, package_: tuple[Component, ...]) -> DeployResult:
        """Deploy components, with the keys of the apps that `plan` creates.

        Raises DeployFailed when the org kept nothing.
        """
        if not package_ and not plan.deleted:
            return _NOTHING_SENT
        sent = self._with_keys(plan, package_)
        return self._judged(plan, sent, self._deploy(plan, sent))

    def _judged(
        self, plan: Plan, sent: tuple[Component, ...], result: DeployResult
    ) -> DeployResult:
        """Return a result that is a success; send again without keys it refuses."""
        self.journal.ended(self.run_id, result.status)
        refused = _keys_refused(result, plan)
        if refused:
            # Orgs differ in whether an External Client App may bring a key (observed).
            self.target.progress.step("the org wants to make the key itself")
            sent = tuple(
                keys.without_key(c) if c.ref in refused else c
                for c in self._with_keys(plan, sent)
            )
            self.sent_keys |= {
                k.app: "" for k in plan.new_keys if k.component in refused
            }
            result = self._deploy(plan, sent)
            self.journal.ended(self.run_id, result.status)
        if not (result.done and result.success and result.status == "Succeeded"):
            # Whatever it is called, it is no success.
            text = _failure(plan.wanted.org, sent, result)
            for ref in plan.replaced:
                # rollbackOnError is always sent: the deletion is undone too.
                text += (
                    f"\nThe org kept {ref} with its old key: nothing was interrupted."
                )
            raise DeployFailed(result, text)
        return result

    def _deploy(self, plan: Plan, sent: tuple[Component, ...]) -> DeployResult:
        """Send a package until somebody else's lock does not hold it up any more."""
        clock, until = self.target.clock, self.target.limits.until
        self.target.progress.step(f"deploying {len(sent)} components")
        result = wait(self.target, self._sent(plan, sent), until=until)
        for pause in _LOCKED_OUT:
            if not was_locked_out(result) or clock.now() + pause > until:
                break
            self.journal.ended(self.run_id, result.status)
            self.target.progress.step(
                f"somebody else is changing the org; again in {pause:.0f} s"
            )
            clock.sleep(pause)
            result = wait(self.target, self._sent(plan, sent), until=until)
        return result

    def _sent(self, plan: Plan, sent: tuple[Component, ...]) -> str:
        """Have the org take a package, once; return the deploy's id.

        Raises LostAnswer when nobody knows whether it has it, Stopped, and else what
        kept the org from taking it.
        """
        files = plan.files(sent)
        digest, refs = package.digest(files), frozenset(c.ref for c in sent)
        for pause in _NOT_TAKEN:
            if self.target.limits.stop():
                raise Stopped("told to stop before the package was sent")
            known = self._known()
            number = self.journal.sending(self.run_id, digest, known)
            reach("sending")
            folder = folder_of(self.run_id, number)
            zip_bytes = package.zip_files(files, folder)
            try:
                deploy_id = self.target.metadata.deploy(zip_bytes, self.options)
            except MetadeployError as error:
                reach("answer lost")
                why, found = error, None
                kind = fate(error)
                if kind is Fate.REFUSED:
                    raise
                if kind is Fate.UNKNOWN:
                    check_only = self.options.check_only
                    question = Question(folder, refs, check_only, known)
                    found = find(self.target, question)
            else:
                found = deploy_id
            reach("answered")
            if found is not None:
                self._note_sent(found)
                return found
            if self.target.clock.now() + pause > self.target.limits.until:
                break
            self.target.progress.step(f"{why.message}; sending it again")
            self.target.clock.sleep(pause)
        raise Unreachable(f"the org did not take the package: {why.message}") from why

    def _known(self) -> tuple[str, ...]:
        try:
            return tuple(d.id for d in patiently(self.target, self.target.data.deploys))
        except ApiFault:
            return ()  # nobody may look: a lost answer will stay unknown

    def _note_sent(self, deploy_id: str) -> None:
        try:
            self.journal.sent(self.run_id, deploy_id)
        except ConfigError as error:
            # The org is at work: whoever goes on needs the id.
            raise LostAnswer(error.message) from error
        reach("sent")

    def _with_keys(
        self, plan: Plan, package_: tuple[Component, ...]
    ) -> tuple[Component, ...]:
        new = {k.component: k for k in plan.new_keys}
        sent: list[Component] = []
        for component in package_:
            key = new.get(component.ref)
            if key is not None:
                org_id = plan.facts.org_id
                secret = Secret("") if key.choice.pinned else self.master()
                made = keys.credentials(secret, org_id, key.app, key.choice)
                component = keys.with_key(component, made)
                self.sent_keys[key.app] = made.consumer_key
            sent.append(component)
        return tuple(sent)


def _go_on(org: str, run_id: str) -> str:
    return f"`metadeploy runs resume {org}` goes on from here (run {run_id})."


def _keys_refused(result: DeployResult, plan: Plan) -> frozenset[Ref]:
    """Return the components whose key the org refuses though it has no such app."""
    new = {k.component for k in plan.new_keys if k.component not in plan.replaced}
    refused = {
        Ref(m.component_type, m.full_name)
        for m in result.messages
        if not m.success and "You cannot provide a Consumer Key" in m.problem
    }
    return frozenset(new & refused)


# What a plan that changes access only, by records, has for a deploy.
_NOTHING_SENT = DeployResult(id="", status="Succeeded", done=True, success=True)
_NOTHING_TO_DO = DeployResult(id="", status="Unchanged", done=True, success=True)


def _failure(org: str, sent: Iterable[Component], result: DeployResult) -> str:
    """Say which component failed, where in its template, in the platform's words."""
    sources = {c.ref: c.source for c in sent}
    bodies = {c.ref: c.body for c in sent}
    lines = [f"org {org}: deploy {result.id} ended {result.status}"]
    if result.error_message:
        lines.append(result.error_message)
    for message in result.messages:
        if not message.success:
            ref = Ref(message.component_type, message.full_name)
            # The org names Settings and parts of a file by types of their own.
            file = schema.ref_of(message.file_name) or ref
            line = message.line or _line_of(message.problem, bodies.get(file, b""))
            where = locate(sources, file, line)
            place = f"{where}: " if where else ""
            lines.append(f"{place}{str(ref).strip()}: {message.problem}")
    return "\n".join(lines)


_DANGLING = re.compile(r"In field: (\w+) - no \w+ named (.+) found")


def _line_of(problem: str, body: bytes) -> int:
    """Return the line that a dangling reference is on, 0 where none is found.

    The platform names field and value, but not the line.
    """
    match = _DANGLING.search(problem)
    if match is None:
        return 0
    for element in xmlfile.parse(body or b"<x/>").iter(f"{{{METADATA_NS}}}{match[1]}"):
        if xmlfile.text_of(element).strip() == match[2]:
            return element.sourceline or 0
    return 0
