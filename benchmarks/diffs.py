"""Compare two profile files in one way and print the seconds it took.

diffs.py semantic|naive|text A B. Reading the files is not counted, parsing
them is.

semantic: metadeploy.diff. naive: xml.etree for both, then element by element at the
same place; the least that compares XML at all, and it calls a reordering a change.
text: xml.etree's canonical form of both, then difflib line by line.
"""

from __future__ import annotations

import difflib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree


def semantic(a: bytes, b: bytes) -> int:
    from metadeploy import diff
    from metadeploy.model import Component, Ref

    ref = Ref("Profile", "Large")
    changes = diff.diff([Component(ref, a)], [Component(ref, b)])
    return sum(len(change.fields) for change in changes)


def naive(a: bytes, b: bytes) -> int:
    return _unlike(ElementTree.fromstring(a), ElementTree.fromstring(b))


def _unlike(a: ElementTree.Element, b: ElementTree.Element) -> int:
    found = int(a.tag != b.tag or (a.text or "").strip() != (b.text or "").strip())
    found += abs(len(a) - len(b))
    return found + sum(_unlike(x, y) for x, y in zip(a, b, strict=False))


def text(a: bytes, b: bytes) -> int:
    changed = difflib.unified_diff(_rows(a), _rows(b), lineterm="", n=0)
    return sum(row.startswith("+") for row in changed) - 1


def _rows(body: bytes) -> list[str]:
    out = io.StringIO()
    ElementTree.canonicalize(body.decode(), out=out, strip_text=True)
    return out.getvalue().replace("><", ">\n<").split("\n")


_WAYS: dict[str, Callable[[bytes, bytes], int]] = {
    "semantic": semantic,
    "naive": naive,
    "text": text,
}


def main(way: str, a: str, b: str) -> None:
    bodies = Path(a).read_bytes(), Path(b).read_bytes()
    compare = _WAYS[way]
    compare(b"<Profile/>", b"<Profile/>")  # imports are not what is measured
    start = time.perf_counter()
    found = compare(*bodies)
    print(time.perf_counter() - start, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
