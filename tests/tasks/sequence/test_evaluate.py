"""Figures of sequence models, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sed_cli.tasks.sequence.data import END, Sentence
from sed_cli.tasks.sequence.data.batches import TokenBatch, in_order_of_length, join
from sed_cli.tasks.sequence.evaluate import Sums, _bleu, _token_accuracy, perplexity
from sed_cli.tasks.sequence.scores import SequenceScores


def sentence(*tokens: int) -> Sentence:
    return Sentence(target=np.array(tokens, np.int64), source=None, text="")


def test_sums_by_hand() -> None:
    """Two sentences of one and two tokens: five targets with their ends, one of them wrong."""
    batch = join([sentence(2), sentence(3, 2)])
    assert batch.targets.tolist() == [[2, END, END], [3, 2, END]]
    logits = torch.full((2, 3, 4), -math.inf)
    for row, tokens in enumerate(([2, END, 3], [3, 3, END])):  # the padded step is ignored
        for step, token in enumerate(tokens):
            logits[row, step] = torch.tensor([0.1] * 4).log()
            logits[row, step, token] = math.log(0.7)
    sums = Sums()
    sums.add(logits, batch)
    sums.add(logits[:1, :2], TokenBatch(batch.targets[:1, :2], batch.lengths[:1], None, None))

    assert sums.n.tolist() == [3, 3, 1]
    assert sums.correct.tolist() == [3, 2, 1]
    right, wrong = -math.log(0.7), -math.log(0.1)
    assert sums.loss.tolist() == pytest.approx([3 * right, 2 * right + wrong, right])
    assert (sums.n_sequences, sums.n_exact) == (3, 2)
    assert sums.accuracy == 6 / 7
    assert sums.figures()["perplexity"] == pytest.approx(math.exp((6 * right + wrong) / 7))


def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert perplexity(1e6) == math.inf


def test_every_sentence_is_in_one_batch_and_no_batch_is_too_large() -> None:
    random = np.random.default_rng(0)
    sentences = [sentence(*random.integers(2, 9, n)) for n in random.integers(1, 30, 50)]

    found = list(in_order_of_length(sentences, longest=60))

    assert sorted(place for places, _ in found for place in places) == list(range(50))
    for places, batch in found:
        assert batch.targets.numel() <= 60
        for place, row, length in zip(places, batch.targets, batch.lengths, strict=True):
            assert row[: length - 1].tolist() == sentences[place].target.tolist()


def test_token_accuracy_counts_what_is_too_short_and_too_long() -> None:
    truth = [sentence(2, 3, 4), sentence(2)]
    assert _token_accuracy([np.array([2, 3]), np.array([2, 2, 2])], truth) == 3 / 6


def test_bleu_of_the_targets_is_100_and_of_words_alone() -> None:
    lines = ["four thousand seventy two", "one hundred and five"]
    assert _bleu(lines, lines, "word") == pytest.approx(100.0)
    assert _bleu(["four", "five"], lines, "word") < 20
    assert _bleu(lines, lines, "char") is None


def test_scores_of_folds_add_up() -> None:
    one = {"n_targets": 10, "n_correct": 5, "n_sequences": 2, "n_exact": 1, "loss_sum": 10.0}
    other = {"n_targets": 30, "n_correct": 25, "n_sequences": 2, "n_exact": 0, "loss_sum": 50.0}
    free = {**one, "n_correct": 3}
    total = SequenceScores(one, free) + SequenceScores(other, other)
    assert total.figures() == {
        "perplexity": pytest.approx(math.exp(60 / 40)),
        "forced_accuracy": 30 / 40,
        "accuracy": 28 / 40,
        "gap": pytest.approx(2 / 40),
        "exact_match": 1 / 4,
    }
    assert total.n_references == 40
