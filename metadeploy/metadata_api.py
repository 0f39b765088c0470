"""Edge: the Metadata API's SOAP calls. zeep builds requests, we read the answers.

zeep's own reading is either too strict for what orgs really send or, with
strict=False, takes truncated answers for good ones; and its DEBUG log holds the
session id, so that logger is kept above it.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from tempfile import SpooledTemporaryFile

from lxml import etree
from msgspec import Struct
from zeep import Client, Settings
from zeep.xsd import SkipValue

from metadeploy import package, xmlfile
from metadeploy.connection import Answer, Connection
from metadeploy.errors import ApiFault, LostAnswer
from metadeploy.model import (
    METADATA_NS,
    Component,
    DeployMessage,
    DeployOptions,
    DeployResult,
    Manifest,
    Ref,
    Secret,
)

logging.getLogger("zeep").setLevel(logging.INFO)

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_M = f"{{{METADATA_NS}}}"
# Where a retrieve's zip is in its answer; a small one never touches the disk.
_ZIP = (
    f"{{{_SOAP}}}Envelope",
    f"{{{_SOAP}}}Body",
    f"{_M}checkRetrieveStatusResponse",
    f"{_M}result",
    f"{_M}zipFile",
)
_MEMORY_BYTES = 4_000_000
_NUMBER = re.compile("[0-9]{1,9}")


class Retrieved(Struct, frozen=True):
    """What a finished retrieve brought: components, and the org's messages."""

    components: tuple[Component, ...]
    messages: tuple[str, ...]


class FileProperties(Struct, frozen=True):
    """One row of listMetadata: a component that the org has, and its record's id.

    created: when, as XML writes times; "" where the org does not say.
    """

    ref: Ref
    id: str
    created: str = ""


