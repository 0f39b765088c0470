"""Edge: the project's journal as the flow sees it: who runs it, when, from where."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable

from msgspec import Struct

from metadeploy import planfile, repository
from metadeploy.journal import Intent, Journal
from metadeploy.model import Component, DeployOptions, Ref
from metadeploy.plan import Plan
from metadeploy.workspace import Workspace


class OrgJournal(Struct, frozen=True):
    """Writes down runs. undoes: the run that they take back, "" for deploys."""

    journal: Journal
    workspace: Workspace
    undoes: str = ""

    def begin(self, plan: Plan, package_digest: str, options: DeployOptions) -> str:
        """Write down what is about to be done, and return the run's id."""
        intent = Intent(
            org=plan.wanted.org,
            org_id=plan.facts.org_id,
            started=time.time(),
            fingerprint=plan.fingerprint,
            package=package_digest,
            check_only=options.check_only,
            git_commit=repository.head(self.workspace.root),
            user=_user(),
            undoes=self.undoes,
            test_level=options.test_level or "",
        )
        return self.journal.begin(intent, planfile.dumps([plan]), plan.before)

    def sending(self, run_id: str, digest: str, known: Iterable[str]) -> int:
        """Write down that a package is about to be sent; return its number."""
        return self.journal.sending(run_id, time.time(), digest, known)

    def sent(self, run_id: str, deploy_id: str) -> None:
        """Write down the org's id of the last package."""
        self.journal.sent(run_id, time.time(), deploy_id)

    def ended(self, run_id: str, status: str) -> None:
        """Write down how the org ended the last package."""
        self.journal.ended(run_id, time.time(), status)

    def note(self, run_id: str, status: str, detail: str) -> None:
        """Write down what an open run is at."""
        self.journal.note(run_id, time.time(), status, detail)

    def finish(
        self,
        run_id: str,
        status: str,
        recorded: Iterable[Component] = (),
        gone: Iterable[Ref] = (),
    ) -> None:
        """Write down how a run ended."""
        self.journal.finish(run_id, status, time.time(), recorded=recorded, gone=gone)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
