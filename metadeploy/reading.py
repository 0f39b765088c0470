"""The flow's reading: what an org has, and how a deploy of it goes. Changes nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from metadeploy import externalapp, keys, package
from metadeploy.access import raise_access
from metadeploy.classify import Fate, fate
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    OutOfTime,
)
from metadeploy.failpoint import reach
from metadeploy.model import Component, DeployResult, Manifest, Ref, id18
from metadeploy.plan import Actual, renamed
from metadeploy.target import Target
from metadeploy.wanted import Wanted
from metadeploy.xmlfile import XmlError

T = TypeVar("T")

_APP_TYPES = {
    "ConnectedApp": "ConnectedApp",
    "ExtlClntAppOauthConfigurablePolicies": "ExternalClientApplication",
    "ExternalClientApplication": "ExternalClientApplication",
}


def passes(error: MetadeployError) -> bool:
    """Tell whether what a read says may be over at the next try."""
    return fate(error) is not Fate.REFUSED


def patiently(target: Target, read: Callable[[], T]) -> T:
    """Return what a read brings; it changes nothing, so it may be done again."""
    for pause in (1.0, 4.0):
        try:
            return read()
        except MetadeployError as error:
            if not passes(error) or target.clock.now() + pause > target.limits.until:
                raise
            target.progress.step(f"{error.message}; asking again")
        target.clock.sleep(pause)
    return read()


def read_actual(target: Target, wanted: Wanted) -> Actual:
    """Return what the org has of everything that `wanted` speaks of.

    Raises ConfigError when it is not the org that the org file pins.
    """
    target.progress.step("reading the org")
    return patiently(target, lambda: _read_actual(target, wanted))


def _read_actual(target: Target, wanted: Wanted) -> Actual:
    facts = target.data.facts()
    if target.org_id is not None and id18(target.org_id) != facts.org_id:
        raise ConfigError(
            f"org {wanted.org} is pinned to {target.org_id}, but {facts.org_id}"
            f" ({facts.name}) answers at its URL",
            hint="Nothing was sent. A refreshed sandbox has a new Id: check which org"
            " this is, then set org_id in the org file.",
        )
    try:
        components = _raised(_retrieve(target, wanted), wanted)
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


def _raised(found: Iterable[Component], wanted: Wanted) -> tuple[Component, ...]:
    """Return what of `found` is wanted, without access and canonical.

    What is wanted is so already; where the org has the same bytes, nothing is to do.
    """
    known = {c.ref: c.body for c in wanted.components}
    asked = known.keys() | set(wanted.absent)
    ours = [c for c in found if c.ref in asked]
    same = [c for c in ours if c.body == known.get(c.ref)]
    others = raise_access(c for c in ours if c.body != known.get(c.ref)).components
    return tuple(sorted((*same, *others), key=lambda c: c.ref))


def _retrieve(target: Target, wanted: Wanted) -> tuple[Component, ...]:
    version = wanted.api_version
    manifest = package.retrieve_manifest(wanted.components, version, wanted.absent)
    return retrieved(target, manifest)


# The org has it, and does not give it: apps of packages, system apps (observed).
_UNREADABLE = re.compile(r"metadata of type:(\w+) and file name:(.+?)\.?$")


def retrieved(target: Target, manifest: Manifest) -> tuple[Component, ...]:
    """Return what the org has of a manifest, waiting for it up to ten minutes.

    Raises ConfigError for what is there and cannot be read: to go on as if the org
    did not have it would be to plan its creation.
    """
    if not manifest.members:
        return ()
    retrieve_id = target.metadata.retrieve(manifest)
    deadline = min(target.clock.now() + 600, target.limits.until)
    for pause in pauses():
        retrieved = target.metadata.check_retrieve_status(retrieve_id)
        if retrieved is not None:
            _refuse_unreadable(retrieved.messages)
            return retrieved.components
        if target.clock.now() > deadline:
            raise OutOfTime(
                f"retrieve {retrieve_id} is not done in time",
                hint="The org is busy, and not changed by this. Try again later.",
            )
        target.progress.step("waiting for the org to retrieve what it has")
        target.clock.sleep(pause)
    raise AssertionError("pauses never end")


def _refuse_unreadable(messages: Iterable[str]) -> None:
    for message in messages:
        if match := _UNREADABLE.search(message.strip()):
            raise ConfigError(
                f"the org has a {match[1]} {match[2]}, and does not give it: {message}",
                hint="It was installed, or is Salesforce's own. Its access can be"
                " declared in profiles and permission sets; it cannot be deployed.",
            )


def pauses() -> Iterable[float]:
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


def resolve_names(target: Target, wanted: Wanted) -> Wanted:
    """Return `wanted` with External Client App files under the org's own names.

    An org makes policy files by itself, under names of its choosing, and refuses a
    second one for the same app (observed); so they are updated where they are.
    """
    return patiently(target, lambda: _resolve_names(target, wanted))


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


class _Queue:
    """How many deploys come before ours: asked seldom, and nothing depends on it."""

    def __init__(self, target: Target, deploy_id: str) -> None:
        self._target, self._deploy_id = target, deploy_id
        self._next = target.clock.now() + _QUEUE_FIRST
        self._ahead: int | None = None

    def ahead(self, status: str) -> int | None:
        """Return what was last heard, None for a deploy that does not wait."""
        if status != "Pending":
            return None
        if self._target.clock.now() >= self._next:
            try:
                self._ahead = self._target.data.ahead(self._deploy_id)
            except MetadeployError:
                self._ahead, self._next = None, math.inf  # it is not asked again
            else:
                self._next = self._target.clock.now() + _QUEUE_AGAIN
        return self._ahead


# Seconds that a deploy has to be pending before the org is asked what is before it,
# and until it is asked again.
_QUEUE_FIRST, _QUEUE_AGAIN = 5.0, 30.0


def wait(target: Target, deploy_id: str, *, until: float) -> DeployResult:
    """Poll until the org reports the deploy done, and return its last result.

    until: when to give up, on the target's clock; the first poll is at once, later
    ones 1 s apart slowing to 10 s. A poll whose answer is lost decides nothing: the
    next one tells. Raises DeployTimeout, and LostAnswer when the org no longer lets us
    ask; the deploy itself goes on in the org.
    """
    begun = target.clock.now()
    queue = _Queue(target, deploy_id)
    for pause in pauses():
        try:
            result = target.metadata.check_deploy_status(deploy_id)
        except MetadeployError as error:
            if not passes(error):
                what = f"deploy {deploy_id} goes on, but nobody may ask how: {error}"
                raise LostAnswer(what) from error
            target.progress.step(f"{error.message}; asking again")
        else:
            target.progress.deploying(result, queue.ahead(result.status))
            reach("polled")
            if result.done:
                return result
        if target.clock.now() + pause > until:
            break
        target.clock.sleep(pause)
    raise DeployTimeout(deploy_id, max(until - begun, 0.0))
