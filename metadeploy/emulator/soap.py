"""The SOAP endpoints: one dispatcher, by the name of the operation's element."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lxml import etree

from metadeploy.emulator import crud, jobs, partner, retrieving
from metadeploy.emulator.describing import describe_metadata, describe_value_type
from metadeploy.emulator.envelope import (
    METADATA,
    PARTNER,
    Call,
    Content,
    NotSoap,
    answer,
    child,
    child_text,
    children,
    client_fault,
    fault_answer,
    flag,
    no_operation,
    read_call,
)
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import DeployOptions
from metadeploy.emulator.judge import BadFile
from metadeploy.emulator.package import manifest_of
from metadeploy.emulator.results import deploy_result
from metadeploy.emulator.retrieving import FileProperties, RetrieveJob, RetrieveRequest
from metadeploy.emulator.rights import require_metadata_rights, session_of
from metadeploy.emulator.state import Session, World
from metadeploy.emulator.versions import parse_version
from metadeploy.emulator.wire import Answer

_PATH = re.compile(r"/services/Soap/(?P<api>[a-zA-Z])/(?P<version>[^/?]+)(?:/.*)?$")


@dataclass(frozen=True)
class Asked:
    """One operation as it reaches its rule: who asks, in which version, for what."""

    world: World
    session: Session
    version: float
    element: etree._Element
    headers: Mapping[str, etree._Element]
    base_url: str


def handle(world: World, path: str, body: bytes, base_url: str) -> Answer:
    """Answer a request at /services/Soap/… as the platform does, faults included.

    path: whatever follows the version means nothing (observed: simple-salesforce and
    CumulusCI append to it). SOAPAction and Content-Type are never looked at.
    """
    match = _PATH.fullmatch(path)
    if match is None or match["api"] not in "mu":
        return fault_answer(
            Fault(
                "UNKNOWN_EXCEPTION", f"{path} is not emulated: only Soap/m and Soap/u"
            )
        )
    is_partner = match["api"] == "u"
    namespace = PARTNER if is_partner else METADATA
    version = parse_version(match["version"])
    if version is None:
        return fault_answer(
            Fault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL"),
            namespace=namespace,
        )
    try:
        call = read_call(body)
    except NotSoap as bad:
        return client_fault(bad.message)
    serve = partner.serve if is_partner else _metadata
    return serve(world, call, version, base_url)


def _metadata(world: World, call: Call, version: float, base_url: str) -> Answer:
    operation = _OPERATIONS.get(call.name)
    if operation is None:
        return no_operation(call)
    try:
        session = session_of(world, call.session_id)
        asked = Asked(world, session, version, call.operation, call.headers, base_url)
        return answer(call.name, operation(asked))
    except Fault as fault:
        return fault_answer(fault)


# -- deploy


def _deploy(asked: Asked) -> Content:
    zip_bytes = _base64(child_text(asked.element, "ZipFile"))
    options = child(asked.element, "DeployOptions")
    deploy_id = jobs.submit_deploy(
        asked.session,
        zip_bytes,
        deploy_options(options) if options is not None else DeployOptions(),
        api_version=f"{asked.version:.1f}",
    )
    return {"done": False, "id": deploy_id, "state": "Queued"}


def _base64(text: str) -> bytes:
    packed = text.encode("ascii", "replace").translate(None, b" \t\r\n")
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise Fault("INVALID_OPERATION", "ZipFile is not valid base64") from None


def deploy_options(element: etree._Element) -> DeployOptions:
    """Read DeployOptions: any order, any subset; unknown ones and stray text ignored.

    Observed: CumulusCI sends `runAllTests`, simple-salesforce the words "None None".
    """
    default = DeployOptions()
    return DeployOptions(
        allow_missing_files=flag(element, "allowMissingFiles", False),
        auto_update_package=flag(element, "autoUpdatePackage", False),
        check_only=flag(element, "checkOnly", False),
        ignore_warnings=flag(element, "ignoreWarnings", False),
        perform_retrieve=flag(element, "performRetrieve", False),
        purge_on_delete=flag(element, "purgeOnDelete", False),
        rollback_on_error=flag(element, "rollbackOnError", default.rollback_on_error),
        run_tests=tuple(
            (test.text or "").strip()
            for test in children(element, "runTests")
            if (test.text or "").strip()
        ),
        single_package=flag(element, "singlePackage", False),
        test_level=child_text(element, "testLevel"),
    )


def _check_deploy_status(asked: Asked) -> Content:
    details = flag(asked.element, "includeDetails", False)
    job = jobs.deploy_status(asked.session, _process_id(asked), include_details=details)
    return deploy_result(job, include_details=details, version=asked.version)


def _process_id(asked: Asked) -> str:
    """Return the id a call names: its first child (observed: names differ)."""
    first = next(iter(asked.element), None)
    if first is None or not (first.text or "").strip():
        raise Fault("INVALID_ID_FIELD", "Id not specified")
    return (first.text or "").strip()


def _cancel_deploy(asked: Asked) -> Content:
    deploy_id, done = jobs.cancel_deploy(asked.session, _process_id(asked))
    return {"done": done, "id": deploy_id}


def _deploy_recent_validation(asked: Asked) -> Content:
    return jobs.quick_deploy(asked.session, _process_id(asked))


# -- retrieve


def _retrieve(asked: Asked) -> Content:
    request = next(iter(asked.element), None)
    if request is None:
        raise Fault("INVALID_OPERATION", "retrieve needs a retrieveRequest")
    retrieve_id = retrieving.submit_retrieve(
        asked.session, retrieve_request(request, asked.version)
    )
    return {"done": False, "id": retrieve_id, "state": "Queued"}


def retrieve_request(element: etree._Element, version: float) -> RetrieveRequest:
    """Read a RetrieveRequest. Raises Fault.

    Documented: the version inside `unpackaged` beats apiVersion (API 31 and later).
    """
    named = child_text(element, "apiVersion")
    if named:
        found = parse_version(named)
        if found is None:
            raise Fault("UNSUPPORTED_API_VERSION", f"Invalid version specified:{named}")
        version = found
    if _texts(element, "rootTypesWithDependencies"):
        raise Fault("INVALID_OPERATION", "rootTypesWithDependencies is not emulated")
    members: dict[str, tuple[str, ...]] = {}
    unpackaged = child(element, "unpackaged")
    if unpackaged is not None:
        try:
            manifest = manifest_of(unpackaged, "package.xml", version=version)
        except BadFile as bad:
            raise Fault("INVALID_OPERATION", bad.problem) from None
        version = manifest.version
        members = dict(manifest.members)
    return RetrieveRequest(
        members,
        version,
        single_package=flag(element, "singlePackage", False),
        specific_files=_texts(element, "specificFiles"),
        package_names=_texts(element, "packageNames"),
    )


def _texts(element: etree._Element, name: str) -> tuple[str, ...]:
    texts = ((c.text or "").strip() for c in children(element, name))
    return tuple(text for text in texts if text)


def _check_retrieve_status(asked: Asked) -> Content:
    job = retrieving.retrieve_status(
        asked.session,
        child_text(asked.element, "asyncProcessId") or _process_id(asked),
        include_zip=flag(asked.element, "includeZip", True),
    )
    return retrieve_result(job)


def retrieve_result(job: RetrieveJob) -> dict[str, Content]:
    """Return a RetrieveResult as SOAP writes it."""
    zipped = base64.b64encode(job.zip_bytes) if job.zip_bytes is not None else ""
    return {
        "done": job.done,
        "errorMessage": job.error_message or None,
        "errorStatusCode": job.error_code or None,
        "fileProperties": [file_properties(p) for p in job.files],
        "id": job.id,
        "messages": [
            {"fileName": name, "problem": problem} for name, problem in job.messages
        ],
        "status": job.status,
        "success": job.success,
        "zipFile": zipped,
    }


def file_properties(properties: FileProperties) -> dict[str, Content]:
    """Return FileProperties as SOAP writes them."""
    return {
        "createdById": properties.created_by_id,
        "createdByName": properties.created_by_name,
        "createdDate": properties.created_date,
        "fileName": properties.file_name,
        "fullName": properties.full_name,
        "id": properties.id,
        "lastModifiedById": properties.last_modified_by_id,
        "lastModifiedByName": properties.last_modified_by_name,
        "lastModifiedDate": properties.last_modified_date,
        "manageableState": "unmanaged",
        "namespacePrefix": properties.namespace or None,
        "type": properties.type,
    }


def _check_status(asked: Asked) -> Content:
    """Return AsyncResults, the old call that CumulusCI still polls retrieves with."""
    return [
        _async_result(asked, (e.text or "").strip())
        for e in children(asked.element, "asyncProcessId") or list(asked.element)
    ]


def _async_result(asked: Asked, process_id: str) -> dict[str, Content]:
    if retrieving.is_retrieve(asked.session.org, process_id):
        job = retrieving.retrieve_status(asked.session, process_id, include_zip=False)
        done, failed = job.done, not job.success
    else:
        deploy = jobs.deploy_status(asked.session, process_id)
        done, failed = deploy.done, not deploy.success
    state = ("Error" if failed else "Completed") if done else "InProgress"
    return {"done": done, "id": process_id, "state": state}


# -- list, describe


def _list_metadata(asked: Asked) -> Content:
    queries = children(asked.element, "queries")
    if len(queries) > 3:
        # Documented limit; the wording is recalled.
        raise Fault("LIMIT_EXCEEDED", "Only 3 ListMetadataQuery are allowed")
    return [
        file_properties(properties)
        for query in queries
        for properties in retrieving.list_metadata(
            asked.session, child_text(query, "type"), child_text(query, "folder")
        )
    ]


def _describe_metadata(asked: Asked) -> Content:
    require_metadata_rights(asked.session)
    return describe_metadata(asked.session.org, _as_of_version(asked))


def _as_of_version(asked: Asked) -> float:
    text = child_text(asked.element, "asOfVersion")
    version = parse_version(text) if text else asked.version
    if version is None:
        raise Fault("UNSUPPORTED_API_VERSION", f"Invalid version specified:{text}")
    return version


def _describe_value_type(asked: Asked) -> Content:
    require_metadata_rights(asked.session)
    return describe_value_type(child_text(asked.element, "type"), asked.version)


# -- one by one


def _read_metadata(asked: Asked) -> Content:
    names = [(n.text or "").strip() for n in children(asked.element, "fullNames")]
    kind = child_text(asked.element, "type")
    return {"records": crud.read_metadata(asked.session, kind, names)}


def _writing(
    call: Callable[..., list[crud.Saved]], *, upsert: bool = False
) -> Callable[[Asked], Content]:
    def operation(asked: Asked) -> Content:
        saved = call(
            asked.session,
            children(asked.element, "metadata"),
            version=asked.version,
            all_or_none=_all_or_none(asked),
        )
        return [save_result(one, upsert=upsert) for one in saved]

    return operation


def _all_or_none(asked: Asked) -> bool:
    header = asked.headers.get("AllOrNoneHeader")
    return header is not None and flag(header, "allOrNone", False)


def save_result(saved: crud.Saved, *, upsert: bool = False) -> dict[str, Content]:
    """Return a SaveResult, UpsertResult or DeleteResult as SOAP writes it."""
    error: Content = {"message": saved.message, "statusCode": saved.code}
    return {
        "created": saved.created if upsert else None,
        "errors": None if saved.success else error,
        "fullName": saved.full_name,
        "success": saved.success,
    }


def _delete_metadata(asked: Asked) -> Content:
    names = [(n.text or "").strip() for n in children(asked.element, "fullNames")]
    saved = crud.delete_metadata(
        asked.session,
        child_text(asked.element, "type"),
        names,
        version=asked.version,
        all_or_none=_all_or_none(asked),
    )
    return [save_result(one) for one in saved]


def _rename_metadata(asked: Asked) -> Content:
    element = asked.element
    saved = crud.rename_metadata(
        asked.session,
        child_text(element, "type"),
        child_text(element, "oldFullName"),
        child_text(element, "newFullName"),
    )
    return save_result(saved)


def _retired(asked: Asked) -> Content:
    """Refuse the asynchronous calls of API 30 and earlier (documented)."""
    name = etree.QName(asked.element).localname
    raise Fault(
        "INVALID_OPERATION",
        f"{name}() is available in API version 30.0 and earlier only: use"
        f" {name}Metadata()",
    )


_OPERATIONS: Mapping[str, Callable[[Asked], Content]] = {
    "deploy": _deploy,
    "checkDeployStatus": _check_deploy_status,
    "cancelDeploy": _cancel_deploy,
    "deployRecentValidation": _deploy_recent_validation,
    "retrieve": _retrieve,
    "checkRetrieveStatus": _check_retrieve_status,
    "checkStatus": _check_status,
    "listMetadata": _list_metadata,
    "describeMetadata": _describe_metadata,
    "describeValueType": _describe_value_type,
    "readMetadata": _read_metadata,
    "createMetadata": _writing(crud.create_metadata),
    "updateMetadata": _writing(crud.update_metadata),
    "upsertMetadata": _writing(crud.upsert_metadata, upsert=True),
    "deleteMetadata": _delete_metadata,
    "renameMetadata": _rename_metadata,
    "create": _retired,
    "update": _retired,
    "delete": _retired,
}
