"""Text of messages: errors in one line, lists cut short, words that come near one that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def one_line(error: object) -> str:
    """Return the message of an error, or any text, in one line; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def and_more(n_all: int, n_shown: int) -> str:
    """Return the end of a list that is cut short: `` and 3 more``, or nothing."""
    return f" and {n_all - n_shown:,} more" if n_all > n_shown else ""


def cut_short(words: Sequence[object], n_shown: int, separator: str = ", ") -> str:
    """Join the first words, and count those that are left out: ``a, b and 3 more``."""
    return separator.join(map(str, words[:n_shown])) + and_more(len(words), n_shown)


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate that looks most like ``word``, if any does."""
    near = get_close_matches(word, candidates, n=1)
    return near[0] if near else None


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
