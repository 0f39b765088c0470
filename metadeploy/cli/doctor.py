"""doctor: will this machine get along with these orgs, and what to do if not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from metadeploy.cli import options
from metadeploy.cli.output import Json, document, shown, styled, write_json
from metadeploy.cli.terminal import page_width, wrapped
from metadeploy.cli.work import connect, each
from metadeploy.doctor import Check, Status
from metadeploy.errors import MetadeployError

_COLOURS: dict[Status, str] = {"ok": "green", "warning": "orange", "failed": "red"}


@click.command()
@options.orgs(required=True)
@click.option(
    "--check-creation",
    is_flag=True,
    help="Also ask whether connected apps may be created, by a deploy that is only"
    " validated; it waits its turn in the org's queue.",
)
@options.parallelism
@options.as_json
def doctor(
    orgs: tuple[str, ...], check_creation: bool, parallelism: int, as_json: bool
) -> int:
    """Test login, access and settings, and say what to do.

    Nothing is changed in the orgs. Exit code 0 when no check failed, else 1.
    """
    with connect(parallelism) as connected:
        names = connected.project.select(orgs)
        results = each(
            connected,
            names,
            lambda name: connected.doctor(name, creation=check_creation),
        )
    found = {r.org: r.value or _broken(r.error) for r in results}
    ok = not any(c.status == "failed" for checks in found.values() for c in checks)
    if as_json:
        rows: Json = [_org_json(name, checks) for name, checks in found.items()]
        write_json(document("doctor", {"ok": ok, "orgs": rows}))
    else:
        for name, checks in found.items():
            click.echo("\n".join(_lines(name, checks)))
    return 0 if ok else 1


def _broken(error: MetadeployError | None) -> tuple[Check, ...]:
    """Return what an org file that is no good stands for."""
    assert error is not None  # else there is a value
    return (Check("org-file", "failed", error.message, error.hint),)


def _org_json(name: str, checks: Iterable[Check]) -> Json:
    rows: Json = [
        {"name": c.name, "status": c.status, "found": c.found, "advice": c.advice}
        for c in checks
    ]
    return {"org": name, "checks": rows}


def _lines(name: str, checks: Iterable[Check]) -> Iterator[str]:
    yield styled(name, bold=True)
    width = page_width()
    # What is found stands beside where there is room, and else below.
    indent = " " * (28 if width >= 70 else 4)
    for check in checks:
        status = styled(f"{check.status:<8}", fg=_COLOURS[check.status])
        lines = wrapped(shown(check.found), width, indent=indent, hang=indent)
        if len(indent) > 4:
            lines[0] = f"  {status}  {check.name:<16}{lines[0].strip()}"
        else:
            yield f"  {status}  {check.name}"
        yield from lines
        if check.advice:
            yield from wrapped(shown(check.advice), width, indent=indent, hang=indent)
