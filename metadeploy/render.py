"""Template texts and one org's values → Components. Pure: no disk, no clock, no chance.

Templates are somebody's code, so they run in a sandbox with what can surprise taken
out: no undefined names, no None, no raw text around XML escaping, no chance, bounded
work. Every piece of a rendered body knows its template line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn

from jinja2 import (
    FunctionLoader,
    Template,
    TemplateError,
    TemplateSyntaxError,
)
from jinja2.exceptions import TemplateNotFound, UndefinedError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from msgspec import Struct

from metadeploy import schema
from metadeploy.model import Component, Problem, Ref, Source
from metadeploy.near import did_you_mean
from metadeploy.orgfile import Org, selects
from metadeploy.reads import Reads, reads
from metadeploy.rules.suppression import Suppression
from metadeploy.sandbox import Sandbox
from metadeploy.yamlfile import Plain

SUFFIX = ".j2"
TEMPLATES, CERTS, SHIPPED = "templates/", "certs/", "metadeploy/"
_MAX_CHARACTERS = 50_000_000

# What a template may raise when it runs; anything else is a bug of ours.
_TEMPLATE_FAULTS = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    SyntaxError,  # Python's own, of loops nested too deep
    TypeError,
    ValueError,
)

# A template without any of what Jinja acts on is its own text, but for line ends.
_JINJA = re.compile(r"\{[{%#]")
_NEWLINE = r"\r\n?"
# Noncharacters mark template lines in the output; no value may hold them.
_MARK = re.compile("\ufdd0([^\ufdd0\ufdd1]*):([0-9]+)\ufdd1")
_UNDEFINED = re.compile(r"'(.+)' is undefined")
_NOT_EXPORTED = re.compile(
    r"the template '(.+)' \(imported on .*\) does not export the requested name '(.+)'"
)
_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)")
_TAG_START = re.compile(r"<(?=[A-Za-z])|\n")


class Rendered(Struct, frozen=True):
    """What the templates make of one org's values, ordered by Ref."""

    components: tuple[Component, ...]
    problems: tuple[Problem, ...]


class _Header(Struct, frozen=True):
    """What a template's first comment says: one component for each item of a list.

    line: of the for_each. suppress: what need not be told of the template.
    """

    for_each: str = ""
    name: str = "item"
    line: int = 1
    suppress: tuple[Suppression, ...] = ()


