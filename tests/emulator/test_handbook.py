"""docs/emulator.md, which is written from the tables of the rulebooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metadeploy.emulator import handbook, oauth, partner, rest, soap
from metadeploy.emulator.rulebook import COMPLAINTS

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_current():
    written = (ROOT / handbook.PAGE).read_text("utf-8")
    assert written == handbook.text(), (
        "python -m metadeploy.emulator > docs/emulator.md"
    )


def test_the_page_is_written_by_one_command():
    done = subprocess.run(
        [sys.executable, "-m", "metadeploy.emulator"], capture_output=True, check=True
    )
    assert done.stdout.decode("utf-8") == handbook.text()


def test_what_is_served_is_what_the_code_serves():
    metadata, data, paths, oauth_paths = (
        set(" ".join(names).split()) for names in handbook.OPERATIONS.values()
    )
    retired = {"create", "update", "delete"}
    assert metadata == set(soap._OPERATIONS) - retired
    assert data == set(partner._OPERATIONS) | {"login"}
    served = {pattern.partition("/([^/]+)")[0] for pattern in rest._ROUTES}
    assert paths == served - {""}
    assert oauth_paths == set(oauth._ENDPOINTS) | {"/id/{org}/{user}"}


def test_nothing_is_left_out():
    page = handbook.text().replace("\\|", "|")
    assert all(f"`{complaint.text}`" in page for complaint in COMPLAINTS.values())
