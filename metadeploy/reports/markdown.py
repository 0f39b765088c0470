"""A report in Markdown, for the comment of a pull request or the summary of a job.

Texts from orgs and templates stand in `<code>`, each mark of theirs as a number
(`&#42;`), so that none is Markdown, HTML, a mention or a link; or in a fence that is
longer than any in them. Source: CommonMark 0.31, entities and fenced code blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from metadeploy.diff import Change
from metadeploy.proof import Proof
from metadeploy.reports import details
from metadeploy.reports.account import Account, Report, Row, State, error_text, told
from metadeploy.reports.words import proof_mark

LONGEST = 65_536
"""What GitHub takes as a comment, in characters; we count bytes, which are more."""

_MOST_ROWS = 100
_LONGEST_TEXT = 4_000
_LONGEST_NAME = 300
_NO_MARK = re.compile(r"[^\w /=+(),;?-]|_")


def text(report: Report) -> str:
    """Return the report, cut where it would be too long, with a note of that."""
    blocks = [*_head(report)]
    room = LONGEST - 1_000 - _size(blocks)
    overview = [_overview_row(a) for a in report.accounts]
    shown = _fitting(overview, room // 2)
    blocks += shown
    blocks += _more(len(overview) - len(shown), "orgs")
    room = LONGEST - 1_000 - _size(blocks)
    short = left_out = 0
    for number, account in enumerate(report.accounts):
        whole, brief = _section(account), _section(account, brief=True)
        chosen = next((s for s in (whole, brief) if _size(s) <= room), None)
        if chosen is None:
            left_out = len(report.accounts) - number
            break
        short += chosen != whole
        room -= _size(chosen)
        blocks += chosen
    if short or left_out:
        blocks += ["", f"**Cut**, for a comment can hold {LONGEST:,} characters:"]
        blocks[-1] += f" {short} orgs without their details, {left_out} left out."
        blocks[-1] += " `--json` has all of it."
    return "\n".join(blocks) + "\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    found: list[str] = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        found.append(line)
    return found


def _more(count: int, what: str) -> list[str]:
    return ["", f"… and {count} more {what}."] if count else []


def _head(report: Report) -> Iterator[str]:
    yield f"## metadeploy {report.command}"
    yield ""
    if report.error is not None:
        yield "**Failed:**"
        yield from _fence(error_text(report.error))
        yield ""
    if report.accounts:
        yield "| org | state | |"
        yield "|---|---|---|"


def _overview_row(account: Account) -> str:
    state = account.state
    word = str(state) if state is State.DONE else f"**{state}**"
    said = account.said
    if account.error is not None and not account.refusals:
        said = _code(account.error.message.partition("\n")[0])
    return f"| {_code(account.org)} | {word} | {said} |"


def _section(account: Account, *, brief: bool = False) -> list[str]:
    lines = ["", f"### {_code(account.org)} {_code(account.org_id)}".rstrip(), ""]
    lines.append(account.said)
    if account.error is not None and not account.refusals:
        lines += ["", *_fence(error_text(account.error))]
    lines += _each("**Refused:** ", account.refusals)
    lines += _each("**Risk:** ", [r.message for r in account.risks])
    lines += _each("", account.notes)
    title = "change" if account.error is None else "what was to be done"
    lines += _table(title, account.planned)
    lines += _table("still differs", account.differing)
    lines += _table("changed outside metadeploy", account.drifted)
    lines += _proofs(account)
    values = "\n".join(details.lines(account))
    if values and not brief:
        lines += ["", "<details><summary>Details</summary>", ""]
        lines += [*_fence(values, "diff", longest=LONGEST), "", "</details>"]
    return lines


def _each(word: str, texts: Sequence[str]) -> list[str]:
    found = [f"- {word}{_text(text)}" for text in texts[:_MOST_ROWS]]
    return ["", *found, *_more(len(texts) - len(found), "of these")] if found else []


def _proofs(account: Account) -> list[str]:
    tried = [p for p in account.proofs if p.ok is not None]
    found = [_proof(p) for p in tried[:_MOST_ROWS]]
    return ["", *found, *_more(len(tried) - len(found), "of these")] if found else []


def _proof(proof: Proof) -> str:
    word = proof_mark(proof)
    word = word if proof.ok else f"**{word}**"
    return f"- login to {_code(proof.app)}: {word} {_text(proof.detail)}"


def _table(title: str, changes: Sequence[Row]) -> list[str]:
    if not changes:
        return []
    rows = [_row(c) for c in changes[:_MOST_ROWS]]
    found = ["", f"| | {title} |", "|---|---|", *rows]
    return [*found, *_more(len(changes) - len(rows), "of these")]


def _row(change: Row) -> str:
    sign = f"`{change.action.sign}`"
    if isinstance(change, Change):
        return f"| {sign} | {_code(str(change.ref))} |"
    holder = _code(str(change.holder))
    verb = "may be used by" if change.action.sign == "+" else "may not be used by"
    return f"| {sign} | {_code(change.app)} {verb} {holder} |"


def _code(text: str, longest: int = _LONGEST_NAME) -> str:
    """Return text from anywhere, in one line, as code. "" for none."""
    if not text:
        return ""
    line = " ".join(told(text).split())
    if len(line) > longest:
        line = f"{line[:longest]}…"
    return f"<code>{_NO_MARK.sub(_number, line)}</code>"


def _text(text: str) -> str:
    return _code(text, _LONGEST_TEXT // 4)


def _number(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _fence(text: str, language: str = "", *, longest: int = _LONGEST_TEXT) -> list[str]:
    if len(text) > longest:
        text = f"{text[:longest]}…"
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(2, *runs, 2) + 1)
    return [f"{fence}{language}", text, fence]
