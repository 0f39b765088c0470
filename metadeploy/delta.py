"""What lies between two renderings for one org, before the org is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import externalapp, keys
from metadeploy.diff import AccessChange, Action, Change, access_changes, diff
from metadeploy.model import Component, Ref
from metadeploy.plan import NewKey
from metadeploy.wanted import Wanted


class Delta(Struct, frozen=True):
    """What turns one wanted state into another, in the order of Ref.

    replaced: apps that get another key, so that they are deleted and created anew.
    """

    changes: tuple[Change, ...]
    access_changes: tuple[AccessChange, ...]
    replaced: tuple[Ref, ...] = ()
    new_keys: tuple[NewKey, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.changes and not self.access_changes and not self.replaced


def between(was: Wanted, now: Wanted) -> Delta:
    """Return what turns `was` into `now`; both are of one org."""
    old = {c.ref: c for c in was.components}
    new = {c.ref: c for c in now.components}
    changes = diff(was.components, now.components, was.components)
    gone = (Change(Action.DELETE, ref, ()) for ref in old.keys() - new.keys())
    have = {app: said.grants for app, said in was.access.items()}
    created = (new[c.ref] for c in changes if c.action is Action.CREATE)
    return Delta(
        tuple(sorted((*changes, *gone), key=lambda c: c.ref)),
        access_changes(have, now.access),
        tuple(sorted(_replaced(old, was, new, now))),
        tuple(
            NewKey(app, c.ref, now.key_choice(c, app))
            for c in created
            if (app := keys.app_of(c))
        ),
    )


def narrowed(was: Wanted, now: Wanted, recorded: Iterable[Ref] = ()) -> Wanted:
    """Return what of `now` an edit since `was` reaches.

    An app is reached whole, with its access. What `was` made, or is recorded as
    deployed, and `now` does not make is absent, as far as it goes by being deleted.
    """
    found = between(was, now)
    refs = {c.ref for c in found.changes} | set(found.replaced)
    parts = {c.ref: app for c in now.components if (app := _app_of(c))}
    apps = {parts[ref] for ref in refs if ref in parts}
    apps |= {app for app in now.access if now.access[app] != was.access.get(app)}
    made = {c.ref for c in now.components}
    gone = ({c.ref for c in was.components} | set(recorded)) - made
    return replace(
        now,
        components=tuple(
            c for c in now.components if c.ref in refs or parts.get(c.ref) in apps
        ),
        access={app: said for app, said in now.access.items() if app in apps},
        absent=tuple(sorted(ref for ref in gone if ref.type not in _NOT_DELETED)),
        whole=len(now.components),
    )


# A profile is laid over what the org has, settings are always there, and the files of
# an External Client App go with its header.
_NOT_DELETED = frozenset(
    {
        "Profile",
        "Settings",
        externalapp.GLOBAL,
        externalapp.SETTINGS,
        *externalapp.POLICIES,
    }
)


def _app_of(component: Component) -> str | None:
    if component.ref.type == "ConnectedApp":
        return component.ref.full_name
    return externalapp.app_of(component)


def _replaced(
    old: Mapping[Ref, Component], was: Wanted, new: Mapping[Ref, Component], now: Wanted
) -> list[Ref]:
    found = []
    for ref in old.keys() & new.keys():
        app = keys.app_of(new[ref])
        if app and was.key_choice(old[ref], app) != now.key_choice(new[ref], app):
            found.append(ref)
    return found
