"""How wide a terminal is, what fits in its lines, and whether it gets colours."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import TextIO

import click

# Narrower is not readable, and wider lines of prose are not either.
NARROWEST, WIDEST = 40, 80
# What stands between backticks is to be copied: it is not broken.
_COMMAND = re.compile(r"`[^`\n]+`")
_GLUE = "\x00"


def columns(stream: TextIO) -> int | None:
    """Return how many columns a stream's terminal has; None where it has none.

    COLUMNS says so too, where it is a number, of a pipe as well.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # closed, no file, or no terminal
        return None


def page_width() -> int:
    """Return how wide what goes to stdout may be: 40 to 80, and 80 in a pipe."""
    found = columns(sys.stdout)
    return WIDEST if found is None else _bounded(found)


def prose_width() -> int | None:
    """Return how wide what goes to stderr may be: 40 to 80.

    None in a pipe: there a sentence stays one line, which can be searched for.
    """
    found = columns(sys.stderr)
    return None if found is None else _bounded(found)


def _bounded(width: int) -> int:
    return min(max(width, NARROWEST), WIDEST)


def wrapped(
    text: str, width: int | None, *, indent: str = "", hang: str = "    "
) -> list[str]:
    """Return lines of at most `width`, but for words and commands that are longer.

    indent: before each line of the text; hang: before what goes on below it.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if width is None:
            lines.append(indent + line)
            continue
        found = textwrap.wrap(
            _COMMAND.sub(lambda m: m[0].replace(" ", _GLUE), line),
            width,
            initial_indent=indent,
            subsequent_indent=hang,
            break_on_hyphens=False,
            break_long_words=False,
        )
        lines += [one.replace(_GLUE, " ") for one in found] or [""]
    return lines


def laid(
    cells: Iterable[str], *, indent: str = "", hang: str = "    ", width: int = 0
) -> list[str]:
    """Return cells beside each other, and below where they do not fit; none is cut.

    cells: shown or styled already.

    width: the page's where it is 0.
    """
    width = width or page_width()
    lines: list[str] = []
    now = indent
    for cell in cells:
        gap = "" if now in (indent, hang) else "  "
        seen = len(click.unstyle(now + gap + cell.rstrip()))
        if gap and seen > width:
            lines.append(now.rstrip())
            now, gap = hang, ""
        now += gap + cell
    lines.append(now.rstrip())
    # What is styled is a name, or a word or two.
    return [
        told
        for line in lines
        for told in ([line] if _fits(line, width) else wrapped(line, width, hang=hang))
    ]


def _fits(line: str, width: int) -> bool:
    return "\x1b" in line or len(line) <= width


def colours(environment: Mapping[str, str]) -> bool | None:
    """Return whether there are to be colours; None: where there is a terminal.

    NO_COLOR counts first, and an empty one is none (no-color.org); FORCE_COLOR and
    CLICOLOR_FORCE count next, but for "0" (force-color.org, bixense.com/clicolors).
    """
    if environment.get("NO_COLOR"):
        return False
    forced = (environment.get(name) for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    if any(value not in (None, "", "0") for value in forced):
        return True
    return False if environment.get("TERM") == "dumb" else None
