"""One REST call that may be answered: who asks, in which org, for what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from metadeploy.emulator.faults import Fault
from metadeploy.emulator.state import OrgState, Plain, Session, World
from metadeploy.emulator.wire import Answer, Json, Request

NO_RESOURCE = "The requested resource does not exist"


class Call(Struct, frozen=True):
    """A request with a session that lives.

    version: as the path says, "66.0". args: what the route's pattern found, in order.
    """

    world: World
    session: Session
    request: Request
    version: str
    args: tuple[str, ...] = ()

    @property
    def org(self) -> OrgState:
        return self.session.org

    @property
    def base(self) -> str:
        """Where this version's resources begin, without a slash at the end."""
        return f"/services/data/v{self.version}"

    def json(self) -> Json:
        """Return the body as JSON. Raises Fault JSON_PARSER_ERROR."""
        try:
            found: Json = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise Fault(
                "JSON_PARSER_ERROR", f"The body is not JSON: {error}"
            ) from error
        return found

    def json_object(self) -> Mapping[str, Json]:
        """Return the body as a JSON object. Raises Fault JSON_PARSER_ERROR."""
        found = self.json()
        if not isinstance(found, dict):
            raise Fault("JSON_PARSER_ERROR", "The body is not a JSON object")
        return found


Handler: TypeAlias = "Callable[[Call], Answer]"
Routes: TypeAlias = "Mapping[str, Mapping[str, Handler]]"
"""For each pattern of a path below the version: what serves each method."""


def no_resource() -> Fault:
    """Return the 404 of a path that leads nowhere."""
    return Fault("NOT_FOUND", NO_RESOURCE)


def record_values(found: Mapping[str, Json]) -> dict[str, Plain]:
    """Return a JSON object's fields, without `attributes`. Raises Fault."""
    values: dict[str, Plain] = {}
    for name, value in found.items():
        if name == "attributes":
            continue
        if isinstance(value, float):
            value = str(value)
        if value is not None and not isinstance(value, (str, bool, int)):
            raise Fault(
                "JSON_PARSER_ERROR",
                f"Cannot deserialize instance of string from the value of {name}",
            )
        values[name] = value
    return values


def rest_value(value: object, field_type: str) -> Json:
    """Return a record's value as REST writes it: times with +0000."""
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise TypeError(type(value))
    if field_type == "datetime" and isinstance(value, str) and value.endswith("Z"):
        return value[:-1] + "+0000"
    return value
