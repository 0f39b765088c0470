"""Suppressions: what may be kept quiet, by whom, and what of it is a problem."""

from __future__ import annotations

import datetime as dt

import pytest

from metadeploy.model import Problem, Severity
from metadeploy.project import Project
from metadeploy.rules.suppression import Suppression

TEMPLATE = "templates/connectedApps/Portal.connectedApp.j2"
OTHER = "templates/connectedApps/Other.connectedApp.j2"
MACRO = "templates/macros/m.j2"
ORG = "kind: emulated\n"
APP = """\
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>a@example.com</contactEmail>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>https://a.example.com/cb</callbackUrl>
        <scopes>Web</scopes>
    </oauthConfig>
</ConnectedApp>
"""
WEB = f"{TEMPLATE}:7 MD701"
OPEN = f"{TEMPLATE}:5 MD702"


def lines(problems) -> list[str]:
    return [f"{p.path}:{p.line} {p.rule}" for p in problems]


def examine(template=APP, org=ORG, names=("uat",), policies=(), **texts):
    texts = {"orgs/uat.yaml": org, TEMPLATE: template, **texts}
    return Project(texts).examine(names, policies=policies)


def suppressing(*rows: str) -> str:
    return ORG + "suppress:\n" + "".join(f"  - {row}\n" for row in rows)


def test_nothing_is_kept_quiet_by_itself() -> None:
    verdict = examine()
    assert lines(verdict.problems) == [OPEN, WEB]
    assert verdict.suppressed == ()


@pytest.mark.parametrize(
    "templates",
    [
        "",
        ", templates: [connectedApps/*]",
        ", templates: [profiles/*, connectedApps/Portal]",
        ", templates: [connectedApps/Portal.connectedApp]",
    ],
)
def test_an_org_file_suppresses(templates) -> None:
    row = f"{{rule: MD701, reason: The portal opens it{templates}}}"
    verdict = examine(org=suppressing(row))
    assert lines(verdict.problems) == [OPEN]
    (quiet,) = verdict.suppressed
    assert lines([quiet.problem]) == [WEB]
    assert (quiet.by.reason, quiet.by.path, quiet.by.line) == (
        "The portal opens it",
        "orgs/uat.yaml",
        3,
    )


def test_other_templates_of_the_org_are_told() -> None:
    row = "{rule: MD701, reason: x, templates: [connectedApps/Portal]}"
    verdict = examine(org=suppressing(row), **{OTHER: APP})
    assert f"{OTHER}:7 MD701" in lines(verdict.problems)
    assert lines(s.problem for s in verdict.suppressed) == [WEB]


def test_another_org_is_told() -> None:
    row = "{rule: MD701, reason: x}"
    verdict = examine(
        org=suppressing(row), names=["uat", "dev"], **{"orgs/dev.yaml": ORG}
    )
    assert WEB in lines(verdict.problems)
    assert lines(s.problem for s in verdict.suppressed) == [WEB]


def test_the_defaults_suppress_for_every_org() -> None:
    texts = {
        "orgs/defaults.yaml": "suppress: [{rule: MD701, reason: x}]\n",
        "orgs/dev.yaml": ORG,
    }
    verdict = examine(names=["uat", "dev"], **texts)
    assert lines(verdict.problems) == [OPEN]


@pytest.mark.parametrize(
    "header",
    [
        "{# metadeploy suppress: MD701 because the portal opens it #}",
        "{# metadeploy\nsuppress: MD701 because the portal opens it\n#}",
        "{#- metadeploy:\n  suppress: MD701\n    because the portal\n    opens it\n-#}",
    ],
)
def test_a_template_suppresses(header) -> None:
    verdict = examine(f"{header}\n{APP}", **{OTHER: APP})
    at = len(header.split("\n"))
    assert lines(verdict.problems) == [
        f"{OTHER}:5 MD702",
        f"{OTHER}:7 MD701",
        f"{TEMPLATE}:{5 + at} MD702",
    ]
    (quiet,) = verdict.suppressed
    assert quiet.by.reason == "the portal opens it"
    assert quiet.by.path == TEMPLATE


