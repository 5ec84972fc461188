"""Divide sequences into splits so that equal ones stay together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from sed_cli.errors import UserError


def divide_equal(
    keys: Iterable[Hashable], shares: Mapping[str, float], *, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Divide sequences by key; those with the same key are in the same split.

    Otherwise the model would be tested on training data. In exchange, a frequent sequence falls
    into one split with all of its occurrences, and the shares of sequences are met only as nearly
    as that allows; no split with a share is empty.

    Args:
        keys: (N,) one per sequence.
        shares: of each split; they are scaled to sum to 1.
        seed: of the order in which keys are assigned.

    Returns:
        Indices of the sequences of each split with a share, ascending.

    Raises:
        UserError: if there are fewer distinct keys than splits.
    """
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    wanted = {name: share for name, share in shares.items() if share > 0}
    if len(numbers) < len(wanted):
        raise UserError(
            f"{len(numbers)} distinct sequences cannot be divided into {len(wanted)} splits "
            f"({', '.join(wanted)}): add some, or ask for fewer splits with data.split, such as "
            f"data.split=[1,0,0]"
        )
    order = np.random.default_rng(seed).permutation(len(numbers))
    reached = np.cumsum(np.bincount(group, minlength=len(numbers))[order])
    until = np.cumsum(list(wanted.values())) / sum(wanted.values())
    # A group goes to the split that contains its midpoint.
    sizes = np.diff(reached, prepend=0)
    ends = np.searchsorted(reached - sizes / 2, until[:-1] * len(group))
    for place in range(len(ends)):  # at least one group per split
        before = ends[place - 1] if place else 0
        ends[place] = np.clip(ends[place], before + 1, len(numbers) - len(ends) + place)
    of_group = np.empty(len(numbers), np.int64)
    for place, part in enumerate(np.split(order, ends)):
        of_group[part] = place
    chosen = of_group[group]
    return {name: np.flatnonzero(chosen == place) for place, name in enumerate(wanted)}
