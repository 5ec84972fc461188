"""The decoder ``hysteresis``: two thresholds, a minimum duration and gap for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.frames import runs
from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.decoder import Decoded, Fitting, FrameDecoder, Tracker, TunedDecoder, by_label
from sed_cli.decoding.grid import THRESHOLDS, Grid, Lengths, Point, distinct, excerpts, short
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD, active_spans, mend_runs
from sed_cli.decoding.tracking import ClassTracker, Track

REACH_S = 1.0
"""Maximum seconds from the start of an event to the upper threshold: the delay of a stream."""

# shares of the upper threshold, tried for the lower one; 1: a single threshold
_SHARES = (1.0, 0.75, 0.5, 0.3)
_SHORT = 10  # percentile of a class's events, or silences, above the dropped, or filled, ones
# shares of that length, tried for the minimum duration and the minimum gap
_PARTS = (0.0, 0.5, 1.0)


def hysteresis(
    column: NDArray[np.floating],
    upper: NDArray[np.floating],
    lower: NDArray[np.floating],
    reach: int,
) -> NDArray[np.bool_]:
    """Active frames of a class at K pairs of thresholds.

    Active frames only shrink as both thresholds rise.

    Args:
        column: probabilities (T,).
        upper: an event needs a frame above it (K,).
        lower: it continues while above this (K,).
        reach: maximum number of frames before the first one above the upper threshold.

    Returns:
        Bool (T, K).
    """
    active = np.zeros((len(column), len(upper)), np.bool_)
    for k, (high, low) in enumerate(zip(upper, lower, strict=True)):
        first, after = runs(column > low)
        above = np.append(np.flatnonzero(column > high), len(column))
        crossing = above[np.searchsorted(above, first)]
        is_event = crossing < after
        starts = np.maximum(first, crossing - reach)[is_event]
        for start, stop in zip(starts.tolist(), after[is_event].tolist(), strict=True):
            active[start:stop, k] = True
    return active


@dataclass(frozen=True, kw_only=True)
class HysteresisDecoder(FrameDecoder, TunedDecoder):
    """An event starts above its class's upper threshold and continues while above the lower one.

    Its onset is where the class rose above the lower one, at most :data:`REACH_S` before. Values
    are per class.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        upper: see above.
        lower: at most the upper one.
        gaps_s: shorter silences between two events of the class are filled.
        durations_s: shorter events are dropped, after gaps are filled.
    """

    NAME: ClassVar[str] = "hysteresis"

    upper: tuple[float, ...]
    lower: tuple[float, ...]
    gaps_s: tuple[float, ...]
    durations_s: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("upper", "lower", "gaps_s", "durations_s"):
            values = getattr(self, name)
            if len(values) != len(self.classes):
                raise ValueError(f"{len(values)} of {name}: expected one for each class")
        for low, high in zip(self.lower, self.upper, strict=True):
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"thresholds {low} and {high}: expected probabilities, lower <= upper"
                )
        for seconds in (*self.gaps_s, *self.durations_s):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"a minimum duration or gap of {seconds} s: expected at least 0")

    @property
    def reach(self) -> int:
        """:data:`REACH_S` in frames."""
        return round(REACH_S / self.hop_s)

    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find the events of a recording and their frames."""
        self.check(probabilities)
        active = np.zeros(probabilities.shape, np.bool_)
        for index, column in enumerate(probabilities.T):
            upper, lower = np.array(self.upper[index : index + 1]), self.lower[index : index + 1]
            active[:, index] = mend_runs(
                hysteresis(column, upper, np.array(lower), self.reach),
                self.hop_s,
                duration_s,
                min_gap_s=self.gaps_s[index],
                min_duration_s=self.durations_s[index],
            )[:, 0]
        return Decoded(self.detections(active_spans(active), probabilities, duration_s), active)

    def tracker(self) -> Tracker:
        """Create a tracker of the same events.

        Its latency is the reach back to the onset, plus minimum gap and duration.
        """
        tracks = [
            _HysteresisTrack(*of_class, reach=self.reach, hop_s=self.hop_s)
            for of_class in zip(
                self.classes, self.upper, self.lower, self.gaps_s, self.durations_s, strict=True
            )
        ]
        least_s = map(sum, zip(self.gaps_s, self.durations_s, strict=True))
        return ClassTracker(tracks, self.reach * self.hop_s + max(least_s))

    def with_least(self, *, min_gap_s: float | None, min_duration_s: float | None) -> Self:
        """Replace the minimum gap and the minimum duration of all classes, if given."""
        n = len(self.classes)
        return replace(
            self,
            gaps_s=self.gaps_s if min_gap_s is None else (min_gap_s,) * n,
            durations_s=self.durations_s if min_duration_s is None else (min_duration_s,) * n,
        )

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self:
        """Replace the upper thresholds of some classes; lower ones are lowered to them."""
        upper = self.replaced(self.upper, thresholds)
        return replace(self, upper=upper, lower=tuple(map(min, self.lower, upper)))

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return {
            name: dict(zip(self.classes, getattr(self, name), strict=True)) for name in _BY_LABEL
        } | {
            "reach_frames": self.reach,
            **self.tuned_as_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> Self:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        read = {name: tuple(map(float, by_label(values, name, classes))) for name in _BY_LABEL}
        made: Any = {**read, **cls.tuned_from_json(values)}
        return cls(classes=tuple(classes), hop_s=hop_s, **made)


_BY_LABEL = ("upper", "lower", "gaps_s", "durations_s")


class _HysteresisTrack(Track):
    """Active from crossing the upper threshold, while above the lower one."""

    def __init__(
        self,
        label: str,
        upper: float,
        lower: float,
        gap_s: float,
        duration_s: float,
        *,
        reach: int,
        hop_s: float,
    ) -> None:
        super().__init__(label, hop_s=hop_s, min_gap_s=gap_s, min_duration_s=duration_s)
        self._upper, self._lower = np.array([upper]), np.array([lower])
        self._reach = reach

    def _decided(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        frames = self._undecided
        active = self._active_of(frames)
        if not len(frames) or active[-1]:
            return active
        # Frames that may become the start of an event, once it is above the upper threshold.
        below = np.flatnonzero(~(frames > self._lower))
        n_open = len(frames) - (below[-1] + 1 if len(below) else 0)
        return active[: len(frames) - min(n_open, self._reach)]

    def _decided_at_the_end(self) -> NDArray[np.bool_]:
        return self._active_of(self._undecided)

    def _active_of(self, frames: NDArray[np.float32]) -> NDArray[np.bool_]:
        active = hysteresis(frames, self._upper, self._lower, self._reach)[:, 0]
        if self._was_active:  # a running event continues
            below = np.flatnonzero(~(frames > self._lower))
            active[: below[0] if len(below) else len(frames)] = True
        return active


# ------------------------------------------------------------------------------------ tuning


@dataclass(frozen=True)
class _Row:
    """Candidate parameters of a class besides the upper threshold."""

    share: float = 1.0
    gap_s: float = 0.0
    duration_s: float = 0.0


def fit(task: Fitting, upper: float | None = None, lower: float | None = None) -> HysteresisDecoder:
    """Tune the values of each class; a single threshold of 0.5 unless others are certainly better.

    First the lower threshold is tuned as a share of the upper one, then, with that share, the
    minimum duration and gap, each time with the upper threshold.

    Args:
        task: training results.
        upper: for all classes, instead of tuned ones.
        lower: the same.
    """
    plain = _Row(gap_s=task.min_gap_s, duration_s=task.min_duration_s)
    rows, points = [[plain] for _ in task.classes], None
    if task.tunes:
        of_classes = Lengths.of_classes(task.validation, len(task.classes))
        shares = [replace(plain, share=share) for share in _SHARES]
        grid = _counted(task, of_classes, [shares for _ in task.classes])
        rows = [
            [plain, *_with_lengths(shares[grid.best(index)[0]], of_class, task.hop_s)]
            for index, of_class in enumerate(of_classes)
        ]
        grid = _counted(task, of_classes, rows)
        points = [grid.choose(index) for index in range(len(task.classes))]
    made = _decoder(task, rows, points)
    high = made.upper if upper is None else (upper,) * len(made.classes)
    low = made.lower if lower is None else (lower,) * len(made.classes)
    low = tuple(min(pair) for pair in zip(low, high, strict=True))
    return replace(made, upper=high, lower=low)


def _with_lengths(row: _Row, lengths: Lengths, hop_s: float) -> list[_Row]:
    """A row with minimum durations and gaps below most events and silences of the class."""
    event_s, silence_s = (
        of * hop_s if np.isfinite(of) else 0.0
        for of in (short(lengths.events, _SHORT), short(lengths.silences, _SHORT))
    )
    return [
        replace(
            row,
            gap_s=max(row.gap_s, round(of_silence * silence_s, 3)),
            duration_s=max(row.duration_s, round(of_event * event_s, 3)),
        )
        for of_silence in _PARTS
        for of_event in _PARTS
    ]


def _counted(task: Fitting, lengths: Sequence[Lengths], rows: Sequence[Sequence[_Row]]) -> Grid:
    """Count detections of each class with its rows, at all upper thresholds."""
    n_recordings = len(task.validation)
    grid = Grid.empty(
        np.ones((len(rows), len(rows[0])), np.bool_),
        np.array([len(of.events) for of in lengths], np.int64),
        n_recordings=n_recordings,
        metric=task.metric,
        collar_s=task.collar_s,
    )
    reach = round(REACH_S / task.hop_s)
    scored = excerpts(task.scored(), n_recordings, task.classes, task.hop_s)
    for recording, probabilities, in_recording in scored:
        for index, of_class in enumerate(in_recording):
            known: dict[float, Any] = {}
            for number, row in enumerate(rows[index]):
                if row.share not in known:
                    lower = row.share * THRESHOLDS
                    column = probabilities[:, index]
                    known[row.share] = distinct(hysteresis(column, THRESHOLDS, lower, reach))
                active, column_of = known[row.share]
                mended = mend_runs(
                    active,
                    task.hop_s,
                    recording.duration_s,
                    min_gap_s=row.gap_s,
                    min_duration_s=row.duration_s,
                )
                grid.add(of_class, index, number, mended, column_of)
    return grid


def _decoder(
    task: Fitting, rows: Sequence[Sequence[_Row]], points: Sequence[Point] | None
) -> HysteresisDecoder:
    """The decoder of the chosen points; by default that of the first rows at 0.5."""
    chosen = [of[0] for of in rows]
    upper = [PLAIN_THRESHOLD] * len(rows)
    tuning = None
    if points is not None:
        chosen = [of[point.row] for of, point in zip(rows, points, strict=True)]
        upper = [point.threshold for point in points]
        choices = [_choice(*of_class) for of_class in zip(points, chosen, strict=True)]
        log_choices(task.classes, choices)
        tuning = {label: choice.note for label, choice in zip(task.classes, choices, strict=True)}
    return HysteresisDecoder(
        classes=task.classes,
        hop_s=task.hop_s,
        upper=tuple(upper),
        lower=tuple(row.share * high for row, high in zip(chosen, upper, strict=True)),
        gaps_s=tuple(row.gap_s for row in chosen),
        durations_s=tuple(row.duration_s for row in chosen),
        tuned_for=task.metric if task.tunes else None,
        tuning=tuning,
    )


def _choice(point: Point, row: _Row) -> Choice:
    what = f"one threshold of {point.threshold:g}"
    if point.gain is not None:
        what = (
            f"starts above {point.threshold:.2f}, continues above "
            f"{row.share * point.threshold:.2f}, fills gaps up to {row.gap_s:g} s, events of "
            f"{row.duration_s:g} s and more"
        )
    return Choice(what=what, reason=point.reason, n_events=point.n_events, gain=point.gain)
