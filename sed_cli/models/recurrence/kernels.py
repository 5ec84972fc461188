"""Triton's kernels of the recurrence, one launch each way for all steps. Never run on a GPU by us.

A program processes a tile of 16 sequences over time. Sequences are independent, so programs
never wait for one another and cannot hang. The state of a step goes through memory to the next
step's product; the weights, read again at every step, are marked to stay in the cache. The buffers
are those of :mod:`.buffers`; :mod:`.triton_scan` launches.
"""

# Triton evaluates the annotations of its kernels, so they are not postponed here.
from inspect import signature
from typing import Any

import triton
import triton.language as tl

from sed_cli.models import feedback as rules

HARD = tl.constexpr(rules.HARD)
SAMPLED = tl.constexpr(rules.SAMPLED)
SOFT = tl.constexpr(rules.SOFT)
LARGEST_UNIFORM = tl.constexpr(rules.BELOW_ONE)

SIZES = ["n_steps", "n_sequences", "n_classes", "n_fed"]
"""Not worth separate kernels; and a size of 1 would become a constant without a type."""


def kernel(function: Any) -> Any:
    """Let Triton compile ``function``, one version for all values of SIZES."""
    own = [name for name in SIZES if name in signature(function).parameters]
    return triton.jit(do_not_specialize=own)(function)


@kernel
def _sigmoid(x):
    """Return the logistic function."""
    return 1.0 / (1.0 + tl.exp(-x))


@kernel
def _tanh(x):
    """Return the hyperbolic tangent."""
    # Through the exponential of a negative number, which cannot overflow. Near 0 the difference
    # loses digits of a small result, no more than 1e-7 of the full range of n.
    e = tl.exp(-2.0 * tl.abs(x))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@kernel
def _dot(a, b, accumulator):
    """Return ``accumulator + a @ b``; three products of 19-bit numbers make float32's accuracy."""
    return tl.dot(a, b, accumulator, input_precision="tf32x3")


@kernel
def _own_token(value, has_c, uniform, n_classes, RULE: tl.constexpr):
    """Return the chosen token (B,), and the probabilities (B, C) if none is chosen."""
    # Entries beyond the last class are never chosen; NaN compares false, hence the clamps.
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


