"""No text from elsewhere gives orders to a terminal, or hides what is there."""

from __future__ import annotations

import pytest
from apps import PORTAL, edit

from metadeploy.cli.output import shown, styled

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
