"""What commands print: one JSON document on stdout, or text for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import click

from metadeploy.cli.terminal import prose_width, wrapped
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
    text = json.dumps(document, indent=2, ensure_ascii=False)
    sys.stdout.write(unobeyed_json(text) + "\n")


def unobeyed_json(text: str) -> str:
    """Return JSON that means the same, without what CI runners obey in any line."""
    return text.replace("##", "#\\u0023")


def annotate(line: str, *, err: bool = False) -> None:
    """Print a line that a CI runner is to obey."""
    stream = sys.stderr if err else sys.stdout
    command = getattr(stream, "command", None)  # where others' texts are not obeyed
    if command is None:
        stream.write(f"{line}\n")
    else:
        command(line)


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


def error_text(error: MetadeployError, *, org: str = "") -> str:
    """Return an error for a person: what happened, then what to do.

    org: named first, where it is about one of several. It fits into the lines of
    stderr, where the org's own words may come on lines of their own.
    """
    width = prose_width()
    before = f"{shown(org)}  " if org else ""
    told = f"{before}Error: {shown(masked(error.message))}"
    lines = wrapped(told, width)
    plain = f"{before}Error:"
    if lines[0].startswith(plain):  # else the name alone fills the line
        name = styled(before[:-2], bold=True) + before[-2:]
        mark = f"{name}{styled('Error:', fg='red', bold=True)}"
        lines[0] = mark + lines[0].removeprefix(plain)
    if error.hint:
        lines += wrapped(shown(masked(error.hint)), width)
    return "\n".join(lines)


def masked(text: str) -> str:
    """Return text without secrets: an org may say again what it was sent."""
    from metadeploy.redact import redact  # a command that goes well needs none of it

    return redact(text, secret_texts())


# Of the 256 that no theme changes, those that are read on white and on black alike:
# a test measures their contrast. What is named by one is told by words or signs too.
COLOURS = {"red": 160, "orange": 130, "green": 28}


def styled(text: str, *, fg: str | None = None, bold: bool = False) -> str:
    """Return text in colour, safe for a terminal.

    `click.echo` takes the colour out where there is to be none.
    """
    colour = None if fg is None else COLOURS[fg]
    return click.style(shown(text), fg=colour, bold=bold or None)
