"""Names: usable in the platform and in a path, and each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from metadeploy import schema
from metadeploy.model import Problem
from metadeploy.rules.reading import File, show

_API_NAME = r"[A-Za-z](_?[A-Za-z0-9])*"
_LONGEST = 80
_API_NAMED = ("ConnectedApp", "PermissionSet", "ExternalClientApplication")


def check(files: Iterable[File]) -> Iterator[Problem]:
    """Yield what is wrong with each file's name by itself."""
    for file in files:
        if _has_api_name(file.ref.type):
            yield from _api_name(file)
        elif file.ref.type in schema.metadata_types():
            yield from _path(file)


def check_together(files: Iterable[File]) -> Iterator[Problem]:
    """Yield the names that two files have."""
    first: dict[tuple[str, str], File] = {}
    for file in files:
        ref = file.ref
        other = first.setdefault((ref.type, ref.full_name.casefold()), file)
        if other is not file:
            where, _ = other.source.locate(1)
            yield file.problem("MD502", f"{ref} comes from {where} as well", 1)


def _has_api_name(type_name: str) -> bool:
    return type_name in _API_NAMED or type_name.startswith("ExtlClntApp")


def _api_name(file: File) -> Iterator[Problem]:
    name = file.ref.full_name
    if not re.fullmatch(_API_NAME, name):
        text = f"{show(name)} cannot be the name of a {file.ref.type}"
        yield file.problem("MD501", text, 1)
    elif len(name) > _LONGEST:
        text = f"the name has {len(name)} characters; {_LONGEST} are allowed"
        yield file.problem("MD501", text, 1)


def _path(file: File) -> Iterator[Problem]:
    try:
        schema.path_of(file.ref)
    except ValueError as error:
        yield file.problem("MD503", str(error), 1)
