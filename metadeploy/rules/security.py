"""Security: what an org accepts, and what should be done knowingly only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metadeploy.model import Problem
from metadeploy.rules.oauth import OauthApp
from metadeploy.schema import canonical_scope

_WIDE = {
    "Full": "gives the app everything that its user may do",
    "Web": "lets the app open the whole user interface as its user",
}
_SENSITIVE = ("Api", "Full", "RefreshToken", "Web")


def check(apps: Iterable[OauthApp]) -> Iterator[Problem]:
    """Yield the warnings about the apps' scopes and who may use them."""
    for app in apps:
        for scope in app.scopes:
            if scope.value in _WIDE:
                text = f"the scope {scope.value} {_WIDE[scope.value]}"
                yield scope.problem("MD701", text)
        sensitive = sorted({canonical_scope(s.value) for s in app.scopes})
        named = [scope for scope in sensitive if scope in _SENSITIVE]
        if app.approval.value == "false" and named:
            text = f"everybody may let {app.name} in by themselves, with the scope"
            text += f"{'s' if len(named) > 1 else ''} {' and '.join(named)}"
            yield app.approval.problem("MD702", text)
