"""The flow: read an org, plan, deploy, settle access, verify, record.

Every edge arrives as an argument. Only this module knows the order of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import externalapp, installed, keys, lockdown, package, schema, xmlfile
from metadeploy.access import raise_access
from metadeploy.diff import AccessChange, Action, Change, access_changes
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    PlanRefused,
    StalePlan,
    Unreachable,
)
from metadeploy.lockdown import Survey
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployOptions,
    DeployResult,
    Manifest,
    Ref,
    Secret,
    id18,
)
from metadeploy.plan import (
    Actual,
    OrgFacts,
    Plan,
    Refusal,
    Risk,
    locate,
    make_plan,
    renamed,
)
from metadeploy.proof import Proof, Prover, subject_of
from metadeploy.wanted import Wanted
from metadeploy.xmlfile import XmlError

_APP_TYPES = {
    "ConnectedApp": "ConnectedApp",
    "ExtlClntAppOauthConfigurablePolicies": "ExternalClientApplication",
    "ExternalClientApplication": "ExternalClientApplication",
}


_OPTIONS = DeployOptions()
# How long a new app may take to be usable (observed: 2 to 10 minutes).
_NEW_APP_SECONDS = 600.0
T = TypeVar("T")


class Clock(Protocol):
    """Time as the flow sees it; tests pass one that does not wait."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Progress(Protocol):
    """Where the flow tells what it is doing, one short sentence a step."""

    def step(self, text: str) -> None: ...
    def deploying(self, result: DeployResult) -> None: ...


class Retrieved(Protocol):
    @property
    def components(self) -> tuple[Component, ...]: ...
    @property
    def messages(self) -> tuple[str, ...]: ...


class FileProperties(Protocol):
    @property
    def ref(self) -> Ref: ...
    @property
    def id(self) -> str: ...
    @property
    def created(self) -> str: ...


class MetadataApi(Protocol):
    """The Metadata API calls that the flow makes (see `metadata_api`)."""

    def deploy(self, zip_bytes: bytes, options: DeployOptions) -> str: ...
    def check_deploy_status(self, deploy_id: str) -> DeployResult: ...
    def retrieve(self, manifest: Manifest) -> str: ...
    def check_retrieve_status(self, retrieve_id: str) -> Retrieved | None: ...
    def list_metadata(self, types: Iterable[str]) -> tuple[FileProperties, ...]: ...


class DataApi(Protocol):
    """The records that the flow reads and writes (see `data_api`)."""

    def facts(self) -> OrgFacts: ...
    def holders(self, app_ids: Iterable[str]) -> dict[str, dict[Ref, str]]: ...
    def parent_id(self, holder: Ref) -> str: ...
    def app_id(self, app: str) -> str | None: ...
    def app_names(self) -> tuple[str, ...]: ...
    def survey(self) -> Survey: ...
    def grant(self, parent_id: str, app_id: str) -> None: ...
    def revoke(self, row_id: str) -> None: ...


class Journal(Protocol):
    """Where a run is written down, bound to one org (see `journal`)."""

    def begin(self, plan: Plan, package_digest: str, *, check_only: bool) -> str: ...
    def sent(self, run_id: str, deploy_id: str) -> None: ...
    def finish(
        self, run_id: str, status: str, recorded: Iterable[Component] = ()
    ) -> None: ...


class Target(Struct, frozen=True):
    """One org and everything needed to talk to it.

    org_id: pinned by the org file; None where nothing is pinned. prover: how to get
    a token with an app's key.
    """

    org_id: str | None
    metadata: MetadataApi
    data: DataApi
    prover: Prover
    clock: Clock
    progress: Progress


class Verified(Struct, frozen=True):
    """What the org is like after all: differences left, and each app's proof.

    consumer_keys: by app, as the org has them.
    """

    changes: tuple[Change, ...]
    access_changes: tuple[AccessChange, ...]
    proofs: tuple[Proof, ...]
    consumer_keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        refused = any(p.ok is False for p in self.proofs)
        return not self.changes and not self.access_changes and not refused


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