class Renderer:
    """The templates of a project, compiled once, for any number of orgs."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        """templates: path below the project, such as "templates/profiles/X.profile.j2",
        → text; names that start with "metadeploy/" are the macros that we ship, those
        that start with "certs/" are what `file()` reads.
        """
        self._texts = templates
        self._env = _environment(templates)
        self._headers = {
            path: _header(path, text)
            for path, text in templates.items()
            if path.endswith(SUFFIX) and not path.startswith((CERTS, SHIPPED))
        }
        self._refs = {
            path: ref
            for path in sorted(templates)
            if path.endswith(SUFFIX) and not path.startswith(CERTS)
            if (ref := _target(path))
        }
        # Files of an sf source tree are components as they are.
        self._files = {
            path: ref
            for path in sorted(templates)
            if not path.endswith(SUFFIX) and not path.startswith((TEMPLATES, CERTS))
            if (ref := schema.ref_of(path))
        }
        self._names: dict[str, Template] = {}
        self.paths = tuple(self._refs)

    def render(self, org: Org, only: Collection[str] | None = None) -> Rendered:
        """Return the components of `org`, and all problems met on the way.

        only: the templates and files to make them of; default: all.
        """
        components: list[Component] = []
        problems: list[Problem] = []

        def is_meant(path: str) -> bool:
            return (only is None or path in only) and _chosen(path, org)

        for path in self.paths:
            if not is_meant(path):
                continue
            for found in self._render_template(path, org):
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    components.append(found)
        for path, ref in self._files.items():
            if is_meant(path):
                body = self._texts[path].encode()
                components.append(Component(ref, body, Source(path)))
        components.sort(key=lambda c: c.ref)
        return Rendered(tuple(components), tuple(problems))

    def sources(self, org: Org) -> tuple[str, ...]:
        """Return the project's texts that may have a part in what `org` gets.

        They are the templates that its file chooses, every macro, every certificate.
        """
        return tuple(
            path
            for path in self._texts
            if not path.startswith(SHIPPED)
            and (path not in self._refs or _chosen(path, org))
        )

    def reads(self, path: str) -> Reads:
        """Return what a template or macro reads by itself, its file's name included."""
        if not path.endswith(SUFFIX) or path not in self._texts:
            return Reads()
        header = self._headers.get(path)
        items = {}
        if isinstance(header, _Header) and header.for_each:
            items = {header.name: header.for_each}
        body, name = reads(self._texts[path], items), reads(path, items)
        values = body.values | name.values | frozenset(items.values())
        return Reads(body.texts, values)

    def ref_of(self, path: str) -> Ref | None:
        """Return what a text makes, as its path says it; None where it is nothing."""
        return self._refs.get(path) or self._files.get(path)

    def header_suppressions(self, path: str) -> tuple[Suppression, ...]:
        """Return what the header of one template or macro suppresses."""
        header = self._headers.get(path)
        return header.suppress if isinstance(header, _Header) else ()

    def suppressions(self, org: Org) -> tuple[Suppression, ...]:
        """Return what the headers of an org's templates and macros suppress."""
        return tuple(
            s for path in self.sources(org) for s in self.header_suppressions(path)
        )

    def _render_template(self, path: str, org: Org) -> Iterator[Component | Problem]:
        header = self._headers[path]
        if isinstance(header, Problem):
            yield header
            return
        values = {**org.values, "org": _about(org)}
        if not header.for_each:
            self._env.allow()
            yield from self._render_item(path, org, values)
            return
        items = _lookup(values, header.for_each)
        if not isinstance(items, list):
            what = f"for_each: {header.for_each} is not a list for {_org(org)}"
            yield Problem(path, header.line, what, "MD023")
            return
        self._env.allow(len(items))
        for item in items:
            yield from self._render_item(path, org, {**values, header.name: item})

    def _render_item(
        self, path: str, org: Org, values: Mapping[str, Any]
    ) -> Iterator[Component | Problem]:
        try:
            ref = self._ref(path, values)
            text, source = self._body(path, values)
            body = text.encode()
        except TemplateSyntaxError as error:
            at = error.name or path
            yield Problem(at, error.lineno, error.message or "bad syntax", "MD020")
            return
        except _TEMPLATE_FAULTS as error:
            at, line = _template_line(error.__traceback__, path)
            what = f"{_in_words(error)} for {_org(org)}{self._near(error, values)}"
            rule = "MD021" if isinstance(error, UndefinedError) else "MD022"
            yield Problem(at, line, what, rule)
            return
        if body.strip():
            yield Component(ref, body, source)

    def _near(self, error: Exception, values: Mapping[str, Any]) -> str:
        """Return what may have been meant by a name that is not there, "" if nothing.

        The words are Jinja's; what an undefined attribute says, `sandbox` does.
        """
        said = str(error)
        if isinstance(error, _NoFile):
            certs = (path for path in self._texts if path.startswith(CERTS))
            return did_you_mean(error.path, certs)
        if isinstance(error, TemplateNotFound):
            known = (
                path.removeprefix(TEMPLATES)
                for path in self._texts
                if path.endswith(SUFFIX) and path not in self._refs
            )
            return did_you_mean(str(error.name or ""), known)
        if match := _UNDEFINED.fullmatch(said):
            return did_you_mean(match[1], (*values, *self._env.globals))
        if match := _NOT_EXPORTED.match(said):
            text = self._texts.get(match[1], self._texts.get(TEMPLATES + match[1], ""))
            return did_you_mean(match[2], _MACRO.findall(text))
        return ""

    def _body(self, path: str, values: Mapping[str, Any]) -> tuple[str, Source]:
        text = self._texts[path]
        if not _JINJA.search(text):  # to compile it would be most of its cost
            return re.sub(_NEWLINE, "\n", text), Source(path)
        chunks: list[str] = []
        size = 0
        for chunk in self._env.get_template(path).generate(values):
            size += len(chunk)
            if size > _MAX_CHARACTERS:
                raise ValueError("the output grows past 50 MB")
            chunks.append(chunk)
        return _unmark("".join(chunks), path)

    def _ref(self, path: str, values: Mapping[str, Any]) -> Ref:
        ref = self._refs[path]
        if "{" not in ref.full_name:
            return ref
        if path not in self._names:
            # The file system is no XML: nothing in a name is escaped.
            names = self._env.overlay(autoescape=False)
            self._names[path] = names.from_string(ref.full_name)
        name = self._names[path].render(values)
        if not name.strip() or "/" in name or "\\" in name or len(name) > 255:
            raise ValueError(f"the file name makes {name!r}, which is no fullName")
        return Ref(ref.type, name)


def _target(path: str) -> Ref | None:
    """Return the component that a template file makes; None for macro files."""
    return schema.ref_of(path.removesuffix(SUFFIX))


def _chosen(path: str, org: Org) -> bool:
    patterns = org.file.templates
    return not patterns or selects(patterns, path)


def _about(org: Org) -> dict[str, Plain]:
    return {
        "name": org.name,
        "kind": org.kind,
        "tags": list(org.file.tags),
        "org_id": org.org_id,
        "api_version": org.api_version,
    }


def _org(org: Org) -> str:
    return f"org {org.name} ({org.path})"


def _lookup(values: Mapping[str, Any], dotted: str) -> object:
    found: object = values
    for name in dotted.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


_HEADER = re.compile(r"\A\s*\{#-?\s*metadeploy\b:?(.*?)-?#\}", re.DOTALL)
# Texts, for few templates have a header: `re` compiles one at its first use.
_ROW = r"\s*(for_each|as|suppress)\s*:\s*(.*?)\s*"
_BECAUSE = r"(?s)(\S+)(?:\s+because\s+(.*))?"


