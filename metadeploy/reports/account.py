"""What came of orgs, as every report takes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from metadeploy.diff import AccessChange, Change
from metadeploy.errors import MetadeployError
from metadeploy.keys import Origin
from metadeploy.model import DeployMessage, Ref, secret_count, secret_texts
from metadeploy.plan import NewKey, Risk
from metadeploy.proof import Proof
from metadeploy.redact import redact
from metadeploy.reports.text import shown
from metadeploy.wanted import Wanted

Row = Change | AccessChange


class State(StrEnum):
    """How it went in an org, in a word."""

    DONE = "done"
    DIFFERS = "differs"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class KnownKey(Struct, frozen=True):
    """The consumer key that an org has for an app. origin: None where nobody knows."""

    key: str
    origin: Origin | None = None
    generation: int = 0


class Known(Struct, frozen=True):
    """What is known of an org beside what came of it.

    keys: by app, of those that the org has. recorded: the components whose drift is
    known; None where it was not looked for.
    """

    wanted: Wanted
    keys: Mapping[str, KnownKey]
    recorded: frozenset[Ref] | None = None


class Account(Struct, frozen=True):
    """What came of one org.

    said: how it went, in words of ours alone. changes, access: what is planned or was
    deployed. left, left_access: what the org still has otherwise than it has to be.
    drift, drift_access: what somebody else has changed. refusals: what is to be
    allowed first. messages: the org's rows of a deploy. notes: what else to know.
    known: None where nothing was learned of it. With an error, what is planned may or
    may not have come about.
    """

    org: str
    state: State
    said: str
    org_id: str = ""
    changes: tuple[Change, ...] = ()
    access: tuple[AccessChange, ...] = ()
    replaced: tuple[Ref, ...] = ()
    new_keys: tuple[NewKey, ...] = ()
    left: tuple[Change, ...] = ()
    left_access: tuple[AccessChange, ...] = ()
    drift: tuple[Change, ...] = ()
    drift_access: tuple[AccessChange, ...] = ()
    refusals: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    proofs: tuple[Proof, ...] = ()
    messages: tuple[DeployMessage, ...] = ()
    notes: tuple[str, ...] = ()
    error: MetadeployError | None = None
    known: Known | None = None

    @property
    def planned(self) -> tuple[Row, ...]:
        return *self.changes, *self.access

    @property
    def differing(self) -> tuple[Row, ...]:
        return *self.left, *self.left_access

    @property
    def drifted(self) -> tuple[Row, ...]:
        return *self.drift, *self.drift_access


class Report(Struct, frozen=True):
    """What came of a command. error: what ended it before all orgs had their turn.

    folder: of the project in its repository, "" for its root. at: when it was made,
    with its zone.
    """

    command: str
    accounts: tuple[Account, ...]
    error: MetadeployError | None = None
    folder: str = ""
    at: datetime | None = None


def told(text: str) -> str:
    """Return text for a report: without secrets, and with nothing that hides in it.

    An org may say again what it was sent.
    """
    return _told(text, secret_count())


@lru_cache(maxsize=1 << 15)
def _told(text: str, count: int) -> str:
    # Secrets are never forgotten: as many of them are the same ones.
    return shown(redact(text, secret_texts()))


def error_text(error: MetadeployError) -> str:
    """Return what happened, and what to do."""
    return told("\n".join(filter(None, (error.message, error.hint))))
