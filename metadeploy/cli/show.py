"""Plans and their like, as text for a terminal and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metadeploy.cli.output import Json, shown, styled
from metadeploy.cli.terminal import laid, page_width, wrapped
from metadeploy.delta import Delta
from metadeploy.deploy import Outcome
from metadeploy.diff import AccessChange, Action, Change, FieldChange
from metadeploy.live import Live
from metadeploy.model import DeployMessage, DeployResult, Ref
from metadeploy.plan import NewKey, Plan
from metadeploy.proof import Proof
from metadeploy.reports.words import key_text, proof_mark, value_text
from metadeploy.reports.words import summary as summary
from metadeploy.runs import Followed
from metadeploy.verify import Verified

_COLOURS = {"+": "green", "~": "orange", "-": "red"}
_KEY = "consumer key"


def plan_text(plan: Plan) -> str:
    """Return a plan as a person wants to read it."""
    return "\n".join(_plan_lines(plan))


def _plan_lines(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    kind = "  PRODUCTION" if facts.production else ""
    yield f"{styled(plan.wanted.org, bold=True)}  {shown(facts.org_id)}{kind}"
    if plan.drift:
        yield ""
        yield from _wrapped("Changed outside metadeploy since it last deployed:", "  ")
        yield from drift_lines(plan.drift)
    if plan.empty:
        yield ""
        yield "  Nothing to do: the org matches."
        if not plan.refusals:
            return
    yield from change_lines(plan)
    for risk in plan.risks:
        yield ""
        yield from _marked("Risk:", "orange", risk.message)
    for refusal in plan.refusals:
        yield ""
        yield from _marked("Refused:", "red", refusal.message)
        yield from _wrapped(shown(refusal.advice), "  ")
    yield ""
    yield from _wrapped(f"Plan: {summary(plan)}", "  ")
    yield f"  Fingerprint: {plan.fingerprint[:12]}"


def change_lines(plan: Plan | Delta) -> Iterator[str]:
    """Yield the changes of a plan as lines, an empty one before each."""
    for ref in plan.replaced:
        yield ""
        yield from _ref_lines("-", ref)
        what = "deleted first: it gets a new key when it is created anew"
        yield from wrapped(what, page_width(), indent=" " * 6, hang=" " * 8)
    new = {k.component: k for k in plan.new_keys}
    for change in plan.changes:
        yield ""
        yield from _change_lines(change, new.get(change.ref))
    if plan.access_changes:
        yield ""
        for access in plan.access_changes:
            yield from _access_lines(access)


def _change_lines(change: Change, new: NewKey | None) -> Iterator[str]:
    yield from _ref_lines(change.action.sign, change.ref)
    width = _width(change)
    if new is not None:
        yield _field_line(_KEY, key_text(new), width)
    for field in change.fields:
        yield from _field_lines(change.action, field, width)


def _ref_lines(sign: str, ref: Ref, after: str = "") -> Iterator[str]:
    colour = _COLOURS.get(sign)
    told = shown(f"{sign} {ref}{after}")
    for line in wrapped(told, page_width(), indent="  ", hang=" " * 6):
        yield styled(line, fg=colour, bold=colour is not None)


def _width(change: Change) -> int:
    """Return how wide the names are, without those too long to have text beside."""
    names = [_KEY, *(f.path for f in change.fields)]
    widest = page_width() // 2 - 2
    return max(len(n) for n in names if len(n) <= widest)


def _field_lines(action: Action, field: FieldChange, width: int) -> Iterator[str]:
    if action is Action.CREATE:
        yield _field_line(field.path, value_text(field.wanted), width)
        return
    old, new = value_text(field.actual), value_text(field.wanted)
    if len(old) + len(new) + width < page_width() - 12 and "\n" not in old + new:
        yield _field_line(field.path, f"{old} → {new}", width)
    else:
        yield _field_line(field.path, f"- {old}", width, hang="  ")
        yield _field_line("", f"+ {new}", width, hang="  ")


def _field_line(name: str, value: str, width: int, *, hang: str = "") -> str:
    """Write a name and a value; what does not fit beside goes below, indented."""
    name = shown(name)
    lines = [shown(line) for line in value.split("\n")]
    page = page_width()
    beside = max(map(len, lines)) + width + 8 <= page
    if beside and len(name) <= width:
        pad = " " * (width + 8) + hang
        first = f"      {name:<{width}}  {lines[0]}"
        return "\n".join([first, *(pad + line for line in lines[1:])]).rstrip()
    indent = " " * (10 if page >= 60 else 8)
    below = [
        told
        for line in lines
        for told in wrapped(line, page, indent=indent, hang=f"{indent}  ")
    ]
    above = wrapped(name, page, indent=" " * 6, hang=" " * 8) if name else []
    return "\n".join([*above, *below])


def _access_lines(change: AccessChange) -> Iterator[str]:
    sign = change.action.sign
    verb = "may be used by" if sign == "+" else "may no longer be used by"
    cells = [f"{sign} {change.app}", verb, str(change.holder)]
    for line in laid(map(shown, cells), indent="  ", hang="      "):
        yield styled(line, fg=_COLOURS[sign])


def drift_lines(changes: Iterable[Change]) -> Iterator[str]:
    """Yield what an org has otherwise than it was deployed, as lines."""
    for change in changes:
        yield from _drift_lines(change)


def access_drift_lines(changes: Iterable[AccessChange]) -> Iterator[str]:
    """Yield who has got or lost an app, as lines."""
    for change in changes:
        given = change.action is Action.GRANT
        verb = "may now be used by" if given else "may no longer be used by"
        cells = [f"! {change.app}", verb, str(change.holder)]
        yield from laid(map(shown, cells), indent="  ", hang="      ")


def _drift_lines(change: Change) -> Iterator[str]:
    if change.action is Action.DELETE:
        yield from _ref_lines("!", change.ref, " is gone from the org")
        return
    yield from _ref_lines("!", change.ref)
    width = _width(change)
    for field in change.fields:
        deployed, now = value_text(field.wanted), value_text(field.actual)
        yield _field_line(field.path, f"deployed {deployed}\nnow      {now}", width)


def outcome_text(outcome: Outcome) -> str:
    """Return how a run ended, for a person."""
    org = styled(outcome.plan.wanted.org, bold=True)
    status = outcome.result.status
    if status == "Unchanged":
        lines = [f"{org}  nothing to do: the org matches."]
        if outcome.verified is not None:
            lines += verified_lines(outcome.verified)
        return "\n".join([*lines, *_live_lines(outcome.live)])
    if outcome.verified is None:
        return f"{org}  {_accepted(outcome.result)}"
    word = "deployed and verified" if outcome.verified.ok else "deployed, NOT verified"
    colour = "green" if outcome.verified.ok else "red"
    deploy_id = shown(outcome.result.id) or "by records"
    lines = laid(
        [org, styled(word, fg=colour), deploy_id, shown(f"run {outcome.run_id}")]
    )
    for change in outcome.repaired:
        what = f"access was missing after the deploy and is repaired: {change}"
        lines += _wrapped(shown(what), "  ")
    for app in outcome.own_keys:
        what = f"{app}: the org made the key itself, not from the master"
        lines += _wrapped(shown(what), "  ")
    lines += verified_lines(outcome.verified)
    return "\n".join([*lines, *_live_lines(outcome.live)])


def _live_lines(live: Live | None) -> list[str]:
    """Say which commit an org has now, as far as there is one."""
    if live is None:
        return []
    if live.why:
        told = _wrapped(shown(f"Not noted as live: {live.why}."), "  ")
        told += _wrapped(shown(live.hint), "    ")
    elif live.commit:
        pushed = f", pushed to {live.pushed}" if live.pushed else ""
        what = f"live: {live.commit[:12]} by {live.ref}{pushed}"
        told = _wrapped(shown(what), "  ")
    else:
        told = _wrapped(
            f"No commit is what the org has now: {live.ref} is no more.", "  "
        )
    if live.not_pushed:
        told += _wrapped(shown(live.not_pushed), "  ")
    return told


def _accepted(result: DeployResult) -> str:
    return f"the org would accept it ({result.id}); nothing is kept."


def followed_text(followed: Followed) -> str:
    """Return how a deploy ended that another machine sent, for a person."""
    org, verified = styled(followed.org, bold=True), followed.verified
    if verified is None:
        return (
            f"{org}  the org would accept it ({followed.result.id}); nothing is kept."
        )
    word = "deployed, and as the templates say" if verified.ok else "deployed, DIFFERS"
    colour = "green" if verified.ok else "red"
    first = f"{org}  {styled(word, fg=colour)}  {followed.result.id}"
    return "\n".join([first, *verified_lines(verified)])


def followed_json(followed: Followed) -> dict[str, Json]:
    """Return how a deploy ended that another machine sent, as data."""
    verified, result = followed.verified, followed.result
    return {
        "org": followed.org,
        "deployId": result.id,
        "status": result.status,
        "checkOnly": result.check_only,
        "verified": verified is not None and verified.ok,
        "proofs": proofs_json(verified.proofs if verified else ()),
        "messages": [message_json(m) for m in result.messages],
    }


def verified_lines(verified: Verified) -> list[str]:
    """Return what a verify found: differences, and a line for each app's login."""
    lines: list[str] = []
    for change in verified.changes:
        lines += _change_lines(change, None)
    for access in verified.access_changes:
        lines += _access_lines(access)
    lines += [_proof_line(p) for p in verified.proofs]
    return lines


