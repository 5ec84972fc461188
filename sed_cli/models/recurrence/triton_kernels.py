"""The scans over time as Triton kernels: one program takes its sequences through all steps.

A program owns a tile of sequences, and sequences need nothing of each other, so that programs never
wait for one another and a launch covers the whole recurrence. The state of a step goes through
memory, where the next step's product finds it; what is read again at every step (the weights) is
marked to stay in the cache. The buffers are those of :mod:`.buffers`.
"""

# Triton reads the annotations of its kernels as they stand, so they are not postponed here.
from inspect import signature
from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.rules import (
    BELOW_ONE,
    Drawn,
    Expected,
    FeedbackRule,
    Likeliest,
    Sampled,
    Soft,
    Thresholded,
    TokenRule,
)

HARD = tl.constexpr(0)
SAMPLED = tl.constexpr(1)
SOFT = tl.constexpr(2)
RULES = {Thresholded: HARD, Sampled: SAMPLED, Soft: SOFT}
RULES |= {Likeliest: HARD, Drawn: SAMPLED, Expected: SOFT}
LARGEST_UNIFORM = tl.constexpr(BELOW_ONE)

BLOCK_SEQUENCES = 16
"""Sequences of a program: the fewest rows that a tensor core multiplies."""
SIZES = ["n_steps", "n_sequences", "n_classes", "n_fed"]
"""Not worth a kernel of their own; and a size of 1 would turn into a constant without a type."""


def _kernel(function: Any) -> Any:
    """Let Triton compile ``function``, one version for all values of SIZES."""
    own = [name for name in SIZES if name in signature(function).parameters]
    return triton.jit(do_not_specialize=own)(function)


@_kernel
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@_kernel
def _tanh(x):  # type: ignore[no-untyped-def]
    # Through the exponential of a negative number, which cannot overflow. Near 0 the difference
    # loses digits of a small result, no more than 1e-7 of the full range of n.
    e = tl.exp(-2.0 * tl.abs(x))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@_kernel
def _dot(a, b, accumulator, PRECISION: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), accumulator)
    else:  # noqa: RET505 -- Triton compiles what follows a return, but not the branch not taken
        return tl.dot(a, b, accumulator, input_precision=PRECISION)


@_kernel
def _own_token(  # type: ignore[no-untyped-def]
    value,
    has_c,
    uniform,
    n_classes,
    RULE: tl.constexpr,  # noqa: N803
):
    """Return the token (B,) chosen, and the probabilities (B, C) where none is."""
    # What is beyond the last class is never chosen; NaN compares with nothing, hence the clamps.
    masked = tl.where(has_c[None, :], value, float("-inf"))
    weights = tl.where(has_c[None, :], tl.exp(value - tl.max(masked, 1)[:, None]), 0.0)
    if RULE == HARD:
        token = tl.argmax(masked, 1).to(tl.int64)
    elif RULE == SOFT:
        weights = weights / tl.sum(weights, 1)[:, None]
        token = tl.argmax(masked, 1).to(tl.int64) * 0 - 1
    else:
        sums = tl.cumsum(weights, 1)
        wanted = tl.minimum(uniform, LARGEST_UNIFORM) * tl.max(sums, 1)
        passed = (sums <= wanted[:, None]) & has_c[None, :]
        token = tl.sum(passed.to(tl.int32), 1).to(tl.int64)
    return tl.minimum(token, n_classes - 1), weights


