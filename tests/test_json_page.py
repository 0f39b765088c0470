"""docs/reference/json.md, which is written from what commands print."""

from __future__ import annotations

import json_page
import pytest

from metadeploy import cli


@pytest.mark.timeout(300)
def test_the_page_is_what_commands_print():
    written = (json_page.REPOSITORY / json_page.PAGE).read_text("utf-8")
    assert written == json_page.text(), json_page.COMMAND


def test_every_command_is_asked_for_its_document():
    asked = {line.split()[0] for line in json_page.DRIVES.splitlines()}
    assert set(cli.COMMANDS) <= asked


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"text"}, "text"),
        ({"text", "null"}, "text or null"),
        ({"null"}, "text or null"),
        ({"list"}, "list"),
        ({"list", "of text"}, "list of text"),
        ({"list", "changes"}, "list [changes](#fields-of-changes)"),
    ],
)
def test_what_a_field_is(kinds, said):
    assert json_page._kinds(kinds) == said
