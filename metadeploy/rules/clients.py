"""External Client Apps: an app, its settings and its policies fit together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from metadeploy import schema
from metadeploy.model import Problem
from metadeploy.near import did_you_mean
from metadeploy.rules.reading import (
    File,
    all_of,
    first_of,
    is_true,
    show,
    value_of,
)

_PARENT = "externalClientApplication"
_POLICY = "ExtlClntAppOauthConfigurablePolicies"
_SETTINGS = "ExtlClntAppOauthSettings"
_LIMITED = ("SpecificLifetime", "SpecificInactivity")
_MOST = 128


def check(files: Iterable[File]) -> Iterator[Problem]:
    """Yield what is wrong in a part of an External Client App by itself."""
    for file in files:
        if file.ref.type == _POLICY:
            yield from _refresh_token(file)
            yield from _client_credentials(file)
        elif file.ref.type == _SETTINGS:
            yield from _scopes(file)
            yield from _too_many(file)


def check_together(files: Iterable[File]) -> Iterator[Problem]:
    """Yield what is wrong among the External Client Apps of all files together."""
    files = list(files)
    yield from _both_kinds(files)
    yield from _parents(files)


def facts(file: File) -> Hashable:
    """Return what of a file `check_together` looks at, places apart."""
    return value_of(file.root, _PARENT)


def _both_kinds(files: list[File]) -> Iterator[Problem]:
    connected = {f.ref.full_name for f in files if f.ref.type == "ConnectedApp"}
    for file in files:
        name = file.ref.full_name
        if file.ref.type == "ExternalClientApplication" and name in connected:
            text = f"{name} is a ConnectedApp as well"
            yield file.problem("MD404", text, 1)


def _parents(files: list[File]) -> Iterator[Problem]:
    apps = [f.ref.full_name for f in files if f.ref.type == "ExternalClientApplication"]
    first: dict[tuple[str, str], File] = {}
    for file in files:
        parent = first_of(file.root, _PARENT)
        name = value_of(parent)
        if not file.ref.type.startswith("ExtlClntApp") or parent is None or not name:
            continue
        if name not in apps:
            hint = did_you_mean(name, apps, cutoff=0.8)
            text = f"there is no ExternalClientApplication {show(name)} here{hint}"
            yield file.problem("MD401", text, parent)
        other = first.setdefault((file.ref.type, name), file)
        if other.ref.full_name != file.ref.full_name:
            text = f"{show(name)} has a {file.ref.type} already: {other.ref.full_name}"
            yield file.problem("MD403", text, parent)


def _refresh_token(file: File) -> Iterator[Problem]:
    policy = first_of(file.root, "refreshTokenPolicyType")
    if policy is None or value_of(policy) not in _LIMITED:
        return
    for name in ("refreshTokenValidityPeriod", "refreshTokenValidityUnit"):
        if not value_of(file.root, name):
            text = f"refreshTokenPolicyType {value_of(policy)} needs {name}"
            yield file.problem("MD405", text, policy)


def _client_credentials(file: File) -> Iterator[Problem]:
    flow = first_of(file.root, "isClientCredentialsFlowEnabled")
    user = value_of(file.root, "clientCredentialsFlowUser")
    if flow is not None and is_true(flow) and not user:
        text = (
            "isClientCredentialsFlowEnabled is true without clientCredentialsFlowUser"
        )
        yield file.problem("MD210", text, flow)


def _scopes(file: File) -> Iterator[Problem]:
    element = first_of(file.root, "commaSeparatedOauthScopes")
    if element is None:
        return
    known = schema.scopes()
    for name in filter(None, (n.strip() for n in value_of(element).split(","))):
        if name not in known:
            hint = did_you_mean(name, known)
            text = f"commaSeparatedOauthScopes may not list {show(name)}{hint}"
            yield file.problem("MD111", text, element)


def _too_many(file: File) -> Iterator[Problem]:
    for name in ("customAttributes", "trustedIpRanges"):
        found = all_of(file.root, name)
        if len(found) > _MOST:
            text = f"there are {len(found)} {name}; {_MOST} are allowed"
            yield file.problem("MD407", text, found[_MOST])