# Faults that pass by themselves (observed; the last one just after Pending).
_PASSING = frozenset(
    {
        "API_CURRENTLY_DISABLED",
        "REQUEST_LIMIT_EXCEEDED",
        "SERVER_UNAVAILABLE",
        "UNABLE_TO_LOCK_ROW",
        "UNKNOWN_EXCEPTION",
        "INVALID_CROSS_REFERENCE_KEY",
    }
)


def _passes(error: MetadeployError) -> bool:
    if isinstance(error, ApiFault):
        return error.code in _PASSING
    return isinstance(error, LostAnswer | Unreachable)


def _patiently(target: Target, read: Callable[[], T]) -> T:
    """Return what a read brings; it changes nothing, so it may be done again."""
    for pause in (1.0, 4.0):
        try:
            return read()
        except MetadeployError as error:
            if not _passes(error):
                raise
            target.progress.step(f"{error.message}; asking again")
        target.clock.sleep(pause)
    return read()


def read_actual(target: Target, wanted: Wanted) -> Actual:
    """Return what the org has of everything that `wanted` speaks of.

    Raises ConfigError when it is not the org that the org file pins.
    """
    target.progress.step("reading the org")
    return _patiently(target, lambda: _read_actual(target, wanted))


def _read_actual(target: Target, wanted: Wanted) -> Actual:
    facts = target.data.facts()
    if target.org_id is not None and id18(target.org_id) != facts.org_id:
        raise ConfigError(
            f"org {wanted.org} is pinned to {target.org_id}, but {facts.org_id}"
            f" ({facts.name}) answers at its URL",
            hint="Nothing was sent. A refreshed sandbox has a new Id: check which org"
            " this is, then set org_id in the org file.",
        )
    refs = {c.ref for c in wanted.components}
    found = [c for c in _retrieve(target, wanted) if c.ref in refs]
    try:
        components = raise_access(found).components
        live = {
            app: key
            for c in components
            if (app := keys.app_of(c)) and (key := keys.key_in(c))
        }
    except XmlError as error:
        raise ApiFault("", f"the org returned bad XML: {error.message}") from error
    holders = holders_of(target, wanted)
    access = {app: frozenset(rows) for app, (_, rows) in holders.items()}
    return Actual(facts, components, access, live)


def _retrieve(target: Target, wanted: Wanted) -> tuple[Component, ...]:
    manifest = package.retrieve_manifest(wanted.components, wanted.api_version)
    return retrieved(target, manifest)


def retrieved(target: Target, manifest: Manifest) -> tuple[Component, ...]:
    """Return what the org has of a manifest, waiting for it up to ten minutes."""
    if not manifest.members:
        return ()
    retrieve_id = target.metadata.retrieve(manifest)
    deadline = target.clock.now() + 600
    for pause in _pauses():
        retrieved = target.metadata.check_retrieve_status(retrieve_id)
        if retrieved is not None:
            return retrieved.components
        if target.clock.now() > deadline:
            raise ApiFault("", f"retrieve {retrieve_id} is not done after 10 minutes")
        target.clock.sleep(pause)
    raise AssertionError("pauses never end")


def _pauses() -> Iterable[float]:
    """Yield seconds between polls: 1, then slowly up to 10 (Metadata API guide)."""
    pause = 1.0
    while True:
        yield pause
        pause = min(pause * 1.5, 10.0)


def holders_of(target: Target, wanted: Wanted) -> dict[str, tuple[str, dict[Ref, str]]]:
    """Return each app of `wanted.access` that the org has: its id, who may use it."""
    if not wanted.access:
        return {}
    types = {
        _APP_TYPES[c.ref.type] for c in wanted.components if c.ref.type in _APP_TYPES
    }
    listed = target.metadata.list_metadata(sorted(types)) if types else ()
    ids = {f.ref.full_name: f.id for f in listed if f.id}
    for app in wanted.access:
        if app not in ids and not wanted.access[app].owned:
            found = target.data.app_id(app)
            if found is not None:
                ids[app] = found
    known = {app: ids[app] for app in wanted.access if app in ids}
    rows = target.data.holders(known.values())
    return {app: (app_id, rows[app_id]) for app, app_id in known.items()}


