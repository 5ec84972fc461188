"""Viterbi over segments: the most likely sequence of events, given each frame's log-odds.

A semi-Markov model describes the durations of events and silences, and the transitions between
classes; a path through it is a list of events that do not overlap. Its
score is that of the frames, the sum of the log-odds of the active class over the frames of each
event (silence is the reference and counts 0), plus the logarithms of the model's probabilities.
If classes overlap, each has its own chain, and the chains are independent.

Source: Yu 2010, "Hidden semi-Markov models", Artificial Intelligence 174; for sound events Hayashi
et al. 2017, "Duration-controlled LSTM for polyphonic sound event detection".

Boundaries are numbered like frames: an event from boundary ``a`` to ``b`` is active in the frames
``a`` to ``b - 1``, and the next one may start at ``b``. Transitions are between *states*: a
state is a class together with the history that the syntax remembers.

No library can decode this: hmmlearn and pomegranate have no durations, pyhsmm is unmaintained and
samples, hsmmlearn is not on a package index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.segment_rows import NEVER, Floats, Rows, Tables, advance_plainly

Ints = NDArray[np.int64]

_UNIT = 2.0**-20  # of scores: sums of its multiples are exact, so that equal paths stay equal
_MOST_ROWS = 131_072  # kept of a very long event, of which then only the start is known


class Segment(NamedTuple):
    """An event in frames: it is active from ``first`` to ``last`` - 1."""

    first: int
    last: int
    column: int  # of its class


@dataclass(frozen=True, kw_only=True)
class SegmentModel:
    """The prior model of events; all values are logarithms.

    Args:
        class_of: class of each state, (S,).
        starts: of each state as the first event, (S,).
        arcs: of each state (column) after each (row), (S, S); -inf: never. ``None``: each state
                        is a separate chain, and only follows itself.
        durations: of events of 1 to D frames of each class, (D, C).
        duration_stays: of another frame, from D frames on, (C,).
        gaps: of silences of 0 to G - 1 frames after a class, (G, C); longer ones are as likely
            as             the longest, since an hour of silence must not rule out the next event.
    """

    class_of: Ints
    starts: Floats
    arcs: Floats | None
    durations: Floats
    duration_stays: Floats
    gaps: Floats

    @property
    def reach(self) -> int:
        """Number of boundaries that an event or a silence reaches back, without its tail."""
        return max(len(self.durations), len(self.gaps) - 1)


def exact(scores: Floats) -> Floats:
    """Scores as multiples of a power of two, so that sums do not depend on their order."""
    return np.round(scores / _UNIT) * _UNIT


class SegmentDecoder:
    """Finds the most likely events in streamed scores.

    Args:
        model: of durations, gaps and syntax.
        lag: number of frames after an event's end that may still change it.
        step: number of frames between decisions.
        plain: use the plain loop even if the compiled one is available.
    """

    def __init__(self, model: SegmentModel, *, lag: int, step: int, plain: bool = False) -> None:
        self._model = model
        self._lag, self._step = lag, step
        self._waiting = np.zeros((0, model.durations.shape[1]))
        n_states = len(model.class_of)
        self._tables = Tables(
            durations=exact(np.ascontiguousarray(model.durations[:, model.class_of])),
            stays=exact(model.duration_stays[model.class_of]),
            gaps=exact(np.ascontiguousarray(model.gaps[:, model.class_of])),
            starts=exact(model.starts),
            arcs=np.zeros((0, 0)) if model.arcs is None else exact(model.arcs),
        )
        self._advance = advance_plainly if plain else _fastest()
        self._n_done = 0  # number of boundaries before the first row kept
        every = np.arange(n_states)
        self._chains = [every] if model.arcs is not None else list(every[:, None])
        self._decided = [0] * len(self._chains)
        # For dropped rows: the best path that ends there, of each state; and the best start of
        # a long         # event, up to terms that depend on its end.
        self._best_end = np.full(n_states, NEVER)
        self._best_begin = np.full(n_states, NEVER)
        self._begin_of_best = np.zeros(n_states, np.int64)
        # One row per boundary; boundary 0 is before the first frame.
        self._total = np.zeros((1, n_states))  # sum of the scores of all frames before it
        # Best path whose next event starts there, minus that sum.
        self._begun = self._tables.starts[None].copy()
        self._ended = np.full((1, n_states), NEVER)  # best path whose last event ends there
        self._tails = np.full((2, n_states), NEVER)  # the same of long events and silences

    def push(self, scores: NDArray[np.floating]) -> list[Segment]:
        """Take the scores of the next frames (t, C), and return the decided events.

        Scores must be finite, weighted log-odds. The division of frames into pieces does not
        matter:         decisions are made after each ``step`` of them.
        """
        found: list[Segment] = []
        while len(scores):
            n = self._step - len(self._waiting)
            self._waiting = np.concatenate([self._waiting, exact(scores[:n].astype(np.float64))])
            scores = scores[n:]
            if len(self._waiting) == self._step:
                self._extend()
                found += self._decide(self._n_done + len(self._total) - 1 - self._lag)
        return found

    def finish(self) -> list[Segment]:
        """Return the remaining events at the end of the recording."""
        self._extend()
        return self._decide(None)

    @property
    def oldest(self) -> int:
        """Boundary before which no undecided event starts, except very long ones."""
        return self._n_done

    def _extend(self) -> None:
        """Extend the best paths over the waiting frames."""
        of_states = self._waiting[:, self._model.class_of]
        self._waiting = self._waiting[:0]
        n_old, n_new = len(self._total), len(of_states)
        self._total = np.concatenate([self._total, self._total[-1] + of_states.cumsum(axis=0)])
        self._begun, self._ended = (
            np.concatenate([kept, np.full((n_new, kept.shape[1]), NEVER)])
            for kept in (self._begun, self._ended)
        )
        rows = Rows(self._total, self._begun, self._ended, self._tails)
        self._advance(n_old, rows, self._tables)

    def _decide(self, until: int | None) -> list[Segment]:
        """Trace back the best path; return its events up to a boundary, and drop older rows."""
        if until is not None and until <= self._n_done:
            return []
        found: list[Segment] = []
        oldest = self._n_done + len(self._total) - 1  # boundary that an undecided event needs
        for chain, states in enumerate(self._chains):
            decided = self._decided[chain]
            for segment in self._trace(chain, states):
                if until is None or segment.last <= until:
                    found.append(segment)
                    decided = segment.last
                else:
                    oldest = min(oldest, segment.first)
                    break
            self._decided[chain] = decided
        if until is not None:
            self._forget(min(oldest, until))
        return sorted(found)

    def _forget(self, oldest: int) -> None:
        """Drop rows that no path and no undecided event needs."""
        newest = self._n_done + len(self._total) - 1
        keep_from = oldest - self._model.reach - 1
        keep_from = max(keep_from, newest - _MOST_ROWS)
        n_dropped = max(0, keep_from - self._n_done)
        if not n_dropped:
            return
        begins = self._begins(slice(0, n_dropped), slice(None))
        row = begins.argmax(axis=0)
        better = begins.max(axis=0) > self._best_begin
        self._best_begin = np.where(better, begins.max(axis=0), self._best_begin)
        self._begin_of_best = np.where(better, row + self._n_done, self._begin_of_best)
        self._best_end = np.maximum(self._best_end, self._ended[:n_dropped].max(axis=0))
        self._total, self._begun, self._ended = (
            kept[n_dropped:].copy() for kept in (self._total, self._begun, self._ended)
        )
        self._n_done += n_dropped

    def _begins(self, rows: slice, states: Any) -> Floats:
        """Scores of long events by their start, without terms that depend on their end."""
        boundaries = self._n_done + np.arange(len(self._begun))[rows]
        stays = self._tables.stays[states]
        fallen: Floats = self._tables.durations[-1, states] - np.multiply.outer(boundaries, stays)
        return self._begun[rows, states] + fallen

    def _trace(self, chain: int, states: Ints) -> list[Segment]:
        """Events of the best path of a chain, after the decided boundary."""
        decided = self._decided[chain]
        ended = self._ended[:, states]
        row, column = divmod(int(np.argmax(ended)), ended.shape[1])
        if ended[row, column] <= max(0.0, self._best_end[states].max()):
            return []
        at, state = int(row), int(states[column])
        ends = np.maximum.accumulate(ended, axis=0)
        begins = np.maximum.accumulate(self._begins(slice(None), states), axis=0)
        segments: list[Segment] = []
        while at > 0 and at + self._n_done > decided:
            column = int(np.searchsorted(states, state))
            first = self._onset(at, state, begins[:, column])
            onset, last = max(decided, first + self._n_done), at + self._n_done
            segments.append(Segment(onset, last, int(self._model.class_of[state])))
            before = self._before(first, state, states, ends) if first >= 0 else None
            if before is None:
                break
            at, state = before
        return segments[::-1]

    def _onset(self, at: int, state: int, begins: Floats) -> int:
        """Row at which the best event that ends at another row starts; negative: it was dropped.

        Args:
            at: that other row.
            state: of the event.
            begins: running maximum of :meth:`_begins` of that state, (rows,).
        """
        n = min(at, len(self._tables.durations))
        values = self._begun[at - n : at, state] + self._tables.durations[:n, state][::-1]
        first, best = at - n + int(np.argmax(values)), values.max()
        if n < len(self._tables.durations):
            return first
        # For longer ones each further frame costs the same.
        constant = self._tables.stays[state] * (at - n + self._n_done)
        if begins[at - n] + constant > best:
            first = int(np.searchsorted(begins[: at - n + 1], begins[at - n]))
            best = begins[at - n] + constant
        if self._best_begin[state] + constant > best:
            return int(self._begin_of_best[state]) - self._n_done
        return first

    def _before(self, at: int, state: int, states: Ints, ends: Floats) -> tuple[int, int] | None:
        """Row and state of the end of the event before one that starts at a row.

        Args:
            at: that row.
            state: of the event that starts.
            states: of its chain; any of them with an arc may precede it.
            ends: best path of each state that ends at or before a row, (rows, n).
        """
        arcs, starts = self._tables.arcs, self._tables.starts
        costs = arcs[states, state] if arcs.size else np.zeros(1)
        n = min(at + 1, len(self._tables.gaps))
        near = (
            self._ended[at + 1 - n : at + 1, states] + self._tables.gaps[:n, states][::-1] + costs
        )
        row, column = divmod(int(np.argmax(near)), near.shape[1])
        best, found = near[row, column], (at + 1 - n + int(row), int(states[column]))
        if n == len(self._tables.gaps):
            costs = costs + self._tables.gaps[-1, states]
            if n <= at:
                far = ends[at - n] + costs
                if far.max() > best:
                    column = int(np.argmax(far))
                    row = int(np.searchsorted(ends[: at - n + 1, column], ends[at - n, column]))
                    best, found = far[column], (row, int(states[column]))
            if (self._best_end[states] + costs).max() > best:
                return None  # decided long ago
        return None if best <= starts[state] else found


@cache
def _fastest() -> Any:
    """The compiled loop if numba is available, else the plain one."""
    try:
        from sed_cli.decoding.compiled_segments import advance
    except ImportError:
        return advance_plainly
    return advance
