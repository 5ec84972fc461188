"""The scans over time, one program for all hidden units of its tile of sequences.

Sequences need nothing of each other, so that programs never wait for one another and a launch
covers the whole recurrence. The state of a step goes through memory, where the next step's product
finds it; what is read again at every step (the weights) is marked to stay in the cache. The buffers
are those of :mod:`~sed_cli.models.recurrence.buffers`.
"""

# Triton reads the annotations of its kernels as they stand, so they are not postponed here.
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding
from sed_cli.models.recurrence.kernels.steps import (
    Kernels,
    activities_fed,
    block,
    dot,
    kernel,
    sigmoid,
    tanh,
    token_fed,
)

BLOCK_SEQUENCES = 16
"""Sequences of a program: the fewest rows that a tensor core multiplies."""


@kernel
def _forward_kernel(
    gates,
    candidate,
    hidden,
    fed,
    logits,
    w_hidden,  # (3H + C, H): weight_hh above the readout's
    w_fed,  # (3H, D)
    bias_gates,  # (4H,): of r, z, n and candidate
    bias_readout,
    targets,
    mask,
    noise,
    tokens,
    table,
    n_steps,
    n_sequences,
    n_hidden,
    n_classes,
    n_fed,
    RULE: tl.constexpr,
    HAS_TRUTH: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    row = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    has_row = row < n_sequences
    c = tl.arange(0, BLOCK_C)
    has_c = c < n_classes
    at_class = row[:, None] * n_classes + c[None, :]
    has_class = has_row[:, None] & has_c[None, :]
    d = tl.arange(0, BLOCK_D)
    has_d = d < n_fed
    at_fed = row[:, None] * n_fed + d[None, :]
    has_fed = has_row[:, None] & has_d[None, :]
    b_out = tl.load(bias_readout + c, mask=has_c, other=0.0).to(tl.float32)
    # 64-bit from here on: T x B x 3H passes 2**31 within the sizes of this project.
    stride = n_sequences.to(tl.int64)
    for step in range(n_steps):
        h_now = hidden + step * stride * n_hidden
        gates_now = gates + step * stride * 3 * n_hidden
        candidate_now = candidate + step * stride * n_hidden
        logits_now = logits + step * stride * n_classes
        fed_now = fed + step * stride * n_fed
        fed_tile = tl.load(fed_now + at_fed, mask=has_fed, other=0.0)
        for first in range(0, n_hidden, BLOCK_N):
            n = first + tl.arange(0, BLOCK_N)
            has_n = n < n_hidden
            has = has_row[:, None] & has_n[None, :]
            sum_r = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            sum_z = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            sum_n = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            for start in range(0, n_hidden, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                has_k = k < n_hidden
                h = tl.load(
                    h_now + row[:, None] * n_hidden + k[None, :],
                    mask=has_row[:, None] & has_k[None, :],
                    other=0.0,
                )
                at = w_hidden + n[None, :] * n_hidden + k[:, None]
                has_w = has_k[:, None] & has_n[None, :]
                gate = n_hidden * n_hidden
                w = tl.load(at, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_r = dot(h, w, sum_r, PRECISION)
                w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_z = dot(h, w, sum_z, PRECISION)
                w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_n = dot(h, w, sum_n, PRECISION)
            at = w_fed + n[None, :] * n_fed + d[:, None]
            has_w = has_d[:, None] & has_n[None, :]
            gate = n_hidden * n_fed
            fed_n = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            w = tl.load(at, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_r = dot(fed_tile, w, sum_r, PRECISION)
            w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_z = dot(fed_tile, w, sum_z, PRECISION)
            w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            fed_n = dot(fed_tile, w, fed_n, PRECISION)

            at_gate = gates_now + row[:, None] * 3 * n_hidden + n[None, :]
            at_unit = row[:, None] * n_hidden + n[None, :]
            bias = tl.load(bias_gates + 3 * n_hidden + n, mask=has_n, other=0.0)
            recurrent = sum_n + bias[None, :]
            bias = tl.load(bias_gates + n, mask=has_n, other=0.0)
            r = sigmoid(tl.load(at_gate, mask=has, other=0.0) + sum_r + bias[None, :])
            bias = tl.load(bias_gates + n_hidden + n, mask=has_n, other=0.0)
            z = sigmoid(tl.load(at_gate + n_hidden, mask=has, other=0.0) + sum_z + bias[None, :])
            bias = tl.load(bias_gates + 2 * n_hidden + n, mask=has_n, other=0.0)
            given = tl.load(at_gate + 2 * n_hidden, mask=has, other=0.0) + fed_n + bias[None, :]
            new = tanh(given + r * recurrent)
            before = tl.load(h_now + at_unit, mask=has, other=0.0).to(tl.float32)
            after = new + z * (before - new)
            tl.store(at_gate, r, mask=has)
            tl.store(at_gate + n_hidden, z, mask=has)
            tl.store(at_gate + 2 * n_hidden, new, mask=has)
            tl.store(candidate_now + at_unit, recurrent, mask=has)
            tl.store(h_now + stride * n_hidden + at_unit, after, mask=has)
        tl.debug_barrier()  # the product below reads what other threads have stored

        sum_c = tl.zeros((BLOCK_B, BLOCK_C), tl.float32)
        for start in range(0, n_hidden, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            has_k = k < n_hidden
            h = tl.load(
                h_now + stride * n_hidden + row[:, None] * n_hidden + k[None, :],
                mask=has_row[:, None] & has_k[None, :],
                other=0.0,
            )
            at = w_hidden + (3 * n_hidden + c[None, :]) * n_hidden + k[:, None]
            has_w = has_k[:, None] & has_c[None, :]
            w = tl.load(at, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_c = dot(h, w, sum_c, PRECISION)
        value = sum_c + b_out[None, :]
        tl.store(logits_now + at_class, value, mask=has_class)
        at_step = step * stride
        if TOKENS:
            token, own = token_fed(
                value, at_step, row, has_row, targets, mask, noise, table, n_classes, n_fed,
                RULE, HAS_TRUTH, BLOCK_C, BLOCK_D, PRECISION,
            )  # fmt: skip
            tl.store(tokens + at_step + stride + row, token, mask=has_row)
        else:
            own = activities_fed(
                value, at_step, row, has_row, targets, mask, noise, n_classes,
                RULE, HAS_TRUTH, BLOCK_C,
            )  # fmt: skip
        tl.store(fed_now + stride * n_fed + at_fed, own, mask=has_fed)
        tl.debug_barrier()  # the next step reads what other threads have fed


@kernel
def _backward_kernel(
    grads,
    carry,
    gates,
    candidate,
    hidden,
    w_hidden,  # (3H + C, H): weight_hh above the readout's
    n_steps,
    n_sequences,
    n_hidden,
    n_classes,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    row = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    has_row = row < n_sequences
    depth = 3 * n_hidden + n_classes
    width = 4 * n_hidden + n_classes
    stride = n_sequences.to(tl.int64)
    for back in range(n_steps):
        step = n_steps - back
        later = grads + step * stride * width + row[:, None] * width
        for first in range(0, n_hidden, BLOCK_N):
            n = first + tl.arange(0, BLOCK_N)
            has_n = n < n_hidden
            has = has_row[:, None] & has_n[None, :]
            total = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            for start in range(0, depth, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                has_k = k < depth
                g = tl.load(
                    later + n_hidden + k[None, :],
                    mask=has_row[:, None] & has_k[None, :],
                    other=0.0,
                )
                w = tl.load(
                    w_hidden + k[:, None] * n_hidden + n[None, :],
                    mask=has_k[:, None] & has_n[None, :],
                    other=0.0,
                    eviction_policy="evict_last",
                )
                total = dot(g, w, total, PRECISION)
            at_unit = row[:, None] * n_hidden + n[None, :]
            grad = tl.load(carry + at_unit, mask=has, other=0.0) + total
            now = (step - 1) * stride
            at_gate = gates + now * 3 * n_hidden + row[:, None] * 3 * n_hidden + n[None, :]
            r = tl.load(at_gate, mask=has, other=0.0).to(tl.float32)
            z = tl.load(at_gate + n_hidden, mask=has, other=0.0).to(tl.float32)
            new = tl.load(at_gate + 2 * n_hidden, mask=has, other=0.0).to(tl.float32)
            at_now = now * n_hidden + at_unit
            recurrent = tl.load(candidate + at_now, mask=has, other=0.0).to(tl.float32)
            before = tl.load(hidden + at_now, mask=has, other=0.0).to(tl.float32)
            grad_n = grad * (1.0 - z) * (1.0 - new * new)
            out = grads + now * width + row[:, None] * width + n[None, :]
            tl.store(out, grad_n, mask=has)
            tl.store(out + n_hidden, grad_n * recurrent * r * (1.0 - r), mask=has)
            grad_z = grad * (before - new) * z * (1.0 - z)
            tl.store(out + 2 * n_hidden, grad_z, mask=has)
            tl.store(out + 3 * n_hidden, grad_n * r, mask=has)
            tl.store(carry + at_unit, grad * z, mask=has)
        tl.debug_barrier()  # the step before reads what other threads have stored


class TilesScan(Kernels):
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps in one launch."""
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        if n_steps == 0 or n_sequences == 0:
            return
        self._launch(_forward_kernel, n_sequences)(
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            buffers.fed,
            buffers.logits,
            *self.operands(feeding, buffers),
            n_steps,
            n_sequences,
            n_hidden,
            self.weights.n_classes,
            self.weights.n_fed,
            **self.constants(feeding),
            **self._blocks(),
        )

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps in one launch."""
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        if n_steps == 0 or n_sequences == 0:
            return
        self._launch(_backward_kernel, n_sequences)(
            grads,
            carry,
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            self.w_hidden,
            n_steps,
            n_sequences,
            n_hidden,
            self.weights.n_classes,
            PRECISION=self.precision,
            **self._blocks(),
        )

    def _blocks(self) -> dict[str, int]:
        width = min(64, block(self.weights.n_hidden))
        return {"BLOCK_B": BLOCK_SEQUENCES, "BLOCK_N": width, "BLOCK_K": width, "num_warps": 8}

    @staticmethod
    def _launch(function: Any, n_sequences: int) -> Any:
        return function[(triton.cdiv(n_sequences, BLOCK_SEQUENCES),)]
