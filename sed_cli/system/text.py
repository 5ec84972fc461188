"""Text of messages: errors in one line, shortened lists, suggestions for misspelt words.

Labels, names and external messages are shown unchanged, except active characters: control
characters on a terminal, the first character of a formula in a spreadsheet.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

# Control characters except tabs and line ends, direction marks, other line ends, and lone
# surrogates, which cannot be encoded.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)
_FORMULA = re.compile(r"\s*([=@].|[+-][^\d\s.]*[(|!])", re.DOTALL)


def plain(text: str) -> str:
    """Return a text with control characters escaped: ``\\x1b[31m``."""
    return text if text.isprintable() else _ACTING.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def fault_of_label(label: str) -> str | None:
    """Return the fault of a label that would be active in a table, or None."""
    if _ACTING.search(label):
        return "control characters, which labels cannot have"
    if _FORMULA.match(label):
        return "a spreadsheet would treat it as a formula; rename it"
    return None


def cell(value: Any) -> Any:
    """Return a value for a spreadsheet table: text stays text, in one line."""
    if not isinstance(value, str):
        return value
    text = plain(" ".join(value.splitlines()) if "\n" in value or "\r" in value else value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and not _is_number(text) else text


def in_markdown(text: str) -> str:
    """Return the text of a cell in a Markdown table: it stays text, in one line."""
    return html.escape(plain(text.replace("\n", " ")), quote=False).replace("|", "\\|")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class PlainFormatter(logging.Formatter):
    """Formats log messages without active terminal characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; line breaks are kept."""
        return plain(super().format(record))


def one_line(error: object) -> str:
    """Return the message of an error, or any text, in one line; or its type if empty."""
    return plain(" ".join(str(error).split())) or type(error).__name__


def and_more(n_all: int, n_shown: int) -> str:
    """Return the end of a shortened list: `` and 3 more``, or ""."""
    return f" and {n_all - n_shown:,} more" if n_all > n_shown else ""


def cut_short(words: Sequence[object], n_shown: int, separator: str = ", ") -> str:
    """Join the first words, and count the others: ``a, b and 3 more``."""
    return separator.join(map(str, words[:n_shown])) + and_more(len(words), n_shown)


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate most similar to ``word``, if any."""
    near = get_close_matches(word, candidates, n=1)
    return near[0] if near else None


def counted(number: int, noun: str) -> str:
    """Format a count of things."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
