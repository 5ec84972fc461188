"""Sound event bounding boxes: intervals between changes in the level of a class.

The mean of some frames after a time minus the mean of as many frames before it has maxima at
onsets and minima at offsets. The interval between two such change points is a box, unless the
class falls at the first and rises at the second, which is a gap. From left to right, a box is
joined with the previous one if the gap between them, or their difference if they touch, is not
far below the higher of the two.

Written from the description in Ebbers, Germain, Wichern and Le Roux 2024, "Sound Event Bounding
Boxes", arXiv 2406.04212. Differs: candidates are extrema within half a step, boxes have a
maximum length, so that streams need not wait for their end, and boxes may touch.

Probabilities are counted as integers, so that a recording gives the same boxes in any pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

UNIT = float(2**20)  # of probabilities: sums over a day are exact in a double
_LEAST_CHANGE = 2.0**-12  # of the level; smaller changes are ignored

_FALL, _RISE, _CUT = 0, 1, 2  # kinds of change points; a cut divides a long interval

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


class Boxes(NamedTuple):
    """Boxes (n,), in order of time within each column: frames, column, probabilities within."""

    first: Indices
    after: Indices
    column: Indices
    mean: Values
    peak: Values

    @classmethod
    def joined(cls, parts: list[Boxes]) -> Boxes:
        """Concatenate boxes."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, none, np.empty(0), np.empty(0))
        return cls(*(np.concatenate(of) for of in zip(*parts, strict=True)))

    def of(self, column: int) -> Boxes:
        """The boxes of one column."""
        return self.at(self.column == column)

    def at(self, index: Any) -> Boxes:
        """Select by an index, a mask or a slice."""
        return Boxes(
            self.first[index],
            self.after[index],
            self.column[index],
            self.mean[index],
            self.peak[index],
        )


@dataclass(frozen=True)
class BoxRules:
    """Parameters of boxes, for each of C columns.

    Args:
        steps: number of frames before and after a time whose means are compared (C,).
        ratios: a gap is filled if its mean times this factor reaches the higher box (C,).
        longest: maximum frames of a box; only a gap in front of it and the last part may be longer.
    """

    steps: Indices
    ratios: Values
    longest: int

    @property
    def reach(self) -> int:
        """Number of frames after a time that decide whether it is a change point."""
        return int((self.steps + around(self.steps)).max())


