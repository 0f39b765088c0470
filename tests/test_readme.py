"""What the README tells a newcomer to do is done here, in its order."""

from __future__ import annotations

import re
import subprocess
import sys

import pages
from pages import REPOSITORY

from metadeploy import cli

README = (REPOSITORY / "README.md").read_text("utf-8")
SF_PROJECT = (REPOSITORY / "docs" / "how-to" / "sf-project.md").read_text("utf-8")


def texts(language):
    return [
        block.text
        for block in pages.blocks(README)
        if isinstance(block, pages.Block) and block.language == language
    ]


def test_every_metadeploy_command_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init", "portal"]) == 0
    monkeypatch.chdir("portal")
    ran = 0
    for command in pages.commands(README):
        for part in command.split("&&"):
            words = part.split()
            if words[0] != "metadeploy":
                continue
            capsys.readouterr()
            assert cli.run(words[1:]) == 0, (part, capsys.readouterr())
            ran += 1
    assert ran >= 8


def test_make_has_every_target_that_is_named():
    makefile = (REPOSITORY / "Makefile").read_text()
    named = set(re.findall(r"[`$] ?make ([a-z-]+)", README))
    assert {"demo", "test", "check", "docs"} <= named
    for target in named:
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_the_other_client_would_find_the_server(tmp_path):
    """`emulator serve --port N &` and the token line, with a free port for 8777."""
    (line,) = [c for c in pages.commands(SF_PROJECT) if c.endswith("&")]
    words = line.removesuffix("&").split()
    words[words.index("--port") + 1] = "0"
    assert cli.run(["init", str(tmp_path)]) == 0
    run = [sys.executable, "-m", "metadeploy"]
    server = subprocess.Popen(
        [*run, *words[1:]], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline().startswith('{"url": "http://127.0.0.1:')
        (line,) = [c for c in pages.commands(SF_PROJECT) if "$(" in c]
        inner = re.search(r"\$\((.*?) \|", line)[1].split()
        done = subprocess.run(
            [*run, *inner[1:]], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert '"accessToken": "00D' in done.stdout
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


def test_the_python_example_runs(tmp_path):
    assert cli.run(["init", str(tmp_path)]) == 0
    (code,) = texts("python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_table_names_every_command():
    rows = re.findall(r"(?m)^\| `([a-z]+)", README)
    assert sorted(rows) == sorted(cli.COMMANDS)


def anchors(page):
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", README)
    assert len(links) > 10
    for path, anchor in links:
        page = REPOSITORY / path if path else REPOSITORY / "README.md"
        assert page.exists(), path
        assert not anchor or anchor in anchors(page), f"{path}#{anchor}"


def test_the_org_file_shown_is_read(tmp_path):
    from metadeploy import orgfile, yamlfile

    (text,) = [b for b in texts("yaml") if b.startswith("kind:")]
    document = yamlfile.read(text, "orgs/uat.yaml")
    org, problems = orgfile.read("uat", "orgs/uat.yaml", document, None)
    assert problems == ()
    assert org.app("Portal").generation == 2
