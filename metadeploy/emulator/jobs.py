"""Deploys and retrieves as jobs: queued, moved on by being asked about, kept.

A job advances when somebody asks for its status, never by time, so that a test or a
rehearsal decides how long a deploy takes. One deploy of an org runs at a time
(documented); the others wait in order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from metadeploy.emulator import ids, records
from metadeploy.emulator.deploying import Outcome, Rules, run
from metadeploy.emulator.deployjob import DeployJob as DeployJob
from metadeploy.emulator.deployjob import DeployOptions as DeployOptions
from metadeploy.emulator.deployjob import (
    active_deploy,
    insert,
    oldest_pending,
    update,
    zip_of,
)
from metadeploy.emulator.deployjob import load_deploy as load_deploy
from metadeploy.emulator.deployjob import recent_deploys as recent_deploys
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.package import Intake, read_intake
from metadeploy.emulator.rights import require_metadata_rights
from metadeploy.emulator.state import OrgState, Session
from metadeploy.emulator.zips import BadZip

TEST_LEVELS = (
    "NoTestRun",
    "RunSpecifiedTests",
    "RunLocalTests",
    "RunAllTestsInOrg",
    "RunRelevantTests",
)
MAX_ZIP = 40_894_464
"""Bytes: 39 MB, the most a deploy's zip may have (documented)."""
_DAY = 86_400.0
PLANNED_FAILURE = "deploy failure"
"""Kind of the grant, under the org's id, that makes its next deploy fail."""


# -- asking for a deploy


def submit_deploy(
    session: Session,
    zip_bytes: bytes,
    options: DeployOptions,
    *,
    api_version: str = "",
) -> str:
    """Queue a deploy and return its id; with deploy_polls=0 it is done at once.

    Raises Fault for what the platform refuses before there is a job.
    """
    org = session.org
    require_metadata_rights(session)
    _check_options(org, options)
    if len(zip_bytes) > MAX_ZIP:
        raise Fault(
            "LIMIT_EXCEEDED", f"Maximum size of the zip file reached: {MAX_ZIP} bytes"
        )
    intake = None if org.settings.deploy_polls else _intake(zip_bytes, options)
    with org.world.transaction():
        job = _new_job(session, options, api_version, zip_size=len(zip_bytes))
        insert(org, job, zip_bytes)
        org.log(
            "deploy queued",
            id=job.id,
            by=session.user_id,
            check_only=options.check_only,
        )
        if not org.settings.deploy_polls and active_deploy(org) is None:
            first = oldest_pending(org)
            if first == job.id:
                _finish(org, _started(org, job), intake, zip_bytes)
    return job.id


def _check_options(org: OrgState, options: DeployOptions) -> None:
    if options.test_level and options.test_level not in TEST_LEVELS:
        raise Fault(
            "INVALID_TYPE",
            f"'{options.test_level}' is not a valid value for the enum 'TestLevel'",
        )
    if options.perform_retrieve:
        raise Fault("INVALID_OPERATION", "performRetrieve is not emulated")
    if options.run_tests and options.test_level not in ("", "RunSpecifiedTests"):
        raise Fault(
            "INVALID_OPERATION",
            "runTests can be used only with a testLevel of RunSpecifiedTests",
        )
    if options.test_level == "RunSpecifiedTests" and not options.run_tests:
        raise Fault(
            "INVALID_OPERATION", "A testLevel of RunSpecifiedTests needs runTests"
        )
    if not org.settings.is_production:
        return
    if options.test_level == "NoTestRun":
        raise Fault(
            "INVALID_OPERATION",
            "testLevel of NoTestRun cannot be used in production organizations",
        )
    if not options.rollback_on_error:
        raise Fault(
            "INVALID_OPERATION",
            "rollbackOnError must be true in production organizations",
        )


def _intake(zip_bytes: bytes, options: DeployOptions) -> Intake | BadZip:
    try:
        return read_intake(
            zip_bytes,
            allow_missing_files=options.allow_missing_files,
            auto_update=options.auto_update_package,
        )
    except BadZip as bad:
        return bad


def _new_job(
    session: Session, options: DeployOptions, api_version: str, *, zip_size: int
) -> DeployJob:
    now = records.now_text(session.org)
    return DeployJob(
        id=ids.new_id("DeployRequest"),
        options=options,
        status="Pending",
        created_by=session.user_id,
        created_by_name=user_name(session.org, session.user_id),
        created_date=now,
        last_modified_date=now,
        api_version=api_version,
        zip_size=zip_size,
    )


