"""Sphinx: docs/ as HTML (`make docs`). The pages themselves are plain Markdown.

Their order is here and not in them, since code hosts show no toctree.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

project = "metadeploy"
author = "the metadeploy contributors"
html_title = "metadeploy"
extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True
smartquotes = False

html_theme = "furo"
html_copy_source = False
html_css_files = ["terminal.css"]
html_static_path = ["_static"]
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}

_SECTIONS = {
    "Start": ["tutorial"],
    "How-to": [
        "how-to/index",
        "how-to/connect-an-org",
        "how-to/adopt",
        "how-to/sf-project",
        "how-to/sandbox-refresh",
        "how-to/master-secret",
        "how-to/rotate-a-key",
        "how-to/prove-logins",
        "how-to/external-client-apps",
        "how-to/promote",
        "how-to/hooks",
        "how-to/branches",
        "how-to/undo-and-resume",
        "how-to/provision",
    ],
    "Pipelines": [
        "ci/index",
        "ci/github-actions",
        "ci/gitlab",
        "ci/shell",
        "ci/setup",
    ],
    "Reference": [
        "reference/commands",
        "reference/org-file",
        "reference/templates",
        "rules",
        "reference/refusals",
        "reference/errors",
        "oauth-errors",
        "reference/json",
        "reports",
        "reference/python",
        "reference/environment",
        "terminal",
        "logins",
        "emulator",
    ],
    "Explanation": ["explanation", "reliability"],
}


def _toctrees() -> str:
    here = Path(__file__).parent
    pages = {p.relative_to(here).with_suffix("").as_posix() for p in here.rglob("*.md")}
    listed = {page for names in _SECTIONS.values() for page in names}
    sections = {**_SECTIONS}
    sections["How-to"] = [*sections["How-to"], *sorted(pages - listed - {"index"})]
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n"
        + "\n".join(names)
        + "\n```\n"
        for title, names in sections.items()
    )


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    if name == "index":
        content[0] += _toctrees()


def setup(app: Sphinx) -> None:
    """Give the first page the tables of contents."""
    app.connect("source-read", _read)
