"""The report as a page: what is in it, that nothing breaks out, and how it grows."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections import Counter

import pytest
from fake_org import component, holder
from hypothesis import given
from lxml import etree, html
from msgspec.structs import replace
from page_reports import (
    AT,
    EVIL,
    REPORTS,
    hostile,
    many_orgs,
    planned,
    portal,
    three_orgs,
)
from planning import actual_of, wanted_of
from test_reports import hostile as hostile_texts

from metadeploy.diff import Action, Change, FieldChange
from metadeploy.errors import ConfigError
from metadeploy.model import Ref, Secret
from metadeploy.proof import Proof
from metadeploy.reports import page
from metadeploy.reports.account import Account, Known, Report, State


def parsed(report):
    return html.document_fromstring(page.text(report))


def outline(report):
    """The page without its style and script, an element a line where it helps."""
    root = parsed(report)
    for element in root.xpath("//style | //script"):
        element.text = "…"
    (policy,) = root.xpath("//meta[@http-equiv]")
    policy.set("content", re.sub("sha256-[^']+", "sha256-…", policy.get("content")))
    text = etree.tostring(root, method="html", encoding="unicode")
    blocks = "html|head|body|main|header|section|details|summary|table|thead|tbody"
    blocks += "|tr|th|td|h1|h2|h3|h4|p|ul|li|meta|title|style|script|div|dl|pre|label"
    return re.sub(f"(<(?:{blocks})[ >])", r"\n\1", text).strip() + "\n"


@pytest.mark.parametrize("name", REPORTS)
def test_what_a_page_is_like(name, snapshot):
    snapshot.assert_match(outline(REPORTS[name]()), f"{name}.html")


def test_equal_reports_give_equal_pages():
    assert page.text(three_orgs()) == page.text(copy.deepcopy(three_orgs()))


def texts(element):
    found = " ".join(" ".join(element.itertext()).split())
    return re.sub(r" (?=[,…])", "", found)


# -- nothing from elsewhere is markup

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "script", "header", "main"),
    *("section", "details", "summary", "div", "span", "p", "a", "b", "i", "code"),
    *("pre", "kbd", "h1", "h2", "h3", "h4", "ul", "li", "dl", "dt", "dd", "del", "ins"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "label", "input"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href"),
    *("scope", "colspan", "rowspan", "open", "hidden", "role", "tabindex", "for"),
    *("type", "autocomplete", "spellcheck", "placeholder", "checked"),
    *("aria-labelledby", "aria-keyshortcuts"),
}


def check(root):
    """Refuse what we never write."""
    for element in root.iter():
        assert element.tag in TAGS, element.tag
        assert set(element.attrib) <= ATTRIBUTES, element.attrib
        assert re.fullmatch(r"#\w*", element.get("href", "#"))
    tags = Counter(e.tag for e in root.iter())
    assert tags["script"] == tags["style"] == tags["title"] == tags["body"] == 1


@given(hostile_texts)
def test_no_text_is_markup(text):
    said = page.text(hostile(f"x{text}"))
    check(html.document_fromstring(said))
    assert not set(said) & set("\x00\x1b\u202e\u2066\ufeff\u200b\ud800")


def test_the_worst_text_is_a_text():
    root = parsed(hostile())
    check(root)
    (name,) = {h.text for h in root.iter("h3")}
    shown = EVIL.translate(
        dict.fromkeys(map(ord, "\u202e\u2066\x00\x1b\ud800"), "\ufffd")
    )
    assert name == shown


def test_no_secret_is_told():
    secret = Secret("s3cr3t <&> of an org's own")
    error = ConfigError(f"it was {secret.reveal()}")
    said = page.text(replace(hostile(f"x {secret.reveal()}"), error=error))
    assert "s3cr3t" not in said and "***" in said


def test_its_policy_lets_run_what_it_holds_and_no_more():
    root = parsed(three_orgs())
    (policy,) = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = root.xpath(f"//{tag}/text()")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(directive) == f"'sha256-{digest}'"
    assert set(rules.values()) == {"'none'"}
    # It comes before anything that it is to judge.
    assert [e.tag for e in root.find("head")][:2] == ["meta", "meta"]


# -- a fleet


def test_what_most_orgs_have_is_said_once_and_marked():
    root = parsed(many_orgs(20))
    (usual,) = root.find_class("usual")
    assert "IP ranges enforced" in texts(usual)
    assert root.get_element_by_id("brief").get("checked") is not None
    calm = root.find_class("calm")
    assert len([e for e in calm if e.tag == "tr"]) == 18
    assert "only orgs that differ (2)" in texts(root)
    assert parsed(three_orgs()).get_element_by_id("brief").get("checked") is None


def test_what_becomes_of_most_orgs_is_usual_and_alarms_never_are():
    wanted = wanted_of(portal(), holder("P", "Portal"))
    proofs = tuple(Proof("Portal", f, True, "", got_token=True) for f in ("a", "b"))
    proofs += (Proof("Portal", "c", False, "no"),)
    accounts = tuple(planned(o, wanted, actual_of(), proofs=proofs) for o in "abc")
    root = parsed(Report("plan", accounts))
    (usual,) = root.find_class("usual")
    assert "access + PermissionSet P login logged in by a login logged in by b" in (
        texts(usual)
    )
    cells = [texts(row) for row in root.xpath("//tr[starts-with(@class, 'org')]/td")]
    assert all("! REFUSED by c: no" in cell for cell in cells)
    shown = root.xpath("//tr[starts-with(@class, 'org')]//div[not(@class)]")
    assert [texts(div) for div in shown] == ["login ! REFUSED by c: no"] * 3


def test_facts_have_columns_where_there_is_room():
    apps = wanted_of(*(portal(name=f"App{n}") for n in range(4)))
    many = Account("a", State.DONE, "", known=Known(apps, {}))
    (table,) = parsed(Report("plan", (many,))).find_class("matrix")
    assert table.get("class") == "matrix"
    (table,) = parsed(three_orgs()).find_class("matrix")
    assert table.get("class") == "matrix few"


def test_an_org_unlike_most_differs():
    report = many_orgs(5)
    one = report.accounts[3]
    key = {"Portal": replace(one.known.keys["Portal"], origin="org")}
    odd = replace(one, known=replace(one.known, keys=key))
    root = parsed(replace(report, accounts=(*report.accounts[1:3], odd)))
    calm = [
        r for r in root.find_class("org") if r.tag == "tr" and "calm" in r.get("class")
    ]
    assert [r[0].find("a").text for r in calm] == ["customer-0001", "customer-0002"]


def test_the_same_change_is_written_once_in_a_fleet():
    root = parsed(many_orgs(200))
    pointers = [p for p in root.find_class("item") if " as in " in p.text_content()]
    tables = root.find_class("two")
    assert (len(tables), len(pointers)) == (2, 2 * 19)  # as changes, as drift
    link = pointers[0].find("a")
    assert (link.text, link.get("href")) == ("customer-0000", "#o1")
    assert root.get_element_by_id("o1").getparent().tag == "details"


def test_more_values_than_a_browser_bears_are_left_out():
    fields = tuple(FieldChange(f"f{n}", None, "x") for n in range(page.MOST_VALUES))
    many = Change(Action.UPDATE, Ref("Profile", "A"), fields)
    one = Change(Action.UPDATE, Ref("Profile", "B"), fields[:1])
    two = Account("b", State.DONE, "", changes=(one,))
    report = Report("plan", (Account("a", State.DONE, "", changes=(many,)), two))
    root = parsed(report)
    assert "Profile B 1 value, left out here: `--json` has all of it" in texts(root)
    assert len(root.find_class("two")) == 1


def test_a_fleet_stays_small():
    """Measured: a page of 1,000 orgs and 5 apps has 5 to 9 MB."""
    few, many = (len(page.text(many_orgs(count, same=False))) for count in (50, 100))
    assert (many - few) / 50 < 4_000  # an org with two apps


def test_many_names_are_not_all_told():
    report = many_orgs(40)
    accounts = tuple(replace(a, state=State.FAILED) for a in report.accounts)
    root = parsed(replace(report, accounts=accounts))
    (look,) = root.find_class("look")
    assert "failed in 40 orgs: customer-0000, " in texts(look)
    assert "customer-0019 and 20 more" in texts(look)


def test_a_certificate_that_ends_is_to_be_looked_at():
    app = component(
        portal().ref, "<oauthConfig><certificate>x</certificate></oauthConfig>"
    )
    known = Known(wanted_of(app), {})
    root = parsed(Report("verify", (Account("a", State.DONE, "", known=known),)))
    (look,) = root.find_class("look")
    assert "certificate ends within 30 days, or has ended in 1 org: a" in texts(look)


# -- long texts


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a" * 500, "b" * 500, f"{'b' * 60}… (500 characters)"),
        (None, "b" * 30_000, "… 10,000 more characters"),
        ("a" * 30_000, "b" * 30_000, "… 10,000 more characters"),
        (None, "b\n" * 20, "b… (40 characters)"),
        (None, "\n" * 20, "… (20 characters)"),
    ],
)
def test_a_long_text_is_folded(old, new, said):
    change = Change(Action.UPDATE, portal().ref, (FieldChange("f", old, new),))
    root = parsed(Report("plan", (Account("a", State.DONE, "", changes=(change,)),)))
    assert said in texts(root.find_class("long")[-1])


def test_lines_far_from_any_that_differs_are_counted():
    lines = [f"line {n}" for n in range(30)]
    new = [*lines[:10], "other", *lines[10:]]
    values = ("\n".join(lines), "\n".join(new))
    change = Change(Action.UPDATE, portal().ref, (FieldChange("f", *values),))
    root = parsed(Report("plan", (Account("a", State.DONE, "", changes=(change,)),)))
    (table,) = root.find_class("two")
    rows = [texts(r) for r in table.find("tbody")]
    assert rows[0].endswith("f… 7 lines are the same")
    assert rows[-1] == "… 17 lines are the same" and "other" in rows
    assert table.find("tbody/tr/th").get("rowspan") == str(len(rows))


# -- colours


def variables(text):
    found = re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text)
    assert found
    return dict(found)


def luminance(colour):
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """WCAG 2.2: 1.4.3 wants 4.5 of texts, 1.4.11 wants 3 of marks and outlines."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(scheme):
    style = (page.Path(page.__file__).parent / "page.css").read_text("utf-8")
    light, _, dark = style.partition("prefers-color-scheme: dark")
    colours = variables(light)
    if scheme == "dark":
        colours |= variables(dark.partition("* {")[0])
    on = dict.fromkeys(("fg", "dim", "link", "bad"), ("bg", "head"))
    on |= {name: (f"{name}-bg",) for name in ("add", "gone", "change")}
    on["focus"], on["add"] = ("bg", "head"), ("add-bg", "bg")
    for name, backgrounds in on.items():
        for background in backgrounds:
            found = contrast(colours[name], colours[background])
            assert found >= 4.5, (name, background, found)


def test_it_says_when_and_of_what():
    header = parsed(replace(three_orgs(), folder="salesforce")).find("body/header")
    assert texts(header) == (
        "metadeploy plan 4 orgs, 2 apps, 2026-11-28 04:05 UTC, salesforce"
    )
    assert AT.tzname() == "UTC"
