"""Tuning of the onset thresholds that split the events of a class, on validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sed_cli.data.sets import Recording
from sed_cli.decoding.choices import Choice
from sed_cli.decoding.decoder import Decoder, Fitting, Scored
from sed_cli.decoding.grid import THRESHOLDS, Grid, Point, distinct, excerpts, short
from sed_cli.decoding.onsets import LEAST, OnsetDecoder, of_activities, of_onsets, peaks

log = logging.getLogger(__name__)

_SHORT = 10  # percentile of a class's events; parts have at least half of that length
_LONGEST_S = 0.5  # maximum distance between onsets, and so the delay of a stream
_THRESHOLDS = np.append(THRESHOLDS, 1.0)  # the last one is never exceeded
_METRIC = "event"  # the only one that distinguishes parts from whole events


def activities_alone(task: Fitting) -> Fitting:
    """The same for a decoder without onsets."""
    n_classes, scored = len(task.classes), task.scored

    def activities() -> Scored:
        return ((recording, of_activities(of, n_classes)) for recording, of in scored())

    return replace(task, onsets=False, scored=activities)


def fit_onsets(inner: Decoder, task: Fitting) -> OnsetDecoder:
    """Split the events of a decoder; at 0.5 for all classes unless another threshold is better.

    Args:
        inner: decoder fitted to the activities.
        task: with the probabilities of onsets too, (T, 2C).
    """
    plain = OnsetDecoder.of(inner)
    if not task.tunes:
        return plain
    plain = replace(plain, least=_least(task.validation, task))
    counted = _counted(plain, task)
    points = [counted.choose(index) for index in range(len(task.classes))]
    choices = [_choice(point) for point in points]
    for label, choice in zip(task.classes, choices, strict=True):
        log.info("%s, onsets: %s", label, choice)
    return replace(
        plain,
        thresholds=tuple(point.threshold for point in points),
        tuning={label: choice.note for label, choice in zip(task.classes, choices, strict=True)},
    )


def _least(recordings: Sequence[Recording], task: Fitting) -> tuple[int, ...]:
    """Half the duration of the shortest events of each class, in frames."""
    lengths_s: dict[str, list[float]] = {label: [] for label in task.classes}
    for recording in recordings:
        for event in recording.events:
            lengths_s[event.label].append(event.offset_s - event.onset_s)
    shortest = (short(np.array(lengths_s[label]), _SHORT) for label in task.classes)
    return tuple(max(LEAST, round(min(_LONGEST_S, of / 2) / task.hop_s)) for of in shortest)


def _counted(decoder: OnsetDecoder, task: Fitting) -> Grid:
    """Count the events of each class, split at all thresholds."""
    labels = [event.label for recording in task.validation for event in recording.events]
    grid = Grid.empty(
        np.ones((len(task.classes), 1), np.bool_),
        np.array([labels.count(label) for label in task.classes], np.int64),
        n_recordings=len(task.validation),
        metric=_METRIC,
        beside=_METRIC,
        collar_s=task.collar_s,
        thresholds=_THRESHOLDS,
    )
    scored = excerpts(task.scored(), len(task.validation), task.classes, task.hop_s)
    for recording, probabilities, in_recording in scored:
        activities = of_activities(probabilities, len(task.classes))
        onsets = of_onsets(probabilities, len(task.classes))
        whole = decoder.inner.decode(activities, recording.duration_s)
        for index, of_class in enumerate(in_recording):
            active = np.zeros((len(probabilities), len(_THRESHOLDS)), np.bool_)
            curve, least = onsets[:, index], decoder.least[index]
            at = peaks(curve, 0.0, least)
            for event in whole:
                if event.label != task.classes[index]:
                    continue
                first, after = decoder.frames(event.onset_s), decoder.frames(event.offset_s)
                active[first:after] = True
                low, high = np.searchsorted(at, [first + least, after - least + 1])
                for frame in at[low:high].tolist():
                    # Runs of frames are counted, so an inactive frame separates parts.
                    active[frame - 1, curve[frame] > _THRESHOLDS] = False
            grid.add(of_class, index, 0, *distinct(active))
    return grid


def _choice(point: Point) -> Choice:
    what = f"split above {point.threshold:g}"
    return Choice(what=what, reason=point.reason, n_events=point.n_events, gain=point.gain)
