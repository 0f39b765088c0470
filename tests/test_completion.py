"""Completion, in the shells that are there: what is offered, and that nothing runs."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apps import git

from metadeploy import cli
from metadeploy.cli.completion import SHELLS

BIN = Path(sys.executable).parent
HOSTILE = [
    "we$(touch pwned)rd",
    "back`touch pwned`",
    "semi;touch pwned",
    "st*r",
    "my org",
    "it's",
    'a"b',
    "e\\scape",
    "~home",
    "com,ma",
    "a:b",
    "x=y",
    "日本",
]
# No shell can be given these as one line each.
UNTOLD = ["new\nline", "esc\x1b[2J", "tab\tbed", "bidi\u202e"]


@pytest.fixture
def hostile(project):
    for name in [*HOSTILE, *UNTOLD]:
        (project / "orgs" / f"{name}.yaml").write_text(
            "kind: emulated\ntags:\n  - 't $(touch pwned)'  # odd\n  - plain\n"
        )
    return project


def asked(project, typed, shell="fish", **more):
    """What a shell is told when a line is typed and Tab pressed: value → its type."""
    environment = {**os.environ, "COMP_WORDS": typed, **more}
    environment[cli.COMPLETE] = f"{shell}_complete"
    done = subprocess.run(
        [sys.executable, "-m", "metadeploy"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    rows = [line.partition(",") for line in done.stdout.splitlines() if line]
    return {value.partition("\t")[0]: kind for kind, _, value in rows}


@pytest.mark.parametrize(
    "typed,found",
    [
        ("plan ", ["dev", "prod", "uat"]),
        ("plan dev u", ["uat"]),
        ("plan t", ["tag:"]),
        ("plan tag:", ["tag:playground", "tag:uat"]),
        ("-C . plan p", ["prod"]),
        ("validate --org d", ["dev"]),
        ("validate --policy ", ["isv"]),
        ("validate --policy=i", ["--policy=isv"]),
        ("keys export dev --app ", ["Portal"]),
        ("diff d", ["dev.."]),
        ("diff dev..", ["dev..prod", "dev..uat"]),
        ("plan --since ma", ["main"]),
        ("plan --since v", ["v1"]),
        ("deploy --remote ", ["origin"]),
        ("plan --report m", ["markdown="]),
        ("runs re", ["resume"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("plan --detailed", ["--detailed-exitcode"]),
        ("no-such d", []),
        ("plan 'de", ["dev"]),
    ],
)
def test_what_is_offered(project, typed, found):
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-qm", "x")
    git(project, "tag", "v1")
    git(project, "remote", "add", "origin", "https://git.example/x")
    assert list(asked(project, f"metadeploy {typed}")) == found


def test_files_are_the_shell_s_own(project):
    assert list(asked(project, "metadeploy validate ").values()) == ["file"]
    assert list(asked(project, "metadeploy -C ").values()) == ["dir"]


def test_runs_are_offered_the_newest_first(runner, project):
    for org in ("dev", "uat"):
        runner("deploy", org, "--auto-approve")
    newest, oldest = (r["runId"] for r in runner("runs", "list", "--json").json["runs"])
    assert list(asked(project, "metadeploy runs show ")) == [newest, oldest]
    assert list(asked(project, f"metadeploy runs show {newest[:9]}")) == [newest]
    assert list(asked(project, "metadeploy rollback dev ")) == [oldest]
    # Of apps that a list in the values makes, templates do not tell the names.
    export = "metadeploy keys export dev --app "
    assert list(asked(project, export)) == ["Billing", "Ledger", "Portal"]
    # Of a line that lacks an option's value, click tells no arguments.
    assert list(asked(project, "metadeploy runs resume uat -i ")) == [newest, oldest]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_broken_project_offers_what_it_can(tmp_path, shell):
    (tmp_path / "orgs").mkdir()
    (tmp_path / ".metadeploy").mkdir()
    assert asked(tmp_path, "metadeploy plan ", shell) == {}
    (tmp_path / "orgs" / "bad.yaml").write_bytes(b"tags: [\xff, a\x00]\n: :\n- [")
    (tmp_path / "orgs" / "link.yaml").symlink_to("/etc/passwd")
    (tmp_path / ".metadeploy" / "journal.sqlite3").write_bytes(b"no journal at all")
    for typed in (
        "plan tag:",
        "runs show ",
        "plan --since ",
        "adopt --app ",
        '"',
        "\\",
    ):
        asked(tmp_path, f"metadeploy {typed}", shell)
    assert list(asked(tmp_path, "metadeploy plan ")) == ["bad"]
    assert asked(tmp_path, "metadeploy plan ", "powershell") == {}


def test_what_no_line_can_hold_is_left_out(hostile):
    found = asked(hostile, "metadeploy plan ")
    assert set(HOSTILE) <= set(found) and not set(UNTOLD) & set(found)


def test_commands_are_known_without_what_they_use():
    """Every command has the same options there as where it runs."""
    program = (
        "import json, sys; from metadeploy import cli; {}"
        "from command_tree import described;"
        "print(json.dumps(list(described(cli.metadeploy))));"
        "print([m for m in ('zeep', 'requests', 'jinja2', 'ruamel', 'lxml')"
        " if m in sys.modules])"
    )
    hollow = "from metadeploy.cli.completion import _Hollow;"
    hollow += "sys.meta_path.insert(0, _Hollow());"
    said = [
        subprocess.run(
            [sys.executable, "-c", program.format(before)],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for before in ("", hollow)
    ]
    assert said[0][0] == said[1][0]
    assert said[1][1] == "[]" != said[0][1]


# -- in real shells

START = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(metadeploy completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit; compinit -u; eval "$(metadeploy completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "metadeploy completion fish | source"),
}


class Terminal:
    """A shell at a terminal: keys go in, what is seen comes out."""

    def __init__(self, shell, folder):
        command, setup = START[shell]
        self.seen = b""
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            path = f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}"
            os.environ.update(PATH=path, TERM="xterm", HOME=str(folder))
            os.execvp(command[0], command)
        self._pid = pid
        self.type(f"{setup}; echo rea''dy\n")
        self.until("ready")

    def type(self, keys):
        os.write(self._terminal, keys.encode())

    def until(self, words, seconds=30):
        """Read until something is seen; fish asks what terminal it is."""
        end = time.monotonic() + seconds
        while words not in self.text and time.monotonic() < end:
            if select.select([self._terminal], [], [], 0.1)[0]:
                data = os.read(self._terminal, 65536)
                self.seen += data
                if b"\x1b[c" in data:
                    os.write(self._terminal, b"\x1b[?62c")
        assert words in self.text, self.text

    @property
    def text(self):
        seen = self.seen.decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)

    def close(self):
        os.kill(self._pid, 9)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize("shell", START)
def test_what_was_completed_is_one_word_and_runs_nothing(hostile, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    # What the command gets in the end, written down as it is.
    tell = hostile / "bin" / "metadeploy"
    tell.parent.mkdir()
    tell.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"if {cli.COMPLETE!r} in os.environ or 'completion' in sys.argv:\n"
        f"    from metadeploy.cli import main; main()\n"
        "print('got', json.dumps(sys.argv[1:], ensure_ascii=False), 'end')\n"
    )
    tell.chmod(0o755)
    terminal = Terminal(shell, hostile)
    try:
        for name in HOSTILE:
            first = {"~home": "\\~h", "st*r": "st"}.get(name, name[:2])
            first = {"it's": "it", 'a"b': 'a\\"', "e\\scape": "e"}.get(name, first)
            wanted = f"got {json.dumps(['plan', name], ensure_ascii=False)} end"
            terminal.seen = b""
            terminal.type(f"metadeploy plan {first}\t\n")
            terminal.until(wanted)
    finally:
        terminal.close()
    assert not (hostile / "pwned").exists()
