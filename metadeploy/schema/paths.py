"""Where a component lives in a package, and which component a file is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from metadeploy.model import Ref
from metadeploy.schema.tables import MetadataType, metadata_types

_META = "-meta.xml"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def path_of(ref: Ref) -> str:
    """Return where `ref` lives in a package, such as "profiles/Admin.profile".

    A bundle gives its directory, a child such as a CustomField its parent's file.
    Names stay as they are: where the platform percent-encodes, as in
    "Custom%3A Sales Profile", the fullName itself is so spelled.
    Raises KeyError for an unknown type, ValueError for a name that makes no path.
    """
    found = metadata_types()[ref.type]
    if not _is_name(found, ref.full_name):
        raise ValueError(f"{ref.full_name!r} cannot be the name of a {ref.type}")
    if found.layout in ("inner", "child"):
        return _path_inside(found, ref.full_name)
    if found.layout == "descriptor":
        return f"{found.directory}/{ref.full_name}{_META}"
    if found.layout == "own":
        return f"{found.directory}/{ref.full_name}/{_leaf(found, ref.full_name)}"
    return f"{found.directory}/{_leaf(found, ref.full_name)}"


def ref_of(path: str) -> Ref | None:
    """Return the component that the file at `path` belongs to, None for none.

    path: with "/", at any depth: the last directory that fits decides. "-meta.xml"
    may follow the name, and a source tree may hold children in files of their own.
    A file inside a bundle gives the bundle.
    """
    segments = [s for s in path.split("/") if s not in ("", ".")]
    if _UNSAFE.search(path) or ".." in segments or len(segments) < 2:
        return None
    described = segments[-1].endswith(_META)
    segments[-1] = segments[-1].removesuffix(_META)
    for named in (_by_suffix, _by_place):
        for at in range(len(segments) - 2, -1, -1):
            for found in _by_directory().get(segments[at], ()):
                name = named(found, segments, at, described)
                if name and _is_name(found, name):
                    return Ref(found.name, name)
    return None


def root_name(ref: Ref) -> str:
    """Return the root element of the file: the type, or for Settings its own name."""
    if ref.type == "Settings":
        return f"{ref.full_name}Settings"
    return ref.type


def manifest_type(type_name: str) -> str:
    """Return the type that package.xml lists `type_name` under.

    Folders are listed among what they hold: a ReportFolder is a Report there.
    """
    found = metadata_types().get(type_name)
    if found and found.layout == "descriptor":
        return found.owner
    return type_name


@cache
def _by_directory() -> Mapping[str, tuple[MetadataType, ...]]:
    found: dict[str, tuple[MetadataType, ...]] = {}
    for row in metadata_types().values():
        found[row.directory] = (*found.get(row.directory, ()), row)
    return found


def _is_name(found: MetadataType, name: str) -> bool:
    segments = name.split("/")
    most = {"folder": len(segments), "descriptor": len(segments), "space": 2}
    parts = segments
    if found.layout == "inner":
        first, _, rest = name.partition(".")
        parts = [first, rest]
    return (
        not _UNSAFE.search(name)
        and not {"", ".", ".."} & set(parts)
        and len(segments) <= most.get(found.layout, 1)
    )


def _leaf(found: MetadataType, name: str) -> str:
    return f"{name}.{found.suffix}" if found.suffix else name


def _path_inside(found: MetadataType, name: str) -> str:
    owner = metadata_types()[found.owner]
    part, dot, rest = name.partition(".")
    if found.layout == "child":
        # Labels have no parent in their names: an org keeps them all in one file.
        part = part if dot else found.owner
        return f"{owner.directory}/{_leaf(owner, part)}"
    return f"{owner.directory}/{part}/{found.directory}/{_leaf(found, rest)}"


def _by_suffix(
    found: MetadataType, segments: list[str], at: int, described: bool
) -> str | None:
    del described
    leaf = segments[-1]
    stem = leaf.removesuffix(f".{found.suffix}")
    if not found.suffix or stem in ("", leaf):
        return None
    if found.layout in ("folder", "descriptor"):
        return "/".join([*segments[at + 1 : -1], stem])
    if found.layout in ("inner", "child"):
        owner = metadata_types()[found.owner].directory
        inside = at >= 2 and segments[at - 2] == owner
        return f"{segments[at - 1]}.{stem}" if inside else None
    return stem


def _by_place(
    found: MetadataType, segments: list[str], at: int, described: bool
) -> str | None:
    below = segments[at + 1 :]
    if found.layout == "bundle":
        if len(below) > 1:
            return below[0]
        stem, dot, _ = below[0].partition(".")
        return stem if described or not dot else None
    if found.layout == "space":
        return "/".join(below[:2]) if len(below) > 1 else None
    if found.layout == "descriptor" and described:
        return "/".join(below)
    if found.name == "Document" and (not described or len(below) > 1):
        return "/".join(below)
    return None