_HEADER_MAY = "for_each: LIST, as: NAME, suppress: RULE because REASON"


def _header(path: str, text: str) -> _Header | Problem:
    match = _HEADER.match(text)
    if match is None:
        return _Header()
    first = text.count("\n", 0, match.start(1)) + 1
    said: dict[str, tuple[int, str]] = {}
    quiet: list[Suppression] = []
    for line, key, value in _sayings(match[1], first):
        if key == "suppress":
            quiet.append(_suppression(path, line, value))
        elif key and value:
            said[key] = (line, value)
        else:
            what = f"the header cannot say {value!r}: {_HEADER_MAY}"
            return Problem(path, line, what, "MD023")
    name = said.get("as", (first, "item"))[1]
    if not name.isidentifier() or ("for_each" not in said and (said or not quiet)):
        what = f"the header names {name!r} without a for_each: LIST, or is no name"
        return Problem(path, first, what, "MD023")
    line, for_each = said.get("for_each", (first, ""))
    return _Header(for_each, name, line, tuple(quiet))


def _sayings(text: str, first: int) -> list[tuple[int, str, str]]:
    """Return (line, key, value) of each row; key "" where a row is none we know.

    Rows below a suppress that are indented deeper go on with its reason.
    """
    found: list[tuple[int, str, str]] = []
    inside: int | None = None
    for line, row in enumerate(text.split("\n"), first):
        match = re.fullmatch(_ROW, row)
        indent = len(row) - len(row.lstrip()) if line > first else 0
        if match:
            found.append((line, match[1], match[2]))
            inside = indent if match[1] == "suppress" else None
        elif inside is not None and indent > inside:
            at, key, reason = found[-1]
            found[-1] = (at, key, f"{reason} {row.strip()}".strip())
        elif row.strip():
            found.append((line, "", row.strip()))
            inside = None
    return found


def _suppression(path: str, line: int, text: str) -> Suppression:
    match = re.fullmatch(_BECAUSE, text)
    rule, reason = (match[1], match[2] or "") if match else (text, "")
    return Suppression(rule, reason.strip(), path, line, template=path)


def _template_line(trace: TracebackType | None, path: str) -> tuple[str, int]:
    """Return the innermost template line of a traceback that Jinja rewrote."""
    found = (path, 1)
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.endswith(SUFFIX):
            found = (name, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _in_words(error: Exception) -> str:
    if isinstance(error, UndefinedError | TemplateError):
        return error.message or type(error).__name__
    if isinstance(error, RecursionError):
        return "templates include one another without end"
    return str(error) or type(error).__name__


def _unmark(text: str, path: str) -> tuple[str, Source]:
    """Take the marks out of rendered text; each line gets its first mark's place."""
    places: list[tuple[str, int]] = []
    lines: list[str] = []
    last = (path, 1)
    for line in text.split("\n"):
        marks = _MARK.findall(line)
        if marks:
            line = _MARK.sub("", line)
            last = (marks[0][0], int(marks[0][1]))
        places.append(last)
        lines.append(line)
    return "\n".join(lines), Source(path, tuple(places))


class _MarkLines(Extension):
    """Put a mark before each start tag of the template text itself.

    Only before tags: text that a template compares or measures stays as it is.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type == "data" and "<" in token.value:
                yield Token(
                    token.lineno, "data", self._mark(token, stream.filename or "")
                )
            else:
                yield token

    @staticmethod
    def _mark(token: Token, name: str) -> str:
        line = token.lineno
        out: list[str] = []
        end = 0
        for match in _TAG_START.finditer(token.value):
            out.append(token.value[end : match.start()])
            end = match.start()
            if match[0] == "\n":
                line += 1
            else:
                out.append(f"\ufdd0{name}:{line}\ufdd1")
        return "".join(out) + token.value[end:]


def _environment(templates: Mapping[str, str]) -> Sandbox:
    def load(name: str) -> tuple[str, str, Any] | None:
        if name.startswith(CERTS):
            return None  # a text for file(), not a template
        text = templates.get(name, templates.get(f"templates/{name}"))
        found = name if name in templates else f"templates/{name}"
        return None if text is None else (text, found, None)

    names = {"fail": _fail, "file": _reader(templates)}
    return Sandbox(FunctionLoader(load), [_MarkLines], names)


def _reader(texts: Mapping[str, str]) -> Callable[[object], str]:
    """Return `file()`: a text of certs/, for certificates, and of nowhere else."""

    def file(path: object) -> str:
        """Return the text of a file in certs/, without white space around it."""
        shown = repr(path)[:100]
        if not isinstance(path, str) or not path.startswith(CERTS):
            raise ValueError(f"file() reads from {CERTS} only, not {shown}")
        if path not in texts:
            raise _NoFile(path, f"there is no file {shown}")
        return texts[path].replace("\r\n", "\n").strip()

    return file


class _NoFile(ValueError):
    """A template reads a file that is not there."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def _fail(message: str) -> NoReturn:
    """Let a template or macro refuse its values in its own words."""
    raise ValueError(str(message))
