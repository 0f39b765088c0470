"""Problems for code hosts: SARIF, GitHub's annotations, GitLab's code quality."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadeploy.model import Problem, Severity
from metadeploy.reports import github, gitlab, sarif
from metadeploy.reports.finding import findings
from metadeploy.reports.text import shown
from metadeploy.rules.suppression import Suppressed, Suppression

PATH = "templates/connectedApps/{{ item.name }}, Söhne: 100%.connectedApp.j2"
PROBLEMS = [
    Problem("orgs/dev.yaml", 0, "no org", "MD010"),
    Problem(PATH, 3, "no element x", "MD103", remedy="Correct it."),
    Problem(
        PATH, 9, "[here](https://evil.example)\n50% ::x", "MD701", Severity.WARNING
    ),
    Problem(PATH, 3, "no element x", "MD103", remedy="Correct it."),
]
QUIET = Suppressed(
    Problem(PATH, 4, "wide scope", "MD701", Severity.WARNING),
    Suppression("MD701", "the portal\u202eopens reports", PATH, 2),
)
FORMS = {
    "github.txt": lambda found: "\n".join(github.problems(found)),
    "gitlab.json": gitlab.code_quality,
    "sarif.json": lambda found: sarif.text(found, "1.2.3"),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_host_is_told(form, snapshot):
    found = findings(PROBLEMS, [QUIET], folder="salesforce")
    snapshot.assert_match(FORMS[form](found) + "\n", form)


def test_a_fingerprint_stays_while_lines_move_and_is_nobody_elses():
    def prints(problems):
        return [f.fingerprint for f in findings(problems, folder="")]

    before = prints(PROBLEMS)
    assert len(set(before)) == len(PROBLEMS)
    moved = [Problem(p.path, p.line + 7, p.message, p.rule) for p in PROBLEMS]
    assert prints(moved) == before


@pytest.mark.parametrize("form", FORMS)
def test_no_problem_is_a_report_too(form):
    said = FORMS[form](findings([], folder=""))
    if form == "sarif.json":
        assert json.loads(said)["runs"][0]["results"] == []
    else:
        assert said in ("", "[]")


def test_what_sarif_asks_for_is_there():
    """The required properties of the official schema, and those that GitHub needs."""
    log = json.loads(sarif.text(findings(PROBLEMS, [QUIET], folder=""), "1"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["fullDescription"]["text"]
        assert f"docs/rules.md#{rule['id'].lower()}" in rule["help"]["text"]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        (place,) = result["locations"]
        at = place["physicalLocation"]
        assert at["region"]["startLine"] >= 1
        assert re.fullmatch("[A-Za-z0-9/._%-]+", at["artifactLocation"]["uri"])
    (quiet,) = [r for r in run["results"] if "suppressions" in r]
    assert quiet["suppressions"][0]["kind"] == "inSource"


texts = st.text(st.sampled_from("ab%:,\r\n\u2028\x1b[](){}\"'\\<&") | st.characters())
paths = texts.filter(bool)


@given(st.lists(st.builds(Problem, paths, st.integers(0, 9), texts, st.just("MD101"))))
def test_no_text_breaks_out_of_its_annotation(problems):
    found = findings(problems, folder="")
    lines = list(github.problems(found))
    assert len("\n".join(lines).splitlines()) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        form = r"::error file=([^,:]*),line=[0-9]+,title=([^,:]*)::([^\r\n]*)"
        path, title, message = re.fullmatch(form, line).groups()
        assert title == "MD101 well-formed"
        for text, said in ((problem.path, path), (problem.message, message)):
            seen = said.replace("%3A", ":").replace("%2C", ",")
            assert seen.replace("%0A", "\n").replace("%25", "%") == shown(text)


@given(st.lists(st.builds(Problem, paths, st.integers(0, 9), texts, st.just("MD101"))))
def test_the_documents_are_read_as_they_were_meant(problems):
    found = findings(problems, folder="")
    rows = json.loads(gitlab.code_quality(found))
    assert len({row["fingerprint"] for row in rows}) == len(problems)
    results = json.loads(sarif.text(found, "1"))["runs"][0]["results"]
    assert len(results) == len(problems)
    assert not any("](" in result["message"]["text"] for result in results)
