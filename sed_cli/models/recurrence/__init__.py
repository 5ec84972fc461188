"""The one hot loop: a GRU that is fed, at every step, the output of the step before.

That output is the activities of C classes (:func:`feedback_gru`), or one token of C by its
embedding (:func:`token_gru`): two kinds of :mod:`.rules` of one loop. What is fed is the truth
where the teacher mask is set and the model's own output elsewhere, which never carries a gradient.
The back ends compute the same numbers:

``reference``
    a plain loop over time (:mod:`.reference`), on any device and dtype: the truth.
``fused``
    one autograd function with a hand-written backward pass (:mod:`.fused`), made for a CPU.
``cuda``
    the same around Triton kernels that run all steps of a launch's sequences (:mod:`.cuda`).
``auto``
    the fastest that serves. Where the truth is fed throughout (teacher forcing), everything fed is
    known beforehand and torch's GRU runs in one call (:mod:`.known_inputs`), unless the compiled
    scan of ``fused`` is at hand, which is faster still; but for a readout larger than the GRU, of a
    large vocabulary, which is better left out of the loop.

"The same numbers" means up to the order of sums, about 1e-6 relative in float32. One caveat lies in
the method itself: ``hard`` and ``sampled`` feedback decide, so that where logits are that close to
another decision, two back ends (or two batch sizes of one) may decide differently and the sequence
goes on differently from there, each as right as the other.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sed_cli.models.recurrence import cuda, fused, reference
from sed_cli.models.recurrence.known_inputs import plain_gru, plain_gru_with_state, run_forced
from sed_cli.models.recurrence.problem import (
    Problem,
    RecurrentState,
    check_tokens,
    make_problem,
    make_token_problem,
)
from sed_cli.models.recurrence.rules import (
    FEEDBACKS,
    Drawn,
    Expected,
    Feedback,
    FeedbackRule,
    Likeliest,
    Sampled,
    Soft,
    Thresholded,
    TokenRule,
)

Backend = Literal["auto", "reference", "fused", "cuda"]

BACKENDS: tuple[Backend, ...] = ("auto", "reference", "fused", "cuda")

__all__ = [
    "BACKENDS",
    "FEEDBACKS",
    "Backend",
    "Drawn",
    "Expected",
    "Feedback",
    "FeedbackRule",
    "Likeliest",
    "RecurrentState",
    "Sampled",
    "Soft",
    "Thresholded",
    "TokenRule",
    "check_tokens",
    "feedback_gru",
    "feedback_gru_with_state",
    "plain_gru",
    "plain_gru_with_state",
    "token_gru",
]


def feedback_gru(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    backend: Backend = "auto",
    *,
    feedback: Feedback | FeedbackRule = "hard",
    noise: Tensor | None = None,
    initial_state: RecurrentState | None = None,
) -> Tensor:
    """Run a GRU whose input is the frame's features joined with the activities fed back.

    At step t the cell sees ``concat(features[:, t], fed[:, t - 1])``, zeros before the first step;
    ``fed[:, t]`` is ``targets[:, t]`` where ``teacher_mask[:, t]`` is set, else the model's own
    output by ``feedback``. Gradients reach the features, the targets that were fed, the initial
    hidden state and all weights; never through the model's own output.

    Args:
        features: (B, T, F).
        targets: activities in [0, 1], (B, T, C); None if the truth is never fed.
        teacher_mask: bool (B, T), or (B, T, C) for a choice per class; None: the truth is never
            fed (free running). It may stay on the CPU for features on a GPU: it is looked at there
            without stopping the GPU.
        cell: ``nn.GRUCell(F + C, H)``.
        readout: ``nn.Linear(H, C)``.
        backend: one of ``BACKENDS``.
        feedback: ``hard``: 1 where the probability is above 0.5; ``sampled``: 1 with the model's
            probability; ``soft``: the probability. Or a :class:`FeedbackRule`.
        noise: uniforms in [0, 1), (B, T, C), for ``sampled``; not used otherwise.
        initial_state: of the stream so far; zeros if None.

    Returns:
        Logits (B, T, C), in the weights' dtype whatever autocast says.

    Raises:
        ValueError: if shapes do not fit together, an option is unknown, the mask feeds the truth
            without targets, or ``sampled`` comes without noise.

    Source: Drossos et al. 2019, section 2; Bengio et al. 2015 for ``sampled``.
    """
    return feedback_gru_with_state(
        features,
        targets,
        teacher_mask,
        cell,
        readout,
        backend,
        feedback=feedback,
        noise=noise,
        initial_state=initial_state,
    )[0]


def feedback_gru_with_state(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    backend: Backend = "auto",
    *,
    feedback: Feedback | FeedbackRule = "hard",
    noise: Tensor | None = None,
    initial_state: RecurrentState | None = None,
) -> tuple[Tensor, RecurrentState]:
    """Run :func:`feedback_gru` and return its logits and the state after the last frame.

    Passing that state as ``initial_state`` with the next chunk continues the stream exactly.
    """
    _check_backend(backend)
    # The weights decide the precision: under autocast a recurrence would round at every step.
    with torch.autocast(features.device.type, enabled=False):
        problem = make_problem(
            features, targets, teacher_mask, cell, readout, feedback, noise, initial_state
        )
        return _run(problem, backend)


def token_gru(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    table: Tensor,
    backend: Backend = "auto",
    *,
    feedback: Feedback | TokenRule | Expected = "hard",
    noise: Tensor | None = None,
    initial_state: RecurrentState | None = None,
) -> tuple[Tensor, RecurrentState]:
    """Run a GRU whose input is the step's features joined with the embedding of a token fed back.

    As :func:`feedback_gru_with_state`, but one of C tokens is the output of a step. Gradients also
    reach the table, through every row that was fed, the model's own choices among them; never
    through the choice.

    Args:
        features: (B, T, F); F may be 0, as in a language model.
        targets: ids of the tokens, int64 (B, T); None if the truth is never fed.
        teacher_mask: bool (B, T); None: the truth is never fed (free running).
        cell: ``nn.GRUCell(F + D, H)``.
        readout: ``nn.Linear(H, C)``.
        table: embeddings of the tokens, (C, D).
        backend: one of ``BACKENDS``.
        feedback: ``hard``: the likeliest token; ``sampled``: one drawn with the model's
            probabilities; ``soft``: all of them, weighted with these. Or a :class:`TokenRule`.
        noise: uniforms in [0, 1), (B, T, 1), for ``sampled``; not used otherwise.
        initial_state: of the stream so far; zeros if None, which is no token's embedding.

    Returns:
        Logits (B, T, C), in the weights' dtype whatever autocast says, and the state after them.

    Raises:
        ValueError: if shapes do not fit together, an id is not in [0, C), an option is unknown, the
            mask feeds the truth without targets, or ``sampled`` comes without noise.

    Source: Bengio et al. 2015.
    """
    _check_backend(backend)
    with torch.autocast(features.device.type, enabled=False):
        problem = make_token_problem(
            features, targets, teacher_mask, cell, readout, table, feedback, noise, initial_state
        )
        return _run(problem, backend)


def _check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: expected one of {', '.join(BACKENDS)}")


def _run(problem: Problem, backend: Backend) -> tuple[Tensor, RecurrentState]:
    if backend == "auto":
        return _run_fastest(problem)
    runs = {"reference": reference.run, "fused": fused.run, "cuda": cuda.run}
    return runs[backend](problem)


def _run_fastest(problem: Problem) -> tuple[Tensor, RecurrentState]:
    on_cpu = problem.features.device.type == "cpu"
    reads_out_much = problem.readout.out_features > 3 * problem.cell.hidden_size
    in_loop = on_cpu and fused.is_compiled(problem) and not reads_out_much
    if problem.is_forced and not in_loop:
        return run_forced(problem)
    return cuda.run(problem) if problem.features.device.type == "cuda" else fused.run(problem)
