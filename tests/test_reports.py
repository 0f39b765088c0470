"""Reports of what came of orgs: Markdown, JUnit, GitLab, GitHub."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from msgspec.structs import replace

from metadeploy.diff import AccessChange, Action, Change, FieldChange
from metadeploy.errors import (
    ApiFault,
    ConfigError,
    DeployFailed,
    InvalidMetadata,
    PlanRefused,
)
from metadeploy.keys import KeyChoice
from metadeploy.model import DeployMessage, DeployResult, Problem, Ref, Secret
from metadeploy.plan import NewKey, Risk
from metadeploy.proof import Proof
from metadeploy.reports import github, gitlab, junit, markdown, words
from metadeploy.reports.account import Account, Report, State

FORMS = {
    "report.md": markdown.text,
    "junit.xml": junit.text,
    "gitlab.json": gitlab.terraform,
    "github.txt": lambda report: "\n".join(github.results(report)),
}


def change(action, name, *fields, type_="ConnectedApp"):
    rows = tuple(FieldChange(*field) for field in fields)
    return Change(action, Ref(type_, name), rows)


def access(action, app, holder):
    return AccessChange(app, Ref("PermissionSet", holder), action)


def account_of(text="Portal", more=""):
    """An account with that text wherever one from an org or a template can be."""
    portal = change(Action.CREATE, text, ("label", None, more or text))
    return Account(
        text,
        State.DIFFERS,
        "1 to create; NOT as it has to be.",
        text,
        changes=(
            portal,
            change(
                Action.UPDATE, f"2{text}", ("oauthConfig.scopes", ("Api",), (text,))
            ),
            change(Action.DELETE, f"3{text}"),
        ),
        access=(access(Action.GRANT, text, "A"), access(Action.REVOKE, "B", text)),
        replaced=(Ref("ConnectedApp", f"4{text}"),),
        new_keys=(NewKey(text, portal.ref, KeyChoice(2)),),
        left=(change(Action.UPDATE, f"5{text}", (text, more or text, None)),),
        left_access=(access(Action.GRANT, f"6{text}", text),),
        drift=(change(Action.UPDATE, f"7{text}", (text, "now", more or text)),),
        drift_access=(access(Action.REVOKE, f"8{text}", text),),
        refusals=(more or text,),
        risks=(Risk("x", more or text),),
        proofs=(
            Proof(f"9{text}", "jwt", False, more or text, user=text, code=text),
            Proof(f"10{text}", "jwt", True, text, got_token=True),
            Proof(f"11{text}", "", None, text),
        ),
        messages=(DeployMessage("ConnectedApp", f"12{text}", text, True),),
        notes=(more or text,),
    )


def failed(error, org="uat"):
    return Account(org, State.FAILED, "It went wrong.", error=error)


def refused_by_the_org(problem="consumer key is already taken"):
    rows = (
        DeployMessage(
            "ConnectedApp", "Portal", "p.connectedApp", False, problem, "Error"
        ),
        DeployMessage("ConnectedApp", "Billing", "b.connectedApp", True),
    )
    result = DeployResult("0Af", "Failed", True, False, messages=rows)
    return DeployFailed(result, f"org uat: deploy 0Af ended Failed\n{problem}")


REPORTS = {
    "much": Report("deploy", (account_of(),)),
    "nothing": Report("plan", ()),
    "a plan": Report("plan", (replace(account_of(), state=State.DONE),)),
    "failures": Report(
        "deploy",
        (
            failed(refused_by_the_org()),
            failed(
                InvalidMetadata([Problem("orgs/dev.yaml", 3, "no", "MD010")]), "dev"
            ),
            failed(ApiFault("API_DISABLED_FOR_ORG", "no API"), "sit"),
            Account(
                "prod",
                State.REFUSED,
                "Refused: nothing was sent.",
                refusals=("it is production. Allow it with --production.",),
                error=PlanRefused(["it is production"]),
            ),
            Account("dev2", State.DONE, "Nothing to do: the org matches."),
        ),
        folder="salesforce",
    ),
    "at all": Report("plan", (), ConfigError("no org is called 'x'", hint="Dev?")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", REPORTS)
def test_what_is_reported(name, form, snapshot):
    snapshot.assert_match(FORMS[form](REPORTS[name]).rstrip() + "\n", form)


def test_nothing_that_failed_is_a_case_that_is_well():
    error = refused_by_the_org()
    account = replace(account_of(), error=error, messages=error.result.messages)
    account = replace(account, state=State.FAILED, refusals=(), left=(), drift=())
    account = replace(account, left_access=(), drift_access=(), proofs=())
    root = etree.fromstring(junit.text(Report("deploy", (account,))).encode())
    names = [(c.get("name"), len(c)) for c in root.iter("testcase")]
    assert names == [("ConnectedApp Portal", 1), ("deploy", 1)]


# -- no text breaks out

marks = "ab`*_~|<>&[]()!#-+=:.@$\\\"'{}%/,\r\n\t \u2028\u202e\x00\x1b"
pieces = st.sampled_from(
    ["</code>", "</pre>", "```", "````", "-->", "]]>", "\n\n# x", "::error::", "| |\n"]
)
hostile = st.lists(pieces | st.text(st.sampled_from(marks) | st.characters())).map(
    "".join
)


def skeleton(text):
    """What a reader makes of Markdown, without the words."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        found.append((token.type, token.tag))
        for child in token.children or ():
            if child.type != "text":
                said = child.content if child.type == "html_inline" else ""
                found.append((child.type, child.tag, said))
    return found


