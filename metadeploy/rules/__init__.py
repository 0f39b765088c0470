"""Everything that can be known to be wrong before any org is asked."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from datetime import datetime

from metadeploy.model import Component, Problem
from metadeploy.rules import (
    access,
    apps,
    certificates,
    clients,
    isv,
    names,
    oauth,
    security,
    structure,
)
from metadeploy.rules.orgs import Pin, check_orgs
from metadeploy.rules.registry import RULES
from metadeploy.rules.rule import Rule

__all__ = ["RULES", "Pin", "Rule", "check", "check_orgs", "check_posture"]


def check(
    components: Iterable[Component], *, api_version: str, together: bool = True
) -> list[Problem]:
    """Return what an org would refuse of its rendered components, sorted by place.

    components: as rendered, before access is lowered, so that connectedAppAccesses
    in a Profile or PermissionSet is legal.
    api_version: of the package, such as "66.0".
    together: these are all components of the org, so that they can be held against
    one another.
    """
    version = float(api_version)
    problems: list[Problem] = []
    files = []
    for component in components:
        file, unreadable = structure.read(component)
        files.append(file)
        problems += unreadable
        problems += structure.check(file, version)
        problems += apps.check(file)
    for subject in (clients.check, names.check):
        problems += subject(files)
    if together:
        for subject in (
            access.check_together,
            clients.check_together,
            names.check_together,
        ):
            problems += subject(files)
    return sorted(problems, key=lambda p: p.order)


def facts(components: Iterable[Component]) -> Hashable:
    """Return what of components `check` holds against others, places apart.

    While it stays the same, so do the problems that they have with one another.
    """
    files = [structure.read(c)[0] for c in components]
    each = tuple((f.ref, f.source.path, clients.facts(f)) for f in files)
    return each, access.facts(files)


def check_posture(
    components: Iterable[Component],
    *,
    now: datetime | None = None,
    policies: Collection[str] = (),
) -> list[Problem]:
    """Return what an org would accept of its apps, and should not, sorted by place.

    components: as they are to be deployed: an app that is made an External Client App
    is judged as one. What cannot be read is left to `check`.
    policies: names of the policies that are asked for beyond that, such as "isv".
    now: the time, with its zone, that certificates are judged at; None: not judged.
    """
    files = [structure.read(c)[0] for c in components if c.ref.type in oauth.TYPES]
    found = list(oauth.apps_of(files))
    problems = [*security.check(found), *certificates.check(found, now)]
    if "isv" in policies:
        problems += isv.check(found)
    return sorted(problems, key=lambda p: p.order)
