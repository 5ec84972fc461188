"""The scans over time, the hidden units of a tile of sequences divided among programs.

A program keeps its share of the weights on chip, reads the state that all programs of its tile have
written, computes its own units' part of the next, and waits for the others: once a step. The
readout is small and what is fed needs all of it, so every program computes it, and none waits for
another to hear what is fed. While a program waits, its own loads of the step are on their way.

Programs that wait must all run at once, hence a cooperative launch of no more of them than there
are processors. Where they cannot wait (Triton's interpreter runs one after the other), every step
is a launch of its own. Products have the weights on the left, so that sequences are the columns,
of which a tensor core takes eight; and the sum over k is cut into slices that warps share.
"""

# Triton reads the annotations of its kernels as they stand, so they are not postponed here.
from dataclasses import dataclass
from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.kernels import interprets
from sed_cli.models.recurrence.kernels.steps import (
    Kernels,
    activities_fed,
    block,
    dot,
    kernel,
    precision,
    sigmoid,
    tanh,
    token_fed,
)

UNITS = 16
"""Hidden units of a program: the fewest rows that a tensor core multiplies."""
FORWARD_K, BACKWARD_K = 32, 16
"""Terms of a slice of a product's sum: few, since each waits for the one before."""
TILES = (8, 16, 32)
"""Sequences of a tile: the fewest that let all programs run at once."""
ROOM_FOR_STATE = 40 * 1024
"""Bytes of a processor's shared memory that hold other things than weights, at most."""
BYTES = {"tf32x3": 8, "tf32": 4, "bf16": 2}
"""Of a weight there: as two numbers where products take it apart."""


@kernel
def _wait(arrived, wanted, WAITS: tl.constexpr):
    """Wait until so many programs have arrived; what they wrote before can be read after."""
    if WAITS:
        while tl.atomic_add(arrived, 0, sem="acquire", scope="gpu") < wanted:
            pass
    tl.debug_barrier()  # one thread heard it, and all read


@kernel
def _arrive(arrived, WAITS: tl.constexpr):
    """Say that all that this program has written so far can be read."""
    tl.debug_barrier()  # all have written, and one thread says it
    if WAITS:
        tl.atomic_add(arrived, 1, sem="release", scope="gpu")


