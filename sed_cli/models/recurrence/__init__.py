"""The hot loop: a GRU that receives, at every step, the output of the previous step.

That output is the activities of C classes or, with a ``table`` of embeddings, one token of C: two
kinds of outputs of one loop. The feedback is the target where the teacher mask is set and the
model's own output elsewhere, without gradient. The back ends compute the same numbers:

``plain``
    a loop over time, on any device and dtype: the definition, in :mod:`.plain`. Start reading
    there.
``torch``, ``compiled``, ``triton``
    one autograd function with a hand-written backward pass (:mod:`.fused`) around a scan over time:
    in torch's operations, on any device and dtype (:mod:`.torch_scan`); compiled by numba for a CPU
    (:mod:`.compiled_scan`); or by a Triton kernel, never run on a GPU by us (:mod:`.triton_scan`).
``auto``
    ``compiled`` where supported, else ``torch``. With teacher forcing all inputs are known in
    advance: torch's GRU runs in one call (:mod:`.known_inputs`), except where ``compiled`` is
    supported, which is faster still, unless a vocabulary makes the readout larger than the GRU.

"The same numbers" means up to the order of sums, about 1e-6 relative in float32. One caveat is
inherent in the method: ``hard`` and ``sampled`` feedback decide, so that if logits are that
close to a decision boundary, two back ends (or two batch sizes) may decide differently and the
sequences diverge from there, both equally correct.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import fused, plain, triton_scan
from sed_cli.models.recurrence.known_inputs import plain_gru, run_forced
from sed_cli.models.recurrence.problem import Problem, RecurrentState, check_tokens, make_problem
from sed_cli.models.recurrence.torch_scan import TorchScan

Backend = Literal["auto", "plain", "torch", "compiled", "triton"]

BACKENDS: tuple[Backend, ...] = ("auto", "plain", "torch", "compiled", "triton")

Feedback = str | FeedbackRule

__all__ = [
    "BACKENDS",
    "Backend",
    "Feedback",
    "RecurrentState",
    "check_tokens",
    "feedback_gru",
    "feedback_gru_with_state",
    "plain_gru",
]

log = logging.getLogger(__name__)


def feedback_gru(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    backend: Backend = "auto",
    *,
    table: Tensor | None = None,
    feedback: Feedback = "hard",
    noise: Tensor | None = None,
    initial_state: RecurrentState | None = None,
    fed_outputs: slice | None = None,
) -> Tensor:
    """Run a GRU on the frame's features concatenated with the feedback.

    At step t the cell sees ``concat(features[:, t], fed[:, t - 1])``, zeros before the first step;
    ``fed[:, t]`` is ``targets[:, t]`` where ``teacher_mask[:, t]`` is set, else the model's own
    output by ``feedback``: activities, or with ``table`` a token by its row. Gradients reach the
    features, the target activities that were fed, the table through every row that was fed, the
    initial hidden state and all weights; never through the model's own output or choice.

    Args:
        features: (B, T, F); F may be 0, as in a language model.
        targets: activities in [0, 1], (B, T, C), or ids of tokens, int64 (B, T); None if the target
            is never fed.
        teacher_mask: bool (B, T), or for activities (B, T, C), a choice per class; None: the target
            is never fed (free running). It may stay on the CPU for features on a GPU, where it can
            be inspected without synchronising with the GPU.
        cell: ``nn.GRUCell(F + C, H)``, or ``nn.GRUCell(F + D, H)`` for tokens; a feedback rule may
            feed several numbers per class, ``F + width * C``.
        readout: ``nn.Linear(H, C)``.
        backend: one of ``BACKENDS``.
        table: embeddings of the tokens, (C, D); None: activities are fed.
        feedback: ``hard``: 1 where the probability is above 0.5, or the most likely token;
            ``sampled``: 1, or a token, with the model's probability; ``soft``: the probability, or
            all tokens weighted with it. Or another rule (:mod:`sed_cli.models.feedback`).
        noise: uniforms in [0, 1), (B, T, C), or (B, T, 1) for tokens, for ``sampled``; not used
            otherwise.
        initial_state: of the stream so far; zeros if None.
        fed_outputs: consecutive activities that are fed; None: all. The width of the cell must
            match.

    Returns:
        Logits (B, T, C), in the weights' dtype whatever autocast says.

    Raises:
        ValueError: if shapes do not fit together, an id is not in [0, C), an option is unknown, the
            mask feeds the target without targets, ``sampled`` comes without noise, or the back end
            does not support the arguments.

    Source: Drossos et al. 2019, section 2; Bengio et al. 2015 for ``sampled``.
    """
    return feedback_gru_with_state(
        features,
        targets,
        teacher_mask,
        cell,
        readout,
        backend,
        table=table,
        feedback=feedback,
        noise=noise,
        initial_state=initial_state,
        fed_outputs=fed_outputs,
    )[0]


def feedback_gru_with_state(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    backend: Backend = "auto",
    *,
    table: Tensor | None = None,
    feedback: Feedback = "hard",
    noise: Tensor | None = None,
    initial_state: RecurrentState | None = None,
    fed_outputs: slice | None = None,
) -> tuple[Tensor, RecurrentState]:
    """Run :func:`feedback_gru` and return its logits and the state after the last frame.

    Passing that state as ``initial_state`` with the next chunk continues the stream exactly.
    """
    # The weights decide the precision: under autocast a recurrence would round at every step.
    with torch.autocast(features.device.type, enabled=False):
        problem = make_problem(
            features,
            targets,
            teacher_mask,
            cell,
            readout,
            table,
            feedback,
            noise,
            initial_state,
            fed_outputs,
        )
        return _run(problem, backend)


def _run(problem: Problem, backend: Backend) -> tuple[Tensor, RecurrentState]:
    if backend == "auto":
        return run_fastest(problem)
    if backend == "plain":
        return plain.run(problem)
    if backend == "torch":
        return fused.run(problem, TorchScan)
    if backend == "compiled":
        return _run_compiled(problem)
    if backend == "triton":
        triton_scan.check_served(problem)
        return fused.run(problem, triton_scan.TritonScan)
    raise ValueError(f"backend={backend!r}: expected one of {', '.join(BACKENDS)}")


def run_fastest(problem: Problem) -> tuple[Tensor, RecurrentState]:
    """Run a checked problem by the back end that ``auto`` stands for."""
    reads_out_much = problem.readout.out_features > 3 * problem.cell.hidden_size
    compiles = _fault_for_compiled(problem) is None
    if problem.is_forced and not problem.rule.remembers and (reads_out_much or not compiles):
        return run_forced(problem)
    return _run_compiled(problem) if compiles else fused.run(problem, TorchScan)


def _run_compiled(problem: Problem) -> tuple[Tensor, RecurrentState]:
    fault = _fault_for_compiled(problem)
    if fault is not None:
        raise ValueError(f"backend='compiled': {fault}: use backend='auto'")
    from sed_cli.models.recurrence.compiled_scan import CompiledScan

    return fused.run(problem, CompiledScan)


def _fault_for_compiled(problem: Problem) -> str | None:
    device, dtype = problem.features.device.type, problem.features.dtype
    if device != "cpu":
        return f"expected tensors on the CPU, got {device}"
    if dtype not in (torch.float32, torch.float64):
        return f"expected float32 or float64, got {dtype}"
    if not problem.rule.is_compiled:
        return f"{type(problem.rule).__name__} is a rule of the caller's own"
    return None if _has_numba() else "numba is not installed"


@cache
def _has_numba() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError as reason:  # not installed, or not compatible with this version of numpy
        log.info(
            "the recurrence runs uncompiled, at about half the speed (%s): "
            "pip install 'sedtf[fast]' installs numba",
            reason,
        )
        return False
    return True
