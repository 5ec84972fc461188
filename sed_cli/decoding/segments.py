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
        arcs: of each state (column) after each (row), (S, S); -inf: never. ``None``: each state is
            a separate chain, and only follows itself.
        durations: of events of 1 to D frames of each class, (D, C).
        duration_stays: of another frame, from D frames on, (C,).
        gaps: of silences of 0 to G - 1 frames after a class, (G, C); longer ones are as likely as
            the longest, since an hour of silence must not rule out the next event.
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
        self._n_done = 0  # boundaries before the first row that is kept
        # Chains, each of neighbouring states; and the boundary up to which each is decided.
        n_chains = 1 if model.arcs is not None else n_states
        self._chains = [slice(i, i + n_states // n_chains) for i in range(n_chains)]
        self._decided = np.zeros(n_chains, np.int64)
        # Of the rows that were dropped: the best path that ends there, of each state; and the best
        # begin of an event that goes on for long, as far as it does not depend on its end.
        self._best_end = np.full(n_states, NEVER)
        self._best_begin = np.full(n_states, NEVER)
        self._begin_of_best = np.zeros(n_states, np.int64)
        self._history = _History(n_states)
        # A row for each boundary; boundary 0 stands before the first frame. Sum of the scores of
        # all frames before it, were a state active in them; best path whose next event begins
        # there, less that sum; best path whose last event ends there.
        self._total, self._begun, self._ended = self._history.extended(1)
        self._total[0], self._begun[0], self._ended[0] = 0.0, self._tables.starts, NEVER
        self._tails = np.full((2, n_states), NEVER)  # of long events and silences

    def push(self, scores: NDArray[np.floating]) -> list[Segment]:
        """Take the scores of the next frames (t, C), and return the decided events.

        Scores must be finite, weighted log-odds. The division of frames into pieces does not
        matter: decisions are made after each ``step`` of them.
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
        n_old = len(self._total)
        self._total, self._begun, self._ended = self._history.extended(len(of_states))
        self._total[n_old:] = self._total[n_old - 1] + of_states.cumsum(axis=0)
        rows = Rows(self._total, self._begun, self._ended, self._tails)
        self._advance(n_old, rows, self._tables)

    def _decide(self, until: int | None) -> list[Segment]:
        """Trace back the best path; return its events up to a boundary, and drop older rows."""
        if until is not None and until <= self._n_done:
            return []
        found: list[Segment] = []
        oldest = self._n_done + len(self._total) - 1  # boundary that an undecided event needs
        for chain, row, state in self._open_ends():
            for segment in self._trace(self._chains[chain], int(self._decided[chain]), row, state):
                if until is None or segment.last <= until:
                    found.append(segment)
                    self._decided[chain] = segment.last
                else:
                    oldest = min(oldest, segment.first)
                    break
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
        self._total, self._begun, self._ended = self._history.without(n_dropped)
        self._n_done += n_dropped

    def _begins(self, rows: slice, states: Any) -> Floats:
        """Scores of long events by their start, without terms that depend on their end."""
        boundaries = self._n_done + np.arange(len(self._begun))[rows]
        stays = self._tables.stays[states]
        fallen = self._tables.durations[-1, states] - np.multiply.outer(boundaries, stays)
        begins: Floats = self._begun[rows, states] + fallen
        return begins

    def _open_ends(self) -> list[tuple[int, int, int]]:
        """Chain, row and state of the end of each best path that is not decided upon yet."""
        ended, n_chains = self._ended, len(self._chains)
        if n_chains == 1:
            row, state = divmod(int(np.argmax(ended)), ended.shape[1])
            rows, states, before = np.array([row]), np.array([state]), self._best_end.max()
        else:
            rows, states, before = ended.argmax(axis=0), np.arange(n_chains), self._best_end
        is_open = rows + self._n_done > self._decided
        is_open &= (rows > 0) & (ended[rows, states] > np.maximum(0.0, before))
        return [(int(i), int(rows[i]), int(states[i])) for i in np.flatnonzero(is_open)]

    def _trace(self, chain: slice, decided: int, at: int, state: int) -> list[Segment]:
        """Events of the best path of a chain, after the boundary that is decided upon.

        Args:
            chain: its states.
            decided: that boundary.
            at: row of the end of the path.
            state: of its last event.
        """
        segments: list[Segment] = []
        while at > 0 and at + self._n_done > decided:
            first = self._onset(at, state)
            onset, last = max(decided, first + self._n_done), at + self._n_done
            segments.append(Segment(onset, last, int(self._model.class_of[state])))
            before = self._before(first, state, chain) if first >= 0 else None
            if before is None:
                break
            at, state = before
        return segments[::-1]

    def _onset(self, at: int, state: int) -> int:
        """Row at which the best event begins that ends at another; negative: it was dropped.

        Args:
            at: that other row.
            state: of the event.
        """
        n = min(at, len(self._tables.durations))
        values = self._begun[at - n : at, state] + self._tables.durations[:n, state][::-1]
        first, best = at - n + int(np.argmax(values)), values.max()
        if n < len(self._tables.durations):
            return first
        # For longer ones each further frame costs the same.
        constant = self._tables.stays[state] * (at - n + self._n_done)
        begins = self._begins(slice(0, at - n + 1), state)
        longer = int(np.argmax(begins))
        if begins[longer] + constant > best:
            first, best = longer, begins[longer] + constant
        if self._best_begin[state] + constant > best:
            return int(self._begin_of_best[state]) - self._n_done
        return first

    def _before(self, at: int, state: int, chain: slice) -> tuple[int, int] | None:
        """Row and state of the end of the event before one that begins at a row.

        Args:
            at: that row.
            state: of the event that begins.
            chain: its states; any of them may come before it, as far as there is an arc.
        """
        arcs, gaps = self._tables.arcs, self._tables.gaps[:, chain]
        costs = arcs[chain, state] if arcs.size else np.zeros(1)
        n = min(at + 1, len(gaps))
        near = self._ended[at + 1 - n : at + 1, chain] + gaps[:n][::-1] + costs
        row, column = divmod(int(np.argmax(near)), near.shape[1])
        best, found = near[row, column], (at + 1 - n + row, chain.start + column)
        if n == len(gaps):
            costs = costs + gaps[-1]
            if n <= at:
                ends = self._ended[: at - n + 1, chain]
                far = ends.max(axis=0) + costs
                column = int(np.argmax(far))
                if far[column] > best:
                    row = int(np.argmax(ends[:, column]))
                    best, found = far[column], (row, chain.start + column)
            if (self._best_end[chain] + costs).max() > best:
                return None  # that was decided upon long ago
        return None if best <= self._tables.starts[state] else found


class _History:
    """Rows of three tables that grow at their end, and lose their oldest ones."""

    def __init__(self, n_states: int) -> None:
        self._room = np.empty((3, 1, n_states))
        self._start = self._stop = 0

    def extended(self, n: int) -> Floats:
        """The tables with rows appended that are to be filled in, (3, N, S)."""
        if self._stop + n > self._room.shape[1]:
            kept = self._rows
            n_kept = kept.shape[1]
            if 2 * (n_kept + n) > self._room.shape[1]:
                self._room = np.empty((3, 4 * (n_kept + n), kept.shape[2]))
            self._room[:, :n_kept] = kept
            self._start, self._stop = 0, n_kept
        self._stop += n
        return self._rows

    def without(self, n: int) -> Floats:
        """The tables less their oldest rows."""
        self._start += n
        return self._rows

    @property
    def _rows(self) -> Floats:
        return self._room[:, self._start : self._stop]


@cache
def _fastest() -> Any:
    """The compiled loop if numba is available, else the plain one."""
    try:
        from sed_cli.decoding.compiled_segments import advance
    except ImportError:
        return advance_plainly
    return advance
