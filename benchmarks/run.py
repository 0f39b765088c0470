"""Measure metadeploy side by side with its peers, against the budgets we set.

    python benchmarks/run.py [--only startup,deploy,…] [--runs N] [--quick] [--json]

Groups: startup, deploy, rendering, fleet, diff, emulator. Nothing here is a test:
times depend on the machine, so what counts are ratios between peers run in turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import table
from clients import SalesforceCli, find_sf
from install import ROOT, install
from measure import Broken, Measured, Peer, environment, in_turns
from projects import write_profile, write_project
from recorder import recording
from served import Served
from table import Group, Ratio, Row, peak_ratio, row, wall_ratio

HERE = Path(__file__).resolve().parent
HELP, VALIDATE, HOOK, OF_SF, OF_BARE = 6.0, 10.0, 1 / 5, 1 / 3, 1.5
WHOLE_HOOK = 10.0
FLAT, GENERIC = 1.1, 1 / 5


@dataclass(frozen=True)
class Bench:
    """Where things are and how often to run them."""

    folder: Path
    python: str
    metadeploy: str
    sf: SalesforceCli | None
    runs: int
    quick: bool

    def times(self, most: int) -> int:
        """Return how often to run something that is worth at most `most` runs."""
        return min(most, self.runs)

    def command(self, project: Path, *words: str) -> list[str]:
        return [self.metadeploy, "-C", str(project), *words]


# Below these nobody who uses the same libraries gets.
_OFFLINE = "click, jinja2.sandbox, lxml.etree, msgspec, ruamel.yaml"
_ONLINE = f"{_OFFLINE}, requests, zeep, zeep.wsdl.bindings.soap"


def startup(bench: Bench) -> Group:
    example = bench.folder / "example"
    for name in ("templates", "orgs"):
        shutil.copytree(ROOT / name, example / name)
    twenty = write_project(bench.folder / "twenty", 20, ["dev"])
    validate = bench.command(twenty, "validate")
    hook = str(_hooked(bench, twenty, "edited", edit=True))
    idle = str(_hooked(bench, twenty, "idle", edit=False))
    peers = [
        Peer("python -c pass", [bench.python, "-c", "pass"]),
        Peer("metadeploy --help", [bench.metadeploy, "--help"]),
        Peer("metadeploy --version", [bench.metadeploy, "--version"]),
        Peer("validate, 20 components", validate),
        Peer("validate, example project", bench.command(example, "validate")),
        Peer("git hook, a template staged", [hook], Path(hook).parents[2]),
        Peer("git hook, nothing of ours staged", [idle], Path(idle).parents[2]),
        Peer("the libraries of validate", [bench.python, "-c", f"import {_OFFLINE}"]),
        Peer("the libraries of deploy", [bench.python, "-c", f"import {_ONLINE}"]),
    ]
    python, help_, version, small, shown, *rest = in_turns(peers, bench.runs)
    edited, idled, *floors = rest
    rows = [
        row(python),
        row(help_, wall_ratio(help_, python, HELP)),
        row(version, wall_ratio(version, python)),
        row(small, wall_ratio(small, python, VALIDATE)),
        row(shown, wall_ratio(shown, python)),
        row(edited, wall_ratio(edited, python, WHOLE_HOOK)),
        row(idled, wall_ratio(idled, python)),
        *(row(floor, wall_ratio(floor, python)) for floor in floors),
    ]
    if bench.sf is not None:
        env = bench.sf.env()
        pair = [
            Peer("git hook, a template staged", [hook], Path(hook).parents[2]),
            Peer("sf --version", bench.sf.version(), extra_env=env),
        ]
        hooked, sf = in_turns(pair, bench.times(7))
        rows += [row(sf), row(hooked, wall_ratio(hooked, sf, HOOK))]
    return Group("Start", rows)


def _hooked(bench: Bench, project: Path, name: str, *, edit: bool) -> Path:
    """Return the installed pre-commit of a copy of a project where something is staged.

    edit: a template; else a file that is no concern of ours.
    """
    folder = bench.folder / name
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".metadeploy"))
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@acme.example")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "First")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    install_ = bench.command(folder, "hooks", "install")
    subprocess.run(install_, env=environment(), check=True, capture_output=True)
    changed = next((folder / "templates").glob("permissionsets/*")) if edit else None
    with (changed or folder / "README.md").open("a") as file:
        file.write("<!-- another -->\n")
    subprocess.run(["git", "add", "."], cwd=folder, check=True, capture_output=True)
    return folder / ".git/hooks/pre-commit"


def deploy(bench: Bench, components: int, *, varying: bool = True) -> Group:
    """Plan and deploy to a fresh emulated org, in-process and served, and peers."""
    folder = bench.folder / f"deploy{components}{'v' if varying else ''}"
    project = write_project(folder, components, ["dev"], varying=varying)
    runs = bench.times(7 if components < 100 else 5)
    state = project / ".metadeploy"

    def fresh() -> None:
        shutil.rmtree(state, ignore_errors=True)

    plan = bench.command(project, "plan", "dev")
    send = bench.command(project, "deploy", "dev", "--auto-approve")
    alone = in_turns(
        [
            Peer("plan, org in-process", plan, ready=fresh),
            Peer("deploy, org in-process", send, ready=fresh),
        ],
        runs,
    )
    served = Served(bench.metadeploy, project)
    fresh()
    served.remember()
    try:
        rows = _against_served(bench, served, (plan, send), runs)
    finally:
        served.stop()
    what = "" if varying else ", permission sets the same in all orgs"
    group = Group(f"Deploy of {components:,} components to a fresh emulated org{what}")
    group.rows = [*(row(m) for m in alone), *rows]
    return group


def _against_served(
    bench: Bench, served: Served, commands: tuple[list[str], list[str]], runs: int
) -> list[Row]:
    plan, send = commands
    served.restore()
    peers = [Peer("plan, org served", plan, ready=served.restore)]
    peers.append(_bare(bench, served, "plan", plan))
    peers.append(Peer("deploy, org served", send, ready=served.restore))
    peers.append(_bare(bench, served, "deploy", send))
    if bench.sf is not None:
        peers.append(_sf_deploy(bench, bench.sf, served))
    planned, bare_plan, deployed, bare_deploy, *sf = in_turns(peers, runs)
    with_bare = [wall_ratio(deployed, bare_deploy, OF_BARE)]
    rows = [
        row(planned, wall_ratio(planned, bare_plan, OF_BARE)),
        row(bare_plan),
        row(
            deployed,
            *with_bare,
            *(wall_ratio(deployed, s, OF_SF) for s in sf),
            *(peak_ratio(deployed, s, OF_SF) for s in sf),
        ),
        row(bare_deploy),
    ]
    if not sf:
        note = "not installed: `make clients` installs it, or set SF_BIN and NODE22"
        return [*rows, Row("sf project deploy start", note=note)]
    return [*rows, *(row(s) for s in sf)]


def _bare(bench: Bench, served: Served, name: str, command: list[str]) -> Peer:
    """Record what a command sends, and return the bare script that sends the same."""
    served.restore()
    with recording(served.project / ".metadeploy", served.port) as recorded:
        subprocess.run(command, env=environment(), check=True, capture_output=True)
    path = served.project.with_name(f"{served.project.name}-{name}.json")
    path.write_text(json.dumps(recorded.requests), "utf-8")
    script = [bench.python, str(HERE / "bare.py"), served.url, served.token, str(path)]
    return Peer(
        f"bare script, the {name}'s {len(recorded.requests)} requests",
        script,
        ready=served.restore,
    )


def _sf_deploy(bench: Bench, sf: SalesforceCli, served: Served) -> Peer:
    served.restore()
    package = served.project.with_name(f"{served.project.name}-package")
    render = bench.command(
        served.project, "render", "dev", "--out", str(package), "--reveal-secrets"
    )
    subprocess.run(render, env=environment(), check=True, capture_output=True)
    sf.log_in(served.url, served.token)
    folder = sf.make_project(served.project.with_name(f"{served.project.name}-sfdx"))
    return Peer(
        "sf project deploy start",
        sf.deploy(package),
        folder=folder,
        extra_env=sf.env(),
        ready=served.restore,
    )


def fleet(bench: Bench) -> Group:
    """A plan that finds nothing to do, over more and more emulated orgs.

    What an org costs is what the plan takes beyond the plan of one org alone.
    """
    group = Group("No-change plan over N emulated orgs, 3 components each")
    sizes = (1, 10, 100) if bench.quick else (1, 10, 100, 1000)
    alone: Measured | None = None
    first: float | None = None
    for size in sizes:
        names = [f"org{n:04}" for n in range(size)]
        project = write_project(bench.folder / f"fleet{size}", 3, names)
        served = Served(bench.metadeploy, project, org=names[0])
        try:
            plan = _planned_fleet(bench, served, size)
        finally:
            served.stop()
        if alone is None:
            alone = plan
            group.rows.append(row(plan))
            continue
        each = (plan.wall - alone.wall) / (size - 1)
        first = first or each
        ratio = Ratio(f"cost per org of {sizes[1]}", each / first, FLAT)
        shown = replace(row(plan, ratio), note=f"{each * 1000:.1f} ms an org more")
        group.rows.append(shown)
    return group


def _planned_fleet(bench: Bench, served: Served, size: int) -> Measured:
    served.start()
    send = bench.command(served.project, "deploy", "*", "--auto-approve")
    subprocess.run(send, env=environment(), check=True, capture_output=True)
    plan = bench.command(served.project, "plan", "*", "--detailed-exitcode")
    runs = bench.times(3 if size < 1000 else 2)
    (plan_,) = in_turns([Peer(f"plan, {size:5,} orgs", plan)], runs, warm=size < 1000)
    return plan_


def diff(bench: Bench) -> Group:
    """The semantic diff of profiles, 1 to 10 MB, and generic ways to compare XML."""
    group = Group("Diff of two profiles that differ in 10 permissions")
    sizes = (1, 5, 10)
    semantic: dict[int, float] = {}
    for size in sizes:
        a, b = (bench.folder / f"{size}{side}.profile" for side in "ab")
        write_profile(a, size * 1_000_000)
        write_profile(b, size * 1_000_000, changed=10)
        semantic[size] = taken = _diffed(bench, "semantic", a, b)
        ratios = [Ratio("seconds per MB at 1 MB", taken / size / semantic[1])]
        if size == sizes[-1]:
            ratios += [
                Ratio(f"{way} ({said})", taken / _diffed(bench, way, a, b), budget)
                for way, said, budget in _GENERIC
            ]
        group.rows.append(Row(f"semantic, {size} MB", wall=taken, ratios=tuple(ratios)))
    return group


_GENERIC: tuple[tuple[str, str, float | None], ...] = (
    ("naive", "xml.etree twice, then compared place by place", None),
    ("text", "xml.etree's canonical form twice, then difflib", GENERIC),
)


def _diffed(bench: Bench, way: str, a: Path, b: Path) -> float:
    script = [bench.python, str(HERE / "diffs.py"), way, str(a), str(b)]
    taken = []
    for _ in range(bench.times(3)):
        done = subprocess.run(
            script, env=environment(), stdout=subprocess.PIPE, check=True
        )
        taken.append(float(done.stdout.split()[0]))
    return min(taken)


def emulator(bench: Bench) -> Group:
    folder = bench.folder / "orgs"
    folder.mkdir()
    size = "100" if bench.quick else "1000"
    done = subprocess.run(
        [bench.python, str(HERE / "orgs.py"), str(folder), size],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    rows = [Row(name, note=f"{value:,.3g}") for name, value in found.items()]
    return Group("Emulated orgs", rows)


def _many(bench: Bench) -> int:
    return 20 if bench.quick else 1000


GROUPS: dict[str, Callable[[Bench], list[Group]]] = {
    "startup": lambda b: [startup(b)],
    "deploy": lambda b: [deploy(b, 3), deploy(b, _many(b), varying=False)],
    "rendering": lambda b: [deploy(b, _many(b))],
    "fleet": lambda b: [fleet(b)],
    "diff": lambda b: [diff(b)],
    "emulator": lambda b: [emulator(b)],
}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--only", default=",".join(GROUPS), metavar="GROUPS")
    asked.add_argument("--runs", type=int, default=15)
    asked.add_argument("--quick", action="store_true", help="small sizes, few runs")
    asked.add_argument("--json", action="store_true")
    said = asked.parse_args()
    names = said.only.split(",")
    if unknown := set(names) - set(GROUPS):
        asked.error(f"no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    found: list[Group] = []
    with tempfile.TemporaryDirectory(prefix="metadeploy-bench-") as name:
        folder = Path(name)
        python, metadeploy = install(folder / "venv")
        runs = min(said.runs, 3) if said.quick else said.runs
        sf = find_sf(folder / "sf-home")
        bench = Bench(folder, python, metadeploy, sf, runs, said.quick)
        for group in names:
            print(f"measuring: {group}", file=sys.stderr)
            try:
                found += GROUPS[group](bench)
            except (Broken, subprocess.CalledProcessError) as error:
                print(f"{group} cannot be measured: {error}", file=sys.stderr)
                found.append(Group(group, [Row("broken", note=str(error)[:300])]))
    print(json.dumps(table.data(found), indent=2) if said.json else table.text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
