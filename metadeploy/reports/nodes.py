"""Elements of HTML, built so that a text can never be markup. Pure.

lxml's tree and not a template: there is no autoescaping that could be off, and what is
written passes `told` here, so that no caller can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lxml import etree

from metadeploy.reports.account import told

Child = etree._Element | str
_NONE: Mapping[str, str] = {}


def node(name: str, *children: Child, at: Mapping[str, str] = _NONE) -> etree._Element:
    """Return an element. name: "td", or with classes, "td.calm.many"."""
    tag, *classes = name.split(".")
    element = etree.Element(tag)
    if classes:
        element.set("class", " ".join(classes))
    for key, value in at.items():
        element.set(key, told(value))
    add(element, children)
    return element


def add(element: etree._Element, children: Iterable[Child]) -> None:
    """Append elements and texts."""
    for child in children:
        if not isinstance(child, str):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + told(child)
        else:
            element.text = (element.text or "") + told(child)


def verbatim(tag: str, text: str, at: Mapping[str, str] = _NONE) -> etree._Element:
    """Return a style or script: text of our own, which HTML does not escape."""
    element = etree.Element(tag, dict(at))
    element.text = text
    return element


def document(root: etree._Element) -> str:
    """Return the text of a whole page."""
    text = etree.tostring(
        root, method="html", encoding="unicode", doctype="<!doctype html>"
    )
    return f"{text}\n"
