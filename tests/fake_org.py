"""A plain stand-in for an org, for tests of the flow: it keeps what it is sent, and
writes every call into one log that the journal's stand-in shares."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from metadeploy import keys, xmlfile
from metadeploy.access import raise_access
from metadeploy.audit import SetupChange
from metadeploy.errors import MetadeployError
from metadeploy.journal import Send
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployMessage,
    DeployOptions,
    DeployRequest,
    DeployResult,
    Manifest,
    Ref,
    id18,
)
from metadeploy.package import read_zip, unpack
from metadeploy.plan import OrgFacts
from metadeploy.proof import Proof, Subject
from metadeploy.schema import path_of
from metadeploy.target import Limits, Target

ORG = "00DWs000003xYZ1MAM"
DEPLOY = id18("0Af000000000001")
Log = list[tuple[object, ...]]


def component(ref: Ref, inside: str = "") -> Component:
    body = f'<{ref.type} xmlns="{METADATA_NS}">{inside}</{ref.type}>'
    return Component(ref, body.encode())


def app(name: str = "Portal", inside: str = "", label: str = "Portal") -> Component:
    return component(
        Ref("ConnectedApp", name),
        f"{inside}<contactEmail>a@example.com</contactEmail><label>{label}</label>"
        "<oauthConfig><callbackUrl>https://a.example</callbackUrl>"
        "<isAdminApproved>true</isAdminApproved></oauthConfig>",
    )


def holder(name: str, *apps: str, type_: str = "PermissionSet") -> Component:
    """A permission set or profile that declares access to apps; "-App" takes it."""
    declared = "".join(
        f"<connectedAppAccesses><connectedApp>{a.removeprefix('-')}</connectedApp>"
        f"<enabled>{'false' if a[0] == '-' else 'true'}</enabled>"
        "</connectedAppAccesses>"
        for a in apps
    )
    label = f"<label>{name}</label>" if type_ == "PermissionSet" else ""
    return component(Ref(type_, name), declared + label)


@dataclass(frozen=True)
class Retrieved:
    components: tuple[Component, ...]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    ref: Ref
    id: str


def result(status: str = "Succeeded", **more: object) -> DeployResult:
    done = status not in ("Pending", "InProgress")
    said = {"done": done, "success": status == "Succeeded", **more}
    return DeployResult(DEPLOY, status, **said)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Taken:
    """A deploy that the org took, and the folder that its package was in."""

    id: str
    folder: str
    check_only: bool
    components: tuple[Component, ...]


def named(manifest: bytes) -> list[Ref]:
    """What a manifest of destructive changes names."""
    found = []
    for types in xmlfile.parse(manifest).findall(f"{{{METADATA_NS}}}types"):
        texts = [(xmlfile.local_name(e), xmlfile.text_of(e)) for e in types]
        kind = dict(texts)["name"]
        found += [Ref(kind, text) for name, text in texts if name == "members"]
    return found


@dataclass
class FakeOrg:
    """MetadataApi, DataApi and Prover of one org.

    faults: (call, answers): each call of that name takes the next answer, an error
    to raise or a value to return instead; None lets it through.
    statuses: what polls of a deploy say, the last one for ever; None means "as it
    went". spoil: changes each component before it is kept. ignores_lists: apps' lists
    of holders come to nothing.
    """

    facts_: OrgFacts = field(default_factory=lambda: OrgFacts(ORG, "Acme", False))
    log: Log = field(default_factory=list)
    faults: dict[str, list[object]] = field(default_factory=dict)
    statuses: list[DeployResult] = field(default_factory=list)
    spoil: Callable[[Component], Component] = lambda c: c
    ignores_lists: bool = False
    proof: bool | None = True
    kept: dict[Ref, Component] = field(default_factory=dict)
    access: dict[str, set[Ref]] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[Component, ...]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    folders_told: bool = True
    trail: tuple[SetupChange, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def _call(self, name: str, *about: object) -> object:
        self.log.append((name, *about))
        return self._fault(name)

    def _fault(self, name: str) -> object:
        answers = self.faults.get(name, [])
        answer = answers.pop(0) if answers else None
        if isinstance(answer, MetadeployError):
            raise answer
        return answer

    # MetadataApi

    def deploy(self, zip_bytes: bytes, options: DeployOptions) -> str:
        self._call("deploy", options.check_only)
        paths = zipfile.ZipFile(io.BytesIO(zip_bytes)).namelist()
        (folder,) = {path.partition("/")[0] for path in paths}
        components = unpack(zip_bytes)
        gone = [
            r for n, b in read_zip(zip_bytes).items() if "destr" in n for r in named(b)
        ]
        self.sent.append(components)
        deploy_id = id18(f"0Af{len(self.taken) + 1:012}")
        self.taken.append(Taken(deploy_id, folder, options.check_only, components))
        ok = not self.statuses or self.statuses[-1].status == "Succeeded"
        if ok and not options.check_only:
            for one in components:
                self._keep(self.spoil(one))
            for ref in gone:
                self.kept.pop(ref, None)
                if ref.type == "ConnectedApp":
                    self.access.pop(ref.full_name, None)
                for holders in self.access.values():
                    holders.discard(ref)
        self._fault("deploy answer")  # the org has acted by then
        return deploy_id

    def deploys(self) -> tuple[DeployRequest, ...]:
        self._call("deploys")
        return tuple(
            DeployRequest(one.id, "Succeeded", one.check_only, "Ann")
            for one in reversed(self.taken)
        )

    def ahead(self, deploy_id: str) -> int | None:
        answer = self._call("ahead", deploy_id)
        return answer if isinstance(answer, int) else None

    def _keep(self, one: Component) -> None:
        raised = raise_access([one])
        if not self.ignores_lists:
            for name, said in raised.access.items():
                self.access[name] = set(said.grants)
        (kept,) = raised.components
        old = self.kept.get(one.ref)
        key = keys.key_in(old) if old is not None else keys.key_in(one) or "OwnKey00"
        if keys.app_of(kept):
            made = keys.Credentials(key, None, "org", 1)
            kept = keys.with_key(keys.without_key(kept), made)
        self.kept[one.ref] = kept

    def check_deploy_status(self, deploy_id: str) -> DeployResult:
        (one,) = (t for t in self.taken if t.id == deploy_id)
        self._call("poll")
        if not self.statuses:
            found = result()
        else:
            more = len(self.statuses) > 1
            found = self.statuses.pop(0) if more else self.statuses[0]
        rows = found.messages
        if found.status == "Succeeded" and not rows:
            inside = f"{one.folder}/" if self.folders_told else ""
            rows = tuple(
                DeployMessage(
                    c.ref.type, c.ref.full_name, inside + path_of(c.ref), success=True
                )
                for c in one.components
            )
        return replace(found, id=deploy_id, messages=rows)

    def cancel_deploy(self, deploy_id: str) -> bool:
        self._call("cancel", deploy_id)
        return False

    def retrieve(self, manifest: Manifest) -> str:
        self._call("retrieve")
        self._manifest = manifest
        return "09S000000000001AAA"

    def check_retrieve_status(self, retrieve_id: str) -> Retrieved | None:
        answer = self._call("check_retrieve")
        if answer is not None:
            return None if answer == "running" else answer  # type: ignore[return-value]
        asked = self._manifest.members
        return Retrieved(
            tuple(
                self._listed(c)
                for ref, c in sorted(self.kept.items())
                if ref.full_name in asked.get(ref.type, ())
            )
        )

    def _listed(self, one: Component) -> Component:
        return one

    def list_metadata(self, types: Iterable[str]) -> tuple[Row, ...]:
        wanted = list(types)
        self._call("list", *wanted)
        return tuple(
            Row(ref, f"0H4{n:012}AAA")
            for n, ref in enumerate(sorted(self.kept))
            if ref.type in wanted
        )

    # DataApi

    def facts(self) -> OrgFacts:
        self._call("facts")
        return self.facts_

    def _names(self) -> dict[str, str]:
        rows = {r.id: r.ref.full_name for r in self.list_metadata(["ConnectedApp"])}
        self.log.pop()
        return {**rows, **{i: name for name, i in self.installed.items()}}

    def holders(self, app_ids: Iterable[str]) -> dict[str, dict[Ref, str]]:
        self._call("holders")
        names = self._names()
        return {
            i: {h: f"{names[i]}|{h}" for h in self.access.get(names[i], ())}
            for i in app_ids
        }

    def setup_changes(self, since: float | None = None) -> tuple[SetupChange, ...]:
        self._call("setup_changes", since)
        return self.trail

    def parent_id(self, holder: Ref) -> str:
        self._call("parent_id", holder)
        return f"{holder.type}|{holder.full_name}"

    def app_id(self, app: str) -> str | None:
        self._call("app_id", app)
        return self.installed.get(app)

    def grant(self, parent_id: str, app_id: str) -> None:
        self._call("grant", parent_id)
        name = self._names()[app_id]
        self.access.setdefault(name, set()).add(Ref(*parent_id.split("|")))

    def revoke(self, row_id: str) -> None:
        self._call("revoke", row_id)
        name, _, shown = row_id.partition("|")
        self.access[name] = {h for h in self.access[name] if str(h) != shown}

    # Prover

    def prove(self, subject: Subject, *, until: float) -> tuple[Proof, ...]:
        self._call("prove", subject.app, subject.org_id, subject.consumer_key)
        return (Proof(subject.app, "jwt", self.proof, "as asked"),)

    # Clock and progress

    time: float = 0.0
    slept: list[float] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def step(self, text: str) -> None:
        self.steps.append(text)

    def deploying(self, result: DeployResult, ahead: int | None = None) -> None:
        behind = "" if ahead is None else f", {ahead} before it"
        self.steps.append(f"{result.status}{behind}")

    def target(self, org_id: str | None = ORG) -> Target:
        return Target(org_id, self, self, self, self, self, self.limits)

    def calls(self, *names: str) -> list[str]:
        """The calls made so far, by name; only those named, if any are."""
        return [str(c[0]) for c in self.log if not names or c[0] in names]


@dataclass
class FakeJournal:
    """The flow's Journal, in memory; it writes into the org's log."""

    log: Log
    status: str = ""
    deploy_id: str = ""
    recorded: tuple[Component, ...] = ()
    broken: MetadeployError | None = None
    gone: tuple[Ref, ...] = ()
    sends: list[Send] = field(default_factory=list)

    def begin(self, plan: object, package_digest: str, options: DeployOptions) -> str:
        self.log.append(("begin", package_digest, options.check_only))
        self.status = "Intended"
        return "run1"

    def sending(self, run_id: str, digest: str, known: Iterable[str]) -> int:
        last = self.sends[-1] if self.sends else Send(0, "", ())
        if last.digest == digest and last.deploy_id is None:
            self.sends.pop()
        self.sends.append(Send(len(self.sends) + 1, digest, tuple(known)))
        self.log.append(("sending", run_id, len(self.sends)))
        self.status = "Sending"
        return len(self.sends)

    def sent(self, run_id: str, deploy_id: str) -> None:
        self.log.append(("sent", run_id, deploy_id))
        if self.broken is not None:
            raise self.broken
        self.sends[-1] = replace(self.sends[-1], deploy_id=deploy_id)
        self.status, self.deploy_id = "Sent", deploy_id

    def ended(self, run_id: str, status: str) -> None:
        self.sends[-1] = replace(self.sends[-1], status=status)
        if status == "Succeeded":
            self.status = "Deployed"

    def note(self, run_id: str, status: str, detail: str) -> None:
        self.status = status

    def finish(
        self,
        run_id: str,
        status: str,
        recorded: Iterable[Component] = (),
        gone: Iterable[Ref] = (),
    ) -> None:
        self.log.append(("finish", run_id, status))
        self.status, self.recorded = status, tuple(recorded)
        self.gone = tuple(gone)


def failure(ref: Ref, problem: str, **more: object) -> DeployMessage:
    said = {"file_name": "", **more}
    return DeployMessage(
        ref.type,
        ref.full_name,
        success=False,
        problem=problem,
        **said,  # type: ignore[arg-type]
    )
