"""The scan over time by Triton kernels: experimental, only on request."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, cast

import torch
from torch import Tensor

from sed_cli.errors import UserError
from sed_cli.models.feedback import OWN
from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.problem import Problem

MOST_CLASSES = 128
"""Maximum classes, and feedback values, that a kernel holds in registers."""
MOST_HIDDEN = 1024
"""Maximum hidden units: beyond, launching each step on all processors would be faster."""
BLOCK_SEQUENCES = 16
"""Sequences of a program: the minimum rows of a tensor core product."""


class UnservedError(UserError, ValueError):
    """The kernels were requested by name, but do not support the problem."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"backend=triton (trainer.recurrence): {reason}: use auto, which never selects it"
        )


def interprets() -> bool:
    """Whether Triton runs its kernels without a GPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def check_served(problem: Problem) -> None:
    """Raise UnservedError unless the kernels support the problem."""
    fault = _fault(problem)
    if fault is not None:
        raise UnservedError(fault)


def _fault(problem: Problem) -> str | None:
    device, dtype = problem.features.device.type, problem.features.dtype
    n_classes, n_hidden = problem.readout.out_features, problem.cell.hidden_size
    n_fed = problem.state.feedback.shape[1]
    if device != "cuda" and not interprets():
        return f"expected tensors on a CUDA device, got {device}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (CUDA builds of torch include it)"
    if problem.rule.code == OWN:
        return f"{type(problem.rule).__name__} is a rule of the caller's own"
    if problem.rule.remembers:
        return f"feedback={problem.rule.name} has memory, which the kernels do not support"
    if problem.outputs != slice(0, n_classes):
        return "only some outputs are fed back, and the kernels feed all of them"
    if dtype != torch.float32:
        return f"the weights are {dtype}, but the kernels need torch.float32"
    if n_classes > MOST_CLASSES:
        return f"{n_classes} classes are more than {MOST_CLASSES}"
    if n_fed > MOST_CLASSES:
        return f"embeddings of {n_fed} values are more than {MOST_CLASSES}"
    if n_hidden > MOST_HIDDEN:
        return f"{n_hidden} hidden units are more than {MOST_HIDDEN}"
    return None


class TritonScan:
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._w_hidden = torch.cat([weights.w_hh, weights.w_out])  # (3H + C, H)

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps in one launch."""
        from sed_cli.models.recurrence.kernels import forward_kernel

        w = self._weights
        unused = buffers.logits  # placeholder for unused arguments
        targets = mask = noise = unused
        if feeding.has_truth:
            targets = cast(Tensor, feeding.targets)
            mask = cast(Tensor, feeding.mask).view(torch.uint8)
        if feeding.noise is not None:
            noise = feeding.noise
        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        self._launch(
            forward_kernel,
            n_sequences,
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            buffers.fed,
            buffers.logits,
            self._w_hidden,
            w.w_ih[:, w.n_features :].contiguous(),
            w.b_gates,
            w.b_out,
            targets,
            mask,
            noise,
            buffers.tokens,
            unused if w.table is None else w.table.contiguous(),
            n_steps,
            n_sequences,
            n_hidden,
            w.n_classes,
            w.n_fed,
            RULE=feeding.rule.code,
            HAS_TRUTH=feeding.has_truth,
            TOKENS=w.table is not None,
            BLOCK_C=_block(w.n_classes),
            BLOCK_D=_block(w.n_fed),
        )

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps in one launch."""
        from sed_cli.models.recurrence.kernels import backward_kernel

        n_steps, n_sequences, n_hidden = buffers.candidate.shape
        self._launch(
            backward_kernel,
            n_sequences,
            grads,
            carry,
            buffers.gates,
            buffers.candidate,
            buffers.hidden,
            self._w_hidden,
            n_steps,
            n_sequences,
            n_hidden,
            self._weights.n_classes,
        )

    def _launch(self, kernel: Any, n_sequences: int, *arguments: Any, **constants: Any) -> None:
        from triton.runtime.errors import OutOfResources

        if not n_sequences:
            return
        width = min(64, _block(self._weights.n_hidden))
        constants |= {"BLOCK_B": BLOCK_SEQUENCES, "BLOCK_N": width, "BLOCK_K": width}
        # Triton launches on the current device, not on that of its arguments.
        with torch.cuda.device_of(self._w_hidden):  # type: ignore[no-untyped-call]
            try:
                kernel[(-(-n_sequences // BLOCK_SEQUENCES),)](*arguments, **constants, num_warps=8)
            except OutOfResources as error:
                raise UnservedError(f"too large for this GPU ({error})") from error


def _block(size: int) -> int:
    """Return the minimum tile size for ``size``, a power of two supported by products."""
    return max(16, 1 << (size - 1).bit_length())
