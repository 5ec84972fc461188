"""The inner loop of :mod:`sed_cli.decoding.segments`, compiled by numba."""

from __future__ import annotations

import numba
import numpy as np

from sed_cli.decoding.segment_rows import Rows, Tables


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def advance(n_old: int, rows: Rows, tables: Tables) -> None:
    """Same as :func:`sed_cli.decoding.segment_rows.advance_plainly`."""
    total, begun, ended, tails = rows
    durations, stays, gaps, starts, arcs = tables
    n_rows, n_states = total.shape
    n_durations, n_gaps = len(durations), len(gaps)
    best = np.empty(n_states)
    silent = np.empty(n_states)
    for t in range(n_old, n_rows):
        for s in range(n_states):
            tails[0, s] += stays[s]
        if t >= n_durations:
            for s in range(n_states):
                tails[0, s] = max(tails[0, s], begun[t - n_durations, s] + durations[-1, s])
        for s in range(n_states):
            best[s] = tails[0, s]
        for n in range(1, min(t, n_durations) + 1):
            for s in range(n_states):
                value = begun[t - n, s] + durations[n - 1, s]
                best[s] = value if value > best[s] else best[s]
        for s in range(n_states):
            ended[t, s] = total[t, s] + best[s]
        if t + 1 >= n_gaps:
            for s in range(n_states):
                tails[1, s] = max(tails[1, s], ended[t + 1 - n_gaps, s] + gaps[-1, s])
        for s in range(n_states):
            silent[s] = tails[1, s]
        for m in range(min(t + 1, n_gaps)):
            for s in range(n_states):
                value = ended[t - m, s] + gaps[m, s]
                silent[s] = value if value > silent[s] else silent[s]
        if arcs.size:
            for s in range(n_states):
                best[s] = starts[s]
            for source in range(n_states):
                for s in range(n_states):
                    value = silent[source] + arcs[source, s]
                    best[s] = value if value > best[s] else best[s]
            for s in range(n_states):
                begun[t, s] = best[s] - total[t, s]
        else:
            for s in range(n_states):
                value = silent[s] if silent[s] > starts[s] else starts[s]
                begun[t, s] = value - total[t, s]
