"""Who changed an org outside: its setup audit trail, beside what has drifted. Pure.

The trail names things in sentences, by label or name, and not by id. So a row is
evidence and no proof: it may have been another change of the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from metadeploy import xmlfile
from metadeploy.access import profile_label
from metadeploy.model import METADATA_NS, Component, Ref


class SetupChange(Struct, frozen=True):
    """One row of an org's setup audit trail.

    at: as the org writes times. delegate: who was logged in as that user, or "".
    """

    at: str
    user: str
    action: str
    section: str
    words: str
    delegate: str = ""


def names_of(refs: Iterable[Ref], components: Iterable[Component]) -> frozenset[str]:
    """Return the names that people see of components: fullName, and label."""
    bodies = {c.ref: c.body for c in components}
    found: set[str] = set()
    for ref in refs:
        name = ref.full_name
        found.add(profile_label(name) if ref.type == "Profile" else name)
        if ref in bodies:
            label = xmlfile.parse(bodies[ref]).find(f"{{{METADATA_NS}}}label")
            text = "" if label is None else xmlfile.text_of(label).strip()
            found.add(text or name)
    return frozenset(found)


def about(rows: Iterable[SetupChange], names: Iterable[str]) -> tuple[SetupChange, ...]:
    """Return the rows that speak of one of these names, as a word of its own."""
    words = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
    speaks = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
    return tuple(row for row in rows if words and speaks.search(row.words))
