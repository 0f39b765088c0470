"""Parts of libraries that a short command never uses wait until somebody does.

A start is mostly imports, and libraries import at theirs what only few of their users
need: Jinja's cache of bytecode, say, all that makes temporary files. Python's own
LazyLoader has a module load when it is first touched, or imported a second time;
nothing else is otherwise.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# What was seen not to be touched by `validate` and hooks, nor by what they import.
LATE = frozenset(
    {
        "base64",
        "ipaddress",
        "json",
        "linecache",
        "locale",
        "msgspec.inspect",
        "msgspec.json",
        "msgspec.msgpack",
        "msgspec.toml",
        "msgspec.yaml",
        "ntpath",
        "pprint",
        "signal",
        "tempfile",
        "tokenize",
    }
)


class _Late:
    # No child of importlib.abc's: to import that takes longer than all this saves.
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in LATE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def let_wait() -> None:
    """Have what is in LATE load when it is first used, in a process of one thread."""
    sys.meta_path.insert(0, _Late())
