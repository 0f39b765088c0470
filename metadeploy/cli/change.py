"""plan, deploy and verify: what reads or changes orgs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from metadeploy.api import Orgs, Result
from metadeploy.cli import DIFFERS, completing, options, show
from metadeploy.cli.interrupt import stoppable
from metadeploy.cli.output import (
    Json,
    document,
    error_json,
    error_text,
    styled,
    write_json,
)
from metadeploy.cli.reporting import Reports, reported
from metadeploy.cli.work import (
    ask,
    connect,
    each,
    failed_json,
    load_plans,
    report,
    save_plans,
)
from metadeploy.deploy import Outcome
from metadeploy.model import DeployOptions, TestLevel
from metadeploy.plan import Plan
from metadeploy.promotion import Promotion
from metadeploy.verify import Verified


@click.command()
@options.orgs()
@click.option(
    "--out",
    metavar="FILE",
    shell_complete=completing.files,
    help="Save the plan, to be deployed exactly.",
)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 when there is something to do.",
)
@options.since
@options.allowances
@options.parallelism
@reported
@options.as_json
def plan(
    orgs: tuple[str, ...],
    out: str | None,
    detailed_exitcode: bool,
    since: str,
    allowed: tuple[str, ...],
    parallelism: int,
    as_json: bool,
    reports: Reports,
) -> int:
    """Show what would make orgs match.

    Nothing is changed. Without ORG, all orgs of the project are planned.
    """
    with connect(parallelism) as connected:
        names = connected.project.select(orgs)
        results = _plan_each(connected, names, allowed, since)
    reports.about(connected)
    reports.tell(results)
    plans = [r.value for r in results if r.value is not None]
    if out is not None:
        save_plans(Path(out), plans, complete=len(plans) == len(results))
    if as_json:
        rows = [
            show.plan_json(r.value)
            if r.value is not None
            else failed_json(r.org, r.error)
            for r in results
        ]
        write_json(document("plan", {"orgs": rows}))
    else:
        _show_plans(results)
    code = options.exit_code_of(r.error for r in results)
    if code == 0 and detailed_exitcode and not all(p.empty for p in plans):
        return DIFFERS
    return code


@click.command()
@options.orgs()
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    shell_complete=completing.files,
    help="Apply exactly this saved plan.",
)
@options.since
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option(
    "--dry-run", is_flag=True, help="Let the org validate it and keep nothing."
)
@options.test_level
@options.wait("Minutes that all of it may take; then 69 is returned.")
@options.lock_timeout
@options.push
@options.allowances
@options.parallelism
@reported
@options.as_json
def deploy(
    orgs: tuple[str, ...],
    plan_file: str | None,
    since: str,
    auto_approve: bool,
    dry_run: bool,
    test_level: TestLevel | None,
    minutes: float,
    lock_timeout: float,
    push: bool,
    remote: str,
    allowed: tuple[str, ...],
    parallelism: int,
    as_json: bool,
    reports: Reports,
) -> int:
    """Make orgs match, and prove it.

    The plan is shown first. After the deploy the org is read again, and each app is
    logged in to with its own key, as far as its flows allow.
    """
    if since and plan_file:
        raise click.UsageError("--since is for a plan to be made, not a saved one")
    saved = load_plans(plan_file, orgs)
    if not orgs and not saved:
        raise click.UsageError("name the orgs to deploy to, or '*' for all")
    chosen = DeployOptions(check_only=dry_run, test_level=test_level)
    with connect(parallelism) as connected:
        known = Promotion(connected)
        if push:
            known.ready_to_push()
        if saved:
            planned = [Result(p.wanted.org, p) for p in saved]
        else:
            names = connected.project.select(orgs)
            planned = _plan_each(connected, names, allowed, since)
        if not as_json:
            _show_plans(planned)
        reports.about(connected, [r.value for r in planned if r.value is not None])
        due = [r.value for r in planned if r.value is not None and not r.value.empty]
        asked = bool(due) and not auto_approve and not any(p.refusals for p in due)
        if asked:
            ask(due, dry_run)
        by_name = {r.org: r for r in planned}

        def work(name: str) -> Outcome:
            found = by_name[name]
            if found.error is not None:
                raise found.error
            assert found.value is not None
            outcome = connected.deploy(
                found.value,
                options=chosen,
                timeout=minutes * 60,
                allowed=frozenset(allowed),
                recheck=asked or bool(saved),
                lock_timeout=lock_timeout * 60,
            )
            return known.push(outcome, remote) if push else outcome

        named = [r.org for r in planned]
        with stoppable(connected, "deploy", named, as_json=as_json):
            results = each(connected, named, work)
    return report("deploy", results, as_json=as_json, reports=reports)


@click.command()
@options.orgs()
@click.option(
    "--as",
    "username",
    metavar="USERNAME",
    default="",
    help="Try this user by JWT, with the key of each app's jwt login.",
)
@click.option(
    "-w",
    "--wait",
    "minutes",
    type=click.FloatRange(0, 1440),
    default=0,
    show_default=True,
    help="Minutes for which an org may not know a new app's key.",
)
@options.parallelism
@reported
@options.as_json
def verify(
    orgs: tuple[str, ...],
    username: str,
    minutes: float,
    parallelism: int,
    as_json: bool,
    reports: Reports,
) -> int:
    """Compare orgs and log in through their apps.

    Every app is asked for real tokens with its own key: by client credentials where
    it allows them, and by each login that the org file has for it. The scopes of a
    token have to be those of the app.
    """
    with connect(parallelism) as connected:
        names = connected.project.select(orgs)
        results = each(
            connected,
            names,
            lambda name: connected.verify(name, wait=minutes * 60, username=username),
        )
    reports.about(connected)
    reports.tell(results)
    if as_json:
        write_json(document("verify", {"orgs": [_verified_json(r) for r in results]}))
    else:
        for result in results:
            click.echo(_verified_text(result))
    code = options.exit_code_of(r.error for r in results)
    return code or int(any(r.value is not None and not r.value.ok for r in results))


def _plan_each(
    connected: Orgs, names: Iterable[str], allowed: tuple[str, ...], since: str
) -> list[Result[Plan]]:
    known = Promotion(connected)

    def work(name: str) -> Plan:
        goal = known.since(name, since) if since else None
        return connected.plan(name, allowed=frozenset(allowed), goal=goal)

    return each(connected, list(names), work)


def _show_plans(results: Iterable[Result[Plan]]) -> None:
    for result in results:
        if result.value is not None:
            click.echo(show.plan_text(result.value))
        elif result.error is not None:
            click.echo(f"{styled(result.org, bold=True)}  not planned", err=True)
            click.echo(error_text(result.error), err=True)
        click.echo()


def _verified_json(result: Result[Verified]) -> dict[str, Json]:
    if result.value is None:
        assert result.error is not None
        error = error_json(result.error)
        return {"org": result.org, "verified": False, "error": error}
    changes = [show.change_json(c) for c in result.value.changes]
    access = [show.access_json(a) for a in result.value.access_changes]
    return {
        "org": result.org,
        "verified": result.value.ok,
        "changes": [*changes, *access],
        "proofs": show.proofs_json(result.value.proofs),
    }


def _verified_text(result: Result[Verified]) -> str:
    if result.value is None:
        assert result.error is not None
        return error_text(result.error, org=result.org)
    word = "matches" if result.value.ok else "DIFFERS"
    colour = "green" if result.value.ok else "red"
    first = f"{styled(result.org, bold=True)}  {styled(word, fg=colour)}"
    return "\n".join([first, *show.verified_lines(result.value)])
