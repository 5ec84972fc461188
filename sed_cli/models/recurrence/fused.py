"""The recurrence as one autograd function: as little as possible inside the loop.

The model's own feedback carries no gradient. So once the forward pass has fixed what is fed, the
backward pass is that of an ordinary GRU over known inputs, and all that does not depend on the step
before leaves the loop: the features are projected in one product before it, the gradients of the
weights come from two products after it. Within remain, per step, one product forward (of the hidden
state with the recurrent and the readout weights side by side: the logits of a step come out
together with the gates of the next) and one backward.

Training keeps 5H + F + C numbers per frame of a sequence and needs 4H + 2F + 4C more at the peak of
the way back; inference keeps none: it works through the frames in blocks. (Where tokens are fed, D
numbers stand for the C that are kept, beside the token's id; soft feedback keeps the logits.)

The scan over time is exchangeable: on a CPU compiled by numba (:mod:`.compiled`) where that is
installed and serves, else in torch's operations (:mod:`.plain`); on a GPU Triton's (:mod:`.cuda`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Scan, Weights
from sed_cli.models.recurrence.plain import PlainScan
from sed_cli.models.recurrence.problem import Problem, RecurrentState
from sed_cli.models.recurrence.rules import (
    Drawn,
    Expected,
    FeedbackRule,
    Likeliest,
    Sampled,
    Soft,
    Thresholded,
    TokenRule,
)
from sed_cli.models.recurrence.threads import one_thread, product
from sed_cli.models.recurrence.tokens import table_gradient

log = logging.getLogger(__name__)

INFERENCE_BLOCK = 64
"""Frames projected at a time where nothing is kept: enough for a product, and it stays in cache."""


MakeScan = Callable[[Weights, FeedbackRule | TokenRule | Expected], Scan]


def run(problem: Problem, make_scan: MakeScan | None = None) -> tuple[Tensor, RecurrentState]:
    """Run the recurrence with the scan that ``make_scan`` makes, by default one for the CPU.

    Returns:
        Logits (B, T, C) and the state after the last frame.
    """
    make_scan = cpu_scan if make_scan is None else make_scan
    with one_thread():
        logits, hidden, feedback = _run(problem, make_scan)
    return logits, RecurrentState(hidden, feedback)


def _run(problem: Problem, make_scan: MakeScan) -> tuple[Tensor, Tensor, Tensor]:
    tensors = _tensors(problem)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        apply = cast("Callable[..., tuple[Tensor, Tensor, Tensor]]", _Recurrence.apply)
        return apply(problem, make_scan, *tensors)
    with torch.no_grad():
        return _infer(problem, make_scan, _detached(*tensors[3:]))


def _tensors(problem: Problem) -> tuple[Tensor | None, ...]:
    """Return all that gradients may reach; zeros stand for biases that a module does without."""
    cell, readout = problem.cell, problem.readout
    zeros = cell.weight_hh.new_zeros(3 * cell.hidden_size)
    return (
        problem.features,
        problem.targets if problem.mask is not None and problem.table is None else None,
        problem.state.hidden,
        cell.weight_ih,
        cell.weight_hh,
        cell.bias_ih if cell.bias else zeros,
        cell.bias_hh if cell.bias else zeros,
        readout.weight,
        readout.weight.new_zeros(readout.out_features) if readout.bias is None else readout.bias,
        problem.table,
    )


def _detached(*tensors: Tensor | None) -> Weights:
    """Take the last ones of what ``_tensors`` returned; threads at work on them must not record."""
    detached = (None if tensor is None else tensor.detach() for tensor in tensors)
    return Weights(*cast("tuple[Tensor, ...]", tuple(detached)))


def _infer(
    problem: Problem, make_scan: MakeScan, weights: Weights
) -> tuple[Tensor, Tensor, Tensor]:
    """Run block by block, each from where the last one ended, keeping nothing but the logits."""
    n_sequences, n_steps = problem.features.shape[:2]
    logits = problem.features.new_empty(n_sequences, n_steps, weights.n_classes)
    hidden, feedback = problem.state
    scan = make_scan(weights, problem.rule)
    for start in range(0, n_steps, INFERENCE_BLOCK):
        frames = slice(start, min(start + INFERENCE_BLOCK, n_steps))
        buffers = Buffers.empty(frames.stop - start, n_sequences, weights)
        buffers.hidden[0], buffers.fed[0] = hidden, feedback
        features = problem.features.detach()[:, frames].transpose(0, 1)
        _project(features, weights, buffers.gates)
        scan.forward(Feeding.of(problem, frames), buffers)
        logits[:, frames] = buffers.logits.transpose(0, 1)
        hidden, feedback = buffers.hidden[-1], buffers.fed[-1]
    return logits, hidden.clone(), feedback.clone()


def _project(features: Tensor, weights: Weights, gates: Tensor) -> None:
    """Store in ``gates`` what the features (T, B, F), and the biases, bring to them."""
    n_hidden = weights.n_hidden
    bias = weights.b_ih.clone()
    bias[: 2 * n_hidden] += weights.b_hh[: 2 * n_hidden]
    rows = features.flatten(0, 1)
    columns = weights.w_ih[:, : weights.n_features].t()
    product(rows, columns, bias=bias, out=gates.view(-1, 3 * n_hidden))


class _Recurrence(torch.autograd.Function):
    """The whole recurrence: logits (B, T, C), last hidden state (B, H), last feedback (B, C)."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, make_scan: MakeScan, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        features = problem.features.detach()  # (B, T, F)
        weights = _detached(*tensors[3:])
        n_sequences, n_steps, n_features = features.shape
        buffers = Buffers.empty(n_steps, n_sequences, weights)
        buffers.hidden[0], buffers.fed[0] = problem.state
        inputs = features.new_empty(n_steps, n_sequences, n_features + weights.n_fed)
        inputs[:, :, :n_features] = features.transpose(0, 1)
        _project(inputs[:, :, :n_features], weights, buffers.gates)
        scan = make_scan(weights, problem.rule)
        scan.forward(Feeding.of(problem, slice(0, n_steps)), buffers)
        inputs[:, :, n_features:] = buffers.fed[:-1]
        logits = buffers.logits.transpose(0, 1).contiguous()
        ctx.rule, ctx.mask, ctx.make_scan = problem.rule, problem.mask, make_scan
        kept = [inputs, buffers.gates, buffers.candidate, buffers.hidden, buffers.tokens]
        kept.append(logits if isinstance(problem.rule, Expected) else logits.new_empty(0))
        ctx.save_for_backward(*kept, *tensors[3:])
        feedback = buffers.fed[-1].clone()
        ctx.mark_non_differentiable(feedback)
        return logits, buffers.hidden[-1].clone(), feedback

    @staticmethod
    @once_differentiable
    @one_thread()
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        grad_logits, grad_last = outer[:2]  # (B, T, C), (B, H)
        inputs, gates, candidate, hidden, tokens, logits, *rest = ctx.saved_tensors
        weights = _detached(*rest)
        n_hidden, n_classes = weights.n_hidden, weights.n_classes
        nothing = hidden.new_empty(0)
        grads = hidden.new_empty(*hidden.shape[:2], 4 * n_hidden + n_classes)
        grads[-1].zero_()
        grads[0, :, 4 * n_hidden :].zero_()
        grads[1:, :, 4 * n_hidden :] = grad_logits.transpose(0, 1)
        grad_hidden = grad_last.clone()
        scan = ctx.make_scan(weights, ctx.rule)
        buffers = Buffers(gates, candidate, hidden, fed=nothing, tokens=tokens, logits=nothing)
        scan.backward(grads, grad_hidden, buffers)
        needed = ctx.needs_input_grad[2:]
        features, fed = _input_gradients(grads, weights, needed)
        targets = table = None
        if fed is not None and weights.table is None:
            targets = _target_gradient(fed, ctx.mask)
        elif fed is not None:
            soft = logits if isinstance(ctx.rule, Expected) else None
            table = table_gradient(fed, tokens, n_classes, soft)
        return (
            None,
            None,
            features,
            targets,
            grad_hidden if needed[2] else None,
            *_weight_gradients(grads, inputs, hidden, needed),
            table,
        )


