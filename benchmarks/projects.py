"""Projects to measure with: as many components and orgs as wanted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_NS = "http://soap.sforce.com/2006/04/metadata"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

_APP = f"""{_HEAD}<ConnectedApp xmlns="{_NS}">
    <contactEmail>{{{{ contact }}}}</contactEmail>
    <description>R&amp;D portal of {{{{ org.name }}}}</description>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>{{{{ callback_urls | join('\\n') }}}}</callbackUrl>
        <isAdminApproved>true</isAdminApproved>
        <isClientCredentialEnabled>true</isClientCredentialEnabled>
        <oauthClientCredentialUser>{{{{ user }}}}</oauthClientCredentialUser>
{{% for scope in scopes %}}
        <scopes>{{{{ scope }}}}</scopes>
{{% endfor %}}
    </oauthConfig>
    <oauthPolicy>
        <ipRelaxation>{{{{ ip_relaxation }}}}</ipRelaxation>
        <refreshTokenPolicy>infinite</refreshTokenPolicy>
    </oauthPolicy>
</ConnectedApp>
"""
_PROFILE = f"""{_HEAD}<Profile xmlns="{_NS}">
    <connectedAppAccesses>
        <connectedApp>Portal</connectedApp>
        <enabled>true</enabled>
    </connectedAppAccesses>
    <custom>true</custom>
    <description>People of {{{{ org.name }}}}</description>
    <userLicense>Salesforce</userLicense>
    <userPermissions>
        <enabled>true</enabled>
        <name>ApiEnabled</name>
    </userPermissions>
</Profile>
"""
_SET = f"""{_HEAD}<PermissionSet xmlns="{_NS}">
    <description>Set %d of {{{{ org.name }}}}</description>
    <hasActivationRequired>false</hasActivationRequired>
    <label>Set %d</label>
    <userPermissions>
        <enabled>true</enabled>
        <name>ApiEnabled</name>
    </userPermissions>
</PermissionSet>
"""
_DEFAULTS = """api_version: "66.0"
values:
  contact: platform@acme.example
  ip_relaxation: ENFORCE
  scopes: [Api, Chatter, RefreshToken]
"""
_ORG = """kind: emulated
values:
  user: integration@{name}.emulated
  callback_urls: [https://{name}.acme.example/callback]
"""


def write_project(
    folder: Path, components: int, orgs: Iterable[str], *, varying: bool = True
) -> Path:
    """Write a project of one app, one profile, else permission sets; return `folder`.

    Every component has a template of its own. varying: also permission sets have a
    value of the org in them; otherwise they are the same in all orgs.
    """
    one = _SET if varying else _SET.replace("{{ org.name }}", "all")
    templates = {
        "connectedApps/Portal.connectedApp": _APP,
        "profiles/Portal People.profile": _PROFILE,
    }
    for n in range(1, components - len(templates) + 1):
        templates[f"permissionsets/Set_{n:04}.permissionset"] = one % (n, n)
    for name, text in templates.items():
        path = folder / "templates" / f"{name}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "orgs").mkdir()
    (folder / "orgs" / "defaults.yaml").write_text(_DEFAULTS)
    for org in orgs:
        (folder / "orgs" / f"{org}.yaml").write_text(_ORG.format(name=org))
    return folder


def write_profile(path: Path, size: int, *, changed: int = 0) -> None:
    """Write a Profile of about `size` bytes in which `changed` permissions differ."""
    rows: list[str] = [_HEAD, f'<Profile xmlns="{_NS}">\n']
    written = n = 0
    while written < size:
        on = "true" if bool(n % 3) != (n < changed) else "false"
        row = (
            "    <fieldPermissions>\n"
            f"        <editable>{on}</editable>\n"
            f"        <field>Object_{n // 100:04}__c.Field_{n % 100:03}__c</field>\n"
            "        <readable>true</readable>\n"
            "    </fieldPermissions>\n"
        )
        rows.append(row)
        written += len(row)
        n += 1
    rows.append("</Profile>\n")
    path.write_text("".join(rows), "utf-8")
