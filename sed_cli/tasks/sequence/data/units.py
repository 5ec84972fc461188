"""What a symbol of a text is: a word, or a character."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

_JOINS = regex.compile(r"\P{Grapheme_Cluster_Break=Other}")  # what may be more than one code point


def split_text(text: str, unit: str) -> list[str]:
    """Cut one sequence into its symbols.

    Args:
        text: of one line.
        unit: ``word`` cuts at any white space; ``char`` cuts between what a reader takes for
            characters (extended grapheme clusters, Unicode's UAX 29), so that an accent, a vowel
            sign or the parts of an emoji are never symbols of their own. Blanks are symbols there.

    Text that Unicode holds for the same is the same here, whether an accent is written as part of
    its letter or after it: the text is taken in its composed form (NFC).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        if unit == "char" and _JOINS.search(text):
            characters: list[str] = regex.findall(r"\X", text)
            return characters
    return text.split() if unit == "word" else list(text)


def join_symbols(symbols: Sequence[str], unit: str) -> str:
    """Write symbols as text; white space that separated words becomes one blank."""
    return (" " if unit == "word" else "").join(symbols)
