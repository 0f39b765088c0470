"""promote, log, diff: what is live where, and what would go on from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from metadeploy.cli import options, show
from metadeploy.cli.interrupt import stoppable
from metadeploy.cli.output import Json, document, shown, styled, write_json
from metadeploy.cli.runs import iso, when
from metadeploy.cli.work import ask, connect, report, watching
from metadeploy.deploy import Outcome
from metadeploy.model import DeployOptions, TestLevel
from metadeploy.promotion import Between, Commit, Entry, Log, Promotion

F = TypeVar("F", bound=Callable[..., object])


def _gate(flag: str, code: str, text: str) -> Callable[[F], F]:
    return click.option(flag, "allowed", flag_value=code, multiple=True, help=text)


@click.command()
@click.argument("org")
@click.option(
    "--branch",
    metavar="NAME",
    default="",
    help="Which has to hold the commit. [default: what is checked out]",
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
@options.as_json
def promote(
    org: str,
    branch: str,
    auto_approve: bool,
    dry_run: bool,
    test_level: TestLevel | None,
    minutes: float,
    lock_timeout: float,
    push: bool,
    remote: str,
    allowed: tuple[str, ...],
    as_json: bool,
) -> int:
    """Bring to an org what is live in the one before it.

    The org's file says which one that is: promote_from. What is deployed is what the
    commit that is live there makes of this org's values at that commit; the work
    tree does not matter. The source has to be verified and unchanged since.
    """
    chosen = frozenset(allowed)
    with connect(1) as connected:
        name = options.one_org(connected.project, org)
        known = Promotion(connected)
        with watching(connected):
            found = known.promote(name, branch=branch, allowed=chosen)
        plan = found.plan
        if not as_json:
            first = f"{found.source} → {name}  {found.commit}"
            click.echo(f"{shown(first)}\n\n{show.plan_text(plan)}\n")
        asked = not (auto_approve or plan.empty or plan.refusals)
        if asked:
            ask([plan], dry_run)
        with (
            watching(connected),
            stoppable(connected, "promote", [name], as_json=as_json),
        ):

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

            results = connected.each([name], work)
    return report("promote", results, as_json=as_json)


@click.command()
@click.argument("org")
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
        first = f"{when(said.started)}  {run.id}  {run.status:<10}  {said.user}"
        if said.promoted_from:
            first += f"  from {said.promoted_from}"
        if said.undoes:
            what = f"takes back {said.undoes}"
        elif entry.exact:
            what = str(entry.commit)
        elif entry.commit.id:
            what = f"{entry.commit}, changed"
        else:
            what = "(no commit)"
        lines += ["", f"  {shown(first)}", f"    {shown(what)}"]
    if not found.entries:
        lines += ["", "  Nothing has run here yet."]
    return lines


@click.command()
@click.argument("pair", metavar="ORG..ORG")
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
    return [*lines, "", f"  {show.summary(found.delta)}"]
