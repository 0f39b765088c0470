"""Pages of docs/ that show a terminal: their commands, run, and what they print.

`python tests/pages.py [PAGE…]` runs them and writes what is printed now into the pages,
where it is not what they show.

A page is Markdown. What counts in it:

- A console block: lines after `$ ` are commands (`> ` goes on), the others what
  they print. A line of `…` alone stands for any lines. A command has to end with 0, or
  `echo $?` has to be the next one.
- `<!-- file: PATH -->` before a block: the block is that file from there on.
- `<!-- run: COMMAND -->`: done, and not shown.

All commands of a page run in one bash, in an empty folder that is the home of nobody.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
# Of these, each command is run and what it prints compared.
SHOWN = (DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md")))
ANY = "…"

_FENCE = re.compile(r"^```(\w*)$")
_NOTE = re.compile(r"^<!-- (file|run): (.*) -->$")

# What is another one each time. The first that fits counts.
RULES: tuple[tuple[str, str], ...] = (
    (r"\b(?:00D|005|0Af|0PS|0H4|888)[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?\b", "<id>"),
    (r"![A-Z]+\.[A-Za-z0-9._-]+", "!<token>"),
    (r"\bMII[A-Za-z0-9+/]+", "<certificate>"),
    (r"\b[A-Za-z0-9]{64,}={0,2}(?!\w)", "<key>"),
    (r"\(1,\d{3} characters\)", "(<number> characters)"),
    (r"\b\d+ days\b", "<duration>"),
    (r"\b[0-9a-f]{7,64}\b", "<digest>"),
    (
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?)?",
        "<time>",
    ),
    (r"\b\d+(?:\.\d+)? (?:ms|s|seconds?|minutes?)\b", "<duration>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, and its lines, the first of which is number `at`."""

    language: str
    at: int
    lines: tuple[str, ...]
    file: str = ""

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True)
class Step:
    """A command and the lines that the page shows of it, from line `at` to `end`."""

    command: str
    shown: tuple[str, ...] = ()
    at: int = 0
    end: int = 0


def blocks(text: str) -> Iterator[Block | Step]:
    """Yield the fenced blocks of a page and, as Steps, what is run unseen."""
    lines = text.split("\n")
    number, file = 0, ""
    while number < len(lines):
        line = lines[number]
        number += 1
        if note := _NOTE.match(line):
            if note[1] == "run":
                yield Step(note[2])
            else:
                file = note[2]
        elif fence := _FENCE.match(line):
            end = lines.index("```", number)
            yield Block(fence[1], number, tuple(lines[number:end]), file)
            number, file = end + 1, ""


def steps(block: Block) -> list[Step]:
    """Return the commands of a console block, each with what is shown of it."""
    found: list[Step] = []
    for number, line in enumerate(block.lines, block.at):
        if line.startswith("$ "):
            found.append(Step(line[2:], (), number + 1, number + 1))
            continue
        assert found, f"a console block begins with a command, not {line!r}"
        last = found.pop()
        if line.startswith("> ") and not last.shown:
            said = f"{last.command}\n{line[2:]}"
            found.append(Step(said, (), number + 1, number + 1))
        else:
            found.append(Step(last.command, (*last.shown, line), last.at, number + 1))
    return found


def commands(text: str) -> Iterator[str]:
    """Yield what a page's console and sh blocks tell to do, comments left out."""
    for block in blocks(text):
        if isinstance(block, Step):
            continue
        lines = [
            line.removeprefix("$ ")
            for line in "\n".join(block.lines).replace("\\\n", " ").split("\n")
            if block.language == "sh" or line.startswith("$ ")
        ]
        if block.language in ("console", "sh"):
            yield from filter(None, (re.split(r"\s+#|^#", n)[0].strip() for n in lines))


def normal(line: str) -> str:
    """Return a line with what differs each time named only."""
    for pattern, name in RULES:
        line = re.sub(pattern, name, line)
    return re.sub(r"  +", "  ", line).rstrip()


def fits(shown: tuple[str, ...], printed: tuple[str, ...]) -> bool:
    """Tell whether a page shows what was printed."""
    told = _joined(shown).split(f"\n{ANY}\n")
    pattern = r"\n(?:.*\n)*?".join(map(re.escape, told))
    return re.fullmatch(pattern, _joined(printed)) is not None


