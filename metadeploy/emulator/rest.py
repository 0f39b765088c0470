"""REST in and out: /services/data. Which resource, who asks, what may go wrong.

Source: REST API Developer Guide, "Versions", "Resources by Version", "Limits"
(documented).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from metadeploy.emulator import rest_apps, rest_deploy, rest_query, rest_records
from metadeploy.emulator.dialects import rest_fault
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.records import permissions_of
from metadeploy.emulator.rest_call import NO_RESOURCE, Call, Handler, Routes
from metadeploy.emulator.state import Session, World
from metadeploy.emulator.versions import OLDEST, parse_version, versions
from metadeploy.emulator.wire import Answer, Json, Request, json_answer

SESSION_INVALID = "Session expired or invalid"
_API_SCOPES = frozenset({"api", "full", "web"})
_LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "ActiveScratchOrgs": 3,
        "DailyApiRequests": 15000,
        "DailyAsyncApexExecutions": 250000,
        "DailyBulkApiBatches": 15000,
        "DailyScratchOrgs": 6,
        "DataStorageMB": 5,
        "FileStorageMB": 20,
        "HourlyODataCallout": 1000,
        "SingleEmail": 15,
    }
)


def handle(world: World, request: Request) -> Answer:
    """Answer a request below /services/data. Faults come back as REST errors."""
    try:
        return _handle(world, request)
    except Fault as fault:
        return rest_fault(fault)


def _handle(world: World, request: Request) -> Answer:
    rest = request.path.removeprefix("/services/data").strip("/")
    if not rest:
        return json_answer([_version(text) for text in versions()])
    version, _, resource = rest.partition("/")
    _check_version(version)
    session = session_of(world, request)
    for pattern, methods in _ROUTES.items():
        if match := re.fullmatch(pattern, resource):
            handler = _method(methods, request.method)
            call = Call(world, session, request, version[1:], match.groups())
            return handler(call)
    if resource.partition("/")[0] in _KNOWN:
        raise Fault("NOT_FOUND", f"{NO_RESOURCE} (not emulated: {resource})")
    raise Fault("NOT_FOUND", NO_RESOURCE)


def session_of(world: World, request: Request) -> Session:
    """Return the session of a request that may use the API. Raises Fault.

    401 and its text for a dead session: documented. What a missing scope and a user
    without "API Enabled" get is recalled.
    """
    header = request.headers.get("authorization", "")
    if header and not request.bearer:
        raise Fault("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    session = world.org_of_token(request.bearer)
    if session is None:
        raise Fault("INVALID_SESSION_ID", SESSION_INVALID)
    if not _API_SCOPES.intersection(session.scopes):
        message = "This session is not valid for use with the REST API"
        raise Fault("INVALID_SESSION_ID", message)
    if "ApiEnabled" not in permissions_of(session.org, session.user_id):
        raise Fault("API_CURRENTLY_DISABLED", "API is disabled for this User")
    return session


def _check_version(text: str) -> None:
    number = parse_version(text[1:]) if text.startswith("v") else None
    if number is not None and re.fullmatch(r"v\d+\.0", text):
        return
    retired = re.fullmatch(r"v(\d{1,3})\.0", text)
    if retired and 20 < int(retired[1]) < OLDEST:
        # Documented: 410 since Summer '25. The text is recalled.
        message = f"The requested REST API version {text[1:]} has been retired"
        raise Fault("UNSUPPORTED_API_VERSION", message, status=410)
    raise Fault("NOT_FOUND", NO_RESOURCE)


def _version(text: str) -> Json:
    """Label a version by its release: 66.0 is Spring '26, three a year."""
    number = int(text.partition(".")[0])
    season = ("Spring", "Summer", "Winter")[number % 3]
    year = 4 + number // 3 + (number % 3 == 2)
    label = f"{season} '{year:02}"
    return {"label": label, "url": f"/services/data/v{text}", "version": text}


def _method(methods: Mapping[str, Handler], method: str) -> Handler:
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = ",".join(methods)
        raise Fault(
            "METHOD_NOT_ALLOWED",
            f"HTTP Method '{method}' not allowed. Allowed are {allowed}",
        )
    return handler


def _resources(call: Call) -> Answer:
    names = ("limits", "metadata", "query", "queryAll", "sobjects", "tooling")
    found: dict[str, Json] = {name: f"{call.base}/{name}" for name in names}
    found["composite"] = f"{call.base}/composite"
    found["identity"] = (
        f"{call.request.base_url}/id/{call.org.id}/{call.session.user_id}"
    )
    return json_answer(found)


def _limits(call: Call) -> Answer:
    return json_answer(
        {name: {"Max": most, "Remaining": most} for name, most in _LIMITS.items()}
    )


# Resources of the platform that this org knows by name and does not have.
_KNOWN = frozenset(
    {"actions", "analytics", "async-queries", "chatter", "commerce", "composite"}
    | {"connect", "consent", "eclair", "event", "folders", "graphql", "jobs"}
    | {"knowledgeManagement", "licensing", "process", "quickActions", "recent"}
    | {"search", "parameterizedSearch", "smartdatadiscovery", "support", "tabs"}
    | {"theme", "tooling", "ui-api", "wave", "appMenu", "apexrest", "metadata"}
)
_ROUTES: Routes = MappingProxyType(
    {
        "": {"GET": _resources},
        "limits": {"GET": _limits},
        **rest_apps.ROUTES,
        **rest_deploy.ROUTES,
        **rest_query.ROUTES,
        **rest_records.ROUTES,
    }
)
ROUTE_PATTERNS = tuple(_ROUTES)
"""What follows the version in the paths that are served, as patterns."""
