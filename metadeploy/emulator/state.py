"""Worlds of emulated orgs: who is in them, their tokens, their components.

One world holds many orgs since consumer keys and usernames are unique across all of
Salesforce. What an org's records may become is decided in `records`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias, cast

from metadeploy.emulator import ids, record_rules, records, refresh, seed
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.org_tables import API_SCOPES as API_SCOPES
from metadeploy.emulator.org_tables import NEVER as NEVER
from metadeploy.emulator.org_tables import OrgTables, digest
from metadeploy.emulator.org_tables import Plain as Plain
from metadeploy.emulator.org_tables import Record as Record
from metadeploy.emulator.org_tables import StoredComponent as StoredComponent
from metadeploy.emulator.settings import OrgSettings, settings_of
from metadeploy.emulator.sobjects import SOBJECTS, SObject, sobject
from metadeploy.emulator.store import ORG_TABLES, Store, Value
from metadeploy.model import Ref

Clock: TypeAlias = "Callable[[], float]"


@dataclass(frozen=True)
class Session:
    """A token that lives: of which org, for whom, for what, through which app."""

    org: OrgState
    user_id: str
    token: str = field(repr=False)
    scopes: tuple[str, ...]
    app: Ref | None
    expires_at: float
    kind: str = "access"
    grant_id: str = ""


def open_world(path: Path, *, clock: Clock = time.time) -> World:
    """Open the world in that file, making it (0600, its folder 0700) when absent.

    Raises ValueError for a file of another format, OSError, sqlite3.Error.
    """
    return World(Store(path), clock)


class World:
    """Many orgs in one file. Any number of threads and processes may share it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    def transaction(self) -> AbstractContextManager[None]:
        """Do all inside or nothing, alone in the whole world; nested calls join."""
        return self.store.transaction()

    def close(self) -> None:
        """Release the file."""
        self.store.close()

    # -- orgs

    def create_org(
        self, name: str, settings: OrgSettings | None = None, *, org_id: str = ""
    ) -> OrgState:
        """Make a new org with its base records. Raises ValueError for a taken name."""
        settings = settings or OrgSettings()
        org_id = org_id or ids.new_id("Organization")
        with self.transaction():
            if self.store.one("SELECT 1 FROM orgs WHERE name = ?", (name,)):
                raise ValueError(f"there is already an org named {name}")
            org = self._insert_org(name, settings, org_id)
            seed.fill(org, settings)
            org.log("org created", id=org_id)
        return org

    def _insert_org(self, name: str, settings: OrgSettings, org_id: str) -> OrgState:
        self.store.write(
            "INSERT INTO orgs (id, name, created, settings) VALUES (?, ?, ?, ?)",
            (org_id, name, self.clock(), settings.to_json()),
        )
        return self.org(name)

    def org(self, name_or_id: str) -> OrgState:
        """Return that org; an id may have 15 or 18 characters. Raises KeyError."""
        found = self.store.all(
            "SELECT key, id, name, settings FROM orgs WHERE name = ?1 OR id = ?1",
            (name_or_id,),
        )
        if not found and len(name_or_id) == 15:
            found = self.store.all(
                "SELECT key, id, name, settings FROM orgs WHERE substr(id, 1, 15) = ?",
                (name_or_id,),
            )
        if not found:
            raise KeyError(name_or_id)
        return self._org_of_row(found[0])

    def orgs(self) -> list[OrgState]:
        """Return all orgs by name."""
        rows = self.store.all("SELECT key, id, name, settings FROM orgs ORDER BY name")
        return [self._org_of_row(row) for row in rows]

    def _org_of_row(self, row: Sequence[Value]) -> OrgState:
        key, org_id, name, text = row
        return OrgState(
            self, cast(int, key), str(org_id), str(name), settings_of(str(text))
        )

    def configure_org(self, name: str, settings: OrgSettings) -> OrgState:
        """Replace an org's settings; users they name beside the old ones are added.

        What is there stays, components as well. Raises ValueError, KeyError.
        """
        with self.transaction():
            org = replace(self.org(name), settings=settings)
            self.store.write(
                "UPDATE orgs SET settings = ? WHERE key = ?",
                (settings.to_json(), org.key),
            )
            seed.add_users(org, settings.users)
            seed.install_apps(org, settings.installed_apps, by=seed.admin_of(org))
            return org

    def reset_org(self, name: str) -> OrgState:
        """Make an org as new: same name, id, settings and passwords; tokens die."""
        with self.transaction():
            old = self.org(name)
            passwords = old.passwords()
            self.delete_org(name)
            org = self.create_org(name, old.settings, org_id=old.id)
            org.keep_passwords(passwords)
            return org

    def refresh_org(self, name: str, source: str) -> OrgState:
        """Make an org a fresh copy of another: a new org id, and every token dies.

        What comes along and what changes: see `refresh`. The org keeps its settings.
        Raises KeyError for an unknown org, ValueError for a copy of itself.
        """
        if name == source:
            raise ValueError("an org cannot be refreshed from itself")
        with self.transaction():
            origin, old = self.org(source), self.org(name)
            self.delete_org(old.name)
            org = self._insert_org(old.name, old.settings, ids.new_id("Organization"))
            refresh.copy_into(origin, org)
            org.log("org refreshed", id=org.id, source=origin.id)
        return org

    def delete_org(self, name: str) -> None:
        """Forget an org; its keys and usernames are free again. Raises KeyError."""
        with self.transaction():
            org = self.org(name)
            for table in ORG_TABLES:
                # Table names are constants of `store`.
                self.store.write(f"DELETE FROM {table} WHERE org = ?", (org.key,))  # noqa: S608
            self.store.write("DELETE FROM orgs WHERE key = ?", (org.key,))
            org.log("org deleted", id=org.id)

    # -- what is unique in the world

    def org_of_token(self, token: str, *, kind: str = "access") -> Session | None:
        """Return what a living token of that kind stands for, else None."""
        row = self.store.one(
            "SELECT o.key, o.id, o.name, o.settings, t.user, t.scopes, t.app,"
            " t.expires, t.kind, t.grant_id"
            " FROM tokens t JOIN orgs o ON o.key = t.org"
            " WHERE t.hash = ? AND t.kind = ? AND t.expires > ?",
            (digest(token), kind, self.clock()),
        )
        if row is None:
            return None
        app_type, _, app_name = str(row[6]).partition(" ")
        return Session(
            self._org_of_row(row[:4]),
            user_id=str(row[4]),
            token=token,
            scopes=tuple(str(row[5]).split()),
            app=Ref(app_type, app_name) if app_type else None,
            expires_at=cast(float, row[7]),
            kind=str(row[8]),
            grant_id=str(row[9]),
        )

    def org_of_consumer_key(self, key: str) -> tuple[OrgState, Ref] | None:
        """Return the org and the app that own a consumer key: one in the world."""
        found = self.named("consumer_key", key)
        if found is None:
            return None
        org, value = found
        app_type, _, name = value.partition(" ")
        return org, Ref(app_type, name)

    def user_by_username(self, username: str) -> tuple[OrgState, Record] | None:
        """Return the user of that name, in whichever org; case does not count."""
        found = self.named("username", username.lower())
        if found is None:
            return None
        org, user_id = found
        user = org.record("User", user_id)
        return (org, user) if user else None

    def named(self, kind: str, name: str) -> tuple[OrgState, str] | None:
        """Return who holds a name that is unique in the world, and its value."""
        row = self.store.one(
            "SELECT o.key, o.id, o.name, o.settings, n.value FROM names n"
            " JOIN orgs o ON o.key = n.org WHERE n.kind = ? AND n.name = ?",
            (kind, name),
        )
        return (self._org_of_row(row[:4]), str(row[4])) if row else None

    # -- one-time and lasting grants (codes, approvals, device codes)

    def put_grant(
        self,
        kind: str,
        key: str,
        org: OrgState,
        body: Mapping[str, Plain],
        *,
        lifetime: float | None = None,
    ) -> None:
        """Keep `body` under a secret key; lifetime in seconds, None = for ever."""
        expires = NEVER if lifetime is None else self.clock() + lifetime
        self.store.write(
            "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?)",
            (kind, digest(key), org.key, json.dumps(dict(body)), expires),
        )

    def grant(self, kind: str, key: str) -> tuple[OrgState, dict[str, Plain]] | None:
        """Return what lives under the key, else None."""
        row = self.store.one(
            "SELECT o.key, o.id, o.name, o.settings, g.body FROM grants g"
            " JOIN orgs o ON o.key = g.org"
            " WHERE g.kind = ? AND g.hash = ? AND g.expires > ?",
            (kind, digest(key), self.clock()),
        )
        if row is None:
            return None
        return self._org_of_row(row[:4]), cast(
            "dict[str, Plain]", json.loads(str(row[4]))
        )

    def take_grant(
        self, kind: str, key: str
    ) -> tuple[OrgState, dict[str, Plain]] | None:
        """Return what lives under the key and end it: nobody gets it twice."""
        with self.transaction():
            found = self.grant(kind, key)
            self.store.write(
                "DELETE FROM grants WHERE kind = ? AND hash = ?", (kind, digest(key))
            )
            return found


