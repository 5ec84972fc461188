"""Text of messages."""

from __future__ import annotations

from sed_cli.system.text import cut_short, nearest, one_line


def test_an_error_is_one_line_even_without_words() -> None:
    assert one_line(ValueError("first\n  second")) == "first second"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_list_cut_short_counts_the_rest() -> None:
    assert cut_short(["a", "b"], 2) == "a, b"
    assert cut_short(range(2002), 2, "; ") == "0; 1 and 2,000 more"


def test_the_nearest_word_is_near() -> None:
    assert nearest("dgo", ["cat", "dog"]) == "dog"
    assert nearest("aardvark", ["cat", "dog"]) is None
