"""The way back from a run: what the org is to be like again. Pure.

A run's journal holds what it was about to change as it was. That is the wanted state
of its rollback, which is then planned, shown and deployed as any other; so what others
have changed meanwhile is seen, and what has not changed is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from metadeploy import externalapp, keys, xmlfile
from metadeploy.access import AppAccess
from metadeploy.diff import Action
from metadeploy.keys import KeyChoice
from metadeploy.model import METADATA_NS, Component, Ref
from metadeploy.plan import Before, Plan
from metadeploy.wanted import Wanted

ALLOWED = frozenset({"deletion", "revoke", "mass-change"})
"""Refusals that a rollback needs no flags for: to take a run back is to ask for it."""


def wanted_before(
    plan: Plan,
    before: Before,
    recorded: Iterable[Component],
    choice: Callable[[str, str], KeyChoice],
) -> Wanted:
    """Return the state that a run of `plan` is to be taken back to.

    recorded: what was known to be deployed when the run began. choice: returns how an
    app gets the key that it had, by its name and that key.
    """
    made = _made_apps(plan)
    known = {c.ref: c for c in recorded}
    forward = {c.ref: c for c in plan.wanted.components}
    components, choices = [], dict[str, KeyChoice]()
    for component in before.components:
        key = keys.key_in(component)
        if key:
            app = keys.app_of(component) or ""
            if component.ref in plan.replaced:
                choices[app] = choice(app, key)
            component = keys.without_key(component)
        sources = (known.get(component.ref), forward.get(component.ref))
        components.append(_with_certificate(component, sources))
    return Wanted(
        plan.wanted.org,
        plan.wanted.api_version,
        tuple(components),
        _access(plan, before),
        choices,
        absent=tuple(r for r in before.absent if not _goes_with(r, plan, made)),
    )


def _made_apps(plan: Plan) -> frozenset[str]:
    """Return the External Client Apps that the run made: their files go with them."""
    return frozenset(
        c.ref.full_name
        for c in plan.changes
        if c.action is Action.CREATE and c.ref.type == externalapp.HEADER
    )


def _goes_with(ref: Ref, plan: Plan, made: frozenset[str]) -> bool:
    if ref.type == externalapp.HEADER:
        return False
    owner = {c.ref: externalapp.app_of(c) for c in plan.package}.get(ref)
    return owner in made


def _access(plan: Plan, before: Before) -> Mapping[str, AppAccess]:
    """Return who had access: all of it for our apps, the run's own for others'."""
    found: dict[str, AppAccess] = {}
    for app, holders in before.access.items():
        said = plan.wanted.access.get(app, AppAccess())
        given = {
            a.holder
            for a in plan.access_changes
            if a.app == app and a.action is Action.GRANT
        }
        found[app] = AppAccess(holders, frozenset(given) - holders, owned=said.owned)
    return found


_CERTIFICATE = f"{{{METADATA_NS}}}certificate"


def _with_certificate(
    component: Component, sources: Iterable[Component | None]
) -> Component:
    """Return an External Client App's settings with the certificate that they had.

    No org gives it back, and a file without it would clear it (observed): so it is the
    one that was deployed last, else the one that the run has deployed.
    """
    root = xmlfile.parse(component.body)
    if component.ref.type != externalapp.GLOBAL or root.find(_CERTIFICATE) is not None:
        return component
    for source in sources:
        if source is None:
            continue
        found = xmlfile.parse(source.body).find(_CERTIFICATE)
        if found is not None:
            root.append(found)
            return replace(component, body=xmlfile.canonical(root))
    return component
