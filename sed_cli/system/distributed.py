"""Several processes that train one model: their ranks, and sums over all of them.

Such a process is a rank, numbered from 0. Without a process group there is one rank. (SyncBatchNorm
of torch takes no tensors of a CPU, and ``torch.distributed.nn`` is deprecated, hence the few lines
for sums with gradients.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_counts = True  # whether this rank contributes to the sums


def n_ranks() -> int:
    """Ranks that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share_of(items: Sequence[T]) -> Sequence[T]:
    """Return this rank's share of ``items``."""
    return items[rank() :: n_ranks()]


def agreed(value: T) -> T:
    """Return the ``value`` of rank 0 in every rank."""
    if n_ranks() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(items: Sequence[T]) -> list[T]:
    """Return the items of all ranks, in their order."""
    if n_ranks() == 1:
        return list(items)
    boxes: list[Any] = [None] * n_ranks()
    dist.all_gather_object(boxes, list(items))
    return [item for box in boxes for item in box]


def summed(values: Tensor) -> Tensor:
    """Return the sum of ``values`` over all ranks, bit-identical in each.

    Its gradient flows back to the values of all of them.
    """
    if n_ranks() == 1:
        return values
    result: Tensor = _Sum.apply(values if _counts else values * 0)  # type: ignore[no-untyped-call]
    return result


@contextmanager
def counted_as_nothing() -> Iterator[None]:
    """Take part in all sums of the block without contributing.

    For a rank without work: the others wait for it in each sum.
    """
    global _counts
    _counts = False
    try:
        yield
    finally:
        _counts = True


def pooled_moments(mean: Tensor, var: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C,) over all ranks, and the count (scalar), from those of each rank.

    Sums of squares about a mean add up with the distance of the means (Chan et al. 1979).
    """
    own = torch.cat([mean, var, count.to(mean.dtype)[None]])
    place = torch.zeros(n_ranks(), 1, dtype=mean.dtype, device=mean.device)
    place[rank()] = 1
    n = len(mean)
    of_ranks = summed(place * own)  # (ranks, 2C + 1)
    means, variances, counts = of_ranks[:, :n], of_ranks[:, n:-1], of_ranks[:, -1:]
    share = counts / counts.sum()  # (ranks, 1)
    pooled = (share * means).sum(0)
    spread = (share * (variances + (means - pooled).square())).sum(0)
    return pooled, spread, counts.sum()


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