def user_name(org: OrgState, user_id: str) -> str:
    """Return a user's full name, "" for an unknown id."""
    user = org.record("User", user_id)
    return str(user["Name"]) if user else ""


# -- asking about it


def deploy_status(
    session: Session, deploy_id: str, *, include_details: bool = False
) -> DeployJob:
    """Move the org's deploys on by one step and return this one. Raises Fault.

    include_details: with its rows. Asking about a waiting deploy moves the running one.
    """
    org = session.org
    job = load_deploy(org, deploy_id)
    if not job.done:
        _advance(org, job.id)
    return load_deploy(org, deploy_id, include_details=include_details)


def _advance(org: OrgState, asked: str) -> None:
    """Start what waits, and take the running deploy one status call further."""
    ready = _prepared(org, asked)
    with org.world.transaction():
        while True:
            active = active_deploy(org)
            if active is None:
                waiting = oldest_pending(org)
                if waiting is None:
                    return
                active = _started(org, load_deploy(org, waiting))
                update(org, active)
            if not _step(org, active, ready.get(active.id)):
                return
            if active.id == asked or org.settings.deploy_polls:
                return


def _prepared(org: OrgState, asked: str) -> dict[str, Intake | BadZip]:
    """Read, outside the transaction, the zip of the deploy that starts or ends now."""
    active = active_deploy(org)
    waiting = active.id if active else oldest_pending(org)
    if waiting is None or waiting != asked:
        return {}
    job = active or load_deploy(org, waiting)
    if job.total and job.polls + 1 < org.settings.deploy_polls:
        return {}
    return {job.id: _intake(zip_of(org, job.id), job.options)}


def _step(org: OrgState, job: DeployJob, intake: Intake | BadZip | None) -> bool:
    """Take one deploy one status call further; True when it ended."""
    if job.status == "Canceling":
        _cancelled(org, job)
        return True
    polls = job.polls + 1
    left = org.settings.deploy_polls - polls
    if left <= 0:
        _finish(org, replace(job, polls=polls), intake, None)
        return True
    # API 66 has the state before the end that older versions call InProgress.
    status = "Finalizing" if left == 1 and org.settings.deploy_polls > 2 else job.status
    total = job.total
    if isinstance(intake, Intake):
        total = sum(len(package.components) for package in intake.packages)
    done = total * polls // org.settings.deploy_polls
    update(org, replace(job, polls=polls, status=status, total=total, deployed=done))
    return False


def _finish(
    org: OrgState,
    job: DeployJob,
    intake: Intake | BadZip | None,
    zip_bytes: bytes | None,
) -> None:
    """Run a deploy and note what came of it."""
    if intake is None:
        intake = _intake(zip_bytes or zip_of(org, job.id), job.options)
    options = job.options
    planned = org.world.take_grant(PLANNED_FAILURE, org.id)
    if isinstance(intake, BadZip):
        outcome = Outcome(
            error_code=intake.code, error_message=intake.message, kept=False
        )
        files = 0
    elif planned is not None:
        # A fault on request, such as a lock that somebody else holds.
        code, message = str(planned[1]["code"]), str(planned[1]["message"])
        outcome = Outcome(error_code=code, error_message=message, kept=False)
        files = intake.files
    else:
        files = intake.files
        rules = Rules(
            check_only=options.check_only,
            rollback_on_error=options.rollback_on_error,
            ignore_warnings=options.ignore_warnings,
            purge_on_delete=options.purge_on_delete,
            tests=options.run_tests,
        )
        outcome = run(org, job.created_by, intake, rules)
    ended = replace(_ended(org, job, outcome), files=files)
    update(org, ended, rows=outcome.rows)
    # A check-only deploy may be deployed as it stands later; others are done with.
    if not (options.check_only and ended.success):
        org.world.store.write("UPDATE jobs SET data = NULL WHERE id = ?", (job.id,))
    if outcome.kept:
        _void_validations(org)
    org.log("deploy ended", id=job.id, status=ended.status, kept=outcome.kept)


