"""Equal sequences stay together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.errors import UserError
from sed_cli.tasks.sequence.data.dividing import divide_equal

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=3).filter(lambda keys: len(set(keys)) >= 3))
def test_no_key_is_in_two_splits_and_no_split_is_empty(keys: list[int]) -> None:
    parts = divide_equal(keys, SHARES, seed=1)

    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(keys)))
    assert list(parts) == list(SHARES)
    assert all(len(rows) for rows in parts.values())
    of_key = Counter(key for rows in parts.values() for key in {keys[row] for row in rows})
    assert max(of_key.values()) == 1


def test_shares_are_met_where_keys_are_many() -> None:
    parts = divide_equal(range(1000), SHARES, seed=0)

    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 700,
        "validation": 150,
        "test": 150,
    }


def test_the_seed_decides_the_division() -> None:
    one, same, other = (divide_equal(range(50), SHARES, seed=seed)["test"] for seed in (3, 3, 4))

    assert one.tolist() == same.tolist() != other.tolist()


def test_a_split_without_a_share_is_left_out() -> None:
    assert list(divide_equal("aab", {"train": 1.0, "validation": 0.0}, seed=0)) == ["train"]


def test_fewer_keys_than_splits_are_refused() -> None:
    with pytest.raises(UserError, match=r"2 distinct sequences cannot be divided into 3 splits"):
        divide_equal("abab", SHARES, seed=0)
