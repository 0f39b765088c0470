"""The flow's examination of an org before anything is sent: what will work, and what
to do where something will not. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from metadeploy import package
from metadeploy.errors import MetadeployError
from metadeploy.model import METADATA_NS, Component, DeployOptions, Ref
from metadeploy.orgfile import Org
from metadeploy.plan import OrgFacts
from metadeploy.planning import ASKING, CREATION_BLOCKED
from metadeploy.reading import wait
from metadeploy.target import Target

Status = Literal["ok", "warning", "failed"]

# A JWT lives three minutes at most, so that this much is told before it matters.
_WRONG_CLOCK_SECONDS = 60.0
_CREATION_SECONDS = 600.0


class Check(Struct, frozen=True):
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    status: Status
    found: str
    advice: str = ""


class Served(Struct, frozen=True):
    """What a server says to anybody: its API versions, and what time it has.

    versions: such as "66.0", as the server lists them. date: seconds since the epoch,
    None where it does not say.
    """

    versions: tuple[str, ...]
    date: float | None


class Server(Protocol):
    """An org's server, before anybody is logged in."""

    def served(self) -> Served: ...


class Session(Protocol):
    """What a session tells of itself, beside what every Target can do."""

    def has_jwt_token(self) -> bool: ...
    def permissions(self, names: Iterable[str]) -> Mapping[str, bool]: ...
    def last_deploy(self) -> str: ...


class Patient(Struct, frozen=True):
    """An org, and how to get at it.

    server, log_in: raise MetadeployError where they cannot. clock: returns this
    machine's time, in seconds since the epoch. grants: templates give connected apps
    to profiles or permission sets, which takes more permissions.
    """

    org: Org
    server: Callable[[], Server]
    log_in: Callable[[], tuple[Target, Session]]
    clock: Callable[[], float]
    grants: bool = False


def examine(patient: Patient, *, creation: bool = False) -> tuple[Check, ...]:
    """Return what was found, each check on its own: one that fails stops no other.

    creation: ask, by a check-only deploy that waits its turn in the org's queue,
    whether connected apps may be created.
    """
    return tuple(_checks(patient, creation=creation))


def _checks(patient: Patient, *, creation: bool) -> Iterator[Check]:
    yield from _server(patient)
    try:
        target, session = patient.log_in()
    except MetadeployError as error:
        yield _failed("login", error)
        return
    yield _login(patient.org)
    if session.has_jwt_token():
        yield Check("token", "failed", "its format is JWT", _JWT_ADVICE)
    else:
        yield Check("token", "ok", "opaque: good for REST and SOAP")
    try:
        facts = target.data.facts()
    except MetadeployError as error:
        yield _failed("rest", error, _API_ADVICE)
    else:
        yield Check("rest", "ok", f"answers: {facts.name}")
        yield _org_id(patient.org, facts)
        yield _kind(patient.org, facts)
    yield _soap(target)
    yield from _permissions(session, grants=patient.grants)
    yield _deploys(session)
    if creation:
        yield _creation(target, patient.org.api_version)


def _failed(name: str, error: MetadeployError, advice: str = "") -> Check:
    return Check(name, "failed", error.message, error.hint or advice)


_JWT_ADVICE = (
    "SOAP takes no such token, and will say INVALID_SESSION_ID. In the app that logs"
    ' in, turn off "Issue JSON Web Token (JWT)-based access tokens for named users".'
)
_API_ADVICE = (
    'Give the user the permission "API Enabled", and the app that logs in the scope'
    " api (or log in by another app)."
)


# Before anybody is logged in.


def _server(patient: Patient) -> Iterator[Check]:
    try:
        served = patient.server().served()
    except MetadeployError as error:
        yield _failed("server", error)
        return
    yield Check("server", "ok", "answers")
    yield _clock(served, patient.clock())
    yield _version(patient.org, served.versions)


def _clock(served: Served, now: float) -> Check:
    if served.date is None:
        return Check("clock", "warning", "the server does not say what time it is")
    off = now - served.date
    if abs(off) <= _WRONG_CLOCK_SECONDS:
        return Check("clock", "ok", f"within {_WRONG_CLOCK_SECONDS:.0f} s of the org's")
    where = "ahead of" if off > 0 else "behind"
    return Check(
        "clock",
        "warning",
        f"this machine is {abs(off):.0f} s {where} the org",
        "Have the time set by NTP. Logins by JWT go by the org's time meanwhile; other"
        " tools may be refused.",
    )


def _version(org: Org, versions: Iterable[str]) -> Check:
    numbers = sorted(float(v) for v in versions)
    version = float(org.api_version)
    if not numbers:
        return Check("api-version", "warning", "the server lists no API versions")
    span = f"the org serves {numbers[0]} to {numbers[-1]}"
    if version in numbers:
        return Check("api-version", "ok", f"{version}; {span}")
    nearest = numbers[0] if version < numbers[0] else numbers[-1]
    what = "is retired" if version < numbers[0] else "is not served yet"
    return Check(
        "api-version",
        "failed",
        f"{version} {what}; {span}",
        f'Set api_version: "{nearest}" in {org.path}.',
    )


# As whoever is logged in.


def _login(org: Org) -> Check:
    flow = org.file.login.flow if org.file.login is not None else "emulated"
    if flow == "soap":
        return Check(
            "login",
            "warning",
            "by soap: SOAP login() retires in Summer '27",
            "Move it to jwt or client_credentials: docs/logins.md.",
        )
    if flow == "access_token":
        return Check("login", "ok", "by access_token, which cannot be renewed")
    return Check("login", "ok", f"by {flow}")