class MetadataApi:
    """The calls of one org's Metadata API that we make."""

    def __init__(self, connection: Connection, api_version: str) -> None:
        self._connection = connection
        self._version = api_version

    def deploy(self, zip_bytes: bytes, options: DeployOptions) -> str:
        """Start a deploy and return its AsyncResult id ("0Af…").

        Raises LostAnswer when the org may have started it without our knowing its id.
        """
        result = self._call_one(
            "deploy",
            ZipFile=zip_bytes,
            DeployOptions={
                "allowMissingFiles": False,
                "autoUpdatePackage": False,
                "checkOnly": options.check_only,
                "ignoreWarnings": options.ignore_warnings,
                "performRetrieve": False,
                "purgeOnDelete": False,
                "rollbackOnError": True,
                "runTests": [],
                # Its one package is in a folder, whose name marks it as ours.
                "singlePackage": False,
                "testLevel": options.test_level or SkipValue,
            },
        )
        return _needed(result, "id")

    def check_deploy_status(self, deploy_id: str) -> DeployResult:
        """Return how far a deploy is, with what it did to each component."""
        result = self._call_one(
            "checkDeployStatus", asyncProcessId=deploy_id, includeDetails=True
        )
        return _deploy_result(result)

    def cancel_deploy(self, deploy_id: str) -> bool:
        """Ask to cancel; True when it is canceled already."""
        result = self._call_one("cancelDeploy", String=deploy_id)
        return _flag(result, "done")

    def retrieve(self, manifest: Manifest) -> str:
        """Start a retrieve and return its AsyncResult id ("09S…")."""
        types = [
            {"members": list(members), "name": name}
            for name, members in manifest.members.items()
        ]
        result = self._call_one(
            "retrieve",
            retrieveRequest={
                "apiVersion": float(manifest.api_version),
                "singlePackage": True,
                "unpackaged": {"types": types, "version": manifest.api_version},
            },
        )
        return _needed(result, "id")

    def check_retrieve_status(self, retrieve_id: str) -> Retrieved | None:
        """Return what a retrieve brought, None while it runs.

        The org deletes the zip once it is handed over: a lost answer means a new
        retrieve. Raises ApiFault when the retrieve failed.
        """
        return self._connection.in_session(
            lambda token: self._retrieved(retrieve_id, token)
        )

    def _retrieved(self, retrieve_id: str, token: Secret) -> Retrieved | None:
        operation = "checkRetrieveStatus"
        with SpooledTemporaryFile(_MEMORY_BYTES) as file:
            data = package.Base64(file)
            reading = xmlfile.Reading(_ZIP, data.feed)
            asked = {"asyncProcessId": retrieve_id, "includeZip": True}
            answer = self._send(operation, asked, token, into=reading.feed)
            # What is no 200 holds no zip, and came as a whole.
            root = reading.root if answer.status == 200 else None
            result = _only(_results(answer, operation, root), operation)
            if not _flag(result, "done"):
                return None
            _refuse_failed(result)
            rows = result.findall(f"{_M}messages")
            components = package.unpack(data.finish())
            return Retrieved(components, tuple(_text(row, "problem") for row in rows))

    def list_metadata(self, types: Iterable[str]) -> tuple[FileProperties, ...]:
        """Return what the org has of these types, up to three at a time."""
        results = self._call(
            "listMetadata",
            queries=[{"type": t} for t in types],
            asOfVersion=float(self._version),
        )
        return tuple(
            FileProperties(
                Ref(_text(r, "type"), _text(r, "fullName")),
                _text(r, "id"),
                _text(r, "createdDate"),
            )
            for r in results
        )

    def _call_one(self, operation: str, **arguments: object) -> etree._Element:
        return _only(self._call(operation, **arguments), operation)

    def _call(self, operation: str, **arguments: object) -> list[etree._Element]:
        return self._connection.in_session(
            lambda token: _results(self._send(operation, arguments, token), operation)
        )

    def _send(
        self,
        operation: str,
        arguments: Mapping[str, object],
        token: Secret,
        *,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        client = _client()
        envelope = client.create_message(
            client.service,
            operation,
            _soapheaders={"session": {"sessionId": token.reveal()}},
            **arguments,
        )
        return self._connection.call(
            "POST",
            f"/services/Soap/m/{self._version}",
            body=etree.tostring(envelope, xml_declaration=True, encoding="UTF-8"),
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
            into=into,
        )


@cache
def _client() -> Client:
    """Return the one client of this process: it holds types, no session."""
    wsdl = Path(__file__).with_name("wsdl") / "metadata.wsdl"
    return Client(str(wsdl), settings=Settings(forbid_external=True))


def _results(
    answer: Answer, operation: str, read: Callable[[], etree._Element] | None = None
) -> list[etree._Element]:
    """Return the <result> elements of an answer to `operation`.

    read: gives the root of an answer that was read as it came. Raises ApiFault for a
    fault, LostAnswer for what only looks like an answer: a maintenance page, JSON,
    nothing, or XML that stops in the middle.
    """
    try:
        root = read() if read else xmlfile.parse(answer.body)
    except xmlfile.XmlError as error:
        kind = answer.content_type.partition(";")[0] or "nothing"
        what = f"HTTP {answer.status} with {kind} instead of an answer to {operation}"
        raise LostAnswer(f"{what} ({answer.size} bytes)") from error
    body = root.find(f"{{{_SOAP}}}Body")
    first = body[0] if body is not None and len(body) else None
    if first is not None and first.tag == f"{{{_SOAP}}}Fault":
        raise _fault(first)
    if answer.status != 200 or first is None or first.tag != f"{_M}{operation}Response":
        what = f"HTTP {answer.status} with <{xmlfile.local_name(root)}>"
        raise LostAnswer(f"{what} instead of an answer to {operation}")
    return first.findall(f"{_M}result")


def _only(results: list[etree._Element], operation: str) -> etree._Element:
    if len(results) != 1:
        raise LostAnswer(f"{len(results)} results in the answer to {operation}")
    return results[0]


def _refuse_failed(result: etree._Element) -> None:
    if _text(result, "status") != "Succeeded":
        code = _text(result, "errorStatusCode")
        raise ApiFault(code, _text(result, "errorMessage") or "the retrieve failed")


def _fault(fault: etree._Element) -> ApiFault:
    code = (fault.findtext("faultcode") or "").rpartition(":")[2]
    text = fault.findtext("faultstring") or "a fault without a text"
    return ApiFault(code, text.removeprefix(f"{code}: "))


def _text(element: etree._Element, name: str) -> str:
    return element.findtext(f"{_M}{name}", "") or ""


def _flag(element: etree._Element, name: str) -> bool:
    return _is_true(_text(element, name))


def _is_true(text: str) -> bool:
    return text.strip() in ("true", "1")


def _needed(element: etree._Element, name: str) -> str:
    text = _text(element, name)
    if not text:
        raise LostAnswer(f"the org's answer has no {name}")
    return text


def _number(element: etree._Element, name: str) -> int:
    return _integer(_text(element, name))


def _integer(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def _deploy_result(result: etree._Element) -> DeployResult:
    details = result.find(f"{_M}details")
    rows = [] if details is None else list(details)
    names = ("componentSuccesses", "componentFailures")
    return DeployResult(
        id=_needed(result, "id"),
        status=_needed(result, "status"),
        done=_flag(result, "done"),
        success=_flag(result, "success"),
        check_only=_flag(result, "checkOnly"),
        error_code=_text(result, "errorStatusCode"),
        error_message=_text(result, "errorMessage"),
        state_detail=_text(result, "stateDetail"),
        components_total=_number(result, "numberComponentsTotal"),
        components_deployed=_number(result, "numberComponentsDeployed"),
        component_errors=_number(result, "numberComponentErrors"),
        tests_total=_number(result, "numberTestsTotal"),
        tests_completed=_number(result, "numberTestsCompleted"),
        test_errors=_number(result, "numberTestErrors"),
        messages=tuple(_message(r) for r in rows if xmlfile.local_name(r) in names),
    )


def _message(row: etree._Element) -> DeployMessage:
    # Once through the row, not once a field: there are thousands of them.
    said = defaultdict(str, ((xmlfile.local_name(e), xmlfile.text_of(e)) for e in row))
    return DeployMessage(
        component_type=said["componentType"],
        full_name=said["fullName"],
        file_name=said["fileName"],
        success=_is_true(said["success"]),
        problem=said["problem"],
        problem_type=said["problemType"],
        line=_integer(said["lineNumber"]),
        column=_integer(said["columnNumber"]),
        created=_is_true(said["created"]),
        changed=_is_true(said["changed"]),
        deleted=_is_true(said["deleted"]),
    )
