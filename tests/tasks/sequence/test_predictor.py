"""Continuations from a sequence model, against brute force and against its own logits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from sed_cli.tasks.sequence.data import END, UNKNOWN, Sentence, Vocabulary
from sed_cli.tasks.sequence.data.batches import join
from sed_cli.tasks.sequence.predictor import Decoding, Predictor
from tests.models.making import make_language_model

NOTHING = np.zeros(0, np.int64)


def make_predictor(*, sources: bool = False, seed: int = 0, spread: float = 4.0) -> Predictor:
    """A model that knows three symbols, with logits far enough apart to prefer some."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary.of("abc")
    model = make_language_model(
        n_tokens=5, embedding_size=4, rnn_hidden=6, n_source_tokens=5 if sources else None
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(spread)
    return Predictor(
        model,
        vocabulary=vocabulary,
        source_vocabulary=vocabulary if sources else None,
        unit="char",
        source_unit="char" if sources else None,
        feedback="hard",
    )


def first_hidden(predictor: Predictor, n: int) -> Tensor:
    return predictor.model.encode(torch.zeros(n, 0, dtype=torch.int64))


def log_probability(predictor: Predictor, tokens: list[int]) -> float:
    """Log probability of a sequence with its end, without <unk>; from the forced logits."""
    sentence = Sentence(target=np.array(tokens, np.int64), source=None, text="")
    logits = predictor.logits(join([sentence]), forced=True)[0].clone()
    logits[:, UNKNOWN] = -torch.inf
    targets = torch.tensor([*tokens, END])
    return float(logits.double().log_softmax(1).gather(1, targets[:, None]).sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_what_trying_everything_finds(seed: int) -> None:
    predictor = make_predictor(seed=seed)
    decoding = Decoding(method="beam", beam_width=200, n_best=5, max_length=3)

    found = [c for c in predictor.continuations([NOTHING], None, decoding)[0] if c.is_complete]

    every = [list(row) for n in range(4) for row in product((2, 3, 4), repeat=n)]
    best = sorted(every, key=lambda row: -log_probability(predictor, row))
    assert len(found) >= 1
    for own, row in zip(found, best, strict=False):
        # float32 logits, added up in another order
        assert own.log_probability == pytest.approx(log_probability(predictor, row), abs=1e-5)
    assert found[0].tokens.tolist() == best[0]


def test_a_beam_of_one_is_greedy() -> None:
    predictor = make_predictor(seed=3)
    prefixes = [NOTHING, np.array([2]), np.array([4, 3, 2])]
    narrow = Decoding(method="beam", beam_width=1, max_length=7)

    beam = predictor.continuations(prefixes, None, narrow)
    greedy = predictor.continuations(prefixes, None, Decoding(max_length=7))

    for one, other in zip(beam, greedy, strict=True):
        assert one[0].tokens.tolist() == other[0].tokens.tolist()
        assert one[0].log_probability == pytest.approx(other[0].log_probability, abs=1e-5)
        assert one[0].is_complete == other[0].is_complete


def test_greedy_continues_as_the_model_runs_free() -> None:
    """The continuation of a prefix is what free running feeds back after the ground truth."""
    predictor = make_predictor(seed=1)
    sentence = Sentence(target=np.full(9, 2, np.int64), source=None, text="")
    free = predictor.logits(join([sentence]), forced=False)[0].argmax(1).tolist()

    (found,) = predictor.continuations([NOTHING], None, Decoding(max_length=9))[0]

    expected = free[: free.index(END)] if END in free else free[:9]
    if UNKNOWN not in expected:
        assert found.tokens.tolist() == expected


def test_what_is_given_side_by_side_is_continued_as_alone() -> None:
    predictor = make_predictor(sources=True, seed=2)
    sources = [np.array(row) for row in ([2], [3, 4, 2, 2], [4, 4])]
    for decoding in (Decoding(max_length=5), Decoding(method="beam", n_best=3, max_length=5)):
        together = predictor.continuations([NOTHING] * 3, sources, decoding)
        for source, rows in zip(sources, together, strict=True):
            (alone,) = predictor.continuations([NOTHING], [source], decoding)
            assert [c.tokens.tolist() for c in rows] == [c.tokens.tolist() for c in alone]


def test_samples_come_as_often_as_they_are_likely() -> None:
    predictor = make_predictor(seed=5, spread=1.0)
    decoding = Decoding(method="sample", n_best=4000, max_length=1)

    found = predictor.continuations([NOTHING], None, decoding)[0]

    for first in (2, 3, 4):
        share = np.mean([c.tokens[:1].tolist() == [first] for c in found])
        logits = predictor.model.step(None, first_hidden(predictor, 1))[0][0].detach()
        logits[UNKNOWN] = -torch.inf
        p = float(logits.softmax(0)[first])
        # four standard errors of a share of 4,000 draws
        assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))


def test_a_low_temperature_is_greedy_and_a_seed_repeats() -> None:
    predictor = make_predictor(seed=6)
    cold = Decoding(method="sample", temperature=1e-3, max_length=6)
    warm = Decoding(method="sample", temperature=2.0, n_best=5, max_length=6, seed=4)

    (greedy,) = predictor.continuations([NOTHING], None, Decoding(max_length=6))[0]
    assert predictor.continuations([NOTHING], None, cold)[0][0].tokens.tolist() == (
        greedy.tokens.tolist()
    )
    twice = [predictor.continuations([NOTHING], None, warm)[0] for _ in range(2)]
    assert [c.tokens.tolist() for c in twice[0]] == [c.tokens.tolist() for c in twice[1]]
    assert len({tuple(c.tokens) for c in twice[0]}) > 1


def test_the_unknown_symbol_is_never_chosen() -> None:
    predictor = make_predictor()
    with torch.no_grad():
        predictor.model.readout.bias[UNKNOWN] = 50.0
    for method in ("greedy", "sample", "beam"):
        rows = predictor.continuations([NOTHING], None, Decoding(method=method, max_length=8))
        assert UNKNOWN not in rows[0][0].tokens


def test_free_running_is_fed_its_own_tokens_and_forced_running_the_targets() -> None:
    predictor = make_predictor(seed=7)
    sentences = [
        Sentence(target=np.array(row), source=None, text="") for row in ([2, 3, 4], [4], [3, 3])
    ]
    batch = join(sentences)

    forced, free = (predictor.logits(batch, forced=forced) for forced in (True, False))

    hidden = first_hidden(predictor, 3)
    fed_truth = fed_own = None
    own_hidden = hidden
    with torch.inference_mode():
        for step in range(batch.targets.shape[1]):
            own, hidden = predictor.model.step(fed_truth, hidden)
            torch.testing.assert_close(forced[:, step], own, rtol=1e-5, atol=1e-5)
            own, own_hidden = predictor.model.step(fed_own, own_hidden)
            torch.testing.assert_close(free[:, step], own, rtol=1e-5, atol=1e-5)
            fed_truth, fed_own = batch.targets[:, step], own.argmax(1)