@dataclass(frozen=True)
class OrgState(OrgTables):
    """One org of a world. Holds no state itself: everything is in the world's file."""

    # -- records

    def sobjects(self) -> tuple[str, ...]:
        """Return the names of the sObjects this org has."""
        return tuple(SOBJECTS)

    def describe(self, name: str) -> SObject:
        """Return an sObject's fields and rules. Raises Fault INVALID_TYPE."""
        found = sobject(name)
        if found is None:
            raise Fault("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def records(self, name: str) -> list[Record]:
        """Return all records of an sObject, by id. Raises Fault INVALID_TYPE."""
        return records.all_records(self, self.describe(name))

    def record(self, name: str, record_id: str) -> Record | None:
        """Return one record, the id of 15 or 18 characters; None if there is none."""
        return records.one_record(self, self.describe(name), record_id)

    def create_record(
        self, name: str, values: Mapping[str, Plain], *, as_user: str
    ) -> str:
        """Create a record by the rules of its sObject and return its id.

        as_user: the acting user's id. Raises Fault, and then nothing changed.
        """
        with self.world.transaction():
            return record_rules.create(self, self.describe(name), values, as_user)

    def update_record(
        self, name: str, record_id: str, values: Mapping[str, Plain], *, as_user: str
    ) -> None:
        """Change fields of a record. Raises Fault, and then nothing changed."""
        with self.world.transaction():
            record_rules.update(self, self.describe(name), record_id, values, as_user)

    def delete_record(self, name: str, record_id: str, *, as_user: str) -> None:
        """Delete a record and what hangs on it. Raises Fault, then nothing changed."""
        with self.world.transaction():
            record_rules.delete(self, self.describe(name), record_id, as_user)

    def keep_record(
        self, name: str, values: Mapping[str, Plain], *, by: str, record_id: str = ""
    ) -> str:
        """Store what the org itself notes (logins, authorisations); return its id.

        No rule is asked. by: the id of the user it is about.
        """
        record_id = record_id or ids.new_id(name)
        with self.world.transaction():
            records.save(self, name, record_id, values, by=by)
        return record_id

    def permissions_of(self, user_id: str) -> frozenset[str]:
        """Return which of `sobjects.PERMISSION_FIELDS` a user has."""
        return records.permissions_of(self, user_id)