@given(hostile, hostile)
def test_no_text_breaks_out_of_markdown(text, more):
    # A text of white space alone leaves nothing to be code: there has to be a letter.
    said = markdown.text(Report("plan", (account_of(f"x{text}", f"y{more}"),)))
    plain = markdown.text(Report("plan", (account_of("x", "y"),)))
    assert skeleton(said) == skeleton(plain)
    assert "\x1b" not in said and "\u202e" not in said and "\r" not in said


@given(hostile)
def test_no_error_breaks_out_of_its_fence(text):
    def made(words):
        account = failed(ApiFault("X", f"x{words}"), f"x{words}")
        error = ConfigError(f"x{words}")
        return skeleton(markdown.text(Report("plan", (account,), error)))

    assert made(text) == made("")


@given(hostile, hostile)
def test_no_text_breaks_out_of_junit(text, more):
    def shape(report):
        root = etree.fromstring(junit.text(report).encode())
        return [(e.tag, sorted(e.attrib), len(e)) for e in root.iter()]

    accounts = (account_of(f"x{text}", f"y{more}"), failed(refused_by_the_org(text)))
    plain = (account_of("x", "y"), failed(refused_by_the_org("")))
    assert shape(Report("deploy", accounts)) == shape(Report("deploy", plain))


@given(hostile, hostile)
def test_no_text_breaks_out_of_an_annotation(text, more):
    accounts = (account_of(text, more), failed(ApiFault("X", more), text))
    lines = list(github.results(Report("deploy", accounts)))
    assert len(lines) == 4
    assert len("\n".join(lines).splitlines()) == 4
    for line in lines:
        title = line.partition("::")[2].partition("::")[0]
        assert title.partition(" title=")[0] in ("error", "warning")
        assert "," not in title and ":" not in title


def test_a_mention_or_a_link_is_none():
    said = markdown.text(Report("plan", (account_of("@team #1 www.x.example"),)))
    rest = said.partition("```diff")[0]
    assert "@" not in rest and "www." not in rest and "#1" not in rest


# -- how long

LONG = "`" * 50 + "€" * 3_000


@pytest.mark.parametrize(
    "accounts",
    [
        [replace(account_of(), org=f"org{n}") for n in range(1_000)],
        [account_of("x", LONG) for _ in range(40)],
        [replace(account_of(), notes=(LONG,) * 120, risks=(Risk("x", LONG),) * 120)],
        [failed(ApiFault("X", LONG * 4), f"{n}{LONG}") for n in range(90)],
        [
            replace(
                account_of(),
                changes=tuple(
                    change(Action.CREATE, f"{n}{LONG}", (LONG, None, LONG))
                    for n in range(60)
                ),
            )
        ],
    ],
    ids=["orgs", "values", "notes", "errors", "changes"],
)
def test_what_is_long_is_cut_and_says_so(accounts):
    said = markdown.text(Report("plan", tuple(accounts)))
    assert len(said.encode()) <= markdown.LONGEST
    assert "**Cut**" in said and "`--json` has all of it" in said
    assert said.count("<details>") == said.count("</details>")


def test_words_of_plans():
    pinned = NewKey("A", Ref("ConnectedApp", "A"), KeyChoice(1, "3MVG9"))
    assert words.key_text(pinned) == "pinned"
    assert words.value_text(None) == "(none)"
    assert words.value_text("x" * 201) == f"{'x' * 40}… (201 characters)"


# -- what is counted, and what is not told


def test_gitlab_counts_access_and_replacements_too():
    made = Report("plan", (account_of(), account_of("B")))
    assert json.loads(gitlab.terraform(made)) == {
        "create": 4,
        "update": 2,
        "delete": 6,
    }


@pytest.mark.parametrize("form", FORMS)
def test_no_secret_is_told(form):
    secret = Secret("s3cr3t <&> of an org's own")
    text = f"it was {secret.reveal()}"
    error = ConfigError(text, hint=text)
    wrong = InvalidMetadata([Problem("orgs/dev.yaml", 3, text, "MD010")])
    accounts = (
        account_of("x", text),
        failed(refused_by_the_org(text)),
        failed(wrong),
    )
    said = FORMS[form](Report("deploy", accounts, error))
    assert "s3cr3t" not in said
    assert "***" in said or form == "gitlab.json"
