"""Consumer keys and secrets: derived from one master, never stored. Pure.

The key and secret of an app in an org are a function of the master, the org Id, the
app and its generation. So they are unique per org, the same on every machine, and
nothing is lost when a process dies between making a key and deploying it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Literal

from lxml import etree
from msgspec import Struct
from msgspec.structs import replace

from metadeploy import xmlfile
from metadeploy.errors import ConfigError
from metadeploy.model import METADATA_NS, Component, Secret, Source, id18

Origin = Literal["derived", "derived (previous master)", "pinned", "org"]

MASTER_BYTES = 32
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# ConnectedApp.consumerKey and consumerSecret: 8-256 alphanumeric characters; 85 is
# what Salesforce's own keys have (Metadata API guide; observed).
KEY_LENGTH = 85
SECRET_LENGTH = 64
# How far from the generation that is asked for a live key's own is looked for.
_GENERATIONS_BEHIND, _GENERATIONS_AHEAD = 100, 10


class Masters(Struct, frozen=True):
    """The master that new keys are derived from, and the one that was it before.

    While a previous one is given, the keys that came of it are still known.
    """

    current: Secret
    previous: Secret | None = None


class Credentials(Struct, frozen=True):
    """What a client of an app needs; `origin` says who made the consumer key.

    consumer_secret: None where only the org knows it.
    """

    consumer_key: str
    consumer_secret: Secret | None
    origin: Origin
    generation: int


class KeyChoice(Struct, frozen=True):
    """What an org file says of an app's key: its generation, or the key itself."""

    generation: int = 1
    pinned: str = ""


def credentials(
    master: Secret, org_id: str, app: str, choice: KeyChoice
) -> Credentials:
    """Return the pinned key, or the derived key and secret, of an app in an org."""
    if choice.pinned:
        return Credentials(choice.pinned, None, "pinned", choice.generation)
    return derive(master, org_id, app, choice.generation)


def recognise(
    masters: Masters, org_id: str, app: str, choice: KeyChoice, live: str | None
) -> Credentials:
    """Return what we know of the key that an org has; of None, the key it will get.

    A live key may be of another generation than the org file asks for, or come of
    the previous master. One that is neither derived nor pinned is the org's own.
    """
    if live is None:
        return credentials(masters.current, org_id, app, choice)
    origin, generation = origin_of(masters, org_id, app, choice, live)
    for master, known in _derivable(masters):
        if origin == known:
            return replace(derive(master, org_id, app, generation), origin=origin)
    return Credentials(live, None, origin, generation)


def origin_of(
    masters: Masters, org_id: str, app: str, choice: KeyChoice, live: str
) -> tuple[Origin, int]:
    """Return who made the key that an org has, and its generation; makes no secret."""
    if choice.pinned == live:
        return "pinned", choice.generation
    for master, origin in _derivable(masters):
        prk = _extract(master, org_id)
        for generation in _generations(choice.generation):
            if _consumer_key(prk, app, generation) == live:
                return origin, generation
    return "org", choice.generation


def _derivable(masters: Masters) -> Iterator[tuple[Secret, Origin]]:
    yield masters.current, "derived"
    if masters.previous is not None:
        yield masters.previous, "derived (previous master)"


def _generations(asked: int) -> Iterator[int]:
    """Yield generations from 1, the one asked for first, then the nearest below."""
    yield from range(asked, max(0, asked - _GENERATIONS_BEHIND), -1)
    yield from range(asked + 1, asked + 1 + _GENERATIONS_AHEAD)


def check_master(master: Secret) -> Secret:
    """Return `master` if it is long enough to derive from, else raise ConfigError."""
    if len(master.reveal().strip()) < MASTER_BYTES:
        raise ConfigError(
            f"the master secret has fewer than {MASTER_BYTES} characters",
            hint="Make one with `metadeploy keys init`.",
        )
    return master


