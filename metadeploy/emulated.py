"""Edge: the emulated orgs of a project: joined where they are served, else started.

Same code path either way: real HTTP on loopback. The world is one file, so a token
can be made for a server that runs in another process.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from metadeploy import privatefile
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import DEFAULT_LICENSES, OrgSettings, UserSpec
from metadeploy.emulator.state import OrgState, World, open_world
from metadeploy.errors import ConfigError
from metadeploy.model import Secret
from metadeploy.orgfile import Org

if TYPE_CHECKING:
    from metadeploy.emulator.server import RunningServer


class EmulatedLogin(Struct, frozen=True):
    """A token of an emulated org, for any client."""

    token: Secret
    org_id: str
    username: str


class EmulatedOrgs:
    """The emulated orgs of one project folder's state. A context manager."""

    def __init__(self, state: Path) -> None:
        """Open the world in the project's .metadeploy folder, which exists.

        Raises ConfigError where it cannot be used.
        """
        self._folder = state / "emulator"
        with _translated():
            privatefile.make_folder(self._folder)
            self.world: World = open_world(self._folder / "world.sqlite3")
        self._server: RunningServer | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> EmulatedOrgs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()
        self.world.close()

    def prepare(self, orgs: Iterable[Org]) -> None:
        """Make each org that is not there yet, as its file says."""
        for org in orgs:
            settings = _settings(org)
            try:
                found = self.world.org(org.name)
            except KeyError:
                self.world.create_org(org.name, settings)
            else:
                if found.settings != settings:
                    self.world.configure_org(org.name, settings)

    def serve(self, *, port: int, tls_port: int | None) -> RunningServer:
        """Serve all orgs of the world until it is stopped; others can join it."""
        server = _start(self.world, port=port, tls_port=tls_port)
        self._server = server
        note = {"url": server.url, "pid": os.getpid()}
        privatefile.replace(self._folder / "server.json", json.dumps(note).encode())
        return server

    def url(self) -> str:
        """Return where the orgs are served, starting a server if there is none."""
        with self._lock:
            if self._server is None:
                running = self.running_url()
                if running is not None:
                    return running
                self._server = _start(self.world)
            return self._server.url

    def running_url(self) -> str | None:
        """Return where another process serves the orgs, None where none does."""
        try:
            text = (self._folder / "server.json").read_text("utf-8")
            url = str(json.loads(text)["url"])
            parts = urlsplit(url)
            address = (parts.hostname or "", parts.port or 80)
            with socket.create_connection(address, timeout=0.5):
                return url
        except (OSError, ValueError, KeyError):
            return None

    def refresh(self, org: Org, source: Org) -> tuple[str, str]:
        """Refresh a sandbox from another org; return its new Id and administrator.

        All tokens of the sandbox die; what a refresh copies is copied.
        """
        if org.name == source.name:
            raise ConfigError(
                "a sandbox cannot be refreshed from itself",
                hint="Name the org that it is a copy of: --from ORG.",
            )
        self.prepare([source, org])
        self.world.refresh_org(org.name, source.name)
        return self.who(org)

    def give_password(self, org: Org, username: str) -> str:
        """Give a user a new password, for SOAP login and the login page; return it."""
        self.prepare([org])
        state = self.world.org(org.name)
        password = secrets.token_urlsafe(12)
        state.set_password(_user(state, username)[0], password)
        return password

    def faults(
        self, method: str, path: str = "", body: Mapping[str, object] | None = None
    ) -> object:
        """Ask the running server about faults on request; return its JSON, or None.

        Raises ConfigError when none runs, or it refuses what was asked.
        """
        from metadeploy.emulator.admin import admin_token

        url = self.running_url()
        if url is None:
            raise ConfigError(
                "no server runs: faults are programmed into a running one",
                hint="Start `metadeploy emulator serve` first.",
            )
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request(
                method,
                f"/emulator/faults{path}",
                None if body is None else json.dumps(body),
                {"Authorization": f"Bearer {admin_token(self._folder)}"},
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            what = f"the server at {url} does not answer: {type(error).__name__}"
            raise ConfigError(what) from error
        finally:
            connection.close()
        found: object = json.loads(text) if text else None
        if answer.status >= 400:
            reason = found.get("error") if isinstance(found, dict) else found
            raise ConfigError(
                f"no such fault: {reason}",
                hint="`metadeploy emulator fault` lists what can go wrong.",
            )
        return found

    def who(self, org: Org) -> tuple[str, str]:
        """Return an org's Id and its administrator's username."""
        state = self.world.org(org.name)
        return state.id, _user(state, None)[1]

    def login(self, org: Org, username: str | None = None) -> EmulatedLogin:
        """Return a token of an org, for its administrator if nobody is named.

        Raises ConfigError for a user that the org does not have.
        """
        with self._lock, _translated():
            self.prepare([org])
            state = self.world.org(org.name)
            user_id, found = _user(state, username)
            token = Secret(state.issue_token(user_id))
            return EmulatedLogin(token, state.id, found)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, sqlite3.Error) as error:
        raise ConfigError(
            f"the emulated orgs in .metadeploy/emulator cannot be used: {error}",
            hint="Look at the folder, and at the space on its disk.",
        ) from error


def _start(
    world: World, *, port: int = 0, tls_port: int | None = None
) -> RunningServer:
    # Loaded only here: most commands in a served world need no server of their own.
    from metadeploy.emulator.server import serve

    return serve(world, port=port, tls_port=tls_port)


def _user(state: OrgState, username: str | None) -> tuple[str, str]:
    users = {str(u["Id"]): str(u["Username"]) for u in state.records("User")}
    if username is None:
        user_id = admin_of(state)
        return user_id, users[user_id]
    found = [i for i, name in users.items() if name.lower() == username.lower()]
    if not found:
        raise ConfigError(
            f"emulated org {state.name} has no user {username}",
            hint="It has: " + ", ".join(sorted(users.values())),
        )
    return found[0], users[found[0]]


def _settings(org: Org) -> OrgSettings:
    said = org.file.emulator
    return OrgSettings(
        kind=said.kind,
        edition=said.edition,
        connected_app_creation=said.connected_app_creation,
        eca_consumer_keys=said.eca_consumer_keys,
        secrets_in_rest=said.secrets_in_rest,
        api_access_control=said.api_access_control,
        api_access_control_available=said.api_access_control_available,
        installed_apps=tuple(said.installed_apps),
        soap_login=said.soap_login,
        soap_login_newest=said.soap_login_newest,
        deploy_polls=said.deploy_polls,
        retrieve_polls=said.retrieve_polls,
        app_propagation_polls=said.app_propagation_polls,
        access_token_minutes=said.access_token_minutes,
        licenses=(*DEFAULT_LICENSES, *said.licenses),
        profiles=tuple(said.profiles.items()),
        users=tuple(UserSpec(u.username, profile=u.profile) for u in said.users),
    )