def plan(
    target: Target,
    wanted: Wanted,
    recorded: Callable[[str], Iterable[Component]] = lambda org_id: (),
    *,
    allowed: frozenset[str] = frozenset(),
    renewals: Callable[[Actual], frozenset[Ref]] = lambda actual: frozenset(),
) -> Plan:
    """Read the org and return what would make it match; nothing is changed.

    renewals: returns the connected apps that are due for a new key.
    recorded: returns what we last deployed to the org of an 18-character Id. Where a
    new ConnectedApp is wanted, the org is asked by a check-only deploy whether it
    still lets anybody create one.
    """
    wanted = resolve_names(target, wanted)
    actual = read_actual(target, wanted)
    made = make_plan(
        actual,
        wanted,
        recorded(actual.facts.org_id),
        allowed=allowed,
        replaced=renewals(actual),
    )
    found = installed.refusals(target.data, made, actual.access)
    found += _collisions(target, made) or _creation_blocked(target, made)
    risks: tuple[Risk, ...] = ()
    if lockdown.switched_on(made):
        target.progress.step("asking who uses which app")
        risks, locked = lockdown.assess(made, target.data.survey())
        found += tuple(r for r in locked if r.code not in allowed)
    return replace(made, refusals=(*made.refusals, *found), risks=risks)


_OTHER_KIND = {
    "ConnectedApp": externalapp.HEADER,
    externalapp.HEADER: "ConnectedApp",
}


def _collisions(target: Target, made: Plan) -> tuple[Refusal, ...]:
    """Return a refusal where an app of the same name is there as the other kind."""
    created = [
        c.ref
        for c in made.changes
        if c.action is Action.CREATE and c.ref.type in _OTHER_KIND
    ]
    if not created:
        return ()
    types = sorted({_OTHER_KIND[ref.type] for ref in created})
    listed = {row.ref for row in target.metadata.list_metadata(types)}
    both = [r for r in created if Ref(_OTHER_KIND[r.type], r.full_name) in listed]
    return tuple(
        Refusal(
            "collision",
            f"{made.facts.name} has a {_OTHER_KIND[ref.type]} {ref.full_name} already",
            "",
            "An org cannot have both kinds under one name. Migrate the app in Setup,"
            " which keeps its key and secret, or delete it there; then plan again.",
        )
        for ref in both
    )


_BLOCKED = "You can't create a connected app"


def _creation_blocked(target: Target, made: Plan) -> tuple[Refusal, ...]:
    """Return a refusal where the org lets nobody create connected apps any more."""
    created = {c.ref for c in made.changes if c.action is Action.CREATE}
    apps = [
        c for c in made.package if c.ref.type == "ConnectedApp" and c.ref in created
    ]
    if not apps:
        return ()
    target.progress.step("asking whether connected apps may be created")
    try:
        version = made.wanted.api_version
        files = package.files(apps, version, deleted_first=made.replaced)
        zip_bytes = package.zip_files(files)
        deploy_id = target.metadata.deploy(zip_bytes, DeployOptions(check_only=True))
        # What else the org refuses in it is no news yet: apps are asked for alone.
        result = wait(replace(target, progress=_Silent()), deploy_id, timeout=120)
    except (ApiFault, DeployTimeout, LostAnswer):
        return ()  # it is only asked to warn early; the deploy itself will tell
    blocked = [m.full_name for m in result.messages if _BLOCKED in m.problem]
    if not blocked:
        return ()
    names = ", ".join(sorted(blocked))
    return (
        Refusal(
            "creation-blocked",
            f"{made.facts.name} lets nobody create connected apps ({names})",
            "",
            "Make it an External Client App: say `kind: external_client_app` of it"
            f" under `apps` in the file of org {made.wanted.org}; `metadeploy migrate`"
            " shows what that means. Or have Salesforce support enable the creation.",
        ),
    )


class _Silent:
    def step(self, text: str) -> None:
        """Say nothing."""

    def deploying(self, result: DeployResult) -> None:
        """Say nothing."""


def resolve_names(target: Target, wanted: Wanted) -> Wanted:
    """Return `wanted` with External Client App files under the org's own names.

    An org makes policy files by itself, under names of its choosing, and refuses a
    second one for the same app (observed); so they are updated where they are.
    """
    return _patiently(target, lambda: _resolve_names(target, wanted))


