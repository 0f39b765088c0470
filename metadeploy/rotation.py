"""The flow of giving apps new keys.

An External Client App's key and secret are rotated in steps: stage, finish, discard.
Each says where the rotation is, and can be run again after a lost answer. From
"finish" until "discard", or for 30 days, both pairs serve, so that nobody is cut off.
A connected app has no such thing: it gets a key when it is created, and only then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from metadeploy import keys
from metadeploy.errors import ApiFault, ConfigError
from metadeploy.keys import Masters
from metadeploy.model import Ref, Secret
from metadeploy.plan import Actual
from metadeploy.wanted import Wanted

Step = Literal["stage", "finish", "discard"]


class Consumer(Struct, frozen=True):
    """The OAuth consumer of an app, and the key by which it serves."""

    app: str
    app_id: str
    id: str
    key: str


class Staged(Struct, frozen=True):
    """The pair beside the one that serves.

    state: "Active" is staged, "Rotated" has been rotated out and serves still,
    "Expired" serves no more. expires: as the org writes times, or "".
    """

    id: str
    key: str
    secret: Secret
    state: str
    expires: str


class Rotation(Struct, frozen=True):
    """Where a rotation is after a step.

    key: the one that serves. other: the one beside it, "" for none. changed: False
    where the step had been done before.
    """

    app: str
    step: Step
    key: str
    other: str = ""
    expires: str = ""
    changed: bool = True


class CredentialsApi(Protocol):
    """The calls that a rotation makes (see `credentials_api`)."""

    def consumer(self, app: str) -> Consumer: ...
    def staged(self, consumer: Consumer) -> Staged | None: ...
    def stage(self, consumer: Consumer) -> Staged: ...
    def rotate(self, consumer: Consumer, staged: Staged) -> None: ...
    def discard(self, consumer: Consumer, staged: Staged) -> None: ...


def rotate(
    api: CredentialsApi, app: str, step: Step, *, own_key: str | None = None
) -> Rotation:
    """Take one step of an app's rotation.

    own_key: the consumer key that metadeploy itself is logged in by: its app is never
    rotated, since the login would die with it. Raises ConfigError for a step that is
    not due.
    """
    consumer = api.consumer(app)
    beside = api.staged(consumer)
    if own_key and own_key in (consumer.key, beside.key if beside else ""):
        raise ConfigError(
            f"metadeploy is logged in to the org by {app} itself",
            hint="The login would die with the rotation. Log in by another app.",
        )
    if beside is not None and beside.state == "Expired":
        api.discard(consumer, beside)
        beside = None
    if step == "stage":
        return _stage(api, consumer, beside)
    if beside is None:
        raise ConfigError(
            f"nothing is staged for {app}, and no former key serves",
            hint="Begin with `metadeploy keys rotate`, without a flag.",
        )
    if step == "finish":
        return _finish(api, consumer, beside)
    api.discard(consumer, beside)
    return Rotation(app, step, consumer.key)


def _stage(api: CredentialsApi, consumer: Consumer, beside: Staged | None) -> Rotation:
    if beside is not None and beside.state != "Active":
        until = f" until {beside.expires}" if beside.expires else ""
        raise ConfigError(
            f"the former key of {consumer.app} serves still{until}",
            hint="An app has two keys at most. End the former one with --discard, once"
            " nobody uses it.",
        )
    staged = beside or api.stage(consumer)
    return Rotation(
        consumer.app,
        "stage",
        consumer.key,
        staged.key,
        staged.expires,
        changed=beside is None,
    )


def _finish(api: CredentialsApi, consumer: Consumer, beside: Staged) -> Rotation:
    app = consumer.app
    if beside.state != "Active":
        return Rotation(
            app, "finish", consumer.key, beside.key, beside.expires, changed=False
        )
    api.rotate(consumer, beside)
    after = api.consumer(app)
    if after.key != beside.key:
        raise ApiFault("", f"the org said yes, but {app} serves by its former key")
    former = api.staged(after)
    expires = former.expires if former is not None else ""
    return Rotation(app, "finish", after.key, consumer.key, expires)


def renewals(
    masters: Callable[[], Masters], wanted: Wanted, actual: Actual
) -> frozenset[Ref]:
    """Return the connected apps whose live key is of a lower generation than wanted.

    A key that is not derived is the org's own, whatever the org file says. masters:
    asked for only when an org file raises a generation; where there is none, no key
    can be known, and none is due.
    """
    due: set[Ref] = set()
    for component in wanted.components:
        app = component.ref.full_name
        live = actual.consumer_keys.get(app)
        choice = wanted.key_choice(component, app)
        if component.ref.type != "ConnectedApp" or live is None:
            continue
        if choice.pinned or choice.generation < 2:
            continue
        try:
            found = masters()
        except ConfigError:
            return frozenset()
        known = keys.recognise(found, actual.facts.org_id, app, choice, live)
        if known.origin != "org" and known.generation < choice.generation:
            due.add(component.ref)
    return frozenset(due)
