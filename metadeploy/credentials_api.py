"""Edge: key and secret of External Client Apps over REST.

Source: Connect REST API Developer Guide, "OAuth Credentials by App ID", "OAuth Staged
Credentials" (65.0 and later). It works only while the org allows it, in Setup >
External Client App Settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from metadeploy.connection import Connection, Json, read_json
from metadeploy.errors import ApiFault, ConfigError, LostAnswer
from metadeploy.model import Secret
from metadeploy.rotation import Consumer, Staged

_OLDEST = 65.0
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_PAGES = 1000
_DISABLED = ("not currently enabled", "not enabled")


class CredentialsApi(Struct, frozen=True):
    """The credentials of one org's External Client Apps."""

    connection: Connection
    api_version: str

    def consumer(self, app: str) -> Consumer:
        """Return the OAuth consumer of an app.

        Raises ConfigError for an app that has none or several, ApiFault where the org
        does not allow it.
        """
        for row in self._apps():
            if row.get("developerName") == app:
                app_id = _identifier(row, "identifier")
                break
        else:
            raise ConfigError(
                f"the org tells of no External Client App {app}",
                hint="Deploy it first; an app of another org has its key there.",
            )
        found = _rows(self._call("GET", f"credentials/{app_id}"), "consumers")
        if len(found) != 1:
            raise ConfigError(
                f"{app} has {len(found)} consumers; 1 can be rotated",
                hint="Rotate them in Setup, under External Client App Manager.",
            )
        key = _text(found[0], "key")
        return Consumer(app, app_id, _identifier(found[0], "id"), key)

    def secret(self, consumer: Consumer) -> Secret:
        """Return the secret that belongs to the consumer's key."""
        path = f"{_path(consumer)}?part=keyandsecret"
        found = _mapping(self._call("GET", path))
        if _text(found, "key") != consumer.key:
            raise ApiFault(
                "",
                f"the key of {consumer.app} has just changed",
                hint="Somebody else rotates it. Run the same command again.",
            )
        return Secret(_text(found, "secret"))

    def staged(self, consumer: Consumer) -> Staged | None:
        """Return what is staged or was rotated out: there is one place for both."""
        try:
            answer = self._call("GET", f"{_path(consumer)}/staged")
        except ApiFault as fault:
            if fault.code == "NOT_FOUND":  # observed where nothing is staged
                return None
            raise
        rows = _rows(answer, "stagedCredentials")
        return _staged(rows[0]) if rows else None

    def stage(self, consumer: Consumer) -> Staged:
        """Have the org make a new key and secret, beside those that serve."""
        # Observed: a POST without a body hangs.
        answer = self._call("POST", f"{_path(consumer)}/staged", {})
        rows = _rows(answer, "stagedCredentials")
        if not rows:
            raise LostAnswer("the org did not say what it has staged")
        return _staged(rows[0])

    def rotate(self, consumer: Consumer, staged: Staged) -> None:
        """Have staged credentials serve; the former ones take their place."""
        path = f"{_path(consumer)}/staged/{staged.id}"
        self._call("PATCH", path, {"command": "rotate"})

    def discard(self, consumer: Consumer, staged: Staged) -> None:
        """End what is staged, or was rotated out, at once."""
        self._call("DELETE", f"{_path(consumer)}/staged/{staged.id}")

    def _apps(self) -> Iterator[Mapping[str, Json]]:
        path = "usage"
        for _ in range(_PAGES):
            page = _mapping(self._call("GET", path))
            yield from _rows(page, "apps")
            following = page.get("nextPageUrl")
            if not following:
                return
            prefix = f"{self._base}/"
            if not isinstance(following, str) or not following.startswith(prefix):
                raise LostAnswer("the org's list of apps leads elsewhere")
            path = following.removeprefix(prefix)
        raise LostAnswer("the org's list of apps has no end")

    @property
    def _base(self) -> str:
        version = max(float(self.api_version), _OLDEST)
        return f"/services/data/v{version}/apps/oauth"

    def _call(self, method: str, path: str, body: Json = None) -> Json:
        def send(token: Secret) -> Json:
            answer = self.connection.call(
                method,
                f"{self._base}/{path}",
                body=None if body is None else json.dumps(body).encode(),
                headers={
                    "Authorization": f"Bearer {token.reveal()}",
                    "Content-Type": "application/json",
                },
            )
            return read_json(answer)

        try:
            return self.connection.in_session(send)
        except ApiFault as fault:
            said = fault.message.partition(": ")[2] or fault.message
            raise ApiFault(
                fault.code, said, hint=_advice(fault) or fault.hint
            ) from fault


def _advice(fault: ApiFault) -> str:
    if any(words in fault.message for words in _DISABLED):
        return (
            'In Setup > External Client App Settings, turn on "Allow access to External'
            ' Client App consumer secrets via REST API", and off again afterwards.'
        )
    if fault.code in ("INSUFFICIENT_ACCESS", "403"):
        return (
            "The user needs the permissions External Client App Developer and View"
            " Client Secret."
        )
    return ""


def _path(consumer: Consumer) -> str:
    return f"credentials/{consumer.app_id}/{consumer.id}"


def _staged(row: Mapping[str, Json]) -> Staged:
    return Staged(
        _identifier(row, "id"),
        _text(row, "key"),
        Secret(_text(row, "secret")),
        _text(row, "state"),
        str(row.get("expirationDate") or ""),
    )


def _mapping(answer: Json | Mapping[str, Json]) -> Mapping[str, Json]:
    if not isinstance(answer, Mapping):
        raise LostAnswer("the org's answer about credentials is no object")
    return answer


def _rows(answer: Json | Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    rows = _mapping(answer).get(name)
    if not isinstance(rows, list):
        raise LostAnswer(f"the org's answer about credentials has no {name}")
    return [_mapping(row) for row in rows]


def _text(row: Mapping[str, Json], name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text:
        raise LostAnswer(f"the org's answer about credentials has no {name}")
    return text


def _identifier(row: Mapping[str, Json], name: str) -> str:
    """Return an id of an answer, fit to become part of a path."""
    text = _text(row, name)
    if not _ID.fullmatch(text):
        raise LostAnswer(f"the org's answer about credentials has an odd {name}")
    return text
