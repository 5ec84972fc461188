"""Thresholds that limit the false alarms of each class on validation."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoder, Scored
from sed_cli.decoding.grid import THRESHOLDS
from sed_cli.errors import UserError
from sed_cli.metrics.counting import alarms_of
from sed_cli.metrics.known import known_hours

log = logging.getLogger(__name__)

_KEY = "evaluation.max_false_alarms_per_hour"
# At 1 nothing is detected, so that any bound can be met.
_THRESHOLDS = np.array([*THRESHOLDS, 0.985, 0.99, 0.995, 0.999, 1.0])


def bounded(decoder: Decoder, scored: Scored, bound: float) -> Decoder:
    """Set the threshold of each class to detect as many events as possible within a bound.

    All thresholds are tried on validation, with the decoder's other parameters. A false alarm is a
    detected event that overlaps no annotated one of its class; among thresholds that find equally
    many events, those with the fewest false alarms win, and of these the middle one.

    Args:
        decoder: the tuned decoder.
        scored: recordings of validation, with their probabilities.
        bound: maximum false alarms per hour of each class.

    Raises:
        UserError: if the decoder has no thresholds.
    """
    recordings = list(scored)
    hours = np.zeros(len(decoder.classes))  # in which each class is annotated
    for recording, _ in recordings:
        hours += known_hours(recording.duration_s, recording.known())
    decoders = []
    for threshold in _THRESHOLDS.tolist():
        made = decoder.with_thresholds(dict.fromkeys(decoder.classes, threshold))
        if made is None:
            raise UserError(
                f"{_KEY}={bound:g}: the decoder {decoder.NAME} has no thresholds; "
                f"choose another evaluation.decoder, such as threshold"
            )
        decoders.append(made)
    counts = np.stack([_counts(made, recordings) for made in decoders])  # (K, C, 3)
    if bound * hours.min() < 1:
        log.warning(
            "%s=%g: validation lasts %.2g h, so that a single false alarm exceeds it; add "
            "recordings there, for example without events (data.validation.background), for a "
            "better estimate",
            *(_KEY, bound, hours.min()),
        )
    chosen, lost = {}, []
    for index, label in enumerate(decoder.classes):
        n_false, n_found, n_there = counts[:, index].T
        best = _best(n_false, n_found, bound * hours[index])
        chosen[label] = float(_THRESHOLDS[best])
        log.info(
            "%s: threshold %g, %.3g false alarms per hour (at most %g), %d of %d events found on "
            "validation",
            *(
                label,
                chosen[label],
                n_false[best] / max(hours[index], 1e-9),
                bound,
                n_found[best],
                n_there[best],
            ),
        )
        lost += [label] if n_there[best] and not n_found[best] else []
    if lost:
        log.warning(
            "%s=%g: no threshold detects any event of %s within this bound; train on "
            "recordings without events (data.train.background) or for longer, or allow more",
            *(_KEY, bound, ", ".join(lost)),
        )
    made = decoder.with_thresholds(chosen)
    assert made is not None
    return made


def _best(n_false: NDArray[np.int64], n_found: NDArray[np.int64], most: float) -> int:
    """The middle one of the thresholds with most hits, then fewest false alarms, in a bound."""
    fits = np.flatnonzero(n_false <= most + 1e-9)
    fits = fits[n_found[fits] == n_found[fits].max()]
    fits = fits[n_false[fits] == n_false[fits].min()]
    # Away from more false alarms on one side, and from fewer hits on the other.
    return int(fits[len(fits) // 2])


def _counts(decoder: Decoder, recordings: Scored) -> NDArray[np.int64]:
    """False alarms, detected annotated events, and all annotated events, by class (C, 3)."""
    counts = np.zeros((len(decoder.classes), 3), np.int64)
    for recording, probabilities in recordings:
        found = decoder.events(probabilities, recording.duration_s)
        counts += [alarms_of(recording.events, found, label) for label in decoder.classes]
    return counts
