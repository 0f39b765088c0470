"""The flow's doubt: a deploy was sent, and its answer never came. Is it in the org?

The Metadata API has no idempotency key. So every package is in a folder that bears
the run's id, which the org repeats in the file names of its answer; and before each
package is sent we note which deploys the org knows, so what is new there is told
without trusting any clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import TypeVar

from msgspec import Struct

from metadeploy import schema
from metadeploy.errors import LostAnswer, MetadeployError
from metadeploy.model import DeployRequest, DeployResult, Ref
from metadeploy.reading import patiently, pauses
from metadeploy.target import Target

T = TypeVar("T")

_PREFIX = "md_"


class Question(Struct, frozen=True):
    """A package that may be in the org.

    folder: what it is in, in its zip. refs: its components. known: the ids of deploys
    that the org had before it was sent.
    """

    folder: str
    refs: frozenset[Ref]
    check_only: bool
    known: tuple[str, ...]


def folder_of(run_id: str, number: int) -> str:
    """Return the folder that marks package `number` of a run as ours."""
    return f"{_PREFIX}{run_id}_{number}"


class _Whose(Enum):
    """What a deploy that the org lists is to us. ALIKE: it has our components."""

    OURS = auto()
    ALIKE = auto()
    OTHERS = auto()
    UNTOLD = auto()


def find(target: Target, question: Question) -> str | None:
    """Return the id of the deploy that the org made of a package, None for none.

    None only after the org showed no such deploy for the target's whole window. Raises
    LostAnswer when time is over, or the org does not let anybody look: nobody knows.
    """
    target.progress.step("the answer was lost: asking the org what it has")
    closed = target.clock.now() + target.limits.window
    whose: dict[str, _Whose] = {}
    for pause in pauses():
        for seen in _asked(target, target.data.deploys):
            if seen.id in question.known:
                continue
            if whose.get(seen.id, _Whose.UNTOLD) is _Whose.UNTOLD:
                whose[seen.id] = _whose(target, seen, question)
            if whose[seen.id] is _Whose.OURS:
                return seen.id
        now, untold = target.clock.now(), _Whose.UNTOLD in whose.values()
        if now >= closed and not untold:
            # Some orgs may not repeat folders: then its components have to tell.
            return next((i for i, w in whose.items() if w is _Whose.ALIKE), None)
        nap = pause if untold else min(pause, closed - now)
        if now + nap > target.limits.until:
            break
        target.clock.sleep(nap)
    raise LostAnswer(
        "nobody knows yet whether the org took the package: it was not there in time"
    )


def find_run(target: Target, run_id: str) -> str | None:
    """Return the id of the newest deploy of a run, None where the org has none.

    For a run whose journal is on another machine. Raises LostAnswer.
    """
    prefix = f"{_PREFIX}{run_id}_"
    for seen in _asked(target, target.data.deploys):
        result = _status(target, seen)
        if any(m.file_name.startswith(prefix) for m in result.messages):
            return seen.id
    return None


def _asked(target: Target, read: Callable[[], T]) -> T:
    try:
        return patiently(target, read)
    except MetadeployError as error:
        raise LostAnswer(
            "nobody knows whether the org took the package, and we cannot look:"
            f" {error.message}"
        ) from error


def _status(target: Target, seen: DeployRequest) -> DeployResult:
    return _asked(target, lambda: target.metadata.check_deploy_status(seen.id))


def _whose(target: Target, seen: DeployRequest, question: Question) -> _Whose:
    if seen.check_only != question.check_only:
        return _Whose.OTHERS
    result = _status(target, seen)
    names = [m.file_name for m in result.messages]
    if any(name.startswith(f"{question.folder}/") for name in names):
        return _Whose.OURS
    if any(name.startswith(_PREFIX) for name in names):
        return _Whose.OTHERS  # another run, or another package of this one
    if not result.done:
        return _Whose.UNTOLD
    # What was kept nothing of is in nobody's way, whosever it was.
    alike = result.success and question.refs <= set(_refs(result))
    return _Whose.ALIKE if alike else _Whose.OTHERS


def _refs(result: DeployResult) -> Iterable[Ref]:
    for message in result.messages:
        named = Ref(message.component_type, message.full_name)
        yield schema.ref_of(message.file_name) or named
