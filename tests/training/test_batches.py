"""Batches of several sources: stated shares, nothing left out, the same order for all callers."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.errors import UserError
from sed_cli.training.batches import Batches, Source, counts_of, index_batches, parts_of
from tests.conftest import trainer_config


def shared(shares: dict[str, float], batch_size: int = 8) -> list[int]:
    config = trainer_config(batch_size=batch_size, batch_shares=shares)
    return counts_of(["strong", "weak", "unlabelled"], config)


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ({}, [3, 3, 2]),
        ({"strong": 1, "weak": 1, "unlabelled": 2}, [2, 2, 4]),
        ({"weak": 3.0}, [2, 5, 1]),
        ({"strong": 1000}, [6, 1, 1]),
    ],
)
def test_a_batch_holds_the_stated_share_of_each_source(
    shares: dict[str, float], counts: list[int]
) -> None:
    found = shared(shares)

    assert sum(found) == 8
    assert sorted(found) == sorted(counts)
    assert found[1:] == counts[1:] or shares == {}


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=3),
    shares=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    batch_size=st.integers(3, 12),
    number=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_pass_takes_every_sequence_and_none_twice_before_all(
    sizes: list[int], shares: list[float], batch_size: int, number: int
) -> None:
    names = ["strong", "weak", "unlabelled"][: len(sizes)]
    config = trainer_config(batch_size=batch_size, batch_shares=dict(zip(names, shares)))  # noqa: B905
    sources = [Source(name, n) for name, n in zip(names, sizes, strict=True)]
    batches = Batches(sources, config, seed=4)

    made = list(batches.of_pass(number))

    assert len(made) == batches.n_batches
    assert all(len(each) == batch_size for each in made)
    for first, n, of_batch in zip(
        accumulate(sizes, initial=0), sizes, batches.counts, strict=False
    ):
        own = [[i for i in each if first <= i < first + n] for each in made]
        assert {len(each) for each in own} == {of_batch}
        often = Counter(i for each in own for i in each)
        assert len(often) == n
        assert max(often.values()) - min(often.values()) <= 1


def test_the_order_depends_on_seed_and_pass_alone() -> None:
    config = trainer_config(batch_size=4, min_epoch_updates=1)
    sources = [Source("strong", 5), Source("weak", 9)]
    batches = Batches(sources, config, seed=1)
    first = list(batches.of_epoch(3))

    assert list(Batches(sources, config, seed=1).of_epoch(3)) == first
    assert list(Batches(sources, config, seed=2).of_epoch(3)) != first
    assert list(batches.of_epoch(2)) != first


def test_a_source_that_sets_no_epoch_comes_on_top_and_is_not_waited_for() -> None:
    sources = [
        Source("strong", 6),
        Source("weak", 5),
        Source("unlabelled", 100, sets_epoch=False),
    ]
    for shares, expected in (
        ({}, [2, 2, 2]),
        ({"unlabelled": 2.0}, [2, 2, 4]),
        ({"strong": 3.0, "unlabelled": 0.1}, [3, 1, 1]),
    ):
        config = trainer_config(batch_size=4, min_epoch_updates=1, batch_shares=shares)
        batches = Batches(sources, config)
        assert batches.counts == expected
        assert batches.n_updates == {2: 3, 3: 5}[expected[0]]
        assert {len(each) for each in batches.of_pass(1)} == {sum(expected)}


def test_of_one_source_all_is_as_ever() -> None:
    config = trainer_config(batch_size=4, min_epoch_updates=1)
    batches = Batches([Source("strong", 10)], config, seed=6)
    assert list(batches.of_pass(2)) == list(index_batches(10, 4, 6, 2))
    assert batches.n_updates == 3


def test_batches_that_cannot_hold_all_sources_and_unknown_ones_are_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size=2, but .* strong, weak, unlabelled: .* 3"):
        shared({}, 2)
    with pytest.raises(UserError, match=r"batch_shares names silence, .* strong, weak, unlabelled"):
        shared({"silence": 1.0})
    (fault,) = trainer_config(batch_shares={"weak": 0.0}).faults("trainer.")
    assert "trainer.batch_shares={weak: 0.0}: expected a share above 0" in fault


@given(
    n_sequences=st.integers(1, 30),
    batch_size=st.integers(1, 5),
    accumulate=st.integers(1, 4),
    n_ranks=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_batches_that_accumulate_make_up_the_large_one(
    n_sequences: int, batch_size: int, accumulate: int, n_ranks: int
) -> None:
    own = {"min_epoch_updates": 7}
    sources = [Source("strong", n_sequences)]
    small = trainer_config(batch_size=batch_size, accumulate=accumulate, **own)
    large = trainer_config(batch_size=batch_size * accumulate, **own)
    batches, whole = (Batches(sources, config, seed=3) for config in (small, large))
    assert batches.n_updates == whole.n_updates
    lengths = [10 + index for index in range(n_sequences)]
    for (number, several), (of_whole, (one,)) in zip(
        batches.of_epoch(2), whole.of_epoch(2), strict=True
    ):
        assert number == of_whole
        assert [index for indices in several for index in indices] == one
        for rank in range(n_ranks):
            for part in parts_of(several, lengths, rank, n_ranks):
                place = slice(part.first, part.first + part.n_own)
                assert one[place] == part.indices
                assert part.n_sequences == len(one)
                assert part.n_steps == max(lengths[index] for index in one)
