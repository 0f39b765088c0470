"""What can go wrong at which call, and how a run ends then: see docs/reliability.md.

A cell is one call × one fault. What its run does is said once for a row of cells, and
the test of that cell holds it to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SOAP, REST, OAUTH = "SOAP", "REST", "OAuth"
PLANNING, RUNNING = "planning", "running"


@dataclass(frozen=True)
class Call:
    """One remote call. on: what an injection matches. phases: when it is made."""

    name: str
    on: str
    protocol: str
    phases: tuple[str, ...] = (PLANNING, RUNNING)
    reads: bool = True


CALLS = (
    Call("token (login)", "*/oauth2/token", OAUTH, (PLANNING,)),
    Call("token (renewal)", "*/oauth2/token", OAUTH, (RUNNING,)),
    Call("deploy", "deploy", SOAP, reads=False),
    Call("checkDeployStatus", "checkDeployStatus", SOAP),
    Call("retrieve", "retrieve", SOAP),
    Call("checkRetrieveStatus", "checkRetrieveStatus", SOAP),
    Call("listMetadata", "listMetadata", SOAP),
    Call("query", "/services/data/v66.0/query", REST),
    Call("tooling/query", "*/tooling/query", REST),
    Call(
        "POST SetupEntityAccess",
        "*/sobjects/SetupEntityAccess",
        REST,
        (RUNNING,),
        reads=False,
    ),
    Call(
        "DELETE SetupEntityAccess",
        "*/sobjects/SetupEntityAccess/*",
        REST,
        (RUNNING,),
        reads=False,
    ),
)

CANCEL = Call("cancelDeploy", "cancelDeploy", SOAP, (RUNNING,), reads=False)

EVERYWHERE = frozenset({SOAP, REST, OAUTH})
API = frozenset({SOAP, REST})
XML = frozenset({SOAP})
_OPTIONAL = (
    r"<((created|start|completed)Date|createdBy(Name)?|numberComponent\w+)>[^<]*</\w+>"
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. group: the row of the page. how: of the injection.

    astray: the request goes nowhere instead. on: the protocols that know it; calls:
    only these, where not empty.
    """

    group: str
    name: str
    how: dict[str, Any] = field(default_factory=dict)
    astray: bool = False
    on: frozenset[str] = EVERYWHERE
    calls: tuple[str, ...] = ()


def _faults() -> Iterator[Fault]:
    for name in ("refused", "no-tls"):
        yield Fault("never sent", name, astray=True)
    # A host that is nobody's cannot be in an org file: only Salesforce's can.
    yield Fault("never sent", "no-such-host", astray=True, on=API)
    for kind in ("reset-before-body", "reset-before-apply"):
        yield Fault("lost on the way there", kind, {"kind": kind})
    for kind in ("reset-after-apply", "cut", "short", "chunked-cut", "no-length"):
        yield Fault("lost on the way back", kind, {"kind": kind})
    yield Fault(
        "lost on the way there", "refuse", {"kind": "refuse"}, on=frozenset({OAUTH})
    )
    for kind in ("slow-headers", "slow-drip"):
        yield Fault("slow", kind, {"kind": kind, "seconds": 0.6, "size": 0})
    for status in (400, 404, 420, 500, 502, 503, 504):
        yield Fault("bare status", str(status), {"kind": "status", "status": status})
    for status in (502, 503, 504):
        how = {"kind": "status", "status": status, "applied": True}
        yield Fault("bare status, after the act", str(status), how)
    for status in (200, 420, 503):
        how = {"kind": "maintenance", "status": status}
        yield Fault("maintenance page", str(status), how)
    yield Fault("nothing in it", "200", {"kind": "empty"})
    yield Fault("nothing in it", "500", {"kind": "empty", "status": 500})
    yield Fault(
        "nothing in it, after the act", "200", {"kind": "empty", "applied": True}
    )
    for status in (301, 302, 303, 307, 308):
        yield Fault("redirect", str(status), {"kind": "redirect", "status": status})
    yield from _answers()
    yield from _codes()
    yield from _results()


def _answers() -> Iterator[Fault]:
    for kind in ("wrong-type", "bom"):
        yield Fault("odd, and whole", kind, {"kind": kind})
    for kind in ("unknown-element", "nil", "shuffled"):
        yield Fault("odd, and whole", kind, {"kind": kind}, on=XML)
    yield Fault(
        "odd, and whole",
        "new status",
        {
            "kind": "replace",
            "find": r"<done>true</done>|<status>Succeeded</status>",
            "put": "<done>false</done><status>Polishing</status>",
        },
        calls=("checkDeployStatus",),
    )
    yield Fault(
        "odd, and whole",
        "missing optional",
        {"kind": "replace", "find": _OPTIONAL},
        calls=("checkDeployStatus", "checkRetrieveStatus", "listMetadata"),
    )
    for kind in ("json-body", "control-character"):
        yield Fault("broken answer", kind, {"kind": kind})
    for kind in ("bad-charset", "deep", "huge-attribute"):
        yield Fault("broken answer", kind, {"kind": kind}, on=XML)
    yield Fault("broken answer", "dtd", {"kind": "dtd"})
    for kind in ("empty-zip", "truncated-base64", "corrupt-zip", "zip-bomb"):
        yield Fault("bad zip", kind, {"kind": kind}, calls=("checkRetrieveStatus",))
    yield Fault(
        "odd, and whole",
        "large-zip",
        {"kind": "large-zip"},
        calls=("checkRetrieveStatus",),
    )


