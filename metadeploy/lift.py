"""Live components of several orgs → one template, and each org's values. Pure.

What is the same everywhere is written as it is; what differs becomes a value under
the component's name, so that rendering gives each org back what it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lxml import etree
from msgspec import Struct

from metadeploy import xmlfile
from metadeploy.model import METADATA_NS, Component
from metadeploy.yamlfile import Plain

_INDENT = "    "
_JINJA = re.compile(r"\{[{%#]")


class Lifted(Struct, frozen=True):
    """A template's text, and the values that each org needs for it ({} for none)."""

    template: str
    values: Mapping[str, dict[str, Plain]]


def lift(found: Mapping[str, Component], name: str) -> Lifted:
    """Return the template that gives each org its own body back.

    found: org → its component, all of one type. name: an identifier, under which the
    values go. Raises XmlError for a body that is not XML.
    """
    roots = {org: xmlfile.parse(c.body) for org, c in found.items()}
    first = next(iter(roots.values()))
    lifter = _Lifter({org: {} for org in found})
    lines = lifter.children(roots, (name,), 1)
    tag = xmlfile.local_name(first)
    text = "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<{tag} xmlns="{METADATA_NS}">',
            *lines,
            f"</{tag}>",
            "",
        ]
    )
    return Lifted(text, lifter.values)


def identifier(full_name: str) -> str:
    """Return a name for values: the fullName, as far as a template can say it."""
    name = re.sub(r"\W", "_", full_name)
    return name if name.isidentifier() and name != "org" else f"app_{name}"


_Groups = Mapping[str, Sequence[etree._Element]]


class _Lifter:
    def __init__(self, values: dict[str, dict[str, Plain]]) -> None:
        self.values = values

    def children(
        self, parents: Mapping[str, etree._Element], path: tuple[str, ...], depth: int
    ) -> list[str]:
        """Return the template lines of what is inside the same element of each org."""
        names = sorted({xmlfile.local_name(c) for p in parents.values() for c in p})
        lines: list[str] = []
        for name in names:
            groups = {
                org: [c for c in p if xmlfile.local_name(c) == name]
                for org, p in parents.items()
            }
            lines += self._group(groups, (*path, name), depth)
        return lines

    def _group(self, groups: _Groups, path: tuple[str, ...], depth: int) -> list[str]:
        bodies = {tuple(map(_text_of, group)) for group in groups.values()}
        if len(bodies) == 1:
            return [_literal(e, depth) for e in next(iter(groups.values()))]
        if max(map(len, groups.values())) == 1:
            return self._single(groups, path, depth)
        return self._repeated(groups, path, depth)

    def _single(self, groups: _Groups, path: tuple[str, ...], depth: int) -> list[str]:
        """One element, or none, in each org."""
        have = {org: group[0] for org, group in groups.items() if group}
        tag, place = path[-1], ".".join(path)
        if any(len(element) for element in have.values()):
            for org in have:
                _put(self.values[org], path, {})
            inside = self.children(have, path, depth + 1)
            pad = _INDENT * depth
            lines = [f"{pad}<{tag}>", *inside, f"{pad}</{tag}>"]
        else:
            for org, element in have.items():
                _put(self.values[org], path, xmlfile.text_of(element))
            lines = [f"{_INDENT * depth}<{tag}>{{{{ {place} }}}}</{tag}>"]
        if len(have) < len(groups):
            lines = [f"{{% if {place} is defined %}}", *lines, "{% endif %}"]
            for org in groups.keys() - have.keys():
                _make(self.values[org], path[:-1])
        return lines

    def _repeated(
        self, groups: _Groups, path: tuple[str, ...], depth: int
    ) -> list[str]:
        """A list in each org, of texts or of structs."""
        tag, place = path[-1], ".".join(path)
        items = [e for group in groups.values() for e in group]
        for org, group in groups.items():
            _put(self.values[org], path, [_plain(e) for e in group])
        pad = _INDENT * depth
        if not any(map(len, items)):
            lines = [f"{pad}<{tag}>{{{{ item }}}}</{tag}>"]
        else:
            lines = [f"{pad}<{tag}>"]
            for name in sorted({xmlfile.local_name(c) for e in items for c in e}):
                leaf = f"{pad}{_INDENT}<{name}>{{{{ item.{name} }}}}</{name}>"
                if all(e.find(f"{{{METADATA_NS}}}{name}") is not None for e in items):
                    lines.append(leaf)
                else:
                    test = f"{{% if item.{name} is defined %}}"
                    lines += [test, leaf, "{% endif %}"]
            lines.append(f"{pad}</{tag}>")
        return [f"{{% for item in {place} %}}", *lines, "{% endfor %}"]


def _plain(element: etree._Element) -> Plain:
    if len(element) == 0:
        return xmlfile.text_of(element)
    return {xmlfile.local_name(c): _plain(c) for c in element}


def _put(values: dict[str, Plain], path: tuple[str, ...], value: Plain) -> None:
    _make(values, path[:-1])[path[-1]] = value


def _make(values: dict[str, Plain], path: tuple[str, ...]) -> dict[str, Plain]:
    """Return the mapping at `path`, made where it is missing."""
    for step in path:
        inner = values.setdefault(step, {})
        assert isinstance(inner, dict)  # leaves are never walked through
        values = inner
    return values


def _text_of(element: etree._Element) -> bytes:
    return xmlfile.canonical(element)


def _literal(element: etree._Element, depth: int) -> str:
    """Write an element as it is; what Jinja would read as its own is kept from it."""
    text = xmlfile.fragment(element, depth)
    if _JINJA.search(text):
        return f"{{% raw %}}{text}{{% endraw %}}"
    return text
