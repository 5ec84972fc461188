"""The recurrence as one autograd function, with as little as possible inside the loop.

The model's own feedback carries no gradient. So once the forward pass has fixed the feedback,
the backward pass is that of an ordinary GRU over known inputs, and everything independent of
the previous step moves out of the loop: the features are projected in one product before it,
the gradients of the weights come from products after it. Each step in the loop has one product
forward (of the hidden state with the concatenated recurrent and readout weights: the logits of
a step come together with the gates of the next) and one backward.

On a CPU this is done block by block, so that products use data that the loop has left in the
cache, and the gradient of all gates is never in memory at once. Training keeps 5H + C numbers
per frame of a sequence besides the features, and needs F + C more in the backward pass;
inference keeps none. (With tokens, D numbers and the token's id replace the C numbers; soft
feedback keeps the logits.) On a GPU a block has a thousand steps.

The scan over time is exchangeable: compiled by numba for a CPU (:mod:`.compiled_scan`), in torch's
operations (:mod:`.torch_scan`), or Triton's for a GPU (:mod:`.triton_scan`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sed_cli.models.feedback import SOFT
from sed_cli.models.recurrence.buffers import Buffers, Feeding, Scan, Weights
from sed_cli.models.recurrence.problem import Problem, RecurrentState
from sed_cli.models.recurrence.threads import n_threads, one_thread, product
from sed_cli.models.recurrence.tokens import table_gradient

BLOCK_NUMBERS = 2**20
"""Gradients of a block, 4H + C per frame, for each thread: enough for a product, within a cache."""
LEAST_STEPS = 16
"""Minimum steps of a block, since each block has overhead."""
GPU_STEPS = 1024
"""Steps of a block on a GPU: few launches, and bounded memory."""

MakeScan = Callable[[Weights], Scan]


def run(problem: Problem, make_scan: MakeScan) -> tuple[Tensor, RecurrentState]:
    """Run the recurrence with the scan that ``make_scan`` creates from the weights.

    Returns:
        Logits (B, T, C) and the state after the last frame.
    """
    tensors = _tensors(problem)
    with one_thread():
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            apply = cast("Callable[..., tuple[Tensor, Tensor, Tensor]]", _Recurrence.apply)
            logits, hidden, fed = apply(problem, make_scan, *tensors)
        else:
            with torch.no_grad():
                weights = _detached(problem.n_fed, *tensors[3:])
                logits, hidden, fed = _infer(problem, make_scan, weights)
    return logits, RecurrentState(hidden, fed)


def _tensors(problem: Problem) -> tuple[Tensor | None, ...]:
    """Return all tensors that gradients may reach; zeros replace missing biases."""
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


def _detached(n_fed: int, *tensors: Tensor | None) -> Weights:
    """Unpack the last results of ``_tensors``, detached, since worker threads must not record."""
    detached = (None if tensor is None else tensor.detach() for tensor in tensors)
    return Weights(n_fed, *cast("tuple[Tensor, ...]", tuple(detached)))


def _infer(
    problem: Problem, make_scan: MakeScan, weights: Weights
) -> tuple[Tensor, Tensor, Tensor]:
    """Run block by block, each continuing the last, keeping only the logits."""
    n_sequences, n_steps = problem.features.shape[:2]
    logits = problem.features.new_empty(n_sequences, n_steps, weights.n_classes)
    state = problem.state
    scan = make_scan(weights)
    for frames in _blocks(n_steps, _block_steps(problem.features, weights)):
        buffers = Buffers.empty(frames.stop - frames.start, weights, state)
        _advance(problem, frames, scan, weights, buffers)
        logits[:, frames] = buffers.logits.transpose(0, 1)
        state = RecurrentState(buffers.hidden[-1], buffers.fed[-1])
    return logits, state.hidden.clone(), state.feedback.clone()


def _advance(
    problem: Problem, frames: slice, scan: Scan, weights: Weights, buffers: Buffers
) -> None:
    """Run the steps of a block."""
    columns = weights.w_ih[:, : weights.n_features].t()
    product(_rows(problem.features, frames), columns, out=buffers.gates.flatten(0, 1))
    scan.forward(Feeding.of(problem, frames), buffers)


def _rows(features: Tensor, frames: slice) -> Tensor:
    """Return features (B, T, F) of a block of frames as rows, time first: (T B, F)."""
    return features.detach()[:, frames].transpose(0, 1).flatten(0, 1).contiguous()


def _block_steps(features: Tensor, weights: Weights) -> int:
    if features.device.type == "cuda":
        return GPU_STEPS
    numbers = max(len(features), 1) * (4 * weights.n_hidden + weights.n_classes)
    return max(BLOCK_NUMBERS * n_threads() // numbers, LEAST_STEPS)


def _blocks(n_steps: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n_steps)) for start in range(0, n_steps, size)]


class _Recurrence(torch.autograd.Function):
    """The whole recurrence: logits (B, T, C), last hidden state (B, H), last feedback (B, C)."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, make_scan: MakeScan, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights = _detached(problem.n_fed, *tensors[3:])
        n_steps = problem.features.shape[1]
        buffers = Buffers.empty(n_steps, weights, problem.state)
        scan = make_scan(weights)
        for frames in _blocks(n_steps, _block_steps(problem.features, weights)):
            _advance(problem, frames, scan, weights, buffers.block(frames))
        logits = buffers.logits.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        is_soft = problem.table is not None and problem.rule.code == SOFT
        ctx.is_soft, ctx.mask, ctx.make_scan = is_soft, problem.mask, make_scan
        ctx.n_fed = problem.n_fed
        kept = [buffers.gates, buffers.candidate, buffers.hidden, buffers.fed, buffers.tokens]
        kept.append(logits if is_soft else logits.new_empty(0))
        ctx.save_for_backward(*kept, tensors[0], *tensors[3:])
        feedback = buffers.fed[-1].clone()
        ctx.mark_non_differentiable(feedback)
        return logits, buffers.hidden[-1].clone(), feedback

    @staticmethod
    @once_differentiable
    @one_thread()
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        grad_logits, grad_last = outer[:2]  # (B, T, C), (B, H)
        gates, candidate, hidden, fed, tokens, logits, features, *rest = ctx.saved_tensors
        weights = _detached(ctx.n_fed, *rest)
        needed = ctx.needs_input_grad[2:]
        buffers = Buffers(gates, candidate, hidden, fed, tokens, logits=gates[:, :, :0])
        scan = ctx.make_scan(weights)
        way = _WayBack(weights, features, buffers, needed)
        way.run(scan, grad_logits, grad_last)
        targets = table = None
        if way.fed is not None and weights.table is None:
            targets = _target_gradient(way.fed, ctx.mask)
        elif way.fed is not None:
            soft = logits if ctx.is_soft else None
            table = table_gradient(way.fed, tokens, weights.n_classes, soft)
        return (
            None,
            None,
            None if way.features is None else way.features.transpose(0, 1),
            targets,
            way.hidden if needed[2] else None,
            *way.weights(),
            table,
        )


