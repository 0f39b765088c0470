"""Changes → Plan: what will be sent, what is risky, and a fingerprint. Pure.

A plan holds no secret: keys are derived when it is applied. Applying a saved plan
makes it again from the org as it is then; another fingerprint means it is stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from lxml import etree
from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import externalapp, keys, package, xmlfile
from metadeploy.access import Raised, lower_access
from metadeploy.diff import (
    OVERLAID,
    AccessChange,
    Action,
    Change,
    access_changes,
    diff,
    drift,
    merge,
)
from metadeploy.keys import KeyChoice
from metadeploy.model import METADATA_NS, Component, Ref, Source
from metadeploy.wanted import Wanted


class OrgFacts(Struct, frozen=True):
    """What an org says of itself. production: it asks for care, whatever we call it."""

    org_id: str
    name: str
    production: bool


class Actual(Struct, frozen=True):
    """The org as it is, as far as our components reach.

    components: retrieved, access raised out of them. access: the holders of each app,
    read from SetupEntityAccess. consumer_keys: by app fullName.
    """

    facts: OrgFacts
    components: tuple[Component, ...]
    access: Mapping[str, frozenset[Ref]]
    consumer_keys: Mapping[str, str]


class NewKey(Struct, frozen=True):
    """An app that this plan creates, and so gives a consumer key."""

    app: str
    component: Ref
    choice: KeyChoice


class Refusal(Struct, frozen=True):
    """Why a plan may not run: its code, the reason, and what to do.

    flag: what allows it, "" where nothing does.
    """

    code: str
    message: str
    flag: str
    remedy: str = ""

    @property
    def advice(self) -> str:
        return f"Allow it with {self.flag}." if self.flag else self.remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


class Risk(Struct, frozen=True):
    """What may go wrong though the plan does what it says: its code, and in words."""

    code: str
    message: str


class Before(Struct, frozen=True):
    """What a plan may change, as the org has it before: the way back.

    components: without access. absent: what the org does not have. access: the holders
    of each app that the plan touches, as far as the plan speaks of them.
    """

    components: tuple[Component, ...] = ()
    absent: tuple[Ref, ...] = ()
    access: Mapping[str, frozenset[Ref]] = field(default_factory=dict)


class Seen(Struct, frozen=True):
    """What else was seen: what reports tell of an org beside what is to be done.

    consumer_keys: by app, of those that the org has. recorded: our components of which
    the drift is known, for they were deployed before.
    """

    consumer_keys: Mapping[str, str] = field(default_factory=dict)
    recorded: tuple[Ref, ...] = ()


class Plan(Struct, frozen=True):
    """What makes the org match, in the order of Ref; nothing in it is a secret.

    package: the components to send, consumer keys not yet in them.
    deviations between recorded and actual are in `drift`.
    replaced: apps that get a new key, so they are deleted before they are created.
    deleted: what the org is not to have any more.
    before, seen: not part of a saved plan, which is made again before it is applied.
    """

    facts: OrgFacts
    wanted: Wanted
    changes: tuple[Change, ...]
    access_changes: tuple[AccessChange, ...]
    drift: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    package: tuple[Component, ...]
    new_keys: tuple[NewKey, ...]
    fingerprint: str
    replaced: tuple[Ref, ...] = ()
    risks: tuple[Risk, ...] = ()
    deleted: tuple[Ref, ...] = ()
    before: Before = Before()
    seen: Seen = Seen()

    @property
    def empty(self) -> bool:
        return not self.changes and not self.access_changes

    def files(self, components: Iterable[Component]) -> Mapping[str, bytes]:
        """Return path → bytes of a package of this plan with these components."""
        return package.files(
            components,
            self.wanted.api_version,
            deleted=self.deleted,
            deleted_first=self.replaced,
        )


def make_plan(
    actual: Actual,
    wanted: Wanted,
    recorded: Iterable[Component] = (),
    *,
    allowed: frozenset[str] = frozenset(),
    replaced: frozenset[Ref] = frozenset(),
) -> Plan:
    """Return what turns `actual` into `wanted`.

    recorded: the components as we last deployed them. allowed: codes of refusals
    that the user has allowed, such as "production" or "deletion".
    replaced: connected apps to be deleted first and created anew, with a new key.
    """
    live, actual = actual, _without(actual, replaced)
    was = {c.ref: c for c in recorded}
    have = {c.ref for c in actual.components}
    deleted = tuple(sorted(ref for ref in wanted.absent if ref in have))
    changes = diff(actual.components, wanted.components, was.values())
    changes += tuple(Change(Action.DELETE, ref, ()) for ref in deleted)
    gains = access_changes(actual.access, wanted.access)
    sent = _package(actual, wanted, was, changes, gains)
    declared = {w.ref for w in wanted.components}
    ours = [c for c in was.values() if c.ref in declared]
    new_keys = _new_keys(wanted, changes, sent)
    refusals = _refusals(live, wanted, changes, gains)
    refusals += [_interruption(ref, wanted) for ref in sorted(replaced)]
    touched = {*replaced, *deleted, *(c.ref for c in sent)}
    return Plan(
        facts=actual.facts,
        wanted=wanted,
        changes=tuple(sorted(changes, key=lambda c: c.ref)),
        access_changes=gains,
        drift=drift(ours, live.components),
        refusals=tuple(r for r in refusals if r.code not in allowed),
        package=sent,
        new_keys=new_keys,
        fingerprint=_fingerprint(live, wanted, sent, new_keys, replaced, deleted),
        replaced=tuple(sorted(replaced)),
        deleted=deleted,
        before=_before(live, touched, {g.app for g in gains}),
        seen=Seen(live.consumer_keys, tuple(sorted(c.ref for c in ours))),
    )


def _before(live: Actual, touched: set[Ref], apps: set[str]) -> Before:
    components = tuple(c for c in live.components if c.ref in touched)
    absent = touched - {c.ref for c in components}
    apps = apps | {a for c in components if (a := _lists_access_of(c))}
    access = {app: live.access[app] for app in sorted(apps) if app in live.access}
    return Before(components, tuple(sorted(absent)), access)


def _without(actual: Actual, gone: frozenset[Ref]) -> Actual:
    """Return the org as it is once these apps are deleted."""
    apps = {ref.full_name for ref in gone}
    return replace(
        actual,
        components=tuple(c for c in actual.components if c.ref not in gone),
        access={a: h for a, h in actual.access.items() if a not in apps},
        consumer_keys={a: k for a, k in actual.consumer_keys.items() if a not in apps},
    )


def _interruption(ref: Ref, wanted: Wanted) -> Refusal:
    """Name what a new key for a connected app costs: there is no other way to one."""
    app = ref.full_name
    generation = wanted.keys.get(app, KeyChoice()).generation
    what = (
        f"{app} is deleted and created anew to get the key of generation"
        f" {generation}: clients with the old key and secret fail from"
        " then on, refresh tokens and approvals of its users end, and the new app may"
        " need 10 minutes to be usable"
    )
    if app not in wanted.access:
        what += "; no template says who may use it, so those who may will lose it"
    return Refusal("interruption", what, "--allow-interruption")


def _package(
    actual: Actual,
    wanted: Wanted,
    recorded: Mapping[Ref, Component],
    changes: Iterable[Change],
    gains: Iterable[AccessChange],
) -> tuple[Component, ...]:
    """Return what to send: each changed component, and apps whose access changes."""
    have = {c.ref: c for c in actual.components}
    actions = {c.ref: c.action for c in changes}
    apps = {g.app for g in gains}
    sent: list[Component] = []
    for component in wanted.components:
        old = have.get(component.ref)
        lists = _lists_access_of(component)
        if component.ref not in actions and lists not in apps:
            continue
        if old is not None and component.ref.type in OVERLAID:
            component = merge(old, component, recorded.get(component.ref))
        elif old is not None:
            component = keys.without_key(component)
        sent.append(externalapp.strip_org_bound(component))
    places = {(app, holder): (path, line) for app, holder, path, line in wanted.places}
    return lower_access(sent, Raised(tuple(sent), wanted.access, places))


def _lists_access_of(component: Component) -> str | None:
    """Return the app whose holders this component lists in the org."""
    if component.ref.type == "ConnectedApp":
        return component.ref.full_name
    if component.ref.type == externalapp.OAUTH_POLICY:
        return externalapp.app_of(component)
    return None


def _new_keys(
    wanted: Wanted, changes: Iterable[Change], sent: Iterable[Component]
) -> tuple[NewKey, ...]:
    created = {c.ref for c in changes if c.action is Action.CREATE}
    found = []
    for component in sent:
        app = keys.app_of(component)
        if app and component.ref in created:
            choice = wanted.key_choice(component, app)
            found.append(NewKey(app, component.ref, choice))
    return tuple(found)


def _refusals(
    actual: Actual,
    wanted: Wanted,
    changes: tuple[Change, ...],
    gains: tuple[AccessChange, ...],
) -> list[Refusal]:
    found: list[Refusal] = []
    if actual.facts.production and (changes or gains):
        what = f"{actual.facts.name} ({actual.facts.org_id}) is a production org"
        found.append(Refusal("production", what, "--production"))
    deleted = [str(c.ref) for c in changes if c.action is Action.DELETE]
    if deleted:
        what = f"this deletes {', '.join(deleted)}"
        found.append(Refusal("deletion", what, "--allow-delete"))
    found += _mass_change(max(len(actual.components), wanted.whole), changes)
    revoked = [str(g) for g in gains if g.action is Action.REVOKE]
    if revoked:
        what = f"this takes access away: {'; '.join(revoked)}"
        found.append(Refusal("revoke", what, "--allow-revoke"))
    for app, said in wanted.access.items():
        left = (actual.access.get(app, frozenset()) - said.revokes) | said.grants
        if said.owned:
            left = said.grants
        changed = any(g.app == app for g in gains)
        if changed and not left and app in _admin_approved(wanted):
            what = f"nobody could use {app} any more: it is admin-approved"
            found.append(Refusal("lockout", what, "--allow-lockout"))
    return found


# As octoDNS guards a zone: few changes of few things are no mass.
_MASS_SHARE, _MASS_LEAST = 0.3, 10


def _mass_change(there: int, changes: Iterable[Change]) -> list[Refusal]:
    """Refuse to change much of what an org has at once: most likely a mistake."""
    changed = sum(c.action in (Action.UPDATE, Action.DELETE) for c in changes)
    if there < _MASS_LEAST or changed <= there * _MASS_SHARE:
        return []
    what = f"this changes {changed} of the {there} components that the org has of ours"
    return [Refusal("mass-change", what, "--allow-mass-change")]


def _admin_approved(wanted: Wanted) -> set[str]:
    found: set[str] = set()
    for component in wanted.components:
        app = _lists_access_of(component)
        approved = (
            _text(component, "oauthConfig", "isAdminApproved") in ("true", "1")
            or _text(component, "permittedUsersPolicyType")
            == "AdminApprovedPreAuthorized"
        )
        if app and approved:
            found.add(app)
    return found


def _text(component: Component, *path: str) -> str:
    element: etree._Element | None = xmlfile.parse(component.body)
    for name in path:
        if element is not None:
            element = element.find(f"{{{METADATA_NS}}}{name}")
    return "" if element is None else xmlfile.text_of(element).strip()


def _fingerprint(
    actual: Actual,
    wanted: Wanted,
    sent: Iterable[Component],
    new_keys: Iterable[NewKey],
    replaced: Iterable[Ref],
    deleted: Iterable[Ref],
) -> str:
    """Return SHA-256, hex, of the org, its live state and what would be sent to it."""
    sha = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode()
            sha.update(len(data).to_bytes(8) + data)

    def add_refs(refs: Iterable[Ref]) -> None:
        ordered = sorted(refs)
        add(str(len(ordered)))  # where a list ends is part of what it says
        for ref in ordered:
            add(ref.type, ref.full_name)

    add(actual.facts.org_id, wanted.api_version)
    add_refs(c.ref for c in actual.components)
    for component in sorted(actual.components, key=lambda c: c.ref):
        add(component.body)
    for app, holders in sorted(actual.access.items()):
        add("actual", app)
        add_refs(holders)
    for app, said in sorted(wanted.access.items()):
        add("wanted", app, str(said.owned))
        add_refs(said.grants)
        add_refs(said.revokes)
    for key in sorted(new_keys, key=lambda k: k.component):
        add("key", key.app, str(key.choice.generation), key.choice.pinned)
    version = wanted.api_version
    files = package.files(sent, version, deleted=deleted, deleted_first=replaced)
    add(package.digest(files))
    return sha.hexdigest()


def renamed(wanted: Wanted, names: Mapping[Ref, Ref]) -> Wanted:
    """Return `wanted` with components under the names that the org has for them."""
    if not names:
        return wanted
    components = tuple(
        replace(c, ref=names.get(c.ref, c.ref)) for c in wanted.components
    )
    return replace(wanted, components=tuple(sorted(components, key=lambda c: c.ref)))


def locate(sources: Mapping[Ref, Source | None], ref: Ref, line: int) -> str:
    """Return "path:line" of the template text behind a line of a sent component."""
    source = sources.get(ref)
    if source is None:
        return ""
    path, at = source.locate(line)
    return f"{path}:{at}" if line else source.path