@kernel
def _add_three(a, b, c, x, y, z):
    return a + x, b + y, c + z


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
    arrived,  # (tiles,): programs that have finished a step, of all steps so far
    first,  # of the steps; the readout of one is computed in the next, hence T + 1 of them
    last,
    first_row,
    n_steps,
    n_sequences,
    n_hidden,
    n_classes,
    n_fed,
    RULE: tl.constexpr,
    HAS_TRUTH: tl.constexpr,
    TOKENS: tl.constexpr,
    WAITS: tl.constexpr,
    SLICES: tl.constexpr,
    UNITS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    part = tl.program_id(0)
    row = first_row + tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    has_row = row < n_sequences
    unit = part * UNITS + tl.arange(0, UNITS)
    has_unit = unit < n_hidden
    has = has_unit[:, None] & has_row[None, :]  # (U, B)
    c = tl.arange(0, BLOCK_C)
    has_c = c < n_classes
    d = tl.arange(0, BLOCK_D)
    has_d = d < n_fed
    k = tl.arange(0, SLICES)[:, None] * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
    has_k = k < n_hidden
    at = w_hidden + unit[None, :, None] * n_hidden + k[:, None, :]  # (slices, U, K)
    has_w = has_unit[None, :, None] & has_k[:, None, :]
    w_r = tl.load(at, mask=has_w, other=0.0)
    w_z = tl.load(at + n_hidden * n_hidden, mask=has_w, other=0.0)
    w_n = tl.load(at + 2 * n_hidden * n_hidden, mask=has_w, other=0.0)
    at = w_hidden + (3 * n_hidden + c)[None, :, None] * n_hidden + k[:, None, :]
    w_out = tl.load(at, mask=has_c[None, :, None] & has_k[:, None, :], other=0.0)
    at = w_fed + unit[:, None] * n_fed + d[None, :]
    has_w = has_unit[:, None] & has_d[None, :]
    fed_r = tl.load(at, mask=has_w, other=0.0)
    fed_z = tl.load(at + n_hidden * n_fed, mask=has_w, other=0.0)
    fed_n = tl.load(at + 2 * n_hidden * n_fed, mask=has_w, other=0.0)
    bias_r = tl.load(bias_gates + unit, mask=has_unit, other=0.0)[:, None]
    bias_z = tl.load(bias_gates + n_hidden + unit, mask=has_unit, other=0.0)[:, None]
    bias_n = tl.load(bias_gates + 2 * n_hidden + unit, mask=has_unit, other=0.0)[:, None]
    bias = tl.load(bias_gates + 3 * n_hidden + unit, mask=has_unit, other=0.0)[:, None]
    b_out = tl.load(bias_readout + c, mask=has_c, other=0.0)
    # 64-bit from here on: T x B x 3H passes 2**31 within the sizes of this project.
    stride = n_sequences.to(tl.int64)
    at_unit = row[None, :] * n_hidden + unit[:, None]
    before = tl.load(hidden + first * stride * n_hidden + at_unit, mask=has, other=0.0)
    for step in range(first, last):
        at_step = step * stride
        # Rows that there are of the step; of none, its loads and stores do nothing.
        goes_on = has_unit[:, None] & (row < tl.where(step < n_steps, n_sequences, 0))[None, :]
        at_gate = gates + (at_step + row)[None, :] * 3 * n_hidden + unit[:, None]
        given_r = tl.load(at_gate, mask=goes_on, other=0.0)
        given_z = tl.load(at_gate + n_hidden, mask=goes_on, other=0.0)
        given_n = tl.load(at_gate + 2 * n_hidden, mask=goes_on, other=0.0)
        _wait(arrived + tl.program_id(1), tl.num_programs(0) * (step - first), WAITS)
        h = tl.load(
            hidden + (at_step + row)[None, None, :] * n_hidden + k[:, :, None],
            mask=has_k[:, :, None] & has_row[None, None, :],
            other=0.0,
            cache_modifier=".cg",  # others wrote it: a processor's own cache knows nothing of it
        )  # (slices, K, B)

        # What the step before fed; nothing is fed to the first but what is given.
        earlier = at_step - stride
        n_earlier = tl.where(at_step > 0, n_sequences, 0)
        has_earlier = row < n_earlier
        tells = row < tl.where(part == 0, n_earlier, 0)
        value = tl.zeros((SLICES, BLOCK_C, BLOCK_B), tl.float32)
        value = tl.sum(dot(w_out, h, value, PRECISION), 0) + b_out[:, None]
        value = tl.trans(value)  # (B, C)
        if TOKENS:
            token, own = token_fed(
                value, earlier, row, has_earlier, targets, mask, noise, table, n_classes, n_fed,
                RULE, HAS_TRUTH, BLOCK_C, BLOCK_D, PRECISION,
            )  # fmt: skip
            tl.store(tokens + at_step + row, token, mask=tells)
        else:
            own = activities_fed(
                value, earlier, row, has_earlier, targets, mask, noise, n_classes,
                RULE, HAS_TRUTH, BLOCK_C,
            )  # fmt: skip
        at_class = (earlier + row)[:, None] * n_classes + c[None, :]
        tl.store(logits + at_class, value, mask=tells[:, None] & has_c[None, :])
        at_fed = fed + (at_step + row)[:, None] * n_fed + d[None, :]
        tl.store(at_fed, own, mask=tells[:, None] & has_d[None, :])
        is_given = row < n_sequences - n_earlier
        given = tl.load(at_fed, mask=is_given[:, None] & has_d[None, :], other=0.0)
        fed_tile = tl.trans(tl.where(at_step > 0, own, given))  # (D, B)

        zeros = tl.zeros((SLICES, UNITS, BLOCK_B), tl.float32)
        sum_r, sum_z, recurrent = tl.reduce(
            (
                dot(w_r, h, zeros, PRECISION),
                dot(w_z, h, zeros, PRECISION),
                dot(w_n, h, zeros, PRECISION),
            ),
            0,
            _add_three,
        )
        recurrent += bias
        r = sigmoid(given_r + bias_r + dot(fed_r, fed_tile, sum_r, PRECISION))
        z = sigmoid(given_z + bias_z + dot(fed_z, fed_tile, sum_z, PRECISION))
        new = tanh(dot(fed_n, fed_tile, given_n + bias_n, PRECISION) + r * recurrent)
        before = new + z * (before - new)
        tl.store(hidden + (at_step + stride) * n_hidden + at_unit, before, mask=goes_on)
        _arrive(arrived + tl.program_id(1), WAITS)
        tl.store(at_gate, r, mask=goes_on)
        tl.store(at_gate + n_hidden, z, mask=goes_on)
        tl.store(at_gate + 2 * n_hidden, new, mask=goes_on)
        tl.store(candidate + at_step * n_hidden + at_unit, recurrent, mask=goes_on)


