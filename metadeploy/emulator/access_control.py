"""API Access Control, and apps of other orgs that are installed here.

Source: ConnectedAppSettings, Metadata API guide; "Manage API Access Control", help:
with it on, every app is as if admin-approved, but for who may use any client.
"""

from __future__ import annotations

from dataclasses import replace

from metadeploy.emulator import records
from metadeploy.emulator.apps import OauthApp
from metadeploy.emulator.sobjects import SOBJECTS
from metadeploy.emulator.state import OrgState, Record
from metadeploy.emulator.tree import parse, text, tree_of
from metadeploy.model import Ref

SETTINGS = Ref("Settings", "ConnectedApp")
# Which users each switch is about; the split by UserType is inferred.
SWITCHES = {
    True: "enableAdminApprovedAppsOnly",
    False: "enableAdminApprovedAppsOnlyForExternalUser",
}


def is_available(org: OrgState) -> bool:
    """Whether Support has given the org the feature, so that a deploy can switch it."""
    return org.settings.api_access_control or org.settings.api_access_control_available


def is_on(org: OrgState, *, internal: bool = True) -> bool:
    """Whether API Access Control holds: as deployed, else as the org was made.

    internal: for users of the company, else for customers and partners.
    """
    component = org.component(SETTINGS)
    said = ""
    if component is not None and component.body:
        said = text(tree_of(parse(component.body)), SWITCHES[internal])
    return said == "true" if said else org.settings.api_access_control


def holds_for(org: OrgState, user: Record) -> bool:
    """Whether a user may use only apps that he was given."""
    return is_on(org, internal=user["UserType"] == "Standard")


def as_installed(org: OrgState, app: OauthApp) -> OauthApp | None:
    """Return another org's app as this org knows it; None where it is not installed."""
    found = _id_of(org, app.label)
    return replace(app, id=found) if found else None


def _id_of(org: OrgState, label: str) -> str:
    rows = records.all_records(org, SOBJECTS["ConnectedApplication"])
    return next((str(r["Id"]) for r in rows if r["Name"] == label), "")