def derive(master: Secret, org_id: str, app: str, generation: int) -> Credentials:
    """Return the consumer key and secret of `app` in an org.

    org_id: 15 or 18 characters. app: its fullName. generation: from 1.
    HKDF-SHA256 (RFC 5869) with the 18-character org Id as salt; equal arguments give
    equal credentials for ever, so this function never changes.
    """
    prk = _extract(master, org_id)
    secret = _expand(prk, f"{app}|{generation}|secret", SECRET_LENGTH)
    key = _consumer_key(prk, app, generation)
    return Credentials(key, Secret(secret), "derived", generation)


def _extract(master: Secret, org_id: str) -> bytes:
    ikm = master.reveal().strip().encode()
    return hmac.digest(id18(org_id).encode(), ikm, hashlib.sha256)


def _consumer_key(prk: bytes, app: str, generation: int) -> str:
    return _expand(prk, f"{app}|{generation}|key", KEY_LENGTH)


def _expand(prk: bytes, info: str, length: int) -> str:
    """HKDF-Expand, written in letters and digits.

    A byte a character and 16 more: the bias of the last division is below 2**-128.
    """
    needed = length + 16
    block, stream = b"", b""
    for counter in range(1, needed // 32 + 2):
        block = hmac.digest(prk, block + info.encode() + bytes([counter]), "sha256")
        stream += block
    number = int.from_bytes(stream[:needed])
    characters = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)


# Where an app's file holds its key; both may be sent on creation only, and the
# platform refuses or ignores them later (Metadata API guide; observed).
_PLACES = {
    "ConnectedApp": "oauthConfig",
    "ExtlClntAppGlobalOauthSettings": "",
}


def app_of(component: Component) -> str | None:
    """Return the app whose key belongs in this component; None where none does."""
    if component.ref.type not in _PLACES:
        return None
    if component.ref.type == "ConnectedApp":
        return component.ref.full_name if _holder(component) is not None else None
    root = xmlfile.parse(component.body)
    return root.findtext(f"{{{METADATA_NS}}}externalClientApplication", "").strip()


def key_in(component: Component) -> str:
    """Return the consumer key that a component holds, "" for none."""
    holder = _holder(component)
    if holder is None:
        return ""
    return holder.findtext(f"{{{METADATA_NS}}}consumerKey", "").strip()


def without_key(component: Component) -> Component:
    """Return the component as it may be sent for an app that exists."""
    return _with_texts(component, {"consumerKey": None, "consumerSecret": None})


def with_key(component: Component, credentials: Credentials) -> Component:
    """Return the component as it is sent to create its app."""
    secret = credentials.consumer_secret
    return _with_texts(
        component,
        {
            "consumerKey": credentials.consumer_key,
            "consumerSecret": secret.reveal() if secret is not None else None,
        },
    )


def _holder(component: Component) -> etree._Element | None:
    name = _PLACES.get(component.ref.type)
    if name is None:
        return None
    root = xmlfile.parse(component.body)
    return root.find(f"{{{METADATA_NS}}}{name}") if name else root


def _with_texts(component: Component, texts: Mapping[str, str | None]) -> Component:
    holder = _holder(component)
    if holder is None:
        return component
    root = holder.getroottree().getroot()
    # Canonical bodies have an element a line: each new line belongs to the next one.
    before = xmlfile.canonical_lines(root)[1]
    for name, text in texts.items():
        tag = f"{{{METADATA_NS}}}{name}"
        for element in holder.findall(tag):
            holder.remove(element)
        if text is not None:
            etree.SubElement(holder, tag).text = text
    body, behind = xmlfile.canonical_lines(root)
    source = component.source
    if source is not None:
        first = {element: n for n, element in reversed(list(enumerate(before, 1)))}
        lines = tuple(source.locate(first.get(e, 1)) for e in behind)
        source = Source(source.path, lines)
    return Component(component.ref, body, source)
