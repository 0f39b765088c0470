"""One org as the flow sees it: what it must be able to do, apart from any edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from metadeploy.audit import SetupChange
from metadeploy.lockdown import Survey
from metadeploy.model import (
    Component,
    DeployOptions,
    DeployRequest,
    DeployResult,
    Manifest,
    Ref,
)
from metadeploy.plan import OrgFacts, Plan
from metadeploy.proof import Prover


class Clock(Protocol):
    """Time as the flow sees it; tests pass one that does not wait."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Progress(Protocol):
    """Where the flow tells what it is doing, one short sentence a step.

    deploying: after each poll. ahead: how many deploys of the org come before ours,
    as far as that is known.
    """

    def step(self, text: str) -> None: ...
    def deploying(self, result: DeployResult, ahead: int | None = None) -> None: ...


class Retrieved(Protocol):
    @property
    def components(self) -> tuple[Component, ...]: ...
    @property
    def messages(self) -> tuple[str, ...]: ...


class FileProperties(Protocol):
    @property
    def ref(self) -> Ref: ...
    @property
    def id(self) -> str: ...
    @property
    def created(self) -> str: ...


class MetadataApi(Protocol):
    """The Metadata API calls that the flow makes (see `metadata_api`)."""

    def deploy(self, zip_bytes: bytes, options: DeployOptions) -> str: ...
    def check_deploy_status(self, deploy_id: str) -> DeployResult: ...
    def cancel_deploy(self, deploy_id: str) -> bool: ...
    def retrieve(self, manifest: Manifest) -> str: ...
    def check_retrieve_status(self, retrieve_id: str) -> Retrieved | None: ...
    def list_metadata(self, types: Iterable[str]) -> tuple[FileProperties, ...]: ...


class DataApi(Protocol):
    """The records that the flow reads and writes (see `data_api`)."""

    def facts(self) -> OrgFacts: ...
    def deploys(self) -> tuple[DeployRequest, ...]: ...
    def ahead(self, deploy_id: str) -> int | None: ...
    def setup_changes(self, since: float | None = None) -> tuple[SetupChange, ...]: ...
    def holders(self, app_ids: Iterable[str]) -> dict[str, dict[Ref, str]]: ...
    def parent_id(self, holder: Ref) -> str: ...
    def app_id(self, app: str) -> str | None: ...
    def app_names(self) -> tuple[str, ...]: ...
    def survey(self) -> Survey: ...
    def grant(self, parent_id: str, app_id: str) -> None: ...
    def revoke(self, row_id: str) -> None: ...


class Journal(Protocol):
    """Where the runs of one org are written down, durably (see `journal`)."""

    def begin(self, plan: Plan, package_digest: str, options: DeployOptions) -> str: ...
    def sending(self, run_id: str, digest: str, known: Iterable[str]) -> int: ...
    def sent(self, run_id: str, deploy_id: str) -> None: ...
    def ended(self, run_id: str, status: str) -> None: ...
    def note(self, run_id: str, status: str, detail: str) -> None: ...
    def finish(
        self,
        run_id: str,
        status: str,
        recorded: Iterable[Component] = (),
        gone: Iterable[Ref] = (),
    ) -> None: ...


class Limits(Struct, frozen=True):
    """How long a run may take, and what ends it before anything is sent.

    until: when all waiting ends, on the target's clock. window: seconds for which a
    deploy whose answer was lost may not show up in the org's list yet. stop: tells
    whether somebody wants nothing more to be sent.
    """

    until: float = math.inf
    window: float = 60.0
    stop: Callable[[], bool] = lambda: False


class Target(Struct, frozen=True):
    """One org and everything needed to talk to it.

    org_id: pinned by the org file; None where nothing is pinned. prover: how to get
    a token with an app's key.
    """

    org_id: str | None
    metadata: MetadataApi
    data: DataApi
    prover: Prover
    clock: Clock
    progress: Progress
    limits: Limits = Limits()
