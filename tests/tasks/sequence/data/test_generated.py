"""Pairs made by a rule."""

from __future__ import annotations

import pytest

from sed_cli.errors import UserError
from sed_cli.tasks.sequence.data.generated import UNITS, generate_pairs, say_number


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (11, "eleven"),
        (40, "forty"),
        (100, "one hundred"),
        (4072, "four thousand seventy two"),
        (1_000_000, "one million"),
        (70_015_300, "seventy million fifteen thousand three hundred"),
    ],
)
def test_numbers_are_written_in_english(number: int, words: str) -> None:
    assert say_number(number) == words


def test_no_two_numbers_are_written_alike() -> None:
    assert len({say_number(number) for number in range(30_000)}) == 30_000


@pytest.mark.parametrize("rule", UNITS)
def test_no_source_is_there_twice_and_all_lengths_are_everywhere(rule: str) -> None:
    pairs = generate_pairs(rule, 3000, longest=5, seed=0)
    halves = [[len(source) for source, _ in half] for half in (pairs[:1500], pairs[1500:])]

    assert len({source for source, _ in pairs}) == 3000
    assert pairs == generate_pairs(rule, 3000, longest=5, seed=0)
    assert {max(lengths) for lengths in halves} == {5}
    # Half of 10 sources of one character, and of 90 or 100 of two, give or take five deviations.
    assert all(30 <= sum(length <= 2 for length in lengths) <= 80 for lengths in halves)


def test_targets_follow_from_sources() -> None:
    assert all(s == t[::-1] for s, t in generate_pairs("reverse", 50, longest=6, seed=1))
    assert all(say_number(int(s)) == t for s, t in generate_pairs("digits", 50, longest=18, seed=1))


def test_more_sources_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.longest=2, but 60 different sources"):
        generate_pairs("digits", 60, longest=2, seed=0)
