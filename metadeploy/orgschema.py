"""docs/org.schema.json: what an org file may say, as editors understand it.

Written by `python -m metadeploy.orgschema > docs/org.schema.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from metadeploy import orgfile

FILE = "docs/org.schema.json"

_SECRET = {"env": "UAT_SECRET"}
# What an editor, and docs/reference/org-file.md, show beside each key: what it means,
# and an example.
SAYS: Mapping[str, Mapping[str, tuple[str, Any]]] = {
    "OrgFile": {
        "kind": ("What the org is. An emulated one lives on this machine.", "sandbox"),
        "org_id": (
            "The Id that pins the org (00D…): any other at that URL is refused.",
            "00DWs000003xYZ1MAM",
        ),
        "login": (
            "How metadeploy itself logs in. An emulated org needs none.",
            {"flow": "sf", "username": "uat"},
        ),
        "api_version": ("The package's API version, such as '66.0'.", "66.0"),
        "tags": ("Names that commands take as tag:NAME.", ["uat", "emea"]),
        "promote_from": ("The org that this one follows.", "sit"),
        "templates": (
            "The templates that this org gets, such as profiles/*; default: all.",
            ["connectedApps/Portal*", "permissionsets/*"],
        ),
        "policy": (
            "Policies whose rules count here. isv: what Salesforce asks of vendors.",
            ["isv"],
        ),
        "suppress": (
            "Warnings and policies' rules that may be broken here, and why.",
            [{"rule": "MD701", "reason": "The portal opens reports"}],
        ),
        "values": (
            "What templates use, by name.",
            {"portal": {"url": "https://uat.portal.acme.com"}},
        ),
        "apps": (
            "What single apps are in this org, by API name.",
            {"Portal": {"generation": 2}},
        ),
        "emulator": (
            "What an emulated org has, allows and is like.",
            {"kind": "sandbox"},
        ),
    },
    "Login": {
        "flow": ("The way to log in; docs/logins.md explains each.", "jwt"),
        "url": (
            "Where; for sfdx_auth_url and sf it is known, and may be overruled.",
            "https://acme--uat.sandbox.my.salesforce.com",
        ),
        "username": ("Who; for sf, an alias will do.", "deploy@acme.com.uat"),
        "audience": (
            "Whom a JWT is for, where the org takes nothing else than a login host.",
            "https://test.salesforce.com",
        ),
        "client_id": (
            "The consumer key of the app to log in by, or where it is.",
            {"env": "UAT_CLIENT_ID"},
        ),
        "client_secret": ("Where that app's secret is.", _SECRET),
        "private_key": ("Where the key is that signs.", {"file": "~/.keys/uat.key"}),
        "refresh_token": ("Where the refresh token is.", {"keyring": "uat"}),
        "access_token": (
            "Where the access token is; default: {env: SF_ACCESS_TOKEN}.",
            {"env": "UAT_TOKEN"},
        ),
        "auth_url": (
            "Where the SFDX auth URL is; default: {env: SFDX_AUTH_URL}.",
            {"file": "~/.keys/uat.url"},
        ),
        "password": (
            "Where the password is, the security token behind it.",
            {"command": ["pass", "show", "uat"]},
        ),
    },
    "SecretSource": {
        "env": ("The variable of the environment that holds it.", "UAT_KEY"),
        "file": ("The file that holds it.", "~/.keys/uat.key"),
        "command": (
            "What prints it, without a shell, and not before `metadeploy trust`.",
            ["pass", "show", "uat"],
        ),
        "keyring": ("Its name in the OS keyring, below metadeploy-orgs.", "uat"),
    },
    "App": {
        "kind": (
            "What a ConnectedApp template makes of the app here.",
            "external_client_app",
        ),
        "generation": ("Raised, a connected app gets a new key.", 2),
        "consumer_key": (
            "A key that is pinned instead of derived: it was known before.",
            "3MVG9…",
        ),
        "login": (
            "How `verify` proves the app: one way, or a list of them.",
            {"flow": "jwt", "username": "a@acme.com", "private_key": _SECRET},
        ),
    },
    "AppLogin": {
        "flow": (
            "jwt needs username and private_key, refresh_token its token.",
            "jwt",
        ),
        "username": ("Who logs in.", "clerk@acme.com"),
        "private_key": (
            "Where the key is that signs; its certificate is the app's.",
            {"file": "~/.keys/portal.key"},
        ),
        "audience": (
            "Whom the JWT is for; default: the org's own URL.",
            "https://test.salesforce.com",
        ),
        "refresh_token": (
            "Where a refresh token of the app is.",
            {"env": "PORTAL_REFRESH"},
        ),
        "client_secret": (
            "Where the app's secret is; default: it is derived.",
            _SECRET,
        ),
        "expect": ("refused: the user must not get in.", "refused"),
    },
    "Suppress": {
        "rule": ("The rule's id; docs/rules.md has them all.", "MD701"),
        "reason": ("Why it may be broken.", "The portal opens reports"),
        "templates": (
            "Only what these templates make; default: all.",
            ["connectedApps/Portal*"],
        ),
    },
    "Emulator": {
        "kind": ("What the emulated org says that it is.", "sandbox"),
        "edition": (
            "Its Organization.OrganizationType; default: that of the kind.",
            "Enterprise Edition",
        ),
        "connected_app_creation": (
            "Whether connected apps may be created; blocked since Spring '26.",
            "blocked",
        ),
        "eca_consumer_keys": (
            "A new External Client App may bring its own consumer key.",
            False,
        ),
        "secrets_in_rest": (
            "Keys and secrets of External Client Apps can be had by REST.",
            False,
        ),
        "api_access_control": (
            "Only admin-approved apps may use the API.",
            True,
        ),
        "api_access_control_available": ("A deploy may switch that.", True),
        "installed_apps": (
            "Labels of other orgs' apps that are installed here.",
            ["Acme Sync"],
        ),
        "soap_login": ("SOAP login() works.", False),
        "soap_login_newest": ("Up to this API version.", 60),
        "deploy_polls": (
            "Status calls until a deploy is done; 0: done at once.",
            3,
        ),
        "retrieve_polls": ("The same for a retrieve.", 2),
        "app_propagation_polls": (
            "How often OAuth does not know a new app's key yet.",
            5,
        ),
        "access_token_minutes": (
            "The lifetime of an access token, where the app sets none.",
            15,
        ),
        "licenses": (
            "User licences beside those that every org has.",
            ["Partner Community"],
        ),
        "profiles": (
            "Further profiles, and the licence of each.",
            {"Partners": "Partner Community"},
        ),
        "users": (
            "Users beside admin@, user@ and integration@<org>.emulated.",
            [{"username": "clerk@acme.example"}],
        ),
    },
    "EmulatedUser": {
        "username": ("Unique in all emulated orgs.", "clerk@acme.example"),
        "profile": ("The profile's name as people see it.", "System Administrator"),
    },
}


def text() -> str:
    """Return the whole file: JSON Schema, draft 2020-12."""
    found = orgfile.schema()
    for struct, keys in SAYS.items():
        properties = found["$defs"][struct]["properties"]
        for name, (says, example) in keys.items():
            told = {"description": says, "examples": [example]}
            properties[name] = {**told, **properties[name]}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An org file of metadeploy",
    }
    return json.dumps({**head, **found}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
