"""Consumer keys and secrets: derived from one master, never stored. Pure.

The key and secret of an app in an org are a function of the master, the org Id, the
app and its generation. So they are unique per org, the same on every machine, and
nothing is lost when a process dies between making a key and deploying it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from metadeploy.errors import ConfigError
from metadeploy.model import Secret, id18

Origin = Literal["derived", "pinned", "org"]

MASTER_BYTES = 32
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# ConnectedApp.consumerKey and consumerSecret: 8-256 alphanumeric characters; 85 is
# what Salesforce's own keys have (Metadata API guide; observed).
KEY_LENGTH = 85
SECRET_LENGTH = 64


@dataclass(frozen=True)
class Credentials:
    """What a client of an app needs; `origin` says who made the consumer key.

    consumer_secret: None where only the org knows it.
    """

    consumer_key: str
    consumer_secret: Secret | None
    origin: Origin
    generation: int


def check_master(master: Secret) -> Secret:
    """Return `master` if it is long enough to derive from, else raise ConfigError."""
    if len(master.reveal().strip()) < MASTER_BYTES:
        raise ConfigError(
            f"the master secret has fewer than {MASTER_BYTES} characters",
            hint="Make one: python -c 'import secrets; print(secrets.token_hex(32))'",
        )
    return master


def derive(master: Secret, org_id: str, app: str, generation: int) -> Credentials:
    """Return the consumer key and secret of `app` in an org.

    org_id: 15 or 18 characters. app: its fullName. generation: from 1.
    HKDF-SHA256 (RFC 5869) with the 18-character org Id as salt; equal arguments give
    equal credentials for ever, so this function never changes.
    """
    ikm = master.reveal().strip().encode()
    prk = hmac.digest(id18(org_id).encode(), ikm, hashlib.sha256)
    key = _expand(prk, f"{app}|{generation}|key", KEY_LENGTH)
    secret = _expand(prk, f"{app}|{generation}|secret", SECRET_LENGTH)
    return Credentials(key, Secret(secret), "derived", generation)


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