def test_a_header_may_say_several_things() -> None:
    header = (
        "{# metadeploy\nfor_each: apps\nas: app\nsuppress: MD701 because a\n"
        "  and b\nsuppress: MD702 because c\n#}\n"
    )
    verdict = examine(header + APP, ORG + "values: {apps: [1]}\n")
    assert verdict.problems == ()
    found = {s.problem.rule: (s.by.reason, s.by.line) for s in verdict.suppressed}
    assert found == {"MD701": ("a and b", 4), "MD702": ("c", 6)}


def test_a_header_that_says_something_else() -> None:
    header = "{# metadeploy\nsuppress: MD701 because a\nfor_eech: b\n#}\n"
    (problem,) = examine(header + APP).problems
    assert str(problem).startswith(f"{TEMPLATE}:3: the header cannot say 'for_eech: b'")
    (problem,) = examine("{# metadeploy\nsuppress: MD701 because a\nas: b\n#}").problems
    assert problem.rule == "MD023"


def test_what_a_macro_writes_belongs_to_the_template() -> None:
    macro = "{% macro web() %}\n<scopes>Web</scopes>\n{% endmacro %}\n"
    text = APP.replace("<scopes>Web</scopes>", "{{ m.web() }}")
    text = text.replace("<ConnectedApp", "{% import 'macros/m.j2' as m %}<ConnectedApp")
    told = examine(text, **{MACRO: macro})
    assert lines(told.problems) == [OPEN, f"{MACRO}:2 MD701"]
    header = "{# metadeploy suppress: MD701 because x #}\n"
    by_template = examine(header + text, **{MACRO: macro})
    assert lines(by_template.problems) == [f"{TEMPLATE}:6 MD702"]
    by_macro = examine(text, **{MACRO: header + macro})
    assert lines(by_macro.problems) == [OPEN]
    row = "{rule: MD701, reason: x, templates: [connectedApps/Portal]}"
    by_org = examine(text, suppressing(row), **{MACRO: macro})
    assert lines(by_org.problems) == [OPEN]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("rule: MD7O1, reason: x", "there is no rule 'MD7O1'"),
        (
            "rule: wide-scopes, reason: x",
            "there is no rule 'wide-scopes'; did you mean MD701?",
        ),
        ("rule: MD701, reason: ' '", "the suppression of MD701 gives no reason"),
        ("rule: MD201, reason: x", "MD201 cannot be suppressed, since it is an error"),
        ("rule: MD704, reason: x", "MD704 cannot be suppressed, since it is an error"),
    ],
)
def test_a_suppression_that_counts_for_nothing(said, message) -> None:
    verdict = examine(org=suppressing(f"{{{said}}}"))
    assert str(verdict.problems[0]) == f"orgs/uat.yaml:3: {message} [MD603]"
    assert lines(verdict.problems[1:]) == [OPEN, WEB]


def test_a_header_gives_a_reason_too() -> None:
    for said in ("MD701", "MD701 because", "MD701 since we like it"):
        verdict = examine(f"{{# metadeploy suppress: {said} #}}\n{APP}")
        assert [p.rule for p in verdict.problems] == ["MD603", "MD702", "MD701"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{rule: MD701}", "3: reason is missing"),
        ("{reason: x}", "3: rule is missing"),
        (
            "{rule: MD701, reason: x, template: []}",
            "3: unknown key 'template'; did you mean templates?",
        ),
    ],
)
def test_an_org_file_says_all_of_it(row, message) -> None:
    (problem,) = examine(org=suppressing(row)).problems
    assert str(problem) == f"orgs/uat.yaml:{message} [MD010]"


def test_an_error_stays_an_error() -> None:
    broken = APP.replace("https://a", "http://a")
    row = "{rule: MD202, reason: x}"
    assert f"{TEMPLATE}:6 MD202" in lines(examine(broken, suppressing(row)).problems)


