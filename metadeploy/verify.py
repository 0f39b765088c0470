"""The flow's end: settle access by records, read the org again, and prove its apps."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from metadeploy import keys
from metadeploy.diff import AccessChange, Action, Change, access_changes
from metadeploy.errors import ApiFault, LostAnswer, MetadeployError
from metadeploy.model import Ref
from metadeploy.plan import make_plan
from metadeploy.proof import Proof, subject_of
from metadeploy.reading import (
    holders_of,
    passes,
    patiently,
    read_actual,
    resolve_names,
)
from metadeploy.target import Target
from metadeploy.wanted import Wanted

# How often access is looked at and mended before we say that it cannot be.
_ROUNDS = 4


class Verified(Struct, frozen=True):
    """What the org is like after all: differences left, and each app's proof.

    consumer_keys: by app, as the org has them. wanted: what it was compared with.
    """

    changes: tuple[Change, ...]
    access_changes: tuple[AccessChange, ...]
    proofs: tuple[Proof, ...]
    consumer_keys: Mapping[str, str]
    wanted: Wanted
    org_id: str

    @property
    def ok(self) -> bool:
        refused = any(p.ok is False for p in self.proofs)
        return not self.changes and not self.access_changes and not refused


def settle_access(target: Target, wanted: Wanted) -> tuple[AccessChange, ...]:
    """Bring about by records what access the org still has otherwise.

    An app's list may be ignored when the app is created (observed), and apps that
    are not ours have no list that we could deploy. A request whose answer is lost is
    not repeated: what there is is read again, and what is missing then is done.
    """
    settled: dict[AccessChange, None] = {}
    for _ in range(_ROUNDS):
        holders = patiently(target, lambda: holders_of(target, wanted))
        actual = {app: frozenset(rows) for app, (_, rows) in holders.items()}
        missing = access_changes(actual, wanted.access)
        settled.update(dict.fromkeys(missing))
        try:
            for change in missing:
                _settle(target, change, holders)
        except MetadeployError as error:
            if not passes(error):
                raise
            target.progress.step(f"{error.message}; looking what there is")
        else:
            return tuple(settled)
    raise LostAnswer("the org does not answer when it is to give access by records")


def _settle(
    target: Target,
    change: AccessChange,
    holders: Mapping[str, tuple[str, Mapping[Ref, str]]],
) -> None:
    if change.app not in holders:
        raise ApiFault("", f"the org has no app called {change.app!r}")
    app_id, rows = holders[change.app]
    if change.action is Action.GRANT:
        target.data.grant(target.data.parent_id(change.holder), app_id)
    else:
        target.data.revoke(rows[change.holder])


def verify(target: Target, wanted: Wanted, *, wait_for_apps: float = 0.0) -> Verified:
    """Read the org again, compare, and ask for tokens with each app's own key.

    wait_for_apps: seconds for which the org may not know the keys of new apps yet: it
    takes 2 to 10 minutes for them to be usable (observed).
    """
    target.progress.step("verifying")
    wanted = resolve_names(target, wanted)
    actual = read_actual(target, wanted)
    left = make_plan(actual, wanted, wanted.components)
    until = min(target.clock.now() + wait_for_apps, target.limits.until)
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
    proofs.sort(key=lambda proof: proof.app)
    return Verified(
        left.changes,
        left.access_changes,
        tuple(proofs),
        actual.consumer_keys,
        wanted,
        actual.facts.org_id,
    )
