"""The symbols of a text: words or characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

_JOINS = regex.compile(r"\P{Grapheme_Cluster_Break=Other}")  # may be part of a longer character


def split_text(text: str, unit: str) -> list[str]:
    """Split one sequence into its symbols.

    Args:
        text: of one line.
        unit: ``word`` splits at any white space; ``char`` splits between the characters that a
            reader perceives (extended grapheme clusters, Unicode's UAX 29), so that an accent, a
            vowel sign or the parts of an emoji are never separate symbols. Spaces count as symbols.

    Text that Unicode considers equal is equal here, whether an accent is part of its letter or
    follows it: the text is converted to its composed form (NFC).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        if unit == "char" and _JOINS.search(text):
            characters: list[str] = regex.findall(r"\X", text)
            return characters
    return text.split() if unit == "word" else list(text)


def join_symbols(symbols: Sequence[str], unit: str) -> str:
    """Join symbols to text; white space that separated words becomes one space."""
    return (" " if unit == "word" else "").join(symbols)