@kernel
def _token_fed(
    value,  # (B, C): the logits of a step
    at_step,  # that step's index in tensors (T, B)
    row,
    has_row,
    targets,
    mask,
    noise,
    table,
    n_classes,
    n_fed,
    RULE: tl.constexpr,
    HAS_TRUTH: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Return the token (B,) fed after a step, -1 for all tokens, and its embedding (B, D)."""
    c = tl.arange(0, BLOCK_C)
    has_c = c < n_classes
    d = tl.arange(0, BLOCK_D)
    has_fed = has_row[:, None] & (d < n_fed)[None, :]
    uniform = row.to(tl.float32)  # undefined
    if RULE == SAMPLED:
        uniform = tl.load(noise + at_step + row, mask=has_row, other=0.0)
    token, weights = _own_token(value, has_c, uniform, n_classes, RULE)
    if HAS_TRUTH:
        truth = tl.load(targets + at_step + row, mask=has_row, other=0)
        is_truth = tl.load(mask + at_step + row, mask=has_row, other=0) != 0
        token = tl.where(is_truth, truth, token)
    place = tl.maximum(token, 0)[:, None] * n_fed + d[None, :]
    own = tl.load(table + place, mask=has_fed, other=0.0)
    if RULE == SOFT:
        at = table + c[:, None] * n_fed + d[None, :]
        rows = tl.load(at, mask=has_c[:, None] & (d < n_fed)[None, :], other=0.0)
        mean = tl.zeros((value.shape[0], BLOCK_D), tl.float32)
        mean = _dot(weights, rows, mean)
        own = tl.where(token[:, None] >= 0, own, mean)
    return token, own


@kernel
def _activities_fed(
    value,  # (B, C): the logits of a step
    at_step,  # that step's index in tensors (T, B)
    row,
    has_row,
    targets,
    mask,
    noise,
    n_classes,
    RULE: tl.constexpr,
    HAS_TRUTH: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Return the activities (B, C) fed after a step."""
    c = tl.arange(0, BLOCK_C)
    has_class = has_row[:, None] & (c < n_classes)[None, :]
    at_class = (at_step + row)[:, None] * n_classes + c[None, :]
    if RULE == HARD:
        own = tl.where(value > 0, 1.0, 0.0)
    elif RULE == SOFT:
        own = _sigmoid(value)
    else:
        uniform = tl.load(noise + at_class, mask=has_class, other=1.0)
        own = tl.where(uniform < _sigmoid(value), 1.0, 0.0)
    if HAS_TRUTH:
        truth = tl.load(targets + at_class, mask=has_class, other=0.0).to(tl.float32)
        is_truth = tl.load(mask + at_class, mask=has_class, other=0) != 0
        own = tl.where(is_truth, truth, own)
    return own


@kernel
def forward_kernel(
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
):
    """Run all steps for the sequences of a tile."""
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
                sum_r = _dot(h, w, sum_r)
                w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_z = _dot(h, w, sum_z)
                w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
                sum_n = _dot(h, w, sum_n)
            at = w_fed + n[None, :] * n_fed + d[:, None]
            has_w = has_d[:, None] & has_n[None, :]
            gate = n_hidden * n_fed
            fed_n = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
            w = tl.load(at, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_r = _dot(fed_tile, w, sum_r)
            w = tl.load(at + gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            sum_z = _dot(fed_tile, w, sum_z)
            w = tl.load(at + 2 * gate, mask=has_w, other=0.0, eviction_policy="evict_last")
            fed_n = _dot(fed_tile, w, fed_n)

            at_gate = gates_now + row[:, None] * 3 * n_hidden + n[None, :]
            at_unit = row[:, None] * n_hidden + n[None, :]
            bias = tl.load(bias_gates + 3 * n_hidden + n, mask=has_n, other=0.0)
            recurrent = sum_n + bias[None, :]
            bias = tl.load(bias_gates + n, mask=has_n, other=0.0)
            r = _sigmoid(tl.load(at_gate, mask=has, other=0.0) + sum_r + bias[None, :])
            bias = tl.load(bias_gates + n_hidden + n, mask=has_n, other=0.0)
            z = _sigmoid(tl.load(at_gate + n_hidden, mask=has, other=0.0) + sum_z + bias[None, :])
            bias = tl.load(bias_gates + 2 * n_hidden + n, mask=has_n, other=0.0)
            given = tl.load(at_gate + 2 * n_hidden, mask=has, other=0.0) + fed_n + bias[None, :]
            new = _tanh(given + r * recurrent)
            before = tl.load(h_now + at_unit, mask=has, other=0.0).to(tl.float32)
            after = new + z * (before - new)
            tl.store(at_gate, r, mask=has)
            tl.store(at_gate + n_hidden, z, mask=has)
            tl.store(at_gate + 2 * n_hidden, new, mask=has)
            tl.store(candidate_now + at_unit, recurrent, mask=has)
            tl.store(h_now + stride * n_hidden + at_unit, after, mask=has)
        tl.debug_barrier()  # the product below reads data stored by other threads

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
            sum_c = _dot(h, w, sum_c)
        value = sum_c + b_out[None, :]
        tl.store(logits_now + at_class, value, mask=has_class)
        at_step = step * stride
        if TOKENS:
            token, own = _token_fed(
                value, at_step, row, has_row, targets, mask, noise, table, n_classes, n_fed,
                RULE, HAS_TRUTH, BLOCK_C, BLOCK_D,
            )  # fmt: skip
            tl.store(tokens + at_step + stride + row, token, mask=has_row)
        else:
            own = _activities_fed(
                value, at_step, row, has_row, targets, mask, noise, n_classes,
                RULE, HAS_TRUTH, BLOCK_C,
            )  # fmt: skip
        tl.store(fed_now + stride * n_fed + at_fed, own, mask=has_fed)
        tl.debug_barrier()  # the next step reads data stored by other threads


@kernel
def backward_kernel(
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
):
    """Go back through all steps for the sequences of a tile."""
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
                total = _dot(g, w, total)
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
        tl.debug_barrier()  # the previous step reads data stored by other threads
