"""Text of messages: errors in one line, lists cut short, words that come near one that is wrong.

Labels, names and messages of others are shown as they are, but for what acts on who shows them:
control characters on a terminal, the first character of a formula in a spreadsheet.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

# Control characters but for tabs and line ends, marks that turn the direction of what follows,
# other characters for line ends, and halves of characters, which cannot be written.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)
_FORMULA = re.compile(r"\s*([=@].|[+-][^\d\s.]*[(|!])", re.DOTALL)


def plain(text: str) -> str:
    """Return a text in which control characters are written out: ``\\x1b[31m``."""
    return text if text.isprintable() else _ACTING.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def fault_of_label(label: str) -> str | None:
    """Say what is wrong with a label that would act on who opens a table of it; None: nothing."""
    if _ACTING.search(label):
        return "control characters, which no label has"
    if _FORMULA.match(label):
        return "a spreadsheet would read it as a formula; rename it"
    return None


def cell(value: Any) -> Any:
    """Return a value of a table that people open: text stays text there, in one line."""
    if not isinstance(value, str):
        return value
    text = plain(" ".join(value.splitlines()) if "\n" in value or "\r" in value else value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and not _is_number(text) else text


def in_markdown(text: str) -> str:
    """Return the text of a cell of a table in Markdown: it stays text there, in one line."""
    return html.escape(plain(text.replace("\n", " ")), quote=False).replace("|", "\\|")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class PlainFormatter(logging.Formatter):
    """Shows what is logged without characters that act on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; its lines stay lines."""
        return plain(super().format(record))


def one_line(error: object) -> str:
    """Return the message of an error, or any text, in one line; its type where it has none."""
    return plain(" ".join(str(error).split())) or type(error).__name__


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
