"""Any history of deploys, faults, deaths and changes by others.

Beside the org runs a model: what it should have. After each step all that has to hold
is looked at, from the org and from the journal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import invariants
import pytest
from emulator.deployer import Deployer, permission_set
from fake_org import app, holder
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scene import prepare, scene

from metadeploy import failpoint
from metadeploy.access import raise_access
from metadeploy.emulator.injection import Injection
from metadeploy.errors import StalePlan
from metadeploy.model import Ref
from metadeploy.wanted import Wanted

SOAK = bool(os.environ.get("METADEPLOY_SOAK"))
LABELS = ("One", "Two", "Three")
MOMENTS = ("begun", "sending", "answered", "sent", "polled", "deployed", "settled")
FAULTS = ("reset-after-apply", "reset-before-apply", "session-expired", "no-length")
ON = ("deploy", "checkDeployStatus", "retrieve", "*/query")


class Killed(BaseException):
    """The process is no more."""


class History(RuleBasedStateMachine):
    """One org, and all that may happen to it. label: of the app, as wanted now.

    has: labels of app and permission set as the org should have them, None for none;
    "?" while a run is open.
    """

    base: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.base.parent))
        self.opened = scene(self.base, self.folder)
        self.scene = self.opened.__enter__()
        self.has: str | None = None

    def teardown(self) -> None:
        failpoint.watcher = failpoint._nothing
        self.opened.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    def want(self, label: str) -> None:
        """Write other templates."""
        components = (app(label=label), holder("Portal_API", "Portal"))
        self.scene.wanted = Wanted.of("dev", "66.0", raise_access(components), {})

    def label(self) -> str | None:
        found = self.scene.org.component(Ref("ConnectedApp", "Portal"))
        if found is None:
            return None
        body = found.body.decode()
        return body.partition("<label>")[2].partition("</label>")[0]

    @precondition(lambda self: self.scene.open_run() is None)
    @rule(label=st.sampled_from(LABELS))
    def deploy(self, label: str) -> None:
        self.want(label)
        assert self.scene.attempt() is not None, self.scene.errors
        self.has = label

    @precondition(lambda self: self.scene.open_run() is None)
    @rule(
        label=st.sampled_from(LABELS),
        kind=st.sampled_from(FAULTS),
        on=st.sampled_from(ON),
        skip=st.integers(0, 3),
    )
    def deploy_with_a_fault(self, label: str, kind: str, on: str, skip: int) -> None:
        self.want(label)
        self.scene.inject(Injection(kind, on, skip=skip))
        ended = self.scene.attempt()
        self.scene.server.injections.clear()
        assert ended is not None, self.scene.errors
        self.has = label

    @precondition(lambda self: self.scene.open_run() is None)
    @rule(label=st.sampled_from(LABELS), moment=st.sampled_from(MOMENTS))
    def die(self, label: str, moment: str) -> None:
        self.want(label)

        def watch(name: str) -> None:
            if name == moment and self.scene.open_run() is not None:
                raise Killed(name)

        failpoint.watcher = watch
        try:
            self.scene.attempt()
        except Killed:
            self.has = "?"
        else:
            self.has = label  # there was nothing to do
        finally:
            failpoint.watcher = failpoint._nothing

    @precondition(lambda self: self.scene.open_run() is not None)
    @rule()
    def resume(self) -> None:
        ended = self.scene.attempt()
        if ended is None:  # somebody else was there meanwhile
            assert isinstance(self.scene.errors[-1], StalePlan)
            assert self.scene.journal.runs()[0].status == "NotSent"
            self.has = self.label()
        else:
            # Somebody else may have been there: then it does not match, and says so.
            assert ended.verified is not None
            assert ended.verified.ok == self.scene.matches()
            self.has = self.label()

    @rule(label=st.sampled_from(LABELS))
    def somebody_else(self, label: str) -> None:
        """Change the permission set behind our back."""
        path = "permissionsets/Portal_API.permissionset"
        Deployer(self.scene.org).deploy({path: permission_set(label=label)})

    @invariant()
    def as_before_or_as_planned(self) -> None:
        if self.scene.open_run() is None:
            assert self.label() == self.has
        else:
            assert self.label() in (None, *LABELS)

    @invariant()
    def what_always_holds(self) -> None:
        invariants.none_twice(
            p for p in self.scene.packages if p.folder.startswith("md_")
        )
        invariants.runs_are_ended_or_open(self.scene.journal)
        invariants.derived_key(self.scene.org)
        invariants.sent_as_planned(self.scene.packages, self.scene.journal)


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    prepare(folder / "base")
    History.base = folder / "base"


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=60 if SOAK else 6,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
