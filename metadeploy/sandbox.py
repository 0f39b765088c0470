"""The Jinja in which templates run: nothing of Python to reach, and bounded work.

Jinja's own sandbox keeps a template from what it must not touch; here it is also kept
from making much out of little. Each step and each character that is made is paid for
out of one allowance, so that any rendering ends soon and never fills the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sized
from functools import wraps
from typing import Any, NoReturn

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2 import pass_context as with_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from metadeploy.near import nearest

# What one template may do for one org: steps of loops, calls, characters made. Each
# item of a for_each gives some more.
_WORK = 10_000_000
_WORK_OF_AN_ITEM = 200_000
_STEP, _CALL = 10, 100
_MAX_REPEAT = 1_000_000
_MAX_WIDTH = 999
# XML 1.0 §2.2: these cannot be written in XML at all, not even escaped.
_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_ILLEGAL_TEXT = f"[{_ILLEGAL}\ufdd0\ufdd1]"
# The two noncharacters between them mark lines of templates in what macros made.
_ILLEGAL_MARKUP = f"[{_ILLEGAL}]"

# `safe` and `xmlattr` go around the escaping, `random` around determinism, `pprint`
# and `tojson` print Python or JavaScript where XML is wanted; the others lay out text,
# which XML does not need, and make any length of it.
_NO_FILTERS = (
    "safe",
    "random",
    "pprint",
    "xmlattr",
    "urlize",
    "tojson",
    "batch",
    "center",
    "filesizeformat",
    "indent",
    "slice",
    "wordwrap",
)
# Methods whose result is no longer than what they are given, or is reckoned before.
_TEXT_METHODS = frozenset(
    """
    capitalize casefold count endswith find index isalnum isalpha isascii isdecimal
    isdigit islower isnumeric isspace istitle isupper join lower lstrip partition
    removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split
    splitlines startswith strip swapcase title upper
    """.split()  # noqa: SIM905 - forty words are read better so
)
_DIRECTIVE = r"%(?:\([^)]*\))?[^a-zA-Z%]*"


class _Missing(StrictUndefined):
    """A value that is not there; what it was to be a key of tells what it may be."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        said = super()._undefined_message
        if not isinstance(self._undefined_obj, Mapping):
            return said
        known = [key for key in self._undefined_obj if isinstance(key, str)]
        like = nearest(str(self._undefined_name), known)
        return f"{said} (did you mean {like}?)" if like else said


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, without what makes much out of little.

    names: what templates may call, besides `range`.
    """

    intercepted_binops = frozenset(["*", "**", "%", "+"])

    def __init__(
        self,
        loader: BaseLoader,
        extensions: Iterable[type[Extension]],
        names: Mapping[str, Callable[..., object]],
    ) -> None:
        super().__init__(
            loader=loader,
            undefined=_Missing,
            autoescape=True,
            finalize=_finalize,
            extensions=tuple(extensions),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=-1,
            auto_reload=False,
        )
        self._allowance = [_WORK]  # shared with the overlays
        self.globals = {"range": safe_range, **names}
        for name in _NO_FILTERS:
            self.filters.pop(name)
        own = {"format": _format, "sum": _sum}
        for name, work in {**self.filters, **own}.items():
            self.filters[name] = self._paid(name, work)

    def allow(self, items: int = 1) -> None:
        """Start anew what a template may spend, for so many components."""
        self._allowance[0] = _WORK + _WORK_OF_AN_ITEM * items

    def spend(self, work: int) -> None:
        self._allowance[0] -= work
        if self._allowance[0] < 0:
            raise SecurityError("the template does or makes more than any needs")

    # -- what a template's text becomes

    def _parse(
        self, source: str, name: str | None, filename: str | None
    ) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        found = _Rewritten(name, filename).visit(tree)
        assert isinstance(found, nodes.Template)
        return found

    def _load_template(
        self, name: str, globals: MutableMapping[str, Any] | None
    ) -> Template:
        self.spend(10 * _CALL)
        return super()._load_template(name, globals)

    def counted(self, items: Iterable[object], weight: int = 0) -> Iterator[object]:
        """Yield the items of a loop, each paid for."""
        for item in items:
            self.spend(_STEP + weight)
            yield item

    def joined(self, *parts: object) -> str:
        """Return what `~` makes of its parts."""
        texts = [_text(part) for part in parts]
        self.spend(sum(map(len, texts)))
        if any(isinstance(text, Markup) for text in texts):
            return Markup("").join(texts)  # it escapes the others
        return "".join(texts)

    # -- what it may reach and call

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Tell whether a template may read an attribute: of plain things, few."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        plain = isinstance(obj, Mapping | list | tuple | LoopContext)
        ours = type(obj).__module__.startswith("jinja2.")
        return (plain or ours) and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is not None:
            raise SecurityError("a text's format() is not allowed; use ~ or |format")
        return None

    def call(
        __self,
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        __self.spend(_CALL)
        if isinstance(__obj, LoopContext) and args:  # `loop(children)`
            args = (__self.counted(args[0]), *args[1:])
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            __self.spend(_size_of(owner, __obj.__name__, args))
        found = super().call(__context, __obj, *args, **kwargs)
        if isinstance(found, str):
            __self.spend(len(found))
        return found

    def call_binop(
        self, context: Context, operator: str, left: Any, right: Any
    ) -> object:
        if operator == "*":
            self.spend(_repeated(left, right))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _refuse_huge(left.bit_length() * abs(right))
        elif operator == "%" and isinstance(left, str):
            raise SecurityError("'text' % value is not allowed; use ~ to join texts")
        elif isinstance(left, Sized) and isinstance(right, Sized):
            self.spend(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def _paid(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter that is paid for by what it takes and makes."""

        @wraps(work)
        def paid(*args: Any, **named: Any) -> Any:
            sizes = [len(a) for a in args if isinstance(a, str | list | tuple | range)]
            self.spend(_STEP + sum(sizes))
            if name in ("replace", "join"):
                # Each character or item may be given a text of the longest there is.
                texts = [a for a in (*args[2:], *named.values()) if isinstance(a, str)]
                most = max((len(t) for t in texts), default=0)
                self.spend(most * max(sizes, default=0))
            found = work(*args, **named)
            if isinstance(found, str | list | tuple):
                self.spend(len(found))
            return found

        return paid


