"""An sf source tree beside templates/: sfdx-project.json and .forceignore. Pure.

Package directories hold what other tools deploy too; of it we take the types that we
can compare element by element, as files or, with .j2, as templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from metadeploy import schema
from metadeploy.errors import ConfigError

PROJECT_FILE = "sfdx-project.json"
IGNORE_FILE = ".forceignore"


def package_directories(text: str) -> tuple[str, ...]:
    """Return the folders that sfdx-project.json names, each with "/" at its end.

    Raises ConfigError for a file that is no such project, or a folder outside it.
    """
    found: list[str] = []
    entries = _project(text).get("packageDirectories", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{PROJECT_FILE}: packageDirectories is no list")
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str):
            raise ConfigError(f"{PROJECT_FILE}: a package directory without a path")
        parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".")]
        if path.startswith("/") or ".." in parts or not parts:
            raise ConfigError(
                f"{PROJECT_FILE}: {path!r} is not a folder of the project"
            )
        found.append("/".join(parts) + "/")
    return tuple(found)


def source_api_version(text: str) -> str | None:
    """Return the API version that sfdx-project.json asks for, if any."""
    version = _project(text).get("sourceApiVersion")
    if version is None:
        return None
    if not re.fullmatch(r"[1-9]\d\.0", str(version)):
        what = f"{PROJECT_FILE}: sourceApiVersion {version!r} is not like '66.0'"
        raise ConfigError(what)
    return str(version)


def _project(text: str) -> dict[str, object]:
    import json  # few projects have such a file

    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{PROJECT_FILE}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{PROJECT_FILE}: a mapping is wanted")
    return found


def is_ours(path: str) -> bool:
    """Tell if a file of a package directory is of a type that we can compare."""
    ref = schema.ref_of(path.removesuffix(".j2"))
    return ref is not None and schema.fields(schema.root_name(ref)) is not None


def ignored(patterns: str) -> Ignore:
    """Return what a .forceignore leaves out; its rules are those of .gitignore."""
    return Ignore(
        [
            _rule(line.strip())
            for line in patterns.split("\n")
            if line.strip() and not line.startswith("#")
        ]
    )


class Ignore:
    """The rules of a .forceignore, in order: the last one that fits decides."""

    def __init__(self, rules: Iterable[tuple[bool, re.Pattern[str]]]) -> None:
        self._rules = tuple(rules)

    def __contains__(self, path: str) -> bool:
        """Tell if a file is left out, or a folder that it is in."""
        steps = path.split("/")
        places = ["/".join(steps[:n]) + "/" for n in range(1, len(steps))] + [path]
        for place in places:
            out = False
            for keeps, pattern in self._rules:
                if pattern.fullmatch(place):
                    out = not keeps
            if out:
                return True  # what is in a folder left out cannot be taken back in
        return False


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    keeps = line.startswith("!")
    line = line.removeprefix("!")
    folder_only = line.endswith("/")
    line = line.rstrip("/")
    anchored = "/" in line
    text = "" if anchored else "(?:.*/)?"
    for part in re.split(r"(\*\*/|/\*\*$|\*|\?|\[[^]]*\])", line.removeprefix("/")):
        text += {
            "**/": "(?:.*/)?",
            "/**": "/.*",
            "*": "[^/]*",
            "?": "[^/]",
        }.get(part) or (part if part.startswith("[") else re.escape(part))
    return keeps, re.compile(text + ("/" if folder_only else "/?"))
