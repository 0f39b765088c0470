"""The flow's sending: a package reaches the org once, or nobody knows and says so.

An answer that is lost is a question to the org (see `reconcile`); what the org did not
take is sent again, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct, field

from metadeploy import keys, package, schema, xmlfile
from metadeploy.classify import Fate, fate, kept_nothing, was_locked_out
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployFailed,
    LostAnswer,
    MetadeployError,
    Stopped,
    Unreachable,
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
from metadeploy.plan import Plan, locate
from metadeploy.reading import patiently, wait
from metadeploy.reconcile import Question, find, folder_of
from metadeploy.target import Journal, Target

# Seconds before a package is sent again that the org did not take.
_NOT_TAKEN = (1.0, 5.0, 15.0)
# The same where somebody else's change held it up (as Salesforce's own tests wait).
_LOCKED_OUT = (15.0, 30.0, 45.0)

# What a plan that changes access only, by records, has for a deploy.
NOTHING_SENT = DeployResult(id="", status="Succeeded", done=True, success=True)


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


class Sender(Struct):
    """Sends the packages of one run, and knows which keys it sent.

    master: asked for only when an app is created whose key is derived.
    """

    target: Target
    journal: Journal
    run_id: str
    options: DeployOptions
    master: Callable[[], Secret]
    sent_keys: dict[str, str] = field(default_factory=dict)

    def send(self, plan: Plan, package_: tuple[Component, ...]) -> DeployResult:
        """Deploy components, with the keys of the apps that `plan` creates.

        Raises DeployFailed when the org kept nothing.
        """
        if not package_ and not plan.deleted:
            return NOTHING_SENT
        sent = self._with_keys(plan, package_)
        return self._judged(plan, sent, self._deploy(plan, sent))

    def result_of(
        self, plan: Plan, package_: tuple[Component, ...], last: Sent
    ) -> DeployResult | None:
        """Return how the last package of a run went; None where the org has it not.

        package_: what it held, as far as that is known. Raises DeployFailed,
        DeployTimeout, LostAnswer.
        """
        if last.status:
            return None  # it is known already, and was no success
        deploy_id = last.deploy_id
        if deploy_id is None:
            folder = folder_of(self.run_id, last.number)
            refs = frozenset(c.ref for c in package_)
            question = Question(folder, refs, self.options.check_only, last.known)
            deploy_id = find(self.target, question)
            if deploy_id is None:
                return None
            self._note_sent(deploy_id)
        result = wait(self.target, deploy_id, until=self.target.limits.until)
        return self._judged(plan, package_, result)

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
            for ref in plan.replaced if kept_nothing(result) else ():
                # rollbackOnError is always sent: the deletion is undone too.
                text += (
                    f"\nThe org kept {ref} with its old key: nothing was interrupted."
                )
            raise DeployFailed(result, text)
        return result

    def _deploy(self, plan: Plan, sent: tuple[Component, ...]) -> DeployResult:
        """Send a package until somebody else's lock does not hold it up any more."""
        clock, until = self.target.clock, self.target.limits.until
        count = len(sent) + len(plan.deleted)
        components = "1 component" if count == 1 else f"{count} components"
        self.target.progress.step(f"sending {components}")
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
                # Of a job that was killed its log is left, and resume asks for this.
                self.target.progress.step(f"deploying as {found}, run {self.run_id}")
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


def _keys_refused(result: DeployResult, plan: Plan) -> frozenset[Ref]:
    """Return the components whose key the org refuses though it has no such app."""
    new = {k.component for k in plan.new_keys if k.component not in plan.replaced}
    refused = {
        Ref(m.component_type, m.full_name)
        for m in result.messages
        if not m.success and "You cannot provide a Consumer Key" in m.problem
    }
    return frozenset(new & refused)


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
