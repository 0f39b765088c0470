"""--policy isv: what Salesforce asks of apps that vendors hand to their customers.

Since 2026, of every app that more than two customers' production orgs use: PKCE,
refresh token rotation, an idle lifetime of at most 30 days, an IP allow-list.
Source: ISVforce Guide, Secure Your Connected Apps and External Client Apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from metadeploy.model import Problem
from metadeploy.rules.oauth import OauthApp, leads_nowhere

_IDLE_DAYS = 30
_DAYS = {"HOURS": 1 / 24, "DAYS": 1.0, "MONTHS": 31.0}
_LIMITED = r"specific_(?:lifetime|inactivity):([0-9]{1,9}):([A-Z]+)"
_WEB = ("http:", "https:")


def check(apps: Iterable[OauthApp]) -> Iterator[Problem]:
    """Yield what the apps lack.

    JWT bearer and client credentials use no authorisation code and bring no refresh
    token: an app that can do nothing else needs none of this.
    """
    for app in apps:
        if app.takes_codes and app.pkce.value == "false":
            yield app.pkce.problem("MD801", f"{app.name} does not require PKCE")
        if app.refreshes:
            yield from _refreshing(app)


def _refreshing(app: OauthApp) -> Iterator[Problem]:
    if app.rotation.value == "false":
        text = f"refresh tokens of {app.name} are not rotated"
        yield app.rotation.problem("MD802", text)
    idle = _idle(app.refresh.value)
    if idle:
        text = f"refresh tokens of {app.name} may go unused {idle}"
        yield app.refresh.problem("MD803", text)
    if all(map(_needs_no_list, app.callbacks)):
        return
    if not app.ranges.value:
        text = f"refresh tokens of {app.name} count from any IP address"
        yield app.ranges.problem("MD804", text)
    elif app.relaxed.value:
        text = f"the IP ranges of {app.name} do not count while they are bypassed"
        yield app.relaxed.problem("MD804", text)


def _idle(policy: str) -> str:
    """Return for how long a refresh token may go unused, "" where that is allowed."""
    if policy in ("infinite", ""):
        return "without end"
    limited = re.fullmatch(_LIMITED, policy)
    if limited is None or limited[2] not in _DAYS:
        return ""  # zero; or told already
    number, unit = int(limited[1]), limited[2]
    if number * _DAYS[unit] <= _IDLE_DAYS:
        return ""
    word = unit.lower()
    return f"for {number} {word.removesuffix('s') if number == 1 else word}"


def _needs_no_list(url: str) -> bool:
    """Tell whether a callback URL is exempt: an app's own scheme, or nowhere."""
    return leads_nowhere(url) or not url.lower().startswith(_WEB)
