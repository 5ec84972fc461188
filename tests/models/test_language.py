"""Properties of the language model: its steps, its encoder, its padding and its dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.models.language import LanguageModel
from sed_cli.models.recurrence import Feedback
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from tests.models.making import RULES_WITHOUT_MEMORY, make_language_model

FEEDBACKS = RULES_WITHOUT_MEMORY

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}


def make_model(**options: Any) -> LanguageModel:
    torch.manual_seed(0)
    sizes = {"n_tokens": 7, "embedding_size": 5, "rnn_hidden": 6, **options}
    model = make_language_model(**sizes).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64))
    return model


def tokens(n_sequences: int = 3, n_steps: int = 8, n_tokens: int = 7, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(n_tokens, (n_sequences, n_steps), generator=generator)


def forced(targets: Tensor) -> Tensor:
    return torch.ones(targets.shape, dtype=torch.bool)


@pytest.mark.parametrize("with_source", [False, True])
def test_steps_equal_forward_with_the_ground_truth_and_with_its_own_choice(
    with_source: bool,
) -> None:
    model = make_model(n_source_tokens=4 if with_source else None)
    targets = tokens()
    source = tokens(3, 5, 4, seed=2) if with_source else None
    options: dict[str, Any] = {"source": source}
    for mask in (forced(targets), None):
        whole = model(targets, mask, **options)
        hidden = model.encode(tokens(3, 5, 4, seed=2))
        previous, logits = None, []
        for step in range(8):
            now, hidden = model.step(previous, hidden)
            logits.append(now)
            previous = now.argmax(1) if mask is None else targets[:, step]
        torch.testing.assert_close(torch.stack(logits, dim=1), whole, **EXACT)


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_teacher_masks_of_the_sampler_are_supported(feedback: Feedback, p: float) -> None:
    """A mask (B, T) and one uniform per step; the same draws give the same numbers."""
    model, targets = make_model(), tokens()
    results = []
    for _ in range(2):
        coins = TeacherCoins(schedule=ConstantSchedule(p=p), seed=4)
        mask = coins.draw(3, 8, model.n_tokens)
        noise = coins.noise(3, 8, 1)
        results.append(model(targets, mask, feedback=feedback, noise=noise))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    equal = torch.allclose(results[0], model(targets, forced(targets)))
    assert equal == (p == 1.0)


def test_a_mask_for_each_token_is_refused() -> None:
    mask = torch.ones(3, 8, 7, dtype=torch.bool)
    with pytest.raises(ValueError, match="fed as a whole"):
        make_model()(tokens(), mask)


def test_logits_ignore_the_present_and_the_future() -> None:
    model, targets = make_model(), tokens()
    before = model(targets, forced(targets))
    targets[:, 4:] = (targets[:, 4:] + 1) % 7
    after = model(targets, forced(targets))
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=0)
    assert not torch.allclose(after[:, 5], before[:, 5])


def test_free_running_takes_only_the_length_of_the_targets() -> None:
    model = make_model()
    wild = torch.full((3, 8), -100)
    torch.testing.assert_close(model(wild, None), model(tokens(), None), rtol=0, atol=0)


def test_padding_changes_nothing_and_may_hold_any_number() -> None:
    model = make_model(n_source_tokens=4)
    targets, source = tokens(), tokens(3, 5, 4, seed=2)
    lengths, source_lengths = torch.tensor([8, 1, 5]), torch.tensor([2, 5, 3])
    padded, padded_source = targets.clone(), source.clone()
    for i in range(3):
        padded[i, lengths[i] :] = -100
        padded_source[i, source_lengths[i] :] = 99
    for mask in (forced(targets), tokens(seed=5) > 3):
        batch = model(
            padded, mask, lengths=lengths, source=padded_source, source_lengths=source_lengths
        )
        for i in range(3):
            end = slice(0, int(lengths[i]))
            row = slice(i, i + 1)
            alone = model(
                targets[row, end], mask[row, end], source=source[row, : source_lengths[i]]
            )
            torch.testing.assert_close(batch[row, end], alone, **EXACT)


def test_the_encoder_is_the_librarys_gru_and_receives_gradients() -> None:
    model, source = make_model(n_source_tokens=4), tokens(3, 5, 4, seed=2)
    hidden = torch.zeros(3, 6).double()
    cell = nn.GRUCell(5, 6).double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(getattr(model.encoder, f"{name}_l0"))
    for step in range(5):
        hidden = cell(model.source_embedding(source[:, step]), hidden)
    torch.testing.assert_close(model.encode(source), hidden, **EXACT)
    targets = tokens()
    model(targets, None, source=source).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.count_nonzero(parameter.grad) > 0, name


def test_an_empty_source_and_no_encoder_start_from_zeros() -> None:
    model, source = make_model(n_source_tokens=4), tokens(3, 5, 4, seed=2)
    state = model.encode(source, torch.tensor([5, 0, 2]))
    assert torch.count_nonzero(state[1]) == 0
    assert torch.count_nonzero(state[[0, 2]]) == 12
    zeros = torch.zeros(3, 6).double()
    assert torch.equal(model.encode(source[:, :0]), zeros)
    assert torch.equal(model.encode(source, torch.zeros(3, dtype=torch.int64)), zeros)
    assert torch.equal(make_model().encode(source), zeros)


def test_dropout_acts_in_training_only_and_keeps_the_mean() -> None:
    model, targets = make_model(dropout=0.5), tokens()
    model.eval()
    certain = model(targets, None)
    torch.testing.assert_close(model(targets, None), certain, rtol=0, atol=0)
    model.train()
    one, other = model(targets, None), model(targets, None)
    assert not torch.allclose(one, other)
    one.square().sum().backward()
    assert model.readout.weight.grad is not None
    assert model.embedding.weight.grad is not None
    with torch.no_grad():  # the readout only: nothing has been fed back at the first step
        first = torch.stack([model(targets[:, :1], None) for _ in range(500)])
    # Six halves of a number of order 1, averaged 500 times: five standard deviations.
    spread = first.std(0) / 500**0.5
    assert bool(((first.mean(0) - certain[:, :1]).abs() < 5 * spread + 1e-9).all())


def test_forced_logits_of_a_large_vocabulary_never_see_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100,000 tokens: one product after the recurrence, and none at each step."""
    model = make_language_model(n_tokens=100_000, embedding_size=4, rnn_hidden=3)
    widths = []

    class Watched(nn.Linear):
        def forward(self, hidden: Tensor) -> Tensor:
            widths.append(tuple(hidden.shape))
            return super().forward(hidden)

    watched = Watched(3, 100_000)
    model.readout = watched
    targets = tokens(2, 6, 100_000)
    with torch.no_grad():
        logits = model(targets, forced(targets))
    assert widths == [(2, 6, 3)]
    assert logits.shape == (2, 6, 100_000)


