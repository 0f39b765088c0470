"""What a template reads: other texts and values, as its syntax says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import Environment, TemplateError, meta, nodes
from msgspec import Struct

_SYNTAX = Environment(autoescape=True)
_GIVEN = frozenset({"fail", "file", "range", "dict", "lipsum", "cycler", "joiner"})


class Reads(Struct, frozen=True):
    """What one text reads by itself.

    texts: templates that it imports or includes, files of certs/; "*" where a name is
    only known when it is rendered. values: dotted names, as far as they are written.
    """

    texts: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()


def reads(text: str, items: Mapping[str, str]) -> Reads:
    """Return what a template's text reads; nothing where it has no syntax.

    items: name → the list in the values whose items bear it.
    """
    try:
        parsed = _SYNTAX.parse(text)
    except TemplateError:
        return Reads()
    named = meta.find_referenced_templates(parsed)
    texts = {"*" if name is None else name for name in named}
    free = _free(parsed) - _GIVEN
    values: set[str] = set()
    for name in _names(parsed, free):
        first, dot, rest = name.partition(".")
        values.add(items.get(first, f"{first}{dot}{rest}"))
    called: set[int] = set()
    for call in parsed.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "file":
            given = call.args[0] if call.args else None
            texts.add(str(given.value) if isinstance(given, nodes.Const) else "*")
            called.add(id(call.node))
    for name_ in parsed.find_all(nodes.Name):  # `file` by another name reads anything
        if name_.name == "file" and name_.ctx == "load" and id(name_) not in called:
            texts.add("*")
    return Reads(frozenset(texts), frozenset(values))


def _free(parsed: nodes.Template) -> set[str]:
    """Return the names that a template is given.

    All that it reads, where it asks for a filter that there is not: it cannot run.
    """
    try:
        return meta.find_undeclared_variables(parsed)
    except TemplateError:
        return {n.name for n in parsed.find_all(nodes.Name) if n.ctx == "load"}


def _names(node: nodes.Node, free: set[str]) -> Iterator[str]:
    """Yield the longest dotted names below a node that begin with a free one."""
    for child in node.iter_child_nodes():
        found = _dotted(child)
        if found and found.partition(".")[0] in free:
            yield found
        elif not found:
            yield from _names(child, free)


def _dotted(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        inner = _dotted(node.node)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def touches(name: str, values: frozenset[str]) -> bool:
    """Tell whether a value of that dotted name is read, as a whole or in part."""
    return any(
        name == read or name.startswith(f"{read}.") or read.startswith(f"{name}.")
        for read in values
    )


def names(path: str, read: frozenset[str]) -> bool:
    """Tell whether a text of that path is among those that are read."""
    return not read.isdisjoint({"*", path, path.removeprefix("templates/")})
