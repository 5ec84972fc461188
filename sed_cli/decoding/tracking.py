"""From streamed frames to events, each reported at its start and at its end.

The events equal those of a decoder on the whole recording, but are decided as early as
possible. Confidence is the mean probability over the event's frames, for a start over the
frames needed to be certain of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import StreamEvent, Tracker, in_order
from sed_cli.decoding.postprocessing import SLACK_S, PostProcessing


class ClassTracker(Tracker):
    """Tracks each class separately.

    Args:
        tracks: of the classes, in the order of the columns.
        latency_s: maximum delay of reports after the probabilities they depend on, in seconds.
    """

    def __init__(self, tracks: Sequence[Track], latency_s: float) -> None:
        self._tracks = tracks
        self.latency_s = latency_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide, in order of time."""
        return in_order(
            report
            for track, column in zip(self._tracks, probabilities.T, strict=True)
            for report in track.push(column, known_s)
        )

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""
        return in_order(r for track in self._tracks for r in track.finish(duration_s))


def threshold_tracker(
    classes: Sequence[str], postprocessing: PostProcessing, hop_s: float
) -> ClassTracker:
    """Track classes above their threshold, after their median filter."""
    gap_s, duration_s = postprocessing.min_gap_s, postprocessing.min_duration_s
    # A start may have to wait for the end of a gap, to see whether the event lasts long enough.
    longest = max(postprocessing.filter_frames)
    tracks = threshold_tracks(classes, postprocessing, hop_s)
    return ClassTracker(tracks, longest // 2 * hop_s + (gap_s + duration_s))


def threshold_tracks(
    classes: Sequence[str], postprocessing: PostProcessing, hop_s: float
) -> list[Track]:
    """One track per class, active above its threshold."""
    gap_s, duration_s = postprocessing.min_gap_s, postprocessing.min_duration_s
    columns = zip(classes, postprocessing.thresholds, postprocessing.filter_frames, strict=True)
    return [
        _MedianTrack(*of_class, hop_s=hop_s, min_gap_s=gap_s, min_duration_s=duration_s)
        for of_class in columns
    ]


@dataclass
class _Run:
    """Consecutive active frames, with short gaps filled."""

    first: int
    total_before: float  # sum of the probabilities of all frames before it
    opening: NDArray[np.float32]  # probabilities from its first frame on
    last: int | None = None  # frame after it; None while it continues
    total_at_last: float = 0.0
    is_reported: bool = False


class Track(ABC):
    """The events of one class.

    Args:
        label: of the class.
        hop_s: seconds from one frame to the next.
        min_gap_s: shorter silences between two events are filled.
        min_duration_s: shorter events are dropped, after gaps are filled.
        n_ahead: number of later frames needed to decide a frame.
    """

    def __init__(
        self, label: str, *, hop_s: float, min_gap_s: float, min_duration_s: float, n_ahead: int = 0
    ) -> None:
        self._label = label
        self._min_gap_s = min_gap_s - SLACK_S
        self._min_duration_s = min_duration_s - SLACK_S
        self._hop_s = hop_s
        # Number of frames known when a start can be reported at the earliest.
        self._n_opening = n_ahead + max(1, math.ceil(self._min_duration_s / hop_s))
        self._n_decided = 0
        self._total = 0.0  # of the probabilities of the decided frames
        self._undecided = np.empty(0, np.float32)  # probabilities
        self._was_active = False
        self._run: _Run | None = None

    @abstractmethod
    def _decided(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether the first undecided frames are active, as many as can be decided.

        Args:
            probabilities: the new ones, the last of ``_undecided``.
        """

    @abstractmethod
    def _decided_at_the_end(self) -> NDArray[np.bool_]:
        """Whether the remaining undecided frames are active: nothing follows them."""

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take the probabilities of frames (t,) and return the reports that they decide."""
        self._undecided = np.concatenate([self._undecided, probabilities])
        if self._run is not None:
            rest = probabilities[: max(0, self._n_opening - len(self._run.opening))]
            self._run.opening = np.concatenate([self._run.opening, rest])
        return list(self._take(self._decided(probabilities), known_s))

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports."""
        reports = list(self._take(self._decided_at_the_end(), duration_s))
        if self._run is not None:
            if self._run.last is None:
                self._run.last, self._run.total_at_last = self._n_decided, self._total
            reports += self._started(duration_s)
            reports += self._ended(duration_s)
        return reports

    def _take(self, active: NDArray[np.bool_], known_s: float) -> Iterator[StreamEvent]:
        """Record newly decided frames."""
        totals = np.cumsum(
            np.concatenate([[self._total], self._undecided[: len(active)]]), dtype=np.float64
        )
        edges = np.flatnonzero(np.diff(np.concatenate([[self._was_active], active])))
        for edge in edges.tolist():
            frame, total = self._n_decided + edge, float(totals[edge])
            if active[edge]:
                opening = self._undecided[edge : edge + self._n_opening]
                yield from self._rise(_Run(frame, total, opening), known_s)
            elif self._run is not None:
                self._run.last, self._run.total_at_last = frame, total
        if len(active):
            self._was_active = bool(active[-1])
        self._n_decided += len(active)
        self._total = float(totals[-1])
        self._undecided = self._undecided[len(active) :].copy()
        if self._run is not None:
            yield from self._started(known_s)
            last = self._run.last
            if last is not None and (self._n_decided - last) * self._hop_s >= self._min_gap_s:
                yield from self._ended(known_s)

    def _rise(self, run: _Run, known_s: float) -> Iterator[StreamEvent]:
        if self._run is not None and self._run.last is not None:
            if (run.first - self._run.last) * self._hop_s < self._min_gap_s:
                self._run.last = None
                return
            yield from self._started(known_s)
            yield from self._ended(known_s)
        self._run = run

    def _started(self, known_s: float) -> Iterator[StreamEvent]:
        """Report the start of the run once it is certain to last long enough."""
        run = self._run
        assert run is not None
        stop = self._n_decided if run.last is None else run.last
        length_s = min(stop * self._hop_s, known_s) - run.first * self._hop_s
        if not run.is_reported and length_s >= self._min_duration_s and length_s > 0:
            run.is_reported = True
            yield self._report(run, None, float(run.opening.mean(dtype=np.float64)))

    def _ended(self, known_s: float) -> Iterator[StreamEvent]:
        """Report the end of the run if its start was reported, and drop it."""
        run, self._run = self._run, None
        assert run is not None
        assert run.last is not None
        if run.is_reported:
            offset_s = min(run.last * self._hop_s, known_s)
            total = run.total_at_last - run.total_before
            yield self._report(run, offset_s, total / (run.last - run.first))

    def _report(self, run: _Run, offset_s: float | None, confidence: float) -> StreamEvent:
        return StreamEvent(
            kind="start" if offset_s is None else "end",
            label=self._label,
            onset_s=run.first * self._hop_s,
            offset_s=offset_s,
            confidence=min(1.0, confidence),
        )


class _MedianTrack(Track):
    """Active if most of the surrounding frames are above a threshold; ends are mirrored."""

    def __init__(self, label: str, threshold: float, filter_frames: int, **options: Any) -> None:
        self._threshold = np.float64(threshold)  # compared as doubles, as in whole recordings
        self._half = filter_frames // 2
        super().__init__(label, n_ahead=self._half, **options)
        # above the threshold, starting half a filter before them
        self._active = np.empty(0, np.bool_)

    def _decided(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        self._active = np.concatenate([self._active, probabilities > self._threshold])
        if self._n_decided == 0:
            if len(self._undecided) <= self._half:
                return np.empty(0, np.bool_)
            self._active = np.concatenate([self._active[: self._half][::-1], self._active])
        return self._smoothed()

    def _decided_at_the_end(self) -> NDArray[np.bool_]:
        if len(self._undecided):
            before = self._half if self._n_decided == 0 else 0
            self._active = np.pad(self._active, (before, self._half), mode="symmetric")
        return self._smoothed()

    def _smoothed(self) -> NDArray[np.bool_]:
        """All frames with a complete filter window."""
        counts = np.cumsum(np.concatenate([[0], self._active]))  # of active frames before each
        length = 2 * self._half + 1
        smoothed = counts[length:] - counts[:-length] > self._half  # the median of zeros and ones
        self._active = self._active[len(smoothed) :].copy()
        return np.asarray(smoothed, np.bool_)
