"""Components for the tests of rules, and what the rules say of them."""

from __future__ import annotations

from metadeploy import rules
from metadeploy.model import METADATA_NS, Component, Ref

APP = Ref("ConnectedApp", "Portal")
SET = Ref("PermissionSet", "Portal_API")


def component(ref: Ref, *lines: str, root: str = "") -> Component:
    """A component whose body has the root on line 1 and `lines` from line 2."""
    name = root or ref.type
    body = "\n".join([f'<{name} xmlns="{METADATA_NS}">', *lines, f"</{name}>"])
    return Component(ref, body.encode())


def app(*lines: str) -> Component:
    """A connected app: email and label on lines 2 and 3, `lines` from line 4."""
    head = ("<contactEmail>a@example.com</contactEmail>", "<label>Portal</label>")
    return component(APP, *head, *lines)


def oauth(*lines: str) -> Component:
    """A connected app with an oauthConfig whose `lines` are from line 6."""
    url = "<callbackUrl>https://a.example.com/cb</callbackUrl>"
    return app("<oauthConfig>", url, *lines, "</oauthConfig>")


def found(*components: Component, version: str = "66.0") -> list[str]:
    """What `check` says, without the file's path: "line: message [rule]"."""
    problems = rules.check(components, api_version=version)
    return [str(p).partition(":")[2] for p in problems]
