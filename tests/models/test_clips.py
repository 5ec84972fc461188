"""Pooling of frames into clips: against the formulas, whatever the padding contains."""

from __future__ import annotations

import pytest
import torch

from sed_cli.config.registry import components
from sed_cli.models.clips import AttentionPooling, LinearSoftmaxPooling
from sed_cli.models.labels import LABELS
from sed_cli.training.initial import take_weights
from sed_cli.training.task import Trained
from tests.models.making import make_crnn


def test_linear_softmax_weighs_probabilities_by_themselves() -> None:
    p = torch.tensor([[[0.9, 0.2], [0.3, 0.2], [0.1, 0.2]]])
    pooled = LinearSoftmaxPooling()(p.logit()).sigmoid()
    torch.testing.assert_close(pooled, torch.tensor([[(0.81 + 0.09 + 0.01) / 1.3, 0.2]]))


def test_linear_softmax_raises_frames_above_half_of_the_clip_and_lowers_those_below() -> None:
    p = torch.tensor([[[0.9], [0.5], [0.2], [0.05]]], requires_grad=True)
    pooled = (p * p).sum() / p.sum()
    logits = p.detach().logit().requires_grad_()
    LinearSoftmaxPooling()(logits).sigmoid().sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.equal(logits.grad > 0, p > pooled / 2)


def test_attention_is_a_softmax_over_time_of_a_function_of_all_classes() -> None:
    pooling = AttentionPooling(2)
    with torch.no_grad():
        pooling.weight.copy_(torch.tensor([[1.0, -0.5], [0.2, 0.7]]))
    logits = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))

    pooled = pooling(logits).sigmoid()

    scores = torch.einsum("btk,ck->btc", logits, pooling.weight)
    weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(pooled, (weights * logits.sigmoid()).sum(dim=1))


@pytest.mark.parametrize("name", list(components("clip_pooling")))
def test_padding_changes_no_clip_and_extremes_stay_finite(name: str) -> None:
    pooling = components("clip_pooling")[name]().build(3)
    logits = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([logits, torch.full((2, 4, 3), 50.0)], dim=1)
    valid = torch.arange(10) < torch.tensor([[6], [6]])

    torch.testing.assert_close(pooling(padded, valid), pooling(logits))
    for value in (-200.0, 200.0):
        extreme = torch.full((1, 4, 3), value, requires_grad=True)
        pooled = pooling(extreme)
        pooled.sum().backward()
        assert pooled.isfinite().all()
        assert extreme.grad is not None
        assert extreme.grad.isfinite().all()


def test_a_model_pools_activities_and_not_onsets() -> None:
    torch.manual_seed(0)
    model = make_crnn(n_mels=4, n_classes=2, pooling=(2, 2), onsets=True)
    logits = torch.randn(1, 7, 4)
    assert torch.equal(model.clip_logits(logits), LinearSoftmaxPooling()(logits[..., :2]))
    assert not [name for name in model.state_dict() if name.startswith("clip")]


def test_attention_leaves_the_other_weights_of_a_model_as_they_are() -> None:
    states = []
    for name in ("linear_softmax", "attention"):
        torch.manual_seed(0)
        model = make_crnn(n_mels=4, n_classes=2, pooling=(2, 2), clip_pooling=name)
        states.append(model.state_dict())
    added = states[1].keys() - states[0].keys()
    assert added == {"clip_head.weight"}
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("labels", [["a", "b"], ["b", "a"], ["a", "b", "c"]])
def test_attention_is_taken_from_a_run_with_the_same_labels_only(labels: list[str]) -> None:
    sizes = {"n_mels": 4, "pooling": (2, 2), "clip_pooling": "attention"}
    own = make_crnn(n_classes=len(labels), **sizes)  # type: ignore[arg-type]
    other = make_crnn(n_classes=2, **sizes)  # type: ignore[arg-type]
    with torch.no_grad():
        other.clip_head.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))

    rows = take_weights(Trained(own, {LABELS: labels}), Trained(other, {LABELS: ["a", "b"]}))

    is_same = labels == ["a", "b"]
    expected = other.clip_head.weight if is_same else torch.eye(len(labels))
    assert torch.equal(own.clip_head.weight, expected)
    row = next(row for row in rows if row.part.startswith("clip_head"))
    assert (row.taken == "all") == is_same
