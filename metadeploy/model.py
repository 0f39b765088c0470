"""The values that everything else passes around. Imports nothing of ours.

They are msgspec's Structs, here and elsewhere, not dataclasses: to define one takes
a hundredth of the time, and a command that starts defines dozens.

Words are the Metadata API's: a Component is one piece of metadata, its Ref names it,
a Manifest is package.xml, a DeployResult is what the org answers.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Literal, NoReturn

from msgspec import Struct

METADATA_NS = "http://soap.sforce.com/2006/04/metadata"
DEFAULT_API_VERSION = "66.0"


class Secret:
    """A text that must not be seen: it prints as `***` and is never serialised.

    `reveal()` is the only way to the text, so every use of it can be searched for: no
    slot holds the text itself, for those who print what an object has. It has no hash,
    for equal hashes would tell equal texts.
    """

    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]

    def __init__(self, text: str) -> None:
        self._reveal = lambda: text
        _SECRET_TEXTS[text] = None

    def reveal(self) -> str:
        return self._reveal()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(*(_bytes(s.reveal()) for s in (self, other)))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")

    __getstate__ = __reduce__


_SECRET_TEXTS: dict[str, None] = {}


def secret_texts() -> tuple[str, ...]:
    """Return every text that was a Secret in this process, so that it can be masked."""
    return tuple(_SECRET_TEXTS)


def secret_count() -> int:
    """Return how many there are: only ever more."""
    return len(_SECRET_TEXTS)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Ref(Struct, frozen=True, order=True):
    """The name of a component: its metadata type and its fullName."""

    type: str
    full_name: str

    def __str__(self) -> str:
        return f"{self.type} {self.full_name}"


class Source(Struct, frozen=True):
    """Where a component's text comes from.

    path: the template or file, relative to the project, with `/`.
    lines: for each line of the rendered body, from the first, the (path, line) of
    the template text that produced it; empty when the body *is* the file.
    """

    path: str
    lines: tuple[tuple[str, int], ...] = ()

    def locate(self, line: int) -> tuple[str, int]:
        """Return the (path, line) that produced line `line` (from 1) of the body."""
        if not self.lines:
            return self.path, max(line, 1)
        return self.lines[min(max(line, 1), len(self.lines)) - 1]


class Component(Struct, frozen=True):
    """One piece of metadata as a file: its name, its bytes, where they come from.

    Where it comes from makes no difference: equal are those of equal name and bytes.
    """

    ref: Ref
    body: bytes
    source: Source | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Component):
            return NotImplemented
        return self.ref == other.ref and self.body == other.body

    def __hash__(self) -> int:
        return hash((self.ref, self.body))


class Manifest(Struct, frozen=True):
    """package.xml: an API version, and for each type the members, sorted."""

    api_version: str
    members: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, refs: Iterable[Ref], api_version: str) -> Manifest:
        found: dict[str, set[str]] = {}
        for ref in refs:
            found.setdefault(ref.type, set()).add(ref.full_name)
        return cls(api_version, {t: tuple(sorted(found[t])) for t in sorted(found)})


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True):
    """One broken rule at one place in the project, known without any org.

    path: relative to the project; line: from 1, 0 where a file has no line to name.
    rule: its stable id, such as "MD101". remedy: what to do, or "".
    template: the template of the component that it is about, or ""; where a macro is
    to blame, `path` is the macro's. It makes no difference between two problems.
    """

    path: str
    line: int
    message: str
    rule: str
    severity: Severity = Severity.ERROR
    remedy: str = ""
    template: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)

    @property
    def _said(self) -> tuple[str, int, str, str, str, str]:
        return *self.order, self.severity, self.remedy

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        warning = "" if self.severity is Severity.ERROR else "warning: "
        return f"{where}: {warning}{self.message} [{self.rule}]"

    @property
    def order(self) -> tuple[str, int, str, str]:
        return self.path, self.line, self.rule, self.message


_ALPHABET_18 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_IS_UPPER = {code: str(int(chr(code).isupper())) for code in range(128)}


def id18(sf_id: str) -> str:
    """Return the 18-character form of a Salesforce id of 15 or 18 characters.

    Raises ValueError for anything else, and for a wrong checksum.
    Source: "What are 15 and 18 character IDs", Salesforce help 000385585: each of
    three characters holds which of five characters are upper case, lowest bit first.
    """
    if not re.fullmatch(r"[A-Za-z0-9]{15}([A-Z0-5]{3})?", sf_id):
        raise ValueError(f"not a Salesforce id: {sf_id!r}")
    upper = sf_id[14::-1].translate(_IS_UPPER)
    suffix = "".join(_ALPHABET_18[int(upper[n : n + 5], 2)] for n in (10, 5, 0))
    if len(sf_id) == 18 and sf_id[15:] != suffix:
        raise ValueError(f"the last three characters of {sf_id} do not fit the rest")
    return sf_id[:15] + suffix


TestLevel = Literal[
    "NoTestRun",
    "RunSpecifiedTests",
    "RunLocalTests",
    "RunAllTestsInOrg",
    "RunRelevantTests",
]


class DeployOptions(Struct, frozen=True):
    """What a deploy is told. Everything is sent explicitly, never left to defaults.

    test_level: None leaves it to the org: production runs local tests only if the
    package holds Apex, and refuses an explicit NoTestRun.
    """

    check_only: bool = False
    test_level: TestLevel | None = None
    ignore_warnings: bool = False


class DeployMessage(Struct, frozen=True):
    """One row of a DeployResult: what the org did with one component."""

    component_type: str
    full_name: str
    file_name: str
    success: bool
    problem: str = ""
    problem_type: str = ""
    line: int = 0
    column: int = 0
    created: bool = False
    changed: bool = False
    deleted: bool = False


class DeployResult(Struct, frozen=True):
    """What checkDeployStatus answers, narrowed to what we use.

    status: the org's own word, kept as text since new ones appear.
    """

    id: str
    status: str
    done: bool
    success: bool
    check_only: bool = False
    error_code: str = ""
    error_message: str = ""
    state_detail: str = ""
    components_total: int = 0
    components_deployed: int = 0
    component_errors: int = 0
    tests_total: int = 0
    tests_completed: int = 0
    test_errors: int = 0
    messages: tuple[DeployMessage, ...] = ()


class DeployRequest(Struct, frozen=True):
    """A deploy as the org lists it, whoever asked for it.

    created_by: the user's name. total: components, as far as the org has counted.
    """

    id: str
    status: str
    check_only: bool
    created_by: str
    total: int = 0

    @property
    def running(self) -> bool:
        """Whether it waits or runs; a status that nobody knows counts as running."""
        return self.status not in _ENDED


_ENDED = ("Succeeded", "SucceededPartial", "Failed", "FinalizingFailed", "Canceled")
