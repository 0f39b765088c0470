"""The flow of adopting: live apps of orgs → templates and values that mean the same.

Who may use an app is written into its own file, in the platform's form, since the
profiles and permission sets that have it may be nobody's templates yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from metadeploy import externalapp, keys, schema
from metadeploy.access import AppAccess, Raised, lower_access, raise_access
from metadeploy.errors import ApiFault, ConfigError
from metadeploy.lift import identifier, lift
from metadeploy.model import Component, Manifest, Ref
from metadeploy.near import nearest
from metadeploy.reading import holders_of, retrieved
from metadeploy.render import SUFFIX
from metadeploy.target import Target
from metadeploy.wanted import Wanted
from metadeploy.xmlfile import XmlError
from metadeploy.yamlfile import Plain

_FAMILY = (
    externalapp.HEADER,
    externalapp.GLOBAL,
    externalapp.SETTINGS,
    externalapp.OAUTH_POLICY,
    externalapp.POLICY,
)


class Adopted(Struct, frozen=True):
    """What adopting writes: path → template text, org → values, and what to know."""

    templates: Mapping[str, str]
    values: Mapping[str, Mapping[str, Plain]]
    notes: tuple[str, ...]


def live_app(
    target: Target, org: str, app: str, api_version: str
) -> tuple[Component, ...]:
    """Return the files of an app as an org has it, fit to be deployed again.

    Keys, secrets and what only that org may hold are taken out. Raises ConfigError
    when the org has no such app of its own.
    """
    found = _files(target, app, api_version)
    if not found:
        listed = target.metadata.list_metadata(["ConnectedApp", externalapp.HEADER])
        like = nearest(app, {row.ref.full_name for row in listed})
        hint = "Give its API name. Apps installed from elsewhere cannot be adopted."
        raise ConfigError(
            f"org {org} has no connected app or External Client App {app!r} of its own",
            hint=f"Did you mean {like}? {hint}" if like else hint,
        )
    try:
        plain = [externalapp.strip_org_bound(keys.without_key(c)) for c in found]
        raised = raise_access(plain)
    except XmlError as error:
        raise ApiFault("", f"the org returned bad XML: {error.message}") from error
    components = raised.components
    wanted = Wanted(org, api_version, components, {app: AppAccess(owned=True)})
    rows = holders_of(target, wanted).get(app)
    if rows is None or not rows[1]:
        return components
    access = {app: AppAccess(frozenset(rows[1]), owned=True)}
    return lower_access(components, Raised(components, access, {}))


def _files(target: Target, app: str, api_version: str) -> tuple[Component, ...]:
    ref = Ref("ConnectedApp", app)
    found = retrieved(target, Manifest.of([ref], api_version))
    if any(c.ref == ref for c in found):
        return tuple(c for c in found if c.ref == ref)
    listed: set[Ref] = set()
    for start in range(0, len(_FAMILY), 3):
        rows = target.metadata.list_metadata(_FAMILY[start : start + 3])
        listed |= {r.ref for r in rows if r.ref.full_name.startswith(app)}
    parts = retrieved(target, Manifest.of(listed, api_version))
    return tuple(c for c in parts if externalapp.app_of(c) == app)


def adopt(app: str, live: Mapping[str, tuple[Component, ...]]) -> Adopted:
    """Return templates and values that give each org the app that it has.

    live: org → its files of the app. Raises ConfigError where the orgs have it as
    different kinds.
    """
    kinds = {org: sorted({c.ref.type for c in files}) for org, files in live.items()}
    first = next(iter(kinds.values()))
    for org, other in kinds.items():
        if other != first:
            raise ConfigError(
                f"{app} is {' + '.join(other)} in {org}, and {' + '.join(first)} in"
                f" {next(iter(kinds))}",
                hint="Adopt the orgs one by one.",
            )
    templates: dict[str, str] = {}
    values: dict[str, dict[str, Plain]] = {org: {} for org in live}
    for kind in first:
        of_kind = {
            org: next(c for c in files if c.ref.type == kind)
            for org, files in live.items()
        }
        ref = next(iter(of_kind.values())).ref
        lifted = lift(of_kind, identifier(ref.full_name))
        templates[f"templates/{schema.path_of(ref)}{SUFFIX}"] = lifted.template
        for org, found in lifted.values.items():
            values[org].update(found)
    notes = []
    if externalapp.GLOBAL in first:
        notes.append(
            f"No org gives back the certificate of {app}: if it logs in by JWT, write"
            " the certificate into the template before the next deploy, which would"
            " clear it."
        )
    return Adopted(templates, values, tuple(notes))
