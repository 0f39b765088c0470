"""Deploys over REST. They are the same jobs that SOAP knows.

Source: Metadata API Developer Guide, "Deploying with REST" (documented). Observed:
parts come in any order and under any name, CumulusCI sends booleans as text, and the
answer to a POST must be 201.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from metadeploy.emulator import jobs
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import DeployJob, DeployOptions
from metadeploy.emulator.multipart import Part, parts_of
from metadeploy.emulator.rest_call import Call, Routes, rest_value
from metadeploy.emulator.results import Result, deploy_result
from metadeploy.emulator.wire import Answer, Json, json_answer


def _submit(call: Call) -> Answer:
    """Deploy a multipart request's zip, or what a validation has seen."""
    headers = call.request.headers
    parts = parts_of(headers.get("content-type", ""), call.request.body)
    if parts is None:
        return _quick(call)
    zipped, described = _zip_part(parts), _json_part(parts)
    if zipped is None:
        raise Fault("INVALID_MULTIPART_REQUEST", "No zip file part was found")
    options = described.get("deployOptions")
    deploy_id = jobs.submit_deploy(
        call.session,
        zipped,
        deploy_options(options if isinstance(options, dict) else described),
        api_version=call.version,
    )
    return _answered(call, jobs.load_deploy(call.org, deploy_id), 201)


def _quick(call: Call) -> Answer:
    wanted = call.json_object().get("validatedDeployRequestId")
    if not isinstance(wanted, str):
        raise Fault("INVALID_INPUT", "validatedDeployRequestId is missing")
    deploy_id = jobs.quick_deploy(call.session, wanted)
    return _answered(call, jobs.load_deploy(call.org, deploy_id), 201)


def _status(call: Call) -> Answer:
    wish = call.request.parameters.get("includeDetails", "").lower() == "true"
    job = jobs.deploy_status(call.session, call.args[0], include_details=wish)
    return _answered(call, job, 200, details=wish)


def _cancel(call: Call) -> Answer:
    """Cancel. Documented: PATCH with the status to be reached, answered 202."""
    result = call.json_object().get("deployResult")
    status = result.get("status") if isinstance(result, dict) else None
    if status not in ("Canceling", "Canceled"):
        raise Fault("INVALID_INPUT", "deployResult.status must be Canceling")
    jobs.cancel_deploy(call.session, call.args[0])
    return _answered(call, jobs.load_deploy(call.org, call.args[0]), 202)


def _answered(
    call: Call, job: DeployJob, status: int, *, details: bool = False
) -> Answer:
    version = float(call.version)
    result = deploy_result(job, include_details=details, version=version)
    body: dict[str, Json] = {
        "id": job.id,
        "validatedDeployRequestId": job.validation_id or None,
        "deployOptions": options_json(job.options),
        "deployResult": _rest(result),
    }
    return json_answer(body, status)


def _rest(result: Mapping[str, Result]) -> Json:
    """Return a result as REST writes it: times with +0000, lists as lists."""
    return {name: _rest_one(name, value) for name, value in result.items()}


def _rest_one(name: str, value: Result) -> Json:
    if isinstance(value, Mapping):
        return _rest(value)
    if isinstance(value, (list, tuple)):
        return [_rest_one(name, item) for item in value]
    return rest_value(value, "datetime" if name.endswith("Date") else "")


# -- the request


def _zip_part(parts: tuple[Part, ...]) -> bytes | None:
    """Find the zip: by its type, else by being a file that is not JSON."""
    for part in parts:
        if "zip" in part.content_type:
            return part.body
    for part in parts:
        if "json" not in part.content_type and (part.file_name or part.name == "file"):
            return part.body
    return None


def _json_part(parts: tuple[Part, ...]) -> Mapping[str, Json]:
    for part in parts:
        if "json" in part.content_type or part.name in ("json", "entity_content"):
            try:
                found = json.loads(part.body)
            except (ValueError, RecursionError) as error:
                raise Fault("JSON_PARSER_ERROR", f"not JSON: {error}") from error
            if not isinstance(found, dict):
                raise Fault("JSON_PARSER_ERROR", "deployOptions are missing")
            return found
    return {}


def deploy_options(found: Mapping[str, Json]) -> DeployOptions:
    """Read DeployOptions of JSON: any subset, true or "true", null for nothing said."""
    default = DeployOptions()

    def flag(name: str, otherwise: bool) -> bool:
        value = found.get(name)
        if isinstance(value, str):
            return value.strip().lower() == "true"
        return otherwise if value is None else value is True

    tests, level = found.get("runTests"), found.get("testLevel")
    listed = tests.split(",") if isinstance(tests, str) else tests
    return DeployOptions(
        allow_missing_files=flag("allowMissingFiles", False),
        auto_update_package=flag("autoUpdatePackage", False),
        check_only=flag("checkOnly", False),
        ignore_warnings=flag("ignoreWarnings", False),
        perform_retrieve=flag("performRetrieve", False),
        purge_on_delete=flag("purgeOnDelete", False),
        rollback_on_error=flag("rollbackOnError", default.rollback_on_error),
        run_tests=tuple(
            str(test).strip()
            for test in (listed if isinstance(listed, list) else [])
            if str(test).strip()
        ),
        single_package=flag("singlePackage", False),
        test_level=level if isinstance(level, str) else "",
    )


def options_json(options: DeployOptions) -> Json:
    """Return DeployOptions as REST writes them."""
    return {
        "allowMissingFiles": options.allow_missing_files,
        "autoUpdatePackage": options.auto_update_package,
        "checkOnly": options.check_only,
        "ignoreWarnings": options.ignore_warnings,
        "performRetrieve": options.perform_retrieve,
        "purgeOnDelete": options.purge_on_delete,
        "rollbackOnError": options.rollback_on_error,
        "runTests": list(options.run_tests) or None,
        "singlePackage": options.single_package,
        "testLevel": options.test_level or None,
    }


ROUTES: Routes = {
    "metadata/deployRequest": {"POST": _submit},
    "metadata/deployRequest/([^/]+)": {"GET": _status, "PATCH": _cancel},
}