def _resolve_names(target: Target, wanted: Wanted) -> Wanted:
    parts = {c.ref: externalapp.app_of(c) for c in wanted.components}
    ours = {ref: app for ref, app in parts.items() if app}
    if not ours:
        return wanted
    types = sorted({ref.type for ref in ours})
    listed: set[Ref] = set()
    for start in range(0, len(types), 3):
        found = target.metadata.list_metadata(types[start : start + 3])
        listed |= {f.ref for f in found}
    strangers = [
        ref
        for ref in sorted(listed - ours.keys())
        if ref.full_name.startswith(tuple(set(ours.values())))
    ]
    owners = {
        (c.ref.type, externalapp.app_of(c)): c.ref
        for c in retrieved(target, Manifest.of(strangers, wanted.api_version))
    }
    names = {
        ref: owners[ref.type, app]
        for ref, app in ours.items()
        if ref not in listed and (ref.type, app) in owners
    }
    return renamed(wanted, names)


def check_fresh(planned: Plan, now: Plan) -> None:
    """Raise StalePlan unless `now`, made from the same wanted state, is `planned`."""
    if planned.fingerprint != now.fingerprint:
        raise StalePlan(
            f"org {planned.wanted.org} is not as it was when the plan was made"
            f" (fingerprint {planned.fingerprint[:12]}, now {now.fingerprint[:12]})"
        )


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


def wait(target: Target, deploy_id: str, *, timeout: float) -> DeployResult:
    """Poll until the org reports the deploy done, and return its last result.

    timeout: seconds; the first poll is at once, later ones 1 s apart slowing to 10 s.
    A poll whose answer is lost decides nothing: the next one tells. Raises
    DeployTimeout, and LostAnswer when the org no longer lets us ask; the deploy itself
    goes on in the org.
    """
    deadline = target.clock.now() + timeout
    for pause in _pauses():
        try:
            result = target.metadata.check_deploy_status(deploy_id)
        except MetadeployError as error:
            if not _passes(error):
                what = f"deploy {deploy_id} goes on, but nobody may ask how: {error}"
                raise LostAnswer(what) from error
            target.progress.step(f"{error.message}; asking again")
        else:
            target.progress.deploying(result)
            if result.done:
                return result
        if target.clock.now() + pause > deadline:
            break
        target.clock.sleep(pause)
    raise DeployTimeout(deploy_id, timeout)


def settle_access(target: Target, wanted: Wanted) -> tuple[AccessChange, ...]:
    """Bring about by records what access the org still has otherwise.

    An app's list may be ignored when the app is created (observed), and apps that
    are not ours have no list that we could deploy.
    """
    holders = _patiently(target, lambda: holders_of(target, wanted))
    actual = {app: frozenset(rows) for app, (_, rows) in holders.items()}
    missing = access_changes(actual, wanted.access)
    for change in missing:
        if change.app not in holders:
            raise ApiFault("", f"the org has no app called {change.app!r}")
        app_id, rows = holders[change.app]
        if change.action is Action.GRANT:
            target.data.grant(target.data.parent_id(change.holder), app_id)
        else:
            target.data.revoke(rows[change.holder])
    return missing


def verify(target: Target, wanted: Wanted, *, wait_for_apps: float = 0.0) -> Verified:
    """Read the org again, compare, and ask for tokens with each app's own key.

    wait_for_apps: seconds for which the org may not know the keys of new apps yet: it
    takes 2 to 10 minutes for them to be usable (observed).
    """
    target.progress.step("verifying")
    wanted = resolve_names(target, wanted)
    actual = read_actual(target, wanted)
    left = make_plan(actual, wanted, wanted.components)
    until = target.clock.now() + wait_for_apps
    proofs: list[Proof] = []
    for component in wanted.components:
        app = keys.app_of(component)
        if app is None:
            continue
        key = actual.consumer_keys.get(app)
        if key is None:
            proofs.append(Proof(app, "", False, "the org reports no consumer key"))
        else:
            subject = subject_of(
                component,
                wanted.components,
                org_id=actual.facts.org_id,
                consumer_key=key,
            )
            proofs += target.prover.prove(subject, until=until)
    found = (left.changes, left.access_changes, tuple(proofs))
    return Verified(*found, actual.consumer_keys)


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