@kernel
def _backward_kernel(
    grads,
    carry,
    gates,
    candidate,
    hidden,
    w_hidden,  # (3H + C, H): weight_hh above the readout's
    arrived,  # (tiles,): programs that have finished a step, of all steps so far
    first,  # of the steps, counted from the end
    last,
    first_row,
    n_steps,
    n_sequences,
    n_hidden,
    n_classes,
    WAITS: tl.constexpr,
    SLICES: tl.constexpr,
    UNITS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    PRECISION: tl.constexpr,
):
    row = first_row + tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    has_row = row < n_sequences
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    has_unit = unit < n_hidden
    has = has_unit[:, None] & has_row[None, :]  # (U, B)
    width = 4 * n_hidden + n_classes
    c = tl.arange(0, BLOCK_C)
    has_c = c < n_classes
    k = tl.arange(0, SLICES)[:, None] * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
    has_k = (k < n_hidden)[:, :, None] & has_row[None, None, :]  # (slices, K, B)
    at = w_hidden + k[:, None, :] * n_hidden + unit[None, :, None]
    has_w = has_unit[None, :, None] & (k < n_hidden)[:, None, :]  # (slices, U, K)
    w_r = tl.load(at, mask=has_w, other=0.0)
    w_z = tl.load(at + n_hidden * n_hidden, mask=has_w, other=0.0)
    w_n = tl.load(at + 2 * n_hidden * n_hidden, mask=has_w, other=0.0)
    at = w_hidden + (3 * n_hidden + c)[None, :] * n_hidden + unit[:, None]
    w_out = tl.load(at, mask=has_unit[:, None] & has_c[None, :], other=0.0)
    stride = n_sequences.to(tl.int64)
    at_unit = row[None, :] * n_hidden + unit[:, None]
    directly = tl.load(carry + at_unit, mask=has, other=0.0)
    for back in range(first, last):
        step = n_steps - back
        now = (step - 1) * stride
        at_gate = gates + (now + row)[None, :] * 3 * n_hidden + unit[:, None]
        r = tl.load(at_gate, mask=has, other=0.0)
        z = tl.load(at_gate + n_hidden, mask=has, other=0.0)
        new = tl.load(at_gate + 2 * n_hidden, mask=has, other=0.0)
        recurrent = tl.load(candidate + now * n_hidden + at_unit, mask=has, other=0.0)
        before = tl.load(hidden + now * n_hidden + at_unit, mask=has, other=0.0)
        later = grads + (step * stride + row) * width
        of_logits = later[None, :] + 4 * n_hidden + c[:, None]
        of_logits = tl.load(of_logits, mask=has_c[:, None] & has_row[None, :], other=0.0)
        grad = dot(w_out, of_logits, directly, PRECISION)
        _wait(arrived + tl.program_id(1), tl.num_programs(0) * (back - first), WAITS)
        # Others wrote them: a processor's own cache knows nothing of it.
        of_gate = later[None, None, :] + n_hidden + k[:, :, None]
        of_r = tl.load(of_gate, mask=has_k, other=0.0, cache_modifier=".cg")
        of_z = tl.load(of_gate + n_hidden, mask=has_k, other=0.0, cache_modifier=".cg")
        of_n = tl.load(of_gate + 2 * n_hidden, mask=has_k, other=0.0, cache_modifier=".cg")
        total = dot(w_r, of_r, tl.zeros((SLICES, UNITS, BLOCK_B), tl.float32), PRECISION)
        total = dot(w_n, of_n, dot(w_z, of_z, total, PRECISION), PRECISION)
        grad += tl.sum(total, 0)
        grad_n = grad * (1.0 - z) * (1.0 - new * new)
        out = grads + (now + row)[None, :] * width + unit[:, None]
        tl.store(out + n_hidden, grad_n * recurrent * r * (1.0 - r), mask=has)
        tl.store(out + 2 * n_hidden, grad * (before - new) * z * (1.0 - z), mask=has)
        tl.store(out + 3 * n_hidden, grad_n * r, mask=has)
        _arrive(arrived + tl.program_id(1), WAITS)
        tl.store(out, grad_n, mask=has)
        directly = grad * z
    tl.store(carry + at_unit, directly, mask=has)


