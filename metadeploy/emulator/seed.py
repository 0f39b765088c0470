"""What every org holds before anybody touches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metadeploy.emulator import ids, profiles, records
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.sobjects import SOBJECTS
from metadeploy.emulator.tree import Tree, write_file
from metadeploy.model import Ref

if TYPE_CHECKING:
    from metadeploy.emulator.state import OrgState, Plain

ADMIN, STANDARD, INTEGRATION = "admin", "user", "integration"
_INTEGRATION_PROFILE = "Minimum Access - API Only Integrations"


def fill(org: OrgState, settings: OrgSettings) -> None:
    """Create the Organization, licences, profiles and users. No apps.

    Users: admin@<org>.emulated (System Administrator), user@<org>.emulated (Standard
    User), integration@<org>.emulated (API only), and those of the settings.
    """
    admin = ids.new_id("User")
    _organization(org, settings, admin)
    licenses = _licenses(org, settings)
    profile_ids = _profiles(org, settings, licenses, admin)
    own = (
        UserSpec(f"{ADMIN}@{org.name}.emulated", "System Administrator"),
        UserSpec(f"{STANDARD}@{org.name}.emulated", "Standard User"),
        UserSpec(f"{INTEGRATION}@{org.name}.emulated", _INTEGRATION_PROFILE),
    )
    for spec in (*own, *settings.users):
        user_id = admin if spec is own[0] else ids.new_id("User")
        _user(org, spec, user_id, profile_ids, admin)
    install_apps(org, settings.installed_apps, by=admin)


def install_apps(org: OrgState, labels: Iterable[str], *, by: str) -> None:
    """Register apps of other orgs that are not there yet, as an administrator does."""
    table = SOBJECTS["ConnectedApplication"]
    have = {str(record["Name"]) for record in records.all_records(org, table)}
    for label in labels:
        if label not in have:
            record_id = ids.new_id("ConnectedApplication")
            records.save(org, "ConnectedApplication", record_id, {"Name": label}, by=by)


def add_users(org: OrgState, specs: Iterable[UserSpec]) -> None:
    """Create those users that the org does not have. Raises ValueError."""
    missing = [s for s in specs if not _has_user(org, s.username)]
    if missing:
        admin = admin_of(org)
        found = {str(p["Name"]): str(p["Id"]) for p in org.records("Profile")}
        for spec in missing:
            _user(org, spec, ids.new_id("User"), found, admin)


def _has_user(org: OrgState, username: str) -> bool:
    found = org.world.named("username", username.lower())
    return found is not None and found[0].key == org.key


def admin_of(org: OrgState) -> str:
    """Return the id of the org's own administrator."""
    found = org.world.named("username", f"{ADMIN}@{org.name}.emulated".lower())
    if found and found[0].key == org.key:
        return found[1]
    users = [u for u in org.records("User") if u["IsActive"]]
    admins = {
        p["Id"] for p in org.records("Profile") if p["Name"] == "System Administrator"
    }
    return str(next(u["Id"] for u in users if u["ProfileId"] in admins))


def _organization(org: OrgState, settings: OrgSettings, admin: str) -> None:
    values: dict[str, Plain] = {
        "Name": org.name,
        "InstanceName": settings.instance_name,
        "IsSandbox": settings.is_sandbox,
        "OrganizationType": settings.organization_type,
        "LanguageLocaleKey": "en_US",
        "TimeZoneSidKey": "GMT",
        "DefaultLocaleSidKey": "en_GB",
        "FiscalYearStartMonth": 1,
    }
    if settings.namespace:
        values["NamespacePrefix"] = settings.namespace
    if settings.kind == "scratch":
        values["TrialExpirationDate"] = records.date_after(org, days=7)
    records.save(org, "Organization", org.id, values, by=admin)


def _licenses(org: OrgState, settings: OrgSettings) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in settings.licenses:
        found[name] = ids.new_id("UserLicense")
        values: dict[str, Plain] = {
            "Name": name,
            "LicenseDefinitionKey": "PID_" + name.replace(" ", "_"),
            "MasterLabel": name,
            "Status": "Active",
            "TotalLicenses": 100,
        }
        records.save(org, "UserLicense", found[name], values, by="")
    return found


def _profiles(
    org: OrgState, settings: OrgSettings, licenses: Mapping[str, str], admin: str
) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for standard in profiles.STANDARD_PROFILES:
        if standard.license in licenses:
            ref = Ref("Profile", standard.full_name)
            profile_id = org.put(ref, b"", user_id=admin)
            records.save_profile(
                org,
                profile_id,
                name=standard.name,
                license_id=licenses[standard.license],
                permissions=standard.permissions,
                by=admin,
            )
            found[standard.name] = profile_id
    for name, license_name in settings.profiles:
        tree: Tree = {"custom": ["true"], "userLicense": [license_name]}
        body = write_file("Profile", tree)
        profile_id = org.put(Ref("Profile", name), body, user_id=admin)
        records.save_profile(
            org,
            profile_id,
            name=name,
            license_id=licenses.get(license_name, ""),
            permissions=(),
            by=admin,
        )
        found[name] = profile_id
    return found


def _user(
    org: OrgState,
    spec: UserSpec,
    user_id: str,
    profile_ids: Mapping[str, str],
    admin: str,
) -> None:
    if spec.profile not in profile_ids:
        raise ValueError(f"user {spec.username}: no profile named {spec.profile}")
    if not org.claim("username", spec.username.lower(), user_id):
        raise ValueError(f"the username {spec.username} is taken in this world")
    name = spec.last_name or spec.username.partition("@")[0].title()
    values: dict[str, Plain] = {
        "Username": spec.username,
        "Name": name,
        "LastName": name,
        "Alias": name[:8].lower(),
        "Email": spec.email or spec.username,
        "IsActive": spec.active,
        "UserType": "Standard",
        "ProfileId": profile_ids[spec.profile],
        "TimeZoneSidKey": "GMT",
        "LocaleSidKey": "en_GB",
        "LanguageLocaleKey": "en_US",
        "EmailEncodingKey": "UTF-8",
    }
    records.save(org, "User", user_id, values, by=admin)
    if spec.password is not None:
        org.set_password(user_id, spec.password)
