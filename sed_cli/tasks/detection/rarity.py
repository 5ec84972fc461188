"""How rare the classes are in the sequences that a detector is trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from sed_cli.data.sequences import Sequences


def count_targets(sequences: Sequences) -> tuple[Tensor, Tensor]:
    """How many targets of each output are active, and how many are known, int64 (C,) each."""
    active, known = [], []
    for targets in map(sequences.targets, range(len(sequences))):
        active.append((targets == 1).sum(0))
        known.append((~targets.isnan()).sum(0))
    return torch.stack(active).sum(0), torch.stack(known).sum(0)