def _joined(lines: tuple[str, ...]) -> str:
    return "\n" + "\n".join(map(normal, lines)).strip("\n") + "\n"


def shortened(shown: tuple[str, ...], printed: tuple[str, ...]) -> tuple[str, ...]:
    """Return what was printed, left out where the page leaves it out.

    That is as far as the line that the page shows next, or else as many lines.
    """
    if shown.count(ANY) != 1 or len(printed) < len(shown):
        return printed
    head = shown.index(ANY)
    after = shown[head + 1 :]
    start = len(printed) - len(after)
    blank = next((n for n, line in enumerate(after) if line.strip()), 0)
    for number in range(head, len(printed)):
        if after and normal(printed[number]) == normal(after[blank]):
            start = number - blank
            break
    return (*printed[:head], ANY, *printed[start:])


class Terminal:
    """A bash of its own, 80 columns wide, in an empty home. A context manager."""

    def __init__(self, home: Path) -> None:
        own = {"PATH", "LANG", "TMPDIR"}
        clean = {n: v for n, v in os.environ.items() if n in own}
        binaries = Path(sys.executable).parent
        self._home = home
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=home,
            env={
                "LANG": "C.UTF-8",
                **clean,
                "PATH": f"{binaries}:{clean['PATH']}",
                "HOME": str(home),
                "LOGNAME": "you",
                "COLUMNS": "80",
                "GIT_AUTHOR_NAME": "You",
                "GIT_AUTHOR_EMAIL": "you@acme.example",
                "GIT_COMMITTER_NAME": "You",
                "GIT_COMMITTER_EMAIL": "you@acme.example",
                "GIT_CONFIG_SYSTEM": "/dev/null",
                "PYTHONWARNINGS": "ignore",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._code = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Servers that were started with & are of the same session.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def type(self, command: str) -> tuple[tuple[str, ...], int]:
        """Run a command; return the lines that it printed and its exit code."""
        out, into = self._process.stdout, self._process.stdin
        assert out is not None and into is not None
        mark = "--- that was it:"
        into.write(
            f"(exit {self._code})\n{{ {command}\n}} </dev/null\n"
            f"printf '\\n%s %s\\n' '{mark}' $?\n"
        )
        into.flush()
        lines: list[str] = []
        for line in out:
            if line.startswith(mark):
                self._code = int(line.removeprefix(mark))
                break
            lines.append(line.rstrip().replace(str(self._home), "/home/you"))
        else:
            raise AssertionError(f"bash has gone after {command!r}: {lines}")
        while lines and not lines[-1]:
            lines.pop()
        return tuple(lines), self._code

    def write(self, path: str, text: str) -> None:
        """Write a file below the folder that bash is in."""
        (folder,), _ = self.type("pwd")
        place = Path(folder.replace("/home/you", str(self._home))) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")


def played(text: str, home: Path) -> Iterator[tuple[Step, tuple[str, ...]]]:
    """Yield each command that a page shows, and what it prints now."""
    with Terminal(home) as terminal:
        for block in blocks(text):
            if isinstance(block, Step):
                printed, code = terminal.type(block.command)
                assert code == 0, (block.command, printed)
            elif block.file:
                terminal.write(block.file, block.text)
            elif block.language == "console":
                listed = steps(block)
                after = [s.command for s in listed[1:]] + [""]
                for step, following in zip(listed, after, strict=True):
                    printed, code = terminal.type(step.command)
                    told = following.startswith("echo $?")
                    assert code == 0 or told, (step.command, code, printed)
                    yield step, printed


def refresh(path: Path) -> bool:
    """Write what a page's commands print now into it; tell whether that changed it.

    All of them or none, so that an id is the same wherever a page shows it.
    """
    text = path.read_text("utf-8")
    with tempfile.TemporaryDirectory() as home:
        found = list(played(text, Path(home)))
    if all(fits(step.shown, printed) for step, printed in found):
        return False
    lines = text.split("\n")
    for step, printed in reversed(found):
        lines[step.at : step.end] = shortened(step.shown, printed)
    path.write_text("\n".join(lines), "utf-8")
    return True


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:] or SHOWN):
        print(page, "changed" if refresh(page) else "is as it was", flush=True)
