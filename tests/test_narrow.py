"""What an edit reaches: no problem that it makes is lost, whatever else is left out."""

from __future__ import annotations

import re

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from metadeploy import narrow
from metadeploy.model import METADATA_NS, Problem
from metadeploy.project import Project
from metadeploy.workspace import shipped_macros

NS = f'xmlns="{METADATA_NS}"'
APP = "templates/connectedApps/Portal.connectedApp.j2"
OTHER = "templates/connectedApps/Ledger.connectedApp.j2"
EACH = "templates/connectedApps/{{ item.name }}.connectedApp.j2"
SET = "templates/permissionsets/Portal_API.permissionset.j2"
PLAIN = "templates/permissionsets/Plain.permissionset.j2"
PROFILE = "templates/profiles/Clerk.profile.j2"
CLIENT = "templates/externalClientApps/Till.eca.j2"
MACRO, INNER, TEXT = (
    f"templates/macros/{n}" for n in ("m.j2", "inner.j2", "words.txt")
)
CERT, UNREAD = "certs/a.crt", "certs/unread.crt"
DEFAULTS, DEV, UAT, PROD = (
    f"orgs/{n}.yaml" for n in ("defaults", "dev", "uat", "prod")
)
KEY = "-----BEGIN PRIVATE KEY-----"


def app(label="Portal", inside="", scope="Api", approved="true", head=""):
    return (
        f"{head}<ConnectedApp {NS}>\n<contactEmail>a@example.com</contactEmail>\n"
        f"<label>{label}</label>\n<oauthConfig>\n"
        f"<callbackUrl>{{{{ url }}}}</callbackUrl>\n{inside}"
        f"<isAdminApproved>{approved}</isAdminApproved>\n<scopes>{scope}</scopes>\n"
        "</oauthConfig>\n</ConnectedApp>\n"
    )


def holder(kind, *apps, label="", enabled="true", more=""):
    accesses = "".join(
        f"<connectedAppAccesses>\n<connectedApp>{a}</connectedApp>\n"
        f"<enabled>{enabled}</enabled></connectedAppAccesses>\n"
        for a in apps
    )
    last = f"<label>{label or kind}</label>" if kind == "PermissionSet" else ""
    return f"{more}<{kind} {NS}>\n{accesses}{last}</{kind}>\n"


SUPPRESS = "{# metadeploy\nsuppress: MD701 because it opens pages\n#}\n"
FOR_EACH = "{# metadeploy\nfor_each: items\nas: item\n#}\n"
IMPORT = "{% from 'macros/m.j2' import words %}"
# Of each file, what it may be; "" where it is not there.
TEXTS = {
    APP: [
        app(),
        "\n" + app(label="Portal of {{ org.name }}"),
        app(scope="Full"),
        app(scope="Full", head=SUPPRESS),
        app(head=SUPPRESS),
        app(approved="false"),
        app(approved="{{ approved }}"),
        app(label="{{ words }}", head="{% include 'macros/m.j2' %}"),
        app(label="{{ words(1) }}", head=IMPORT),
        app(inside="<certificate>{{ file('certs/a.crt') }}</certificate>\n"),
        app(inside="<certificate>{{ file(cert) }}</certificate>\n"),
        app(inside="<consumerKey>{{ key }}</consumerKey>\n"),
        app(label="{{ undefined_name }}"),
        app(label="{{ 'x' | nosuch }}"),
        app(label="{% if %}"),
        "",
    ],
    OTHER: [app("Ledger"), app("Ledger", scope="{{ scope }}"), "not XML", ""],
    EACH: [FOR_EACH + app("{{ item.name }}"), app("x"), ""],
    SET: [
        holder("PermissionSet", "Portal"),
        "\n\n" + holder("PermissionSet", "Portal", label="Other"),
        holder("PermissionSet", "Portl"),
        holder("PermissionSet", "Portal", "Ledger"),
        holder("PermissionSet", "Portal", enabled="{{ approved }}"),
        holder("PermissionSet", "{{ grant }}"),
        "",
    ],
    PLAIN: [holder("PermissionSet", label=n) for n in ("A", "{{ items[0].name }}")]
    + [holder("PermissionSet", label="{% include 'macros/words.txt' %}"), ""],
    PROFILE: [
        holder("Profile"),
        holder("Profile", "Ledger"),
        holder("Profile", "X"),
        "",
    ],
    CLIENT: [
        f"<ExternalClientApplication {NS}><contactEmail>a@example.com</contactEmail>"
        "<distributionState>Local</distributionState><label>Till</label>"
        "</ExternalClientApplication>",
        "",
    ],
    MACRO: [
        "{% macro words(n) %}{{ n }}{% endmacro %}",
        "{% macro words(n) %}{% include 'macros/inner.j2' %}{% endmacro %}",
        "{% macro words() %}{% endmacro %}",
        "{% set password = 'abcdefg123' %}{% macro words(n) %}{{ n }}{% endmacro %}",
        "{% macro words(n) %}",
        "",
    ],
    INNER: ["inner", "{{ gone }}", "{{ url }}", ""],
    TEXT: ["words", "{{ scope }}", "{% include 'macros/inner.j2' %}", ""],
    CERT: ["MIIB", "MIIC", ""],
    UNREAD: ["MIIB", KEY, ""],
    DEFAULTS: [
        "values: {url: https://a.example/cb, scope: Api, approved: true,\n"
        "  grant: Portal, items: [{name: One}], cert: certs/a.crt, key: ABCDEFGH1}\n",
        "values: {url: http://a.example/cb, scope: Full, approved: false,\n"
        "  grant: Prtal, items: [{name: Two}], cert: certs/b.crt, key: ABCDEFGH1}\n",
        "suppress:\n  - {rule: MD701, reason: it opens pages}\nvalues: {scope: Full}\n",
        "kind: nothing\n",
        "",
    ],
    **{
        path: [
            "kind: sandbox\n",
            "kind: sandbox\nvalues: {url: https://b.example/cb}\n",
            "kind: sandbox\nvalues: {scope: Full, items: [{name: Portal}]}\n",
            "\nkind: sandbox\norg_id: 00D000000000001\nvalues: {grant: Nobody}\n",
            "kind: sandbox\norg_id: 00D000000000001EAA\n",
            f"kind: sandbox\norg_id: 00D00000000000{n}\n",
            'kind: sandbox\norg_id: "00D0000000000\\u00301"\n',
            f"kind: sandbox\napps: {{Portal: {{consumer_key: ABCDEFGH{n}}}}}\n",
            "kind: sandbox\napps: {Portal: {kind: external_client_app}}\n",
            "kind: sandbox\ntemplates: [permissionsets/*]\n",
            "kind: sandbox\npolicy: [isv]\n",
            "kind: sandbox\nsuppress:\n  - {rule: MD701, reason: it opens pages}\n",
            "kind: sandbox\n\nsuppress: [{rule: MD801, reason: no codes}]\n",
            "kind: sandbox\nvalues: {client_secret: abcdefg123456}\n",
            "kind: nothing\n",
            "a: [b\n",
            "",
        ]
        for n, path in ((1, DEV), (2, UAT), (3, PROD))
    },
}


