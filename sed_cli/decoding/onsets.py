"""Touching events of one class, separated by a model's onset probabilities.

A model with onsets has two outputs per class: first the activities of all classes, then their
onsets. A decoder finds events in the activities, as for any model; this module splits them at
onsets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sed_cli.decoding.decoder import (
    Decoded,
    Decoder,
    Detection,
    FrameDecoder,
    StreamEvent,
    Tracker,
    by_label,
    described,
    in_order,
)
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.decoding.thresholds import ThresholdDecoder

LEAST = 2
"""Minimum number of frames between onsets: several neighbours may look like the onset of
one sound."""
_LONGEST = 10_000  # half a second has fewer

Outputs = TypeVar("Outputs", bound=Any)  # an array or a tensor


def of_activities(outputs: Outputs, n_classes: int) -> Outputs:
    """Return the activities, (..., C), from all outputs of a model."""
    activities: Outputs = outputs[..., :n_classes]
    return activities


def of_onsets(outputs: Outputs, n_classes: int) -> Outputs:
    """Return the onsets, (..., C), from all outputs of a model with onsets."""
    onsets: Outputs = outputs[..., n_classes:]
    return onsets


def peaks(onsets: NDArray[np.floating], threshold: float, least: int) -> NDArray[np.intp]:
    """Frames of (T,) above a threshold, and above all others nearer than ``least`` frames.

    Of equal ones the first counts.
    """
    before = np.concatenate([[-np.inf], onsets[:-1]])
    after = np.concatenate([onsets[1:], [-np.inf]])
    found = np.flatnonzero((onsets > threshold) & (onsets > before) & (onsets >= after))
    if not len(found):
        return found
    around = np.pad(onsets.astype(np.float64), least - 1, constant_values=-np.inf)
    near = sliding_window_view(around, 2 * least - 1)[found]
    height = onsets[found, None]
    is_peak = (near[:, : least - 1] < height).all(axis=1) & (near[:, least:] <= height).all(axis=1)
    return found[is_peak]


@dataclass(frozen=True, kw_only=True)
class OnsetDecoder(FrameDecoder):
    """Splits the events of another decoder; takes probabilities (T, 2C).

    An event is split at peaks of its class's onsets that are far enough from both of its ends. The
    confidence of a part is the mean probability of its frames; active frames do not change.

    Args:
        classes: labels of the first half of the columns.
        hop_s: seconds from one frame to the next.
        inner: finds the events, in the activities.
        thresholds: of the onsets of each class (C,); ``None``: its events are never split.
        least: minimum frames of a part, for each class (C,).
        tuning: choices and reasons, by label.
    """

    NAME: ClassVar[str] = "onsets"  # its JSON is the inner one's, with an additional key

    inner: Decoder
    thresholds: tuple[float | None, ...]
    least: tuple[int, ...]
    tuning: Mapping[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # A class attribute, but here the inner decoder's counts.
        object.__setattr__(self, "GIVES_BOXES", self.inner.GIVES_BOXES)
        if not len(self.thresholds) == len(self.least) == len(self.classes):
            raise ValueError("thresholds and lengths of onsets: expected one for each class")
        for threshold in self.thresholds:
            if threshold is not None and not 0 <= threshold <= 1:
                raise ValueError(f"threshold {threshold} of onsets: expected a probability")
        for least in self.least:
            if not LEAST <= least <= _LONGEST:
                raise ValueError(f"parts of {least} frames: expected {LEAST} to {_LONGEST}")

    @classmethod
    def of(cls, inner: Decoder, threshold: float | None = PLAIN_THRESHOLD) -> Self:
        """Split the events of ``inner`` by one threshold for all classes; ``None``: never."""
        n = len(inner.classes)
        own = {"thresholds": (threshold,) * n, "least": (LEAST,) * n}
        return cls(classes=inner.classes, hop_s=inner.hop_s, inner=inner, **own)  # type: ignore[arg-type]

    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find the events, and the active frames (T, C)."""
        self.check(probabilities)
        activities = of_activities(probabilities, len(self.classes))
        found, active = self.inner.decoded(activities, duration_s)
        return Decoded(sorted(self._parted(found, probabilities)), active)

    def _parted(
        self, found: Iterable[Detection], probabilities: NDArray[np.floating]
    ) -> Iterator[Detection]:
        n_classes = len(self.classes)
        onsets = of_onsets(probabilities, n_classes)
        of_classes = [
            np.empty(0, np.intp) if threshold is None else peaks(onsets[:, index], threshold, least)
            for index, (threshold, least) in enumerate(
                zip(self.thresholds, self.least, strict=True)
            )
        ]
        for event in found:
            column = self.classes.index(event.label)
            first, after = self.frames(event.onset_s), self.frames(event.offset_s)
            at, least = of_classes[column], self.least[column]
            low, high = np.searchsorted(at, [first + least, after - least + 1])
            if low >= high:
                yield event
                continue
            ends = [first, *at[low:high].tolist(), after]
            times = [event.onset_s, *(at[low:high] * self.hop_s).tolist(), event.offset_s]
            for part in range(len(ends) - 1):
                own = probabilities[ends[part] : ends[part + 1], column]
                mean = min(1.0, float(own.mean(dtype=np.float64)))
                yield Detection(times[part], times[part + 1], event.label, mean)

    def frames(self, time_s: float) -> int:
        """The frame nearest to a time."""
        return round(time_s / self.hop_s)

    def boxes(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """All candidate events of the inner decoder, split in the same way."""
        self.check(probabilities)
        activities = of_activities(probabilities, len(self.classes))
        return sorted(self._parted(self.inner.boxes(activities, duration_s), probabilities))

    def tracker(self) -> Tracker:
        """Create a tracker of the same events; a part ends once the next is long enough."""
        return _OnsetTracker(self)

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """The inner decoder's scores for threshold-free metrics, (T, C)."""
        return self.inner.scores(of_activities(probabilities, len(self.classes)))

    def with_least(self, *, min_gap_s: float | None, min_duration_s: float | None) -> Self:
        """Replace the inner decoder's minimum gap and minimum duration, if given."""
        least = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
        return replace(self, inner=self.inner.with_least(**least))

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self | None:
        """Replace thresholds of the inner decoder; those of onsets stay."""
        inner = self.inner.with_thresholds(thresholds)
        return None if inner is None else replace(self, inner=inner)

    def check(self, probabilities: NDArray[np.floating]) -> None:
        """Reject probabilities of another shape than (T, 2C)."""
        if probabilities.ndim != 2 or probabilities.shape[1] != 2 * len(self.classes):
            raise ValueError(
                f"probabilities of shape {probabilities.shape}: expected (T, "
                f"{2 * len(self.classes)}), of activities and of onsets"
            )

    def as_json(self) -> dict[str, Any]:
        """Describe the inner decoder, with its name, and how its events are split."""
        return {
            **described(self.inner),
            "onsets": {
                "thresholds": dict(zip(self.classes, self.thresholds, strict=True)),
                "least_frames": dict(zip(self.classes, self.least, strict=True)),
                **({} if self.tuning is None else {"tuning": dict(self.tuning)}),
            },
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], inner: Decoder) -> Self:
        """Restore from ``onsets`` of :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        thresholds = by_label(values, "thresholds", inner.classes)
        return cls(
            classes=inner.classes,
            hop_s=inner.hop_s,
            inner=inner,
            thresholds=tuple(None if each is None else float(each) for each in thresholds),
            least=tuple(map(int, by_label(values, "least_frames", inner.classes))),
            tuning=values.get("tuning"),
        )


def plain_decoder(classes: Sequence[str], hop_s: float, *, onsets: bool) -> Decoder:
    """A fixed threshold of 0.5 for all classes; for a model with onsets, no events are split."""
    plain = ThresholdDecoder.plain(classes, hop_s)
    return OnsetDecoder.of(plain, None) if onsets else plain


@dataclass
class _Open:
    """An event whose start the inner tracker has reported, or the rest of it."""

    event: int  # first frame of the whole event
    first: int  # first frame of the rest
    onset_s: float
    total: float  # of the probabilities of all frames before it
    looked: int  # number of frames searched for onsets


class _OnsetTracker(Tracker):
    """Keeps frames for the maximum delay of the inner tracker, to split its events."""

    def __init__(self, decoder: OnsetDecoder) -> None:
        self._decoder = decoder
        self._inner = decoder.inner.tracker()
        pairs = zip(decoder.thresholds, decoder.least, strict=True)
        longest = max((least for threshold, least in pairs if threshold is not None), default=0)
        # An event without a reported end lasts at least until so many frames ago.
        late = self._inner.latency_s / decoder.hop_s  # infinite if it waits for all frames
        self._late = math.ceil(late) + 1 if math.isfinite(late) else late
        self._n_kept = self._late + 2 * longest + 1
        self.latency_s = self._inner.latency_s
        if longest:
            self.latency_s = (self._late + longest) * decoder.hop_s
        self._first = 0  # of the frames kept
        n_classes = len(decoder.classes)
        self._onsets = np.empty((0, n_classes), np.float32)
        self._sums = np.zeros((1, n_classes))  # of activities of all frames before each
        self._open: dict[str, _Open] = {}

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, 2C) and return the reports that they decide, in order of time."""
        n_classes = len(self._decoder.classes)
        activities = of_activities(probabilities, n_classes)
        sums = self._sums[-1] + np.cumsum(activities, axis=0, dtype=np.float64)
        self._sums = np.concatenate([self._sums, sums])
        self._onsets = np.concatenate([self._onsets, of_onsets(probabilities, n_classes)])
        reports = list(self._taken(self._inner.push(activities, known_s)))
        n_frames = self._first + len(self._onsets)
        for label, event in self._open.items():
            reports += self._parts(label, event, n_frames - self._late)
        if len(self._onsets) > self._n_kept:
            over = len(self._onsets) - int(self._n_kept)
            self._first += over
            self._onsets, self._sums = self._onsets[over:].copy(), self._sums[over:].copy()
        return in_order(reports)

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""
        return in_order(self._taken(self._inner.finish(duration_s)))

    def _taken(self, reports: Sequence[StreamEvent]) -> Iterator[StreamEvent]:
        """Split events that the inner tracker ends, and record those that it starts."""
        for report in reports:
            if report.offset_s is None:
                self._open[report.label] = self._begun(report)
                yield report
                continue
            event = self._open.pop(report.label, None) or self._begun(report)
            after = self._decoder.frames(report.offset_s)
            yield from self._parts(report.label, event, after)
            if event.first == event.event:
                yield report
            else:
                mean = self._mean(report.label, event, after)
                yield replace(report, onset_s=event.onset_s, confidence=mean)

    def _begun(self, report: StreamEvent) -> _Open:
        first = self._decoder.frames(report.onset_s)
        return _Open(first, first, report.onset_s, self._total(report.label, first), first)

    def _parts(self, label: str, event: _Open, after: float) -> Iterator[StreamEvent]:
        """Report the parts of an event that lasts at least until the frame before ``after``."""
        column = self._decoder.classes.index(label)
        threshold, least = self._decoder.thresholds[column], self._decoder.least[column]
        low = max(event.event + least, event.looked)
        if threshold is None or low > after - least:
            return
        high = int(after) - least
        event.looked = high + 1
        start = max(self._first, low - least + 1)
        curve = self._onsets[start - self._first : high + least - self._first, column]
        for at in (start + peaks(curve, threshold, least)).tolist():
            if not low <= at <= high:
                continue
            time_s, mean = at * self._decoder.hop_s, self._mean(label, event, at)
            part = {"label": label, "onset_s": event.onset_s, "confidence": mean}
            yield StreamEvent(kind="end", offset_s=time_s, **part)  # type: ignore[arg-type]
            event.first, event.onset_s, event.total = at, time_s, self._total(label, at)
            mean = self._mean(label, event, at + least)
            part = {"label": label, "onset_s": time_s, "confidence": mean}
            yield StreamEvent(kind="start", offset_s=None, **part)  # type: ignore[arg-type]

    def _total(self, label: str, frame: int) -> float:
        column = self._decoder.classes.index(label)
        return float(self._sums[max(0, frame - self._first), column])

    def _mean(self, label: str, event: _Open, after: int) -> float:
        return min(1.0, (self._total(label, after) - event.total) / (after - event.first))
