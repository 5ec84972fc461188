"""The decoder of a detector: fitted after its training, or later if another one is requested."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.manifest import Clip
from sed_cli.data.sets import Recording, load_data
from sed_cli.data.survey import load_manifest
from sed_cli.decoding.decoder import Decoder, Fitting, Scored
from sed_cli.decoding.saved import fit
from sed_cli.errors import DataError
from sed_cli.metrics.detection import COLLAR_S
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.running import probabilities_of, run_freely
from sed_cli.tasks.language import label_model

log = logging.getLogger(__name__)

_KEPT_BYTES = 2**28  # of probabilities; beyond this, the detector is run again each time


def collar_of(evaluation: EvaluationConfig) -> float:
    """Tolerance of event boundaries in seconds; the usual one if not set."""
    return COLLAR_S if evaluation.collar_s is None else evaluation.collar_s


def filled(settings: EvaluationConfig) -> EvaluationConfig:
    """Settings with defaults for values that ``sedtf eval`` may leave to the run."""
    bin_s = EvaluationConfig().bin_s if settings.bin_s is None else settings.bin_s
    return replace(settings, collar_s=collar_of(settings), bin_s=bin_s)


def fit_decoder(
    detector: Detector,
    evaluation: EvaluationConfig,
    training: Callable[[], Sequence[Clip]],
    validation: Sequence[Recording],
    scored: Callable[[], Scored] | None = None,
) -> Decoder:
    """Fit ``evaluation.decoder`` for ``evaluation.metric`` on validation recordings.

    Args:
        detector: computes the probabilities.
        evaluation: with a decoder and a metric.
        training: lists the recordings of the training split.
        validation: empty: the decoder is one that is not tuned.
        scored: validation recordings with their probabilities; ``None``: run the detector.
    """
    return fit_to(
        evaluation,
        classes=detector.classes,
        hop_s=detector.hop_s,
        onsets=detector.model.has_onsets,
        training=training,
        validation=validation,
        scored=scored or kept_probabilities(detector, validation),
    )


def fit_to(
    evaluation: EvaluationConfig,
    *,
    classes: tuple[str, ...],
    hop_s: float,
    training: Callable[[], Sequence[Clip]],
    validation: Sequence[Recording],
    scored: Callable[[], Scored],
    onsets: bool = False,
) -> Decoder:
    """Fit ``evaluation.decoder`` to probabilities of any origin: see :class:`Fitting`."""
    assert evaluation.decoder is not None
    assert evaluation.metric is not None
    language = evaluation.language
    task = Fitting(
        classes=classes,
        hop_s=hop_s,
        metric=evaluation.metric,
        collar_s=collar_of(evaluation),
        min_gap_s=evaluation.min_gap_s or 0.0,
        min_duration_s=evaluation.min_duration_s or 0.0,
        tune=evaluation.tune,
        max_false_alarms_per_hour=evaluation.max_false_alarms_per_hour,
        onsets=onsets,
        training=training,
        validation=validation,
        scored=scored,
        language=None if language is None else lambda kind: label_model(language, kind),
    )
    return fit(evaluation.decoder, task)


def kept_probabilities(detector: Detector, recordings: Sequence[Recording]) -> Callable[[], Scored]:
    """Recordings with their probabilities, at each call; 0 where nothing was annotated."""
    return _Probabilities(detector, recordings)


class _Probabilities:
    """Probabilities of some recordings: the detector is run once if they fit into memory."""

    def __init__(self, detector: Detector, recordings: Sequence[Recording]) -> None:
        self._detector, self._recordings = detector, recordings
        n_bytes = 4 * sum(recording.n_frames for recording in recordings) * detector.model.n_outputs
        self._keeps = n_bytes <= _KEPT_BYTES
        self._kept: list[tuple[Recording, NDArray[np.float32]]] = []

    def __call__(self) -> Scored:
        if self._recordings and len(self._kept) == len(self._recordings):
            return self._kept
        return self._run()

    def _run(self) -> Iterator[tuple[Recording, NDArray[np.float32]]]:
        made = []
        for recording, logits in run_freely(self._detector, self._recordings):
            scored = recording, _of_known(recording, probabilities_of(logits))
            if self._keeps:
                made.append(scored)
            yield scored
        self._kept = made


def _of_known(recording: Recording, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (T, C), with onsets (T, 2C), set to 0 where a class is not annotated.

    The targets are 0 there too, so that tuning sees silence on both sides.
    """
    known = recording.known()
    if known is None:
        return probabilities
    n_kinds = probabilities.shape[1] // known.shape[1]
    return probabilities * np.tile(known, (1, n_kinds))


