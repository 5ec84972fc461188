"""N-gram models: valid probabilities, and the documented smoothing."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.config.tokens import LabelsConfig, TokensConfig
from sed_cli.tasks.sequence.data import load_tokens
from sed_cli.tasks.sequence.ngrams import NGramModel, _discounts, ngram_perplexities

N_TOKENS = 5
Ints = NDArray[np.int64]
SEQUENCES = st.lists(
    st.lists(st.integers(2, N_TOKENS - 1), min_size=1, max_size=8).map(np.array),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(SEQUENCES, st.integers(1, 4), st.lists(st.integers(1, N_TOKENS - 1), max_size=5))
def test_probabilities_of_any_context_sum_to_one(
    sequences: list[Ints], order: int, context: list[int]
) -> None:
    """Also after unseen contexts, and for <unk>, which never occurs here."""
    probabilities = NGramModel(sequences, n_tokens=N_TOKENS, order=order).probabilities(context)

    assert probabilities.shape == (N_TOKENS,)
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1.0, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(SEQUENCES, SEQUENCES, st.integers(1, 3))
def test_perplexity_is_that_of_the_probabilities_of_each_target(
    train: list[Ints], test: list[Ints], order: int
) -> None:
    model = NGramModel(train, n_tokens=N_TOKENS, order=order)
    surprise, n_targets = 0.0, 0
    for sequence in test:
        targets = [*sequence.tolist(), 0]
        for place, target in enumerate(targets):
            surprise -= math.log(model.probabilities(targets[:place])[target])
            n_targets += 1

    assert n_targets == sum(len(sequence) + 1 for sequence in test)
    assert model.perplexity(test) == pytest.approx(math.exp(surprise / n_targets), rel=1e-9)


def grams_of(padded: list[list[object]], n: int, order: int) -> Counter[tuple[object, ...]]:
    return Counter(
        tuple(one[end - n : end]) for one in padded for end in range(order, len(one) + 1)
    )


def kneser_ney(sequences: list[list[int]], context: list[int], token: int, order: int) -> float:
    """The formulas of Chen and Goodman 1999, eq. 23 to 26, one n-gram at a time."""
    padded = [["<s>"] * (order - 1) + [*sequence, 0] for sequence in sequences]
    counts = {n: grams_of(padded, n, order) for n in range(1, order + 1)}
    for n in range(1, order):
        after = Counter(gram[1:] for gram in set(grams_of(padded, n + 1, order)))
        counts[n] = Counter(
            {gram: counts[n][gram] if gram[0] == "<s>" else after[gram] for gram in counts[n]}
        )

    probability = 1 / N_TOKENS
    history = (["<s>"] * order + context)[-(order - 1) :] if order > 1 else []
    for n in range(1, order + 1):
        before = tuple(history[len(history) - n + 1 :])
        own = {gram: c for gram, c in counts[n].items() if gram[:-1] == before}
        if not own:
            continue
        taken = (0.0, *_discounts(np.array(list(counts[n].values()))))
        mass = sum(taken[min(c, 3)] for c in own.values())
        count = own.get((*before, token), 0)
        probability = (count - taken[min(count, 3)] + mass * probability) / sum(own.values())
    return probability


@settings(max_examples=40, deadline=None)
@given(SEQUENCES, st.integers(1, 3), st.lists(st.integers(2, N_TOKENS - 1), max_size=3))
def test_smoothing_is_that_of_the_paper(
    sequences: list[Ints], order: int, context: list[int]
) -> None:
    model = NGramModel(sequences, n_tokens=N_TOKENS, order=order)
    plain = [sequence.tolist() for sequence in sequences]
    expected = [kneser_ney(plain, context, token, order) for token in range(N_TOKENS)]

    assert model.probabilities(context) == pytest.approx(expected, rel=1e-9)


def test_discounts_are_those_of_counts_of_counts() -> None:
    """Y = 4 / (4 + 2 * 2) = 1/2: 1 - 2Y 2/4, 2 - 3Y 1/2, 3 - 4Y 1/1."""
    counts = np.array([1, 1, 1, 1, 2, 2, 3, 4])

    assert _discounts(counts) == pytest.approx((0.5, 1.25, 1.0), rel=1e-12)
    assert _discounts(np.array([7, 7, 9])) == (0.5, 1.0, 1.5)


def test_longer_contexts_pay_where_the_grammar_needs_them() -> None:
    data = load_tokens(TokensConfig(n_train=2000, n_validation=0, n_test=400))
    assert data.entropies is not None
    train, test = ([one.target for one in data.splits[name]] for name in ("train", "test"))

    found = ngram_perplexities(train, test, len(data.vocabulary))

    assert list(found) == [1, 2, 3]
    assert found[1] > 2 * found[2]
    assert found[2] > 1.05 * found[3]
    # Agreement of a verb with a noun several words earlier is beyond all of them.
    assert found[3] > 1.2 * math.exp(data.entropies["test"])


def test_100_000_words_are_counted() -> None:
    random = np.random.default_rng(0)
    drawn = (random.pareto(1.0, (20_000, 10)) * 300).astype(np.int64) % 100_000 + 1
    found = ngram_perplexities(list(drawn[:18_000]), list(drawn[18_000:]), 100_001)
    assert all(math.isfinite(value) and value < 100_001 for value in found.values())


@pytest.mark.parametrize(
    ("tokens", "order", "message"),
    [([5], 1, "tokens from"), ([2], 0, "order=0"), ([2], 25, "order=25")],
)
def test_what_has_no_key_is_refused(tokens: list[int], order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NGramModel([np.array(tokens)], n_tokens=N_TOKENS, order=order)


def test_bird_song_is_predicted_by_its_last_two_labels(real_data: Path) -> None:
    """The reported table; each order is far below the previous one."""
    folder = real_data / "birdsong"
    paths = {name: str(folder / f"{name}.tsv") for name in ("train", "test")}
    data = load_tokens(LabelsConfig(**paths))  # type: ignore[arg-type]
    train, test = ([one.target for one in data.splits[name]] for name in ("train", "test"))

    found = ngram_perplexities(train, test, len(data.vocabulary))

    assert {order: round(value, 2) for order, value in found.items()} == {1: 8.63, 2: 2.34, 3: 1.68}
