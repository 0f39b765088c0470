"""What it would cost to switch API Access Control on: which apps, which users. Pure.

Source: ConnectedAppSettings, Metadata API guide; "Manage API Access Control",
Salesforce help: every installed app then is as if admin-approved. Who uses an app is
read from OauthToken, and so not all can be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from metadeploy import xmlfile
from metadeploy.diff import AccessChange, Action
from metadeploy.model import METADATA_NS, Ref
from metadeploy.plan import Plan, Refusal, Risk

SETTINGS = Ref("Settings", "ConnectedApp")
# Which users each switch is about: those of the company, or customers and partners.
_SWITCHES = {
    "enableAdminApprovedAppsOnly": True,
    "enableAdminApprovedAppsOnlyForExternalUser": False,
}
_SHOWN = 5


class InstalledApp(Struct, frozen=True):
    """An app of an org by its label, and who may use it once it is admin-approved."""

    label: str
    admin_approved: bool
    holders: frozenset[Ref] = frozenset()


class AppUser(Struct, frozen=True):
    """A user with a token of an app. internal: of the company, no customer."""

    app: str
    username: str
    internal: bool = True


class Survey(Struct, frozen=True):
    """Which apps an org has, and who uses them.

    held: each such user's profile and permission sets. unhindered: users who may use
    any API client. unread: what the org did not let us read, in words.
    """

    apps: tuple[InstalledApp, ...]
    users: tuple[AppUser, ...]
    held: Mapping[str, frozenset[Ref]] = {}
    unhindered: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()


def switched_on(plan: Plan) -> frozenset[bool]:
    """Return for which users a plan switches API Access Control on.

    True for those of the company, False for customers and partners.
    """
    return frozenset(
        _SWITCHES[f.path]
        for change in plan.changes
        if change.ref == SETTINGS
        for f in change.fields
        if f.path in _SWITCHES and f.wanted == "true" and f.actual != "true"
    )


class _Loss(Struct, frozen=True):
    app: str
    stops: bool
    users: tuple[str, ...]
    of: int


def assess(plan: Plan, survey: Survey) -> tuple[tuple[Risk, ...], tuple[Refusal, ...]]:
    """Return what a plan that switches it on risks, and whether that is too much.

    It is refused where a user is known to lose access, or where nobody can tell.
    """
    losses = _losses(plan, survey, switched_on(plan))
    risks = [_risk(loss) for loss in losses]
    risks += [Risk("not-known", f"not known: {what}") for what in survey.unread]
    risks.append(
        Risk(
            "not-known",
            "not known: clients that log in without OAuth, and apps that nobody has a"
            " token of now; and the app that metadeploy logs in with has to be among"
            " those granted",
        )
    )
    lost = sorted({user for loss in losses for user in loss.users})
    if lost:
        stopped = ", ".join(loss.app for loss in losses if loss.users)
        what = (
            f"with API Access Control on, {len(lost)} user{'s' * (len(lost) > 1)}"
            f" would lose access to {stopped}"
        )
    elif survey.unread:
        what = "nobody can tell whom API Access Control would keep out"
    else:
        return tuple(risks), ()
    refusal = Refusal("api-access-control", what, "--allow-api-lockdown")
    return tuple(risks), (refusal,)


def _losses(plan: Plan, survey: Survey, kinds: frozenset[bool]) -> list[_Loss]:
    apps = {app.label: app for app in survey.apps}
    labels = _labels(plan)
    for user in survey.users:  # an app that is used and not installed stops as well
        apps.setdefault(user.app, InstalledApp(user.app, admin_approved=False))
    found: list[_Loss] = []
    for label, app in sorted(apps.items()):
        if app.admin_approved:
            continue  # nothing changes for it
        ours = (c for c in plan.access_changes if labels.get(c.app, c.app) == label)
        holders = _holders_after(app.holders, ours)
        users = {
            u.username for u in survey.users if u.app == label and u.internal in kinds
        }
        out = [
            name
            for name in sorted(users - survey.unhindered)
            if not survey.held.get(name, frozenset()) & holders
        ]
        if out or not holders:
            found.append(_Loss(label, not holders, tuple(out), len(users)))
    return found


def _labels(plan: Plan) -> dict[str, str]:
    """Return the label of each app of ours: records know apps by it."""
    found = {}
    for component in plan.wanted.components:
        if component.ref.type in ("ConnectedApp", "ExternalClientApplication"):
            root = xmlfile.parse(component.body)
            label = root.findtext(f"{{{METADATA_NS}}}label", "").strip()
            found[component.ref.full_name] = label
    return found


def _holders_after(
    holders: frozenset[Ref], changes: Iterable[AccessChange]
) -> frozenset[Ref]:
    after = set(holders)
    for change in changes:
        if change.action is Action.GRANT:
            after.add(change.holder)
        else:
            after.discard(change.holder)
    return frozenset(after)


def _risk(loss: _Loss) -> Risk:
    if loss.stops:
        what = f"{loss.app} would stop working: no profile or permission set has it"
        return Risk("app-stops", f"{what}{_named('; ', loss.users)}")
    count = f"{len(loss.users)} of its {loss.of} users would lose access"
    return Risk("users-lose-access", f"{loss.app}: {count}{_named(': ', loss.users)}")


def _named(before: str, users: tuple[str, ...]) -> str:
    if not users:
        return ""
    more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    return f"{before}{', '.join(users[:_SHOWN])}{more}"
