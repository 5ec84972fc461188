"""A GRU without feedback in both directions: the numbers of torch's, without its cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sed_cli.models.lookahead import LookaheadCRNN
from sed_cli.models.recurrence.unfed import read_backwards, read_forwards

LENGTHS = torch.tensor([20, 13, 1])


@pytest.fixture
def gru() -> nn.GRU:
    torch.manual_seed(0)
    return nn.GRU(6, 5, batch_first=True, bidirectional=True).double()


def by_torch(features: torch.Tensor, gru: nn.GRU) -> torch.Tensor:
    packed = pack_padded_sequence(features, LENGTHS, batch_first=True, enforce_sorted=False)
    hidden: torch.Tensor = pad_packed_sequence(gru(packed)[0], batch_first=True)[0]
    return hidden


def test_states_and_gradients_are_those_of_torch(gru: nn.GRU) -> None:
    features = torch.randn(3, 20, 6, dtype=torch.float64)
    valid = torch.arange(20) < LENGTHS[:, None]
    found = []
    for is_ours in (True, False):
        inputs = features.clone().requires_grad_()
        gru.zero_grad()
        if is_ours:
            both = read_forwards(inputs, gru), read_backwards(inputs, gru, LENGTHS)
            hidden = torch.cat(both, dim=2)
        else:
            hidden = by_torch(inputs, gru)
        kept = torch.where(valid[..., None], hidden, 0.0)
        kept.sin().sum().backward()  # type: ignore[no-untyped-call]
        found.append([kept, inputs.grad, *(weights.grad for weights in gru.parameters())])
    for ours, of_torch in zip(*found, strict=True):
        torch.testing.assert_close(ours, of_torch)


def test_without_lengths_all_frames_count(gru: nn.GRU) -> None:
    features = torch.randn(2, 9, 6, dtype=torch.float64)
    both = read_forwards(features, gru), read_backwards(features, gru)
    torch.testing.assert_close(torch.cat(both, dim=2), gru(features)[0])


def test_lookahead_feeds_back_and_knows_what_comes_later() -> None:
    torch.manual_seed(0)
    model = LookaheadCRNN(n_mels=4, n_classes=2, conv_channels=3, pooling=[4], rnn_hidden=5)
    features = torch.randn(1, 12, 3, requires_grad=True)
    targets = torch.zeros(1, 12, 2)
    teacher = torch.ones(1, 12, dtype=torch.bool)
    logits, _ = model.decode(features, targets, teacher)
    logits[0, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert bool(features.grad[0, -1].abs().sum() > 0)
    changed = targets.clone()
    changed[0, 5, 1] = 1
    other, _ = model.decode(features, changed, teacher)
    assert torch.equal(other[:, :6], logits[:, :6])
    assert not torch.equal(other[:, 6:], logits[:, 6:])
