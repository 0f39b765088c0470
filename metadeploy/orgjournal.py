"""Edge: the project's journal as the flow sees it: who runs it, when, from where.

It keeps the org's git ref too: which commit is live there after a verified run.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from metadeploy import history, planfile
from metadeploy.journal import Intent, Journal, Run
from metadeploy.live import Live, Origin, ref_of
from metadeploy.model import Component, DeployOptions, Ref
from metadeploy.plan import Plan
from metadeploy.workspace import Workspace


@dataclass
class OrgJournal:
    """Writes down runs.

    undoes: the run that they take back, "" for deploys. origin: returns the commit
    that they are of, None without a repository. promoted_from: the org that has it
    already. live: what became of the org's ref; None while nothing did.
    """

    journal: Journal
    workspace: Workspace
    undoes: str = ""
    origin: Callable[[], Origin | None] = lambda: None
    promoted_from: str = ""
    live: Live | None = field(init=False, default=None)
    _why: str = field(init=False, default="")

    def begin(self, plan: Plan, package_digest: str, options: DeployOptions) -> str:
        """Write down what is about to be done, and return the run's id."""
        origin, org = self.origin(), plan.wanted.org
        self._why = origin.why if origin else ""
        intent = Intent(
            org=org,
            org_id=plan.facts.org_id,
            started=time.time(),
            fingerprint=plan.fingerprint,
            package=package_digest,
            check_only=options.check_only,
            git_commit=origin.commit if origin else "",
            user=_user(),
            undoes=self.undoes,
            test_level=options.test_level or "",
            exact=origin is not None and origin.exact and not self.undoes,
            promoted_from=self.promoted_from,
            live_before=history.live(self.workspace, org) if origin else "",
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
        """Write down how a run ended; before that, what is live where it was good.

        Should we die in between, the run is open, and comes here once more.
        """
        if status == "Verified":
            self._note_live(run_id)
        self.journal.finish(run_id, status, time.time(), recorded=recorded, gone=gone)

    def unproven(self, plan: Plan) -> bool:
        """Tell whether nobody knows an org that matched to be verified.

        That is where its last run ended unverified, or where there is no run here, as
        on a machine that is new, and its ref tells of another commit.
        """
        origin, last = self.origin(), self._last(plan)
        if self.undoes or origin is None or not origin.exact:
            return False
        if last is None:
            return history.live(self.workspace, plan.wanted.org) != origin.commit
        return last.status == "Unverified" and not last.intent.undoes

    def unchanged(self, plan: Plan, *, verified: bool | None = None) -> None:
        """Note what is live in an org that matched, so that nothing was to do.

        verified: what came of that, where it was unproven.
        """
        org = plan.wanted.org
        if self.undoes:
            self._take_back(org)
            return
        origin, last = self.origin(), self._last(plan)
        if origin is None:
            return
        if verified and last is not None:
            gone = plan.wanted.absent
            known = plan.wanted.components
            now = time.time()
            self.journal.finish(last.id, "Verified", now, recorded=known, gone=gone)
        elif verified is False and last is None:
            hint = f"`metadeploy verify {org}` shows why."
            self.live = self._not_moved(org, "the org is not verified", hint)
            return
        elif last is not None and last.status != "Verified":
            why = f"run {last.id} of this org, its last, is {last.status}"
            hint = f"`metadeploy verify {org}` looks, `runs show {last.id}` tells why."
            self.live = self._not_moved(org, why, hint)
            return
        if origin.exact:
            self.live = history.set_live(self.workspace, org, origin.commit)
        else:
            self.live = self._not_moved(org, origin.why)

    def _last(self, plan: Plan) -> Run | None:
        """Return the org's last run that changed it, or may have."""
        runs = self.journal.runs(plan.facts.org_id)
        # Of a run that the org kept nothing of, there is nothing to verify.
        return next(
            (r for r in runs if r.open or r.status in ("Verified", "Unverified")), None
        )

    def _note_live(self, run_id: str) -> None:
        run = self.journal.run(run_id)
        if run is None:
            return
        said = run.intent
        if said.undoes:
            self.undoes = said.undoes
            self._take_back(said.org)
        elif said.exact:
            self.live = history.set_live(self.workspace, said.org, said.git_commit)
        elif self._why or said.git_commit:
            why = self._why or "what was deployed is not all that a commit holds"
            self.live = self._not_moved(said.org, why)

    def _not_moved(self, org: str, why: str, hint: str = "") -> Live:
        there = history.live(self.workspace, org)
        hint = hint or f"Commit it, then `metadeploy deploy {org}` notes it."
        return Live(ref_of(org), there, why, hint)

    def _take_back(self, org: str) -> None:
        """Have the ref be as before the run that is taken back.

        Where others have moved it since, no commit is what the org has now.
        """
        undone = self.journal.run(self.undoes)
        if undone is None or not undone.intent.git_commit:
            return
        said, now = undone.intent, history.live(self.workspace, org)
        left = said.git_commit if said.exact else said.live_before
        commit = said.live_before if now in (left, said.live_before) else ""
        self.live = history.set_live(self.workspace, org, commit)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
