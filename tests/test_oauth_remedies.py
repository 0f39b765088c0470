"""The table of OAuth errors, and the page that is written from it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from metadeploy import oauth_errors
from metadeploy.oauth_errors import ERRORS, explain

ROOT = Path(__file__).parent.parent


def test_the_page_is_current():
    written = (ROOT / oauth_errors.PAGE).read_text("utf-8")
    assert written == oauth_errors.page()


def test_the_page_is_written_by_one_command(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "metadeploy.oauth_errors")
    runpy.run_module("metadeploy.oauth_errors", run_name="__main__")
    assert capsys.readouterr().out == oauth_errors.page()


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{e.code} {e.words}")
def test_each_row_is_found_and_says_what_to_do(error):
    assert explain(error.code, error.words) is error
    assert error.cause.endswith(".") and error.remedy.endswith(".")


def test_no_row_is_given_twice():
    assert len({(e.code, e.words) for e in ERRORS}) == len(ERRORS)


@pytest.mark.parametrize(
    ("code", "words", "row"),
    [
        ("INVALID_GRANT", "User hasn't approved this consumer.", 0),
        ("invalid_app_access", "user is not admin approved to access this app", 1),
    ],
)
def test_words_are_compared_as_people_report_them(code, words, row):
    assert explain(code, words) is ERRORS[row]
    assert oauth_errors.is_lack_of_access(code, words)


def test_the_exact_row_wins_over_the_code_alone():
    general = explain("invalid_request", "missing required parameter: code")
    assert general is not None and general.words == ""
    exact = explain("invalid_request", "device flow is not enabled")
    assert exact is not None and "device flow" in exact.cause


def test_what_nobody_heard_of_has_no_row():
    assert explain("invalid_grant", "the moon is in the wrong house") is None
    assert explain("", "") is None
