"""The consumer keys of orgs' apps, as functions: list, hand over, rotate.

The command line is one caller.
"""

from __future__ import annotations

from msgspec import Struct

from metadeploy import externalapp, keys, login, near, rotation
from metadeploy.api import Orgs
from metadeploy.credentials_api import CredentialsApi
from metadeploy.errors import ConfigError, PlanRefused
from metadeploy.keys import Credentials, KeyChoice
from metadeploy.model import Ref
from metadeploy.reading import read_actual, resolve_names
from metadeploy.rotation import Rotation, Step


class AppKey(Struct, frozen=True):
    """The consumer key of one app in one org.

    ref: the app itself. choice: what the org file asks for. created: when the org got
    the app, as XML writes times, "" where it does not say. deployed: it has the app.
    """

    ref: Ref
    org_id: str
    credentials: Credentials
    choice: KeyChoice
    created: str
    deployed: bool

    @property
    def app(self) -> str:
        return self.ref.full_name

    @property
    def external(self) -> bool:
        return self.ref.type == externalapp.HEADER


class AppKeys:
    """The keys of the apps of a project's orgs."""

    def __init__(self, orgs: Orgs) -> None:
        self._orgs = orgs

    def of(self, name: str) -> list[AppKey]:
        """Return the consumer key of each app of an org, as the org has it."""
        org = self._orgs.project.org(name)
        wanted = self._orgs.project.wanted(org)
        target = self._orgs.target(org)
        wanted = resolve_names(target, wanted)
        actual = read_actual(target, wanted)
        apps = {c.ref: app for c in wanted.components if (app := keys.app_of(c))}
        types = {_kind(ref) for ref in apps}
        listed = target.metadata.list_metadata(sorted(types)) if types else ()
        created = {row.ref: row.created for row in listed}
        found: list[AppKey] = []
        for component in wanted.components:
            app = apps.get(component.ref)
            if app is not None:
                choice = wanted.key_choice(component, app)
                live = actual.consumer_keys.get(app)
                org_id = actual.facts.org_id
                made = keys.recognise(
                    self._orgs.masters(org), org_id, app, choice, live
                )
                ref = Ref(_kind(component.ref), app)
                found.append(
                    AppKey(
                        ref,
                        org_id,
                        made,
                        choice,
                        created.get(ref, ""),
                        live is not None,
                    )
                )
        return sorted(found, key=lambda key: key.app)

    def credentials(self, name: str, app: str, *, staged: bool = False) -> Credentials:
        """Return an app's key and, where it is known or the org tells it, its secret.

        staged: those that a rotation has staged. Raises ConfigError for an app that
        the org's templates do not make, or that has nothing staged.
        """
        found = self._app_key(name, app)
        if not staged and found.credentials.consumer_secret is not None:
            return found.credentials
        if not found.external or not found.deployed:
            if staged:
                raise _nothing_staged(name, app)
            return found.credentials
        told = self._credentials_api(name)
        consumer = told.consumer(app)
        if not staged:
            key, secret = consumer.key, told.secret(consumer)
            return Credentials(key, secret, "org", found.choice.generation)
        beside = told.staged(consumer)
        if beside is None or beside.state != "Active":
            raise _nothing_staged(name, app)
        return Credentials(beside.key, beside.secret, "org", found.choice.generation)

    def rotate(
        self,
        name: str,
        app: str,
        step: Step,
        *,
        allowed: frozenset[str] = frozenset(),
    ) -> Rotation:
        """Take one step of rotating an External Client App's key and secret.

        allowed: "production" for an org that says that it is one.
        """
        org = self._orgs.project.org(name)
        found = self._app_key(name, app)
        if not found.deployed:
            hint = f"`metadeploy deploy {name}` brings it there."
            what = f"org {name} does not have the app {app} yet"
            raise ConfigError(what, hint=hint)
        if not found.external:
            raise ConfigError(
                f"{app} is a ConnectedApp: no API rotates its key in place",
                hint=f"Raise `generation` of {app} under `apps` in {org.path}: then"
                " `metadeploy plan` shows what a new key interrupts. Or rotate it in"
                " Setup, and it has a key of the org's own.",
            )
        facts = self._orgs.target(org).data.facts()
        if facts.production and "production" not in allowed:
            what = f"{facts.name} ({facts.org_id}) is a production org"
            raise PlanRefused([f"{what}. Allow it with --production."])
        own_key = login.own_key(org, self._orgs.workspace)
        told = self._credentials_api(name)
        return rotation.rotate(told, app, step, own_key=own_key)

    def _app_key(self, name: str, app: str) -> AppKey:
        found = {k.app: k for k in self.of(name)}
        if app not in found:
            hint = near.hint(app, found, "It") or "No template makes an app for it."
            raise ConfigError(f"org {name} has no app {app}", hint=hint)
        return found[app]

    def _credentials_api(self, name: str) -> CredentialsApi:
        org = self._orgs.project.org(name)
        return CredentialsApi(self._orgs.connection(name), org.api_version)


def _nothing_staged(org: str, app: str) -> ConfigError:
    return ConfigError(
        f"nothing is staged for {app} in {org}",
        hint=f"`metadeploy keys rotate {org} --app {app}` stages a new key and secret.",
    )


def _kind(ref: Ref) -> str:
    """Return the type of the app whose key a component holds."""
    return "ConnectedApp" if ref.type == "ConnectedApp" else externalapp.HEADER