def _proof_line(proof: Proof) -> str:
    flow = f" by {proof.flow}" if proof.flow else ""
    user = f" as {proof.user}" if proof.user else ""
    line = shown(f"{proof.app}: {proof_mark(proof)}{flow}{user}: {proof.detail}")
    told = _wrapped(line, "  ")
    if proof.hint:
        told += _wrapped(shown(proof.hint), "    ")
    return "\n".join(told)


def _wrapped(text: str, indent: str) -> list[str]:
    return wrapped(text, page_width(), indent=indent)


def _marked(mark: str, fg: str, text: str) -> Iterator[str]:
    """Yield a text behind a word in colour, wrapped."""
    first, *more = _wrapped(f"{mark} {shown(text)}", "  ")
    yield first.replace(mark, styled(mark, fg=fg, bold=True), 1)
    yield from more


def plan_json(plan: Plan) -> dict[str, Json]:
    """Return a plan as data: the shape that `plan --json` promises."""
    return {
        "org": plan.wanted.org,
        "orgId": plan.facts.org_id,
        "changes": changes_json(plan),
        "drift": drift_json(plan.drift),
        "refusals": [
            {
                "code": r.code,
                "message": r.message,
                "flag": r.flag,
                "remedy": r.remedy,
            }
            for r in plan.refusals
        ],
        "replaced": refs_json(plan.replaced),
        "risks": [{"code": r.code, "message": r.message} for r in plan.risks],
        "fingerprint": plan.fingerprint,
    }


