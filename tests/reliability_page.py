"""docs/reliability.md, written from the tables that the tests go through.

python tests/reliability_page.py > docs/reliability.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby

import fault_tables
import test_broken_calls
import test_kills
from fault_tables import Cell
from invariants import INVARIANTS

PAGE = "docs/reliability.md"

_HEAD = """\
# Reliability

Whatever happens to this process, the network or the org: afterwards the org is either
as before or as planned, you know which, no secret was lost or leaked, and one command
goes on.

This page is written from the tables of the tests (`tests/fault_tables.py`,
`tests/test_kills.py`), and a test compares it with them. What they show, they show of
emulated orgs.

## How it is kept

- **A run is written down before its first request**, whole: the plan, and what is about
  to change as it is in the org. Each package is written down before it is sent, and its
  id before anybody asks how it goes. If it cannot be written down, nothing is sent.
- **Keys and secrets are derived**, so none is lost between making and deploying it.
- **What was never sent is sent again; what may have arrived is looked for.** Each
  package lies in a folder that bears the run's id, which the org repeats in its answer.
  Only what the org shows not to have is sent again, byte for byte.
- **A poll decides nothing.** Only an answer that says done, success and Succeeded is a
  success, and only an org that was read again and found as planned is `Verified`.
- **One process at a time changes an org** on this machine, whatever the project calls
  it; the system frees the lock of a process that dies.
- **Waiting ends by the monotonic clock**; no change of the time of day makes it longer.

| After a run | the org is | one command goes on |
|---|---|---|
| exit 0, `Verified` | as planned | nothing is left to do |
| exit 1, `Failed`, `Canceled`, `NotSent` | as before | the same command, once mended |
| exit 1, `Unverified` | deployed; the rest is shown | `metadeploy plan ORG` |
| exit 69, any other | not known yet, or still at work | `metadeploy runs resume ORG` |

"""


_MUTANTS = """
## Mutants

`make mutants` changes each place of the modules that decide what became of a request
(`classify`), that look for a lost deploy (`reconcile`) and that mask secrets
(`redact`), one at a time, and runs their tests. One change goes unnoticed, since it
changes nothing: to look at base64 from a fifth place, where a group of four characters
begins at one of four.
"""


def text() -> str:
    """Return the whole page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD.rstrip("\n")
    yield "\n## What holds after every test\n"
    yield from _table(("", "invariant"), INVARIANTS.items())
    yield from _matrix()
    yield from _canceling()
    yield from _kills()
    yield from _broken()
    yield _MORE
    yield _MUTANTS
    yield from _bugs()


def _matrix() -> Iterator[str]:
    every, some = fault_tables.cells(), fault_tables.chosen()
    yield "\n## Calls × faults\n"
    yield (
        "One fault at one call of one run, over real HTTP, for each kind of fault and"
        " each\ncall: both while planning and after the first package is under way.\n"
    )
    yield from _table(
        ("in a cell", "the run"),
        [(f"**{name}**", what) for name, what in fault_tables.OUTCOMES.items()],
    )
    yield ""
    columns = fault_tables.CALLS
    groups = dict.fromkeys(fault.group for fault in fault_tables.FAULTS)
    rows = []
    for group in groups:
        row = [f"{group}: {_names(group)}"]
        for call in columns:
            found = [c for c in every if c.call == call and c.fault.group == group]
            row.append(_outcomes(found))
        rows.append(row)
    yield from _table(("fault", *(call.name for call in columns)), rows)
    yield (
        f"\nThese are {len(every):,} cells; a run of the whole suite tests"
        f" {len(some):,} of them, each call with\neach group of faults, and `make soak`"
        " tests all."
    )


def _names(group: str) -> str:
    names = [f.name for f in fault_tables.FAULTS if f.group == group]
    return ", ".join(dict.fromkeys(f"`{name}`" for name in names))


def _outcomes(found: Iterable[Cell]) -> str:
    by_phase = {
        phase: sorted({fault_tables.expected(c) for c in cells})
        for phase, cells in groupby(found, key=lambda c: c.phase)
    }
    said = {phase: " or ".join(outcomes) for phase, outcomes in by_phase.items()}
    if len(set(said.values())) < 2:
        return next(iter(said.values()), "–")
    return "; ".join(f"{outcome} ({phase})" for phase, outcome in said.items())


