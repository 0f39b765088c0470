"""Read metadata XML from anybody, and write it in the one form that orgs write.

Reading is hardened: no DTD, no entities, no network, bounded depth. Writing is
canonical: 4-space indent, elements in the platform's alphabetical order, comments
gone, so equal metadata gives equal bytes (facts: Metadata API guide; retrieved files).
"""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from metadeploy.model import METADATA_NS, Component, Ref, Source

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_INDENT = "    "
# \r would come back as \n; as a reference it survives (XML 1.0 §2.11).
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "'": "&apos;",
        '"': "&quot;",
        "\r": "&#13;",
    }
)


class XmlError(ValueError):
    """A body is not usable XML: what is wrong, at which line and column (from 1)."""

    def __init__(self, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def parse(body: bytes, *, huge: bool = False) -> etree._Element:
    """Return the root element of `body`. Raises XmlError, also for any DTD.

    huge: allow text nodes over 10 MB; only for answers whose size was checked.
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
        raise XmlError(message, line or 1, column) from error
    if root.getroottree().docinfo.doctype:
        raise XmlError("a DOCTYPE is not allowed in metadata", 1)
    return root


def local_name(element: etree._Element) -> str:
    """Return the tag without its namespace."""
    tag = str(element.tag)
    return tag.rpartition("}")[2]


def text_of(element: etree._Element) -> str:
    """Return the text directly inside `element`, "" where there is none."""
    return element.text or ""


def canonical(root: etree._Element) -> bytes:
    """Write `root` the way orgs write it.

    Children are ordered by name; elements of the same name keep their order, and so
    stay together as the platform demands. Text of leaves is kept to the character.
    """
    return "".join(text for text, _ in _write(root)).encode()


def canonical_lines(root: etree._Element) -> tuple[bytes, list[etree._Element]]:
    """Write `root` canonically; the element behind each line comes along."""
    chunks = _write(root)
    behind = [element for text, element in chunks for _ in range(text.count("\n"))]
    return "".join(text for text, _ in chunks).encode(), behind


def fragment(element: etree._Element, depth: int) -> str:
    """Write an element as `canonical` writes it inside `depth` others."""
    out: list[tuple[str, etree._Element]] = []
    _write_element(element, _INDENT * depth, out)
    return "".join(text for text, _ in out).removesuffix("\n")


def component(
    ref: Ref,
    root: etree._Element,
    path: str,
    place: Callable[[etree._Element], tuple[str, int]],
) -> Component:
    """Return `root` as a component; `place` gives each element's (path, line).

    path: of the template that most of it comes from.
    """
    body, behind = canonical_lines(root)
    return Component(ref, body, Source(path, tuple(place(e) for e in behind)))


def _write(root: etree._Element) -> list[tuple[str, etree._Element]]:
    out = [(_DECLARATION, root)]
    _write_element(root, "", out, f' xmlns="{METADATA_NS}"')
    return out


def _write_element(
    element: etree._Element,
    indent: str,
    out: list[tuple[str, etree._Element]],
    attributes: str = "",
) -> None:
    name = local_name(element)
    children = sorted(element, key=local_name)
    if children:
        out.append((f"{indent}<{name}{attributes}>\n", element))
        for child in children:
            _write_element(child, indent + _INDENT, out)
        out.append((f"{indent}</{name}>\n", element))
    elif text := text_of(element):
        safe = text.translate(_ESCAPES)
        out.append((f"{indent}<{name}{attributes}>{safe}</{name}>\n", element))
    else:
        out.append((f"{indent}<{name}{attributes}/>\n", element))
