"""Metadata as plain values: names to lists of texts and further such trees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from lxml import etree

from metadeploy.model import METADATA_NS

Node: TypeAlias = "str | dict[str, list[Node]]"
Tree: TypeAlias = "dict[str, list[Node]]"

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_UNSAFE = re.compile(r"[&<>'\"\r]")
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\r": "&#13;",
}


class XmlFault(Exception):
    """Not usable XML: what is wrong, at which line and column."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def parse(body: bytes, *, huge: bool = False) -> etree._Element:
    """Return the root element. No DTD, no entities, no network, bounded depth.

    Raises XmlFault. huge: allow texts over 10 MB, for bodies whose size was checked.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=huge,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        message = (error.msg or "not well-formed XML").split(", line ")[0]
        raise XmlFault(message, line or 1, max(column, 0)) from None
    if root.getroottree().docinfo.doctype:
        raise XmlFault("DOCTYPE is disallowed", 1, 1)
    return root


def local_name(element: etree._Element) -> str:
    """Return the tag without its namespace."""
    return _local(str(element.tag))


@lru_cache(maxsize=4096)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def escape(text: str) -> str:
    """Return text as orgs write it inside elements: quotes and apostrophes too."""
    return _UNSAFE.sub(lambda found: _ESCAPES[found[0]], text)


def tree_of(element: etree._Element) -> Tree:
    """Turn an element's content into a tree, whatever it holds."""
    tree: Tree = {}
    for child in element:
        node = tree_of(child) if len(child) else child.text or ""
        tree.setdefault(_local(str(child.tag)), []).append(node)
    return tree


def text(tree: Tree, *path: str) -> str:
    """Return the first text at that path, "" where there is none."""
    node: Node = tree
    for name in path:
        if isinstance(node, str) or not node.get(name):
            return ""
        node = node[name][0]
    return node if isinstance(node, str) else ""


def texts(tree: Tree, *path: str) -> list[str]:
    """Return all texts of the last name, inside the first of each name before it."""
    return [n for n in nodes(tree, *path) if isinstance(n, str)]


def nodes(tree: Tree, *path: str) -> list[Node]:
    """Return what is at that path; [] where nothing is."""
    for name in path[:-1]:
        inner = tree.get(name)
        if not inner or isinstance(inner[0], str):
            return []
        tree = inner[0]
    return tree.get(path[-1], [])


def trees(tree: Tree, *path: str) -> list[Tree]:
    """Return the trees at that path."""
    return [n for n in nodes(tree, *path) if not isinstance(n, str)]


def subtree(tree: Tree, name: str) -> Tree | None:
    """Return the first tree of that name, or None."""
    found = tree.get(name)
    return found[0] if found and not isinstance(found[0], str) else None


def copy(tree: Tree) -> Tree:
    """Return a deep copy."""
    return {
        name: [n if isinstance(n, str) else copy(n) for n in values]
        for name, values in tree.items()
    }


def write_file(root: str, tree: Tree) -> bytes:
    """Write a metadata file as orgs do (§7): alphabetical, 4 spaces, `&apos;`.

    Observed: files that retrieve returned.
    """
    out = [f'{DECLARATION}<{root} xmlns="{METADATA_NS}">\n']
    _write(tree, "    ", out)
    out.append(f"</{root}>\n")
    return "".join(out).encode()


def write_content(tree: Tree, order: Iterable[str] | None = None) -> str:
    """Write what is inside the root, unindented, names in that order or sorted."""
    out: list[str] = []
    _write(tree, "", out, order)
    return "".join(out)


def _write(
    tree: Tree, indent: str, out: list[str], order: Iterable[str] | None = None
) -> None:
    for name in order if order is not None else sorted(tree):
        for node in tree.get(name, ()):
            if isinstance(node, str):
                value = escape(node) if _UNSAFE.search(node) else node
                out.append(f"{indent}<{name}>{value}</{name}>\n")
            else:
                out.append(f"{indent}<{name}>\n")
                _write(node, indent + "    ", out)
                out.append(f"{indent}</{name}>\n")


def leaf_tree(values: Mapping[str, str]) -> Tree:
    """Make a tree of single texts."""
    return {name: [value] for name, value in values.items()}
