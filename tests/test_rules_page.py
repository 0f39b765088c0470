"""The registry of rules, and the page that is written from it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from metadeploy.rules import RULES, page
from metadeploy.rules.registry import GROUPS

ROOT = Path(__file__).parent.parent


def test_the_page_is_current() -> None:
    written = (ROOT / page.PAGE).read_text("utf-8")
    assert written == page.text(), "python -m metadeploy.rules > docs/rules.md"


def test_the_page_is_written_by_one_command(capsys) -> None:
    runpy.run_module("metadeploy.rules", run_name="__main__")
    assert capsys.readouterr().out == page.text()


def test_every_rule_has_a_section_under_its_anchor() -> None:
    heads = re.findall(r"(?m)^### (.*)$", page.text())
    assert heads == list(RULES)
    assert page.anchor("MD101") == "docs/rules.md#md101"


def test_every_rule_that_the_code_names_is_registered() -> None:
    named = {
        rule
        for path in (ROOT / "metadeploy").rglob("*.py")
        if path.parent.name != "emulator"
        for rule in re.findall(r'"(MD\d{3})"', path.read_text("utf-8"))
    }
    assert named == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_says_why_and_what_to_do(rule) -> None:
    assert re.fullmatch(r"MD\d{3}", rule.id)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
    assert rule.why.endswith(".") and rule.remedy.endswith(".") and rule.source


def test_no_id_and_no_name_is_given_twice() -> None:
    rules = [rule for group in GROUPS.values() for rule in group]
    assert len({r.id for r in rules}) == len({r.name for r in rules}) == len(rules)
