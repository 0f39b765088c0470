"""The emulator's own endpoint, for whoever may read the world's files: faults.

    GET    /emulator/faults          what may still strike, and how often each did
    POST   /emulator/faults          program one: a JSON object, see `Injection`
    DELETE /emulator/faults[/ID]     forget one, or all
    GET    /emulator/faults/kinds    what can go wrong

Every request carries `Authorization: Bearer` and the admin token.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import asdict
from pathlib import Path

from metadeploy.emulator.injection import KINDS, Injection, Injections
from metadeploy.emulator.private_file import create_private
from metadeploy.emulator.wire import Answer, Json, Request, json_answer


def admin_token(directory: Path) -> str:
    """Return the world's admin token, made at first use and kept in `admin-token`.

    The file is readable by its owner only; all servers of a world share it.
    """
    path = directory / "admin-token"
    if not path.exists():
        create_private(path, secrets.token_urlsafe(24).encode())
    return path.read_text("ascii")


def handle(injections: Injections, token: str, request: Request) -> Answer:
    """Answer a request below /emulator/."""
    if not hmac.compare_digest(request.bearer.encode(), token.encode()):
        return _refusal("the admin token is missing or wrong", 401)
    path = request.path.rstrip("/")
    match request.method, path:
        case "GET", "/emulator/faults/kinds":
            kinds: Json = {
                kind: {"point": point.value, "what": what}
                for kind, (point, what) in KINDS.items()
            }
            return json_answer(kinds)
        case "GET", "/emulator/faults":
            programmed = injections.programmed()
            return json_answer([_described(injections, i) for i in programmed])
        case "POST", "/emulator/faults":
            return _program(injections, request)
        case "DELETE", _ if path.startswith("/emulator/faults"):
            key = path.removeprefix("/emulator/faults").strip("/")
            found = injections.clear(key)
            return Answer(204 if found or not key else 404, "text/plain", b"")
    return _refusal(f"no such resource: {request.method} {request.path}", 404)


def _program(injections: Injections, request: Request) -> Answer:
    try:
        found = json.loads(request.body)
        if not isinstance(found, dict):
            raise ValueError("a fault is a JSON object")
        injection = Injection.of(found)
    except (ValueError, RecursionError) as error:
        return _refusal(str(error), 400)
    key = injections.add(injection)
    return json_answer({"id": key}, 201)


def _described(injections: Injections, injection: Injection) -> Json:
    values: dict[str, Json] = {**asdict(injection), "point": injection.point.value}
    values["fired"] = injections.fired(injection.id)
    return values


def _refusal(text: str, status: int) -> Answer:
    return json_answer({"error": text}, status)
