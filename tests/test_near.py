"""Did you mean: wherever a name is looked up."""

from __future__ import annotations

import pytest
from apps import PORTAL, edit, git

from metadeploy import near


@pytest.mark.parametrize(
    "name,wanted",
    [("uta", "uat"), ("DEV", "dev"), ("xyz", ""), ("", ""), ("prd" * 9999, "")],
)
def test_the_nearest_name(name, wanted):
    assert near.nearest(name, ["prod", "dev", "uat"]) == wanted
    assert near.nearest(name, ["uat", "dev", "prod"]) == wanted


def test_the_same_whatever_the_order():
    names = ["ab1", "ab2", "AB3"]
    assert near.nearest("ab", names) == near.nearest("ab", reversed(names))


def test_a_hint_tells_what_there_is():
    assert near.hint("uta", ["uat"], "It") == "Did you mean uat?"
    assert near.hint("x", ["dev", "abc"], "It") == "It has: abc, dev."
    assert near.hint("x", [f"org{n}" for n in range(9)], "It").endswith("org7, ….")
    assert near.hint("x", [], "It") == ""


@pytest.mark.parametrize(
    "words,said",
    [
        ("plan uta", "Did you mean uat?"),
        ("plan tag:uta", "Did you mean tag:uat?"),
        ("diff dve..uat", "Did you mean dev?"),
        ("diff dev..uta", "Did you mean uat?"),
        ("validate --org uta", "Did you mean uat?"),
        ("pln dev", "Did you mean 'plan'?"),
        ("runs lst", "Did you mean 'list'?"),
        ("keys exprt dev", "Did you mean 'export'?"),
        ("plan --pararellism 2", "Did you mean '--parallelism'?"),
        ("plan dev --report mardown=x", "did you mean markdown?"),
        ("keys export dev --app Portl", "Did you mean Portal?"),
        ("migrate dev --app Portl", "Did you mean Portal?"),
        ("adopt dev --app Portl", "Did you mean Portal?"),
    ],
)
def test_every_name_of_the_command_line(runner, words, said):
    runner("deploy", "dev", "--auto-approve")
    ran = runner(*words.split())
    assert ran.code and said in " ".join(ran.err.split())


def test_commits(runner, project):
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-qm", "x")
    assert "Did you mean main?" in runner("plan", "dev", "--since", "mian").err
    assert "Name a branch" in runner("plan", "dev", "--since", "0123456").err


def test_runs_by_how_they_begin(runner):
    runner("deploy", "dev", "--auto-approve")
    (row,) = runner("runs", "list", "--json").json["runs"]
    run = row["runId"]
    odd = f"{run[:6]}{run[7]}{run[6]}{run[8:]}"
    for said in (run[:5], run[:9].upper(), odd if odd != run else run[:4]):
        assert f"Did you mean {run}?" in runner("runs", "show", said).err
        assert f"Did you mean {run}?" in runner("rollback", "dev", said).err
        assert f"Did you mean {run}?" in runner("runs", "cancel", "dev", "-i", said).err
    assert "Did you mean" not in runner("runs", "show", "zzz").err


@pytest.mark.parametrize(
    "before,after,said",
    [
        ("org.name", "org.nmae", "did you mean name?"),
        ("org.name", "ogr.name", "did you mean org?"),
        ("contact", "contatc", "did you mean contact?"),
        ("metadeploy/oauth.j2", "metadeploy/oaut.j2", "did you mean metadeploy/oauth"),
        ("import policy", "import polcy", "did you mean policy?"),
    ],
)
def test_every_name_of_a_template(runner, project, before, after, said):
    file = project / PORTAL
    macro = "{% from 'metadeploy/oauth.j2' import policy as made %}{{ made() }}\n"
    file.write_text(macro + file.read_text())
    edit(file, before, after)
    ran = runner("validate")
    assert ran.code == 1 and said in ran.out


@pytest.mark.parametrize("rule,said", [("md701", "MD701"), ("wide-scope", "MD701")])
def test_rules_that_are_suppressed(runner, project, rule, said):
    with (project / "orgs" / "dev.yaml").open("a") as file:
        file.write(f"suppress: [{{rule: {rule}, reason: x}}]\n")
    assert f"did you mean {said}?" in runner("validate", "--org", "dev").out
