"""No text of an org or a template gives orders to a CI runner."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from apps import PORTAL, edit

from metadeploy.cli.obeyed import Harmless

COMMANDS = "add-mask add-matcher add-path debug echo endgroup error group notice"
COMMANDS += " save-state set-env set-output stop-commands warning"


def obeyed(line):
    """What GitHub's runner takes a line for, as its ActionCommand.cs does."""
    text = line.lstrip()
    if text.startswith("::") and (end := text.find("::", 2)) >= 0:
        name = text[2:end].partition(" ")[0]
        if name.lower() in COMMANDS.split():
            return name
    if (start := line.find("##[")) >= 0 and (end := line.find("]", start)) >= 0:
        name = line[start + 3 : end].partition(" ")[0]
        if name.lower() in COMMANDS.split():
            return name
    return "vso" if "##vso[" in line or "##teamcity[" in line else None


def orders(text):
    return [found for line in re.split(r"[\r\n]", text) if (found := obeyed(line))]


HOSTILE = [
    "::error::x",
    "::stop-commands::x",
    " \t\u00a0\u3000::add-mask::x",
    "a\n::set-output name=x::y",
    "a\r::warning file=x::y",
    "a ##[add-path]/tmp",
    "##[##[error]x",
    "###[error]x",
    "##vso[task.setvariable]x",
    "##teamcity[x]",
    ":::error::x\n::error::y",
    "\x1b[1m::error::x",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_no_text_is_an_order_in_whatever_pieces(text, size):
    raw = io.BytesIO()
    under = io.TextIOWrapper(raw, "utf-8", newline="")
    stream = Harmless(under)
    for start in range(0, len(text), size):
        stream.write(text[start : start + size])
        stream.flush()
    said = raw.getvalue().decode()
    assert orders(said) == []
    assert said.replace(" ", "") == text.replace(" ", "")


def test_what_nobody_obeys_stays_as_it_is():
    raw = io.BytesIO()
    under = io.TextIOWrapper(raw, "ascii")
    stream = Harmless(under)
    text = "a::b::c\n## Title\nC#[]\n# [x]\n:one: é\n"
    stream.write(text)
    stream.write("half a line")
    stream.command("::notice::ours")
    stream.write("::error::theirs\n")
    stream.flush()
    after = "half a line\n::notice::ours\n: :error::theirs\n"
    assert raw.getvalue().decode() == text + after


def ran(project, *words, **more):
    environment = {**os.environ, "GITHUB_ACTIONS": "true", **more}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    return subprocess.run(
        [sys.executable, "-m", "metadeploy", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )


TEXT = "API\n::stop-commands::x\n ::error file=a::x ##[add-mask]e ##[set-env name=A]b"


def test_no_text_is_an_order_in_any_output(project):
    edit(project / PORTAL, "<description>Company", f"<description>{TEXT}")
    (project / "orgs" / "n\n::error::x.yaml").write_text("kind: emulated\n")
    (project / "orgs" / "bad.yaml").write_text('kind: "::error::x\\n::error::y"\n')
    done = [
        ran(project, *words.split(), *more)
        for words, *more in [
            ("orgs",),
            ("validate",),
            ("validate --json",),
            ("validate --format sarif",),
            ("validate --format gitlab",),
            ("plan dev",),
            ("plan dev --json",),
            ("plan", "x\n::error::y"),
            ("render dev",),
            ("deploy dev --auto-approve",),
            ("doctor dev bad",),
        ]
    ]
    for one in done:
        assert orders(one.stdout) == [] == orders(one.stderr), one.args
    assert any(": :stop-commands::x" in one.stdout for one in done)
    plan = json.loads(done[6].stdout)
    assert any(
        str(f["wanted"]).startswith(TEXT)
        for c in plan["orgs"][0]["changes"]
        for f in c.get("fields", ())
    )


def test_what_an_org_answers_is_no_order(project):
    """The emulated org repeats names in what it refuses, as the real one does."""
    name = "x\n::error::owned ##[error]owned\n::add-mask::a"
    edit(
        project / PORTAL,
        "<label>",
        f"<permissionSetName>{name}</permissionSetName>\n<label>",
    )
    done = ran(project, "deploy", "dev", "--auto-approve")
    assert done.returncode == 1 and "owned" in done.stderr
    assert orders(done.stdout) == [] == orders(done.stderr)


def test_our_own_annotations_are_orders(project):
    edit(project / PORTAL, "<label>", "<nope/>\n<label>")
    done = ran(project, "validate", "--format", "github")
    assert set(orders(done.stdout)) == {"error"}
    done = ran(project, "plan", "dev", "--report", "github")
    assert orders(done.stderr)[0] == "error"
    assert orders(done.stdout) == []