class RunValidation:
    """The validation split of a checkpoint's run, for everything that ``sedtf eval`` refits.

    It is loaded, and the detector run on it, on first use and only once.
    """

    def __init__(self, config: EvalConfig, trained: TrainConfig, detector: Detector) -> None:
        self._config, self._trained, self._detector = config, trained, detector

    def recordings(self, wanted: str, remedy: str) -> Sequence[Recording]:
        """The recordings of the split.

        Args:
            wanted: the step that needs them, in words that begin with its key and value.
            remedy: what to do if there are none.

        Raises:
            DataError: if the run has no such split.
        """
        if not self._loaded:
            raise DataError(
                f"{wanted} on the validation split of the run, which has none: {remedy}"
            )
        if self._config.split == "validation":
            log.warning("%s on the split that is scored, so the scores are optimistic", wanted)
        return self._loaded

    @cached_property
    def _loaded(self) -> Sequence[Recording]:
        trained, classes = self._trained, self._detector.classes
        data = load_data(trained.data, trained.feature, splits=["validation"], classes=classes)
        return data.splits.get("validation", [])

    @cached_property
    def scored(self) -> Callable[[], Scored]:
        """The recordings with their probabilities, at each call."""
        return kept_probabilities(self._detector, self._loaded)


def decoder_for(
    config: EvalConfig, trained: TrainConfig, detector: Detector, validation: RunValidation
) -> Decoder:
    """The decoder of the checkpoint, unless the settings of ``sedtf eval`` ask for another."""
    asked = config.evaluation
    is_kept = (asked.decoder, asked.metric, asked.max_false_alarms_per_hour) == (None,) * 3
    if is_kept and asked.tune:
        chosen = detector.decoder
    else:
        chosen = _fitted_anew(config, trained, detector, validation)
    return chosen.with_least(min_gap_s=asked.min_gap_s, min_duration_s=asked.min_duration_s)


def _fitted_anew(
    config: EvalConfig, trained: TrainConfig, detector: Detector, validation: RunValidation
) -> Decoder:
    asked, before = config.evaluation, trained.evaluation
    decoder = asked.decoder or before.decoder
    assert decoder is not None
    language = asked.language or before.language
    if decoder.ASKS_LANGUAGE:
        label_model(str(language), "recurrent")  # fail before the detector runs
    gap_s, duration_s = asked.min_gap_s, asked.min_duration_s
    if asked.metric is None and asked.tune:  # another decoder, everything else unchanged
        gap_s = before.min_gap_s if gap_s is None else gap_s
        duration_s = before.min_duration_s if duration_s is None else duration_s
    if decoder.LEARNS_LENGTHS:
        gap_s = duration_s = None
    evaluation = EvaluationConfig(
        metric=asked.metric or before.metric,
        collar_s=asked.collar_s,
        tune=asked.tune,
        min_gap_s=gap_s,
        min_duration_s=duration_s,
        max_false_alarms_per_hour=bound_of(asked, before),
        decoder=decoder,
        language=language,
    )
    recordings: Sequence[Recording] = ()
    if asked.tune:
        wanted = f"evaluation.metric={asked.metric} tunes thresholds"
        if asked.metric is None and asked.decoder is None:
            bound = asked.max_false_alarms_per_hour
            wanted = f"evaluation.max_false_alarms_per_hour={bound} tunes thresholds"
        elif asked.metric is None:
            wanted = f"evaluation.decoder={decoder.name} tunes its values"
        recordings = validation.recordings(wanted, "drop the key to use those of the checkpoint")
    return fit_decoder(
        detector,
        evaluation,
        lambda: _training(trained, detector),
        recordings,
        validation.scored if asked.tune else None,
    )


def bound_of(asked: EvaluationConfig, before: EvaluationConfig) -> float | None:
    """The requested bound on false alarms, or that of the run, if anything is tuned."""
    if not asked.tune or asked.max_false_alarms_per_hour is not None:
        return asked.max_false_alarms_per_hour
    return before.max_false_alarms_per_hour


def _training(trained: TrainConfig, detector: Detector) -> Sequence[Clip]:
    """Recordings of the run's training split, without their features."""
    listed = load_manifest(trained.data, splits=["train"], classes=detector.classes)
    return listed.splits.get("train", [])
