"""Pipelines of docs/ci, run as their hosts run them.

A Place is what outlives a job: the repository at its host, the orgs, artifacts,
secrets, and what was told to other programs. Each job gets a machine of its own: an
empty home, and a fresh clone whose configuration is what the host's own checkout leaves
there. The orgs are emulated ones, whose world is taken from machine to machine; the
journal is not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pages import DOCS, REPOSITORY, Block, blocks
from repos import commit, git, repository
from ruamel.yaml import YAML
from ruamel.yaml.nodes import SequenceNode

SCAFFOLD = REPOSITORY / "metadeploy" / "_scaffold"
MASTER = "METADEPLOY_MASTER_KEY"

# Of each action, which inputs it has. Source: its action.yml, at that commit.
ACTIONS = {
    "actions/checkout": (
        "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
        {"fetch-depth", "persist-credentials", "ref", "repository", "token", "path"},
    ),
    "actions/setup-python": (
        "5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0",
        {"python-version", "python-version-file", "cache", "cache-dependency-path"},
    ),
    "actions/upload-artifact": (
        "bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0",
        {"name", "path", "if-no-files-found", "retention-days", "overwrite"}
        | {"include-hidden-files", "compression-level", "archive"},
    ),
    "actions/download-artifact": (
        "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1",
        {"name", "artifact-ids", "path", "pattern", "merge-multiple", "github-token"}
        | {"repository", "run-id", "skip-decompress", "digest-mismatch"},
    ),
    "github/codeql-action/upload-sarif": (
        "8aad20d150bbac5944a9f9d289da16a4b0d87c1e # v4.36.2",
        {"sarif_file", "checkout_path", "ref", "sha", "token", "category"}
        | {"wait-for-processing"},
    ),
}


def files(page: str) -> dict[str, str]:
    """Return path → text of the files that a page says to make."""
    return {b.file: b.text for b in _blocks(page) if b.file}


def sh(page: str) -> list[str]:
    """Return the sh blocks of a page that are no files: what a person types."""
    return [b.text for b in _blocks(page) if b.language == "sh" and not b.file]


def _blocks(page: str) -> list[Block]:
    found = blocks((DOCS / "ci" / page).read_text("utf-8"))
    return [b for b in found if isinstance(b, Block)]


@dataclass
class Done:
    """What came of a step or script."""

    name: str
    code: int
    out: str
    err: str


@dataclass
class Machine:
    """A clone and a home, for one job."""

    home: Path
    work: Path
    env: dict[str, str]

    def run(self, script: str, shell: str, **env: str) -> Done:
        """Run a script as a host does: written to a file, by that shell."""
        path = self.home / "script.sh"
        path.write_text(script)
        done = subprocess.run(
            [*shell.split(), str(path)],
            cwd=self.work,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        return Done("", done.returncode, done.stdout, done.stderr)


@dataclass
class Place:
    """What outlives a job."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    _machines: int = 0

    def __post_init__(self) -> None:
        for name in ("told", "artifacts", "world", "tools", "first"):
            (self.folder / name).mkdir()
        for name in ("gh", "pip", "mail", "sf", "unzip"):
            tool = self.folder / "tools" / name
            body = (REPOSITORY / "tests" / "stand_in.py").read_text()
            tool.write_text(f"#!{sys.executable}\n{body}")
            tool.chmod(0o755)
        for name in ("templates", "orgs"):
            shutil.copytree(SCAFFOLD / name, self.first / name)
        git(
            self.folder, "init", "--quiet", "--bare", "--initial-branch=main", "far.git"
        )
        repository(self.first)
        git(self.first, "remote", "add", "origin", str(self.far))
        self.push("First")

    @property
    def first(self) -> Path:
        """A person's clone, from which commits come."""
        return self.folder / "first"

    @property
    def far(self) -> Path:
        return self.folder / "far.git"

    def push(self, subject: str, branch: str = "main") -> str:
        """Commit all that is in the person's clone, and push it; return the commit."""
        made = commit(self.first, subject)
        git(self.first, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return made

    def live(self, org: str) -> str:
        """Return the commit that the host's repository says is live in an org."""
        words = ("for-each-ref", f"refs/metadeploy/{org}", "--format=%(objectname)")
        return git(self.far, *words)

    def told(self) -> list[dict[str, Any]]:
        """Return what other programs were told so far."""
        path = self.folder / "told" / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @contextmanager
    def machine(
        self, *, ref: str = "refs/heads/main", depth: int = 0, push: bool = True
    ) -> Iterator[Machine]:
        """A machine with that ref checked out, and with the orgs. push: it may."""
        self._machines += 1
        home = self.folder / f"machine-{self._machines}"
        work = home / "work"
        work.mkdir(parents=True)
        git(work, "init", "--quiet")
        git(work, "remote", "add", "origin", f"file://{self.far}")
        spec = [f"+{ref}:refs/remotes/wanted"]
        if depth == 0:
            spec.append("+refs/heads/*:refs/remotes/origin/*")
        few = (f"--depth={depth}",) if depth else ()
        git(work, "fetch", "--quiet", "--no-tags", *few, "origin", *spec)
        branch = ("-B", "main") if ref == "refs/heads/main" else ("--detach",)
        git(work, "checkout", "--quiet", *branch, "refs/remotes/wanted")
        if not push:
            git(work, "remote", "set-url", "--push", "origin", "file:///may-not-push")
        self._give_world(work)
        try:
            yield Machine(home, work, self._environment(home))
        finally:
            shutil.rmtree(self.folder / "world")
            shutil.move(work / ".metadeploy" / "emulator", self.folder / "world")

    def _give_world(self, work: Path) -> None:
        (work / ".metadeploy").mkdir()
        shutil.copytree(self.folder / "world", work / ".metadeploy" / "emulator")

    def _environment(self, home: Path) -> dict[str, str]:
        binaries = Path(sys.executable).parent
        return {
            "PATH": f"{self.folder / 'tools'}:{binaries}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TOLD": str(self.folder / "told"),
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "METADEPLOY_CONFIG": str(home / "no-config.yaml"),
            "PYTHONWARNINGS": "ignore",
            "CI": "true",
        }

    def keep(self, name: str, work: Path, pattern: str) -> list[str]:
        """Keep what fits a pattern in an artifact of that name; return the paths."""
        found = [p.relative_to(work) for p in sorted(work.glob(pattern))]
        for path in found:
            kept = self.folder / "artifacts" / name / path.name
            kept.parent.mkdir(exist_ok=True)
            shutil.copyfile(work / path, kept)  # a zip keeps no owner and no mode
        return [str(p) for p in found]

    def give(self, name: str, work: Path) -> None:
        """Put an artifact into a folder."""
        for path in (self.folder / "artifacts" / name).iterdir():
            shutil.copyfile(path, work / path.name)


# -- GitHub Actions


@dataclass
class Ran:
    """What came of a workflow: job → its steps; a job that was skipped is not there."""

    jobs: dict[str, list[Done]]
    summary: str
    well: bool

    def step(self, job: str, name: str) -> Done:
        (found,) = (s for s in self.jobs[job] if s.name == name)
        return found


class GitHub:
    """Runs workflows as GitHub Actions does, as far as these pages go."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(
        self,
        text: str,
        event: Mapping[str, Any],
        *,
        ref: str = "refs/heads/main",
        inputs: Mapping[str, str] | None = None,
        between: Callable[[], object] = lambda: None,
    ) -> Ran:
        """Run a workflow. between: is done after the first job."""
        workflow = YAML(typ="safe").load(text)
        jobs: dict[str, list[Done]] = {}
        well, summary = set[str](), ""
        for name, job in workflow["jobs"].items():
            needs = job.get("needs", [])
            if not {needs} <= well if isinstance(needs, str) else False:
                continue
            about = {
                "github": {
                    "event": event,
                    "token": "ghs_canary",
                    "repository": "acme/portal",
                    "run_attempt": "1",
                },
                "secrets": self.place.secrets,
                "inputs": dict(inputs or {}),
                "steps": {},
            }
            if "if" in job and not _value(job["if"], about, failed=False):
                continue
            steps, told, good = self._job(job, about, ref)
            jobs[name], summary = steps, summary + told
            if good:
                well.add(name)
            if len(jobs) == 1:
                between()
        return Ran(jobs, summary, well == set(jobs))

    def _job(
        self, job: Mapping[str, Any], about: dict[str, Any], ref: str
    ) -> tuple[list[Done], str, bool]:
        (checkout,) = (
            s.get("with", {})
            for s in job["steps"]
            if s.get("uses", "").startswith("actions/checkout@")
        )
        depth = checkout.get("fetch-depth", 1)
        writes = job["permissions"].get("contents") == "write"
        with self.place.machine(ref=ref, depth=depth, push=writes) as machine:
            self._let_in(machine, persist=checkout.get("persist-credentials", True))
            for name in ("summary", "output"):
                (machine.home / name).touch()
            steps, failed = [], False
            for step in job["steps"]:
                if not _value(step.get("if", "success()"), about, failed=failed):
                    continue
                about["failed"] = failed
                done = self._step(step, job, about, machine)
                done.name = step.get("name", step.get("uses", step.get("run")))
                steps.append(done)
                failed = failed or done.code != 0
                lines = (machine.home / "output").read_text().splitlines()
                outputs = dict(line.split("=", 1) for line in lines)
                if "id" in step:
                    about["steps"][step["id"]] = {"outputs": outputs}
            return steps, (machine.home / "summary").read_text(), not failed

    def _let_in(self, machine: Machine, *, persist: bool) -> None:
        """Leave what actions/checkout leaves, from v6 on: a file, and its inclusion."""
        if not persist:
            git(machine.work, "remote", "set-url", "origin", "file:///nobody-is-let-in")
            return
        file = machine.home / "git-credentials.config"
        file.write_text(
            '[http "https://github.com/"]\n\textraheader = AUTHORIZATION: basic x\n'
        )
        key = f"includeIf.gitdir:{machine.work}/.git.path"
        git(machine.work, "config", key, str(file))

    def _step(
        self,
        step: Mapping[str, Any],
        job: Mapping[str, Any],
        about: Mapping[str, Any],
        machine: Machine,
    ) -> Done:
        if "uses" in step:
            inputs = {
                k: _filled(v, about) if isinstance(v, str) else v
                for k, v in step.get("with", {}).items()
            }
            name = step["uses"].partition("@")[0]
            return self._action(name, inputs, machine, failed=about["failed"])
        env = {**job.get("env", {}), **step.get("env", {})}
        github = about["github"]
        assert "${{" not in step["run"], "an expression in a script: use env"
        return machine.run(
            step["run"],
            "bash -e",
            **{name: _filled(str(value), about) for name, value in env.items()},
            GITHUB_ACTIONS="true",
            GITHUB_BASE_REF=github["event"].get("base", ""),
            GITHUB_OUTPUT=str(machine.home / "output"),
            GITHUB_STEP_SUMMARY=str(machine.home / "summary"),
            GITHUB_WORKSPACE=str(machine.work),
            RUNNER_TEMP=str(machine.home),
        )

    def _action(
        self, name: str, inputs: Mapping[str, Any], machine: Machine, *, failed: bool
    ) -> Done:
        work = machine.work
        if name == "actions/upload-artifact":
            hidden = inputs["path"].startswith(".")
            assert inputs.get("include-hidden-files", False) or not hidden
            paths = inputs["path"].split()
            found = [self.place.keep(inputs["name"], work, p) for p in paths]
            # Of a job that went well, each file has to be there.
            wanted = inputs.get("if-no-files-found") != "ignore" and not failed
            return Done("", int(wanted and not all(found)), "", "")
        if name == "actions/download-artifact":
            self.place.give(inputs["name"], work)
        if name.endswith("/upload-sarif"):
            text = (work / inputs["sarif_file"]).read_text()
            assert json.loads(text)["version"] == "2.1.0"
        return Done("", 0, "", "")


def _filled(text: str, about: Mapping[str, Any]) -> str:
    """Return a text with its ${{ … }} filled in."""
    return re.sub(
        r"\$\{\{ (.*?) \}\}",
        lambda m: str(_value(m[1], about, failed=False)),
        text,
    )


def _value(expression: str, about: Mapping[str, Any], *, failed: bool) -> Any:
    """Return the value of an expression, of the few forms that these pages have."""
    if " && " in expression:
        parts = expression.split(" && ")
        return all(_value(p, about, failed=failed) for p in parts)
    if " == " in expression:
        left, right = expression.split(" == ")
        return _value(left, about, failed=failed) == _value(right, about, failed=failed)
    if expression in ("always()", "success()", "failure()"):
        return {"always()": True, "success()": not failed, "failure()": failed}[
            expression
        ]
    if expression.startswith("'"):
        return expression.strip("'")
    found: Any = about
    for step in expression.split("."):
        found = found[step]
    return found


# -- GitLab


def _reference(loader: Any, node: SequenceNode) -> tuple[str, ...]:
    return tuple(str(n.value) for n in node.value)


def gitlab_file(text: str) -> dict[str, Any]:
    """Return a .gitlab-ci.yml, `!reference` as tuples of its words."""
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("!reference", _reference)
    found: dict[str, Any] = yaml.load(text)
    return found


class GitLab:
    """Runs the jobs of a pipeline as GitLab does, as far as this page goes."""

    def __init__(self, place: Place, text: str) -> None:
        self.place, self.file = place, gitlab_file(text)
        self.stages: list[str] = self.file["stages"]

    def job(self, name: str) -> dict[str, Any]:
        """Return a job with what it extends, and the defaults."""
        job = dict(self.file[name])
        while "extends" in job:
            more = dict(self.file[job.pop("extends")])
            job = {**more, **job}
        return {**self.file["default"], **job}

    def names(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return job → when, of the pipeline that these variables start."""
        rules = self.file["workflow"]["rules"]
        if not any(_holds(rule["if"], variables) for rule in rules):
            return {}
        reserved = {"stages", "workflow", "variables", "default"}
        found = {}
        for name in self.file:
            if name in reserved or name.startswith("."):
                continue
            for rule in self.job(name)["rules"]:
                if _holds(rule["if"], variables):
                    found[name] = rule.get("when", "on_success")
                    break
        return dict(sorted(found.items(), key=lambda i: self._at(i[0])))

    def _at(self, name: str) -> int:
        return self.stages.index(self.job(name)["stage"])

    def run(
        self, name: str, variables: Mapping[str, str], ref: str = "refs/heads/main"
    ) -> Done:
        """Run one job, with the artifacts of those that it needs."""
        job = self.job(name)
        before = [
            line
            for part in job["before_script"]
            for line in (self._referred(part) if isinstance(part, tuple) else [part])
        ]
        # Any depth is too little for a history that is long: one commit stands for it.
        depth = 0 if self.file["variables"].get("GIT_DEPTH") == "0" else 1
        with self.place.machine(ref=ref, depth=depth) as machine:
            for needed in job.get("needs", []):
                if (self.place.folder / "artifacts" / needed).exists():
                    self.place.give(needed, machine.work)
            given = {**self.file["variables"], **self.place.secrets, **variables}
            done = machine.run(
                "\n".join([*before, *job["script"]]),
                "bash -eo pipefail",
                **given,
                GITLAB_CI="true",
                CI_REPOSITORY_URL=f"file://{self.place.far}",
            )
            self._keep(name, job.get("artifacts", {}), machine, done)
            return done

    def _referred(self, words: tuple[str, ...]) -> list[str]:
        found: Any = self.file
        for word in words:
            found = found[word]
        assert isinstance(found, list)
        return found

    def _keep(
        self, name: str, artifacts: Mapping[str, Any], machine: Machine, done: Done
    ) -> None:
        if done.code and artifacts.get("when") != "always":
            return
        for path in (
            *artifacts.get("paths", ()),
            *artifacts.get("reports", {}).values(),
        ):
            found = self.place.keep(name, machine.work, path)
            # What a job that went well says it has made, it has made.
            assert found or done.code, f"{name} made no {path}"


def _holds(rule: str, variables: Mapping[str, str]) -> bool:
    """Tell whether a rule holds, of the few forms that this page has."""

    def value(word: str) -> str:
        return variables.get(word[1:], "") if word[0] == "$" else word.strip('"')

    for part in rule.split(" && "):
        left, equals, right = part.partition(" == ")
        holds = value(left) == value(right) if equals else bool(value(left))
        if not holds:
            return False
    return True
