"""Means, t intervals and paired tests against numbers by hand and from scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sed_cli.metrics.statistics import compare, summarise

numbers = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=6)


def test_an_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1 / sqrt(3), t of 2 degrees of freedom 4.30265."""
    summary = summarise({0: 1.0, 1: 2.0, 2: 3.0})

    assert (summary.mean, summary.n) == (2.0, 3)
    assert summary.half_width == pytest.approx(4.302652730 / 3**0.5, abs=1e-9)
    assert summary.high == pytest.approx(2.0 + 4.302652730 / 3**0.5, abs=1e-9)


@settings(max_examples=30)
@given(numbers)
def test_intervals_equal_scipys(values: list[float]) -> None:
    summary = summarise(dict(enumerate(values)))

    error = stats.sem(values)
    if error > 0:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert (summary.low, summary.high) == (pytest.approx(low), pytest.approx(high))


def test_few_values_have_no_interval_and_none_is_left_out() -> None:
    assert summarise({}).mean is None
    assert summarise({0: 0.5}).low is None
    assert summarise({0: 0.5, 1: None}) == summarise({7: 0.5})


def test_differences_are_paired_by_seed() -> None:
    """Seeds differ far more from each other than the two rows do: pairing reveals it."""
    own = {0: 0.52, 1: 0.71, 2: 0.33, 9: 0.99}
    other = {2: 0.30, 0: 0.50, 1: 0.70, 5: 0.01}

    difference = compare(own, other)

    assert difference.n == 3
    assert difference.mean == pytest.approx(0.02)
    paired = stats.ttest_rel([0.52, 0.71, 0.33], [0.50, 0.70, 0.30])
    assert difference.p == pytest.approx(float(paired.pvalue))
    assert difference.p < 0.1 < stats.ttest_ind([0.52, 0.71, 0.33], [0.50, 0.70, 0.30]).pvalue
    assert difference.low == pytest.approx(float(paired.confidence_interval(0.95).low))


@pytest.mark.parametrize(
    ("own", "other", "mean"),
    [
        ({0: 0.5}, {0: 0.4}, 0.1),
        ({0: 0.5, 1: 0.7}, {0: 0.25, 1: 0.45}, 0.25),  # always the same: no spread to test
        ({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5}, 0.0),
        ({0: 0.5}, {1: 0.5}, None),
        ({0: None}, {0: 0.5}, None),
    ],
)
def test_where_nothing_can_be_tested_there_is_no_p(
    own: dict[int, float | None], other: dict[int, float | None], mean: float | None
) -> None:
    difference = compare(own, other)

    assert difference.p is None
    assert difference.mean == (None if mean is None else pytest.approx(mean))
