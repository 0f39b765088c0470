"""drift, promote, log, diff: what is live where, and what would go on from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from metadeploy.api import Result
from metadeploy.cli import DIFFERS, completing, options, show
from metadeploy.cli.interrupt import stoppable
from metadeploy.cli.output import (
    Json,
    document,
    error_text,
    shown,
    styled,
    write_json,
)
from metadeploy.cli.reporting import Reports, reported
from metadeploy.cli.runs import iso, when
from metadeploy.cli.terminal import laid, page_width, wrapped
from metadeploy.cli.work import (
    ask,
    connect,
    each,
    failed_json,
    load_plans,
    report,
    save_plans,
    watching,
)
from metadeploy.deploy import Outcome
from metadeploy.model import DeployOptions, TestLevel
from metadeploy.plan import Plan
from metadeploy.promotion import Between, Commit, Entry, Found, Log, Promotion

F = TypeVar("F", bound=Callable[..., object])


def _gate(flag: str, code: str, text: str) -> Callable[[F], F]:
    return click.option(flag, "allowed", flag_value=code, multiple=True, help=text)


@click.command()
@options.orgs()
@options.parallelism
@reported
@options.as_json
def drift(
    orgs: tuple[str, ...], parallelism: int, as_json: bool, reports: Reports
) -> int:
    """Show what orgs have otherwise than was deployed.

    An org is compared with what the commit renders to that is live there, or else with
    what the journal recorded; its setup audit trail says who may have changed it. Exits
    with 2 when there is something.
    """
    with connect(parallelism) as connected:
        names = list(connected.project.select(orgs))
        known = Promotion(connected)
        results = each(connected, names, known.drift)
    reports.about(connected)
    reports.tell(results)
    if as_json:
        write_json(document("drift", {"orgs": [_drift_json(r) for r in results]}))
    else:
        for result in results:
            click.echo("\n".join(_drift_lines(result)), err=result.error is not None)
            click.echo()
    code = options.exit_code_of(r.error for r in results)
    return code or DIFFERS * any(r.value.drift.found for r in results if r.value)


def _drift_json(result: Result[Found]) -> dict[str, Json]:
    if result.value is None:
        return failed_json(result.org, result.error)
    found = result.value.drift
    return {
        "org": found.org,
        "orgId": found.org_id,
        "live": _commit_json(result.value.commit),
        "drift": show.drift_json(found.changes),
        "access": [show.access_json(a) for a in found.access],
        "trail": [
            {
                "at": row.at,
                "user": row.user,
                "delegateUser": row.delegate or None,
                "action": row.action,
                "section": row.section,
                "display": row.words,
            }
            for row in found.trail
        ],
        "untold": found.untold,
    }


def _drift_lines(result: Result[Found]) -> list[str]:
    if result.value is None:
        assert result.error is not None
        return [error_text(result.error, org=result.org)]
    found, commit = result.value.drift, result.value.commit
    of = str(commit) if commit.id else "what the journal recorded"
    lines = laid([styled(found.org, bold=True), shown(of)])
    if not found.found:
        return [*lines, "", "  As it was deployed."]
    lines += ["", "  Not as it was deployed:"]
    lines += show.drift_lines(found.changes)
    lines += show.access_drift_lines(found.access)
    if found.trail:
        lines += ["", "  Who may have done it, by the org's setup audit trail:"]
    for row in found.trail:
        who = row.user or "nobody known"
        if row.delegate:
            who += f" (as whom {row.delegate} was logged in)"
        lines += laid(map(shown, (row.at[:16], who)), indent="  ")
        lines += _told(row.words)
    if found.untold:
        lines += ["", *_told(found.untold)]
    return lines


def _told(text: str) -> list[str]:
    return wrapped(shown(text), page_width(), indent="    ")


@click.command()
@click.argument("org", shell_complete=completing.orgs)
@click.option(
    "--branch",
    shell_complete=completing.commits,
    metavar="NAME",
    default="",
    help="Which has to hold the commit. [default: what is checked out]",
)
@click.option(
    "--out",
    metavar="FILE",
    shell_complete=completing.files,
    help="Save the plan, and deploy nothing.",
)
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    shell_complete=completing.files,
    help="Deploy only what this saved plan says.",
)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option(
    "--dry-run", is_flag=True, help="Let the org validate it and keep nothing."
)
@options.test_level
@options.wait("Minutes that all of it may take; then 69 is returned.")
@options.lock_timeout
@options.push
@_gate("--allow-unverified", "unverified", "Allow a source whose run went wrong.")
@_gate("--allow-drift", "drifted", "Allow a source that is not as its commit.")
@_gate("--allow-unmerged", "unmerged", "Allow a commit that the branch has not.")
@options.allowances
@reported
@options.as_json
def promote(
    org: str,
    branch: str,
    out: str | None,
    plan_file: str | None,
    auto_approve: bool,
    dry_run: bool,
    test_level: TestLevel | None,
    minutes: float,
    lock_timeout: float,
    push: bool,
    remote: str,
    allowed: tuple[str, ...],
    as_json: bool,
    reports: Reports,
) -> int:
    """Bring to an org what is live in the one before it.

    The org's file says which one that is: promote_from. What is deployed is what the
    commit that is live there makes of this org's values at that commit; the work
    tree does not matter. The source has to be verified and unchanged since.
    """
    if out is not None and plan_file is not None:
        raise click.UsageError("--out makes a plan, and --plan takes one")
    chosen = frozenset(allowed)
    with connect(1) as connected:
        name = options.one_org(connected.project, org)
        saved = load_plans(plan_file, [name])
        known = Promotion(connected)
        with watching(connected, [name]):
            found = known.promote(name, branch=branch, allowed=chosen, saved=saved)
        plan = found.plan
        reports.about(found.orgs, [plan])
        if not as_json:
            first = f"{found.source} → {name}  {found.commit}"
            click.echo(f"{shown(first)}\n\n{show.plan_text(plan)}\n")
        if out is not None:
            return _saved(Path(out), plan, as_json=as_json, reports=reports)
        asked = not (auto_approve or plan.empty or plan.refusals)
        if asked:
            ask([plan], dry_run)
        with stoppable(connected, "promote", [name], as_json=as_json):

            def work(_: str) -> Outcome:
                outcome = found.orgs.deploy(
                    plan,
                    options=DeployOptions(check_only=dry_run, test_level=test_level),
                    timeout=minutes * 60,
                    allowed=chosen,
                    recheck=asked,
                    lock_timeout=lock_timeout * 60,
                )
                return known.push(outcome, remote) if push else outcome

            results = each(connected, [name], work)
    return report("promote", results, as_json=as_json, reports=reports)


def _saved(path: Path, plan: Plan, *, as_json: bool, reports: Reports) -> int:
    reports.tell([Result(plan.wanted.org, plan)])
    if not plan.refusals:
        save_plans(path, [plan])
    if as_json:
        write_json(document("promote", {"orgs": [show.plan_json(plan)]}))
    return int(bool(plan.refusals))


@click.command()
@click.argument("org", shell_complete=completing.orgs)
@options.as_json
def log(org: str, as_json: bool) -> int:
    """Show what went to an org, and which commit is live there.

    What went there is what the journal in .metadeploy/ has.
    """
    with connect(1) as connected:
        found = Promotion(connected).log(options.one_org(connected.project, org))
    if as_json:
        body: dict[str, Json] = {
            "org": found.org,
            "live": _commit_json(found.live),
            "runs": [_entry_json(e) for e in found.entries],
        }
        write_json(document("log", body))
    else:
        click.echo("\n".join(_log_lines(found)))
    return 0


def _commit_json(commit: Commit) -> Json:
    if not commit.id:
        return None
    return {"commit": commit.id, "subject": commit.subject}


def _entry_json(entry: Entry) -> Json:
    said = entry.run.intent
    return {
        "runId": entry.run.id,
        "status": entry.run.status,
        "begun": iso(said.started),
        "finished": iso(entry.run.finished),
        "user": said.user,
        "commit": said.git_commit or None,
        "subject": entry.commit.subject,
        "exact": entry.exact,
        "promotedFrom": said.promoted_from or None,
        "undoes": said.undoes or None,
    }


def _log_lines(found: Log) -> list[str]:
    live = str(found.live) if found.live.id else "nobody knows which commit"
    lines = [f"{styled(found.org, bold=True)}  live: {shown(live)}"]
    for entry in found.entries:
        run, said = entry.run, entry.run.intent
        first = [when(said.started), run.id, f"{run.status:<10}", said.user]
        if said.promoted_from:
            first.append(f"from {said.promoted_from}")
        if said.undoes:
            what = f"takes back {said.undoes}"
        elif entry.exact:
            what = str(entry.commit)
        elif entry.commit.id:
            what = f"{entry.commit}, changed"
        else:
            what = "(no commit)"
        lines += ["", *laid(map(shown, first), indent="  ")]
        lines += wrapped(shown(what), page_width(), indent="    ", hang=" " * 6)
    if not found.entries:
        lines += ["", "  Nothing has run here yet."]
    return lines


@click.command()
@click.argument("pair", metavar="ORG..ORG", shell_complete=completing.pair)
@options.as_json
def diff(pair: str, as_json: bool) -> int:
    """Show what a promotion would bring, offline.

    `diff sit..uat` compares what the commit that is live in sit makes of uat's values
    with what uat has by its own commit.
    """
    source, dots, org = pair.partition("..")
    if not (source and dots and org):
        raise click.UsageError(f"two orgs are wanted, as in sit..uat, not {pair!r}")
    with connect(1) as connected:
        names = [options.one_org(connected.project, one) for one in (source, org)]
        found = Promotion(connected).diff(*names)
    if as_json:
        body: dict[str, Json] = {
            "from": {"org": found.source, "live": _commit_json(found.commit)},
            "to": {"org": found.org, "live": _commit_json(found.there)},
            "replaced": show.refs_json(found.delta.replaced),
            "changes": show.changes_json(found.delta),
        }
        write_json(document("diff", body))
    else:
        click.echo("\n".join(_between_lines(found)))
    return 0


def _between_lines(found: Between) -> list[str]:
    there = str(found.there) if found.there.id else "nobody knows which commit"
    lines = [
        f"{styled(found.source, bold=True)}  {shown(str(found.commit))}",
        f"{styled(found.org, bold=True)}  {shown(there)}",
    ]
    if found.delta.empty:
        return [*lines, "", f"  For {found.org}, both make the same."]
    lines += show.change_lines(found.delta)
    summary = show.summary(found.delta)
    return [*lines, "", *wrapped(summary, page_width(), indent="  ")]