def around(steps: Indices) -> Indices:
    """Number of frames to each side within which a change point is the largest change."""
    return np.maximum(1, steps // 2)


class _Points(NamedTuple):
    """Change points (n,): column, moment, kind, sum of all frames before, peak since the last."""

    column: Indices
    moment: Indices
    kind: Indices
    total: Values
    peak: Values

    def at(self, index: Any) -> _Points:
        """Select by an index, a mask or a slice."""
        return _Points(
            self.column[index],
            self.moment[index],
            self.kind[index],
            self.total[index],
            self.peak[index],
        )


class BoxFinder:
    """Finds the boxes of C columns of streamed probabilities."""

    def __init__(self, rules: BoxRules) -> None:
        self._rules = rules
        n_columns = len(rules.steps)
        self._known = 0  # frames
        self._frontier = 0  # times before it are decided
        self._start = -2 * rules.reach  # frame before which the first of the sums ends
        self._sums = np.zeros((n_columns, 1 - self._start))  # preceded by silence
        self._values = np.zeros((n_columns, -self._start))
        self._peak = np.zeros(n_columns)  # of the frames since the last change point
        self._merger = _Merger(rules)

    def push(self, probabilities: NDArray[np.floating]) -> Boxes:
        """Take frames (t, C) and return the boxes that they complete."""
        self._take(probabilities)
        return self._advance(self._known - self._rules.reach)

    def finish(self) -> Boxes:
        """Return the remaining boxes: silence follows."""
        end = self._known
        silence = np.zeros((self._rules.reach + 1, len(self._rules.steps)))
        self._take(silence)
        return Boxes.joined([self._advance(end + 1), self._merger.finish()])

    def open(self) -> tuple[Indices, Boxes]:
        """Frame up to which the boxes of each column are known (C,), and boxes not returned yet."""
        return self._merger.open(self._frontier)

    def _take(self, probabilities: NDArray[np.floating]) -> None:
        whole = np.rint(probabilities.T.astype(np.float64) * UNIT)
        self._values = np.concatenate([self._values, whole], axis=1)
        sums = self._sums[:, -1:] + np.cumsum(whole, axis=1)
        self._sums = np.concatenate([self._sums, sums], axis=1)
        self._known += len(probabilities)

    def _advance(self, frontier: int) -> Boxes:
        """Decide the times before the frontier."""
        if frontier <= self._frontier:
            return Boxes.joined([])
        rises, falls = self._changes(self._frontier, frontier)
        column, place = np.nonzero(rises | falls)
        kind = np.where(rises[column, place], _RISE, _FALL)
        cut = self._with_cuts(column, place + self._frontier, kind, frontier)
        found = self._merger.push(self._measured(*cut, frontier))
        self._frontier = frontier
        keep = frontier - 2 * self._rules.reach - self._start
        if keep > 0:
            self._sums, self._start = self._sums[:, keep:].copy(), self._start + keep
            self._values = self._values[:, keep:].copy()
        return found

    def _with_cuts(
        self, column: Indices, moment: Indices, kind: Indices, frontier: int
    ) -> tuple[Indices, Indices, Indices]:
        """Divide intervals between change points (n,), or since the last one, that are too long."""
        last, last_kind = self._merger.last()
        n = len(last)
        every = np.arange(n)
        # Each column once more at both ends: its last change point, and the frontier.
        columns = np.concatenate([every, column, every])
        moments = np.concatenate([last, moment, np.full(n, frontier)])
        kinds = np.concatenate([last_kind, kind, np.full(n, _CUT)])
        order = np.lexsort((np.arange(len(columns)), columns))
        columns, moments, kinds = columns[order], moments[order], kinds[order]
        is_last = np.append(np.diff(columns) > 0, True)
        is_first = np.concatenate([[True], is_last[:-1]])
        length = np.append(np.diff(moments), 0)
        n_cuts = np.where(is_last, 0, np.maximum(0, -(-length // self._rules.longest) - 1))
        copies = np.where(is_first, n_cuts, np.where(is_last, 0, 1 + n_cuts))
        at = np.repeat(np.arange(len(columns)), copies)
        number = np.arange(len(at)) - np.repeat(np.cumsum(copies) - copies, copies)
        number += is_first[at]  # the change point itself is number 0
        moments = moments[at] + number * self._rules.longest
        return columns[at], moments, np.where(number > 0, _CUT, kinds[at])

    def _measured(self, column: Indices, moment: Indices, kind: Indices, frontier: int) -> _Points:
        """Change points (n,) in order of column, with the preceding intervals."""
        n_columns, n_kept = self._values.shape
        # Each column starts at the previous frontier, and ends at the current one.
        begins = np.searchsorted(column, np.arange(n_columns))
        columns = np.insert(column, begins, np.arange(n_columns))
        since = np.insert(moment, begins, self._frontier)
        is_last = np.append(np.diff(columns) > 0, True)
        until = np.where(is_last, frontier, np.roll(since, -1))
        place = columns * n_kept + since - self._start
        bounds = np.stack([place, place + until - since], axis=1).reshape(-1)
        flat = np.append(self._values.reshape(-1), 0.0)  # so that the last interval may end there
        peaks = np.where(until > since, np.maximum.reduceat(flat, bounds)[::2], 0.0)
        is_first = np.concatenate([[True], is_last[:-1]])
        peaks[is_first] = np.maximum(peaks[is_first], self._peak)
        self._peak = peaks[is_last]
        total = self._sums[column, moment - self._start]
        return _Points(column, moment, kind, total, peaks[~is_last])

    def _changes(self, first: int, after: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether the class rises, or falls, at times (C, after - first)."""
        n_columns = len(self._rules.steps)
        rises, falls = np.zeros((2, n_columns, after - first), np.bool_)
        for step in np.unique(self._rules.steps).tolist():
            own = self._rules.steps == step
            room = int(around(np.array(step)))
            low, high = first - room - self._start, after + room - self._start
            sums = self._sums if own.all() else self._sums[own]
            middle = sums[:, low:high]
            change = sums[:, low + step : high + step] - 2 * middle
            change += sums[:, low - step : high - step]
            inner = change[:, room : change.shape[1] - room]
            least = _LEAST_CHANGE * UNIT * step
            before, behind = _beside(change, room, maximum_filter1d)
            rises[own] = (inner >= least) & (inner >= before) & (inner > behind)
            before, behind = _beside(change, room, minimum_filter1d)
            falls[own] = (inner <= -least) & (inner < before) & (inner <= behind)
        return rises, falls


def _beside(change: Values, room: int, extreme: Any) -> tuple[Values, Values]:
    """The extreme of so many values before and after each, except the outermost ones."""
    windows = extreme(change, room, axis=1)  # centred: that of i starts at i - room // 2
    n = change.shape[1] - 2 * room
    begin = room // 2
    return windows[:, begin : begin + n], windows[:, begin + room + 1 : begin + room + 1 + n]


class _Merger:
    """Builds boxes from change points, all columns in parallel."""

    def __init__(self, rules: BoxRules) -> None:
        self._rules = rules
        n = len(rules.steps)
        self._has = np.zeros(n, np.bool_)  # whether there is an open box
        self._first, self._after, self._last = np.zeros((3, n), np.int64)  # of it; change point
        # Sums of all frames before these three.
        self._sum_first, self._sum_after, self._sum_last = np.zeros((3, n))
        self._peak, self._gap_peak = np.zeros((2, n))  # of the open box, and of the gap after it
        self._kind = np.full(n, _FALL)  # of the last change point

    def open(self, frontier: int) -> tuple[Indices, Boxes]:
        """See :meth:`BoxFinder.open`."""
        is_final = self._has & (frontier - self._first > self._rules.longest)
        known = np.where(self._has, np.where(is_final, self._after, self._first), self._last)
        return known, self._boxes(np.flatnonzero(is_final))

    def finish(self) -> Boxes:
        """Boxes still open at the end of the recording."""
        return self._boxes(np.flatnonzero(self._has))

    def push(self, points: _Points) -> Boxes:
        """Take change points in order of column, then time; return the closed boxes."""
        n_each = np.bincount(points.column, minlength=len(self._has))
        rank = np.arange(len(points.column)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
        order = np.argsort(rank, kind="stable")
        in_step = points.at(order)
        n_steps = int(n_each.max(initial=0))
        bounds = np.searchsorted(rank[order], np.arange(n_steps + 1)).tolist()
        closed = [self._step(in_step.at(slice(low, high))) for low, high in pairwise(bounds)]
        return Boxes.joined([boxes for boxes in closed if len(boxes.first)])

    def last(self) -> tuple[Indices, Indices]:
        """The last change point of each column (C,), and its kind."""
        return self._last, self._kind

    def _step(self, at: _Points) -> Boxes:
        """Take the next change point of some columns."""
        is_box = (self._kind[at.column] != _FALL) | (at.kind != _RISE)
        closed = self._take(at.at(is_box))
        self._gap_peak[at.column] = np.where(is_box, 0.0, at.peak)
        self._last[at.column], self._sum_last[at.column] = at.moment, at.total
        self._kind[at.column] = at.kind
        return closed

    def _take(self, at: _Points) -> Boxes:
        """Take the boxes from the last change points to these."""
        rules, own = self._rules, at.column
        first, after, last = self._first[own], self._after[own], self._last[own]
        sum_after, sum_last = self._sum_after[own], self._sum_last[own]
        has = self._has[own]
        level = (at.total - sum_last) / (at.moment - last)
        before = (sum_after - self._sum_first[own]) / np.maximum(after - first, 1)
        gap = np.where(
            after < last,
            (sum_last - sum_after) / np.maximum(last - after, 1),
            np.minimum(level, before),
        )
        higher = np.maximum(level, before)
        is_near = higher <= rules.ratios[own] * gap
        joins = has & is_near & (at.moment - first <= rules.longest)
        closed = self._boxes(own[has & ~joins])
        takes_gap = has & is_near & ~joins  # too long for one box: they touch
        begins = ~joins
        self._first[own[begins]] = np.where(takes_gap, after, last)[begins]
        self._sum_first[own[begins]] = np.where(takes_gap, sum_after, sum_last)[begins]
        self._after[own], self._sum_after[own] = at.moment, at.total
        peak = np.maximum(at.peak, np.where(has & is_near, self._gap_peak[own], 0.0))
        self._peak[own] = np.where(joins, np.maximum(peak, self._peak[own]), peak)
        self._has[own] = True
        return closed

    def _boxes(self, columns: Indices) -> Boxes:
        first, after = self._first[columns], self._after[columns]
        means = (self._sum_after - self._sum_first)[columns] / (after - first) / UNIT
        return Boxes(first, after, columns, means, self._peak[columns] / UNIT)
