"""Errors for the user, by who can act on them. Anything else raised is a bug."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # --help needs none of them
    from metadeploy.model import DeployResult, Problem


class MetadeployError(Exception):
    """Base of all errors that are shown as a message and a hint, without traceback."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint


class ConfigError(MetadeployError):
    """The project, an org file or the environment is not usable as it stands."""


class InvalidMetadata(MetadeployError):
    """Templates or org files break rules; `problems` holds all of them, sorted."""

    hint = "Nothing was sent. Mend the lines above; `metadeploy validate` checks again."

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: p.order))
        super().__init__("\n".join(str(p) for p in self.problems))


class PlanRefused(MetadeployError):
    """The plan asks for what has to be allowed by name first."""

    hint = "Nothing was sent. Each line says what to do; read the plan again first."

    def __init__(self, refusals: Iterable[str]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(self.refusals))


class StalePlan(MetadeployError):
    """The org changed after the plan was made."""

    hint = "Plan again and read the new plan before you deploy."


class AuthError(MetadeployError):
    """Nobody could be logged in to the org: the OAuth error and its description.

    code, words: "" where the org refused nothing. lost: the answer never arrived.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        words: str = "",
        hint: str = "",
        lost: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.words = words
        self.lost = lost


class ApiFault(MetadeployError):
    """The org refused a call: its exception code and its own words."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" if code else message, hint=hint)
        self.code = code


class Unreachable(MetadeployError):
    """Nothing was sent: nobody answers at that address."""

    hint = "Check the URL and the network, then run the same command again."


class LostAnswer(MetadeployError):
    """A request may or may not have reached the org: its answer never arrived."""

    hint = "The org may have accepted it. Look before sending again."


class OrgBusy(MetadeployError):
    """Another process of this machine is changing the org."""

    hint = "Wait for it, or say --lock-timeout MINUTES to do so here."

    def __init__(self, org_id: str) -> None:
        super().__init__(f"another metadeploy process is at work on org {org_id}")
        self.org_id = org_id


class Stopped(MetadeployError):
    """We were told to stop before anything was sent."""

    hint = "Nothing was sent to this org."


class DeployFailed(MetadeployError):
    """The org ended the deploy otherwise than by Succeeded.

    What it has of it then, `classify.kept_nothing` tells.
    """

    def __init__(self, result: DeployResult, message: str) -> None:
        super().__init__(message)
        self.result = result


class OutOfTime(MetadeployError):
    """We stopped waiting for the org."""


class DeployTimeout(OutOfTime):
    """We stopped waiting; the deploy itself goes on in the org."""

    def __init__(self, deploy_id: str, seconds: float) -> None:
        super().__init__(f"deploy {deploy_id} is still running after {seconds:.0f} s")
        self.deploy_id = deploy_id


class Unverified(MetadeployError):
    """The org took the deploy; time was over before all of the rest was done."""
