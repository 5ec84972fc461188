"""torch's GRU in one call, if every input is known before the first step."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from sed_cli.models.recurrence.problem import Problem, RecurrentState, check_readout
from sed_cli.models.recurrence.tokens import embedded


def plain_gru(
    features: Tensor, cell: nn.GRUCell, readout: nn.Linear, initial_hidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run a GRU without feedback: the baseline.

    Args:
        features: (B, T, F).
        cell: ``nn.GRUCell(F, H)``.
        readout: ``nn.Linear(H, C)``.
        initial_hidden: (B, H); zeros if None.

    Returns:
        Logits (B, T, C), in the weights' dtype whatever autocast says, and the hidden state (B, H)
        after the end.

    Raises:
        ValueError: if shapes do not fit together.
    """
    if features.ndim != 3 or features.shape[2] != cell.input_size:
        raise ValueError(
            f"features has shape {tuple(features.shape)}: expected (B, T, F={cell.input_size})"
        )
    check_readout(cell, readout)
    if initial_hidden is None:
        initial_hidden = cell.weight_hh.new_zeros(features.shape[0], cell.hidden_size)
    elif initial_hidden.shape != (features.shape[0], cell.hidden_size):
        raise ValueError(
            f"initial_hidden has shape {tuple(initial_hidden.shape)}: expected (B, H) = "
            f"{(features.shape[0], cell.hidden_size)}"
        )
    with torch.autocast(features.device.type, enabled=False):
        hidden_all, hidden = known_inputs_gru(
            features.to(cell.weight_ih), cell, initial_hidden.to(cell.weight_hh)
        )
        return readout(hidden_all), hidden


def run_forced(problem: Problem) -> tuple[Tensor, RecurrentState]:
    """Run teacher forcing: the feedback is known, so it is a plain GRU over shifted targets.

    Returns:
        Logits (B, T, C) and the state after the last frame.
    """
    targets = problem.targets
    if targets is None:
        raise ValueError("teacher forcing needs targets")
    if problem.table is not None:
        targets = embedded(targets, problem.table)
    known = torch.cat([problem.state.feedback[:, None], targets], dim=1)  # (B, 1 + T, C or D)
    inputs = torch.cat([problem.features, known[:, :-1]], dim=2)  # (B, T, F + C or D)
    hidden_all, hidden = known_inputs_gru(inputs, problem.cell, problem.state.hidden)
    return problem.readout(hidden_all), RecurrentState(hidden, known[:, -1].detach())


def known_inputs_gru(
    inputs: Tensor, cell: nn.GRUCell, initial_hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Run ``torch.gru`` with the cell's weights.

    Args:
        inputs: (B, T, F).
        cell: ``nn.GRUCell(F, H)``.
        initial_hidden: (B, H).

    Returns:
        Hidden states of all steps (B, T, H), and the last one (B, H).
    """
    if inputs.shape[0] == 0 or inputs.shape[1] == 0:  # the library refuses both
        return inputs.new_zeros(*inputs.shape[:2], cell.hidden_size), initial_hidden
    weights = [cell.weight_ih, cell.weight_hh]
    if cell.bias:
        weights += [cell.bias_ih, cell.bias_hh]
    with warnings.catch_warnings():
        # cuDNN prefers flattened weights of an nn.GRU; those of a cell are copied each time.
        warnings.filterwarnings("ignore", message=".*single contiguous chunk.*")
        hidden_all, last = torch.gru(
            inputs,
            initial_hidden[None].contiguous(),
            weights,
            has_biases=cell.bias,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # cuDNN keeps data for backward only then
            bidirectional=False,
            batch_first=True,
        )
    return hidden_all, last[0]
