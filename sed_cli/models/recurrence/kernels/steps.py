"""What the kernels share: nonlinearities, products, and what is fed after a step."""

# Triton reads the annotations of its kernels as they stand, so they are not postponed here.
from inspect import signature
from typing import Any, NamedTuple, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from sed_cli.models.recurrence import rules
from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.rules import BELOW_ONE, KINDS, Drawn, Rule, Sampled

HARD = tl.constexpr(rules.HARD)
SAMPLED = tl.constexpr(rules.SAMPLED)
SOFT = tl.constexpr(rules.SOFT)
LARGEST_UNIFORM = tl.constexpr(BELOW_ONE)

SIZES = ["first", "last", "first_row", "n_steps", "n_sequences", "n_classes", "n_fed"]
"""Not worth a kernel of their own; and a size of 1 would turn into a constant without a type."""


def kernel(function: Any) -> Any:
    """Let Triton compile ``function``, one version for all values of SIZES."""
    own = [name for name in SIZES if name in signature(function).parameters]
    return triton.jit(do_not_specialize=own)(function)


@kernel
def sigmoid(x):
    """Return the logistic function."""
    return 1.0 / (1.0 + tl.exp(-x))


@kernel
def tanh(x):
    """Return the hyperbolic tangent."""
    # Through the exponential of a negative number, which cannot overflow. Near 0 the difference
    # loses digits of a small result, no more than 1e-7 of the full range of n.
    e = tl.exp(-2.0 * tl.abs(x))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@kernel
def dot(a, b, accumulator, PRECISION: tl.constexpr):
    """Return ``accumulator + a @ b``."""
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), accumulator)
    else:  # noqa: RET505 -- Triton compiles what follows a return, but not the branch not taken
        return tl.dot(a, b, accumulator, input_precision=PRECISION)


@kernel
def _own_token(value, has_c, uniform, n_classes, RULE: tl.constexpr):
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


@kernel
def token_fed(
    value,  # (B, C): the logits of a step
    at_step,  # that step's place in tensors (T, B)
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
    PRECISION: tl.constexpr,
):
    """Return the token (B,) fed after a step, -1 where all are, and its embedding (B, D)."""
    c = tl.arange(0, BLOCK_C)
    has_c = c < n_classes
    d = tl.arange(0, BLOCK_D)
    has_fed = has_row[:, None] & (d < n_fed)[None, :]
    uniform = row.to(tl.float32)  # of no meaning
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
        mean = dot(weights, rows, mean, PRECISION)
        own = tl.where(token[:, None] >= 0, own, mean)
    return token, own


@kernel
def activities_fed(
    value,  # (B, C): the logits of a step
    at_step,  # that step's place in tensors (T, B)
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
        own = sigmoid(value)
    else:
        uniform = tl.load(noise + at_class, mask=has_class, other=1.0)
        own = tl.where(uniform < sigmoid(value), 1.0, 0.0)
    if HAS_TRUTH:
        truth = tl.load(targets + at_class, mask=has_class, other=0.0).to(tl.float32)
        is_truth = tl.load(mask + at_class, mask=has_class, other=0) != 0
        own = tl.where(is_truth, truth, own)
    return own


class Operands(NamedTuple):
    """What a forward kernel takes of weights and truth; tensors without meaning stand for None.

    Attributes:
        w_hidden: (3H + C, H), weight_hh above the readout's.
        w_fed: (3H, D).
        bias_gates: (4H,), of r, z, n and candidate.
        bias_readout: (C,).
        targets: (T, B, C), or (T, B).
        mask: uint8, of that shape.
        noise: (T, B, C), or (T, B, 1).
        tokens: (T + 1, B).
        table: (C, D).
    """

    w_hidden: Tensor
    w_fed: Tensor
    bias_gates: Tensor
    bias_readout: Tensor
    targets: Tensor
    mask: Tensor
    noise: Tensor
    tokens: Tensor
    table: Tensor


class Kernels:
    """What the scans of both kinds of kernels share."""

    def __init__(self, weights: Weights, rule: Rule) -> None:
        self.weights = weights
        self.w_hidden = torch.cat([weights.w_hh, weights.w_out])
        self._rule = KINDS[type(rule)]
        self.precision = precision()

    def operands(self, feeding: Feeding, buffers: Buffers) -> Operands:
        """Collect what a forward kernel takes beside the buffers."""
        w = self.weights
        unused = buffers.logits
        targets = mask = noise = unused
        if _has_truth(feeding):
            targets, mask = cast(Tensor, feeding.targets), cast(Tensor, feeding.mask)
            mask = mask.view(torch.uint8)
        if isinstance(feeding.rule, Sampled | Drawn):
            noise = feeding.rule.noise.transpose(0, 1).contiguous()
        return Operands(
            w_hidden=self.w_hidden,
            w_fed=w.w_ih[:, w.n_features :].contiguous(),
            bias_gates=w.b_gates,
            bias_readout=w.b_out,
            targets=targets,
            mask=mask,
            noise=noise,
            tokens=buffers.tokens,
            table=unused if w.table is None else w.table.contiguous(),
        )

    def constants(self, feeding: Feeding) -> dict[str, Any]:
        """Return what both forward kernels are compiled for."""
        return {
            "RULE": self._rule,
            "HAS_TRUTH": _has_truth(feeding),
            "TOKENS": self.weights.table is not None,
            "BLOCK_C": block(self.weights.n_classes),
            "BLOCK_D": block(self.weights.n_fed),
            "PRECISION": self.precision,
        }


def precision() -> str:
    """Return how products are computed: with float32's accuracy by default.

    That takes three products of 19-bit numbers; ``torch.set_float32_matmul_precision`` ``high``
    asks for one such product, ``medium`` for bfloat16 operands with float32 sums.
    """
    asked = torch.get_float32_matmul_precision()
    return {"highest": "tf32x3", "high": "tf32", "medium": "bf16"}[asked]


def block(size: int) -> int:
    """Return the least size of a tile, a power of two that products take, that holds ``size``."""
    return max(16, int(triton.next_power_of_2(size)))


def _has_truth(feeding: Feeding) -> bool:
    return feeding.targets is not None and feeding.mask is not None
