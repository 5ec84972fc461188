"""The symbols of a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.tasks.sequence.data import join_symbols, split_text


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("a b", ["a", " ", "b"]),
        ("e\u0301t\u00e9", ["\u00e9", "t", "\u00e9"]),  # both ways to write an accent
        ("नमस्ते", ["न", "म", "स्ते"]),
        ("\u1112\u1161\u11ab\uae00", ["\ud55c", "\uae00"]),  # a syllable in three parts, one in one
        ("👩‍👩‍👧🇩🇪🇫🇷", ["👩‍👩‍👧", "🇩🇪", "🇫🇷"]),
    ],
)
def test_characters_are_those_of_a_reader(text: str, characters: list[str]) -> None:
    assert split_text(text, "char") == characters


def test_words_are_what_white_space_separates() -> None:
    assert split_text("  a\tb\u3000c  d ", "word") == ["a", "b", "c", "d"]
    assert join_symbols(["a", "b"], "word") == "a b"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_characters_join_to_the_composed_text(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)

    assert join_symbols(split_text(text, "char"), "char") == composed
    assert split_text(text, "char") == split_text(unicodedata.normalize("NFD", text), "char")