@dataclass(frozen=True)
class _Division:
    """How a problem is divided among programs that all run at once.

    Attributes:
        n_parts: programs of a tile.
        n_tiles: of a launch.
        block_b: sequences of a tile.
    """

    n_parts: int
    n_tiles: int
    block_b: int

    @staticmethod
    def of(n_hidden: int, n_sequences: int, n_processors: int) -> "_Division":
        """Take the smallest tiles that all run at once, else as many of the largest as do."""
        n_parts = triton.cdiv(n_hidden, UNITS)
        most = max(1, n_processors // n_parts)
        for block_b in TILES:
            n_tiles = triton.cdiv(n_sequences, block_b)
            if n_tiles <= most:
                break
        return _Division(n_parts, min(n_tiles, most), block_b)


class UnitsScan(Kernels):
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps in one launch, or in one for each group of tiles."""
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        w = self.weights
        self._launch(
            _forward_kernel,
            n_steps + 1,
            [
                *(buffers.gates, buffers.candidate, buffers.hidden, buffers.fed, buffers.logits),
                *self.operands(feeding, buffers),
            ],
            [n_steps, n_sequences, n_hidden, w.n_classes, w.n_fed],
            block_k=FORWARD_K,
            **self.constants(feeding),
        )

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps likewise."""
        w = self.weights
        self._launch(
            _backward_kernel,
            buffers.candidate.shape[0],
            [grads, carry, buffers.gates, buffers.candidate, buffers.hidden, self.w_hidden],
            [*buffers.candidate.shape, w.n_classes],
            block_k=BACKWARD_K,
            BLOCK_C=block(w.n_classes),
            PRECISION=self.precision,
        )

    def _launch(
        self,
        function: Any,
        n_turns: int,
        tensors: list[Tensor],
        sizes: list[int],  # T, B, H and what else there is
        *,
        block_k: int,
        **constants: Any,
    ) -> None:
        n_steps, n_sequences, n_hidden = sizes[:3]
        if n_steps == 0 or n_sequences == 0:
            return
        device = tensors[0].device
        n_processors = _properties(device)["multiprocessor_count"]
        division = _Division.of(n_hidden, n_sequences, n_processors)
        waits = division.n_parts > 1 and not interprets()
        # Alone a program needs nobody's word for what it has written itself.
        ranges = [(0, n_turns)]
        if division.n_parts > 1 and not waits:
            ranges = [(turn, turn + 1) for turn in range(n_turns)]
        constants |= {"BLOCK_B": division.block_b, **blocks(n_hidden, block_k), "WAITS": waits}
        for first_row in range(0, n_sequences, division.n_tiles * division.block_b):
            arrived = torch.zeros(division.n_tiles, dtype=torch.int32, device=device)
            for steps in ranges:
                function[(division.n_parts, division.n_tiles)](
                    *tensors,
                    arrived,
                    *steps,
                    first_row,
                    *sizes,
                    **constants,
                    launch_cooperative_grid=waits,
                )


def blocks(n_hidden: int, block_k: int) -> dict[str, int]:
    """Return how products over H are divided, and among how many warps."""
    return {
        "UNITS": UNITS,
        "BLOCK_K": block_k,
        "SLICES": triton.cdiv(int(triton.next_power_of_2(n_hidden)), block_k),
        "num_warps": 8 if n_hidden <= 256 else 16,
    }


def serves(weights: Weights) -> bool:
    """Whether a processor holds a program's share of the weights, and all programs run at once."""
    properties = _properties(weights.w_hh.device)
    if block(weights.n_fed) > 64 or not _can_wait():
        return False
    rows = 3 * UNITS + block(weights.n_classes)
    held = rows * int(triton.next_power_of_2(weights.n_hidden)) * BYTES[precision()]
    fits = held + ROOM_FOR_STATE <= properties["max_shared_mem"]
    return fits and triton.cdiv(weights.n_hidden, UNITS) <= properties["multiprocessor_count"]


def _can_wait() -> bool:
    """Whether this Triton launches programs that are sure to run all at once."""
    return tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 3)


def _properties(device: torch.device) -> dict[str, int]:
    """Return what Triton knows of a GPU; of the interpreter, what a large one has."""
    if device.type != "cuda":
        return {"max_shared_mem": 227 * 1024, "multiprocessor_count": 128}
    index = torch.cuda.current_device() if device.index is None else device.index
    return cast(dict[str, int], triton.runtime.driver.active.utils.get_device_properties(index))
