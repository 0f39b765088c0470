"""Credentials beside those of an External Client App: staged, or former ones.

Documented: staged credentials serve for 30 days unless they are dropped before.
"""

from __future__ import annotations

from msgspec import Struct

from metadeploy.emulator.externalapps import GLOBAL, HEADER, satellite
from metadeploy.emulator.state import OrgState, Plain

_DAYS_30 = 30 * 86400.0
_KIND = "staged credentials"


class Staged(Struct, frozen=True):
    """One set of credentials. state: "Active" until rotated in, "Rotated" when former.

    created: seconds since the epoch.
    """

    id: str
    key: str
    secret: str
    state: str
    created: float
    created_by: str

    @property
    def expires(self) -> float:
        return self.created + _DAYS_30


def staged_of(org: OrgState, app: str) -> Staged | None:
    """Return the credentials beside an app's own ones, None where there are none."""
    found = org.world.grant(_KIND, _place(org, app))
    if found is None or satellite(org, GLOBAL, app) is None:
        return None
    kept = {name: str(value) for name, value in found[1].items()}
    return Staged(
        kept["id"],
        kept["key"],
        kept["secret"],
        kept["state"],
        float(kept["created"]),
        kept["created_by"],
    )


def put_staged(org: OrgState, app: str, staged: Staged) -> None:
    """Keep credentials beside an app's own. Former ones go on being known by key."""
    body: dict[str, Plain] = {
        "id": staged.id,
        "key": staged.key,
        "secret": staged.secret,
        "state": staged.state,
        "created": str(staged.created),
        "created_by": staged.created_by,
    }
    with org.world.transaction():
        lifetime = staged.expires - org.world.clock()
        org.world.put_grant(_KIND, _place(org, app), org, body, lifetime=lifetime)
        if staged.state == "Rotated":
            org.claim("consumer_key", staged.key, f"{HEADER} {app}")


def drop_staged(org: OrgState, app: str) -> None:
    """Forget the credentials beside an app's own; they serve no more."""
    with org.world.transaction():
        org.world.take_grant(_KIND, _place(org, app))
        component = satellite(org, GLOBAL, app)
        owner = f"{HEADER} {app}"
        org.release("consumer_key", owner)
        if component is not None:
            org.claim("consumer_key", str(component.extra["key"]), owner)


def _place(org: OrgState, app: str) -> str:
    return f"{org.id} {app}"
