"""The fused back ends: both scans of a CPU against the definition, threads, inference, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import (
    Feedback,
    RecurrentState,
    feedback_gru,
    feedback_gru_with_state,
    fused,
)
from tests.models.making import RULES_WITHOUT_MEMORY

FEEDBACKS = RULES_WITHOUT_MEMORY

# Float32 sums of this length differ by about 5e-7 of their norm when added in another order (the
# definition is as far from a float64 run); the tightest bound with room for another machine.
SINGLE_PRECISION = 1e-6


@pytest.fixture(params=["compiled", "torch"])
def scan(request: pytest.FixtureRequest) -> Any:
    if request.param == "compiled":
        pytest.importorskip("numba")
    return request.param


class Case:
    """Seeded arguments of one run, with leaves that accumulate gradients."""

    def __init__(
        self,
        n_sequences: int,
        n_steps: int,
        n_features: int,
        n_hidden: int,
        n_classes: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch.manual_seed(3)
        shape = (n_sequences, n_steps, n_classes)
        self.features = torch.randn(n_sequences, n_steps, n_features).to(dtype).requires_grad_()
        self.targets = (torch.rand(shape) > 0.7).to(dtype).requires_grad_()
        self.noise = torch.rand(shape)
        self.mask = torch.rand(n_sequences, n_steps) < 0.5
        self.cell = nn.GRUCell(n_features + n_classes, n_hidden).to(dtype)
        self.readout = nn.Linear(n_hidden, n_classes).to(dtype)
        hidden = 0.1 * torch.randn(n_sequences, n_hidden)
        self.state = RecurrentState(hidden.to(dtype).requires_grad_(), torch.rand(shape)[:, 0])
        self.weight = torch.randn(shape).to(dtype)

    def run(self, backend: Any, feedback: Feedback = "hard", mask: Any = "own") -> Tensor:
        return feedback_gru(
            self.features,
            self.targets,
            self.mask if isinstance(mask, str) else mask,
            self.cell,
            self.readout,
            backend,
            feedback=feedback,
            noise=self.noise,
            initial_state=self.state,
        )

    def values(self, backend: Any, feedback: Feedback = "hard") -> list[Tensor]:
        logits = self.run(backend, feedback)
        leaves = [self.features, self.targets, self.state.hidden]
        leaves += [*self.cell.parameters(), *self.readout.parameters()]
        return [logits.detach(), *torch.autograd.grad((logits * self.weight).sum(), leaves)]


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize(("n_sequences", "n_hidden"), [(16, 48), (7, 33), (1, 130)])
def test_float32_agrees_with_the_definition(
    scan: Any, feedback: Feedback, n_sequences: int, n_hidden: int
) -> None:
    case = Case(n_sequences, 60, 20, n_hidden, 5)
    # A threshold amplifies the last digit of a logit near 0 into another sequence: agreement is
    # only defined if no decision is that close, as in these seeded cases.
    probability = torch.sigmoid(case.run("plain", feedback).detach())
    threshold = {"hard": 0.5, "sampled": case.noise, "soft": 2.0}[feedback]
    assert (probability - threshold).abs().min() > 2e-6
    pairs = zip(case.values(scan, feedback), case.values("plain", feedback), strict=True)
    for got, want in pairs:
        assert relative_error(got, want) < SINGLE_PRECISION


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_float64_agrees_with_the_definition(scan: Any, feedback: Feedback) -> None:
    case = Case(3, 40, 4, 10, 3, torch.float64)
    pairs = zip(case.values(scan, feedback), case.values("plain", feedback), strict=True)
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_blocks_of_steps_change_neither_values_nor_gradients(
    scan: Any, feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(3, 47, 4, 10, 3, torch.float64)
    whole = case.values(scan, feedback)
    monkeypatch.setattr(fused, "BLOCK_NUMBERS", 1)
    for got, want in zip(case.values(scan, feedback), whole, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


def test_inference_equals_training_across_its_blocks(
    scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "BLOCK_NUMBERS", 1)
    case = Case(3, 47, 4, 10, 3, torch.float64)
    for feedback in FEEDBACKS:
        kept = case.run(scan, feedback)
        with torch.no_grad():
            free = case.run(scan, feedback)
        assert kept.requires_grad
        assert not free.requires_grad
        torch.testing.assert_close(free, kept.detach(), rtol=1e-12, atol=1e-12)


def test_sequences_dealt_to_threads_give_the_same_numbers(scan: Any) -> None:
    case = Case(11, 100, 6, 64, 3)
    before = torch.get_num_threads()
    try:
        results = []
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(case.values(scan))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert relative_error(two, one) < SINGLE_PRECISION


def test_threads_are_restored_when_a_rule_fails() -> None:
    class Broken(FeedbackRule):
        def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
            raise RuntimeError("no feedback today")

    case = Case(2, 4, 3, 5, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="no feedback today"):
            feedback_gru(
                case.features, None, None, case.cell, case.readout, "torch", feedback=Broken()
            )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_graph_can_be_used_twice(scan: Any) -> None:
    case = Case(2, 6, 3, 5, 2, torch.float64)
    logits = case.run(scan)
    first, second = (
        torch.autograd.grad(logits.square().sum(), case.cell.weight_hh, retain_graph=True)[0]
        for _ in range(2)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_frozen_weights_still_pass_gradients_to_the_features(scan: Any) -> None:
    case = Case(2, 6, 3, 5, 2, torch.float64)
    case.cell.requires_grad_(False)
    case.readout.requires_grad_(False)
    got, want = (
        torch.autograd.grad(case.run(name).square().sum(), case.features)[0]
        for name in (scan, "plain")
    )
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)


def test_nan_and_infinity_surface_in_values_and_gradients(scan: Any) -> None:
    for bad in (float("nan"), float("inf")):
        case = Case(3, 9, 4, 20, 3)
        with torch.no_grad():
            case.features[1, 4, 2] = float("nan")
            case.features[0, 4, 2] = bad
        logits, *gradients = case.values(scan)
        assert torch.isnan(logits[1, 4:]).all()
        assert torch.isfinite(logits[2]).all()
        assert torch.isnan(gradients[4]).any()


def test_large_activations_saturate_like_the_definition(scan: Any) -> None:
    case = Case(3, 9, 4, 20, 3)
    with torch.no_grad():
        case.features.mul_(1e4)
    got, want = case.run(scan, "soft"), case.run("plain", "soft")
    assert torch.isfinite(got).all()
    assert relative_error(got.detach(), want.detach()) < SINGLE_PRECISION


def test_saved_memory_per_frame_is_documented(scan: Any) -> None:
    """5H + F + C numbers per frame of a sequence, and otherwise only weights and single frames."""
    n_sequences, n_features, n_hidden, n_classes = 4, 12, 32, 3
    sizes = []
    for n_steps in (50, 150):
        case = Case(n_sequences, n_steps, n_features, n_hidden, n_classes)
        seen: dict[int, int] = {}

        def note(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            case.run(scan)
        sizes.append(sum(seen.values()))
    per_frame = (sizes[1] - sizes[0]) / (100 * n_sequences) / 4
    assert per_frame == 5 * n_hidden + n_features + n_classes


def test_streams_of_single_frames_continue_exactly(scan: Any) -> None:
    case = Case(2, 12, 3, 5, 2, torch.float64)
    with torch.no_grad():
        whole = case.run(scan, mask=None)
        state, logits = case.state, []
        for step in range(12):
            frame, state = feedback_gru_with_state(
                case.features[:, step : step + 1],
                None,
                None,
                case.cell,
                case.readout,
                scan,
                initial_state=state,
            )
            logits.append(frame)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole, rtol=1e-12, atol=1e-12)


def test_strips_of_different_widths_have_different_names() -> None:
    """Code stored by several processes is linked by these names, with counters of its own."""
    tile = pytest.importorskip("sed_cli.models.recurrence.tile")
    strips = (tile.strip_of_1, tile.strip_of_2, tile.strip_of_3)
    assert len({strip.__qualname__ for strip in strips}) == len(strips)


@pytest.mark.slow
def test_code_that_different_processes_stored_computes_the_same(tmp_path: Path) -> None:
    """One process only predicts, one compiles other functions before training, one loads it all."""
    pytest.importorskip("numba")
    script = """
import sys, numba, torch
from torch import nn
from sed_cli.models.recurrence import feedback_gru

for k in range(int(sys.argv[1])):
    made = {}
    exec(f"def other_{k}(x): return x + {k}", made)
    numba.njit(made[f"other_{k}"])(1)
torch.manual_seed(0)
cell, readout = nn.GRUCell(5 + 3, 9).double(), nn.Linear(9, 3).double()
features = torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
targets, mask = (torch.rand(3, 6, 3) < 0.5).double(), torch.rand(3, 6) < 0.5
results = []
with torch.set_grad_enabled(sys.argv[2] == "train"):
    for backend in ("compiled", "plain"):
        logits = feedback_gru(features, targets, mask, cell, readout, backend)
        weights = (*cell.parameters(), *readout.parameters(), features)
        grads = torch.autograd.grad(logits.square().sum(), weights) if logits.requires_grad else ()
        results.append([logits, *grads])
for ours, plain in zip(*results):
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-11)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for n_before, what in (("0", "predict"), ("1", "train"), ("0", "train")):
        command = [sys.executable, "-c", script, n_before, what]
        subprocess.run(command, env=environment, check=True)
