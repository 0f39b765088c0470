"""What an org keeps beside its records: tokens, passwords, names, components, a log."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from metadeploy.emulator import ids
from metadeploy.emulator.profiles import built_in_body
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.store import Value
from metadeploy.model import Ref

if TYPE_CHECKING:
    from metadeploy.emulator.state import World

Plain: TypeAlias = "str | bool | int | None"
Record: TypeAlias = "Mapping[str, Plain]"

NEVER = 4102444800.0  # 2100-01-01: what does not expire
API_SCOPES = ("api", "refresh_token", "web", "openid", "id")
_HASH_ROUNDS = 20_000


@dataclass(frozen=True)
class StoredComponent:
    """One piece of metadata in an org.

    body: the file as retrieve returns it, but for what the org keeps elsewhere.
    extra: what the org knows beside the file (secret, generation, …). Times: seconds.
    """

    ref: Ref
    id: str
    body: bytes
    extra: Mapping[str, Plain]
    created_by: str
    created: float
    modified_by: str
    modified: float


@dataclass(frozen=True)
class OrgTables:
    """An org's rows in its world's file, without any rule of the platform."""

    world: World = field(repr=False, compare=False)
    key: int
    id: str
    name: str = field(compare=False)
    settings: OrgSettings = field(repr=False, compare=False)

    # -- tokens

    def issue_token(
        self,
        user_id: str,
        *,
        scopes: Iterable[str] = API_SCOPES,
        app: Ref | None = None,
        refresh: bool = False,
        lifetime: float | None = None,
        grant_id: str = "",
    ) -> str:
        """Make a token for a user of this org and return it; only its hash is kept.

        refresh: a refresh token, which opens nothing by itself. lifetime: seconds;
        None = the org's (access) or for ever (refresh). grant_id ties the tokens of
        one authorisation together, so that they can be revoked together.
        """
        now = self.world.clock()
        if lifetime is None and not refresh:
            lifetime = self.settings.access_token_minutes * 60.0
        token = ("5Aep861." + ids.letters(80)) if refresh else ids.new_token(self.id)
        self.world.store.write(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                digest(token),
                self.key,
                user_id,
                " ".join(scopes),
                f"{app.type} {app.full_name}" if app else "",
                "refresh" if refresh else "access",
                grant_id,
                now,
                NEVER if lifetime is None else now + lifetime,
            ),
        )
        return token

    def revoke_token(self, token: str) -> bool:
        """End a token; whether it lived in this org."""
        return bool(
            self.world.store.write(
                "DELETE FROM tokens WHERE hash = ? AND org = ?",
                (digest(token), self.key),
            )
        )

    def revoke_grant(self, grant_id: str) -> int:
        """End all tokens of one authorisation and return how many there were."""
        return self.world.store.write(
            "DELETE FROM tokens WHERE org = ? AND grant_id = ?", (self.key, grant_id)
        )

    def revoke_all(self, *, user_id: str = "", app: Ref | None = None) -> int:
        """End the tokens of a user, an app, both, or all; return how many."""
        sql = "DELETE FROM tokens WHERE org = ?"
        filters: list[Value] = [self.key]
        if user_id:
            sql += " AND user = ?"
            filters.append(user_id)
        if app:
            sql += " AND app = ?"
            filters.append(f"{app.type} {app.full_name}")
        return self.world.store.write(sql, filters)

    # -- passwords

    def set_password(self, user_id: str, password: str) -> None:
        """Give a user a password; only a salted hash is kept."""
        salt = os.urandom(16)
        self.world.store.write(
            "INSERT OR REPLACE INTO passwords VALUES (?, ?, ?, ?)",
            (self.key, user_id, salt, _hash(password, salt)),
        )

    def check_password(self, user_id: str, password: str) -> bool:
        """Whether this is the user's password; False where the user has none."""
        row = self.world.store.one(
            "SELECT salt, hash FROM passwords WHERE org = ? AND user = ?",
            (self.key, user_id),
        )
        if row is None:
            return False
        salt, wanted = cast("tuple[bytes, bytes]", row)
        return hmac.compare_digest(_hash(password, salt), wanted)

    def passwords(self) -> dict[str, tuple[bytes, bytes]]:
        """Return salt and hash by username, for `keep_passwords`."""
        rows = self.world.store.all(
            "SELECT n.name, p.salt, p.hash FROM passwords p JOIN names n"
            " ON n.kind = 'username' AND n.org = p.org AND n.value = p.user"
            " WHERE p.org = ?",
            (self.key,),
        )
        return {
            str(name): (cast(bytes, salt), cast(bytes, h)) for name, salt, h in rows
        }

    def keep_passwords(self, passwords: Mapping[str, tuple[bytes, bytes]]) -> None:
        """Give users of those usernames the passwords they had elsewhere."""
        for username, (salt, hashed) in passwords.items():
            found = self.world.named("username", username)
            if found and found[0].key == self.key:
                self.world.store.write(
                    "INSERT OR REPLACE INTO passwords VALUES (?, ?, ?, ?)",
                    (self.key, found[1], salt, hashed),
                )

    # -- names that are unique in the world

    def claim(self, kind: str, name: str, value: str) -> bool:
        """Take a name for this org; False when somebody in the world has it."""
        return bool(
            self.world.store.write(
                "INSERT OR IGNORE INTO names VALUES (?, ?, ?, ?)",
                (kind, name, self.key, value),
            )
        )

    def release(self, kind: str, value: str) -> None:
        """Free the names that stand for `value` in this org."""
        self.world.store.write(
            "DELETE FROM names WHERE org = ? AND kind = ? AND value = ?",
            (self.key, kind, value),
        )

    # -- components

    def components(self, metadata_type: str) -> list[StoredComponent]:
        """Return all components of a type, by fullName."""
        rows = self.world.store.all(
            _COMPONENT + " AND type = ? ORDER BY name", (self.key, metadata_type)
        )
        return [_component(row) for row in rows]

    def component_types(self) -> list[str]:
        """Return the types of which this org has a component."""
        rows = self.world.store.all(
            "SELECT DISTINCT type FROM components WHERE org = ? ORDER BY type",
            (self.key,),
        )
        return [str(row[0]) for row in rows]

    def component(self, ref: Ref) -> StoredComponent | None:
        """Return one component, or None."""
        row = self.world.store.one(
            _COMPONENT + " AND type = ? AND name = ?",
            (self.key, ref.type, ref.full_name),
        )
        return _component(row) if row else None

    def component_by_id(self, component_id: str) -> StoredComponent | None:
        """Return the component with that 18-character id, or None."""
        row = self.world.store.one(_COMPONENT + " AND id = ?", (self.key, component_id))
        return _component(row) if row else None

    def put(
        self,
        ref: Ref,
        body: bytes,
        *,
        user_id: str,
        extra: Mapping[str, Plain] | None = None,
        component_id: str = "",
    ) -> str:
        """Store a component, new or in place of the old one; return its id.

        extra: None keeps what is known. Its id, creation date and creator stay.
        """
        now = self.world.clock()
        values: tuple[Value, ...] = (
            self.key,
            ref.type,
            ref.full_name,
            component_id or ids.new_id(ref.type),
            user_id,
            now,
            json.dumps(dict(extra or {}), separators=(",", ":")),
            body,
            extra is not None,
        )
        with self.world.transaction():
            row = self.world.store.one(
                "INSERT INTO components VALUES (?1,?2,?3,?4,?5,?6,?5,?6,?7,?8)"
                " ON CONFLICT (org, type, name) DO UPDATE SET body = ?8,"
                " modified_by = ?5, modified = ?6, extra = iif(?9, ?7, extra)"
                " RETURNING id",
                values,
            )
        return str(row[0]) if row else ""

    def remove(self, ref: Ref) -> None:
        """Forget a component, if it is there; the log keeps that it was."""
        with self.world.transaction():
            found = self.component(ref)
            if found is None:
                return
            self.world.store.write(
                "DELETE FROM components WHERE org = ? AND type = ? AND name = ?",
                (self.key, ref.type, ref.full_name),
            )
            self.log(
                "component removed",
                type=ref.type,
                name=ref.full_name,
                id=found.id,
                by=found.modified_by,
            )

    # -- the log

    def log(self, event: str, **data: Plain) -> None:
        """Note what happened; secrets do not belong here."""
        self.world.store.write(
            "INSERT INTO events (org, at, event, data) VALUES (?, ?, ?, ?)",
            (self.key, self.world.clock(), event, json.dumps(data)),
        )

    def events(self) -> list[tuple[str, dict[str, Plain]]]:
        """Return what happened, oldest first, as (event, data)."""
        rows = self.world.store.all(
            "SELECT event, data FROM events WHERE org = ? ORDER BY seq", (self.key,)
        )
        return [(str(event), json.loads(str(data))) for event, data in rows]


_COMPONENT = (
    "SELECT type, name, id, body, extra, created_by, created, modified_by, modified"
    " FROM components WHERE org = ?"
)


def _component(row: Sequence[Value]) -> StoredComponent:
    kind, name, component_id, body, extra, by, created, modifier, modified = row
    return StoredComponent(
        Ref(str(kind), str(name)),
        str(component_id),
        cast(bytes, body) or built_in_body(str(name)),
        json.loads(str(extra)),
        str(by),
        cast(float, created),
        str(modifier),
        cast(float, modified),
    )


def digest(secret: str) -> bytes:
    """Return what is kept of a token or key, so that a thief of the file has none."""
    return hashlib.sha256(secret.encode()).digest()


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _HASH_ROUNDS)
