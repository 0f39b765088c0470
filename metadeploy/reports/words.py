"""How plans and proofs are put into words, wherever they are shown."""

from __future__ import annotations

from metadeploy.delta import Delta
from metadeploy.diff import Action, Value
from metadeploy.plan import NewKey, Plan
from metadeploy.proof import Proof

_LONGEST_VALUE = 200


def summary(plan: Plan | Delta) -> str:
    """Return how much there is to do, as a sentence."""
    counts = [
        (Action.CREATE, "to create"),
        (Action.UPDATE, "to update"),
        (Action.DELETE, "to delete"),
    ]
    parts = [
        f"{n} {words}"
        for action, words in counts
        if (n := sum(c.action is action for c in plan.changes)) or action != "delete"
    ]
    grants = sum(a.action is Action.GRANT for a in plan.access_changes)
    revokes = len(plan.access_changes) - grants
    parts.append(f"access: {grants} granted, {revokes} revoked")
    return f"{', '.join(parts)}."


def key_text(new: NewKey) -> str:
    """Say where the key of a new app comes from."""
    if new.choice.pinned:
        return "pinned"
    return f"derived for this org, generation {new.choice.generation}"


def value_text(value: Value | None) -> str:
    """Return a value for a person; None is what is not there."""
    if value is None:
        return "(none)"
    if isinstance(value, tuple):
        return ", ".join(value) or "(empty)"
    if len(value) > _LONGEST_VALUE:
        return f"{value[:40]}… ({len(value):,} characters)"
    return value or "(empty)"


def proof_mark(proof: Proof) -> str:
    """Say how a token request ended."""
    if proof.ok is None:
        return "not tried"
    if proof.got_token:
        wrong = "LOGGED IN" if proof.expected == "refused" else "WRONG SCOPES"
        return "logged in" if proof.ok else wrong
    return "refused, as it has to be," if proof.ok else "REFUSED"
