"""What commands that read or change orgs share: connect, show progress, ask, report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from metadeploy import planfile
from metadeploy.api import Orgs, Result, SystemClock
from metadeploy.cli import options, show
from metadeploy.cli.output import (
    Json,
    document,
    error_json,
    error_text,
    shown,
    write_json,
)
from metadeploy.cli.progress import Board, Lines, Watch, is_watched
from metadeploy.cli.reporting import Reports
from metadeploy.deploy import Outcome
from metadeploy.errors import ConfigError, MetadeployError, PlanRefused, Stopped
from metadeploy.plan import Plan
from metadeploy.runs import Followed

T = TypeVar("T")


@contextmanager
def connect(parallelism: int) -> Iterator[Orgs]:
    with Orgs(options.find_workspace(), parallel=parallelism) as connected:
        yield connected


@contextmanager
def watching(connected: Orgs, names: Sequence[str]) -> Iterator[Watch]:
    """Show progress of orgs while the block runs: alive if somebody watches."""
    kind = Board if is_watched() else Lines
    with kind(names, SystemClock().now) as watch:
        before, connected.progress = connected.progress, watch.of
        try:
            yield watch
        finally:
            connected.progress = before


def each(
    connected: Orgs, names: Sequence[str], work: Callable[[str], T]
) -> list[Result[T]]:
    """Return what `work` makes of each org, while progress is shown."""
    with watching(connected, names) as watch:
        return connected.each(names, watch.around(work))


def ask(due: list[Plan], dry_run: bool) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(
            "nobody is there to be asked: --auto-approve answers for scripts"
        )
    names = options.joined([p.wanted.org for p in due])
    what = "Let the org validate this" if dry_run else "Deploy this"
    click.echo(
        shown(f"{what} to {names}? Only 'yes' is taken for a yes: "),
        nl=False,
        err=True,
    )
    if sys.stdin.readline().strip() != "yes":
        raise ConfigError("not confirmed", hint="Nothing was sent.")


def report(
    command: str,
    results: Sequence[Result[Outcome] | Result[Outcome | Followed]],
    *,
    as_json: bool,
    reports: Reports,
) -> int:
    """Print how each org's run ended, and return the exit code of all."""
    reports.tell(results)
    if as_json:
        rows = [_row(r) for r in results]
        write_json(document(command, {"orgs": rows}))
    else:
        for result in results:
            if isinstance(result.value, Outcome):
                click.echo(show.outcome_text(result.value))
            elif result.value is not None:
                click.echo(show.followed_text(result.value))
            elif result.error is not None:
                click.echo(error_text(result.error, org=result.org), err=True)
    code = options.exit_code_of(r.error for r in results)
    return code or int(any(_is_unproven(r.value) for r in results))


def _row(result: Result[Outcome] | Result[Outcome | Followed]) -> Json:
    if isinstance(result.value, Outcome):
        return show.outcome_json(result.value)
    if result.value is not None:
        return show.followed_json(result.value)
    return failed_json(result.org, result.error)


def _is_unproven(found: Outcome | Followed | None) -> bool:
    if isinstance(found, Outcome) and found.live and found.live.not_pushed:
        return True
    verified = None if found is None else found.verified
    return verified is not None and not verified.ok


def failed_json(org: str, error: MetadeployError | None) -> dict[str, Json]:
    """Return the row of an org that something went wrong for."""
    assert error is not None  # else there is a value
    known = {PlanRefused: "Refused", Stopped: "Stopped"}
    return {
        "org": org,
        "status": known.get(type(error), "Failed"),
        "verified": False,
        "error": error_json(error),
    }


def save_plans(path: Path, plans: Sequence[Plan], *, complete: bool = True) -> None:
    """Write plans to a file, to be deployed exactly. Raises ConfigError."""
    if not complete:
        raise ConfigError(
            f"not every org could be planned: {path} is not written",
            hint="Mend what is told of each org, then plan again.",
        )
    options.save(path, planfile.dumps(plans))


def load_plans(path: str | None, orgs: Sequence[str]) -> tuple[Plan, ...]:
    """Return the plans of a file, or of it those for these orgs. Raises ConfigError."""
    if path is None:
        return ()
    try:
        plans = planfile.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            hint="`metadeploy plan ORG --out FILE` writes one.",
        ) from error
    if not orgs:
        return plans
    names = {p.wanted.org for p in plans}
    for org in orgs:
        if org not in names:
            raise ConfigError(
                f"{path} has no plan for {org}",
                hint=f"It is for: {options.joined(sorted(names))}.",
            )
    return tuple(p for p in plans if p.wanted.org in orgs)
