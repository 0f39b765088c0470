"""The HTML that people see: plain, without scripts or anything from elsewhere.

The only module of the emulator that loads Jinja; it is loaded when a page is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from metadeploy.emulator import access_control, jobs, records
from metadeploy.emulator.apps import OauthApp, oauth_apps
from metadeploy.emulator.jobs import DeployJob
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.wire import Answer, Request

ORGS_PER_PAGE = 25
_DEPLOYS = 5
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("pages")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)
_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    # With no-referrer a browser says "Origin: null" of our own forms (observed).
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


def page(
    template: str,
    values: Mapping[str, object],
    *,
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """Return a page made from `pages/<template>.html`."""
    text = _ENVIRONMENT.get_template(f"{template}.html").render(values)
    kind = "text/html;charset=UTF-8"
    return Answer(status, kind, text.encode(), (*_HEADERS, *headers))


def home(world: World, request: Request) -> Answer:
    """Return the page at `/`: orgs, their apps, who may use them, recent deploys."""
    orgs = world.orgs()
    pages = max(1, -(-len(orgs) // ORGS_PER_PAGE))
    wish = parse_qs(request.query).get("page", ["1"])[0]
    number = min(max(int(wish), 1), pages) if wish.isdecimal() else 1
    shown = orgs[(number - 1) * ORGS_PER_PAGE : number * ORGS_PER_PAGE]
    values = {"orgs": [_org(o) for o in shown], "page": number, "pages": pages}
    return page("home", values)


def _org(org: OrgState) -> Mapping[str, object]:
    rules = []
    if org.settings.connected_app_creation == "blocked":
        rules.append("no new connected apps")
    if access_control.is_on(org):
        rules.append("API Access Control")
    return {
        "name": org.name,
        "id": org.id,
        "kind": org.settings.kind,
        "edition": org.settings.organization_type,
        "users": len(org.records("User")),
        "rules": rules,
        "apps": [_app(org, app) for app in oauth_apps(org)],
        "deploys": [_deploy(j) for j in jobs.recent_deploys(org, _DEPLOYS)],
    }


def _app(org: OrgState, app: OauthApp) -> Mapping[str, object]:
    closed = app.admin_approved or access_control.is_on(org)
    return {
        "name": app.ref.full_name,
        "label": app.label,
        "kind": "External Client App" if app.is_external else "Connected App",
        "blocked": app.blocked,
        "policy": "Admin approved" if closed else "All may self-authorize",
        "closed": closed,
        "nobody": "nobody" if closed else "everybody who approves it",
        "holders": _holders(org, app),
        "scopes": ", ".join(sorted(app.scopes)),
    }


def _holders(org: OrgState, app: OauthApp) -> list[str]:
    """Return who has access, as people name them: profiles by their label."""
    found = []
    for row in records.linked(org, "SetupEntityAccess", app.id):
        parent = org.record("PermissionSet", str(row["ParentId"]))
        if parent is None:
            continue
        profile = org.record("Profile", str(parent["ProfileId"] or ""))
        kind, name = (
            ("Profile", profile["Name"])
            if profile
            else (
                "Permission Set",
                parent["Name"],
            )
        )
        found.append(f"{kind} {name}")
    return sorted(found)


def _deploy(job: DeployJob) -> Mapping[str, object]:
    what = f"{job.deployed} of {job.total} components" if job.done else "…"
    return {
        "id": job.id,
        "when": job.created_date[:19].replace("T", " "),
        "by": job.created_by_name,
        "what": f"{what}, check only" if job.options.check_only else what,
        "status": job.status,
        "tone": "good" if job.success else "bad" if job.done else "dim",
        "problem": job.error_message,
    }