CODES = {
    "SERVER_UNAVAILABLE": "Server unavailable",
    "UNKNOWN_EXCEPTION": "An unexpected error occurred. Please include this ErrorId",
    "INVALID_CROSS_REFERENCE_KEY": "invalid cross reference id",
    "INVALID_QUERY_LOCATOR": "invalid query locator",
}
BUSY = {
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record",
    "REQUEST_LIMIT_EXCEEDED": "ConcurrentRequests Limit exceeded.",
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": "Read only",
    "API_CURRENTLY_DISABLED": "API is currently disabled",
}


def _codes() -> Iterator[Fault]:
    for code, message in CODES.items():
        how = {"kind": "fault", "code": code, "message": message}
        yield Fault("broken off", code, how, on=API)
        yield Fault("broken off, after the act", code, {**how, "applied": True}, on=API)
    for code, message in BUSY.items():
        how = {"kind": "fault", "code": code, "message": message}
        yield Fault("busy", code, how, on=API)
    used_up = {
        "code": "REQUEST_LIMIT_EXCEEDED",
        "message": "TotalRequests Limit exceeded.",
    }
    yield Fault(
        "refused",
        "REQUEST_LIMIT_EXCEEDED (the day's)",
        {"kind": "fault", **used_up},
        on=API,
    )
    denied = {"code": "INSUFFICIENT_ACCESS", "message": "insufficient access rights"}
    yield Fault("refused", "INSUFFICIENT_ACCESS", {"kind": "fault", **denied}, on=API)
    yield Fault("session ended", "once", {"kind": "session-expired"}, on=API)
    yield Fault(
        "session ended", "every time", {"kind": "session-expired", "times": 0}, on=API
    )


def _results() -> Iterator[Fault]:
    for code, message in (
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
        ("ALREADY_IN_PROCESS", "The administration setup has already been locked"),
    ):
        how = {"kind": "deploy-fails", "code": code, "message": message}
        yield Fault("deploy held up", code, how, calls=("deploy",))
    how = {"kind": "deploy-fails", "code": "UNKNOWN_EXCEPTION", "message": "no"}
    yield Fault("deploy fails", "for good", how, calls=("deploy",))


FAULTS = tuple(_faults())


@dataclass(frozen=True)
class Cell:
    """One test: this fault at this call, at its first time in that phase."""

    call: Call
    phase: str
    fault: Fault

    @property
    def id(self) -> str:
        return f"{self.call.name}-{self.phase}-{self.fault.group}-{self.fault.name}"


OUTCOMES = {
    "done": "goes on by itself; verified",
    "again": "stops before a run begins; the same command again does it",
    "not sent": "ends the run, nothing was sent; the same command again does it",
    "failed": "ends the run, the org kept nothing; the same command again does it",
    "resume": "leaves the run open; `metadeploy runs resume` ends it, verified",
    "unverified": "ends the run as Unverified: the org has the deploy, and"
    " `metadeploy plan` shows what is left",
}
# What nobody needs for a run: to be warned early, and to find a lost answer again.
_COURTESY = "tooling/query"
_FINAL = {"refused", "bad zip"}


def expected(cell: Cell) -> str:
    """Return how the run of a cell ends, a key of OUTCOMES."""
    call, phase, group = cell.call.name, cell.phase, cell.fault.group
    for_ever = group in _FINAL or cell.fault.name == "every time"
    whole = group in ("slow", "odd, and whole")
    if call == "token (login)":
        return "done" if whole else "again"
    if call == "token (renewal)" and cell.fault.name == "json-body":
        return "resume"  # an answer as whole as any, and no token in it
    if cell.fault.name == "every time" and call in ("deploy", "checkDeployStatus"):
        phase = RUNNING  # planning gets by without, and then it is met again
    if call == "deploy" and phase == RUNNING:
        return {"deploy fails": "failed"}.get(group, "not sent" if for_ever else "done")
    if not for_ever or call == _COURTESY:
        return "done"
    if call == "checkDeployStatus":
        return "resume" if phase == RUNNING else "done"
    if call == "deploy":
        return "done"
    return "again" if phase == PLANNING else "unverified"


def canceled(fault: Fault) -> bool:
    """Tell whether a deploy is canceled though the answer to that goes wrong."""
    taken = {"lost on the way back", "slow", "odd, and whole", "broken answer"}
    again = fault.group == "session ended" and fault.name == "once"
    return fault.group in taken or "after the act" in fault.group or again


def canceling() -> tuple[Fault, ...]:
    """Return what can go wrong with a cancelDeploy."""
    return tuple(f for f in FAULTS if SOAP in f.on and not f.calls)


def cells() -> tuple[Cell, ...]:
    """Return all of them."""
    return tuple(
        Cell(call, phase, fault)
        for call in CALLS
        for phase in call.phases
        for fault in FAULTS
        if call.protocol in fault.on and (not fault.calls or call.name in fault.calls)
    )


def chosen() -> tuple[Cell, ...]:
    """Return the cells of a run of the whole suite; `make soak` runs all.

    All of them where most is at stake; elsewhere every sixth, and what is needed for
    each call to meet each group of faults, and for each fault to strike.
    """
    found: list[Cell] = []
    met: set[tuple[str, str]] = set()
    struck: set[str] = set()
    for number, cell in enumerate(cells()):
        at_stake = cell.phase == RUNNING and cell.call.name == "deploy"
        pair, fault = (cell.call.name, cell.fault.group), str(cell.fault)
        if at_stake or number % 6 == 0 or pair not in met or fault not in struck:
            found.append(cell)
            met.add(pair)
            struck.add(fault)
    return tuple(found)
