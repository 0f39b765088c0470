"""docs/reliability.md, which is written from the tables of the tests."""

from __future__ import annotations

from pathlib import Path

import reliability_page

ROOT = Path(__file__).parent.parent


def test_the_page_is_current():
    written = (ROOT / reliability_page.PAGE).read_text("utf-8")
    assert written == reliability_page.text(), (
        "python tests/reliability_page.py > docs/reliability.md"
    )


def test_every_status_of_a_run_is_explained():
    from invariants import ENDED

    page = reliability_page.text()
    assert all(f"`{status}`" in page for status in ENDED - {"Checked"})
