"""YAML 1.2 text → plain values, with the line of each, and every problem in it.

Plain means dict, list, str, int, float, bool and None: no tags, no dates, no objects,
so nothing that a file says can run. Sizes are bounded before anything is expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from metadeploy.model import Problem

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Path: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 1_000_000
_MAX_NODES = 50_000
_MAX_DEPTH = 32
_TAG = "tag:yaml.org,2002:"


class Document(Struct, frozen=True):
    """One YAML file. `lines` maps the path of each value to its line, from 1."""

    value: Plain
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]

    def line_of(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest thing that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _TooBig(Exception):
    """More nodes or levels than any org file has: an alias bomb, or a mistake."""


def read(text: str, path: str) -> Document:
    """Return the values of YAML `text`; `path` is named in problems."""
    if len(text.encode()) > _MAX_BYTES:
        problem = Problem(path, 0, "larger than 1 MB; refused", "MD002")
        return Document({}, {}, (problem,))
    try:
        yaml = YAML(typ="safe", pure=True)
        # YAML 1.2 lets an anchor be set anew; to warn of it would be to print.
        yaml.composer.warn_double_anchors = False
        root = yaml.compose(text)
        builder = _Builder(path)
        value = {} if root is None else builder.build(root, (), 0)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(x for x in (error.context, error.problem) if x)
        problem = Problem(path, mark.line + 1 if mark else 0, what, "MD001")
        return Document({}, {}, (problem,))
    except YAMLError as error:
        what = str(error).strip().splitlines()[0]
        return Document({}, {}, (Problem(path, 0, what, "MD001"),))
    except (_TooBig, RecursionError):
        what = f"more than {_MAX_NODES} values or {_MAX_DEPTH} levels; refused"
        return Document({}, {}, (Problem(path, 0, what, "MD002"),))
    return Document(value, builder.lines, tuple(builder.problems))


class _Builder:
    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._nodes = 0

    def build(self, node: Node, at: Path, depth: int) -> Plain:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise _TooBig
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if str(node.tag) not in (_TAG + "seq", _TAG + "map"):
            self._refuse_tag(node)
        if isinstance(node, SequenceNode):
            return [
                self.build(n, (*at, i), depth + 1) for i, n in enumerate(node.value)
            ]
        assert isinstance(node, MappingNode)  # there is no fourth kind
        return self._mapping(node, at, depth)

    def _mapping(self, node: MappingNode, at: Path, depth: int) -> Plain:
        found: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            if key in found:
                first = self.lines[(*at, key)]
                self._problem(line, f"duplicate key {key!r}, first on line {first}")
                continue
            self.lines[(*at, key)] = line
            found[key] = self.build(value_node, (*at, key), depth + 1)
        return found

    def _scalar(self, node: ScalarNode) -> Plain:
        text, tag = str(node.value), str(node.tag)
        kind = tag.removeprefix(_TAG)
        try:
            match kind:
                case "str" | "timestamp":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    digits = text.replace("_", "").lower()
                    return int(digits, 0 if digits.lstrip("+-")[:2] in _BASES else 10)
                case "float":
                    return float(text.replace("_", "").lower().replace(".inf", "inf"))
        except ValueError:
            return text
        self._refuse_tag(node)
        return text

    def _refuse_tag(self, node: Node) -> None:
        self._problem(node.start_mark.line + 1, f"the tag {node.tag} is not allowed")

    def _problem(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.path, line, message, "MD001"))


_BASES = ("0x", "0o", "0b")
