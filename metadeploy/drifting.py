"""The flow of drift: compare an org with what it is known to have, and ask who did it.

Changes nothing. The comparison is the one that plans show as drift.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import audit
from metadeploy.audit import SetupChange
from metadeploy.diff import AccessChange, Change, access_drift, drift
from metadeploy.errors import ApiFault
from metadeploy.model import Ref
from metadeploy.reading import patiently, read_actual, resolve_names
from metadeploy.target import Target
from metadeploy.wanted import Wanted


class Drift(Struct, frozen=True):
    """What an org has otherwise than it is known to have.

    changes: `wanted` is what was deployed, `actual` what the org has now. access: who
    got or lost an app. known: what it is known to have. consumer_keys: by app, as the
    org has them now. trail: what the org says of that, the newest first. untold:
    why it says nothing, or "".
    """

    org: str
    org_id: str
    changes: tuple[Change, ...]
    access: tuple[AccessChange, ...]
    known: Wanted
    consumer_keys: Mapping[str, str]
    trail: tuple[SetupChange, ...] = ()
    untold: str = ""

    @property
    def found(self) -> bool:
        return bool(self.changes or self.access)


def look(target: Target, known: Wanted, *, since: float | None) -> Drift:
    """Return how an org differs from what it is known to have.

    since: when it was as known, seconds since 1970; None: nobody knows.
    """
    known = resolve_names(target, known)
    actual = read_actual(target, known)
    changes = drift(known.components, actual.components)
    access = access_drift(known.access, actual.access)
    org_id, live = actual.facts.org_id, actual.consumer_keys
    found = Drift(known.org, org_id, changes, access, known, live)
    if not found.found:
        return found
    target.progress.step("asking who did it")
    try:
        rows = patiently(target, lambda: target.data.setup_changes(since))
    except ApiFault as fault:
        untold = f"the org does not let us read who changed it: {fault.message}"
        return replace(found, untold=untold)
    refs = {c.ref for c in changes} | {a.holder for a in access}
    names = audit.names_of(refs, (*known.components, *actual.components))
    names |= audit.names_of(_apps(known, access), known.components)
    return replace(found, trail=audit.about(rows, names))


def _apps(known: Wanted, access: tuple[AccessChange, ...]) -> set[Ref]:
    apps = {a.app for a in access}
    ours = {c.ref for c in known.components if c.ref.full_name in apps}
    return ours | {Ref("ConnectedApp", app) for app in apps}
