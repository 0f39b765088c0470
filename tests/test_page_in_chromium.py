"""The report's page in a real browser, from a file: alone, silent, and usable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chromium import PROGRAM, Chromium
from page_reports import EVIL, REPORTS, hostile, many_orgs, three_orgs

from metadeploy.reports import page

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs Debian's package chromium"),
    pytest.mark.skipif(os.name != "posix", reason="Chromium's pipe needs descriptors"),
]

PAGES = {**REPORTS, "hostile": hostile, "fleet": lambda: many_orgs(40)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        for domain in ("Network", "Log", "Runtime"):
            browser.do(f"{domain}.enable")
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every page as a file, by its name."""
    folder = tmp_path_factory.mktemp("pages")
    for name, report in PAGES.items():
        (folder / f"{name}.html").write_text(page.text(report()), "utf-8")
    return folder


def seen(browser, file: Path, *, width=1280, dark=False, height=800, media=""):
    """Open a page in a window of that size."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.do("Emulation.setDeviceMetricsOverride", **size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.do("Emulation.setEmulatedMedia", media=media, features=[scheme])
    browser.open(file.as_uri())
    return browser


def shown(browser):
    """The orgs whose rows are seen."""
    rows = "[...document.querySelectorAll('tr.org')].filter(r => r.offsetHeight)"
    return browser.run(f"{rows}.map(r => r.querySelector('a').textContent)")


@pytest.mark.parametrize("name", PAGES)
def test_it_asks_nobody_and_says_nothing(browser, files, name):
    file = files / f"{name}.html"
    seen(browser, file)
    asked = [e["request"]["url"] for e in browser.told("Network.requestWillBeSent")]
    assert asked == [file.as_uri()]
    noise = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert browser.told(*noise, "Page.javascriptDialogOpening") == []
    assert browser.heading.startswith("metadeploy ")
    assert browser.run("document.scripts.length") == 1


def test_its_policy_stops_what_is_not_its_own(browser, files):
    """What the test before rests on: a page that were broken would tell."""
    text = (files / "plan.html").read_text("utf-8")
    bad = "<script>document.title='x'</script><img src='https://a.example/x'><p style="
    broken = files / "broken.html"
    broken.write_text(text.replace("<main>", f"{bad}'color:red'><main>"), "utf-8")
    seen(browser, broken)
    asked = [e["request"]["url"] for e in browser.told("Network.requestWillBeSent")]
    assert asked == [broken.as_uri(), "https://a.example/x"]
    (failed,) = browser.told("Network.loadingFailed")
    assert failed["blockedReason"] == "csp"
    assert browser.run("document.title") != "x"
    told = [e["entry"]["text"] for e in browser.told("Log.entryAdded")]
    assert len(told) == 3 and all("Content Security Policy" in t for t in told)


def test_the_worst_text_is_seen_as_text(browser, files):
    seen(browser, files / "hostile.html")
    said = browser.run("document.querySelector('h3').textContent")
    assert said.startswith(EVIL[:100]) and "\u202e" not in said
    assert browser.run("document.querySelectorAll('img, [onerror]').length") == 0


@pytest.mark.parametrize("width", [320, 400, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(browser, files, name, width):
    seen(browser, files / f"{name}.html", width=width)
    browser.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert browser.run("document.documentElement.scrollWidth") <= width


# Of every text that is seen: its colour against what is behind it, as WCAG 2.2 has it.
CONTRASTS = """(() => {
  const parts = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parts(c).slice(0, 3)
    .map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (parts(c)[3] !== 0) return c;
    }
  };
  const found = {};
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.offsetHeight || e.tagName === "SCRIPT") continue;
    const both = [light(getComputedStyle(e).color), light(behind(e))];
    const [a, b] = both.sort((x, y) => y - x);
    found[`${e.tagName}.${e.className}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["plan", "deploy", "drift"])
def test_every_text_can_be_read(browser, files, name, dark):
    seen(browser, files / f"{name}.html", dark=dark)
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    found = browser.run(CONTRASTS)
    assert len(found) > 20
    assert {what: ratio for what, ratio in found.items() if ratio < 4.5} == {}


def test_the_filter_is_at_hand(browser, files):
    seen(browser, files / "fleet.html")
    assert len(shown(browser)) == 40
    browser.press("/", "/")
    assert browser.run("document.activeElement.id") == "filter"
    assert browser.run("document.activeElement.value") == ""
    for key in "er-003":
        browser.press(key, key)
    assert shown(browser) == [f"customer-{n:04}" for n in range(30, 40)]
    assert (
        browser.run("document.getElementById('count').textContent") == "10 of 40 orgs"
    )
    sections = (
        "[...document.querySelectorAll('details.org')].filter(d => d.offsetHeight)"
    )
    assert browser.run(f"{sections}.length") == 10
    browser.press("/", "/")  # typed into the field, as any other
    assert shown(browser) == []
    browser.press("Escape")
    assert len(shown(browser)) == 40


def test_only_what_differs(browser, files):
    seen(browser, files / "fleet.html")
    facts = "[...document.querySelectorAll('tr.org dd')].filter(d => d.offsetHeight)"
    brief = browser.run(f"{facts}.length")
    browser.run("document.getElementById('brief').click()")
    assert brief < 40 < 400 < browser.run(f"{facts}.length")
    browser.run("document.getElementById('only').click()")
    assert shown(browser) == ["customer-0000", *(f"customer-00{n}0" for n in (1, 2, 3))]


def test_the_keyboard_gets_everywhere(browser, files):
    seen(browser, files / "plan.html")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    stops = []
    for _ in range(12):
        browser.press("Tab")
        stops.append(browser.run("document.activeElement.outerHTML.split('>')[0]"))
        assert browser.run(outline) == "solid", stops[-1]
    assert stops[0] == '<a class="skip" href="#each"'
    order = ["#o4", "#o3", "#o4", "filter", "brief", "scroll", "#o1", "#o2", "#o3"]
    assert all(what in stop for what, stop in zip(order, stops[1:], strict=False)), (
        stops
    )


def test_the_skip_link_is_seen_and_skips(browser, files):
    seen(browser, files / "plan.html")
    browser.press("Tab")
    assert browser.run("document.activeElement.offsetHeight") > 20
    browser.press("Enter", "\r")
    assert browser.run("location.hash") == "#each"


def test_a_link_to_an_org_opens_it(browser, files):
    seen(browser, files / "fleet.html")
    open_ = "document.getElementById('o20').parentElement.open"
    assert browser.run(open_) is False
    browser.run("document.querySelector('tr.org a[href=\"#o20\"]').click()")
    assert browser.run(open_) is True
    browser.open("about:blank")
    browser.open(f"{(files / 'fleet.html').as_uri()}#o20")
    assert browser.run(open_) is True


def test_the_head_and_the_orgs_stay_in_sight(browser, files):
    seen(browser, files / "fleet.html", width=400, height=500)
    browser.run("document.getElementById('brief').click()")
    place = "Math.round(document.querySelector('%s').getBoundingClientRect().%s)"
    places = [place % ("thead th", "top"), place % ("tr.org th", "left")]
    before = [browser.run(script) for script in places]
    browser.run("document.querySelector('.scroll').scrollTo(60, 600)")
    assert browser.run("document.querySelector('.scroll').scrollTop") > 500
    assert [browser.run(script) for script in places] == before


def test_all_of_it_is_there_without_its_script(browser, files):
    browser.do("Emulation.setScriptExecutionDisabled", value=True)
    try:
        seen(browser, files / "plan.html")
        root = browser.do("DOM.getDocument")["root"]["nodeId"]
        found = browser.do("DOM.querySelector", nodeId=root, selector=".search")
        box = browser.do("DOM.querySelector", nodeId=root, selector="tr.org dd")
        with pytest.raises(AssertionError):  # not drawn: it could not filter
            browser.do("DOM.getBoxModel", nodeId=found["nodeId"])
        assert browser.do("DOM.getBoxModel", nodeId=box["nodeId"])["model"]["height"]
    finally:
        browser.do("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints_all_that_it_holds(browser, files):
    seen(browser, files / "fleet.html", media="print")
    assert browser.run("document.querySelector('.tools').offsetHeight") == 0
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") > 0


def test_three_orgs_show_all_facts_at_once(browser, files):
    assert len(three_orgs().accounts) <= 12
    seen(browser, files / "plan.html")
    assert browser.run("document.querySelector('tr.usual').offsetHeight") == 0
    assert browser.run(
        "[...document.querySelectorAll('.u')].every(e => e.offsetHeight)"
    )
