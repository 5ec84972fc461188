"""A closer look at a split: calibration, confusions, the outcome of each event, the worst files.

This complements the scores of the run. Everything except the probabilities is derived from the
events that the run wrote, so that the numbers add up to the run's own figures.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import events_to_activities
from sed_cli.data.sets import Recording
from sed_cli.metrics.detection import COLLAR_S, N_REF, N_SYS, SUBS, TP, Counts, count_frames
from sed_cli.metrics.known import are_judged
from sed_cli.metrics.outcomes import HIT, OUTCOMES, Fate, event_outcomes, frame_confusions

N_BINS = 10
"""Number of bins of equal width, over the probabilities from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A recording with its detected events; times are those of the recording.

    Args:
        recording: with its annotations.
        predicted: detected events.
        fates: outcome of each annotated event, and of each detected one.
        counts: of its frames, all classes together: (4,).
        window_s: the segment that is shown.
        probabilities: uint8, 255 times the probabilities of the frames in the window.
        first_frame: of the window.
    """

    recording: Recording
    predicted: tuple[Event, ...]
    fates: tuple[list[Fate], list[Fate]]
    counts: NDArray[np.int64]
    window_s: tuple[float, float]
    probabilities: NDArray[np.uint8]
    first_frame: int

    @property
    def f1(self) -> float | None:
        """Frame-wise F1; ``None`` if there are neither annotated nor detected events."""
        base = int(self.counts[N_REF] + self.counts[N_SYS])
        return 2 * int(self.counts[TP]) / base if base else None

    @property
    def n_wrong_frames(self) -> int:
        """Class frames that were missed or inserted; a substitution counts once."""
        missed, inserted = (int(self.counts[n] - self.counts[TP]) for n in (N_REF, N_SYS))
        return missed + inserted - int(self.counts[SUBS])

    @property
    def badness(self) -> tuple[float, int]:
        """Sort key, largest for the worst file."""
        return 1.0 if self.f1 is None else 2.0 - self.f1, self.n_wrong_frames


@dataclass
class Examination:
    """Accumulated results of recordings that were examined one by one, C classes.

    ``bins`` holds, for each class and each bin of probabilities, the number of frames in it, the
    sum of their probabilities, and the number of them annotated as active: (C, N_BINS, 3).
    ``confusions`` are frames (C missed, C inserted). ``outcomes`` are numbers of annotated and of
    detected events: (2, C, len(OUTCOMES)).
    """

    classes: tuple[str, ...]
    bins: NDArray[np.float64] = field(init=False)
    confusions: NDArray[np.float64] = field(init=False)
    outcomes: NDArray[np.int64] = field(init=False)
    counts: Counts = field(init=False)  # of frames, (1 + C, 4)
    files: list[Examined] = field(default_factory=list)  # worst first
    n_files: int = 0

    def __post_init__(self) -> None:
        n_classes = len(self.classes)
        self.bins = np.zeros((n_classes, N_BINS, 3))
        self.confusions = np.zeros((n_classes, n_classes))
        self.outcomes = np.zeros((2, n_classes, len(OUTCOMES)), np.int64)
        self.counts = np.zeros((1 + n_classes, 4), np.int64)


def examine(
    run: Iterable[tuple[Recording, NDArray[np.float32]]],
    events: Mapping[str, Sequence[Event]],
    classes: Sequence[str],
    hop_s: float,
    *,
    n_kept: int | None = None,
    longest_s: float | None = None,
    collar_s: float = COLLAR_S,
) -> Examination:
    """Examine recordings one by one; only those kept stay in memory.

    Args:
        run: each recording with its probabilities (T, C).
        events: detected events by file name.
        classes: labels, in column order.
        hop_s: seconds from one frame to the next.
        n_kept: number of files to keep, the worst ones; ``None``: all.
        longest_s: of a longer file, keep the segment of this many seconds with the most errors.
        collar_s: tolerance of event boundaries in seconds.
    """
    examination = Examination(tuple(classes))
    kept: list[tuple[tuple[float, int], int, Examined]] = []
    for index, (recording, probabilities) in enumerate(run):
        known = recording.known()
        found = events.get(recording.name, ())
        predicted = tuple(compress(found, are_judged(found, known, classes, hop_s)))
        active = _active(found, recording, classes, hop_s)
        truth = recording.activities[:]
        if known is not None:
            active &= known
        counts = count_frames(truth, active)
        fates = event_outcomes(recording.events, predicted, collar_s)
        examination.n_files += 1
        examination.counts += counts
        examination.bins += calibration_bins(probabilities, truth, known)
        examination.confusions += frame_confusions(truth, active)
        for side, of_side in enumerate((recording.events, predicted)):
            for event, fate in zip(of_side, fates[side], strict=True):
                place = classes.index(event.label), OUTCOMES.index(fate.outcome)
                examination.outcomes[side][place] += 1
        window = _window(truth != active, hop_s, longest_s)
        examined = Examined(
            recording=recording,
            predicted=predicted,
            fates=fates,
            counts=counts[0],
            window_s=(window.start * hop_s, min(window.stop * hop_s, recording.duration_s)),
            probabilities=np.round(255 * probabilities[window]).astype(np.uint8),
            first_frame=window.start,
        )
        heapq.heappush(kept, (examined.badness, -index, examined))
        if n_kept is not None and len(kept) > n_kept:
            heapq.heappop(kept)
    examination.files = [examined for _, _, examined in sorted(kept, reverse=True)]
    return examination


def _active(
    predicted: Sequence[Event], recording: Recording, classes: Sequence[str], hop_s: float
) -> NDArray[np.bool_]:
    """Frames of detected events (T, C): the inverse of turning frames into events."""
    # An event that lasts to the end was cut there, perhaps in the middle of the last frame.
    end_s = recording.duration_s - 1e-6
    whole = [
        event._replace(offset_s=recording.n_frames * hop_s) if event.offset_s >= end_s else event
        for event in predicted
    ]
    return events_to_activities(whole, classes, recording.n_frames, hop_s).astype(bool)


def calibration_bins(
    probabilities: NDArray[np.floating],
    activities: NDArray[np.uint8],
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Sort frames (T, C) into bins of probability: counts, sums of probabilities, active frames.

    Frames that are not ``known`` (T, C) are skipped.

    Returns:
        (C, N_BINS, 3). A bin includes its lower edge; the last one also includes 1.
    """
    n_classes = probabilities.shape[1]
    bins = np.minimum((probabilities * N_BINS).astype(np.intp), N_BINS - 1)
    place = bins + N_BINS * np.arange(n_classes)
    counted = np.ones(place.shape, np.bool_) if known is None else known
    columns = [
        np.bincount(place[counted], weights, n_classes * N_BINS)
        for weights in (None, probabilities[counted].astype(np.float64), activities[counted])
    ]
    return np.stack(columns, axis=-1).reshape(n_classes, N_BINS, 3).astype(np.float64)


def is_error(fate: Fate) -> bool:
    """Whether an event counts as an error in event-based scores."""
    return fate.outcome != HIT


def _window(wrong: NDArray[np.bool_], hop_s: float, longest_s: float | None) -> slice:
    """Choose the frames to show: all, or the segment with the most errors."""
    n_frames = len(wrong)
    length = n_frames if longest_s is None else max(1, round(longest_s / hop_s))
    if length >= n_frames:
        return slice(0, n_frames)
    total = np.concatenate([[0], np.cumsum(wrong.sum(axis=1))])
    first = int(np.argmax(total[length:] - total[:-length]))
    return slice(first, first + length)
