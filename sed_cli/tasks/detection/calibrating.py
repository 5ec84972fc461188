"""How confidences of a detector's events are made probabilities, on recordings of validation."""

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
    """Fit what ``evaluation.calibrate`` names to the events that a decoder finds.

    Args:
        decoder: whose events they are.
        evaluation: settings, the collar among them by which an event is right.
        scored: recordings of validation, each with its probabilities.

    Returns:
        The map; ``None``: confidences stay as they are, and why is logged.
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
    """That of the checkpoint, unless ``sedtf eval`` asks for another one or for other events.

    Args:
        config: what is asked for.
        detector: with the decoder that makes the events.
        before: the decoder of the checkpoint.
        validation: of the run.

    Raises:
        DataError: if there is no validation split to fit the one that is asked for on.
    """
    method = config.evaluation.calibrate
    if method is None:
        if detector.decoder == before or detector.confidence_map is None:
            return detector.confidence_map
        log.warning(
            "the calibration of the checkpoint is for the events of its own decoder: confidences "
            "are not calibrated; evaluation.calibrate=auto does it for these"
        )
        return None
    if method == "none":
        return None
    validation.recordings(
        f"evaluation.calibrate={method} is fitted",
        "drop it, or set evaluation.calibrate=none",
    )
    return fit_confidences(detector.decoder, config.evaluation, validation.scored())
