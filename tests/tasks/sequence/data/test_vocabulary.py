"""Symbols and their numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.errors import DataError
from sed_cli.tasks.sequence.data import END, SPECIAL, UNKNOWN, Vocabulary

SYMBOLS = st.one_of(st.sampled_from([*SPECIAL, "a", "é"]), st.text(min_size=1, max_size=5))


@settings(max_examples=50, deadline=None)
@given(st.lists(SYMBOLS, unique=True), st.data())
def test_symbols_come_back_from_their_tokens(symbols: list[str], data: st.DataObject) -> None:
    known = Vocabulary.from_json(json.loads(json.dumps(Vocabulary.of(symbols).as_json())))
    text = data.draw(st.lists(st.sampled_from(symbols))) if symbols else []
    tokens = known.encode(text)

    assert known.decode(tokens) == text
    assert not set(tokens) & {END, UNKNOWN}
    assert len(known) == len(symbols) + 2


def test_a_symbol_spelled_as_the_end_is_not_the_end() -> None:
    known = Vocabulary.of(["a", "<end>"])

    assert known.encode(["<end>", "<unk>", "b"]).tolist() == [3, UNKNOWN, UNKNOWN]
    assert "<end>" in known
    assert "<unk>" not in known


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "begins with"),
        (["<end>", "<unk>", "a", "b", "a"], "contains 'a' twice"),
        (["<end>", "<unk>", 3], "not a list of symbols"),
        ({"a": 1}, "not a list of symbols"),
    ],
)
def test_a_broken_vocabulary_is_refused(values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary.from_json(values)
