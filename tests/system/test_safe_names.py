"""File names that are valid on every system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.system.safe_names import safe_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turdus merula", "Turdus_merula"),
        ("Zilpzalp-Ruf_2", "Zilpzalp-Ruf_2"),
        ("ü🐦", "ü🐦"),
    ],
)
def test_usual_labels_stay_as_they_are(text: str, expected: str) -> None:
    assert safe_name(text) == expected


@given(st.text(max_size=200))
def test_any_text_becomes_a_name_of_one_part(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 80
    assert name not in (".", "..")
    assert not set(name) & set('<>:"/\\|?*\0\n\t ')
    assert name.upper() not in ("CON", "NUL", "COM1")


def test_different_texts_have_different_names() -> None:
    texts = ["a/b", "a:b", "a?b", "", ".", "..", "con", "CON", "x" * 100, "x" * 101, "a\tb"]
    assert len({safe_name(text) for text in texts}) == len(texts)