def test_empty_batches_and_sequences_have_gradients_and_shapes() -> None:
    model = make_model(n_source_tokens=4)
    for n_sequences, n_steps in ((0, 4), (2, 0), (0, 0)):
        targets, source = tokens(n_sequences, n_steps), tokens(n_sequences, 3, 4)
        for mask in (forced(targets), None):
            logits = model(targets, mask, source=source)
            assert logits.shape == (n_sequences, n_steps, 7)
            torch.autograd.grad(logits.sum(), [*model.parameters()], allow_unused=True)


def test_one_token_is_a_vocabulary() -> None:
    model = make_model(n_tokens=1)
    targets = tokens(2, 3, 1)
    for feedback in FEEDBACKS:
        logits = model(targets, None, feedback=feedback, noise=torch.rand(2, 3, 1))
        torch.testing.assert_close(logits, model(targets, forced(targets)), **EXACT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model(tokens()[0], None), r"targets of shape \(8,\)"),
        (lambda model: model(tokens() + 1, forced(tokens())), "has ids from 1 to 7"),
        (lambda model: model(tokens(), None, source=tokens()), "has no encoder"),
        (lambda model: model.step(torch.tensor([7]), torch.zeros(1, 6)), "has ids from 7 to 7"),
        (lambda model: model.step(torch.tensor([1, 2]), torch.zeros(1, 6)), "tokens has shape"),
        (lambda model: make_model(dropout=1.0), "dropout=1.0"),
        (lambda model: make_model(n_source_tokens=4)(tokens(), None), "expected a source"),
        (lambda model: make_model(n_source_tokens=4).encode(tokens() + 4), "source has ids"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(make_model())