class _WayBack:
    """The backward pass: block by block from the end, adding up the gradients of the weights.

    Attributes:
        features: gradients of the features, (T, B, F); None if not needed.
        fed: of the feedback, (T, B, D), for the targets or the table; None if not needed.
        hidden: of the initial hidden state, (B, H); undefined if not needed.
    """

    def __init__(
        self, weights: Weights, features: Tensor, buffers: Buffers, needed: tuple[bool, ...]
    ) -> None:
        self._weights = weights
        # Rows of the weights in the order of columns of grads: n, r, z.
        self._w_ih = weights.w_ih.roll(weights.n_hidden, dims=0)  # (3H, F + D)
        self._inputs = features
        self._buffers = buffers
        n_hidden, n_classes, n_features = weights.n_hidden, weights.n_classes, weights.n_features
        new, frames = buffers.hidden.new_empty, buffers.candidate.shape[:2]
        self.features = new(*frames, n_features) if needed[0] else None
        self.fed = new(*frames, weights.n_fed) if needed[1] or needed[-1] else None
        self._is_hidden_needed = needed[2]
        self._are_weights_needed = any(needed[3:9])
        zeros = buffers.hidden.new_zeros
        self._w_input = zeros(n_features + weights.n_fed, 3 * n_hidden)  # columns n, r, z
        self._w_hidden = zeros(n_hidden, 3 * n_hidden + n_classes)
        self._bias = zeros(4 * n_hidden + n_classes)

    def run(self, scan: Scan, grad_logits: Tensor, grad_last: Tensor) -> None:
        """Go back through all steps; gradients of the logits (B, T, C), the last state (B, H)."""
        n_steps, n_sequences, n_hidden = self._buffers.candidate.shape
        size = max(min(_block_steps(self._inputs, self._weights), n_steps), 1)
        grads = grad_last.new_empty(size + 1, n_sequences, 4 * n_hidden + self._weights.n_classes)
        of_logits = grads[:, :, 4 * n_hidden :]
        carry = grad_last.clone(memory_format=torch.contiguous_format)
        for frames in reversed(_blocks(n_steps, size)):
            n = frames.stop - frames.start
            if frames.stop == n_steps:
                grads[n].zero_()
                of_logits[n] = grad_logits[:, n_steps - 1]
            else:
                grads[n] = grads[0]  # of the next block, which ended here
            of_logits[1:n] = grad_logits[:, frames.start : frames.stop - 1].transpose(0, 1)
            of_logits[0] = grad_logits[:, frames.start - 1] if frames.start else 0
            scan.backward(grads[: n + 1], carry, self._buffers.block(frames))
            self._multiply(grads[: n + 1], frames)
        if n_steps and self._is_hidden_needed:
            w_hidden = torch.cat([self._weights.w_hh, self._weights.w_out])
            carry.addmm_(grads[0, :, n_hidden:], w_hidden)
        self.hidden = carry

    def _multiply(self, grads: Tensor, frames: slice) -> None:
        """Run a block's products: gradients of features and feedback, shares of weights'."""
        n, n_hidden = frames.stop - frames.start, self._weights.n_hidden
        n_features = self._weights.n_features
        rows = grads.flatten(0, 1)  # ((T + 1) B, 4H + C)
        to_inputs = rows[: n * grads.shape[1], : 3 * n_hidden]
        if self.features is not None:
            features = self.features[frames].flatten(0, 1)
            product(to_inputs, self._w_ih[:, :n_features], out=features)
        if self.fed is not None:
            fed = self.fed[frames].flatten(0, 1)
            product(to_inputs, self._w_ih[:, n_features:], out=fed)
        if not self._are_weights_needed:
            return
        features = _rows(self._inputs, frames)
        fed = self._buffers.fed[frames, :, : self._weights.n_fed].flatten(0, 1)
        product(features.t(), to_inputs, out=self._w_input[:n_features], adds=True)
        product(fed.t(), to_inputs, out=self._w_input[n_features:], adds=True)
        if frames.stop < len(self._buffers.candidate):  # its last step belongs to the next block
            grads, rows = grads[:n], rows[: n * grads.shape[1]]
        hidden = self._buffers.hidden[frames.start : frames.start + len(grads)]
        product(hidden.flatten(0, 1).t(), rows[:, n_hidden:], out=self._w_hidden, adds=True)
        self._bias += rows.sum(0)

    def weights(self) -> tuple[Tensor | None, ...]:
        """Return the gradients of w_ih, w_hh, b_ih, b_hh, w_out and b_out."""
        if not self._are_weights_needed:
            return (None,) * 6
        n_hidden = self._weights.n_hidden
        w_hidden, b_hidden = self._w_hidden.t(), self._bias[n_hidden:]
        return (
            _candidate_last(self._w_input.t(), n_hidden),
            w_hidden[: 3 * n_hidden].contiguous(),
            _candidate_last(self._bias[: 3 * n_hidden], n_hidden),
            b_hidden[: 3 * n_hidden],
            w_hidden[3 * n_hidden :].contiguous(),
            b_hidden[3 * n_hidden :],
        )


def _target_gradient(fed: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of the targets (B, T, C): (T, B, C) where they were fed, else 0."""
    fed = fed.transpose(0, 1)
    targets = torch.zeros_like(fed)
    targets[:, :-1] = torch.where(mask[:, :-1], fed[:, 1:], 0.0)
    return targets


def _candidate_last(rows: Tensor, n_hidden: int) -> Tensor:
    """Reorder rows n, r, z to r, z, n."""
    return rows.roll(-n_hidden, dims=0)
