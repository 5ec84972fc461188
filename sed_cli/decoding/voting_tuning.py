"""Tuning of the threshold and the minimum duration of the decoder ``vote`` on validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.sets import Recording
from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.decoder import Fitting
from sed_cli.decoding.grid import THRESHOLDS, Grid, Lengths, Point, excerpts, short
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.decoding.voting import Span, VoteDecoder, elected, joined

log = logging.getLogger(__name__)

_SHORT = 10  # percentile of events above the dropped ones
_PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of that length, tried for the minimum duration
_MUCH = 0.05  # share of the frames with events; more with several give a warning


def fit(task: Fitting, longest_s: float, threshold: float | None = None) -> VoteDecoder:
    """Tune one threshold and one minimum duration for all classes.

    Args:
        task: training results.
        longest_s: maximum length of a piece for a vote.
        threshold: instead of a tuned one.
    """
    plain = VoteDecoder(
        classes=task.classes,
        hop_s=task.hop_s,
        thresholds=(PLAIN_THRESHOLD,) * len(task.classes),
        longest_s=longest_s,
        min_gap_s=task.min_gap_s,
        min_duration_s=task.min_duration_s,
    )
    made = _tuned(task, plain) if task.tunes else plain
    if threshold is not None:
        made = replace(made, thresholds=(threshold,) * len(task.classes))
    return made


def _tuned(task: Fitting, plain: VoteDecoder) -> VoteDecoder:
    _warn_of_overlaps(task.validation)
    of_classes = Lengths.of_classes(task.validation, len(task.classes))
    lengths = np.concatenate([of.events for of in of_classes])
    short_s = short(lengths, _SHORT) * task.hop_s if len(lengths) else 0.0
    tried = (max(plain.min_duration_s, round(part * short_s, 3)) for part in _PARTS)
    rows = [replace(plain, min_duration_s=of_row) for of_row in tried]
    grid = Grid.empty(
        np.ones((1, len(rows)), np.bool_),
        np.array([len(lengths)], np.int64),
        n_recordings=len(task.validation),
        metric=task.metric,
        collar_s=task.collar_s,
    )
    scored = excerpts(task.scored(), len(task.validation), task.classes, task.hop_s)
    for recording, probabilities, in_recording in scored:
        spans, column_of = _spans(rows, probabilities, recording.duration_s)
        for row, of_row in enumerate(spans):
            for index, of_class in enumerate(in_recording):
                active = np.zeros((len(probabilities), len(of_row)), np.bool_)
                for k, found in enumerate(of_row):
                    for first, after, column in found:
                        active[first:after, k] |= column == index
                grid.add(of_class, 0, row, active, column_of)
    point = grid.choose(0)
    choice = _choice(point, rows[point.row])
    log_choices(["all classes"], [choice])
    return replace(
        rows[point.row],
        thresholds=(point.threshold,) * len(task.classes),
        tuned_for=task.metric,
        tuning=dict.fromkeys(task.classes, choice.note),
    )


def _spans(
    rows: Sequence[VoteDecoder], probabilities: NDArray[np.floating], duration_s: float
) -> tuple[list[list[list[Span]]], NDArray[np.intp]]:
    """Detections of each row at each threshold, deduplicated; and the column of each threshold."""
    highest = probabilities.max(axis=1, initial=0.0)
    sounding = highest[:, None] > THRESHOLDS  # (T, K), fewer as the threshold rises
    is_new = np.diff(sounding.sum(axis=0), prepend=-1) != 0
    found: list[list[list[Span]]] = [[] for _ in rows]
    for k in np.flatnonzero(is_new).tolist():
        filled = rows[0].filled(sounding[:, k])
        known: dict[int, Any] = {}
        for row, decoder in enumerate(rows):
            if decoder.longest not in known:
                margins = probabilities - THRESHOLDS[k]
                known[decoder.longest] = joined(list(elected(filled, margins, decoder.longest)))
            spans = known[decoder.longest]
            found[row].append([span for span in spans if decoder.lasts(span, duration_s)])
    return found, np.cumsum(is_new) - 1


def _choice(point: Point, row: VoteDecoder) -> Choice:
    what = f"threshold {point.threshold:g}, durations of {row.min_duration_s:g} s and more"
    return Choice(what=what, reason=point.reason, n_events=point.n_events, gain=point.gain)


def _warn_of_overlaps(recordings: Sequence[Recording]) -> None:
    """Warn if decoding one event at a time is inadequate."""
    n_events = n_several = 0
    for recording in recordings:
        n_active = recording.activities[:].sum(axis=1)
        n_events += int((n_active > 0).sum())
        n_several += int((n_active > 1).sum())
    if n_several > _MUCH * n_events:
        log.warning(
            "evaluation.decoder=vote detects one event at a time, but %.0f %% of the validation "
            "frames with events have several: it misses the others; choose another decoder",
            100 * n_several / n_events,
        )
