"""What became of a request that failed: may it be sent again, or must we look? Pure.

Source: the exception codes are the partner WSDL's; what each means for a request was
observed (see docs/reliability.md).
"""

from __future__ import annotations

from enum import StrEnum

from metadeploy.errors import (
    ApiFault,
    AuthError,
    LostAnswer,
    MetadeployError,
    Unreachable,
)
from metadeploy.model import DeployResult


class Fate(StrEnum):
    """What became of a request.

    NOT_SENT: nothing reached the org. BUSY: the org did nothing now, and may later.
    UNKNOWN: the org may have acted. REFUSED: it did nothing, and will not.
    """

    NOT_SENT = "not sent"
    BUSY = "busy"
    UNKNOWN = "unknown"
    REFUSED = "refused"


# The org says no before it begins.
_BUSY = frozenset(
    {
        "API_CURRENTLY_DISABLED",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
        "REQUEST_LIMIT_EXCEEDED",
        "UNABLE_TO_LOCK_ROW",
    }
)
# The org broke off: nobody says how far it came. (The third one was observed just
# after a deploy left Pending.)
_BROKEN = frozenset(
    {
        "SERVER_UNAVAILABLE",
        "UNKNOWN_EXCEPTION",
        "INVALID_CROSS_REFERENCE_KEY",
        "INVALID_QUERY_LOCATOR",
    }
)
# The day's requests are used up: no waiting within a run helps.
_USED_UP = "TotalRequests Limit exceeded"


def fate(error: MetadeployError) -> Fate:
    """Return what became of the request that ended with this error."""
    if isinstance(error, Unreachable):
        return Fate.NOT_SENT
    if isinstance(error, AuthError) and error.lost:
        # It was for a new session, because the org had not taken the request.
        return Fate.NOT_SENT
    if isinstance(error, LostAnswer):
        return Fate.UNKNOWN
    if isinstance(error, ApiFault):
        if error.code in _BUSY and _USED_UP not in error.message:
            return Fate.BUSY
        if error.code in _BROKEN:
            return Fate.UNKNOWN
    return Fate.REFUSED


# Somebody else holds what a deploy needed; it is over when they are done.
_LOCKS = (
    "UNABLE_TO_LOCK_ROW",
    "unable to obtain exclusive access to this record",
    "ALREADY_IN_PROCESS",
    "administration setup has already been locked",
)


def was_locked_out(result: DeployResult) -> bool:
    """Tell whether a deploy failed only because somebody else was at work."""
    if result.success:
        return False
    said = [m.problem for m in result.messages if not m.success]
    if result.error_code or result.error_message:
        said.append(f"{result.error_code} {result.error_message}")
    return bool(said) and all(any(lock in text for lock in _LOCKS) for text in said)


def kept_nothing(result: DeployResult) -> bool:
    """Tell whether an org has nothing of a deploy that did not end as Succeeded.

    Of part of it, or under a status that nobody knows, it may have what was sent.
    """
    return not (result.success or result.status == "SucceededPartial")
