"""The flow of a deploy: send a plan's package, settle access, verify, record.

Every edge arrives as an argument. Only this module knows the order of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import externalapp, keys, package, schema, xmlfile
from metadeploy.diff import AccessChange, Action
from metadeploy.errors import (
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    PlanRefused,
)
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployOptions,
    DeployResult,
    Ref,
    Secret,
)
from metadeploy.plan import Plan, locate, make_plan
from metadeploy.reading import read_actual, resolve_names, wait
from metadeploy.target import Journal, Target
from metadeploy.verify import Verified, settle_access, verify

_OPTIONS = DeployOptions()
# How long a new app may take to be usable (observed: 2 to 10 minutes).
_NEW_APP_SECONDS = 600.0


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
    timeout: float = 1980.0,
) -> Outcome:
    """Run a plan: send its package, settle access, verify, record.

    master: asked for only when the plan creates an app whose key is derived.
    timeout: seconds for the deploy itself. Raises PlanRefused before anything is
    sent, DeployFailed when the org kept nothing, DeployTimeout and LostAnswer when
    nobody knows yet; the journal then has the run as Intended or Sent. Any other
    error ends it as NotSent, or as Unverified once the org has what was sent.
    """
    if plan.refusals:
        raise PlanRefused(str(r) for r in plan.refusals)
    if plan.empty:
        return Outcome(plan, "", _NOTHING_TO_DO, (), None)
    version = plan.wanted.api_version
    files = package.files(plan.package, version, deleted_first=plan.replaced)
    digest = package.digest(files)
    run_id = journal.begin(plan, digest, check_only=options.check_only)
    sender = _Sender(target, journal, run_id, options, timeout)
    first, later = _phases(plan)
    try:
        result = sender.send(plan, first, master)
    except (DeployFailed, LostAnswer):
        raise
    except MetadeployError:
        if not sender.sent:
            journal.finish(run_id, "NotSent")
        raise
    if options.check_only:
        journal.finish(run_id, "Checked")
        return Outcome(plan, run_id, result, (), None)
    wanted = plan.wanted
    try:
        if later:
            wanted = resolve_names(target, wanted)
            rest = make_plan(read_actual(target, wanted), wanted)
            result = _joined(result, sender.send(rest, rest.package, master))
        repaired = settle_access(target, wanted)
        verified = verify(target, wanted, wait_for_apps=_NEW_APP_SECONDS)
    except MetadeployError as error:
        if not isinstance(error, DeployFailed | DeployTimeout):
            journal.finish(run_id, "Unverified")
        done = f"Deploy {result.id} had succeeded by then. " if result.id else ""
        error.hint = f"{done}`metadeploy plan {wanted.org}` shows what is left to do."
        raise
    journal.finish(
        run_id,
        "Verified" if verified.ok else "Unverified",
        wanted.components if verified.ok else (),
    )
    own = tuple(sorted(sender.sent_keys.items() - verified.consumer_keys.items()))
    own_keys = tuple(app for app, _ in own)
    return Outcome(plan, run_id, result, repaired, verified, own_keys)


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


class _Sender(Struct):
    """Sends the packages of one run, and knows which keys it sent."""

    target: Target
    journal: Journal
    run_id: str
    options: DeployOptions
    timeout: float
    sent: bool = False
    sent_keys: dict[str, str] = field(default_factory=dict)

    def send(
        self, plan: Plan, package_: tuple[Component, ...], master: Callable[[], Secret]
    ) -> DeployResult:
        """Deploy components, with the keys of the apps that `plan` creates.

        Raises DeployFailed when the org kept nothing.
        """
        if not package_:
            return _NOTHING_SENT
        sent = self._with_keys(plan, package_, master)
        result = self._deploy(plan, sent)
        refused = _keys_refused(result, plan)
        if refused:
            # Orgs differ in whether an External Client App may bring a key (observed).
            self.target.progress.step("the org wants to make the key itself")
            for key in plan.new_keys:
                if key.component in refused:
                    self.sent_keys[key.app] = ""
            sent = tuple(keys.without_key(c) if c.ref in refused else c for c in sent)
            result = self._deploy(plan, sent)
        if not (result.done and result.success and result.status == "Succeeded"):
            # Whatever it is called, it is no success.
            odd = result.status == "Succeeded"
            self.journal.finish(self.run_id, "Failed" if odd else result.status)
            text = _failure(plan.wanted.org, sent, result)
            for ref in plan.replaced:
                # rollbackOnError is always sent: the deletion is undone too.
                text += (
                    f"\nThe org kept {ref} with its old key: nothing was interrupted."
                )
            raise DeployFailed(result, text)
        return result

    def _deploy(self, plan: Plan, sent: tuple[Component, ...]) -> DeployResult:
        self.target.progress.step(f"deploying {len(sent)} components")
        version = plan.wanted.api_version
        files = package.files(sent, version, deleted_first=plan.replaced)
        zip_bytes = package.zip_files(files)
        deploy_id = self.target.metadata.deploy(zip_bytes, self.options)
        self.sent = True
        self.journal.sent(self.run_id, deploy_id)
        return wait(self.target, deploy_id, timeout=self.timeout)

    def _with_keys(
        self, plan: Plan, package_: tuple[Component, ...], master: Callable[[], Secret]
    ) -> tuple[Component, ...]:
        new = {k.component: k for k in plan.new_keys}
        sent: list[Component] = []
        for component in package_:
            key = new.get(component.ref)
            if key is not None:
                org_id = plan.facts.org_id
                secret = Secret("") if key.choice.pinned else master()
                made = keys.credentials(secret, org_id, key.app, key.choice)
                component = keys.with_key(component, made)
                self.sent_keys[key.app] = made.consumer_key
            sent.append(component)
        return tuple(sent)


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
