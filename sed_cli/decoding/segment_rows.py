"""The inner loop of :mod:`sed_cli.decoding.segments`, in plain form for readers and tests.

:mod:`sed_cli.decoding.compiled_segments` has the same loop for numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEVER = -math.inf


class Rows(NamedTuple):
    """Scores of the best paths, one row per boundary and one column per state, (N, S)."""

    total: Floats  # of all frames before the boundary, as if the state were active in them
    begun: Floats  # of the best path whose next event starts there, minus the total
    ended: Floats  # of the best path whose last event ends there
    tails: Floats  # at the last row: of events, and of silences, longer than the tables (2, S)


class Tables(NamedTuple):
    """Log probabilities by state; see :class:`sed_cli.decoding.segments.SegmentModel`."""

    durations: Floats  # (D, S)
    stays: Floats  # (S,)
    gaps: Floats  # (G, S)
    starts: Floats  # (S,)
    arcs: Floats  # (S, S); (0, 0): each state only follows itself


def advance_plainly(n_old: int, rows: Rows, tables: Tables) -> None:
    """Fill in ``begun`` and ``ended`` from row ``n_old`` on, in place."""
    total, begun, ended, tails = rows
    durations, stays, gaps, starts, arcs = tables
    n_durations, n_gaps = len(durations), len(gaps)
    for t in range(n_old, len(total)):
        n = min(t, n_durations)
        # An event of the longest explicit duration starts the tail, which then continues.
        tails[0] += stays
        if n == n_durations:
            tails[0] = np.maximum(tails[0], begun[t - n] + durations[-1])
        values = begun[t - n : t][::-1] + durations[:n]
        ended[t] = total[t] + np.maximum(values.max(axis=0), tails[0])
        m = min(t + 1, n_gaps)
        if m == n_gaps:
            tails[1] = np.maximum(tails[1], ended[t + 1 - m] + gaps[-1])
        silent = (ended[t + 1 - m : t + 1][::-1] + gaps[:m]).max(axis=0)
        silent = np.maximum(silent, tails[1])
        follows = silent if not arcs.size else (silent[:, None] + arcs).max(axis=0)
        begun[t] = np.maximum(follows, starts) - total[t]