@_kernel
def _forward_kernel(  # type: ignore[no-untyped-def]
    gates,
    candidate,
    hidden,
    fed,
    logits,
    w_hidden,  # (3H + C, H): weight_hh above the readout's
    w_fed,  # (3H, D)
    bias_candidate,
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
    RULE: tl.constexpr,  # noqa: N803
    HAS_TRUTH: tl.constexpr,  # noqa: N803
    TOKENS: tl.constexpr,  # noqa: N803
    BLOCK_B: tl.constexpr,  # noqa: N803
    BLOCK_N: tl.constexpr,  # noqa: N803
    BLOCK_K: tl.constexpr,  # noqa: N803
    BLOCK_C: tl.constexpr,  # noqa: N803
    BLOCK_D: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
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
                sum_r = _dot(h, w, sum_r, PRECISION)
                w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_z = _dot(h, w, sum_z, PRECISION)
                w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_n = _dot(h, w, sum_n, PRECISION)
            at = w_fed + n[None, :] * n_fed + d[:, None]
            has_w = has_d[:, None] & has_n[None, :]
            gate = n_hidden * n_fed
            fed_n = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            w = tl.load(at, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_r = _dot(fed_tile, w, sum_r, PRECISION)
            w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_z = _dot(fed_tile, w, sum_z, PRECISION)
            w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            fed_n = _dot(fed_tile, w, fed_n, PRECISION)

            at_gate = gates_now + row[:, None] * 3 * n_hidden + n[None, :]
            at_unit = row[:, None] * n_hidden + n[None, :]
            bias = tl.load(bias_candidate + n, mask=has_n, other=0.0).to(tl.float32)
            recurrent = sum_n + bias[None, :]
            r = _sigmoid(tl.load(at_gate, mask=has, other=0.0) + sum_r)
            z = _sigmoid(tl.load(at_gate + n_hidden, mask=has, other=0.0) + sum_z)
            given = tl.load(at_gate + 2 * n_hidden, mask=has, other=0.0) + fed_n
            new = _tanh(given + r * recurrent)
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
            sum_c = _dot(h, w, sum_c, PRECISION)
        value = sum_c + b_out[None, :]
        tl.store(logits_now + at_class, value, mask=has_class)
        if TOKENS:
            uniform = b_out  # of no meaning
            if RULE == SAMPLED:
                uniform = tl.load(noise + step * stride + row, mask=has_row, other=0.0)
            token, weights = _own_token(value, has_c, uniform, n_classes, RULE)
            if HAS_TRUTH:
                truth_at = step * stride + row
                truth = tl.load(targets + truth_at, mask=has_row, other=0)
                is_truth = tl.load(mask + truth_at, mask=has_row, other=0) != 0
                token = tl.where(is_truth, truth, token)
            tl.store(tokens + (step + 1) * stride + row, token, mask=has_row)
            place = tl.maximum(token, 0)[:, None] * n_fed + d[None, :]
            own = tl.load(table + place, mask=has_fed, other=0.0)
            if RULE == SOFT:
                at = table + c[:, None] * n_fed + d[None, :]
                rows = tl.load(at, mask=has_c[:, None] & has_d[None, :], other=0.0)
                mean = _dot(weights, rows, tl.zeros((BLOCK_B, BLOCK_D), tl.float32), PRECISION)
                own = tl.where(token[:, None] >= 0, own, mean)
        else:
            if RULE == HARD:
                own = tl.where(value > 0, 1.0, 0.0)
            elif RULE == SOFT:
                own = _sigmoid(value)
            else:
                noise_now = noise + step * stride * n_classes
                uniform = tl.load(noise_now + at_class, mask=has_class, other=1.0)
                own = tl.where(uniform < _sigmoid(value), 1.0, 0.0)
            if HAS_TRUTH:
                truth_at = step * stride * n_classes + at_class
                truth = tl.load(targets + truth_at, mask=has_class, other=0.0).to(tl.float32)
                is_truth = tl.load(mask + truth_at, mask=has_class, other=0) != 0
                own = tl.where(is_truth, truth, own)
        tl.store(fed_now + stride * n_fed + at_fed, own, mask=has_fed)
        tl.debug_barrier()  # the next step reads what other threads have fed


@_kernel
def _backward_kernel(  # type: ignore[no-untyped-def]
    grads,
    grad_hidden,
    gates,
    candidate,
    hidden,
    w_hidden,  # (3H + C, H): weight_hh above the readout's
    n_steps,
    n_sequences,
    n_hidden,
    n_classes,
    BLOCK_B: tl.constexpr,  # noqa: N803
    BLOCK_N: tl.constexpr,  # noqa: N803
    BLOCK_K: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    has_row = row < n_sequences
    depth = 3 * n_hidden + n_classes
    width = 4 * n_hidden + n_classes
    stride = n_sequences.to(tl.int64)
    for back in range(n_steps + 1):
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
                total = _dot(g, w, total, PRECISION)
            at_unit = row[:, None] * n_hidden + n[None, :]
            grad = tl.load(grad_hidden + at_unit, mask=has, other=0.0) + total
            if step == 0:
                tl.store(grad_hidden + at_unit, grad, mask=has)
            else:
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
                tl.store(grad_hidden + at_unit, grad * z, mask=has)
        tl.debug_barrier()  # the step before reads what other threads have stored


class TritonScan:
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`.

    Products have float32's accuracy by default (three products of 19-bit numbers);
    ``torch.set_float32_matmul_precision`` ``high`` asks for one such product, ``medium`` for
    bfloat16 operands with float32 sums.
    """

    def __init__(self, weights: Weights, rule: FeedbackRule | TokenRule | Expected) -> None:
        self._weights = weights
        self._rule = RULES[type(rule)].value
        self._w_hidden = torch.cat([weights.w_hh, weights.w_out])
        asked = torch.get_float32_matmul_precision()
        self._precision = {"highest": "tf32x3", "high": "tf32", "medium": "bf16"}[asked]

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps in one launch."""
        w = self._weights
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        if n_steps == 0 or n_sequences == 0:
            return
        unused = buffers.logits
        has_truth = feeding.targets is not None and feeding.mask is not None
        noise = unused
        if isinstance(feeding.rule, Sampled | Drawn):
            noise = feeding.rule.noise.transpose(0, 1).contiguous()
        self._launch(_forward_kernel, n_sequences)(
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            buffers.fed,
            buffers.logits,
            self._w_hidden,
            w.w_ih[:, w.n_features :].contiguous(),
            w.b_hh[2 * n_hidden :].contiguous(),
            w.b_out,
            feeding.targets if has_truth else unused,
            cast(Tensor, feeding.mask).view(torch.uint8) if has_truth else unused,
            noise,
            buffers.tokens,
            unused if w.table is None else w.table.contiguous(),
            n_steps,
            n_sequences,
            n_hidden,
            w.n_classes,
            w.n_fed,
            RULE=self._rule,
            HAS_TRUTH=has_truth,
            TOKENS=w.table is not None,
            BLOCK_C=max(16, triton.next_power_of_2(w.n_classes)),
            BLOCK_D=max(16, triton.next_power_of_2(w.n_fed)),
            **self._blocks(),
        )

    def backward(self, grads: Tensor, grad_hidden: Tensor, buffers: Buffers) -> None:
        """Go back through all steps in one launch."""
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        if n_sequences == 0:
            return
        self._launch(_backward_kernel, n_sequences)(
            grads,
            grad_hidden,
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            self._w_hidden,
            n_steps,
            n_sequences,
            n_hidden,
            self._weights.n_classes,
            **self._blocks(),
        )

    def _blocks(self) -> dict[str, Any]:
        width = min(64, max(16, triton.next_power_of_2(self._weights.n_hidden)))
        return {
            "BLOCK_B": BLOCK_SEQUENCES,
            "BLOCK_N": width,
            "BLOCK_K": width,
            "PRECISION": self._precision,
            "num_warps": 8,
        }

    @staticmethod
    def _launch(kernel: Any, n_sequences: int) -> Any:
        return kernel[(triton.cdiv(n_sequences, BLOCK_SEQUENCES),)]
