"""What a CI runner would obey in our output: made harmless, but for what we mean.

GitHub obeys a line that begins with `::name::`, white space apart, and `##[name]`
anywhere in one (actions/runner, ActionCommand.cs); Azure Pipelines obeys `##vso[…]`,
TeamCity `##teamcity[…]`. GitLab's sections need an escape and a carriage return, which
nobody's text keeps (see `shown`). A space, which everybody sees, makes it text.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TextIO

_START = re.compile(r"(?:(?<=[\r\n])|\A)((?:[^\S\r\n]|\x1b\[[0-9;]*m)*:)(?=:)")
_ANYWHERE = re.compile(r"##(?=[\w\[])")


def guard() -> None:
    """Have stdout and stderr say nothing that a runner obeys."""
    sys.stdout = _guarded(sys.stdout)
    sys.stderr = _guarded(sys.stderr)


def _guarded(stream: TextIO) -> TextIO:
    return Harmless(stream) if isinstance(stream, io.TextIOWrapper) else stream


def harmless(text: str) -> str:
    """Return whole lines with a space in what a runner would obey."""
    return _ANYWHERE.sub("## ", _START.sub(r"\1 ", text))


class Harmless(io.TextIOWrapper):
    """A stream whose lines no runner obeys, in however many pieces they come."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        # What is ASCII, click would write to by a stream of its own.
        ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        super().__init__(
            stream.buffer,
            encoding="utf-8" if ascii_only else stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
        )
        self._line = ""  # as it came, of the line that is not ended yet

    def write(self, text: str) -> int:
        """Write what is harmless of a text."""
        whole = self._line + text
        super().write(harmless(whole)[len(harmless(self._line)) :])
        self._line = re.split(r"[\r\n]", whole)[-1]
        return len(text)

    def command(self, line: str) -> None:
        """Write a line that is to be obeyed."""
        before = "\n" if self._line else ""
        self._line = ""
        super().write(f"{before}{line}\n")
