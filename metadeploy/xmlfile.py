"""Read metadata XML from anybody, and write it in the one form that orgs write.

Reading is hardened: no DTD, no entities, no network, bounded depth. What is too large
to hold is read as it arrives, and its one large text handed on. Writing is
canonical: 4-space indent, elements in the platform's alphabetical order, comments
gone, so equal metadata gives equal bytes (facts: Metadata API guide; retrieved files).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypedDict, TypeVar, cast

from lxml import etree

from metadeploy.model import METADATA_NS, Component, Ref, Source

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_INDENT = "    "
_NO_DOCTYPE = "a DOCTYPE is not allowed in metadata"
# Of XML that is read in pieces: bytes at a time, and what is kept of it. libxml2's own
# limits of depth and text; no answer about 10,000 files has as many elements.
_PIECE_BYTES = 1 << 16
_MAX_DEPTH, _MAX_TEXT, _MAX_ELEMENTS = 256, 10_000_000, 1_000_000
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


_T = TypeVar("_T")


class XmlError(ValueError):
    """A body is not usable XML: what is wrong, at which line and column (from 1)."""

    def __init__(self, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class _Hardened(TypedDict):
    resolve_entities: bool
    no_network: bool
    load_dtd: bool
    huge_tree: bool
    remove_comments: bool
    remove_pis: bool


_HARDENED = _Hardened(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)


def parse(body: bytes) -> etree._Element:
    """Return the root element of `body`. Raises XmlError, also for any DTD."""
    try:
        root = etree.fromstring(body, etree.XMLParser(**_HARDENED))
    except etree.XMLSyntaxError as error:
        raise _xml_error(error) from error
    if root.getroottree().docinfo.doctype:
        raise XmlError(_NO_DOCTYPE, 1)
    return root


class Reading:
    """XML that arrives in pieces, with one leaf whose text is not kept.

    leaf: the tags on the way to it, from the root. sink: gets its text as it comes.
    held: bytes up to which there are no pieces: what is so short is parsed at once,
    which is faster.
    """

    def __init__(
        self,
        leaf: Sequence[str],
        sink: Callable[[str], object],
        *,
        held: int = 1_000_000,
    ) -> None:
        self._leaf, self._sink = tuple(leaf), sink
        self._most, self._held = held, bytearray()
        self._target = _Target(self._leaf, sink)
        self._parser: etree.XMLParser | None = None
        self._error: XmlError | None = None

    def feed(self, data: bytes) -> None:
        """Take the next piece; `root` says what was wrong with it."""
        if self._parser is None:
            self._held += data
            if len(self._held) <= self._most:
                return
            # Of targets the types know subclasses of their own only.
            target = cast("etree.TreeBuilder", self._target)
            made = etree.XMLParser(target=target, **_HARDENED)
            self._parser = cast("etree.XMLParser", made)
            data, self._held = bytes(self._held), bytearray()
        for at in range(0, len(data), _PIECE_BYTES):
            self._do(self._parser.feed, data[at : at + _PIECE_BYTES])

    def root(self) -> etree._Element:
        """Return the root element, now that all has come. Raises XmlError."""
        if self._parser is None:
            root = parse(bytes(self._held))
            for leaf in _at(root, self._leaf):
                self._sink(text_of(leaf))
                leaf.text = None
            return root
        found = self._do(self._parser.close)
        wrong = self._parser.feed_error_log.filter_from_errors()
        if self._error is None and wrong:  # of namespaces: told, and gone on
            self._error = XmlError(wrong[0].message, wrong[0].line, wrong[0].column)
        if self._error is not None:
            raise self._error
        assert found is not None  # or something was wrong
        return found

    def _do(self, step: Callable[..., _T], *data: bytes) -> _T | None:
        """Go on with the parser, unless something was wrong before."""
        if self._error is None:
            try:
                return step(*data)
            except (etree.XMLSyntaxError, XmlError) as error:
                bad = cast("etree.XMLSyntaxError", error)
                self._error = self._target.wrong or _xml_error(bad)
        return None


def _at(root: etree._Element, path: Sequence[str]) -> list[etree._Element]:
    """Return the one element at the end of `path`, where there is one."""
    found = [root] if root.tag == path[0] else []
    for tag in path[1:]:
        found = [child for element in found for child in element.findall(tag)]
    if len(found) > 1:
        raise XmlError(f"a second {path[-1]}", 1)
    if found and len(found[0]):
        raise XmlError(f"a {local_name(found[0][0])} where a text is wanted", 1)
    return found


class _Target:
    """What the parser of a Reading tells: a tree, but for the text of one leaf.

    libxml2 bounds what it keeps itself; here we keep, so the bounds are ours.
    """

    def __init__(self, leaf: Sequence[str], sink: Callable[[str], object]) -> None:
        self.wrong: XmlError | None = None
        self._tree = etree.TreeBuilder()
        self._leaf, self._sink = list(leaf), sink
        self._path: list[str] = []
        self._met = False
        self._elements = 0
        self._text = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._path.append(tag)
        self._elements += 1
        self._text = 0
        if len(self._path) > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            self._refuse("the XML is deeper or longer than any answer")
        if self._path == self._leaf:
            if self._met:
                self._refuse(f"a second {tag}")
            self._met = True
        elif self._path[:-1] == self._leaf:
            self._refuse(f"a {tag} where a text is wanted")
        self._tree.start(tag, dict(attributes))

    def end(self, tag: str) -> None:
        self._path.pop()
        self._text = 0
        self._tree.end(tag)

    def data(self, text: str) -> None:
        if self._path == self._leaf:
            self._sink(text)
            return
        self._text += len(text)
        if self._text > _MAX_TEXT:
            self._refuse("a text is longer than 10 MB")
        self._tree.data(text)

    def doctype(self, *_: object) -> None:
        self._refuse(_NO_DOCTYPE)

    def close(self) -> etree._Element:
        return self._tree.close()

    def _refuse(self, what: str) -> NoReturn:
        self.wrong = XmlError(what, 1)
        raise self.wrong


def _xml_error(error: etree.XMLSyntaxError) -> XmlError:
    line, column = error.position
    message = (error.msg or "not well-formed XML").split(", line ")[0]
    return XmlError(message, line or 1, column)


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
