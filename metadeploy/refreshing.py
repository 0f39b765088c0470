"""Edge: refresh tokens that serve once: the newest is on disk before it matters.

Where an app rotates refresh tokens, each answer brings the next one, and whoever sends
an old one again ends all of its tokens (RFC 9700 section 4.14.2). So processes take
turns, and each uses what the one before it was given.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from msgspec import Struct

from metadeploy.auth import Session
from metadeploy.errors import AuthError, ConfigError
from metadeploy.model import Secret

_LOCK_SECONDS = 300.0
# More than any token takes: room on the disk is there before the org is asked.
_ROOM = 16_384


class RefreshTokens(Struct, frozen=True):
    """The newest refresh tokens of a project, each for one org and one app.

    folder: for the owner alone; made when there is something to keep.
    """

    folder: Path

    def renewed(
        self,
        org: str,
        client_id: str,
        given: Secret,
        ask: Callable[[Secret], Session],
    ) -> Session:
        """Return the session that `ask` gets for the newest refresh token.

        given: as the user gave it; what came of it in former runs is used instead, and
        nothing of the kind once another one is given. The token that comes with the
        answer is on disk before this returns. Raises what `ask` raises, and
        ConfigError where tokens cannot be kept.
        """
        place = hashlib.sha256(f"{org}\0{client_id}".encode()).hexdigest()[:32]
        path = self.folder / f"{place}.json"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            # flock: the system frees it when a process dies.
            lock = FileLock(self.folder / f"{place}.lock", mode=0o600)
            with lock.acquire(timeout=_LOCK_SECONDS):
                return _renewed(path, given, ask)
        except Timeout as error:
            raise AuthError(
                f"another process has been logging in to {org} for"
                f" {_LOCK_SECONDS:.0f} s: a refresh token serves one at a time",
                hint="Wait for it, or end it; then run the same command again.",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot keep a refresh token: {error.strerror or 'it failed'}",
                hint="Look after .metadeploy/tokens in the project: disk space, owner,"
                " rights. Log in anew if the org does not take the token any more.",
            ) from error


def _renewed(path: Path, given: Secret, ask: Callable[[Secret], Session]) -> Session:
    newest = _kept(path, given) or given
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)  # of a process that died: we alone hold the lock
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            # A full disk is met before the old token is spent, not after.
            file.write(b" " * _ROOM)
            _to_disk(file)
            session = ask(newest)
            if session.refresh_token is None or session.refresh_token == newest:
                return session
            file.seek(0)
            file.write(_written(given, session.refresh_token))
            _to_disk(file)
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return session
    finally:
        draft.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _written(given: Secret, newest: Secret) -> bytes:
    said = {"ancestor": _fingerprint(given), "token": newest.reveal()}
    return json.dumps(said).encode()


def _kept(path: Path, given: Secret) -> Secret | None:
    """Return what came of `given`, None where nothing did. Raises ConfigError."""
    try:
        found = json.loads(path.read_bytes())
        ancestor, token = str(found["ancestor"]), str(found["token"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # To send an old token could end the newest one as well.
        raise ConfigError(
            f".metadeploy/tokens/{path.name} is damaged: it held the newest refresh"
            " token",
            hint="Log in anew, give the new refresh token, and delete that file.",
        ) from None
    same = hmac.compare_digest(ancestor, _fingerprint(given))
    return Secret(token) if same else None


def _fingerprint(token: Secret) -> str:
    """Return what tells whether a token is the same one, and not which it is."""
    return hmac.digest(
        b"metadeploy refresh token", token.reveal().encode(), "sha256"
    ).hex()
