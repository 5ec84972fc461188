"""Counts of one class in one recording, at many thresholds at once and without sed_eval.

They equal those of :mod:`sed_cli.metrics.detection`: detected events have the resolution of
``events.tsv``, and the same tolerance applies at the edges of segments and of the collar.
Counts are given for each of several parts of a recording, so that their noise can be estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sed_cli.data.annotations import Event
from sed_cli.data.frames import runs
from sed_cli.metrics.detection import (
    OFFSET_SHARE,
    SLACK_S,
    n_segments,
    segments_of,
)

Active = NDArray[np.bool_]  # (T, K): one class at K thresholds
Counts = NDArray[np.int64]
Hits = tuple[Counts, Counts, Counts]
"""For each of B parts: true positives (B, K), detected (B, K), annotated (B,)."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """One class in one recording.

    Args:
        truth: whether it is annotated, by frame (T,).
        events: onsets and offsets of its annotated events, in seconds (n, 2).
        hop_s: seconds from one frame to the next.
        end_s: length of the recording in seconds.
        edges_s: edges of its parts in seconds (B + 1,).
    """

    truth: NDArray[np.bool_]
    events: NDArray[np.float64]
    hop_s: float
    end_s: float
    edges_s: NDArray[np.float64]

    def summed(self, values: NDArray[np.generic], step_s: float) -> Counts:
        """Sum time steps (n, ...) within each part, by their start (B, ...)."""
        starts = np.arange(len(values)) * step_s
        inner = np.searchsorted(starts, self.edges_s[1:-1])
        bounds = np.concatenate([[0], inner, [len(values)]])
        total = np.zeros((len(values) + 1, *values.shape[1:]), dtype=np.int64)
        np.cumsum(values, axis=0, out=total[1:])
        sums: Counts = np.diff(total[bounds], axis=0)
        return sums

    def placed(self, onsets_s: NDArray[np.float64]) -> Counts:
        """Count events within each part, by their onsets (B,)."""
        return np.bincount(self.parts(onsets_s), minlength=len(self.edges_s) - 1)

    def parts(self, onsets_s: NDArray[np.floating]) -> NDArray[np.intp]:
        """Part of each event, by its onset."""
        return np.searchsorted(self.edges_s[1:-1], onsets_s, side="right")


def frame_hits(active: Active, of: Excerpt) -> Hits:
    """Count frames, of ``active`` (T, K)."""
    hits = of.summed(active & of.truth[:, None], of.hop_s)
    return hits, of.summed(active, of.hop_s), of.summed(of.truth, of.hop_s)


def segment_hits(active: Active, of: Excerpt, resolution_s: float) -> Hits:
    """Count segments of ``resolution_s`` seconds, of ``active`` (T, K)."""
    n = n_segments(of.end_s, resolution_s)
    reference = _in_segments(of.events, n, resolution_s)
    columns = [_in_segments(_intervals(each, of), n, resolution_s) for each in active.T]
    found = np.stack(columns, axis=1)
    hits = of.summed(found & reference[:, None], resolution_s)
    return hits, of.summed(found, resolution_s), of.summed(reference, resolution_s)


def _in_segments(intervals: NDArray[np.float64], n: int, resolution_s: float) -> NDArray[np.bool_]:
    marked = np.zeros(n, dtype=np.bool_)
    for first, after in zip(*segments_of(intervals, resolution_s), strict=True):
        marked[first:after] = True
    return marked


def event_hits(active: Active, of: Excerpt, collar_s: float, *, offsets: bool) -> Hits:
    """Count events, of ``active`` (T, K); ``offsets``: whether these have to match too."""
    reference = of.events[np.argsort(of.events[:, 0], kind="stable")]
    found = _placed_runs(active, of)
    hits = np.zeros_like(found)
    # Of many classes most recordings have few: nothing is matched where there is nothing.
    for column in np.flatnonzero(found.any(axis=0)) if len(reference) else ():
        rows = matched(reference, _intervals(active[:, column], of), collar_s, offsets=offsets)
        hits[:, column] = of.placed(reference[rows, 0])
    return hits, found, of.placed(reference[:, 0])


def _placed_runs(active: Active, of: Excerpt) -> Counts:
    """Count events of ``active`` (T, K) within each part, by their onsets (B, K)."""
    begins = active.copy()
    begins[1:] &= ~active[:-1]
    frames, columns = np.nonzero(begins)
    onsets_s = frames * of.hop_s
    is_within = onsets_s < of.end_s
    part, n_columns = of.parts(onsets_s[is_within].round(6)), active.shape[1]
    cells = part * n_columns + columns[is_within]
    counts = np.bincount(cells, minlength=(len(of.edges_s) - 1) * n_columns)
    return counts.reshape(-1, n_columns)


def _intervals(column: NDArray[np.bool_], of: Excerpt) -> NDArray[np.float64]:
    """Events of (T,) at the resolution of files, 1 us (n, 2)."""
    first, after = runs(column)
    intervals = np.stack([first * of.hop_s, np.minimum(after * of.hop_s, of.end_s)], axis=1)
    intervals = intervals[intervals[:, 1] > intervals[:, 0]].round(6)
    intervals[:, 1] = np.maximum(intervals[:, 1], intervals[:, 0] + 1e-6)
    return intervals


def matched(
    reference: NDArray[np.float64],
    estimate: NDArray[np.float64],
    collar_s: float,
    *,
    offsets: bool,
) -> NDArray[np.intp]:
    """Match intervals like :func:`pairs_of`; return the rows of ``reference`` with a partner."""
    return pairs_of(reference, estimate, collar_s, offsets=offsets)[0]


def pairs_of(
    reference: NDArray[np.float64],
    estimate: NDArray[np.float64],
    collar_s: float,
    *,
    offsets: bool,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match as many intervals as possible, each with one at most.

    Args:
        reference: onsets and offsets in seconds (n, 2).
        estimate: the same, in order of onset (m, 2).
        collar_s: tolerance in seconds.
        offsets: whether offsets have to match too.

    Returns:
        Rows of ``reference`` and of ``estimate`` that are partners.
    """
    collar_s += SLACK_S
    # Only near ones are compared: an hour of birdsong has thousands of events.
    onsets, room_s = reference[:, 0], collar_s + SLACK_S
    low = np.searchsorted(estimate[:, 0], onsets - room_s, side="left")
    high = np.searchsorted(estimate[:, 0], onsets + room_s, side="right")
    n_near = high - low
    rows = np.repeat(np.arange(len(reference)), n_near)
    columns = np.arange(len(rows)) + np.repeat(low - (np.cumsum(n_near) - n_near), n_near)
    differences = np.abs(reference[rows] - estimate[columns])
    fits = differences[:, 0] <= collar_s
    if offsets:
        lengths = reference[rows, 1] - reference[rows, 0]
        fits &= differences[:, 1] <= np.maximum(collar_s, OFFSET_SHARE * lengths)
    rows, columns = rows[fits], columns[fits]
    if len(np.unique(rows)) == len(rows) and len(np.unique(columns)) == len(columns):
        return rows, columns  # nearly always: no ambiguity
    pairs = csr_array(
        (np.ones(len(rows), np.int8), (rows, columns)), (len(reference), len(estimate))
    )
    partners = maximum_bipartite_matching(pairs, perm_type="column")
    found = np.flatnonzero(partners >= 0)
    return found, partners[found]


