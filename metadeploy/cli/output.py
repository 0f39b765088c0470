"""What commands print: one JSON document on stdout, or text for a person."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import click

from metadeploy.errors import InvalidMetadata, MetadeployError, PlanRefused
from metadeploy.model import Problem, secret_texts
from metadeploy.reports.text import shown as shown
from metadeploy.rules import page

Json: TypeAlias = (
    "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
)
Document: TypeAlias = "Mapping[str, Json]"

SCHEMA_VERSION = 1


def write_json(document: Document) -> None:
    """Print the one JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def document(command: str, body: Document) -> Document:
    """Return a command's document: version and command first."""
    return {"schemaVersion": SCHEMA_VERSION, "command": command, **body}


def error_document(
    command: str, message: str, code: int, *, name: str = "UsageError"
) -> Document:
    """Return the document of a command that could not even begin."""
    said: Document = {
        "name": name,
        "message": message,
        "hint": "",
        "exitCode": code,
    }
    return document(command, {"error": said})


def failure(command: str, error: MetadeployError, code: int) -> Document:
    """Return the document of a command that failed as a whole."""
    return document(command, {"error": {**error_json(error), "exitCode": code}})


def error_json(error: MetadeployError) -> dict[str, Json]:
    """Return an error as data: its name, words, and what it carries."""
    found: dict[str, Json] = {
        "name": type(error).__name__,
        "message": masked(error.message),
        "hint": masked(error.hint),
    }
    if isinstance(error, InvalidMetadata):
        found["problems"] = [problem_json(p) for p in error.problems]
    if isinstance(error, PlanRefused):
        found["refusals"] = list(error.refusals)
    return found


def problem_json(problem: Problem) -> dict[str, Json]:
    """Return a problem as data."""
    return {
        "path": problem.path,
        "line": problem.line,
        "severity": str(problem.severity),
        "rule": problem.rule,
        "message": problem.message,
        "remedy": problem.remedy,
        "docs": page.anchor(problem.rule),
    }


def error_text(error: MetadeployError) -> str:
    """Return an error for a person: what happened, then what to do."""
    hint = f"\n{styled(shown(masked(error.hint)), dim=True)}" if error.hint else ""
    message = shown(masked(error.message))
    return f"{styled('Error:', fg='red', bold=True)} {message}{hint}"


def masked(text: str) -> str:
    """Return text without secrets: an org may say again what it was sent."""
    from metadeploy.redact import redact  # a command that goes well needs none of it

    return redact(text, secret_texts())


def styled(
    text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False
) -> str:
    """Return text in colour, safe for a terminal.

    `click.echo` takes the colour out where there is no terminal.
    """
    text = shown(text)
    if os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=fg, bold=bold or None, dim=dim or None)