IDLE = "orgs/uat.yaml:3: warning: the suppression of MD205 suppresses nothing [MD604]"
UNUSED = "{rule: MD205, reason: x}"


def idle(verdict) -> list[str]:
    return [str(p) for p in verdict.problems if p.rule == "MD604"]


def test_a_suppression_that_suppresses_nothing() -> None:
    assert idle(examine(org=suppressing(UNUSED))) == [IDLE]
    elsewhere = "{rule: MD701, reason: x, templates: [profiles/*]}"
    assert idle(examine(org=suppressing(elsewhere))) == [IDLE.replace("205", "701")]
    header = "{# metadeploy suppress: MD205 because x #}\n"
    assert idle(examine(header + APP)) == [
        IDLE.replace("orgs/uat.yaml:3", f"{TEMPLATE}:1")
    ]


def test_an_org_that_was_not_looked_at_may_need_it() -> None:
    texts = {
        "orgs/defaults.yaml": "suppress: [{rule: MD205, reason: x}]\n",
        "orgs/dev.yaml": ORG,
    }
    header = "{# metadeploy suppress: MD712 because x #}\n"
    assert idle(examine(header + APP, **texts)) == []
    found = idle(examine(header + APP, names=["dev", "uat"], **texts))
    assert [f.partition(" ")[0] for f in found] == [
        "orgs/defaults.yaml:1:",
        f"{TEMPLATE}:1:",
    ]
    assert idle(examine(org=suppressing(UNUSED), **{"orgs/dev.yaml": ORG})) == [IDLE]


def test_what_did_not_render_may_need_it() -> None:
    broken = APP.replace("Web", "{{ nobody }}")
    assert idle(examine(broken, suppressing(UNUSED))) == []
    unusable = {"orgs/dev.yaml": "kind: x\n"}
    header = "{# metadeploy suppress: MD712 because x #}\n"
    assert idle(examine(header + APP, names=["dev", "uat"], **unusable)) == []


def test_a_policy_may_be_broken_with_a_reason() -> None:
    row = "{rule: MD801, reason: No browser ever sees it}"
    asked = examine(org=suppressing(row), policies=["isv"])
    assert [s.problem.rule for s in asked.suppressed] == ["MD801"]
    assert lines(asked.problems) == [OPEN, WEB]
    # It is not idle only because nobody asked.
    assert lines(examine(org=suppressing(row)).problems) == [OPEN, WEB]


def test_a_suppressed_policy_does_not_stop_a_deploy() -> None:
    row = "{rule: MD801, reason: x}"
    text = suppressing(row) + "policy: [isv]\n"
    project = Project({"orgs/uat.yaml": text, TEMPLATE: APP})
    _, problems = project.render(project.org("uat"))
    assert [p.rule for p in problems if p.severity is Severity.ERROR] == []


def test_a_secret_that_is_none() -> None:
    values = "values:\n  client_secret: not-a-secret-1\n"
    (problem,) = examine("", ORG + values).problems
    assert lines([problem]) == ["orgs/uat.yaml:3 MD703"]
    row = "{rule: MD703, reason: an example}"
    assert examine("", suppressing(row) + values).problems == ()


def test_what_covers_what() -> None:
    problem = Problem("templates/a.j2", 1, "x", "MD701", Severity.WARNING)
    said = Suppression("MD701", "why", "orgs/uat.yaml", 1)
    assert said.covers(problem)
    assert not Suppression("MD702", "why", "orgs/uat.yaml", 1).covers(problem)
    assert not Suppression("MD701", "", "orgs/uat.yaml", 1).covers(problem)


def test_what_is_suppressed_is_listed_by_place() -> None:
    rows = ("{rule: MD702, reason: b}", "{rule: MD701, reason: a}")
    verdict = examine(org=suppressing(*rows))
    assert [s.by.reason for s in verdict.suppressed] == ["b", "a"]
    assert verdict.problems == ()
    assert Project({}, dt.datetime.now(dt.UTC)).examine([]).suppressed == ()
