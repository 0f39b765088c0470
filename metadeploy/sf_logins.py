"""Edge: the logins that the Salesforce CLI has on this machine. Read, never written.

Source: Salesforce CLI 2.146 (@salesforce/core 8), observed: ~/.sfdx/alias.json,
~/.sfdx/<username>.json, and the key in ~/.sfdx/key.json or the system's keychain.
Texts are AES-256-GCM, `iv cipher ":" tag` in hexadecimal. In version 1, key and iv
are their hexadecimal digits as text; in version 2, with a key of 64 digits, they are
what the digits stand for.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from metadeploy import secretsource
from metadeploy.errors import ConfigError
from metadeploy.model import Secret

_SEALED = re.compile("[0-9a-f]{12,}:[0-9a-f]{32}")
_KEY = re.compile("[0-9a-f]{32}|[0-9a-f]{64}")
_KEYCHAIN_SECONDS = 60
_KEYCHAINS = {
    "darwin": ["security", "find-generic-password", "-a", "local", "-s", "sfdx", "-w"],
    "linux": ["secret-tool", "lookup", "user", "local", "domain", "sfdx"],
}
_NO_KEYCHAIN = ("SF_USE_GENERIC_UNIX_KEYCHAIN", "USE_GENERIC_UNIX_KEYCHAIN")


class SfLogin(Struct, frozen=True):
    """One login of the Salesforce CLI, "" and None for what it does not hold.

    org_id: as it is written there. private_key: the path of a file.
    """

    username: str
    org_id: str
    url: str
    client_id: str
    client_secret: Secret | None
    access_token: Secret | None
    refresh_token: Secret | None
    private_key: str


def read(name: str, home: Path) -> SfLogin:
    """Return a login by its username or alias. Raises ConfigError.

    home: the folder that .sfdx is in.
    """
    folder = home / ".sfdx"
    username = _aliases(folder).get(name, name)
    if "/" in username or "\\" in username:
        raise ConfigError(f"{username!r} is no username")
    found = _json(folder / f"{username}.json")
    if found is None:
        raise ConfigError(
            f"the Salesforce CLI has no login of {name} on this machine",
            hint="Log in by `sf org login web --alias NAME`; `sf org list` shows which"
            " there are.",
        )
    texts = {k: v for k, v in found.items() if isinstance(v, str)}
    sealed = any(_SEALED.fullmatch(text) for text in texts.values())
    key = _key(folder) if sealed else ""

    def secret(field: str) -> Secret | None:
        text = texts.get(field, "")
        if _SEALED.fullmatch(text):
            return _opened(text, key)
        return Secret(text) if text else None

    return SfLogin(
        username=username,
        org_id=texts.get("orgId", ""),
        url=texts.get("instanceUrl", ""),
        client_id=texts.get("clientId", ""),
        client_secret=secret("clientSecret"),
        access_token=secret("accessToken"),
        refresh_token=secret("refreshToken"),
        private_key=texts.get("privateKey", ""),
    )


def _aliases(folder: Path) -> dict[str, str]:
    found = (_json(folder / "alias.json") or {}).get("orgs")
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)}


def _json(path: Path) -> dict[str, object] | None:
    """Return an object that the CLI wrote, None where there is no such file."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            hint="Log in again with the Salesforce CLI, as the same user.",
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        # Not "from": what was read may be in it.
        raise ConfigError(
            f"cannot read {path}: it is no JSON object",
            hint="Log in again with the Salesforce CLI: it writes the file anew.",
        ) from None
    return found


def _key(folder: Path) -> str:
    """Return the key that the CLI seals its texts with. Raises ConfigError."""
    in_file = any(os.environ.get(name, "").lower() == "true" for name in _NO_KEYCHAIN)
    command = None if in_file else _KEYCHAINS.get(sys.platform)
    key = _asked(command) if command is not None else ""
    if not key:
        key = str((_json(folder / "key.json") or {}).get("key", ""))
    if not _KEY.fullmatch(key):
        raise ConfigError(
            "the key to the Salesforce CLI's logins is neither in the system's keychain"
            " nor in ~/.sfdx/key.json",
            hint="Run metadeploy where `sf` itself runs, or choose another `flow`.",
        )
    return key


def _asked(command: list[str]) -> str:
    """Return what the system's keychain has, "" where there is no keychain."""
    import subprocess  # most orgs are not logged in to this way

    try:
        done = subprocess.run(  # noqa: S603 - no word of it comes from outside
            command,
            env=secretsource.child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_KEYCHAIN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace").strip()


def _opened(text: str, key: str) -> Secret:
    body, _, tag = text.partition(":")
    new = len(key) == 64
    digits = 24 if new else 12
    try:
        iv = bytes.fromhex(body[:digits]) if new else body[:digits].encode()
        cipher = AESGCM(bytes.fromhex(key) if new else key.encode())
        sealed = bytes.fromhex(body[digits:] + tag)
        return Secret(cipher.decrypt(iv, sealed, None).decode())
    except (InvalidTag, ValueError):
        raise ConfigError(
            "the key does not open what the Salesforce CLI has stored",
            hint="Log in by `sf org login web` again: sf has made another key since.",
        ) from None
