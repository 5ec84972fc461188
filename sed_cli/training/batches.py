"""Composition of batches, and the share of each rank."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count, islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, WeightedRandomSampler

from sed_cli.config.trainer import TrainerConfig
from sed_cli.errors import UserError

STRONG = "strong"
"""Name of the source of training-split sequences; the only one in most tasks."""


@dataclass(frozen=True)
class Source:
    """Training sequences of one source, consecutive among those of a task.

    Args:
        name: its name in ``trainer.batch_shares``.
        n_sequences: number of its sequences.
        sets_epoch: whether they count in ``trainer.batch_size``, and an epoch lasts until all of
            them are used; others are added, in proportion.
        weights: relative probability of each, (n_sequences,); ``None``: all are used before any is
            repeated.
    """

    name: str
    n_sequences: int
    sets_epoch: bool = True
    weights: Tensor | None = None


@dataclass(frozen=True)
class Part:
    """Share of a batch for one rank; with a single rank the whole batch."""

    indices: list[int]  # of the training sequences
    first: int  # index of the first of them in the batch
    n_sequences: int  # of the whole batch
    n_steps: int  # of its longest sequence
    counts: bool = True  # unset: no work left; these are also computed by another rank

    @property
    def n_own(self) -> int:
        """Number of sequences in its share."""
        return len(self.indices)


class Batches:
    """The batches of a training: a function of only the seed and the number of the pass.

    With several sources, each batch has sequences of each in proportion to
    ``trainer.batch_shares``, in the order of the sources. Each pass uses a new order; a source that
    is exhausted before the end of the pass restarts in another order.

    With few sequences, a pass has only an update or two: passes are repeated until an epoch has
        ``config.min_epoch_updates``, so that epochs, patience and the sampler's schedule mean
    the same amount of training as elsewhere.

    Args:
        sources: of the sequences, at least one.
        config: of the optimisation.
        seed: of the order.

    Raises:
        UserError: if a batch is too small for all sources, or a share names an unknown source.
    """

    def __init__(self, sources: Sequence[Source], config: TrainerConfig, seed: int = 0) -> None:
        self._sources, self._seed = sources, seed
        self.counts = _counts(sources, config)
        self.n_batches = max(
            -(-each.n_sequences // n)
            for each, n in zip(sources, self.counts, strict=True)
            if each.sets_epoch
        )
        self._accumulate = config.accumulate
        self.n_passes = -(-config.min_epoch_updates // -(-self.n_batches // self._accumulate))

    @property
    def n_updates(self) -> int:
        """Number of updates per epoch, over all its passes; the last of a pass may have fewer
        batches, and the last batch of a single source may be smaller.
        """
        return self.n_passes * -(-self.n_batches // self._accumulate)

    def of_epoch(self, epoch: int) -> Iterator[tuple[int, list[list[int]]]]:
        """Yield the number of the pass and the batches of each update of an epoch, from 1."""
        for number in range((epoch - 1) * self.n_passes + 1, epoch * self.n_passes + 1):
            batches = self.of_pass(number)
            while of_update := list(islice(batches, self._accumulate)):
                yield number, of_update

    def of_pass(self, number: int) -> Iterator[list[int]]:
        """Yield the sequences of each batch of a pass."""
        if len(self._sources) == 1:
            source = self._sources[0]
            yield from index_batches(
                source.n_sequences, self.counts[0], self._seed, number, source.weights
            )
            return
        firsts = accumulate((each.n_sequences for each in self._sources), initial=0)
        orders = [
            _order(each, first, (self._seed, number, place))
            for place, (each, first) in enumerate(zip(self._sources, firsts, strict=False))
        ]
        for _ in range(self.n_batches):
            yield [
                index
                for order, n in zip(orders, self.counts, strict=True)
                for index in islice(order, n)
            ]


def _counts(sources: Sequence[Source], config: TrainerConfig) -> list[int]:
    """Number of sequences of each source in a batch.

    Added ones are in proportion to those of the batch by their shares.
    """
    shares: Mapping[str, float] = config.batch_shares
    within = [each.name for each in sources if each.sets_epoch]
    on_top = {each.name for each in sources} - set(within)
    own = {name: share for name, share in shares.items() if name not in on_top}
    counts = counts_of(within, replace(config, batch_shares=own))
    of_batch = dict(zip(within, counts, strict=True))
    unit = config.batch_size / sum(own.get(name, 1.0) for name in within)
    return [
        of_batch[each.name] if each.sets_epoch else max(1, round(unit * shares.get(each.name, 1.0)))
        for each in sources
    ]


def counts_of(names: Sequence[str], config: TrainerConfig) -> list[int]:
    """Number of sequences of each source in a batch, at least one; they add up to its size.

    Raises:
        UserError: if a batch is too small, or a share names an unknown source.
    """
    shares: Mapping[str, float] = config.batch_shares
    size = config.batch_size
    if unknown := sorted(shares.keys() - set(names)):
        raise UserError(
            f"trainer.batch_shares names {', '.join(unknown)}, but the only training sequences "
            f"are {', '.join(names)}: drop it, or add such data, as with data.train.weak"
        )
    if size < len(names):
        raise UserError(
            f"trainer.batch_size={size}, but each batch has sequences of {', '.join(names)}: "
            f"expected at least {len(names)}"
        )
    weights = [shares.get(name, 1.0) for name in names]
    exact = [size * weight / sum(weights) for weight in weights]
    counts = [max(1, math.floor(each)) for each in exact]
    while (
        missing := size - sum(counts)
    ) != 0:  # to or from the one with the largest rounding error
        step = 1 if missing > 0 else -1
        able = [i for i, n in enumerate(counts) if n + step > 0]
        counts[max(able, key=lambda i: step * (exact[i] - counts[i]))] += step
    return counts


def _order(source: Source, first: int, key: tuple[int, ...]) -> Iterator[int]:
    """Yield numbers from ``first`` on endlessly, all before any repeats, or as drawn."""
    n, weights = source.n_sequences, source.weights
    for turn in count():
        random = np.random.default_rng(np.random.SeedSequence((*key, turn)))
        if weights is None:
            numbers = random.permutation(n)
        else:
            numbers = random.choice(n, n, p=(weights / weights.sum()).numpy())
        yield from (first + numbers).tolist()


def index_batches(
    n_sequences: int, batch_size: int, seed: int, epoch: int, weights: Tensor | None = None
) -> Iterator[list[int]]:
    """Yield all sequences in batches, in an order that depends only on seed and epoch.

    With ``weights`` (N,), as many are drawn in proportion, some repeatedly.
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
    """Divide a batch into one part per rank, as equal as possible; return one part.

    A rank without work computes the first sequence again with weight 0, since the others wait for
    it in each sum.
    """
    first, end = (-(-len(indices) * place // n_ranks) for place in (rank, rank + 1))
    counts = end > first
    if not counts:
        first, end = 0, 1
    n_steps = max(lengths[index] for index in indices)
    return Part(list(indices[first:end]), first, len(indices), n_steps, counts)


def parts_of(
    batches: Sequence[Sequence[int]], lengths: Sequence[int], rank: int, n_ranks: int
) -> list[Part]:
    """Divide each batch of an update; return the share of one rank.

    Args:
        batches: of the update, whose gradients are accumulated.
        lengths: steps of each training sequence.
        rank: of this process.
        n_ranks: number of ranks.
    """
    n_sequences = sum(map(len, batches))
    n_steps = max(lengths[index] for indices in batches for index in indices)
    firsts = accumulate(map(len, batches), initial=0)
    return [
        replace(part, first=first + part.first, n_sequences=n_sequences, n_steps=n_steps)
        for first, indices in zip(firsts, batches, strict=False)
        for part in [part_of(indices, lengths, rank, n_ranks)]
    ]
