"""Transitions between classes, and the information of the current class about the next.

Two entropies bound what a language model can learn from sequences of classes: H(next), of the
next class without context, and H(next | current), given the current class. Their difference,
the gain, is the information in one step of context; sequences without syntax have none.

Entropies of small counts are biased low, those of single rows of the transition matrix more
than that of all rows together: a data set of few events seems to have a syntax. So both are
estimated as in Grassberger 2003, "Entropy estimates from insufficient samplings" (arXiv
physics/0307138), and the gain is compared with the highest gain of the same transitions in
random order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


SHUFFLES = 20
"""Number of random orders; if none of them reaches a gain, it is significant at 95 %."""


_MOST_COUNTERS = 10**6  # of pairs; above this, only occurring pairs are counted


@dataclass(frozen=True, kw_only=True)
class SyntaxStatistics:
    """Transitions between classes, and their information; entropies in bits per event.

    Args:
        counts: (C, C), from the current class (row) to the next (column).
        n_sequences: sequences with an event.
        n_overlapping: transitions to an event that starts before the previous one has ended.
        n_simultaneous: those that start at the same time, whose order is meaningless.
        next_bits: H(next), corrected for small counts.
        conditional_bits: H(next | current), corrected; never above ``next_bits``.
        next_plugin_bits: H(next) of the raw counts.
        conditional_plugin_bits: H(next | current) of the raw counts.
        chance_bits: the highest of :data:`SHUFFLES` gains in random order.
    """

    counts: Ints
    n_sequences: int
    n_overlapping: int
    n_simultaneous: int
    next_bits: float
    conditional_bits: float
    next_plugin_bits: float
    conditional_plugin_bits: float
    chance_bits: float

    @property
    def n_transitions(self) -> int:
        """Pairs of events, one after the other."""
        return int(self.counts.sum())

    @property
    def gain_bits(self) -> float:
        """Information about the next class from the current one."""
        return self.next_bits - self.conditional_bits

    @property
    def beyond_chance(self) -> bool:
        """Whether the gain exceeds those of random orders."""
        return self.gain_bits > self.chance_bits


def count_pairs(current: Ints, following: Ints, n_classes: int) -> Ints:
    """Count pairs of classes: (C, C)."""
    pairs = np.bincount(current * n_classes + following, minlength=n_classes**2)
    return pairs.astype(np.int64).reshape(n_classes, n_classes)


def chance_bits(current: Ints, following: Ints, n_classes: int) -> float:
    """Highest gain of the same transitions with a random next class."""
    random = np.random.default_rng(0)
    gains = [0.0]
    for _ in range(SHUFFLES if len(current) else 0):
        drawn = random.permutation(following)
        next_bits, conditional_bits = entropies_bits(current, drawn, n_classes, corrected_log)
        gains.append(next_bits - conditional_bits)
    return max(gains)


def entropies_bits(
    current: Ints, following: Ints, n_classes: int, logarithm: Callable[[Ints], Floats]
) -> tuple[float, float]:
    """H(next) and H(next | current) of N transitions: each within 0 and log2 C, the first above."""
    if not len(current):
        return 0.0, 0.0
    pairs = current * n_classes + following
    if n_classes**2 <= _MOST_COUNTERS:
        pairs = np.bincount(pairs)
    else:
        pairs = np.unique(pairs, return_counts=True)[1]
    of_following = entropy_nats(np.bincount(following), logarithm)
    of_pairs = entropy_nats(pairs, logarithm)
    next_nats = min(math.log(n_classes), max(0.0, of_following))
    conditional_nats = min(
        next_nats, max(0.0, of_pairs - entropy_nats(np.bincount(current), plain_log))
    )
    return next_nats / math.log(2), conditional_nats / math.log(2)


def entropy_nats(counts: Ints, logarithm: Callable[[Ints], Floats]) -> float:
    """Entropy of the relative frequencies of counts (K,), in nats; 0 where there are none.

    With :func:`plain_log` it is that of the raw counts, with :func:`corrected_log` an estimate for
    the underlying distribution.
    """
    total = max(1, int(counts.sum()))
    return math.log(total) - float((counts * logarithm(counts)).sum()) / total


def plain_log(counts: Ints) -> Floats:
    """Logarithm of counts; 0 for a count of 0."""
    return np.log(np.maximum(counts, 1))


def corrected_log(counts: Ints) -> Floats:
    """Return the replacement of the logarithm of counts in Grassberger 2003, eq. 28 to 30."""
    # G(2k) = G(2k + 1) = -gamma - ln 2 + 2 (1 + 1/3 + ... + 1/(2k - 1)).
    odd = 1.0 / np.arange(1, int(counts.max(initial=0)) + 1, 2)
    table = np.append(0.0, 2.0 * np.cumsum(odd)) - np.euler_gamma - math.log(2)
    found: Floats = table[counts // 2]
    return found
