"""docs/ as HTML: built without a warning, and read in a browser that asks nobody else.

Needs what `make docs` installs, and Chromium.
"""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest
from chromium import PROGRAM, Chromium
from pages import DOCS

pytestmark = [
    pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not installed"),
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address at which the built pages are served, and their folder."""
    built = tmp_path_factory.mktemp("html")
    command = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [sys.executable, *command, "-b", "html", str(DOCS), str(built)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    handler = functools.partial(_Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", built
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def asked(browser):
    """What the page was made of: the addresses that the browser asked for."""
    return browser.run("performance.getEntriesByType('resource').map(r => r.name)")


@pytest.mark.timeout(300)
def test_no_page_asks_anybody_else(site, browser):
    address, built = site
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        browser.open(address + page.relative_to(built).as_posix())
        found = asked(browser)
        assert found and all(name.startswith(address) for name in found), page
        assert browser.heading or page.name in ("genindex.html", "search.html")


def test_the_search_needs_nobody(site, browser):
    address, _ = site
    browser.open(f"{address}search.html?q=interruption")
    script = "[...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    wanted, until = f"{address}how-to/rotate-a-key.html", time.monotonic() + 20
    while not any(found.startswith(wanted) for found in browser.run(script)):
        assert time.monotonic() < until, browser.text
    assert all(name.startswith(address) for name in asked(browser))


@pytest.mark.parametrize("page", ["index", "tutorial", "reference/commands"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_a_page_is_no_wider_than_its_window(site, browser, page, width):
    address, _ = site
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.do("Emulation.setDeviceMetricsOverride", **size)
    browser.open(f"{address}{page}.html")
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_page_is_dark_where_the_system_is(site, browser, scheme):
    address, _ = site
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.do("Emulation.setEmulatedMedia", features=media)
    browser.open(f"{address}index.html")
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    levels = [int(n) for n in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(levels) < 60) == (scheme == "dark"), colour
