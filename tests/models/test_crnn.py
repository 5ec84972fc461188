"""Properties of the whole network: convolutions, normalisation and recurrence together."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed_cli.config.identity import identity
from sed_cli.models import CRNN
from sed_cli.models.crnn import Normalisation
from sed_cli.models.kinds.crnn import CRNNConfig
from tests.models.making import make_crnn

# Float32 sums of some hundred products in another order; the required agreement is 1e-6 for
# values of about 1.
EXACT: dict[str, float] = {"rtol": 1e-6, "atol": 1e-6}


def make_model(**options: Any) -> CRNN:
    """Return a small model whose weights make the feedback matter, in evaluation mode."""
    torch.manual_seed(0)
    defaults: dict[str, Any] = {"n_mels": 8, "n_classes": 3, "conv_channels": 4, "rnn_hidden": 7}
    defaults |= {"pooling": (2, 2), "dropout": 0.0}
    model = make_crnn(**{**defaults, **options})
    with torch.no_grad():
        model.cell.weight_ih.mul_(3)
        model.readout.weight.mul_(6)
        model.normalisation.set_statistics(
            torch.linspace(-1, 1, model.n_mels), torch.linspace(0.5, 2, model.n_mels)
        )
        for block in model.blocks:
            block.norm.running_mean.normal_(0, 0.2)
            block.norm.running_var.uniform_(0.5, 1.5)
            block.norm.weight.uniform_(0.5, 1.5)
            block.norm.bias.normal_(0, 0.2)
    return model.eval()


def make_input(n_sequences: int = 3, n_frames: int = 12, seed: int = 0) -> tuple[Tensor, ...]:
    """Features (B, T, 8), targets (B, T, 3) and a mixed teacher mask (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    log_mel = torch.randn(n_sequences, n_frames, 8, generator=generator)
    targets = (torch.rand(n_sequences, n_frames, 3, generator=generator) < 0.4).float()
    mask = torch.rand(n_sequences, n_frames, generator=generator) < 0.5
    return log_mel, targets, mask


# ------------------------------------------------------------------ independent implementation


def features_by_hand(model: CRNN, log_mel: Tensor) -> Tensor:
    """Convolutions in evaluation mode, from the weights only: (B, T, M) -> (B, T, F)."""
    weights = model.state_dict()
    x = (log_mel - weights["normalisation.mean"]) / weights["normalisation.std"]
    x = x[:, None]
    for index, block in enumerate(model.blocks):
        name = f"blocks.{index}"
        kernel = weights[f"{name}.conv.weight"]
        x = F.conv2d(x, kernel, weights[f"{name}.conv.bias"], padding=kernel.shape[2] // 2)
        mean, var, scale, shift = (
            weights[f"{name}.norm.{part}"][None, :, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        x = x.clamp_min(0).unfold(3, block.pooling, block.pooling).amax(dim=4)
    return torch.cat([x[:, channel] for channel in range(x.shape[1])], dim=2)


def gru_step_by_hand(model: CRNN, x: Tensor, hidden: Tensor) -> Tensor:
    """One step from torch's documented formulas."""
    w = model.state_dict()
    i_r, i_z, i_n = (x @ w["cell.weight_ih"].t() + w["cell.bias_ih"]).chunk(3, dim=1)
    h_r, h_z, h_n = (hidden @ w["cell.weight_hh"].t() + w["cell.bias_hh"]).chunk(3, dim=1)
    r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
    n = torch.tanh(i_n + r * h_n)
    return (1 - z) * n + z * hidden


def forward_by_hand(
    model: CRNN, log_mel: Tensor, targets: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    features = features_by_hand(model, log_mel)
    w = model.state_dict()
    hidden = features.new_zeros(len(features), model.cell.hidden_size)
    fed = features.new_zeros(len(features), model.n_outputs)
    logits = []
    for step in range(features.shape[1]):
        hidden = gru_step_by_hand(model, torch.cat([features[:, step], fed], dim=1), hidden)
        logits.append(hidden @ w["readout.weight"].t() + w["readout.bias"])
        fed = (torch.sigmoid(logits[-1]) > 0.5).float()
        if targets is not None and mask is not None:
            fed = torch.where(mask[:, step, None], targets[:, step], fed)
    return torch.stack(logits, dim=1)


def test_features_equal_an_independent_implementation() -> None:
    model, (log_mel, *_) = make_model(), make_input()

    with torch.no_grad():
        features = model.encode(log_mel)

    assert features.shape == (3, 12, 8)
    torch.testing.assert_close(features, features_by_hand(model, log_mel), **EXACT)


@torch.no_grad()
def test_free_running_equals_an_independent_implementation() -> None:
    model, (log_mel, *_) = make_model().double(), make_input(n_frames=30)
    log_mel = log_mel.double()  # a threshold turns a float32's last digit into another path

    logits = model(log_mel)

    torch.testing.assert_close(logits, forward_by_hand(model, log_mel), rtol=1e-9, atol=1e-9)
    assert 0.1 < float((logits > 0).double().mean()) < 0.9  # active, but not always


@torch.no_grad()
def test_a_mixed_mask_equals_an_independent_implementation() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input()

    logits = model(log_mel, targets, mask)

    torch.testing.assert_close(logits, forward_by_hand(model, log_mel, targets, mask), **EXACT)
    assert not torch.allclose(logits, model(log_mel), atol=1e-2)


@torch.no_grad()
def test_all_teacher_equals_the_librarys_gru_over_shifted_targets() -> None:
    model, (log_mel, targets, _) = make_model(), make_input()
    gru = nn.GRU(model.cell.input_size, model.cell.hidden_size, batch_first=True)
    gru.load_state_dict({f"{key}_l0": value for key, value in model.cell.state_dict().items()})

    logits = model(log_mel, targets, torch.ones(3, 12, dtype=torch.bool))

    shifted = torch.cat([torch.zeros(3, 1, 3), targets[:, :-1]], dim=1)
    hidden, _ = gru(torch.cat([features_by_hand(model, log_mel), shifted], dim=2))
    torch.testing.assert_close(logits, model.readout(hidden), **EXACT)


@torch.no_grad()
def test_the_baseline_is_a_plain_gru_and_ignores_targets() -> None:
    model, (log_mel, targets, mask) = make_model(feedback=False), make_input()
    gru = nn.GRU(model.cell.input_size, model.cell.hidden_size, batch_first=True)
    gru.load_state_dict({f"{key}_l0": value for key, value in model.cell.state_dict().items()})

    logits = model(log_mel, targets, mask)

    hidden, _ = gru(features_by_hand(model, log_mel))
    torch.testing.assert_close(logits, model.readout(hidden), **EXACT)
    assert torch.equal(logits, model(log_mel))
    assert torch.equal(logits, model(log_mel, 1 - targets, ~mask))
    assert model.cell.input_size == 8


# -------------------------------------------------------------------------------- properties


@torch.no_grad()
def test_a_channel_axis_changes_nothing() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input()

    logits = model(log_mel, targets, mask)

    assert logits.shape == (3, 12, 3)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model(log_mel[:, None], targets, mask))


@torch.no_grad()
@pytest.mark.parametrize("n_classes", [1, 6])
def test_the_tutorials_sizes(n_classes: int) -> None:
    model = make_crnn(n_mels=40, n_classes=n_classes, conv_channels=128, rnn_hidden=128).eval()

    assert model(torch.randn(1, 1, 107, 40)).shape == (1, 107, n_classes)
    assert model.encode(torch.randn(1, 1, 107, 40)).shape == (1, 107, 128)
    assert model.cell.input_size == 128 + n_classes


@torch.no_grad()
def test_a_batch_equals_stacked_singles_in_evaluation() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input(5)

    batch = model(log_mel, targets, mask)

    singles = [model(log_mel[i : i + 1], targets[i : i + 1], mask[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(batch, torch.cat(singles), **EXACT)


def padded(log_mel: Tensor, n_frames: int, value: float) -> Tensor:
    return F.pad(log_mel, (0, 0, 0, n_frames), value=value)


@torch.no_grad()
@pytest.mark.parametrize("feedback", [True, False])
def test_padding_changes_nothing_in_evaluation(feedback: bool) -> None:
    model, (log_mel, targets, mask) = make_model(feedback=feedback), make_input()
    alone = model(log_mel, targets, mask)

    for value in (0.0, 1e4):
        logits = model(
            padded(log_mel, 9, value),
            padded(targets, 9, 1.0),
            F.pad(mask, (0, 9), value=True),
            lengths=torch.tensor([12, 12, 12]),
        )
        torch.testing.assert_close(logits[:, :12], alone, **EXACT)


@torch.no_grad()
def test_what_a_sequence_is_batched_with_changes_nothing_in_evaluation() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input()
    lengths = torch.tensor([12, 5, 1])
    garbage = log_mel.clone()
    for index, length in enumerate(lengths.tolist()):
        garbage[index, length:] = 1e4

    logits = model(garbage, targets, mask, lengths=lengths)

    for index, length in enumerate(lengths.tolist()):
        one = slice(index, index + 1)
        single = model(log_mel[one, :length], targets[one, :length], mask[one, :length])
        torch.testing.assert_close(logits[one, :length], single, **EXACT)


def train_once(
    model: CRNN, batch: tuple[Tensor, ...], lengths: Tensor | None, n_valid: int
) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """Logits of the valid frames, the final state, and the gradients of a loss on the logits."""
    model = copy.deepcopy(model).train()
    logits = model(*batch, lengths=lengths)[:, :n_valid]
    loss = F.binary_cross_entropy_with_logits(logits, batch[1][:, :n_valid])
    loss.backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return logits.detach(), model.state_dict(), grads


def test_padding_changes_nothing_in_training() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input()
    logits, state, grads = train_once(model, (log_mel, targets, mask), None, 12)

    for value in (0.0, 100.0):
        batch = (padded(log_mel, 7, value), padded(targets, 7, 1.0), F.pad(mask, (0, 7)))
        found, found_state, found_grads = train_once(model, batch, torch.tensor([12] * 3), 12)

        # Two formulas for the batch statistics: float32 rounding through normalisation and gates.
        torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)
        for name, tensor in state.items():
            torch.testing.assert_close(found_state[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
        for ours, expected in zip(found_grads, grads, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    for index in range(2):  # the statistics have changed
        name = f"blocks.{index}.norm.running_mean"
        assert not torch.allclose(state[name], model.state_dict()[name], atol=1e-3)
        assert int(state[f"blocks.{index}.norm.num_batches_tracked"]) == 1


def test_more_padding_is_the_same_as_less_in_training_with_unequal_lengths() -> None:
    model, (log_mel, targets, mask) = make_model(), make_input()
    lengths = torch.tensor([12, 4, 9])
    valid = torch.arange(12) < lengths[:, None]
    results = []
    for extra, value in ((0, 0.0), (8, 50.0)):
        filled = torch.where(valid[:, :, None], log_mel, value)
        model_now = copy.deepcopy(model).train()
        logits = model_now(
            padded(filled, extra, value),
            padded(targets, extra, 0.0),
            F.pad(mask, (0, extra)),
            lengths=lengths,
        )
        results.append((logits[:, :12][valid], model_now.state_dict()))

    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    for name, tensor in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("training", [False, True])
def test_no_logit_depends_on_targets_at_or_after_it(training: bool) -> None:
    model, (log_mel, targets, mask) = make_model().train(training), make_input(2, 8)
    mask = torch.ones_like(mask)
    targets.requires_grad_()
    logits = model(log_mel, targets, mask)

    for step in range(8):
        (grad,) = torch.autograd.grad(logits[:, step].sum(), targets, retain_graph=True)

        assert not grad[:, step:].any()
        if step:
            assert grad[:, :step].abs().amax() > 0


@torch.no_grad()
def test_other_future_targets_leave_the_logits_as_they_are() -> None:
    model, (log_mel, targets, _) = make_model(), make_input()
    mask = torch.ones(3, 12, dtype=torch.bool)
    before = model(log_mel, targets, mask)
    for step in range(12):
        other = targets.clone()
        other[:, step:] = 1 - other[:, step:]

        after = model(log_mel, other, mask)

        assert torch.equal(after[:, : step + 1], before[:, : step + 1])
        if step < 11:
            assert not torch.equal(after[:, step + 1], before[:, step + 1])


@torch.no_grad()
def test_a_frame_sees_the_context_it_claims_to_see() -> None:
    model, (log_mel, *_) = make_model(), make_input(1, 30)
    assert model.context == 4
    before = model.encode(log_mel)
    changed = log_mel.clone()
    changed[:, 15] += 10

    differs = (model.encode(changed) != before).any(dim=2)[0]

    assert differs.nonzero()[:, 0].tolist() == list(range(11, 20))


@torch.no_grad()
def test_decoding_in_chunks_with_the_state_equals_the_whole() -> None:
    for feedback in (True, False):
        model, (log_mel, *_) = make_model(feedback=feedback), make_input()
        features = model.encode(log_mel)

        first, state = model.decode(features[:, :5])
        second, _ = model.decode(features[:, 5:], initial_state=state)

        torch.testing.assert_close(torch.cat([first, second], 1), model(log_mel), **EXACT)


@torch.no_grad()
def test_onsets_are_outputs_that_are_fed_back_as_activities_are() -> None:
    model, (log_mel, targets, mask) = make_model(onsets=True), make_input()
    both = torch.cat([targets, 1 - targets], dim=2)

    logits = model(log_mel, both, mask)

    assert (model.n_classes, model.n_outputs) == (3, 6)
    assert logits.shape == (3, 12, 6)
    expected = forward_by_hand(model, log_mel, both, mask)
    torch.testing.assert_close(logits, expected, **EXACT)


def test_without_onsets_the_model_is_what_it_was() -> None:
    model = make_model()

    assert model.n_outputs == 3
    assert model.readout.weight.shape == (3, 7)
    assert model.cell.weight_ih.shape == (21, model.n_features + 3)
    assert "onsets" not in identity(CRNNConfig(kind="crnn"))
    assert identity(CRNNConfig(kind="crnn", onsets=True))["onsets"] is True


def test_every_weight_receives_a_gradient() -> None:
    model, batch = make_model(), make_input()

    _, _, grads = train_once(model, batch, None, 12)

    assert len(grads) == len(list(model.parameters()))
    # The bias of a convolution is removed again by the following batch norm.
    biases = {id(block.conv.bias) for block in model.blocks}
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        if id(parameter) not in biases:
            assert grad.abs().max() > 0


def test_normalisation_is_kept_in_the_state_and_not_trained() -> None:
    model = make_model()

    assert {"normalisation.mean", "normalisation.std"} <= model.state_dict().keys()
    assert not any("normalisation" in name for name, _ in model.named_parameters())


def test_a_constant_band_is_only_shifted() -> None:
    normalisation = Normalisation(2)
    normalisation.set_statistics(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 2.0]))

    assert normalisation(torch.tensor([[3.0, 5.0], [4.0, 1.0]])).tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_mels": 9}, "n_mels=9: expected a multiple of 4"),
        ({"kernel_size": 4}, "kernel_size=4: expected an odd number"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(**options)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 2, 5, 8), (5, 8), (2, 1, 5, 9)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, T, 8\)"):
        make_model()(torch.zeros(shape))
