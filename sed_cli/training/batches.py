"""Which sequences make up a batch, and which of these a rank computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, WeightedRandomSampler

from sed_cli.config.trainer import TrainerConfig


@dataclass(frozen=True)
class Part:
    """What one rank computes of a batch; of a single rank it is all of it."""

    indices: list[int]  # of the training sequences
    first: int  # place of the first of them in the batch
    n_sequences: int  # of the whole batch
    n_steps: int  # of its longest sequence
    counts: bool = True  # unset: nothing was left, these are computed by another rank as well


def passes_of(n_sequences: int, config: TrainerConfig) -> tuple[int, int]:
    """Passes over the sequences that an epoch makes, and the batches of each pass.

    Of few sequences a pass is an update or two: they are gone through until an epoch has
    ``config.min_epoch_updates``, so that epochs, patience and the sampler's schedule stand for as
    much training as they do elsewhere.
    """
    n_batches = -(-n_sequences // config.batch_size)
    return -(-config.min_epoch_updates // n_batches), n_batches


def index_batches(
    n_sequences: int, batch_size: int, seed: int, epoch: int, weights: Tensor | None = None
) -> Iterator[list[int]]:
    """Yield all sequences in batches, in an order that depends on the seed and the epoch alone.

    Given ``weights`` (N,), as many are drawn in proportion to them, some of them again.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    sampler = None
    if weights is not None:
        sampler = WeightedRandomSampler(weights, n_sequences, generator=generator)  # type: ignore[arg-type]
    yield from DataLoader(
        range(n_sequences),  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=sampler is None,
        sampler=sampler,
        generator=generator,
        collate_fn=list,
    )


def part_of(indices: Sequence[int], lengths: Sequence[int], rank: int, n_ranks: int) -> Part:
    """Cut a batch into as many parts as there are ranks, as equal as can be; return one of them.

    A rank that nothing is left for computes the first sequence once more, and counts it as nothing:
    the others wait for it in each sum.
    """
    first, end = (-(-len(indices) * place // n_ranks) for place in (rank, rank + 1))
    counts = end > first
    if not counts:
        first, end = 0, 1
    n_steps = max(lengths[index] for index in indices)
    return Part(list(indices[first:end]), first, len(indices), n_steps, counts)