def _ended(org: OrgState, job: DeployJob, outcome: Outcome) -> DeployJob:
    now = records.now_text(org)
    partial = outcome.kept and outcome.deployed > 0
    if outcome.error_message:
        status = "Failed"
    elif not outcome.errors and not outcome.tests_failed:
        status = "Succeeded"
    elif partial and not job.options.rollback_on_error:
        status = "SucceededPartial"
    else:
        status = "Failed"
    return replace(
        job,
        status=status,
        completed_date=now,
        last_modified_date=now,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        total=outcome.total,
        deployed=outcome.deployed,
        errors=outcome.errors,
        tests_total=len(job.options.run_tests),
        tests_completed=len(job.options.run_tests) - len(outcome.tests_failed),
        test_errors=len(outcome.tests_failed),
        test_failures=outcome.tests_failed,
    )


def _void_validations(org: OrgState) -> None:
    """Make earlier validations of the org useless: it is not what they saw.

    Recalled: a later deploy to the org may invalidate them.
    """
    org.world.store.write(
        "UPDATE jobs SET data = NULL WHERE org = ? AND kind = 'deploy'"
        " AND status NOT IN ('Pending', 'InProgress', 'Finalizing', 'Canceling')",
        (org.key,),
    )


# -- cancel, quick deploy


def cancel_deploy(session: Session, deploy_id: str) -> tuple[str, bool]:
    """Ask for a deploy's end; return its id and whether it has ended already.

    Raises Fault once it is done, or is being finalized (documented from API 65).
    """
    org = session.org
    require_metadata_rights(session)
    with org.world.transaction():
        job = load_deploy(org, deploy_id)
        if job.done:
            # Recalled.
            raise Fault("INVALID_ID_FIELD", "Deployment already completed")
        if job.status == "Finalizing":
            raise Fault(
                "INVALID_OPERATION", "A deployment that is finalizing can't be canceled"
            )
        job = replace(
            job,
            canceled_by=session.user_id,
            canceled_by_name=user_name(org, session.user_id),
        )
        if job.status == "Pending":
            _cancelled(org, job)
            return job.id, True
        update(org, replace(job, status="Canceling"))
        return job.id, False


def _cancelled(org: OrgState, job: DeployJob) -> None:
    now = records.now_text(org)
    update(
        org,
        replace(job, status="Canceled", completed_date=now, last_modified_date=now),
    )
    org.world.store.write("UPDATE jobs SET data = NULL WHERE id = ?", (job.id,))
    org.log("deploy ended", id=job.id, status="Canceled", kept=False)


def quick_deploy(session: Session, validation_id: str) -> str:
    """Deploy what a check-only deploy of this org validated; return the new id.

    Raises Fault unless it succeeded within ten days, ran tests, and nothing was
    deployed since (documented, the last two recalled; wordings inferred).
    """
    org = session.org
    require_metadata_rights(session)
    with org.world.transaction():
        validated = load_deploy(org, validation_id)
        _check_validation(org, validated)
        data = zip_of(org, validated.id)
        options = replace(validated.options, check_only=False)
        job = replace(
            _new_job(session, options, validated.api_version, zip_size=len(data)),
            validation_id=validated.id,
        )
        update(org, replace(validated, quick_deployed=True))
        insert(org, job, data)
        org.log("deploy queued", id=job.id, by=session.user_id, check_only=False)
        if not org.settings.deploy_polls and active_deploy(org) is None:
            _finish(org, _started(org, job), None, data)
    return job.id


def _check_validation(org: OrgState, job: DeployJob) -> None:
    row = org.world.store.one(
        "SELECT data IS NOT NULL, seq FROM jobs WHERE id = ?", (job.id,)
    )
    has_zip, created = cast("tuple[int, int]", row or (0, 0))
    age_limit = org.settings.validations_expire_days * _DAY
    problem = ""
    if not job.options.check_only or not job.success:
        problem = "is not a successful validation"
    elif job.options.test_level in ("", "NoTestRun"):
        problem = "ran no tests"
    elif job.quick_deployed or not has_zip:
        problem = "is out of date: the organization changed since"
    elif org.world.clock() - created / 1e6 > age_limit:
        problem = f"is older than {org.settings.validations_expire_days} days"
    if problem:
        raise Fault(
            "INVALID_ID_FIELD",
            f"Cannot quick deploy: the deployment {job.id} {problem}",
        )


def _started(org: OrgState, job: DeployJob) -> DeployJob:
    now = records.now_text(org)
    return replace(job, status="InProgress", start_date=now, last_modified_date=now)
