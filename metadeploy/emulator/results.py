"""Jobs as trees of values: what SOAP writes as elements and REST as JSON.

Key order is the wire's. None: SOAP leaves it out, REST writes null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from metadeploy.emulator.deploying import Row
from metadeploy.emulator.jobs import DeployJob

Result: TypeAlias = (
    "str | int | float | bool | Mapping[str, Result] | Sequence[Result] | None"
)


def deploy_result(
    job: DeployJob, *, include_details: bool, version: float = 66.0
) -> dict[str, Result]:
    """Return a DeployResult. In flight, details hold failures only (documented)."""
    status = job.status
    if status == "Finalizing" and version < 66:
        status = "InProgress"
    return {
        "canceledBy": job.canceled_by or None,
        "canceledByName": job.canceled_by_name or None,
        "checkOnly": job.options.check_only,
        "completedDate": job.completed_date or None,
        "createdBy": job.created_by,
        "createdByName": job.created_by_name,
        "createdDate": job.created_date,
        "details": _details(job) if include_details else {},
        "done": job.done,
        "errorMessage": job.error_message or None,
        "errorStatusCode": job.error_code or None,
        "id": job.id,
        "ignoreWarnings": job.options.ignore_warnings,
        "lastModifiedDate": job.last_modified_date or None,
        "numberComponentErrors": job.errors,
        "numberComponentsDeployed": job.deployed,
        "numberComponentsTotal": job.total,
        "numberFiles": job.files if job.done and version >= 64 else None,
        "numberTestErrors": job.test_errors,
        "numberTestsCompleted": job.tests_completed,
        "numberTestsTotal": job.tests_total,
        "rollbackOnError": job.options.rollback_on_error,
        "runTestsEnabled": job.options.test_level not in ("", "NoTestRun"),
        "startDate": job.start_date or None,
        "stateDetail": job.state_detail or None,
        "status": status,
        "success": job.success,
        "zipSize": job.zip_size if version >= 64 else None,
    }


def _details(job: DeployJob) -> dict[str, Result]:
    when = job.completed_date or job.created_date
    return {
        "componentFailures": [_row(r, when) for r in job.rows if not r.success],
        "componentSuccesses": [_row(r, when) for r in job.rows if r.success],
        "runTestResult": _tests(job),
    }


def _row(row: Row, when: str) -> dict[str, Result]:
    return {
        "changed": row.changed,
        "columnNumber": row.column or None,
        "componentType": row.component_type,
        "created": row.created,
        "createdDate": when,
        "deleted": row.deleted,
        "fileName": row.file_name,
        "fullName": row.full_name,
        "id": row.id or None,
        "lineNumber": row.line or None,
        "problem": row.problem or None,
        "problemType": row.problem_type or None,
        "success": row.success,
    }


def _tests(job: DeployJob) -> dict[str, Result]:
    failures: list[Result] = [
        {
            "id": "01p000000000000AAA",
            "message": message,
            "methodName": "",
            "name": name,
            "namespace": "",
            "packageName": name,
            "stackTrace": "",
            "time": 0.0,
            "type": "Class",
        }
        for name, message in job.test_failures
    ]
    return {
        "failures": failures,
        "numFailures": job.test_errors,
        "numTestsRun": job.tests_total,
        "totalTime": 0.0,
    }
