"""What is live where, promotion, drift: the Python API for what git knows of orgs.

The command line is one caller. Which commit an org has is told by a git ref, which
`Orgs.deploy` keeps; here it is read, compared, promoted and pushed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import delta, history, repository
from metadeploy.api import Goal, Orgs
from metadeploy.delta import Delta
from metadeploy.deploy import Outcome
from metadeploy.drifting import Drift, look
from metadeploy.errors import ConfigError, InvalidMetadata, StalePlan
from metadeploy.journal import Run
from metadeploy.live import ref_of
from metadeploy.plan import Plan, Refusal
from metadeploy.project import Project
from metadeploy.wanted import Wanted


class Commit(Struct, frozen=True):
    """A commit, and the first line of its message; both "" where none is known."""

    id: str
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.id[:12]} {self.subject}".strip()


class Promoted(Struct, frozen=True):
    """What a promotion would bring to an org.

    orgs: the orgs as the commit describes them: they deploy the plan.
    """

    source: str
    commit: Commit
    orgs: Orgs
    plan: Plan


class Between(Struct, frozen=True):
    """What lies between two orgs, in the values of the second one.

    there: what is live in it now; its id is "" where nobody knows, and then all is new.
    """

    source: str
    org: str
    commit: Commit
    there: Commit
    delta: Delta


class Found(Struct, frozen=True):
    """How an org differs from a commit; its id is "" for what the journal has."""

    commit: Commit
    drift: Drift


class Entry(Struct, frozen=True):
    """One run of an org. exact: it was of all that the commit holds for it."""

    run: Run
    commit: Commit
    exact: bool


class Log(Struct, frozen=True):
    """What went to an org, the newest first, and which commit it has now."""

    org: str
    live: Commit
    entries: tuple[Entry, ...]


class Promotion:
    """What git knows of a project's orgs."""

    def __init__(self, orgs: Orgs) -> None:
        self._orgs = orgs
        self._projects: dict[str, Project] = {}

    # -- what is live where

    def ready_to_push(self, *, exact: bool = True) -> None:
        """Raise ConfigError where a run could not be noted as live.

        exact: it is of what the project's files say, so a commit has to hold them.
        """
        origin = self._orgs.origin()
        if origin is None:
            raise ConfigError(
                "there is no git repository here, so there is nothing to push",
                hint="Leave --push out, or commit the project.",
            )
        if exact and not origin.exact:
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
            history.push(self._orgs.workspace, org, remote, before=live.before)
        except ConfigError as error:
            said = f"{error.message}. {error.hint}"
            return replace(outcome, live=replace(live, not_pushed=said))
        return replace(outcome, live=replace(live, pushed=remote))

    def log(self, name: str) -> Log:
        """Return what went to an org by this project's journal, and what is live."""
        root = self._orgs.workspace.root
        ran = [
            run
            for run in self._orgs.journal().runs()
            if run.intent.org == name and not run.intent.check_only
        ]
        live = history.live(self._orgs.workspace, name)
        commits = {run.intent.git_commit for run in ran} | {live}
        subjects = repository.subjects(root, filter(None, commits))

        def commit(id_: str) -> Commit:
            return Commit(id_, subjects.get(id_, ""))

        return Log(
            name,
            commit(live),
            tuple(
                Entry(run, commit(run.intent.git_commit), run.intent.exact)
                for run in ran
            ),
        )

    def drift(self, name: str) -> Found:
        """Return how an org differs from what was deployed to it last.

        That is what the commit renders to that is live there; where no ref tells one,
        what the journal has recorded, without who may use what. Raises ConfigError
        where nothing is known.
        """
        journal = self._orgs.journal()
        org_id = self._orgs.org_id(self._orgs.project.org(name))
        ran = [r for r in journal.runs(org_id) if not r.intent.check_only]
        since = next((r.finished for r in ran if r.status == "Verified"), None)
        if history.live(self._orgs.workspace, name):
            commit = self._live_in(name)
            orgs = self._at(commit)
            org = orgs.project.org(name)
            known = orgs.project.wanted(org)
            return Found(commit, look(orgs.target(org), known, since=since))
        org = self._orgs.project.org(name)
        recorded = journal.recorded(org_id)
        if not recorded:
            raise ConfigError(
                f"nothing is known to be deployed to {name}",
                hint=f"`metadeploy deploy {name}` makes it known.",
            )
        known = Wanted(name, org.api_version, recorded, {})
        return Found(Commit(""), look(self._orgs.target(org), known, since=since))

    def since(self, name: str, revision: str) -> Goal:
        """Return of what an org is to be like that which an edit since then reaches.

        That is where it renders otherwise than at that revision; what it made there,
        or the journal has recorded, and nothing makes any more is to be deleted. Raises
        ConfigError for no revision, or one that does not render.
        """
        root = self._orgs.workspace.root
        commit = repository.commit_of(root, revision)
        org = self._orgs.project.org(name)
        now = self._orgs.project.wanted(org)
        before = self._project_at(commit)
        was = replace(now, components=(), access={}, keys={})
        if name in before.org_paths:
            try:
                was = before.wanted(before.org(name))
            except InvalidMetadata as error:
                raise ConfigError(
                    f"at {revision}, {name} does not render: {error.problems[0]}",
                    hint="Name another revision, or leave --since out.",
                ) from error
        recorded = self._orgs.journal().recorded(self._orgs.org_id(org))
        wanted = delta.narrowed(was, now, (c.ref for c in recorded))
        live = history.live(self._orgs.workspace, name)
        part = "" if live == commit else f"only what changed since {revision} counted"
        return Goal(wanted, part=part)

    def _project_at(self, commit: str) -> Project:
        if commit not in self._projects:  # twice, by two threads, is no harm
            self._projects[commit] = history.at(self._orgs.workspace, commit)
        return self._projects[commit]

    # -- promotion

    def promote(
        self,
        name: str,
        *,
        branch: str = "",
        allowed: frozenset[str] = frozenset(),
        saved: Iterable[Plan] = (),
    ) -> Promoted:
        """Return what would bring to an org what is live in the one that it follows.

        branch: that has to hold the commit; default: what is checked out. allowed:
        codes of refusals, those of the source among them. saved: the only plans that
        will do. What is to be deployed is rendered from the texts at the commit, the
        org's file among them. Raises ConfigError where no commit is known to be live in
        the source, StalePlan where it is not what a saved plan says.
        """
        source = self._source_of(name)
        commit = self._live_in(source)
        orgs = self._at(commit, now=datetime.now(UTC))
        wanted = orgs.project.wanted(orgs.project.org(name))
        refused = tuple(self._gates(orgs, source, commit, branch, allowed))
        goal = Goal(wanted, promoted_from=source, refused=refused)
        plan = orgs.plan(name, allowed=allowed, goal=goal)
        for one in saved:
            if one.fingerprint != plan.fingerprint:
                raise StalePlan(
                    f"what goes from {source} to {name} now is not what the plan says"
                    f" (fingerprint {one.fingerprint[:12]}, now"
                    f" {plan.fingerprint[:12]})"
                )
        return Promoted(source, commit, orgs, plan)

    def _source_of(self, name: str) -> str:
        org = self._orgs.project.org(name)
        source = org.file.promote_from
        if not source:
            raise ConfigError(
                f"{org.path} does not say which org {name} follows",
                hint="Say it there: `promote_from: ORG`.",
            )
        return self._orgs.project.org(source).name

    def _live_in(self, name: str) -> Commit:
        root = self._orgs.workspace.root
        found = history.live(self._orgs.workspace, name)
        if not found:
            ref = ref_of(name)
            raise ConfigError(
                f"no commit is known to be live in {name}: there is no {ref}",
                hint=f"`metadeploy deploy {name}` makes it;"
                f" `git fetch origin {ref}:{ref}` brings that of others.",
            )
        return Commit(found, repository.subjects(root, [found]).get(found, ""))

    def _at(self, commit: Commit, now: datetime | None = None) -> Orgs:
        project = history.at(self._orgs.workspace, commit.id, now)
        return self._orgs.at(commit.id, project)

    def _gates(
        self,
        orgs: Orgs,
        source: str,
        commit: Commit,
        branch: str,
        allowed: frozenset[str],
    ) -> list[Refusal]:
        """Return why what is live in an org may not go on from there."""
        found: list[Refusal] = []
        runs = orgs.journal().runs(orgs.org_id(orgs.project.org(source)))
        last = next((r for r in runs if not r.intent.check_only), None)
        if last is not None and last.status != "Verified":
            what = f"run {last.id} of {source}, its last, is {last.status}"
            found.append(Refusal("unverified", what, "--allow-unverified"))
        if "drifted" not in allowed:
            found += self._drifted(orgs, source, commit)
        if "unmerged" not in allowed:
            found += self._unmerged(source, commit, branch)
        return found

    def _drifted(self, orgs: Orgs, source: str, commit: Commit) -> list[Refusal]:
        plan = orgs.plan(source)
        if plan.empty:
            return []
        count = len(plan.changes) + len(plan.access_changes)
        what = (
            f"{source} is not as {commit.id[:12]} says: {count} of its components and"
            f" accesses differ. `metadeploy drift {source}` shows them"
        )
        return [Refusal("drifted", what, "--allow-drift")]

    def _unmerged(self, source: str, commit: Commit, branch: str) -> list[Refusal]:
        root = self._orgs.workspace.root
        of = repository.commit_of(root, branch or "HEAD")
        if repository.is_ancestor(root, commit.id, of):
            return []
        where = f"branch {branch}" if branch else "the branch that is checked out"
        what = f"{commit.id[:12]}, live in {source}, is not part of {where}"
        return [Refusal("unmerged", what, "--allow-unmerged")]

    def diff(self, source: str, name: str) -> Between:
        """Return what a promotion from `source` would bring to an org; offline.

        The org's values at the source's commit are compared with those at its own.
        """
        commit = self._live_in(source)
        now = self._wanted_at(commit, name)
        if not history.live(self._orgs.workspace, name):
            nothing = replace(now, components=(), access={}, keys={})
            found = delta.between(nothing, now)
            return Between(source, name, commit, Commit(""), found)
        there = self._live_in(name)
        was = self._wanted_at(there, name)
        return Between(source, name, commit, there, delta.between(was, now))

    def _wanted_at(self, commit: Commit, name: str) -> Wanted:
        project = self._project_at(commit.id)
        return project.wanted(project.org(name))
