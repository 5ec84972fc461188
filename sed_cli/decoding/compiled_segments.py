"""The inner loop of :mod:`sed_cli.decoding.segments`, compiled by numba."""

from __future__ import annotations

import numba
import numpy as np

from sed_cli.decoding.segment_rows import Floats, Rows, Tables


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _better(best: Floats, rows: Floats, t: int, costs: Floats, n: int, out: Floats) -> None:
    """Write the larger one of ``best`` and ``rows[t] + costs[n]`` to ``out``, none of the others.

    Writing to ``best`` itself would be compiled to stores under a mask, four times as slow.
    """
    for s in range(len(best)):
        value = rows[t, s] + costs[n, s]
        out[s] = value if value > best[s] else best[s]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _better_after(best: Floats, score: float, costs: Floats, n: int, out: Floats) -> None:
    """As :func:`_better`, with one score in the place of a row."""
    for s in range(len(best)):
        value = score + costs[n, s]
        out[s] = value if value > best[s] else best[s]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def advance(n_old: int, rows: Rows, tables: Tables) -> None:
    """Same as :func:`sed_cli.decoding.segment_rows.advance_plainly`."""
    total, begun, ended, tails = rows
    durations, stays, gaps, starts, arcs = tables
    n_rows, n_states = total.shape
    n_durations, n_gaps = len(durations), len(gaps)
    best, spare = np.empty(n_states), np.empty(n_states)
    for t in range(n_old, n_rows):
        for s in range(n_states):
            tails[0, s] += stays[s]
        if t >= n_durations:
            _better(tails[0], begun, t - n_durations, durations, n_durations - 1, spare)
            tails[0] = spare
        best[:] = tails[0]
        for n in range(1, min(t, n_durations) + 1):
            _better(best, begun, t - n, durations, n - 1, spare)
            best, spare = spare, best
        for s in range(n_states):
            ended[t, s] = total[t, s] + best[s]
        if t + 1 >= n_gaps:
            _better(tails[1], ended, t + 1 - n_gaps, gaps, n_gaps - 1, spare)
            tails[1] = spare
        best[:] = tails[1]
        for m in range(min(t + 1, n_gaps)):
            _better(best, ended, t - m, gaps, m, spare)
            best, spare = spare, best
        if arcs.size:
            silent = best.copy()
            best[:] = starts
            for source in range(n_states):
                _better_after(best, silent[source], arcs, source, spare)
                best, spare = spare, best
            for s in range(n_states):
                begun[t, s] = best[s] - total[t, s]
        else:
            for s in range(n_states):
                value = best[s] if best[s] > starts[s] else starts[s]
                begun[t, s] = value - total[t, s]
