"""SOQL as text: its tokens, how it becomes a tree, and what is wrong and where.

Source: SOQL and SOSL Reference, "SOQL SELECT Syntax" (documented). The form of the
error texts, with the line, a caret and "ERROR at Row:R:Column:C", is observed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from msgspec import Struct

from metadeploy.emulator.faults import Fault
from metadeploy.emulator.soql_tree import (
    Aggregate,
    AllFields,
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Not,
    Order,
    Path,
    Query,
    Selected,
)

MAX_LENGTH = 100_000
_MAX_DEPTH = 50
_AGGREGATES = frozenset({"count", "count_distinct", "min", "max", "sum", "avg"})
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d))
    |(?P<date>\d{4}-\d\d-\d\d)
    |(?P<number>[+-]?\d{1,18}(?:\.\d{1,18})?)
    |(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    |(?P<op><=|>=|!=|<>|[=<>(),:])""",
    re.X | re.S,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
T = TypeVar("T")


class Token(Struct, frozen=True):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The text in lower case, if it is a name; else ""."""
        return self.text.lower() if self.kind == "name" else ""


class Source:
    """The text of a query, to say where in it something is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text

    def fault(self, code: str, message: str, at: int) -> Fault:
        """Return a Fault that shows the line, a caret under `at` and its position."""
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        line = self.text[start : end if end >= 0 else len(self.text)]
        row, column = self.text.count("\n", 0, at) + 1, at - start + 1
        shown = max(0, column - 51)
        caret = " " * (column - 1 - shown) + "^"
        return Fault(
            code,
            f"\n{line[shown : shown + 100]}\n{caret}\n"
            f"ERROR at Row:{row}:Column:{column}\n{message}",
        )

    def malformed(self, message: str, at: int) -> Fault:
        """Return the MALFORMED_QUERY that tells what is wrong at that position."""
        return self.fault("MALFORMED_QUERY", message, at)


def parse(text: str) -> Query:
    """Return the tree of a query. Raises Fault MALFORMED_QUERY."""
    if len(text) > MAX_LENGTH:
        raise Fault(
            "MALFORMED_QUERY",
            "SOQL statements cannot be longer than 100000 characters.",
        )
    parser = _Parser(Source(text))
    found = parser.query()
    parser.finish()
    return found


def _tokens(source: Source) -> list[Token]:
    found, at = [], 0
    while at < len(source.text):
        match = _TOKEN.match(source.text, at)
        if match is None:
            character = source.text[at]
            if character == "'":
                raise source.malformed("expecting a closing quote", at)
            raise source.malformed(f"unexpected token: '{character}'", at)
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at))
        at = match.end()
    return [*found, Token("end", "<EOF>", len(source.text))]


