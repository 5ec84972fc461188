"""Calibrate the confidences of a detector's events on validation recordings."""

from __future__ import annotations

import logging

import numpy as np

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.decoding.calibration import ConfidenceMap, calibrated
from sed_cli.decoding.decoder import Decoder, Scored
from sed_cli.metrics.counting import hits_of
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.fitting import RunValidation, collar_of

log = logging.getLogger(__name__)


def fit_confidences(
    decoder: Decoder, evaluation: EvaluationConfig, scored: Scored
) -> ConfidenceMap | None:
    """Fit the method of ``evaluation.calibrate`` to the events that a decoder finds.

    Args:
        decoder: finds the events.
        evaluation: settings, including the collar within which an event is correct.
        scored: validation recordings, each with its probabilities.

    Returns:
        The map; ``None``: confidences stay unchanged; the reason is logged.
    """
    method = evaluation.calibrate or "auto"
    confidences, hits = [], []
    if method != "none":
        for recording, probabilities in scored:
            found = decoder.decode(probabilities, recording.duration_s)
            confidences.append(np.array([each.confidence for each in found], np.float64))
            events = [each.event for each in found]
            hits.append(hits_of(recording.events, events, collar_of(evaluation)))
    chosen, reason = calibrated(method, confidences, hits)
    log.info("%s", reason)
    return chosen


def confidences_for(
    config: EvalConfig, detector: Detector, before: Decoder, validation: RunValidation
) -> ConfidenceMap | None:
    """The map of the checkpoint, unless ``sedtf eval`` asks for another one or other events.

    Args:
        config: settings of ``sedtf eval``.
        detector: with the decoder that finds the events.
        before: the decoder of the checkpoint.
        validation: of the run.

    Raises:
        DataError: if a new map is requested and there is no validation split to fit it on.
    """
    method = config.evaluation.calibrate
    if method is None:
        if detector.decoder == before or detector.confidence_map is None:
            return detector.confidence_map
        log.warning(
            "the calibration of the checkpoint was fitted to the events of its own decoder: "
            "confidences are not calibrated; evaluation.calibrate=auto fits it to the new events"
        )
        return None
    if method == "none":
        return None
    validation.recordings(
        f"evaluation.calibrate={method} is fitted",
        "drop it, or set evaluation.calibrate=none",
    )
    return fit_confidences(detector.decoder, config.evaluation, validation.scored())
