"""The decoder ``boxes``: sound event bounding boxes, each with one confidence.

See :mod:`sed_cli.decoding.box_finder` for boxes. A box above the threshold of its class is an
event; PSDS takes all boxes with their confidences, so that thresholds do not move their ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.box_finder import Boxes, BoxFinder, BoxRules
from sed_cli.decoding.decoder import (
    Decoded,
    Detection,
    FrameDecoder,
    StreamEvent,
    Tracker,
    TunedDecoder,
    by_label,
    in_order,
)
from sed_cli.decoding.postprocessing import PostProcessing
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.decoding.tracking import threshold_tracks

LEAST_CONFIDENCE = 1e-4
"""Boxes with a lower confidence are dropped."""

_BLOCK = 2**20  # number of values searched at once


@dataclass(frozen=True, kw_only=True)
class BoxDecoder(FrameDecoder, TunedDecoder):
    """Boxes between changes of the level of a class; those above its threshold are events.

    Values are per class, unless stated otherwise.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        step_frames: number of frames before and after a time whose means are compared.
        ratios: two boxes are joined if the mean between them times this factor reaches the higher
            one.
        thresholds: boxes above them are events.
        longest_s: maximum length of a box, for all classes; longer events are split into touching
            ones.
        min_gap_s: events with a shorter silence between them are joined.
        min_duration_s: shorter events are dropped, once gaps are filled.
    """

    NAME: ClassVar[str] = "boxes"
    GIVES_BOXES: ClassVar[bool] = True

    step_frames: tuple[int, ...]
    ratios: tuple[float, ...]
    thresholds: tuple[float, ...]
    longest_s: float
    min_gap_s: float = 0.0
    min_duration_s: float = 0.0

    def __post_init__(self) -> None:
        for name in BY_LABEL:
            values = getattr(self, name)
            if len(values) != len(self.classes):
                raise ValueError(f"{len(values)} of {name}: expected one for each class")
        for name, low, high in _RANGES:
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise ValueError(f"{name} of {value}: expected {low:g} to {high:g}")
        if not (math.isfinite(self.longest_s) and self.longest_s > 0):
            raise ValueError(f"longest_s of {self.longest_s}: expected above 0")
        assert self._postprocessing  # reports faults in the others

    @property
    def _postprocessing(self) -> PostProcessing:
        return PostProcessing(
            thresholds=self.thresholds,
            filter_frames=(1,) * len(self.classes),
            min_gap_s=self.min_gap_s,
            min_duration_s=self.min_duration_s,
        )

    @property
    def rules(self) -> BoxRules:
        """Parameters of boxes."""
        return BoxRules(
            steps=np.array(self.step_frames, np.int64),
            ratios=np.array(self.ratios, np.float64),
            longest=max(1, round(self.longest_s / self.hop_s)),
        )

    def found(self, probabilities: NDArray[np.floating]) -> Boxes:
        """All boxes in probabilities (T, C), by frames."""
        self.check(probabilities)
        return find(self.rules, probabilities)

    def boxes(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """All boxes of a recording for any threshold, in order of onset."""
        boxes = self.found(probabilities)
        confidence = confidences(boxes)
        end_s = math.inf if duration_s is None else duration_s
        onset_s = boxes.first * self.hop_s
        offset_s = np.minimum(boxes.after * self.hop_s, end_s)
        kept = (offset_s > onset_s) & (confidence >= LEAST_CONFIDENCE)
        columns = (of[kept].tolist() for of in (onset_s, offset_s, boxes.column, confidence))
        return sorted(
            Detection(first, after, self.classes[column], value)
            for first, after, column, value in zip(*columns, strict=True)
        )

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Confidence of the box of each frame, 0 in gaps (T, C)."""
        scores = np.zeros(probabilities.shape, np.float32)
        _mark(scores, self.found(probabilities), np.zeros(len(self.classes), np.int64))
        return scores

    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find events and frames; touching boxes above the threshold are one event."""
        by_threshold = ThresholdDecoder(
            classes=self.classes, hop_s=self.hop_s, postprocessing=self._postprocessing
        )
        return by_threshold.decoded(self.scores(probabilities), duration_s)

    def tracker(self) -> Tracker:
        """Create a tracker of the same events; a box is decided once it cannot grow."""
        return _BoxTracker(self)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self:
        """Replace the thresholds of some classes."""
        return replace(self, thresholds=self.replaced(self.thresholds, thresholds))

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return {
            **{
                name: dict(zip(self.classes, getattr(self, name), strict=True)) for name in BY_LABEL
            },
            "longest_s": self.longest_s,
            "longest_frames": self.rules.longest,
            "min_gap_s": self.min_gap_s,
            "min_duration_s": self.min_duration_s,
            **self.tuned_as_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> Self:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        read: dict[str, Any] = {
            name: tuple(map(kind, by_label(values, name, classes)))
            for name, kind in BY_LABEL.items()
        }
        return cls(
            classes=tuple(classes),
            hop_s=hop_s,
            longest_s=float(values["longest_s"]),
            min_gap_s=float(values["min_gap_s"]),
            min_duration_s=float(values["min_duration_s"]),
            **read,
            **cls.tuned_from_json(values),
        )


BY_LABEL: dict[str, type] = {"step_frames": int, "ratios": float, "thresholds": float}
_RANGES = (("step_frames", 1, 10_000), ("ratios", 1.0, 1e6))


def confidences(boxes: Boxes) -> NDArray[np.float64]:
    """The geometric mean of mean and maximum probability within each box (n,).

    The mean alone penalises intermittent events, the maximum alone long ones.
    """
    return np.minimum(np.sqrt(boxes.mean * boxes.peak), 1.0)


def find(rules: BoxRules, probabilities: NDArray[np.floating]) -> Boxes:
    """All boxes in probabilities (T, C), in the memory of a block."""
    finder = BoxFinder(rules)
    block = max(1, _BLOCK // max(1, probabilities.shape[1]))
    parts = [
        finder.push(probabilities[start : start + block])
        for start in range(0, len(probabilities), block)
    ]
    return Boxes.joined([*parts, finder.finish()])


def _mark(scores: NDArray[np.float32], boxes: Boxes, starts: NDArray[np.int64]) -> None:
    """Write confidences into the frames of boxes; each column starts with frame ``starts`` (C,)."""
    first, after = (np.maximum(at - starts[boxes.column], 0) for at in (boxes.first, boxes.after))
    columns = (of.tolist() for of in (first, after, boxes.column, confidences(boxes)))
    for begin, end, column, value in zip(*columns, strict=True):
        scores[begin:end, column] = value


class _BoxTracker(Tracker):
    """Applies thresholds to the frames of boxes as soon as these are known."""

    def __init__(self, decoder: BoxDecoder) -> None:
        self._finder = BoxFinder(decoder.rules)
        self._known = 0  # frames
        self._marked = np.zeros(len(decoder.classes), np.int64)  # decided frames
        made = decoder._postprocessing
        self._tracks = threshold_tracks(decoder.classes, made, decoder.hop_s)
        rules = decoder.rules
        # A box and its successor may both have maximum length before it is known to which of them
        # the silence in between belongs.
        n_frames = 2 * rules.longest + rules.reach + 1
        self.latency_s = n_frames * decoder.hop_s + made.min_gap_s + made.min_duration_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide, in order of time."""
        self._known += len(probabilities)
        closed = self._finder.push(probabilities)
        until, is_open = self._finder.open()
        return self._tracked(Boxes.joined([closed, is_open]), until, known_s)

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""
        until = np.full(len(self._marked), self._known)
        reports = self._tracked(self._finder.finish(), until, duration_s)
        ended = (report for track in self._tracks for report in track.finish(duration_s))
        return in_order([*reports, *ended])

    def _tracked(self, boxes: Boxes, until: NDArray[np.int64], known_s: float) -> list[StreamEvent]:
        until = np.maximum(until, self._marked)
        scores = np.zeros((int((until - self._marked).max(initial=0)), len(until)), np.float32)
        _mark(scores, boxes, self._marked)
        n_new = (until - self._marked).tolist()
        self._marked = until
        return in_order(
            report
            for track, column, n in zip(self._tracks, scores.T, n_new, strict=True)
            for report in track.push(column[:n], known_s)
        )
