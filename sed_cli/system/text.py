"""Text of messages: errors in one line, lists cut short, words that come near one that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def one_line(error: object) -> str:
    """Return the message of an error, or any text, in one line; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def and_more(total: int, shown: int) -> str:
    """Return the end of a list that is cut short: `` and 3 more``, or nothing."""
    return f" and {total - shown:,} more" if total > shown else ""


def listed(words: Sequence[object], at_most: int, separator: str = ", ") -> str:
    """Join the first ``at_most`` words, and count those that are left out."""
    return separator.join(map(str, words[:at_most])) + and_more(len(words), at_most)


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate that looks most like ``word``, if any does."""
    near = get_close_matches(word, candidates, n=1)
    return near[0] if near else None
