"""What a terminal gets: no orders from elsewhere, no wider lines, readable colours."""

from __future__ import annotations

import re

import click
import pytest
from apps import PORTAL, edit

from metadeploy.cli import terminal
from metadeploy.cli.output import COLOURS, error_text, shown, styled
from metadeploy.errors import ConfigError

# Orders, directions, what has no width, lines that are none, tags.
ODD = "\x1b\x9b\x07\x08\r\x7f\u202e\u2066\u200f\u061c"
ODD += "\u200b\u2060\ufeff\u2028\u2029\U000e0041"
# XML takes none of the first, and a name on disk may be anything.
IN_XML = "\x9b\u202e\u2066\u200b\u2028\ufeff"


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_what_a_terminal_obeys_is_replaced(odd):
    assert shown(f"a{odd}b") == "a\ufffdb"
    assert styled(f"a{odd}b", bold=True).replace("\x1b[1m", "").startswith("a\ufffdb")


def test_what_is_text_stays():
    assert shown("é ü → … 日本\tx\ny") == "é ü → … 日本\tx\ny"


def test_no_place_lets_one_through(runner, project):
    edit(project / PORTAL, "<label>", f"<label>{IN_XML}")
    (project / "orgs" / "e\x1b[2J\u202e.yaml").write_text(
        (project / "orgs" / "dev.yaml").read_text()
    )
    (project / "orgs" / "b\x1b[2Jd.yaml").write_text(f'kind: "x{IN_XML}"\n')
    ran = [
        runner("orgs"),
        runner("validate"),
        runner("plan", "*"),
        runner("plan", "n\x1b]0;x"),
        runner("render", "dev"),
        runner("deploy", "dev", "e*", "--auto-approve"),
        runner("verify", "dev", "e*"),
        runner("keys", "list", "dev", "e*"),
        runner("doctor", "e*"),
        runner("emulator", "reset", "e*"),
        runner("plan", "dev", "e*"),
    ]
    for one in ran:
        assert one.out + one.err
        assert not set(one.out + one.err) & set(ODD)
    assert any("\ufffd" in one.out for one in ran)


# What a page holds at each width that people have beside an editor.
PAGES = ["plan *", "orgs", "keys list", "runs list", "log uat", "doctor *"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(runner, project, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    runner("deploy", "dev", "uat", "--auto-approve")
    words = [p.split() for p in [*PAGES, "certs list", "plan uta", "verify dev"]]
    runner("certs", "create", "portal")
    said = [runner(*w) for w in words]
    progress = re.compile(r"(dev|uat|prod): ")  # goes to logs, and is not wrapped
    lines = [line for ran in said for line in (ran.out + ran.err).splitlines()]
    lines = [line for line in lines if not progress.match(line)]
    wide = [line for line in lines if len(line) > width]
    # One word is never broken: a key, an Id, a URL.
    assert [line for line in wide if len(line.split()) > 1] == []
    assert len(lines) > 100


@pytest.mark.parametrize("width", [40, 60])
def test_no_name_is_cut(runner, monkeypatch, width):
    wide = runner("plan", "dev").out.split()
    monkeypatch.setenv("COLUMNS", str(width))
    assert runner("plan", "dev").out.split() == wide


@pytest.mark.parametrize(
    "columns,page", [("", 80), ("x", 80), ("0", 80), ("7", 40), ("50", 50), ("300", 80)]
)
def test_how_wide_a_page_is(monkeypatch, capsys, columns, page):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.page_width() == page


def test_prose_in_a_pipe_stays_one_line(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    said = "word " * 40 + "end"
    assert error_text(ConfigError(said)).count("\n") == 0
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, click.unstyle(error_text(ConfigError(said))).split("\n"))) <= 50


def test_a_command_is_not_broken():
    told = terminal.wrapped("and then `metadeploy runs resume uat` goes on", 40)
    assert told == ["and then `metadeploy runs resume uat`", "    goes on"]
    assert terminal.wrapped("a\n\nb", 40) == ["a", "", "b"]


@pytest.mark.parametrize(
    "environment,wanted",
    [
        ({}, None),
        ({"NO_COLOR": ""}, None),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "0"}, None),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_who_gets_colours(environment, wanted):
    assert terminal.colours(environment) is wanted


def test_colours_are_read_on_white_and_on_black():
    def light(code):
        # The cube of 6 × 6 × 6 colours, as xterm defines it; WCAG 2's luminance.
        steps = [0, 95, 135, 175, 215, 255]
        rgb = [steps[(code - 16) // n % 6] / 255 for n in (36, 6, 1)]
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb
        ]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for code in COLOURS.values():
        assert 1.05 / (light(code) + 0.05) > 3.8
        assert (light(code) + 0.05) / 0.05 > 3.8


def test_colours_where_they_are_asked_for(runner, monkeypatch):
    assert "\x1b" not in runner("plan", "dev").out
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b" not in runner("plan", "dev").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[38;5;28m" in runner("plan", "dev").out
    assert "\x1b[38;5;160m" in runner("plan", "uta").err
