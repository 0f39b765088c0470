"""The flow's planning: read an org, and say what would make it match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from metadeploy import externalapp, installed, lockdown, package
from metadeploy.diff import Action
from metadeploy.errors import (
    ApiFault,
    DeployTimeout,
    LostAnswer,
    StalePlan,
    Unreachable,
)
from metadeploy.model import Component, DeployOptions, DeployResult, Ref
from metadeploy.plan import Actual, Plan, Refusal, Risk, make_plan
from metadeploy.reading import patiently, read_actual, resolve_names, wait
from metadeploy.target import Target
from metadeploy.wanted import Wanted


def check_fresh(planned: Plan, now: Plan) -> None:
    """Raise StalePlan unless `now`, made from the same wanted state, is `planned`."""
    if planned.fingerprint != now.fingerprint:
        raise StalePlan(
            f"org {planned.wanted.org} is not as it was when the plan was made"
            f" (fingerprint {planned.fingerprint[:12]}, now {now.fingerprint[:12]})"
        )


def plan(
    target: Target,
    wanted: Wanted,
    recorded: Callable[[str], Iterable[Component]] = lambda org_id: (),
    *,
    allowed: frozenset[str] = frozenset(),
    renewals: Callable[[Actual], frozenset[Ref]] = lambda actual: frozenset(),
    unfinished: Callable[[str], Iterable[str]] = lambda org_id: (),
) -> Plan:
    """Read the org and return what would make it match; nothing is changed.

    renewals: returns the connected apps that are due for a new key.
    unfinished: returns the ids of our runs of that org that nobody took to their end.
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
    busy = tuple(_in_the_way(target, made, unfinished)) if not made.empty else ()
    found += tuple(r for r in busy if r.code not in allowed)
    collided = _collisions(target, made)
    found += collided
    if not collided and all(r.code != "queue" for r in busy):  # it would wait there
        found += _creation_blocked(target, made)
    risks: tuple[Risk, ...] = ()
    if lockdown.switched_on(made):
        target.progress.step("asking who uses which app")
        risks, locked = lockdown.assess(made, target.data.survey())
        found += tuple(r for r in locked if r.code not in allowed)
    return replace(made, refusals=(*made.refusals, *found), risks=risks)


def _in_the_way(
    target: Target, made: Plan, unfinished: Callable[[str], Iterable[str]]
) -> Iterator[Refusal]:
    """Yield why now is not the moment: a run of ours is open, or somebody deploys."""
    for run_id in unfinished(made.facts.org_id):
        yield Refusal(
            "unfinished",
            f"run {run_id} of this org has not come to its end: nobody knows yet what"
            f" it did. `metadeploy runs resume {made.wanted.org}` finds out",
            "--allow-unfinished",
        )
    try:
        running = [d for d in patiently(target, target.data.deploys) if d.running]
    except ApiFault:
        return  # it is asked as a courtesy: an org that is busy queues what we send
    if running:
        told = ", ".join(f"{d.id} of {d.created_by or 'nobody known'}" for d in running)
        what = f"{made.facts.name} is at work on another deploy: {told}"
        yield Refusal("queue", what, "--allow-queue")


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


# The platform's words where only Salesforce support can have apps created again.
CREATION_BLOCKED = "You can't create a connected app"
# The folder of a package that only asks; one that is deployed bears its run's id.
ASKING = "md_asking"


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
        zip_bytes = package.zip_files(made.files(apps), ASKING)
        deploy_id = target.metadata.deploy(zip_bytes, DeployOptions(check_only=True))
        # What else the org refuses in it is no news yet: apps are asked for alone.
        until = target.clock.now() + 120
        result = wait(replace(target, progress=_Silent()), deploy_id, until=until)
    except (ApiFault, DeployTimeout, LostAnswer, Unreachable):
        return ()  # it is only asked to warn early; the deploy itself will tell
    blocked = [m.full_name for m in result.messages if CREATION_BLOCKED in m.problem]
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

    def deploying(self, result: DeployResult, ahead: int | None = None) -> None:
        """Say nothing."""
