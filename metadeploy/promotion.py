"""What is live where, promotion, drift: the Python API for what git knows of orgs.

The command line is one caller. Which commit an org has is told by a git ref, which
`Orgs.deploy` keeps; here it is read, compared, promoted and pushed.
"""

from __future__ import annotations

from msgspec.structs import replace

from metadeploy import history
from metadeploy.api import Orgs
from metadeploy.deploy import Outcome
from metadeploy.errors import ConfigError


class Promotion:
    """What git knows of a project's orgs."""

    def __init__(self, orgs: Orgs) -> None:
        self._orgs = orgs

    # -- what is live where

    def ready_to_push(self) -> None:
        """Raise ConfigError where a deploy could not be noted as live."""
        origin = self._orgs.origin()
        if origin is None:
            raise ConfigError(
                "there is no git repository here, so there is nothing to push",
                hint="Leave --push out, or commit the project.",
            )
        if not origin.exact:
            raise ConfigError(
                f"no commit holds what would be deployed: {origin.why}",
                hint="Nothing was sent. Commit it first, or leave --push out.",
            )

    def push(self, outcome: Outcome, remote: str) -> Outcome:
        """Push the ref of an outcome's org, if it moved; return what became of it."""
        live, org = outcome.live, outcome.plan.wanted.org
        if live is None:  # a dry run has nothing to tell
            return outcome
        if live.why:
            return replace(outcome, live=replace(live, not_pushed="Nothing is pushed."))
        try:
            history.push(self._orgs.workspace, org, remote)
        except ConfigError as error:
            said = f"{error.message}. {error.hint}"
            return replace(outcome, live=replace(live, not_pushed=said))
        return replace(outcome, live=replace(live, pushed=remote))
