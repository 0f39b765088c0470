"""What was measured as rows: for people as a table, for machines as data."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from measure import Measured


@dataclass(frozen=True)
class Ratio:
    """How something compares with its peer. budget: the most it may be, or None.

    of: "wall" or "peak" or what else is compared, and the peer's name.
    """

    of: str
    value: float
    budget: float | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.budget is None else self.value <= self.budget

    def __str__(self) -> str:
        text = f"{self.value:.2f}× {self.of}"
        if self.budget is None:
            return text
        word = "holds" if self.holds else "MISSED"
        return f"{text}, budget {self.budget:.2f}: {word}"


@dataclass(frozen=True)
class Row:
    """One line: seconds and MiB, None where it is not that kind of thing."""

    name: str
    wall: float | None = None
    fastest: float | None = None
    cpu: float | None = None
    peak: float | None = None
    ratios: tuple[Ratio, ...] = ()
    note: str = ""


@dataclass
class Group:
    """Rows that were measured together."""

    name: str
    rows: list[Row] = field(default_factory=list)


def row(measured: Measured, *ratios: Ratio) -> Row:
    return Row(
        measured.name,
        measured.wall,
        measured.fastest,
        measured.cpu,
        measured.peak,
        ratios,
    )


def wall_ratio(ours: Measured, peer: Measured, budget: float | None = None) -> Ratio:
    """Return the median of the ratios turn by turn: a slow minute slows both."""
    pairs = zip(ours.samples, peer.samples, strict=True)
    value = statistics.median(a.wall / b.wall for a, b in pairs)
    return Ratio(f"wall of {peer.name}", value, budget)


def peak_ratio(ours: Measured, peer: Measured, budget: float | None = None) -> Ratio:
    return Ratio(f"peak of {peer.name}", ours.peak / peer.peak, budget)


def text(groups: Iterable[Group]) -> str:
    """Return the table for people."""
    lines: list[str] = []
    for group in groups:
        width = max((len(r.name) for r in group.rows), default=0)
        lines += ["", f"## {group.name}", ""]
        if any(r.wall is not None for r in group.rows):
            heads = f"{'median':>10}{'fastest':>10}{'CPU':>10}{'peak':>10}"
            lines.append(f"{'':{width}}{heads}")
        for found in group.rows:
            lines += _lines(found, width)
    return "\n".join(lines)


def _lines(found: Row, width: int) -> list[str]:
    times = (found.wall, found.fastest, found.cpu)
    cells = "".join(f"{_seconds(t):>10}" for t in times if t is not None)
    if found.peak is not None:
        cells += f"{found.peak:>6.1f} MiB"
    said = [*(str(r) for r in found.ratios), *([found.note] if found.note else [])]
    first = f"{found.name:{width}}{cells}"
    if not said:
        return [first]
    if not cells:
        return [f"{first}  {said[0]}", *(f"{'':{width}}  {s}" for s in said[1:])]
    return [first, *(f"    {s}" for s in said)]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def data(groups: Iterable[Group]) -> list[dict[str, object]]:
    """Return the rows as plain values: seconds, MiB, ratios with their budgets."""
    return [
        {
            "group": group.name,
            "rows": [
                {**asdict(r), "ratios": [_ratio(x) for x in r.ratios]}
                for r in group.rows
            ],
        }
        for group in groups
    ]


def _ratio(ratio: Ratio) -> dict[str, object]:
    return {**asdict(ratio), "holds": ratio.holds}
