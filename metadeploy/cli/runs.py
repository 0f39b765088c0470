"""runs and rollback: what ran, to its end, canceled, or taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from metadeploy.api import Orgs, Result
from metadeploy.cli import completing, options, show
from metadeploy.cli.interrupt import stoppable
from metadeploy.cli.output import Json, document, shown, styled, write_json
from metadeploy.cli.reporting import Reports, reported
from metadeploy.cli.terminal import laid
from metadeploy.cli.work import ask, connect, each, report, watching
from metadeploy.deploy import Outcome
from metadeploy.errors import ConfigError
from metadeploy.model import DeployOptions
from metadeploy.promotion import Promotion
from metadeploy.rollback import ALLOWED
from metadeploy.runs import Followed, Run, Runs, Shown

_job_id = click.option(
    "-i",
    "--job-id",
    "run_id",
    shell_complete=completing.runs,
    metavar="ID",
    default="",
    help="The run, or its deploy (0Af…).",
)


@click.group()
def runs() -> None:
    """List, show, resume or cancel runs.

    A run is one deploy or rollback of one org, as the journal in .metadeploy/ has it.
    """


@runs.command("list")
@options.orgs()
@options.as_json
def list_(orgs: tuple[str, ...], as_json: bool) -> int:
    """List the runs, the newest first."""
    with connect(1) as connected:
        names = connected.project.select(orgs) if orgs else ()
        found = Runs(connected).list(names)
    if as_json:
        write_json(document("runs list", {"runs": [_run_json(r) for r in found]}))
    else:
        for line in _table(found):
            click.echo(line)
    return 0


def _table(found: Sequence[Run]) -> list[str]:
    if not found:
        return ["Nothing has run yet."]
    names = [shown(r.intent.org) for r in found]
    width = max(3, *map(len, names))
    rows = [
        [r.id, f"{n:<{width}}", when(r.intent.started), f"{_status(r):<10}"]
        for n, r in zip(names, found, strict=True)
    ]
    for row, r in zip(rows, found, strict=True):
        row += [r.deploy_id] if r.deploy_id else []
    lines = [line for row in rows for line in laid(map(shown, row))]
    if len(lines) > len(rows):  # what is below has no head
        return lines
    head = f"{'RUN':<16}  {'ORG':<{width}}  {'BEGUN':<16}  {'STATUS':<10}  DEPLOY"
    return [head, *lines]


def _status(run: Run) -> str:
    return f"{run.status} *" if run.open else run.status


def when(seconds: float) -> str:
    """Return a time for a person, in the zone of this machine."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def iso(seconds: float | None) -> str | None:
    """Return a time as data."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _run_json(run: Run) -> dict[str, Json]:
    said = run.intent
    return {
        "runId": run.id,
        "org": said.org,
        "orgId": said.org_id,
        "status": run.status,
        "open": run.open,
        "begun": iso(said.started),
        "finished": iso(run.finished),
        "deployId": run.deploy_id,
        "checkOnly": said.check_only,
        "undoes": said.undoes or None,
        "user": said.user,
        "commit": said.git_commit,
        "exact": said.exact,
        "promotedFrom": said.promoted_from or None,
        "fingerprint": said.fingerprint,
    }


@runs.command("show")
@click.argument("run_id", metavar="RUN", shell_complete=completing.runs)
@options.as_json
def show_(run_id: str, as_json: bool) -> int:
    """Show all that is known of a run.

    RUN is its id, or that of its deploy (0Af…).
    """
    with connect(1) as connected:
        found = Runs(connected).show(run_id)
    if as_json:
        write_json(document("runs show", _shown_json(found)))
    else:
        click.echo("\n".join(_shown_lines(found)))
    return 0


def _shown_json(found: Shown) -> dict[str, Json]:
    sends: Json = [
        {"number": s.number, "deployId": s.deploy_id, "status": s.status or None}
        for s in found.sends
    ]
    events: Json = [
        {"at": iso(e.at), "status": e.status, "detail": e.detail} for e in found.events
    ]
    changes = show.changes_json(found.plan) if found.plan is not None else None
    return {
        **_run_json(found.run),
        "packages": sends,
        "events": events,
        "changes": changes,
    }


def _shown_lines(found: Shown) -> list[str]:
    run, said = found.run, found.run.intent
    kind = "validation" if said.check_only else "deploy"
    if said.undoes:
        kind = f"rollback of {said.undoes}"
    lines = [
        f"{said.org}  {said.org_id}  {kind}",
        f"  run       {run.id}  {_status(run)}",
        f"  begun     {when(said.started)} by {said.user or 'nobody known'}",
        f"  commit    {said.git_commit or '(none)'}",
        f"  plan      {said.fingerprint[:12]}",
    ]
    lines += [
        f"  package   {s.number}  {s.deploy_id or '(id not known)'}  {s.status}"
        for s in found.sends
    ]
    lines += ["", "  What happened:"]
    for e in found.events:
        at = datetime.fromtimestamp(e.at)
        lines.append(f"    {at:%H:%M:%S}  {e.status:<10}  {e.detail}".rstrip())
    if run.open:
        resume = f"metadeploy runs resume {said.org}"
        lines += ["", f"  It did not come to its end: `{resume}` takes it there."]
    told = [shown(line) for line in lines]
    if found.plan is not None:
        told += ["", "  What it was to change:", *show.change_lines(found.plan)]
    return told


@runs.command()
@options.orgs(required=True)
@_job_id
@options.wait("Minutes that all of it may take; then 69 is returned.")
@options.lock_timeout
@options.parallelism
@reported
@options.as_json
def resume(
    orgs: tuple[str, ...],
    run_id: str,
    minutes: float,
    lock_timeout: float,
    parallelism: int,
    as_json: bool,
    reports: Reports,
) -> int:
    """Take what is open in orgs to its end.

    What an org has is never sent again. With --job-id, a run of another machine is
    found in the org, waited for, and compared with the templates.
    """
    with connect(parallelism) as connected:
        reports.about(connected)
        names = _names(connected, orgs, run_id)
        known = Runs(connected)

        def work(name: str) -> list[Outcome | Followed]:
            due = [run_id] if run_id else [r.id for r in known.open(name)]
            found = (
                known.resume(
                    name, i, timeout=minutes * 60, lock_timeout=lock_timeout * 60
                )
                for i in due
            )
            return [one for one in found if one is not None]

        with stoppable(connected, "runs resume", names, as_json=as_json):
            results = each(connected, names, work)
    return _report_resumed(results, as_json=as_json, reports=reports)


def _names(connected: Orgs, orgs: tuple[str, ...], run_id: str) -> list[str]:
    names = list(connected.project.select(orgs))
    if run_id and len(names) != 1:
        raise click.UsageError(
            f"--job-id is of one org, not of {options.joined(names)}"
        )
    return names


def _report_resumed(
    results: Sequence[Result[list[Outcome | Followed]]],
    *,
    as_json: bool,
    reports: Reports,
) -> int:
    flat: list[Result[Outcome | Followed]] = []
    for result in results:
        for one in result.value or ():
            flat.append(Result(result.org, one))
        if result.error is not None:
            flat.append(Result(result.org, None, result.error))
    told = {r.org for r in flat}
    if not as_json:
        for result in results:
            if result.org not in told:
                org = styled(result.org, bold=True)
                click.echo(f"{org}  nothing is open: every run came to its end.")
    return report("runs resume", flat, as_json=as_json, reports=reports)


@runs.command()
@click.argument("org", shell_complete=completing.orgs)
@_job_id
@options.wait("Minutes to wait for the deploy to end.")
@options.as_json
def cancel(org: str, run_id: str, minutes: float, as_json: bool) -> int:
    """Have an org cancel a deploy that it has not finished.

    Without --job-id, the last run of the org that is open.
    """
    with connect(1) as connected:
        name = options.one_org(connected.project, org)
        known = Runs(connected)
        if not run_id:
            found = known.open(name)
            if not found:
                raise ConfigError(
                    f"nothing of {name} is open that could be canceled",
                    hint="`metadeploy runs list` shows what ran.",
                )
            run_id = found[-1].id
        with watching(connected, [name]):
            done = known.cancel(name, run_id, timeout=minutes * 60)
    in_time = done.status == "Canceled"
    if as_json:
        body: dict[str, Json] = {
            "org": done.org,
            "runId": done.run_id,
            "deployId": done.deploy_id,
            "status": done.status,
        }
        write_json(document("runs cancel", body))
    else:
        word = (
            "canceled; the org is as before" if in_time else f"too late: {done.status}"
        )
        click.echo(f"{styled(name, bold=True)}  {word}  {done.deploy_id}")
    return 0 if in_time else 1


@click.command()
@click.argument("org", shell_complete=completing.orgs)
@click.argument("run_id", metavar="[RUN]", default="", shell_complete=completing.runs)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option(
    "--dry-run", is_flag=True, help="Let the org validate it and keep nothing."
)
@options.wait("Minutes that all of it may take; then 69 is returned.")
@options.lock_timeout
@options.push
@options.allowances
@reported
@options.as_json
def rollback(
    org: str,
    run_id: str,
    auto_approve: bool,
    dry_run: bool,
    minutes: float,
    lock_timeout: float,
    push: bool,
    remote: str,
    allowed: tuple[str, ...],
    as_json: bool,
    reports: Reports,
) -> int:
    """Take a run back: what it changed, created and granted.

    Without RUN, the last one of the org. The way back is planned from what the org was
    like before, shown, and deployed like any plan; what the run created is deleted
    and what it granted is revoked without a further flag.
    """
    with connect(1) as connected:
        name = options.one_org(connected.project, org)
        known, noted = Runs(connected), Promotion(connected)
        if push:
            noted.ready_to_push(exact=False)
        with watching(connected, [name]):
            goal = known.goal_back(name, run_id or known.newest(name))
            plan = known.plan_back(goal, allowed=frozenset(allowed))
        reports.about(connected, [plan])
        if not as_json:
            click.echo(f"The way back from run {goal.undoes}:\n")
            click.echo(f"{show.plan_text(plan)}\n")
        asked = not (auto_approve or plan.empty or plan.refusals)
        if asked:
            ask([plan], dry_run)
        with stoppable(connected, "rollback", [name], as_json=as_json):

            def work(_: str) -> Outcome:
                outcome = connected.deploy(
                    plan,
                    options=DeployOptions(check_only=dry_run),
                    timeout=minutes * 60,
                    allowed=frozenset(allowed) | ALLOWED,
                    recheck=asked,
                    lock_timeout=lock_timeout * 60,
                    goal=goal,
                )
                return noted.push(outcome, remote) if push else outcome

            results = each(connected, [name], work)
    return report("rollback", results, as_json=as_json, reports=reports)