def alarms_of(
    reference: Sequence[Event], detected: Sequence[Event], label: str
) -> tuple[int, int, int]:
    """Count false alarms of a class, its detected annotated events, and all annotated ones.

    A detected event is a false alarm if it overlaps no annotated one of its class. An annotated one
    is found if it overlaps a detected one that is matched to no other: one detection that covers
    everything finds only one event.
    """
    there, found = (intervals_of(sorted(side), label).times_s for side in (reference, detected))
    n_false = int((overlaps_of(found, there) == 0).sum())
    return n_false, _n_pairs(there.tolist(), found.tolist()), len(there)


def _n_pairs(there: list[list[float]], found: list[list[float]]) -> int:
    """Pair intervals that overlap, each with one at most, in order of their onsets."""
    n_pairs = at_there = at_found = 0
    while at_there < len(there) and at_found < len(found):
        (begin, end), (onset, offset) = there[at_there], found[at_found]
        if begin < offset and onset < end:
            n_pairs, at_there, at_found = n_pairs + 1, at_there + 1, at_found + 1
        elif end <= onset:
            at_there += 1
        else:
            at_found += 1
    return n_pairs


def overlaps_of(
    intervals: NDArray[np.float64], others: NDArray[np.float64], slack_s: float = 0.0
) -> NDArray[np.int64]:
    """Number of others (m, 2) that overlap each interval (n, 2), by more than a slack (n,)."""
    begun = np.searchsorted(np.sort(others[:, 0]), intervals[:, 1] - slack_s, side="left")
    over = np.searchsorted(np.sort(others[:, 1]), intervals[:, 0] + slack_s, side="right")
    n_others: NDArray[np.int64] = np.maximum(begun - over, 0)
    return n_others


def hits_of(
    reference: Sequence[Event], detected: Sequence[Event], collar_s: float
) -> NDArray[np.bool_]:
    """Whether detected events match an annotated one, as counted by event-based scores.

    Args:
        reference: annotated events.
        detected: detected events, in any order.
        collar_s: tolerance of event times in seconds.

    Returns:
        Bool (len(detected),).
    """
    return partnered(reference, detected, collar_s)[1]


def partnered(
    reference: Sequence[Event], detected: Sequence[Event], collar_s: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether annotated and detected events match one another, as in :func:`hits_of`.

    Returns:
        Bool (len(reference),) and (len(detected),).
    """
    is_found = np.zeros(len(reference), dtype=np.bool_)
    is_hit = np.zeros(len(detected), dtype=np.bool_)
    for label in {event.label for event in detected}:
        there, estimate = (intervals_of(events, label) for events in (reference, detected))
        rows, columns = pairs_of(there.times_s, estimate.times_s, collar_s, offsets=True)
        is_found[there.places[rows]] = True
        is_hit[estimate.places[columns]] = True
    return is_found, is_hit


class Intervals(NamedTuple):
    """Events of a class: their indices among all (n,), and onsets and offsets in seconds (n, 2)."""

    places: NDArray[np.intp]
    times_s: NDArray[np.float64]


def intervals_of(events: Sequence[Event], label: str) -> Intervals:
    """Events of a class, in order of onset."""
    places = np.array([i for i, event in enumerate(events) if event.label == label], np.intp)
    times_s = np.array([events[i][:2] for i in places.tolist()], np.float64).reshape(-1, 2)
    order = np.argsort(times_s[:, 0], kind="stable")
    return Intervals(places[order], times_s[order])
