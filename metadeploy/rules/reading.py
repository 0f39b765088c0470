"""A component as the rules read it: its parsed root, and where its lines come from."""

from __future__ import annotations

from lxml import etree
from msgspec import Struct

from metadeploy.model import METADATA_NS, Component, Problem, Ref, Source
from metadeploy.rules.registry import RULES
from metadeploy.schema import path_of
from metadeploy.xmlfile import text_of

_LONGEST = 60


class File(Struct, frozen=True):
    """One component under check. root: None where the body is no XML for us."""

    ref: Ref
    source: Source
    root: etree._Element | None

    def problem(self, rule: str, message: str, at: etree._Element | int = 1) -> Problem:
        """Return a Problem of that rule; at: an element, or a line of the body."""
        line = at if isinstance(at, int) else line_of(at)
        path, line = self.source.locate(line)
        found = RULES[rule]
        return Problem(
            path,
            line,
            message,
            rule,
            found.severity,
            found.remedy,
            template=self.source.path,
        )


def source_of(component: Component) -> Source:
    """Return where the component comes from: at worst its place in a package."""
    if component.source is not None:
        return component.source
    try:
        return Source(path_of(component.ref))
    except (KeyError, ValueError):
        return Source(str(component.ref))


def line_of(element: etree._Element) -> int:
    """Return the line of an element in its file, from 1."""
    return element.sourceline or 1


def is_metadata(element: etree._Element) -> bool:
    """Tell whether the element is in the metadata namespace."""
    return str(element.tag).startswith(f"{{{METADATA_NS}}}")


def all_of(element: etree._Element | None, *path: str) -> list[etree._Element]:
    """Return the elements at `path` below `element`, in file order."""
    found = [] if element is None else [element]
    for name in path:
        found = [c for e in found for c in e.iterchildren(f"{{{METADATA_NS}}}{name}")]
    return found


def first_of(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Return the first element at `path` below `element`, None without one."""
    return next(iter(all_of(element, *path)), None)


def value_of(element: etree._Element | None, *path: str) -> str:
    """Return the text at `path`, without white space around it; "" without one."""
    found = first_of(element, *path)
    return "" if found is None else text_of(found).strip()


def is_true(element: etree._Element | None, *path: str) -> bool:
    """Tell whether the boolean at `path` is there and true."""
    return value_of(element, *path) in ("true", "1")


def show(value: str) -> str:
    """Return `value` for a message: quoted, on one line, at most 60 characters."""
    return repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…")


def one_of(values: tuple[str, ...]) -> str:
    """Return the values for a message; of a long list the first ones."""
    named = ", ".join(values[:8])
    return f"{named}, … ({len(values)} in all)" if len(values) > 8 else named