def _canceling() -> Iterator[str]:
    yield "\n## Canceling a deploy\n"
    faults = fault_tables.canceling()
    groups = dict.fromkeys(f.group for f in faults)
    rows = []
    for group in groups:
        told = {fault_tables.canceled(f): f.name for f in faults if f.group == group}
        words = {True: "canceled", False: "too late"}
        said = " or ".join(words[known] for known in sorted(told, reverse=True))
        rows.append((group, said))
    yield (
        "`runs cancel` asks the org how its deploy ended, whatever became of the"
        " request. One\nthat came too late leaves the run open, for `runs resume`.\n"
    )
    yield from _table(("fault at cancelDeploy", "the deploy is"), rows)


def _kills() -> Iterator[str]:
    yield "\n## kill -9\n"
    yield (
        "The process is killed at each named moment; then `runs resume` in another one"
        " ends\nthe run, and once more says that nothing is open. Where there was no"
        " run yet, the\nsame command does it all.\n"
    )
    rows = [
        (name, len(s.moments), " → ".join(s.moments))
        for name, s in test_kills.SCENARIOS.items()
    ]
    yield from _table(("run", "kills", "at"), rows)


def _broken() -> Iterator[str]:
    numbers = ", ".join(test_broken_calls.NAMES)
    yield "\n## Disks, files and connections\n"
    yield (
        "The n-th call of a deploy's process fails, for each n, by turns with"
        f"\n{numbers}: opening, writing, syncing, linking and replacing"
        "\nfiles, connecting, sending, receiving, and each step of the journal. (Python"
        "\nrepeats what a signal interrupts: EINTR is no failure.) A run of the whole"
        "\nsuite takes a sample of n, `make soak` all."
    )


BUGS = (
    (
        "A login's answer lost while a deploy was waited for ended the wait",
        "calls × faults: token (renewal)",
    ),
    (
        "A refused connection, while asking whether apps may be created, ended a plan",
        "calls × faults: deploy, planning",
    ),
    (
        "A run by records alone, killed after them, was resumed as if nothing was done",
        "kill -9: access by records",
    ),
    (
        "Who looked whether an org was free took the lock from who held it",
        "one run at a time: `tests/test_orglock.py`",
    ),
    (
        "After a clock was set back, an older run was taken for the newest one",
        "`tests/test_journal.py`",
    ),
    (
        "A folder that could not be made or used ended in a traceback",
        "the n-th call fails",
    ),
)
ELSEWHERE = (
    ("A lost poll is told as a failed deploy", "calls × faults: checkDeployStatus"),
    ("A timed-out or canceled deploy exits with 0", "I3; only Succeeded is success"),
    ("A POST is repeated, and done twice", "I1; lost on the way back × deploy, POST"),
    (
        "A cut answer is read as an empty or running one",
        "lost on the way back",
    ),
    ("A maintenance page is told as an XML error", "maintenance page"),
    ("The old session is used after a new login", "session ended"),
    ("A retrieve that lost its zip looks like an empty org", "bad zip: empty-zip"),
    ("A redirect carries session and package away", "redirect; nobody ever came there"),
    ("State is lost while the deploy goes on", "kill -9; the n-th call fails"),
    (
        "A deploy is not found after a crash, and sent again",
        "kill -9: answered",
    ),
)


_MORE = """
## Many at once

- `tests/test_side_by_side.py`: many processes at one org send one deploy; somebody
  else's deploy is waited for; a full disk stops a run before anything is sent, or it is
  resumed; a reader that leaves (`| head`) ends nothing badly.
- `tests/test_orglock.py`: the lock, and who dies with it.
- `tests/test_login.py`: many processes renew a refresh token that serves once.
- `tests/test_fleet.py`: a fleet, some of whose orgs have faults, and whose coordinator
  dies in the middle; resumed, no org is deployed to twice. `make soak`: 200 orgs.
- `tests/test_any_history.py`: any history of deploys, faults, deaths and changes by
  others, with a model beside the org.
- `tests/test_cli_runs.py`: Ctrl-C once and twice, SIGTERM.\
"""


def _bugs() -> Iterator[str]:
    yield "\n## Which bugs these tests find\n"
    yield "Those that they found here, each mended since:\n"
    yield from _table(("bug", "found by"), BUGS)
    yield "\nThose that tools of this kind are known for:\n"
    yield from _table(("bug", "would be found by"), ELSEWHERE)
    yield ""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    names = tuple(head)
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    sys.stdout.write(text())
