"""What pages of docs/ show of a terminal is what a terminal shows."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from pages import (
    DOCS,
    REPOSITORY,
    SHOWN,
    commands,
    fits,
    normal,
    played,
    refresh,
    shortened,
)

from metadeploy import cli


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", SHOWN, ids=lambda p: p.stem)
def test_a_page_shows_what_its_commands_print(page, tmp_path):
    ran = 0
    for step, printed in played(page.read_text("utf-8"), tmp_path):
        assert fits(step.shown, printed), (
            f"{page.relative_to(REPOSITORY)}:{step.at}: `{step.command}` prints\n"
            + "\n".join(printed)
            + "\n(`make pages` writes what it prints into the page)"
        )
        ran += 1
    assert ran or "```console" not in page.read_text("utf-8")


def typed(text):
    """Yield the words of each metadeploy command that a page tells to type."""
    for command in commands(text):
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[();|&]+", word):
                if words[:1] == ["metadeploy"]:
                    yield [w for w in words[1:] if w != ">"]
                words = []
            elif re.fullmatch(r"[<>]+", word):  # what follows is a file's name
                words = [*words, ">"]
            elif ">" not in words:
                words.append(word.removeprefix("$"))


@pytest.mark.parametrize(
    "page",
    [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda p: p.relative_to(REPOSITORY).as_posix(),
)
def test_a_page_tells_to_type_what_there_is(page):
    for words in typed(page.read_text("utf-8")):
        command, name, parent = cli.metadeploy, "metadeploy", None
        while True:
            context = command.make_context(name, list(words), parent)
            if not isinstance(command, click.Group):
                break
            words = [*context._protected_args, *context.args]
            name, command, words = command.resolve_command(context, words)
            parent = context


@pytest.mark.parametrize("words", ["plan dev --no-such", "plann dev", "keys exprt dev"])
def test_what_there_is_not_would_be_found(tmp_path, words):
    page = tmp_path / "page.md"
    page.write_text(f"```sh\ntrue && metadeploy {words} > file\n```\n")
    with pytest.raises(click.UsageError):
        test_a_page_tells_to_type_what_there_is(page)


def test_what_differs_each_time_is_no_difference():
    line = "uat  deployed and verified  0AfI3EvbNb9JQNzKJO  run 5cd8758d9241b9c5"
    assert normal(line) == "uat  deployed and verified  <id>  run <digest>"
    assert normal("on 2026-11-28 02:30 in 1.5 s") == "on <time> in <duration>"


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        (("a", "b"), ("a", "b"), True),
        (("a", "b"), ("a", "c"), False),
        (("a",), ("a", "b"), False),
        (("a", "…", "d"), ("a", "b", "c", "d"), True),
        (("a", "…", "d"), ("a", "d"), True),
        (("a", "…", "d"), ("a", "b", "d", "e"), False),
        (("a", "…", "b", "…", "c"), ("a", "c"), False),
        ((), (), True),
        ((), ("a",), False),
    ],
)
def test_what_a_page_leaves_out_may_be_anything(shown, printed, fit):
    assert fits(shown, printed) is fit


def test_a_page_goes_on_leaving_out_what_it_left_out():
    assert shortened(("a", "…", "z"), ("b", "c", "d", "e")) == ("b", "…", "e")
    more = ("a", "b", "", "c", "d", "e")
    assert shortened(("a", "…", "", "c", "e"), more) == ("a", "…", "", "c", "d", "e")
    assert shortened(("a",), ("b", "c")) == ("b", "c")
    assert shortened(("a", "…", "z"), ("b", "c")) == ("b", "c")


PAGE = """# A page

```console
$ echo hello && date +%Y-%m-%d
HELLO
1999-01-01
$ seq 9
1
…
9
```
"""


def test_a_page_is_written_anew_as_a_whole_or_not_at_all(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert refresh(page)
    text = page.read_text()
    assert "hello\n20" in text and "HELLO" not in text and "1\n…\n9" in text
    assert not refresh(page)
