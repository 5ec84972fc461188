"""The definition of the recurrence, as in the paper; the other back ends are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from sed_cli.models.recurrence.problem import Problem, RecurrentState
from sed_cli.models.recurrence.tokens import embedded


def run(problem: Problem) -> tuple[Tensor, RecurrentState]:
    """Run a plain loop over time, differentiated by autograd.

    Returns:
        Logits (B, T, C) and the state after the last frame.
    """
    features, readout = problem.features, problem.readout
    hidden, carried = problem.state
    logits = []
    for step in range(features.shape[1]):
        fed = carried[:, : problem.n_fed]  # (B, D)
        hidden = problem.cell(torch.cat([features[:, step], fed], dim=1), hidden)  # (B, H)
        logits.append(readout(hidden))  # (B, C)
        carried = _carried_after(step, logits[-1], carried, problem)
    if not logits:  # no frames: still part of the graph, so that a loss over it can go backward
        return readout(hidden.new_zeros(hidden.shape[0], 0, hidden.shape[1])), problem.state
    return torch.stack(logits, dim=1), RecurrentState(hidden, carried.detach())


def _carried_after(step: int, logits: Tensor, before: Tensor, problem: Problem) -> Tensor:
    """Return the target where the mask is set, else the rule's output for the logits.

    A rule with memory combines it with the carried values. No gradient passes through the rule; the
    embeddings of its tokens do receive one.
    """
    rule, table = problem.rule, problem.table
    noise = None if problem.noise is None else problem.noise[:, step]
    if table is not None:
        own = embedded(rule.tokens(logits.detach(), noise), table)
    else:
        own = rule.activities(logits.detach()[:, problem.outputs], noise)
    if problem.targets is None or problem.mask is None:
        return own if table is not None else rule.fed(own, before)
    mask, target = problem.mask[:, step], problem.targets[:, step]
    if table is not None:
        return torch.where(mask[:, None], embedded(target, table), own)
    return rule.fed(torch.where(mask, target, own), before)
