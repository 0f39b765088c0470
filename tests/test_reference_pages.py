"""docs/reference/*.md, which are written from the code."""

from __future__ import annotations

import ast

import pytest
import reference_pages as pages

from metadeploy import cli


@pytest.mark.parametrize("page", pages.PAGES)
def test_the_page_is_what_the_code_says(page):
    written = (pages.REPOSITORY / page).read_text("utf-8")
    assert written == pages.PAGES[page](), pages.COMMAND


def test_every_refusal_and_risk_is_explained():
    assert set(pages.REFUSALS) == set(pages.told("Refusal"))
    assert set(pages.RISKS) == set(pages.told("Risk"))


def test_every_error_says_what_to_do():
    found = {error.__name__: error for error in pages.error_classes()}
    assert {"PlanRefused", "DeployTimeout", "GitError"} <= set(found)
    for error in found.values():
        assert error.__doc__ and pages.remedy(error)
    assert set(pages.REMEDIES) <= set(found)


def test_every_exit_code_is_explained():
    named = {cli.USAGE, cli.UNKNOWN, cli.PARTLY, cli.DIFFERS, cli.INTERRUPTED}
    assert set(pages.EXITS) == {0, 1} | named


# Where the name of a variable is not a text or constant beside `os.environ`.
_ELSEWHERE = {
    "gitcommand.py",  # git's own
    "repository.py",  # the same
    "secretsource.py",  # {env: NAME}, and all for children
    "sf_logins.py",  # _NO_KEYCHAIN
    "terminal.py",  # handed on as a mapping
}


def _asked(tree):
    """Yield the names that are looked up in os.environ; None for one not known."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "os.environ.get",
            "os.getenv",
            "environ.get",
            "environment.get",
        ):
            name = node.args[0]
        elif (
            isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
        ):
            name = node.slice
        elif isinstance(node, ast.Compare) and any(
            ast.unparse(c) == "os.environ" for c in node.comparators
        ):
            name = node.left
        if isinstance(name, ast.Constant):
            yield name.value
        elif name is not None:
            yield constants.get(ast.unparse(name))


def test_every_variable_that_is_read_is_listed():
    found = {"SF_ACCESS_TOKEN", "SFDX_AUTH_URL"}  # defaults of {env: …}
    found |= {"SF_USE_GENERIC_UNIX_KEYCHAIN", "USE_GENERIC_UNIX_KEYCHAIN"}
    found |= {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"}  # a tuple of names
    unknown = set()
    for path in (pages.REPOSITORY / "metadeploy").rglob("*.py"):
        for name in _asked(ast.parse(path.read_text("utf-8"))):
            if name is None:
                unknown.add(path.name)
            else:
                found.add(name)
    assert unknown == _ELSEWHERE
    # By these the script of `completion` passes on what was typed.
    found -= {"_METADEPLOY_COMPLETE", "COMP_WORDS", "COMP_BREAKS"}
    assert found == set(pages.VARIABLES)
