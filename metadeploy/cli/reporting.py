"""--report: what came of a command, written for others however the command ends."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import click
from msgspec.structs import replace

from metadeploy import keys
from metadeploy.api import Orgs, Result
from metadeploy.cli import completing, options
from metadeploy.cli.output import annotate, error_text
from metadeploy.deploy import Outcome
from metadeploy.errors import (
    DeployFailed,
    DeployTimeout,
    LostAnswer,
    MetadeployError,
    PlanRefused,
    Unverified,
)
from metadeploy.near import did_you_mean
from metadeploy.plan import Plan
from metadeploy.promotion import Found
from metadeploy.reports.account import Account, Known, KnownKey, Report, State
from metadeploy.reports.words import summary
from metadeploy.runs import Followed
from metadeploy.verify import Verified
from metadeploy.wanted import Wanted

F = TypeVar("F", bound=Callable[..., object])
_PAGE = "html"
_FILES = (_PAGE, "markdown", "junit", "gitlab")
_TO_GITHUB = "github"


class Reports:
    """What is to be reported where, and what came of each org so far."""

    def __init__(self, command: str, asked: Sequence[tuple[str, str]]) -> None:
        self._command = command
        self._asked = asked
        self._accounts: tuple[Account, ...] = ()
        self._orgs: Orgs | None = None
        self._plans: dict[str, Plan] = {}

    def about(self, orgs: Orgs, plans: Iterable[Plan] = ()) -> None:
        """Take whose orgs it is about, and what is to be done in them.

        So that a plan is told of where it fails, too.
        """
        self._orgs = orgs
        self._plans = {plan.wanted.org: plan for plan in plans}

    def tell(self, results: Iterable[Result[object]]) -> None:
        """Take what came of the orgs."""
        self._accounts = tuple(map(self._account, results))

    def _account(self, result: Result[object]) -> Account:
        plan = self._plans.get(result.org)
        found = _account(result, plan)
        if self._orgs is None or all(kind != _PAGE for kind, _ in self._asked):
            return found
        return replace(found, known=_known(result.value or plan, self._orgs))

    def write(self, error: MetadeployError | None = None) -> bool:
        """Write all reports; say on stderr which cannot be, and return whether none.

        error: what ended the command. The JSON document may be on stdout already.
        """
        well = True
        for kind, file in self._asked:
            try:
                self._write(kind, file, error)
            except MetadeployError as failed:
                click.echo(error_text(failed), err=True)
                well = False
        return well

    def _write(self, kind: str, file: str, error: MetadeployError | None) -> None:
        from metadeploy.reports import github, gitlab, junit, markdown

        now = datetime.now(UTC)
        made = Report(self._command, self._accounts, error, _folder(), now)
        if kind == _TO_GITHUB:
            # Its runner reads both; stdout belongs to the command.
            for line in github.results(made):
                annotate(line, err=True)
            summary_of_job = os.environ.get("GITHUB_STEP_SUMMARY")
            if summary_of_job:
                options.append(Path(summary_of_job), markdown.text(made))
            return
        if kind == _PAGE:
            from metadeploy.reports import page  # reads certificates: slow to load

            options.save(Path(file), page.text(made).encode())
            return
        texts = {
            "markdown": markdown.text,
            "junit": junit.text,
            "gitlab": gitlab.terraform,
        }
        options.save(Path(file), texts[kind](made).encode())


def _folder() -> str:
    try:
        return options.in_repository(options.find_workspace().root)
    except MetadeployError:
        return ""


def _parsed(
    ctx: click.Context, option: click.Parameter, words: tuple[str, ...]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for word in words:
        kind, _, file = word.partition("=")
        if kind == _TO_GITHUB and not file:
            found.append((kind, ""))
            continue
        if kind not in _FILES or not file:
            known = ", ".join(f"{k}=FILE" for k in _FILES)
            hint = did_you_mean(kind, (*_FILES, _TO_GITHUB))
            what = f"{word!r} is none of {known}, {_TO_GITHUB}{hint}"
            raise click.BadParameter(what)
        # Better told before an org is changed than after.
        if not Path(file).absolute().parent.is_dir() or Path(file).is_dir():
            raise click.BadParameter(f"no file can be written at {file}")
        if file in (f for _, f in found):
            raise click.BadParameter(f"{file} cannot hold two reports")
        found.append((kind, file))
    return found


def reported(command: F) -> F:
    """Add --report, and write what is asked for when the command has ended."""

    @functools.wraps(command)
    def run(*args: object, asked: list[tuple[str, str]], **words: object) -> object:
        name = click.get_current_context().command_path.partition(" ")[2]
        reports = Reports(name, asked)
        try:
            code = command(*args, reports=reports, **words)
        except MetadeployError as error:
            reports.write(error)
            raise
        return code if reports.write() else code or 1

    option = click.option(
        "--report",
        "asked",
        shell_complete=completing.reports,
        metavar="KIND=FILE",
        multiple=True,
        callback=_parsed,
        help="Also write html=, markdown=, junit= or gitlab=FILE; or tell github.",
    )
    return cast(F, option(run))


def _account(result: Result[object], plan: Plan | None) -> Account:
    org, value = result.org, result.value
    if isinstance(value, Plan):
        return _planned(value)
    if isinstance(value, Outcome):
        return _deployed(value)
    if isinstance(value, Followed):
        row = value.result
        found = Account(org, State.DONE, "deployed", messages=row.messages)
        found = replace(found, notes=(f"deploy {row.id} of another machine",))
        return _verified(found, value.verified)
    if isinstance(value, Verified):
        said = "The org matches." if value.ok else "The org does not match."
        account = Account(org, State.DONE, "", value.org_id)
        return replace(_verified(account, value), said=said)
    if isinstance(value, Found):
        return _drifted(value)
    assert result.error is not None  # else there is a value
    begun = Account(org, State.DONE, "") if plan is None else _planned(plan)
    return _failed(begun, result.error)


def _planned(plan: Plan) -> Account:
    return Account(
        plan.wanted.org,
        State.REFUSED if plan.refusals else State.DONE,
        "Nothing to do: the org matches." if plan.empty else summary(plan),
        plan.facts.org_id,
        changes=plan.changes,
        access=plan.access_changes,
        replaced=plan.replaced,
        new_keys=plan.new_keys,
        drift=plan.drift,
        refusals=tuple(map(str, plan.refusals)),
        risks=plan.risks,
    )


def _deployed(outcome: Outcome) -> Account:
    result, live = outcome.result, outcome.live
    found = replace(_planned(outcome.plan), messages=result.messages)
    if result.status == "Unchanged":
        return found if outcome.verified is None else _verified(found, outcome.verified)
    notes = [f"deploy {result.id or 'by records'}, run {outcome.run_id}"]
    notes += [f"access was missing and is repaired: {c}" for c in outcome.repaired]
    notes += [f"the org made the key of {app} itself" for app in outcome.own_keys]
    if live is not None:
        notes.append(f"live: {live.commit} by {live.ref}" if not live.why else live.why)
        notes += filter(None, (live.not_pushed,))
    found = replace(found, notes=tuple(notes))
    return _verified(found, outcome.verified)


def _verified(account: Account, verified: Verified | None) -> Account:
    if verified is None:
        return replace(account, said="The org would accept it; nothing is kept.")
    word = "verified" if verified.ok else "NOT as it has to be"
    return replace(
        account,
        state=State.DONE if verified.ok else State.DIFFERS,
        said=f"{account.said.rstrip('.')}; {word}.",
        left=verified.changes,
        left_access=verified.access_changes,
        proofs=verified.proofs,
    )


def _drifted(found: Found) -> Account:
    drift = found.drift
    names = [f"{row.at[:16]} {row.user}: {row.words}" for row in drift.trail]
    return Account(
        drift.org,
        State.DIFFERS if drift.found else State.DONE,
        "Not as it was deployed." if drift.found else "As it was deployed.",
        drift.org_id,
        drift=drift.changes,
        drift_access=drift.access,
        notes=(*names, *filter(None, (drift.untold,))),
    )


def _failed(begun: Account, error: MetadeployError) -> Account:
    if isinstance(error, PlanRefused):
        refused = replace(begun, said="Refused: nothing was sent.")
        refused = replace(refused, state=State.REFUSED, refusals=error.refusals)
        return replace(refused, error=error)
    found = replace(begun, refusals=(), error=error)
    if isinstance(error, DeployTimeout | LostAnswer | Unverified):
        said = "Nobody knows yet how it ended."
        return replace(found, state=State.UNKNOWN, said=said)
    said = "It went wrong."
    if isinstance(error, DeployFailed):
        found = replace(found, messages=error.result.messages)
    return replace(found, state=State.FAILED, said=said)


def _known(value: object, orgs: Orgs) -> Known | None:
    """Return what a result knows of an org, whatever came of it."""
    if isinstance(value, Outcome):
        found = _known(value.verified or value.plan, orgs)
        recorded = frozenset(value.plan.seen.recorded)
        return None if found is None else replace(found, recorded=recorded)
    if isinstance(value, Followed):
        return _known(value.verified, orgs)
    if isinstance(value, Plan):
        recorded, org_id = frozenset(value.seen.recorded), value.facts.org_id
        live = _keys(value.wanted, org_id, value.seen.consumer_keys, orgs)
        return Known(value.wanted, live, recorded)
    if isinstance(value, Verified):
        live = _keys(value.wanted, value.org_id, value.consumer_keys, orgs)
        return Known(value.wanted, live)
    if isinstance(value, Found):
        drift = value.drift
        live = _keys(drift.known, drift.org_id, drift.consumer_keys, orgs)
        return Known(
            drift.known, live, frozenset(c.ref for c in drift.known.components)
        )
    return None


def _keys(
    wanted: Wanted, org_id: str, live: Mapping[str, str], orgs: Orgs
) -> dict[str, KnownKey]:
    """Return the keys that an org has, and who made them, as far as that is known."""
    found = {app: KnownKey(key) for app, key in live.items()}
    if not found:
        return found
    try:
        masters = orgs.masters(orgs.project.org(wanted.org))
    except MetadeployError:  # whoever only plans may not have the master
        masters = None
    for component in wanted.components:
        app = keys.app_of(component)
        if app is None or app not in live:
            continue
        choice, key = wanted.key_choice(component, app), live[app]
        if masters is not None:
            origin = keys.origin_of(masters, org_id, app, choice, key)
            found[app] = KnownKey(key, *origin)
        elif choice.pinned == key:
            found[app] = KnownKey(key, "pinned", choice.generation)
    return found
