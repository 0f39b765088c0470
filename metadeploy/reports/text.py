"""Text from an org, a repository or a template, fit to be shown to a person."""

from __future__ import annotations

import re

# What a terminal would obey instead of showing: C0, C1, bidirectional marks; what is
# not seen, or breaks a line: zero-width, line separators, tags; and what is no
# character: surrogates, U+FFFE. Line feed and tab stay.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """Return text with a mark in the place of what would not be seen as it is."""
    return _UNSEEN.sub("\ufffd", text)
