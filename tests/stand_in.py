"""Stands in for a program of another's: notes what it is told, and refuses what that
program does not know.

It is run under the program's name. What each takes is from its manual: cli.github.com,
pip's, mailx(1), Salesforce CLI's. TOLD names the folder where it notes things.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

OURS = "git+https://<this repository>@<commit>"
# Words → (options and how many values each takes, how many words besides).
CALLS: dict[tuple[str, ...], tuple[dict[str, int], int]] = {
    ("pip", "install"): ({}, 1),
    ("gh", "pr", "comment"): (
        {"--edit-last": 0, "--create-if-none": 0, "--body-file": 1},
        1,
    ),
    ("gh", "label", "create"): ({"--force": 0}, 1),
    ("gh", "issue", "list"): (
        {"--state": 1, "--label": 1, "--json": 1, "--jq": 1},
        0,
    ),
    ("gh", "issue", "create"): ({"--title": 1, "--label": 1, "--body-file": 1}, 0),
    ("gh", "issue", "edit"): ({"--body-file": 1}, 1),
    ("gh", "issue", "close"): ({"--comment": 1}, 1),
    ("gh", "run", "download"): ({"--name": 1, "--dir": 1}, 1),
    ("unzip",): ({"-oj": 0, "-d": 1}, 1),
    ("mail",): ({"-s": 1}, 1),
    ("sf", "org", "assign", "permset"): (
        {"--name": 1, "--on-behalf-of": 1, "--target-org": 1},
        0,
    ),
}
# A comment or issue of GitHub holds no more.
_MOST = 65_536


def _parsed(words: list[str]) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    found = [c for c in CALLS if tuple(words[: len(c)]) == c]
    if not found:
        sys.exit(f"{words[0]}: no such command: {words[1:]}")
    call = max(found, key=len)
    known, count = CALLS[call]
    rest, options, others = words[len(call) :], dict[str, str](), list[str]()
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            others.append(word)
        elif word not in known:
            sys.exit(f"{call}: unknown flag: {word}")
        else:
            options[word] = rest.pop(0) if known[word] else ""
    if len(others) != count or not all(others):
        sys.exit(f"{call}: {count} words are wanted, not {others}")
    return call, options, others


def _issue(told: Path) -> str:
    """Return the number of the open issue, "" where there is none."""
    state = told / "issue"
    return state.read_text() if state.exists() else ""


def main() -> None:
    told = Path(os.environ["TOLD"])
    call, options, others = _parsed([Path(sys.argv[0]).name, *sys.argv[1:]])
    body = ""
    if "--body-file" in options:
        body = Path(options["--body-file"]).read_text("utf-8")
    if call == ("mail",):
        body = sys.stdin.read()
    if ("--body-file" in options or call == ("mail",)) and not 0 < len(body) <= _MOST:
        sys.exit(f"{call}: a text of {len(body)} characters")
    if call[0] == "gh" and call[1] != "run" and not os.environ.get("GH_TOKEN"):
        sys.exit("gh: To use GitHub CLI in a GitHub Actions workflow, set GH_TOKEN")
    if call == ("pip", "install") and others != [OURS]:
        sys.exit(f"pip: No matching distribution found for {others}")
    if call == ("gh", "issue", "list"):
        print(_issue(told))
    elif call == ("gh", "issue", "create"):
        (told / "issue").write_text("12")
    elif call in (("gh", "issue", "edit"), ("gh", "issue", "close")):
        if others != [_issue(told)]:
            sys.exit(f"gh: no open issue {others}")
        if call[2] == "close":
            (told / "issue").unlink()
    elif call == ("gh", "run", "download"):
        artifact = told.parent / "artifacts" / options["--name"]
        shutil.copytree(artifact, options["--dir"], dirs_exist_ok=True)
    elif call == ("unzip",):
        archive = told.parent / "artifacts" / others[0]
        shutil.copytree(archive, options["-d"], dirs_exist_ok=True)
    with (told / "calls.jsonl").open("a") as file:
        row = {"call": " ".join(call), "options": options, "words": others}
        file.write(json.dumps({**row, "body": body}) + "\n")


main()
