"""What is live where: which commit an org has, as a git ref tells. Pure.

`refs/metadeploy/<org>` points at the commit that was deployed to an org and verified
there, whole. So everybody who has the repository knows it, without the org.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

PREFIX = "refs/metadeploy/"
# git check-ref-format refuses these in a step of a ref's name, and % stands for them.
_NOT_IN_A_STEP = re.compile(r"^\.|\.(?=\.|$)|\.(?=lock$)")


def ref_of(org: str) -> str:
    """Return the full name of the ref that tells what an org has."""
    steps = (quote(step, safe="").replace("~", "%7E") for step in org.split("/"))
    return PREFIX + "/".join(_NOT_IN_A_STEP.sub("%2E", step) for step in steps)


class Origin(Struct, frozen=True):
    """Which commit a project's texts are of.

    commit: "" where nothing is committed. why: in which way they are not exactly what
    it holds, "" where they are.
    """

    commit: str
    why: str = ""

    @property
    def exact(self) -> bool:
        return bool(self.commit) and not self.why


class Live(Struct, frozen=True):
    """What a run made of the ref of its org.

    commit: where it points now, "" where it is no more. why: what kept it from being
    moved, "" where it was. pushed: the remote that has it too; not_pushed: why none
    has, where one was to. before: where it pointed when it was to be moved.
    """

    ref: str
    commit: str
    why: str = ""
    hint: str = ""
    pushed: str = ""
    not_pushed: str = ""
    before: str = ""


def difference(texts: Mapping[str, str], committed: Mapping[str, str]) -> str:
    """Say in which way texts are not what a commit holds, "" where they are."""
    paths = sorted(texts.keys() | committed.keys())
    found = [p for p in paths if texts.get(p) != committed.get(p)]
    if not found:
        return ""
    rest = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{found[0]}{rest} is not as it is committed"
