"""Placeholders that programs write if there is nothing to annotate."""

from __future__ import annotations

import re

_SPELLINGS = ("nan", "na", "n/a", "none", "null", "nil", "<na>", "#n/a", "nat", "-nan", "-", "--")
# A set of spellings rather than casefold(), since every row is checked.
NOTHING = frozenset(
    spelling for lower in _SPELLINGS for spelling in (lower, lower.upper(), lower.capitalize())
) | {"NaN", "NaT", "-NaN", "<na>", ""}
_NO_CALL = re.compile(
    r"no[ _-]?calls?(?:[ ,;_-]{1,3}no[ _-]?calls?)?|no[ _-]?(?:events?|detections?)", re.IGNORECASE
)
_ZERO = re.compile(r"0+(?:[.,]0*)?")


def is_nothing(*fields: str) -> bool:
    """Whether fields are empty, or placeholders such as those of pandas and R."""
    return NOTHING.issuperset(fields)


def is_at_zero(onset: str, end: str) -> bool:
    """Whether times are those of an event at 0 without duration."""
    return onset[:1] == end[:1] == "0" and all(map(_ZERO.fullmatch, (onset, end)))


def is_no_call(label: str) -> bool:
    """Whether a label marks the absence of detections, such as BirdNET's ``nocall``."""
    return label[:2] in ("no", "No", "NO") and _NO_CALL.fullmatch(label) is not None
