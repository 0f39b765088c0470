"""OAuth scopes by either name: "chatter_api", as tokens say, or "Chatter". Pure."""

from __future__ import annotations

import re
from functools import cache

from msgspec.structs import replace

from metadeploy import schema
from metadeploy.model import Component

_LISTS = {
    "ConnectedApp": rb"(<scopes>)([^<]*)(</scopes>)",
    "ExtlClntAppOauthSettings": (
        rb"(<commaSeparatedOauthScopes>)([^<]*)(</commaSeparatedOauthScopes>)"
    ),
}


def by_metadata_name(component: Component) -> Component:
    """Return the component with its scopes named as the Metadata API names them.

    Names that are no token's stay as they are; no line moves.
    """
    pattern = _LISTS.get(component.ref.type)
    if pattern is None or not re.search(pattern, component.body):
        return component

    def named(match: re.Match[bytes]) -> bytes:
        parts = match[2].split(b",")
        return match[1] + b",".join(map(_renamed, parts)) + match[3]

    return replace(component, body=re.sub(pattern, named, component.body))


def _renamed(part: bytes) -> bytes:
    name = part.strip()
    return part.replace(name, _names().get(name, name)) if name else part


@cache
def _names() -> dict[bytes, bytes]:
    """Return token name → metadata name; of two spellings the first is meant."""
    found: dict[bytes, bytes] = {}
    for name in schema.scopes():
        found.setdefault(schema.oauth_scope(name).encode(), name.encode())
    return found
