"""Which sequences make up a batch, and which of these a rank computes."""

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
"""Sequences of the training split; of a task with no other source all there are."""


@dataclass(frozen=True)
class Source:
    """Training sequences of one kind, which lie one after the other among those of a task.

    Args:
        name: what ``trainer.batch_shares`` calls it.
        n_sequences: how many there are.
        sets_epoch: whether they are among the ``trainer.batch_size`` sequences of a batch, and an
            epoch lasts until all of them were taken; others come on top, as many as come along.
        weights: how likely each is drawn, (n_sequences,), in proportion; ``None``: all are taken
            before any comes again.
    """

    name: str
    n_sequences: int
    sets_epoch: bool = True
    weights: Tensor | None = None


@dataclass(frozen=True)
class Part:
    """What one rank computes of a batch; of a single rank it is all of it."""

    indices: list[int]  # of the training sequences
    first: int  # place of the first of them in the batch
    n_sequences: int  # of the whole batch
    n_steps: int  # of its longest sequence
    counts: bool = True  # unset: nothing was left, these are computed by another rank as well

    @property
    def n_own(self) -> int:
        """How many of them it computes."""
        return len(self.indices)


class Batches:
    """The batches of a training: a function of the seed and the number of the pass alone.

    Of several sources each batch holds as many sequences of each as ``trainer.batch_shares`` says,
    in the order of the sources. A pass takes them in a new order, and a source that is through
    before the pass is begins anew, in another one.

    Of few sequences a pass is an update or two: they are gone through until an epoch has
    ``config.min_epoch_updates``, so that epochs, patience and the sampler's schedule stand for as
    much training as they do elsewhere.

    Args:
        sources: of the sequences, one at least.
        config: of the optimisation.
        seed: of the order.

    Raises:
        UserError: if a batch is too small for all sources, or shares are given to what is no
            source.
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
        """Updates an epoch, over all its passes; the last of a pass may be of fewer batches, and of
        a single source the last batch may be smaller.
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
    """How many sequences of each source a batch holds.

    Those on top are as many, to those of the batch, as their shares say.
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
    """How many sequences of each source a batch holds, one at least; they add up to its size.

    Raises:
        UserError: if a batch is too small, or shares are given to what is no source.
    """
    shares: Mapping[str, float] = config.batch_shares
    size = config.batch_size
    if unknown := sorted(shares.keys() - set(names)):
        raise UserError(
            f"trainer.batch_shares names {', '.join(unknown)}, but the training sequences are "
            f"{', '.join(names)} only: drop it, or name such data, as with data.train.weak"
        )
    if size < len(names):
        raise UserError(
            f"trainer.batch_size={size}, but each batch holds sequences of {', '.join(names)}: "
            f"expected at least {len(names)}"
        )
    weights = [shares.get(name, 1.0) for name in names]
    exact = [size * weight / sum(weights) for weight in weights]
    counts = [max(1, math.floor(each)) for each in exact]
    while (missing := size - sum(counts)) != 0:  # to whom, or from whom, most is due
        step = 1 if missing > 0 else -1
        able = [i for i, n in enumerate(counts) if n + step > 0]
        counts[max(able, key=lambda i: step * (exact[i] - counts[i]))] += step
    return counts


def _order(source: Source, first: int, key: tuple[int, ...]) -> Iterator[int]:
    """Yield numbers from ``first`` on without end, all before any comes again, or as drawn."""
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


def parts_of(
    batches: Sequence[Sequence[int]], lengths: Sequence[int], rank: int, n_ranks: int
) -> list[Part]:
    """Cut each of the batches that make up an update; return what one rank computes of the whole.

    Args:
        batches: the update's, whose gradients are accumulated.
        lengths: steps of each training sequence.
        rank: which one.
        n_ranks: of so many.
    """
    n_sequences = sum(map(len, batches))
    n_steps = max(lengths[index] for indices in batches for index in indices)
    firsts = accumulate(map(len, batches), initial=0)
    return [
        replace(part, first=first + part.first, n_sequences=n_sequences, n_steps=n_steps)
        for first, indices in zip(firsts, batches, strict=False)
        for part in [part_of(indices, lengths, rank, n_ranks)]
    ]
