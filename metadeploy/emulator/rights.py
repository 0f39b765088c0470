"""What a session may call at all."""

from __future__ import annotations

from metadeploy.emulator import records
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.state import Session, World

_API_SCOPES = frozenset({"api", "full", "web"})


SESSION_MISSING = (
    "Invalid Session ID found in SessionHeader: Illegal Session. Session not found,"
    " missing session hash: EMU This error usually occurs after a session expires or"
    " a user logs out."
)


def session_of(world: World, token: str) -> Session:
    """Return what a token stands for. Raises Fault INVALID_SESSION_ID (observed)."""
    session = world.org_of_token(token) if token else None
    if session is None:
        raise Fault("INVALID_SESSION_ID", SESSION_MISSING)
    return session


def require_api(session: Session) -> frozenset[str]:
    """Return the user's permissions. Raises Fault unless scope and user allow the API.

    Observed: a token needs api, full or web. Recalled: the texts.
    """
    if _API_SCOPES.isdisjoint(session.scopes):
        raise Fault(
            "INVALID_SESSION_ID", "This session is not valid for use with the API"
        )
    given = records.permissions_of(session.org, session.user_id)
    if "ApiEnabled" not in given:
        raise Fault(
            "API_DISABLED_FOR_ORG",
            "API is not enabled for this Organization or Partner",
        )
    return given


def require_metadata_rights(session: Session) -> None:
    """Raise Fault unless the session may use the Metadata API (documented, §8)."""
    if require_api(session).isdisjoint({"ModifyMetadata", "ModifyAllData"}):
        raise Fault(
            "INSUFFICIENT_ACCESS",
            "insufficient access rights on cross-reference id: use of the Metadata API"
            " requires a user with the ModifyAllData or ModifyMetadata permissions",
        )
