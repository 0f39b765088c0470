"""Access to apps that are not ours to deploy: known before anything is sent.

Such an app has no list that a deploy could replace; records give and take it, after
the deploy. So what they need has to be there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from metadeploy.diff import Action
from metadeploy.errors import ApiFault
from metadeploy.model import Ref
from metadeploy.near import nearest
from metadeploy.plan import Plan, Refusal

_APPS = ("ConnectedApp", "ExternalClientApplication")


class AppRecords(Protocol):
    """The records that tell which apps and holders an org has (see `data_api`)."""

    def app_names(self) -> tuple[str, ...]: ...
    def parent_id(self, holder: Ref) -> str: ...


def refusals(data: AppRecords, plan: Plan, known: Iterable[str]) -> tuple[Refusal, ...]:
    """Return why access to apps of others could not be given.

    known: the apps of `plan.wanted.access` that the org has.
    """
    return (*_unknown_apps(data, plan, frozenset(known)), *_unknown_holders(data, plan))


def _unknown_apps(
    data: AppRecords, plan: Plan, known: frozenset[str]
) -> Iterator[Refusal]:
    ours = {c.ref.full_name for c in plan.wanted.components if c.ref.type in _APPS}
    missing = [
        app
        for app, said in plan.wanted.access.items()
        if said.grants and not said.owned and app not in known | ours
    ]
    names = data.app_names() if missing else ()
    for app in missing:
        like = nearest(app, names)
        remedy = f"Did you mean {like}? " if like else ""
        remedy += "An app of another org goes by its label, as on the page Connected"
        remedy += " Apps OAuth Usage; install it there first."
        what = f"{_place(plan, app)}the org has no app called {app!r}"
        yield Refusal("unknown-app", what, "", remedy)


def _unknown_holders(data: AppRecords, plan: Plan) -> Iterator[Refusal]:
    coming = {c.ref for c in plan.wanted.components}
    for change in plan.access_changes:
        said = plan.wanted.access[change.app]
        if said.owned or change.action is Action.REVOKE or change.holder in coming:
            continue
        try:
            data.parent_id(change.holder)
        except ApiFault as fault:
            if fault.code:  # the org's own: it is not about this holder
                raise
            what = f"{_place(plan, change.app, change.holder)}{fault.message}"
            remedy = "Write its name as the org has it."
            yield Refusal("unknown-holder", what, "", remedy)


def _place(plan: Plan, app: str, holder: Ref | None = None) -> str:
    for name, who, path, line in plan.wanted.places:
        if name == app and holder in (None, who):
            return f"{path}:{line}: "
    return ""
