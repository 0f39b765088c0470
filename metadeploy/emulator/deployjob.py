"""One deploy as a value, and how an org keeps its deploys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import cast

from metadeploy.emulator import records
from metadeploy.emulator.deploying import Row
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.state import OrgState, Plain
from metadeploy.model import id18

_OPEN = ("Pending", "InProgress", "Finalizing", "Canceling")


@dataclass(frozen=True)
class DeployOptions:
    """What a deploy was asked to be. Defaults: what is meant where a client says
    nothing; rollback_on_error is documented both ways, sf relies on its own value."""

    allow_missing_files: bool = False
    auto_update_package: bool = False
    check_only: bool = False
    ignore_warnings: bool = False
    perform_retrieve: bool = False
    purge_on_delete: bool = False
    rollback_on_error: bool = True
    run_tests: tuple[str, ...] = ()
    single_package: bool = False
    test_level: str = ""


@dataclass(frozen=True)
class DeployJob:
    """One deploy, as DeployResult tells it. Times are texts as records hold them.

    rows: () unless details were asked for.
    """

    id: str
    options: DeployOptions
    status: str
    created_by: str
    created_by_name: str
    created_date: str
    api_version: str = ""
    start_date: str = ""
    completed_date: str = ""
    last_modified_date: str = ""
    canceled_by: str = ""
    canceled_by_name: str = ""
    error_code: str = ""
    error_message: str = ""
    state_detail: str = ""
    total: int = 0
    deployed: int = 0
    errors: int = 0
    tests_total: int = 0
    tests_completed: int = 0
    test_errors: int = 0
    test_failures: tuple[tuple[str, str], ...] = ()
    files: int = 0
    zip_size: int = 0
    polls: int = 0
    validation_id: str = ""
    quick_deployed: bool = False
    rows: tuple[Row, ...] = field(default=(), compare=False)

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.status not in _OPEN

    @property
    def success(self) -> bool:
        """Whether all went well; partly well does not count (inferred)."""
        return self.status == "Succeeded"


# -- finding


def load_deploy(
    org: OrgState, deploy_id: str, *, include_details: bool = False
) -> DeployJob:
    """Return a deploy as it stands, moving nothing. Raises Fault."""
    row = org.world.store.one(
        f"SELECT body{', result' if include_details else ''} FROM jobs"  # noqa: S608
        " WHERE org = ? AND id = ? AND kind = 'deploy'",
        (org.key, _job_id(deploy_id)),
    )
    if row is None:
        # Observed in the field just after a deploy left Pending; recalled for ids
        # that never were.
        raise Fault("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    job = _job_of(str(row[0]))
    if include_details and row[1]:
        rows = tuple(Row(*values) for values in json.loads(str(row[1])))
        return replace(job, rows=rows)
    return job


def recent_deploys(org: OrgState, limit: int = 20) -> list[DeployJob]:
    """Return the newest deploys, without rows."""
    rows = org.world.store.all(
        "SELECT body FROM jobs WHERE org = ? AND kind = 'deploy'"
        " ORDER BY seq DESC LIMIT ?",
        (org.key, limit),
    )
    return [_job_of(str(row[0])) for row in rows]


def _job_id(text: str) -> str:
    try:
        return id18(text)
    except ValueError:
        raise Fault("INVALID_ID_FIELD", f"invalid id: {text[:40]}") from None


# -- keeping


def _job_of(text: str) -> DeployJob:
    raw = json.loads(text)
    options = raw.pop("options")
    options["run_tests"] = tuple(options.get("run_tests", ()))
    raw["test_failures"] = tuple((a, b) for a, b in raw.get("test_failures", ()))
    return DeployJob(options=DeployOptions(**options), **raw)


_DEFAULTS: Mapping[str, object] = {f.name: f.default for f in fields(DeployJob)}
_OPTION_DEFAULTS: Mapping[str, object] = asdict(DeployOptions())


def _text_of(job: DeployJob) -> str:
    body = {
        f.name: getattr(job, f.name)
        for f in fields(DeployJob)
        if f.name not in ("options", "rows")
        and getattr(job, f.name) != _DEFAULTS[f.name]
    }
    body["options"] = {
        k: v for k, v in asdict(job.options).items() if v != _OPTION_DEFAULTS[k]
    }
    return json.dumps(body, separators=(",", ":"))


def insert(org: OrgState, job: DeployJob, data: bytes) -> None:
    """Keep a new deploy and its zip, last in the queue."""
    last = org.world.store.one(
        "SELECT max(seq) FROM jobs WHERE org = ? AND kind = 'deploy'", (org.key,)
    )
    # Microseconds, and more than the last one's: the order of the queue.
    newest = cast(int, last[0]) if last and last[0] else 0
    seq = max(int(org.world.clock() * 1e6), newest + 1)
    org.world.store.write(
        "INSERT INTO jobs VALUES (?, ?, 'deploy', ?, ?, ?, NULL, ?)",
        (job.id, org.key, seq, job.status, _text_of(job), data),
    )
    _save_record(org, job)


def update(
    org: OrgState, job: DeployJob, *, rows: tuple[Row, ...] | None = None
) -> None:
    """Keep what became of a deploy, and its rows when it ended."""
    if rows is None:
        org.world.store.write(
            "UPDATE jobs SET status = ?, body = ? WHERE id = ?",
            (job.status, _text_of(job), job.id),
        )
    else:
        values = [[getattr(row, n) for n in _ROW_FIELDS] for row in rows]
        org.world.store.write(
            "UPDATE jobs SET status = ?, body = ?, result = ? WHERE id = ?",
            (job.status, _text_of(job), json.dumps(values), job.id),
        )
    _save_record(org, job)


_ROW_FIELDS = Row.__struct_fields__


def _save_record(org: OrgState, job: DeployJob) -> None:
    """Keep the DeployRequest record of the Tooling API in step."""
    options = job.options
    values: dict[str, Plain] = {
        "Status": job.status,
        "CheckOnly": options.check_only,
        "StartDate": job.start_date or None,
        "CompletedDate": job.completed_date or None,
        "ErrorMessage": job.error_message or None,
        "ErrorStatusCode": job.error_code or None,
        "StateDetail": job.state_detail or None,
        "NumberComponentsTotal": job.total,
        "NumberComponentsDeployed": job.deployed,
        "NumberComponentErrors": job.errors,
        "NumberTestsTotal": job.tests_total,
        "NumberTestsCompleted": job.tests_completed,
        "NumberTestErrors": job.test_errors,
        "RollbackOnError": options.rollback_on_error,
        "RunTestsEnabled": options.test_level not in ("", "NoTestRun"),
        "IgnoreWarnings": options.ignore_warnings,
        "AllowMissingFiles": options.allow_missing_files,
        "AutoUpdatePackage": options.auto_update_package,
        "PurgeOnDelete": options.purge_on_delete,
        "SinglePackage": options.single_package,
        "TestLevel": options.test_level or None,
        "Type": "Deploy",
        "CanceledById": job.canceled_by or None,
    }
    records.save(org, "DeployRequest", job.id, values, by=job.created_by)


def active_deploy(org: OrgState) -> DeployJob | None:
    """Return the deploy that runs in an org, or None."""
    row = org.world.store.one(
        "SELECT body FROM jobs WHERE org = ? AND kind = 'deploy'"
        " AND status IN ('InProgress', 'Finalizing', 'Canceling') LIMIT 1",
        (org.key,),
    )
    return _job_of(str(row[0])) if row else None


def oldest_pending(org: OrgState) -> str | None:
    """Return the id of the deploy that waits longest, or None."""
    row = org.world.store.one(
        "SELECT id FROM jobs WHERE org = ? AND kind = 'deploy' AND status = 'Pending'"
        " ORDER BY seq LIMIT 1",
        (org.key,),
    )
    return str(row[0]) if row else None


def zip_of(org: OrgState, deploy_id: str) -> bytes:
    """Return a deploy's zip, b"" once it is gone."""
    row = org.world.store.one(
        "SELECT data FROM jobs WHERE org = ? AND id = ?", (org.key, deploy_id)
    )
    return row[0] if row and isinstance(row[0], bytes) else b""
