"""What a start does before the command line is read."""

from __future__ import annotations

import importlib.util

import pytest

from metadeploy.__main__ import command_of
from metadeploy.cli import COMMANDS
from metadeploy.late import LATE


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("", ""),
        ("--help", ""),
        ("validate --staged", "validate"),
        ("--debug -C validate deploy hooks", "deploy"),
        ("--project=hooks plan validate", "plan"),
        ("--project hooks hooks run pre-commit", "hooks"),
        ("-Cvalidate deploy dev", "deploy"),
        ("-C", ""),
    ],
)
def test_an_org_or_folder_is_no_command(words, command):
    assert command_of(words.split()) == command
    assert command in {"", *COMMANDS}


@pytest.mark.parametrize("name", sorted(LATE))
def test_what_is_to_wait_is_there(name):
    assert importlib.util.find_spec(name) is not None
