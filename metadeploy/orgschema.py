"""docs/org.schema.json: what an org file may say, as editors understand it.

Written by `python -m metadeploy.orgschema > docs/org.schema.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from metadeploy import orgfile

FILE = "docs/org.schema.json"

# What an editor shows beside a key of an org file.
_SAYS: Mapping[str, str] = {
    "kind": "What the org is. An emulated one lives on this machine.",
    "org_id": "The Id that pins the org (00D…): any other at that URL is refused.",
    "login": "How metadeploy itself logs in. An emulated org needs none.",
    "api_version": "The package's API version, such as '66.0'.",
    "tags": "Names that commands take as tag:NAME.",
    "promote_from": "The org that this one follows.",
    "templates": "The templates that this org gets, such as profiles/*; default: all.",
    "policy": "Policies whose rules count here. isv: what Salesforce asks of vendors.",
    "suppress": "Warnings and policies' rules that may be broken here, and why.",
    "values": "What templates use, by name.",
    "apps": "What single apps are in this org, by API name.",
    "emulator": "What an emulated org has, allows and is like.",
}


def text() -> str:
    """Return the whole file: JSON Schema, draft 2020-12."""
    found = orgfile.schema()
    properties = found["$defs"]["OrgFile"]["properties"]
    for name, says in _SAYS.items():
        properties[name] = {"description": says, **properties[name]}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An org file of metadeploy",
    }
    return json.dumps({**head, **found}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
