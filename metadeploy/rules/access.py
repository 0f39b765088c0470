"""Access: who may use which app, across profiles, permission sets and apps."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping

from lxml import etree
from msgspec import Struct

from metadeploy.model import Problem
from metadeploy.near import did_you_mean
from metadeploy.rules.reading import File, all_of, first_of, is_true, show, value_of

# An API name, or the label by which records know an app of another org.
_APP_NAME = r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,78}[^\s\x00-\x1f])?"
_POLICY = "ExtlClntAppOauthConfigurablePolicies"
_LISTS = ("commaSeparatedPermissionSet", "commaSeparatedProfile")


class _App(Struct, frozen=True):
    """What the files say of an app. approved: None where they don't say."""

    name: str
    file: File
    approval: etree._Element | None
    approved: bool | None
    granted: bool


class _Access(Struct, frozen=True):
    """One connectedAppAccesses in a Profile or PermissionSet."""

    app: str
    enabled: bool
    file: File
    element: etree._Element


def check_together(files: Iterable[File]) -> Iterator[Problem]:
    """Yield what is wrong with the access that all files together declare."""
    files = list(files)
    apps = {app.name: app for app in _apps(files)}
    accesses = list(_accesses(files))
    for access in accesses:
        yield from _access(access, apps)
    used = {access.app for access in accesses if access.enabled}
    for app in apps.values():
        if app.approved and not app.granted and app.name not in used:
            text = f"{app.name} is admin approved, but nobody may use it"
            at = app.approval if app.approval is not None else 1
            yield app.file.problem("MD304", text, at)


def facts(files: Iterable[File]) -> Hashable:
    """Return what of files `check_together` looks at, places apart."""
    files = list(files)
    accesses = tuple((a.file.ref, a.app, a.enabled) for a in _accesses(files))
    apps = tuple((a.name, a.approved, a.granted) for a in _apps(files))
    return accesses, apps


def _access(access: _Access, apps: Mapping[str, _App]) -> Iterator[Problem]:
    app = apps.get(access.app)
    if not re.fullmatch(_APP_NAME, access.app):
        text = f"{show(access.app)} cannot be the name of an app"
        yield access.file.problem("MD302", text, access.element)
    elif app is None:
        hint = did_you_mean(access.app, apps, cutoff=0.8)
        text = f"{access.app} is no app of this project{hint}"
        yield access.file.problem("MD301", text, access.element)
    elif access.enabled and app.approved is False:
        text = f"{app.name} may be used by everybody, since it is not admin approved"
        yield access.file.problem("MD303", text, access.element)


def _accesses(files: Iterable[File]) -> Iterator[_Access]:
    for file in files:
        if file.ref.type in ("Profile", "PermissionSet"):
            for element in all_of(file.root, "connectedAppAccesses"):
                name = value_of(element, "connectedApp")
                if name:
                    enabled = is_true(element, "enabled")
                    yield _Access(name, enabled, file, element)


def _apps(files: list[File]) -> Iterator[_App]:
    policies = {
        value_of(f.root, "externalClientApplication"): f
        for f in files
        if f.ref.type == _POLICY
    }
    for file in files:
        if file.ref.type == "ConnectedApp":
            yield _connected_app(file)
        elif file.ref.type == "ExternalClientApplication":
            yield _client_app(file, policies.get(file.ref.full_name))


def _connected_app(file: File) -> _App:
    oauth = first_of(file.root, "oauthConfig")
    approval = first_of(oauth, "isAdminApproved")
    named = (*all_of(file.root, "permissionSetName"), *all_of(file.root, "profileName"))
    return _App(
        name=file.ref.full_name,
        file=file,
        approval=approval,
        approved=None if oauth is None else is_true(oauth, "isAdminApproved"),
        granted=any(value_of(e) for e in named),
    )


def _client_app(file: File, policy: File | None) -> _App:
    root = policy.root if policy else None
    approval = first_of(root, "permittedUsersPolicyType")
    value = value_of(root, "permittedUsersPolicyType")
    return _App(
        name=file.ref.full_name,
        file=policy or file,
        approval=approval,
        approved=value == "AdminApprovedPreAuthorized" if value else None,
        granted=any(value_of(root, name) for name in _LISTS),
    )