@st.composite
def edits(draw):
    """A project, and what somebody made of it by editing a few of its files."""
    chosen = {}
    for path, texts in TEXTS.items():
        # Most often all is well; what is wrong is about one thing.
        usual = st.just(texts[0]) if path not in (APP, MACRO) else st.nothing()
        chosen[path] = draw(st.one_of(usual, usual, st.sampled_from(texts)))
    changed = draw(st.lists(st.sampled_from(list(TEXTS)), min_size=1, max_size=3))
    after = {**chosen, **{p: draw(st.sampled_from(TEXTS[p])) for p in changed}}
    return project(chosen), project(after)


def project(chosen):
    return Project({**shipped_macros(), **{p: t for p, t in chosen.items() if t}})


def said(problem: Problem) -> tuple[str, str, str]:
    """A problem, wherever its file's lines have gone, and whatever is suggested."""
    meant = r"; did you mean .*\?$| \(did you mean [^)]*\?\)|:\d+(?=\))"
    message = re.sub(meant, "", problem.message)
    return problem.path, problem.rule, message


@settings(max_examples=200)
@given(edits())
def test_no_problem_of_an_edit_is_lost_and_none_is_invented(edit):
    was, now = edit
    narrowed = narrow.examine(was, now)
    whole = set(now.validate(now.org_paths))
    before = {said(p) for p in was.validate(was.org_paths)}
    told = set(narrowed.verdict.problems)
    new = {p for p in whole if said(p) not in before}
    event(f"all is looked at: {narrowed.why[:30]}" if narrowed.why else "narrow")
    assert told <= whole, "invented"
    assert {said(p) for p in new} <= {said(p) for p in told}, "lost"


# -- what is looked at, and why


def edited(path, old, new, also=()):
    """Return the problems that an edit of one file may have made."""
    texts = {p: t[0] for p, t in TEXTS.items()}
    texts.update(also)
    return narrow.examine(project({**texts, path: old}), project({**texts, path: new}))


def looked_at(narrowed):
    """Return org → the templates looked at, None for all of the org."""
    return {
        r.org: r.texts and {t for t in r.texts if t.startswith("templates/")}
        for r in narrowed.reached
    }


def each(*texts):
    """All orgs, and of each the same."""
    return {org: set(texts) for org in ("dev", "prod", "uat")}


ALL = dict.fromkeys(("dev", "prod", "uat"))
LABEL = app(label="{{ words(1) }}", head=IMPORT)