def _input_gradients(
    grads: Tensor, weights: Weights, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of the features (B, T, F) and of what was fed (T, B, D), where needed.

    The latter are the targets' or the table's business, second and last of ``needed``.
    """
    n_hidden, n_features = weights.n_hidden, weights.n_features
    frames = (grads.shape[0] - 1, grads.shape[1])  # T, B
    to_inputs = grads[:-1].flatten(0, 1)[:, : 3 * n_hidden]  # (T B, 3H): n, r, z
    rows = _candidate_first(weights.w_ih, n_hidden)  # (3H, F + D)
    features = fed = None
    if needed[0]:
        features = product(to_inputs, rows[:, :n_features])
        features = features.view(*frames, n_features).transpose(0, 1)
    if needed[1] or needed[-1]:
        fed = product(to_inputs, rows[:, n_features:]).view(*frames, weights.n_fed)
    return features, fed


def _target_gradient(fed: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of the targets (B, T, C): (T, B, C) where they were fed, else 0."""
    fed = fed.transpose(0, 1)
    targets = torch.zeros_like(fed)
    targets[:, :-1] = torch.where(mask[:, :-1], fed[:, 1:], 0.0)
    return targets


def _weight_gradients(
    grads: Tensor, inputs: Tensor, hidden: Tensor, needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of w_ih, w_hh, b_ih, b_hh, w_out and b_out: two products over T x B."""
    if not any(needed[3:9]):
        return (None,) * 6
    n_hidden = hidden.shape[2]
    flat = grads.flatten(0, 1)  # ((T + 1) B, 4H + C)
    to_inputs = flat[: inputs.shape[0] * inputs.shape[1], : 3 * n_hidden]
    # Transposed afterwards: with the long factor on the left the library is a fifth faster.
    w_ih = _candidate_last(product(inputs.flatten(0, 1).t(), to_inputs).t(), n_hidden)
    w_hidden = product(hidden.flatten(0, 1).t(), flat[:, n_hidden:]).t()  # (3H + C, H)
    sums = flat.sum(0)  # (4H + C,)
    b_hidden = sums[n_hidden:]
    return (
        w_ih,
        w_hidden[: 3 * n_hidden].contiguous(),
        _candidate_last(sums[: 3 * n_hidden], n_hidden),
        b_hidden[: 3 * n_hidden],
        w_hidden[3 * n_hidden :].contiguous(),
        b_hidden[3 * n_hidden :],
    )


def _candidate_first(rows: Tensor, n_hidden: int) -> Tensor:
    """Reorder rows r, z, n to n, r, z."""
    return rows.roll(n_hidden, dims=0)


def _candidate_last(rows: Tensor, n_hidden: int) -> Tensor:
    """Reorder rows n, r, z to r, z, n."""
    return rows.roll(-n_hidden, dims=0)


def is_compiled(problem: Problem) -> bool:
    """Whether the compiled scan serves this problem."""
    return _compiles(problem.cell.weight_ih.dtype, problem.rule)


def _compiles(dtype: torch.dtype, rule: FeedbackRule | TokenRule | Expected) -> bool:
    named = isinstance(rule, Thresholded | Sampled | Soft | Likeliest | Drawn | Expected)
    return named and dtype in (torch.float32, torch.float64) and _has_numba()


def cpu_scan(weights: Weights, rule: FeedbackRule | TokenRule | Expected) -> Scan:
    """Choose the compiled scan where it serves, else the plain one."""
    if _compiles(weights.w_ih.dtype, rule):
        from sed_cli.models.recurrence.compiled import CompiledScan

        return CompiledScan(weights, rule)
    return PlainScan(weights)


@cache
def _has_numba() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError as reason:  # not installed, or not for this version of numpy
        log.info(
            "the recurrence runs uncompiled, at about half the speed (%s): "
            "pip install 'sedtf[fast]' brings numba",
            reason,
        )
        return False
    return True
