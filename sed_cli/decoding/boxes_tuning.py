"""Tuning of the decoder ``boxes`` on validation: parameters of boxes, and threshold of events.

Parameters of boxes determine the quality at any threshold: they are chosen by PSDS, the mean of
both scenarios for the class, in closed form (:mod:`sed_cli.metrics.box_areas`). Classes with
few events in validation use parameters that suit all classes. Then the threshold is tuned as in
other decoders.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.box_finder import Boxes, BoxFinder, BoxRules
from sed_cli.decoding.boxes import LEAST_CONFIDENCE, BoxDecoder, confidences
from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.decoder import Fitting
from sed_cli.decoding.grid import THRESHOLDS, Grid, distinct, excerpts
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD, mend_runs
from sed_cli.metrics.box_areas import Axis, Found, area, judged
from sed_cli.metrics.curves import MAX_FP_PER_HOUR, SCENARIOS

log = logging.getLogger(__name__)

_STEPS_S = (0.32, 0.02, 0.04, 0.08, 0.13, 0.2, 0.5, 0.8)  # the first, with
_RATIOS = (3.0, 1.25, 1.5, 2.0, 5.0, 8.0)  # the first, is the untuned default
_SHARED = 100  # number of events of a class in validation with the same weight as all classes
_WORTH = 0.7  # of one event by the root of their number: minimum gain of a shape
_BLOCK = 2**20  # number of values searched at once


class _Shape(NamedTuple):
    """Parameters of boxes of a class."""

    step: int
    ratio: float


def fit(task: Fitting, longest_s: float, threshold: float | None = None) -> BoxDecoder:
    """Tune the parameters of boxes and the threshold of each class.

    Args:
        task: training results.
        longest_s: maximum length of a box.
        threshold: for all classes, instead of tuned ones.
    """
    plain = _Shape(max(1, round(_plain_step_s(task) / task.hop_s)), _RATIOS[0])
    points = [plain] * len(task.classes)
    made = _decoder(task, points, longest_s)
    if task.tunes:
        made = _decoder(task, _chosen(task, plain, made.rules.longest), longest_s)
        made = _with_thresholds(task, made)
    if threshold is not None:
        made = replace(made, thresholds=(threshold,) * len(task.classes))
    return made


def _plain_step_s(task: Fitting) -> float:
    """The usual step, or half of a typical event if events are short, such as notes."""
    clips = task.validation or task.training()
    lengths_s = [event.offset_s - event.onset_s for clip in clips for event in clip.events]
    return min(_STEPS_S[0], float(np.median(lengths_s)) / 2) if lengths_s else _STEPS_S[0]


def _decoder(task: Fitting, points: Sequence[_Shape], longest_s: float) -> BoxDecoder:
    return BoxDecoder(
        classes=task.classes,
        hop_s=task.hop_s,
        step_frames=tuple(point.step for point in points),
        ratios=tuple(point.ratio for point in points),
        thresholds=(PLAIN_THRESHOLD,) * len(points),
        longest_s=longest_s,
        min_gap_s=task.min_gap_s,
        min_duration_s=task.min_duration_s,
    )


# --------------------------------------------------------------------- parameters of boxes


def _chosen(task: Fitting, plain: _Shape, longest: int) -> list[_Shape]:
    """The best point of each class."""
    if not any(each.events for each in task.validation):
        return [plain] * len(task.classes)
    steps = sorted({max(1, round(step_s / task.hop_s)) for step_s in _STEPS_S} | {plain.step})
    streams = [_BoxStream.of(step, longest, len(task.classes)) for step in steps]
    recordings = []  # in the order of the recordings as they are scored
    for recording, probabilities in task.scored():
        recordings.append((recording.events, recording.duration_s))
        for stream in streams:
            stream.push(probabilities)
    axis = Axis.of(recordings, task.classes)
    n_events = np.array([len(of) for of in axis.events])
    points = [_Shape(stream.step, ratio) for stream in streams for ratio in _RATIOS]
    every = np.concatenate([stream.areas(axis, task.hop_s) for stream in streams], axis=1)
    pooled = every[n_events > 0].mean(axis=0)
    shrunk = (n_events[:, None] * every + _SHARED * pooled) / (n_events[:, None] + _SHARED)
    at_first = points.index(plain)
    shrunk[:, at_first] += _WORTH / np.sqrt(n_events.sum())
    best = shrunk.argmax(axis=1)
    of_best = every[np.arange(len(best)), best][n_events > 0].mean()
    log.info(
        "boxes: mean area under both PSD-ROCs over classes on validation %.3f (%.3f with the "
        "defaults)",
        of_best,
        pooled[at_first],
    )
    return [points[index] for index in best.tolist()]


@dataclass
class _BoxStream:
    """Boxes of all recordings by one step and all ratios: columns by class, then by ratio."""

    step: int
    n_classes: int
    finder: BoxFinder
    silence: int  # frames between recordings, too many to be joined
    starts: list[int]  # first frame of each recording
    known: int
    parts: list[Boxes]

    @classmethod
    def of(cls, step: int, longest: int, n_classes: int) -> _BoxStream:
        ratios = np.tile(np.array(_RATIOS), n_classes)
        rules = BoxRules(steps=np.full(len(ratios), step), ratios=ratios, longest=longest)
        return cls(step, n_classes, BoxFinder(rules), longest + 2 * rules.reach, [], 0, [])

    def push(self, probabilities: NDArray[np.floating]) -> None:
        self.starts.append(self.known)
        silence = np.zeros((self.silence, self.n_classes), probabilities.dtype)
        self.known += len(probabilities) + len(silence)
        block = max(1, _BLOCK // (self.n_classes * len(_RATIOS)))
        for frames in (probabilities, silence):
            for start in range(0, len(frames), block):
                repeated = np.repeat(frames[start : start + block], len(_RATIOS), axis=1)
                self.parts.append(self.finder.push(repeated))

    def areas(self, axis: Axis, hop_s: float) -> NDArray[np.float64]:
        """Mean area of both scenarios by class and ratio (C, R)."""
        boxes = Boxes.joined([*self.parts, self.finder.finish()])
        starts = np.array(self.starts)
        recording = np.searchsorted(starts, boxes.first, side="right") - 1
        first_s, after_s = (
            np.minimum((at - starts[recording]) * hop_s, axis.durations_s[recording])
            + axis.starts_s[recording]
            for at in (boxes.first, boxes.after)
        )
        bounds = self.n_classes * len(_RATIOS)
        order = np.lexsort((boxes.first, boxes.column))
        boxes, first_s, after_s = (
            boxes.at(order),
            first_s[order],
            after_s[order],
        )
        edges = np.searchsorted(boxes.column, np.arange(bounds + 1))
        areas = np.zeros(bounds)
        for column in range(bounds):
            own = slice(*edges[column : column + 2])
            areas[column] = _area(
                axis,
                column // len(_RATIOS),
                boxes.at(own),
                Found(first_s[own], after_s[own]),
            )
        return areas.reshape(self.n_classes, -1)


def _area(axis: Axis, index: int, boxes: Boxes, found: Found) -> float:
    """Mean area of both scenarios, up to as many false positives as there are events.

    The limits of PSDS alone give almost no area if an hour has thousands of notes.
    """
    confidence = confidences(boxes)
    kept = (found.after_s > found.first_s) & (confidence >= LEAST_CONFIDENCE)
    found = Found(*(of[kept] for of in found))
    most = max(MAX_FP_PER_HOUR, len(axis.events[index]) / axis.hours)
    areas = [area(judged(axis, index, found, each), confidence[kept], most) for each in SCENARIOS]
    return sum(areas) / len(areas)


# --------------------------------------------------------------------------- the threshold


def _with_thresholds(task: Fitting, made: BoxDecoder) -> BoxDecoder:
    """Tune the threshold of each class; 0.5 unless another is certainly better."""
    n_classes, n_recordings = len(task.classes), len(task.validation)
    n_events = np.zeros(n_classes, np.int64)
    for recording in task.validation:
        for event in recording.events:
            n_events[task.classes.index(event.label)] += 1
    grid = Grid.empty(
        np.ones((n_classes, 1), np.bool_),
        n_events,
        n_recordings=n_recordings,
        metric=task.metric,
        collar_s=task.collar_s,
    )
    least = {"min_gap_s": made.min_gap_s, "min_duration_s": made.min_duration_s}
    scored = excerpts(task.scored(), n_recordings, task.classes, task.hop_s)
    for recording, probabilities, in_recording in scored:
        scores = made.scores(probabilities)
        for index, of_class in enumerate(in_recording):
            active, column_of = distinct(scores[:, index, None] > THRESHOLDS)
            active = mend_runs(active, task.hop_s, recording.duration_s, **least)
            grid.add(of_class, index, 0, active, column_of)
    chosen = [grid.choose(index) for index in range(n_classes)]
    choices = [
        Choice(
            what=_words(made, index, point.threshold),
            reason=point.reason,
            n_events=point.n_events,
            gain=point.gain,
        )
        for index, point in enumerate(chosen)
    ]
    log_choices(task.classes, choices)
    return replace(
        made,
        thresholds=tuple(point.threshold for point in chosen),
        tuned_for=task.metric,
        tuning={label: each.note for label, each in zip(task.classes, choices, strict=True)},
    )


def _words(made: BoxDecoder, index: int, threshold: float) -> str:
    return (
        f"steps of {made.step_frames[index]} frames, joined within a factor of "
        f"{made.ratios[index]:g}, threshold {threshold:.2f}"
    )
