"""The recurrence on a GPU: the autograd function of :mod:`.fused` around Triton's kernels."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor

from sed_cli.models.recurrence import fused
from sed_cli.models.recurrence.buffers import Buffers, Feeding, Scan, Weights
from sed_cli.models.recurrence.kernels import interprets
from sed_cli.models.recurrence.plain import PlainScan
from sed_cli.models.recurrence.problem import Problem, RecurrentState
from sed_cli.models.recurrence.rules import Rule, is_named

log = logging.getLogger(__name__)

MOST_CLASSES = 128
"""Classes, and values of what is fed, up to which a kernel holds its sequences' in registers."""
MOST_HIDDEN = 1024
"""Hidden units up to which one program's product of a step beats launching it on all processors."""


def run(problem: Problem) -> tuple[Tensor, RecurrentState]:
    """Run the recurrence on a GPU; in torch's operations, for a logged reason, where Triton cannot.

    Returns:
        Logits (B, T, C) and the state after the last frame.

    Raises:
        ValueError: if the tensors are not on a GPU (or Triton's interpreter is not on).
    """
    device = problem.features.device
    if device.type != "cuda" and not interprets():
        raise ValueError(
            f"backend='cuda' got tensors on {device}: move them to a GPU, or use backend='auto'"
        )
    # Triton launches on the current device, whichever its arguments are on.
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return fused.run(problem, scan)


def scan(weights: Weights, rule: Rule) -> Scan:
    """Choose Triton's scans where they serve, else the plain one."""
    reason = _reason_against_triton(weights, rule)
    if reason is not None:
        slow = "the recurrence runs step by step in torch's operations on the GPU"
        _log_once(logging.WARNING, f"{slow}: {reason}")
        return PlainScan(weights)

    from sed_cli.models.recurrence.kernels import tiles, units

    kinds: list[Callable[[], Scan]] = [lambda: tiles.TilesScan(weights, rule)]
    if units.serves(weights):
        kinds.insert(0, lambda: units.UnitsScan(weights, rule))
    return _FirstThatFits([*kinds, lambda: PlainScan(weights)])


class _FirstThatFits:
    """The first of several scans whose kernels have room on this GPU, which their launch tells."""

    def __init__(self, kinds: list[Callable[[], Scan]]) -> None:
        self._others = iter(kinds[1:])
        self._scan = kinds[0]()

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        self._run(lambda scan: scan.forward(feeding, buffers))

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        self._run(lambda scan: scan.backward(grads, carry, buffers))

    def _run(self, launch: Callable[[Scan], None]) -> None:
        from triton.runtime.errors import OutOfResources

        while True:
            try:
                return launch(self._scan)
            except OutOfResources as error:  # nothing has run yet
                _log_once(
                    logging.INFO, f"{type(self._scan).__name__} does not fit this GPU: {error}"
                )
                self._scan = next(self._others)()


def _reason_against_triton(weights: Weights, rule: Rule) -> str | None:
    if not _has_triton():
        return "Triton is not installed"
    if not is_named(rule):
        return f"{type(rule).__name__} is a rule of the caller's own"
    if weights.w_ih.dtype != torch.float32:
        return f"the weights are {weights.w_ih.dtype}, its kernels take torch.float32"
    if weights.n_classes > MOST_CLASSES:
        return f"{weights.n_classes} classes are more than {MOST_CLASSES}"
    if weights.n_fed > MOST_CLASSES:
        return f"embeddings of {weights.n_fed} values are more than {MOST_CLASSES}"
    if weights.n_hidden > MOST_HIDDEN:
        return f"{weights.n_hidden} hidden units are more than {MOST_HIDDEN}"
    return None


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _log_once(level: int, message: str) -> None:
    log.log(level, message)
