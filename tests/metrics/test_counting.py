"""Counts at many thresholds at once are those of one threshold after another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sed_cli.metrics.counting import Excerpt, _intervals, event_hits, matched

HOP_S = 0.03


@given(
    active=arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 5))),
    n_events=st.integers(0, 3),
    end_s=st.floats(0.2, 1.0),
    offsets=st.booleans(),
)
def test_events_are_counted_at_all_thresholds_as_at_each(
    active: np.ndarray, n_events: int, end_s: float, offsets: bool
) -> None:
    onsets = np.arange(n_events) * 0.21
    excerpt = Excerpt(
        truth=np.zeros(len(active), np.bool_),
        events=np.stack([onsets, onsets + 0.12], axis=1),
        hop_s=HOP_S,
        end_s=end_s,
        edges_s=np.linspace(0, end_s, 4),
    )

    hits, found, there = event_hits(active, excerpt, 0.05, offsets=offsets)

    for column in range(active.shape[1]):
        estimate = _intervals(active[:, column], excerpt)
        rows = matched(excerpt.events, estimate, 0.05, offsets=offsets)
        assert found[:, column].tolist() == excerpt.placed(estimate[:, 0]).tolist()
        assert hits[:, column].tolist() == excerpt.placed(excerpt.events[rows, 0]).tolist()
    assert there.sum() == n_events
