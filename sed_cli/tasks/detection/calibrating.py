"""How confidences of a detector's events are made probabilities, on recordings of validation."""

from __future__ import annotations

import logging

import numpy as np

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.verbs import EvalConfig, TrainConfig
from sed_cli.data.sets import load_data
from sed_cli.decoding.calibration import ConfidenceMap, calibrated
from sed_cli.decoding.decoder import Decoder, Scored
from sed_cli.errors import DataError
from sed_cli.metrics.counting import hits_of
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.fitting import collar_of, kept_probabilities

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
    config: EvalConfig, trained: TrainConfig, detector: Detector, before: Decoder
) -> ConfidenceMap | None:
    """That of the checkpoint, unless ``sedtf eval`` asks for another one or for other events.

    Args:
        config: what is asked for.
        trained: settings of the training run.
        detector: with the decoder that makes the events.
        before: the decoder of the checkpoint.

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
    validation = load_data(
        trained.data, trained.feature, splits=["validation"], classes=detector.classes
    ).splits.get("validation")
    if not validation:
        raise DataError(
            f"evaluation.calibrate={method} is fitted on the validation split of the run, which "
            f"has none: drop it, or set evaluation.calibrate=none"
        )
    if config.split == "validation":
        log.warning(
            "evaluation.calibrate=%s is fitted on the very split that is scored: the figures "
            "flatter",
            method,
        )
    return fit_confidences(
        detector.decoder, config.evaluation, kept_probabilities(detector, validation)()
    )