def drift_json(changes: Iterable[Change]) -> list[Json]:
    """Return what an org has otherwise than it was deployed, as data."""
    return [
        {
            "action": str(c.action),
            "type": c.ref.type,
            "fullName": c.ref.full_name,
            "fields": [
                {"path": f.path, "recorded": f.wanted, "actual": f.actual}
                for f in c.fields
            ],
        }
        for c in changes
    ]


def refs_json(refs: Iterable[Ref]) -> list[Json]:
    """Return names of components as data."""
    return [{"type": r.type, "fullName": r.full_name} for r in refs]


def changes_json(plan: Plan | Delta) -> list[Json]:
    """Return the changes of a plan, components first, then access."""
    new = {k.component: k for k in plan.new_keys}
    found: list[Json] = []
    for change in plan.changes:
        row = change_json(change)
        if change.ref in new:
            choice = new[change.ref].choice
            origin = "pinned" if choice.pinned else "derived"
            row["consumerKey"] = {"origin": origin, "generation": choice.generation}
        found.append(row)
    return [*found, *(access_json(a) for a in plan.access_changes)]


def change_json(change: Change) -> dict[str, Json]:
    """Return one changed component as data."""
    return {
        "action": str(change.action),
        "type": change.ref.type,
        "fullName": change.ref.full_name,
        "fields": [
            {"path": f.path, "actual": f.actual, "wanted": f.wanted}
            for f in change.fields
        ],
    }


def access_json(change: AccessChange) -> dict[str, Json]:
    """Return one access gained or lost as data."""
    return {
        "action": str(change.action),
        "type": "ConnectedAppAccess",
        "app": change.app,
        "holderType": change.holder.type,
        "holder": change.holder.full_name,
    }


def outcome_json(outcome: Outcome) -> dict[str, Json]:
    """Return how a run ended as data: the shape that `deploy --json` promises."""
    verified = outcome.verified
    unchanged = outcome.result.status == "Unchanged"
    return {
        "org": outcome.plan.wanted.org,
        "orgId": outcome.plan.facts.org_id,
        "runId": outcome.run_id,
        "deployId": outcome.result.id,
        "status": outcome.result.status,
        "checkOnly": outcome.result.check_only,
        "verified": unchanged if verified is None else verified.ok,
        "changes": changes_json(outcome.plan),
        "repaired": [access_json(a) for a in outcome.repaired],
        "proofs": proofs_json(verified.proofs if verified else ()),
        "ownKeys": list(outcome.own_keys),
        "live": live_json(outcome.live),
        "messages": [message_json(m) for m in outcome.result.messages],
    }


def live_json(live: Live | None) -> Json:
    """Return what became of an org's ref as data; null where there is none."""
    if live is None:
        return None
    return {
        "ref": live.ref,
        "commit": live.commit or None,
        "why": live.why,
        "hint": live.hint,
        "pushed": live.pushed or None,
        "notPushed": live.not_pushed,
    }


def proofs_json(proofs: Iterable[Proof]) -> list[Json]:
    """Return each app's token request as data; ok is null where none was made."""
    return [
        {
            "app": p.app,
            "flow": p.flow,
            "user": p.user,
            "ok": p.ok,
            "expected": p.expected,
            "detail": p.detail,
            "hint": p.hint,
            "code": p.code,
            "scopes": {
                "granted": list(p.granted),
                "missing": list(p.missing),
                "extra": list(p.extra),
            },
        }
        for p in proofs
    ]


def message_json(message: DeployMessage) -> dict[str, Json]:
    """Return one row of a DeployResult as data."""
    return {
        "type": message.component_type,
        "fullName": message.full_name,
        "fileName": message.file_name,
        "success": message.success,
        "created": message.created,
        "changed": message.changed,
        "deleted": message.deleted,
        "problem": message.problem,
        "problemType": message.problem_type,
        "line": message.line,
        "column": message.column,
    }
