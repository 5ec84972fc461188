"""A GRU without feedback, in either direction, by the fastest back end for the device.

On a CPU torch's own GRU takes time and memory that grow with the square of the number of frames in
its backward pass: 3 s for 8 sequences of 1024 frames, of which the recurrence of
:mod:`.fused` takes 0.05 s.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from sed_cli.models.feedbacks import rule_of
from sed_cli.models.recurrence import run_fastest
from sed_cli.models.recurrence.known_inputs import known_inputs_gru
from sed_cli.models.recurrence.problem import Problem, RecurrentState


class _Cell(NamedTuple):
    """One direction of an ``nn.GRU``, with the names of an ``nn.GRUCell``."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor
    bias: bool = True

    @property
    def hidden_size(self) -> int:
        return self.weight_hh.shape[1]

    @property
    def input_size(self) -> int:
        return self.weight_ih.shape[1]


class _Itself(NamedTuple):
    """A readout that returns the hidden state."""

    weight: Tensor
    bias: None = None

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]


def read_forwards(features: Tensor, gru: nn.GRU) -> Tensor:
    """Run the forward direction of a GRU of one layer: (B, T, F) -> hidden states (B, T, H)."""
    return _run(features, _cell_of(gru, ""))


def read_backwards(features: Tensor, gru: nn.GRU, lengths: Tensor | None = None) -> Tensor:
    """Run a GRU of one layer from the end: (B, T, F) -> hidden states (B, T, H).

    Args:
        features: (B, T, F).
        gru: the backward direction of a bidirectional GRU is run, or its only one.
        lengths: frames before the padding, (B,), from the last of which it starts; None: all.
    """
    cell = _cell_of(gru, "_reverse" if gru.bidirectional else "")
    if lengths is None:
        return _run(features.flip(1), cell).flip(1)
    frames = torch.arange(features.shape[1], device=features.device)
    last = lengths.to(features.device)[:, None] - 1
    mirrored = torch.where(frames <= last, last - frames, frames)[..., None]  # (B, T, 1)
    turned = features.gather(1, mirrored.expand_as(features))
    hidden = _run(turned, cell)
    return hidden.gather(1, mirrored.expand_as(hidden))


def _cell_of(gru: nn.GRU, ending: str) -> _Cell:
    """The weights of one direction, by the ending of their names."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    w_ih, w_hh, b_ih, b_hh = (cast(Tensor, getattr(gru, name + ending)) for name in names)
    return _Cell(w_ih, w_hh, b_ih, b_hh)


def _run(features: Tensor, cell: _Cell) -> Tensor:
    features = features.to(cell.weight_ih)
    start = features.new_zeros(len(features), cell.hidden_size)
    if features.device.type != "cpu":
        return known_inputs_gru(features, cast(nn.GRUCell, cell), start)[0]
    problem = Problem(
        features=features,
        outputs=slice(0, 0),
        targets=None,
        mask=None,
        is_forced=False,
        rule=rule_of("hard"),
        cell=cast(nn.GRUCell, cell),
        readout=cast(nn.Linear, _Itself(torch.eye(cell.hidden_size, dtype=features.dtype))),
        state=RecurrentState(start, start[:, :0]),
    )
    return run_fastest(problem)[0]
