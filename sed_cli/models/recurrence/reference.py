"""The recurrence as it reads in the paper: the truth every other back end is held to."""

from __future__ import annotations

import torch
from torch import Tensor

from sed_cli.models.recurrence.problem import Problem, RecurrentState


def run(problem: Problem) -> tuple[Tensor, RecurrentState]:
    """Run a plain loop over time; autograd does the rest.

    Returns:
        Logits (B, T, C) and the state after the last frame.
    """
    features, readout = problem.features, problem.readout
    hidden, feedback = problem.state
    logits = []
    for step in range(features.shape[1]):
        hidden = problem.cell(torch.cat([features[:, step], feedback], dim=1), hidden)  # (B, H)
        logits.append(readout(hidden))  # (B, C)
        feedback = problem.next_feedback(logits[-1], step)  # (B, C)
    if not logits:  # no frames: still part of the graph, so that a loss over it can go backward
        return readout(hidden.new_zeros(hidden.shape[0], 0, hidden.shape[1])), problem.state
    return torch.stack(logits, dim=1), RecurrentState(hidden, feedback.detach())