@pytest.mark.parametrize(
    ("path", "new", "also", "reached"),
    [
        (APP, TEXTS[APP][1], {}, each(APP)),
        (DEV, TEXTS[DEV][1], {}, {"dev": {APP, OTHER, EACH}}),
        (DEV, TEXTS[DEV][0], {}, {}),
        (DEFAULTS, TEXTS[DEFAULTS][0].replace("scope: Api", "scope: Web"),
         {OTHER: TEXTS[OTHER][1]}, each(OTHER)),
        (CERT, "MIIC", {APP: TEXTS[APP][9]}, each(APP)),
        (CERT, "MIIC", {APP: TEXTS[APP][10]}, ALL),  # it may be any
        (CERT, "MIIC", {}, each()),
        (UNREAD, KEY, {}, each()),
        (INNER, "x", {APP: LABEL, MACRO: TEXTS[MACRO][1]}, each(APP)),
        (INNER, "x", {PLAIN: TEXTS[PLAIN][2], TEXT: TEXTS[TEXT][2]}, each(PLAIN)),
        (TEXT, "x", {PLAIN: TEXTS[PLAIN][2]}, each(PLAIN)),
        (APP, app(approved="false"), {}, ALL),  # who may use it
        (APP, app(label="{{ gone }}"), {}, ALL),  # it is not made any more
        (PLAIN, "", {}, ALL),
        (CLIENT, "<x/>", {}, ALL),  # parts of one app
        (DEV, TEXTS[DEV][9], {}, {"dev": None}),
        (DEV, "kind: nothing", {}, {"dev": set()}),
        (DEV, "", {}, {}),
    ],
)  # fmt: skip
def test_what_an_edit_reaches(path, new, also, reached):
    old = {**{p: t[0] for p, t in TEXTS.items()}, **also}[path]
    found = edited(path, old, new, also)
    assert (found.why, looked_at(found)) == ("", reached)


@pytest.mark.parametrize(
    ("path", "old", "new", "also", "why"),
    [
        ("sfdx-project.json", "{}", '{"name": "x"}', {}, "is about all"),
        (DEFAULTS, "a: [", "values: {}", {}, "defaults are not usable"),
        ("orgs/dev.yml", "", "kind: sandbox", {}, "two files are of one org"),
        (APP, app(), app(head=SUPPRESS, scope="Full"), {}, "suppresses otherwise"),
        (APP, app(head=SUPPRESS, scope="Full"), app(head=SUPPRESS), {}, "be needed"),
        (DEV, TEXTS[DEV][2], TEXTS[DEV][5], {APP: app(head=SUPPRESS)}, "be needed"),
        (DEV, TEXTS[DEV][8], "", {APP: app(head=SUPPRESS)}, "orgs/dev.yaml is gone"),
        (DEV, "a: [", TEXTS[DEV][0], {}, "orgs/dev.yaml was not usable"),
        (APP, app(label="{{ gone }}"), app(), {}, "did not render for dev"),
        (DEV, TEXTS[DEV][9], TEXTS[DEV][0],
         {APP: app(scope="Full", head=SUPPRESS), PLAIN: "<a>{{ gone }}</a>"},
         "did not render for dev"),
        (DEV, TEXTS[DEV][5], "", {APP: TEXTS[APP][11]}, "pin consumer keys"),
        (DEV, "", TEXTS[DEV][5], {APP: TEXTS[APP][11]}, "pin consumer keys"),
    ],
)  # fmt: skip
def test_when_all_is_looked_at(path, old, new, also, why):
    found = edited(path, old, new, also)
    assert why in found.why and all(r.texts is None for r in found.reached)


SOURCE = "force-app/profiles/A.profile-meta.xml"


def test_a_component_of_a_source_tree_is_itself():
    texts = {"sfdx-project.json": "{}", SOURCE: holder("Profile")}
    found = edited(SOURCE, holder("Profile"), "\n" + holder("Profile"), texts)
    assert all(r.texts == {SOURCE} for r in found.reached) and found.reached


def test_of_a_converted_app_the_template_alone_is_looked_at():
    found = edited(APP, app(), TEXTS[APP][1], {DEV: TEXTS[DEV][8]})
    assert (found.why, looked_at(found)) == ("", each(APP))


def test_what_an_orgs_own_file_suppresses_does_not_widen():
    suppresses = TEXTS[DEV][11]
    found = edited(DEV, suppresses, f"{suppresses}tags: [x]\n")
    assert (found.why, looked_at(found)) == ("", {"dev": None})


def test_an_org_that_cannot_be_read_pins_nothing():
    also = {UAT: 'kind: nothing\norg_id: "00D000000000001"\n'}
    found = edited(DEV, TEXTS[DEV][0], TEXTS[DEV][5], also)
    assert not {p.rule for p in found.verdict.problems} & {"MD601"}


def test_nothing_is_nothing():
    texts = {p: t[0] for p, t in TEXTS.items()}
    found = narrow.examine(project(texts), project(texts))
    assert found.reached == () and found.verdict.problems == ()


@pytest.mark.parametrize("dev", [3, 5, 6, 7])
def test_a_pin_is_held_against_those_of_orgs_that_nobody_edited(dev):
    uat = {3: 4, 5: 5, 6: 3, 7: 7}[dev]
    text = TEXTS[UAT][uat].replace("000002", "000001").replace("GH2", "GH1")
    found = edited(DEV, TEXTS[DEV][0], TEXTS[DEV][dev], {UAT: text})
    assert {p.rule for p in found.verdict.problems} & {"MD601", "MD602"}
    assert "uat" not in looked_at(found)