def _org_id(org: Org, facts: OrgFacts) -> Check:
    if org.org_id is None:
        return Check("org-id", "ok", f"{facts.org_id}; the org file pins none")
    if org.org_id == facts.org_id:
        return Check("org-id", "ok", f"{facts.org_id}, as pinned")
    return Check(
        "org-id",
        "failed",
        f"it is {facts.org_id}, and {org.org_id} is pinned",
        f"Check which org this is, then set org_id in {org.path}. A refreshed sandbox"
        " has a new Id.",
    )


def _kind(org: Org, facts: OrgFacts) -> Check:
    said = org.file.emulator.kind if org.emulated else org.kind
    if facts.production == (said == "production"):
        return Check("kind", "ok", said)
    what = "a production org" if facts.production else "no production org"
    return Check(
        "kind",
        "failed" if facts.production else "warning",
        f"the org says that it is {what}; {org.path} says {said}",
        f"Set kind in {org.path}. What the org says is what counts.",
    )


def _soap(target: Target) -> Check:
    try:
        listed = target.metadata.list_metadata(["ConnectedApp"])
    except MetadeployError as error:
        return _failed("soap", error, _needs(["ModifyMetadata"]))
    return Check("soap", "ok", f"the Metadata API lists {len(listed)} connected apps")


# Permission → how Setup calls it. Source: Metadata API guide, ConnectedApp.
_NEEDED = {
    "ApiEnabled": "API Enabled",
    "ModifyMetadata": "Modify Metadata Through Metadata API Functions",
    "CustomizeApplication": "Customize Application",
    "ManageRemoteAccess": "Manage Connected Apps",
}
_FOR_ACCESS = {
    "ModifyAllData": "Modify All Data",
    "ManageProfilesPermissionsets": "Manage Profiles and Permission Sets",
}
_LABELS = {**_NEEDED, **_FOR_ACCESS}
_EXCESS = "ModifyAllData"


def _needs(names: Iterable[str]) -> str:
    labels = ", ".join(_LABELS[name] for name in names)
    return f"Give the user a permission set with: {labels}."


def _permissions(session: Session, *, grants: bool) -> Iterator[Check]:
    try:
        has = session.permissions(_LABELS)
    except MetadeployError as error:
        yield Check(
            "permissions",
            "warning",
            f"the org does not tell them: {error.message}",
            "Reading them takes View Setup and Configuration.",
        )
        return
    everything = has.get(_EXCESS, False)
    implied = {"ModifyMetadata", "ManageRemoteAccess"} if everything else set()
    needed = _LABELS if grants else _NEEDED
    # One that the org does not know is none that it asks for.
    missing = [n for n in needed if not has.get(n, True) and n not in implied]
    if missing:
        found = f"no {', '.join(missing)}"
        yield Check("permissions", "failed", found, _needs(missing))
    else:
        yield Check("permissions", "ok", "all that deploys need")
    if everything and not grants:
        yield Check(
            "least-privilege",
            "warning",
            f"the user has {_EXCESS}, and no template gives a connected app to anybody",
            "Log in as an integration user with a permission set of no more than:"
            f" {', '.join(_NEEDED.values())}.",
        )
    else:
        yield Check("least-privilege", "ok", "no more than templates need")


def _deploys(session: Session) -> Check:
    try:
        last = session.last_deploy()
    except MetadeployError as error:
        return Check(
            "deploy-requests",
            "warning",
            f"not readable: {error.message}",
            "A deploy whose answer is lost cannot be found again. Reading them takes"
            " View Setup and Configuration.",
        )
    return Check("deploy-requests", "ok", f"readable; the last one: {last or 'none'}")


_PROBE = Component(
    Ref("ConnectedApp", "Metadeploy_Doctor"),
    f'<ConnectedApp xmlns="{METADATA_NS}">'
    "<contactEmail>nobody@example.com</contactEmail>"
    "<label>Metadeploy Doctor</label></ConnectedApp>".encode(),
)


_LOOK = (
    "See Deployment Status in Setup; `metadeploy plan` asks for the apps of templates."
)


def _creation(target: Target, api_version: str) -> Check:
    """Have an app validated that nobody has: the org keeps nothing of it."""
    name = "app-creation"
    target.progress.step("asking whether connected apps may be created")
    files = package.files([_PROBE], api_version)
    until = target.clock.now() + _CREATION_SECONDS
    try:
        zip_bytes = package.zip_files(files, ASKING)
        deploy_id = target.metadata.deploy(zip_bytes, DeployOptions(check_only=True))
        result = wait(target, deploy_id, until=until)
    except MetadeployError as error:
        return Check(name, "warning", f"not known: {error.message}", _LOOK)
    problems = [m.problem for m in result.messages if not m.success]
    if any(CREATION_BLOCKED in problem for problem in problems):
        return Check(
            name,
            "warning",
            "the org lets nobody create connected apps",
            "Say `kind: external_client_app` of new apps in the org file, or have"
            " Salesforce support enable the creation.",
        )
    if result.success:
        return Check(name, "ok", "connected apps may be created")
    found = "; ".join(problems) or result.error_message or result.status
    return Check(name, "warning", f"not known: {found}", _LOOK)