class _Rewritten(NodeTransformer):
    """A template whose loops and `~` go through the sandbox."""

    def __init__(self, name: str | None, filename: str | None) -> None:
        self._name, self._filename = name, filename

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        data = (n for part in node.body for n in _within(part, nodes.TemplateData))
        weight = nodes.Const(sum(len(n.data) for n in data))
        items = node.iter
        assert isinstance(items, nodes.Expr)
        node.iter = _own("counted", node, items, weight)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _own("joined", node, *node.nodes)

    def visit_ScopedEvalContextModifier(
        self, node: nodes.ScopedEvalContextModifier
    ) -> NoReturn:
        what = "the escaping of XML cannot be turned off"
        raise TemplateSyntaxError(what, node.lineno, self._name, self._filename)


def _within(node: nodes.Node, kind: type[nodes.TemplateData]) -> list[Any]:
    return [node] if isinstance(node, kind) else list(node.find_all(kind))


def _own(name: str, at: nodes.Node, *arguments: nodes.Expr) -> nodes.Call:
    method = nodes.EnvironmentAttribute(name, lineno=at.lineno)
    return nodes.Call(method, list(arguments), [], None, None, lineno=at.lineno)


def _repeated(left: object, right: object) -> int:
    """Return how long a text or list times a number is; refuse what is too long."""
    sized = left if isinstance(left, Sized) else right
    times = right if sized is left else left
    if isinstance(sized, Sized) and isinstance(times, int):
        if len(sized) * times > _MAX_REPEAT:
            raise SecurityError("a text or list repeated past all measure")
        return len(sized) * times
    if isinstance(left, int) and isinstance(right, int):
        _refuse_huge(left.bit_length() + right.bit_length())
    return 0


def _refuse_huge(bits: int) -> None:
    if bits > 4096:
        raise SecurityError("a number too large to be meant")


def _size_of(text: str, method: str, arguments: tuple[Any, ...]) -> int:
    """Return how much a text's method takes and makes, at most."""
    texts = [a for a in arguments if isinstance(a, str)]
    if method == "replace":
        return (len(text) + 1) * (1 + max(map(len, texts), default=0))
    if method == "join" and arguments and isinstance(arguments[0], Sized):
        return len(text) * len(arguments[0])
    return len(text) + sum(map(len, texts))


def _format(value: str, *args: Any, **named: Any) -> str:
    """Return a text with its %s and %d filled in."""
    if args and named:
        raise TypeError("format takes positional or named values, not both")
    for directive in re.findall(_DIRECTIVE, str(value)):
        widths = [int(n) for n in re.findall(r"[0-9]{1,9}", directive.split(")")[-1])]
        if "*" in directive or max(widths, default=0) > _MAX_WIDTH:
            raise SecurityError("a width past all measure")
    return value % (named or args)


def _sum(values: Iterable[object], attribute: str = "", start: int = 0) -> object:
    """Return the sum of numbers; `attribute` of each, where they are mappings."""
    numbers = [v[attribute] if attribute else v for v in values]  # type: ignore[index]
    if not all(isinstance(n, int | float) for n in (*numbers, start)):
        raise TypeError("only numbers have a sum")
    return sum(numbers, start)  # type: ignore[arg-type]


def _text(value: object) -> str:
    """Return a value as it is printed; refuse what has no one meaning."""
    if value is None:
        raise ValueError("None is printed where a text is wanted")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | StrictUndefined):
        return str(value)
    if not isinstance(value, str):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        raise ValueError(f"{kind} is printed where a text is wanted")
    return value


@with_context  # or it would not see constants before they are escaped
def _finalize(context: Context, value: object) -> object:
    """Turn what a template prints into XML text."""
    text = _text(value)
    environment = context.environment
    assert isinstance(environment, Sandbox)
    environment.spend(len(text))
    markup = isinstance(text, Markup)
    # Most texts are plain, and to compile these patterns takes longer than to print.
    plain = text.isascii() and text.isprintable()
    illegal = (
        None if plain else re.search(_ILLEGAL_MARKUP if markup else _ILLEGAL_TEXT, text)
    )
    if illegal:
        code = ord(illegal[0])
        raise ValueError(f"a value holds the control character U+{code:04X}")
    if not markup and "\r" in text:  # XML would read it back as \n (XML 1.0 §2.11)
        return escape(text).replace("\r", Markup("&#13;"))
    return text