class _Parser:
    """Recursive descent, one method a rule."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = _tokens(source)
        self._next = 0
        self._depth = 0
        self._aliases: list[str] = []

    # -- tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _unexpected(self) -> NoReturn:
        message = f"unexpected token: '{self._token.text}'"
        raise self._source.malformed(message, self._token.at)

    def _advance(self) -> Token:
        token = self._token
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _skip(self, *words: str) -> bool:
        """Step over these words if all of them come next."""
        ahead = self._tokens[self._next : self._next + len(words)]
        if len(ahead) < len(words):
            return False
        for token, word in zip(ahead, words, strict=True):
            if token.word != word and token.text != word:
                return False
        self._next += len(words)
        return True

    def _need(self, word: str) -> Token:
        token = self._token
        if not self._skip(word):
            self._unexpected()
        return token

    def _name(self) -> Token:
        if self._token.kind != "name":
            self._unexpected()
        return self._advance()

    def _integer(self) -> int:
        if self._token.kind != "number" or not self._token.text.isdigit():
            self._unexpected()
        return int(self._advance().text)

    def _list(self, item: Callable[[], T]) -> tuple[T, ...]:
        items = [item()]
        while self._skip(","):
            items.append(item())
        return tuple(items)

    def _nested(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._source.malformed("too many nested conditions", self._token.at)

    def finish(self) -> None:
        """Raise unless everything was read."""
        if self._token.kind != "end":
            self._unexpected()

    # -- SELECT

    def query(self) -> Query:
        self._nested()
        self._need("select")
        start = self._next
        alias = self._alias_ahead()
        self._aliases.append(alias)
        self._next = start
        select = self._list(self._selected)
        self._need("from")
        sobject = self._name()
        if alias:
            self._skip("as")
            self._advance()
        if self._skip("using", "scope"):
            self._name()
        where = self._condition() if self._skip("where") else None
        if self._skip("with"):
            self._name()
        group: tuple[Path, ...] = ()
        having = None
        if self._skip("group", "by"):
            group = self._list(self._path)
            having = self._condition() if self._skip("having") else None
        order = self._list(self._order) if self._skip("order", "by") else ()
        limit = self._integer() if self._skip("limit") else None
        offset = self._integer() if self._skip("offset") else 0
        if self._skip("for"):
            self._name()
        self._skip("all", "rows")
        self._aliases.pop()
        self._depth -= 1
        return Query(
            select, sobject.text, sobject.at, where, group, having, order, limit, offset
        )

    def _alias_ahead(self) -> str:
        """Look for the alias behind this SELECT's FROM, which its fields may use."""
        depth = 0
        for index in range(self._next, len(self._tokens)):
            token = self._tokens[index]
            depth += (token.text == "(") - (token.text == ")")
            if depth < 0:
                return ""
            if depth == 0 and token.word == "from":
                behind = [t.word for t in self._tokens[index + 2 : index + 4]]
                words = behind[1:] if behind[:1] == ["as"] else behind[:1]
                return words[0] if words and words[0] not in _CLAUSES else ""
        return ""

    def _selected(self) -> Selected:
        if self._skip("("):
            inner = self.query()
            self._need(")")
            return inner
        token = self._token
        if self._tokens[self._next + 1 : self._next + 2] and token.kind == "name":
            if self._tokens[self._next + 1].text == "(":
                return self._function()
            if token.word == "typeof":
                message = "TYPEOF is not emulated: this emulated org has no"
                raise self._source.malformed(f"{message} polymorphic fields", token.at)
        return self._path()

    def _function(self) -> Selected:
        token = self._advance()
        self._need("(")
        word = token.word
        if word == "fields":
            which = self._name()
            self._need(")")
            if which.word not in ("all", "standard", "custom"):
                raise self._source.malformed(
                    f"unexpected token: '{which.text}'", which.at
                )
            return AllFields(which.word, token.at)
        if word in ("tolabel", "format"):
            path = self._path()
            self._need(")")
            return path
        if word not in _AGGREGATES:
            message = f"unexpected token: '{token.text}'"
            raise self._source.malformed(message, token.at)
        path_or_none = (
            None if word == "count" and self._token.text == ")" else self._path()
        )
        self._need(")")
        alias = ""
        if self._token.kind == "name" and self._token.word not in _CLAUSES:
            alias = self._advance().text
        return Aggregate(word, path_or_none, alias, token.at)

    def _path(self) -> Path:
        token = self._name()
        names = tuple(token.text.split("."))
        if len(names) == 1 and token.word in _CLAUSES:
            self._next -= 1
            self._unexpected()
        if len(names) > 1 and names[0].lower() == self._aliases[-1]:
            names = names[1:]
        return Path(names, token.at)

    def _order(self) -> Order:
        by = self._operand()
        descending = self._skip("desc")
        if not descending:
            self._skip("asc")
        last = self._skip("nulls", "last")
        if not last:
            self._skip("nulls", "first")
        return Order(by, descending, last)

    def _operand(self) -> Path | Aggregate:
        following = self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        if self._token.word in _AGGREGATES and following.text == "(":
            found = self._function()
            if isinstance(found, Aggregate):
                return found
        return self._path()

    # -- WHERE

    def _condition(self) -> Condition:
        """One condition, or several joined by AND or by OR; never by both.

        Mixing them without parentheses is malformed; recalled, not read.
        """
        items = [self._term()]
        word = self._token.word
        while word in ("and", "or") and self._skip(word):
            items.append(self._term())
        if self._token.word in ("and", "or"):
            self._unexpected()
        return items[0] if len(items) == 1 else Junction(word, tuple(items))

    def _term(self) -> Condition:
        self._nested()
        if self._skip("not"):
            found: Condition = Not(self._term())
        elif self._skip("("):
            found = self._condition()
            self._need(")")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Condition:
        left = self._operand()
        negated = self._skip("not")
        if negated or self._token.word == "in":
            self._need("in")
            if isinstance(left, Aggregate):
                self._unexpected()
            return self._membership(left, negated=negated)
        if self._token.word in ("includes", "excludes"):
            negated = self._advance().word == "excludes"
            if isinstance(left, Aggregate):
                self._unexpected()
            return self._membership(left, negated=negated)
        if self._skip("like"):
            return Comparison(left, "like", self._literal())
        if self._token.text not in ("=", "!=", "<>", "<", "<=", ">", ">="):
            self._unexpected()
        operator = self._advance().text.replace("<>", "!=")
        return Comparison(left, operator, self._literal())

    def _membership(self, left: Path, *, negated: bool) -> Membership:
        self._need("(")
        values: tuple[Literal, ...] | Query
        values = (
            self.query() if self._token.word == "select" else self._list(self._literal)
        )
        self._need(")")
        return Membership(left, values, negated)

    def _literal(self) -> Literal:
        token = self._token
        if token.kind == "string":
            self._advance()
            return Literal("string", _unescaped(token.text[1:-1]), token.at)
        if token.kind in ("number", "date", "datetime"):
            self._advance()
            return Literal(token.kind, token.text, token.at)
        if token.word in ("true", "false"):
            self._advance()
            return Literal("boolean", token.word, token.at)
        if token.word == "null":
            self._advance()
            return Literal("null", "", token.at)
        if token.text == ":":
            message = "Only variable references are allowed in dynamic SOQL/SOSL."
            raise self._source.malformed(message, token.at)
        name = self._name().text.upper()
        if self._skip(":"):
            name += f":{self._integer()}"
        return Literal("range", name, token.at)


_CLAUSES = frozenset(
    {"from", "where", "with", "group", "having", "order", "limit", "offset", "for"}
    | {"all", "using", "and", "or", "not", "in", "like", "includes", "excludes"}
    | {"asc", "desc", "nulls"}
)


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        character = match[1]
        if character in "%_\\":
            return "\\" + character
        return _ESCAPES.get(character.lower(), character)

    return re.sub(r"\\(.)", one, text, flags=re.S)


def plain(text: str) -> str:
    """Return the text of a string literal where wildcards mean nothing."""
    return re.sub(r"\\([%_\\])", r"\1", text)
