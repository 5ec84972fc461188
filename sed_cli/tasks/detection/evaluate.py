"""Run a detector freely over whole recordings, and score the events it finds."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from sed_cli.config.annotations import SPLIT_SHARES
from sed_cli.config.data import AnnotatedConfig, DataConfig
from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.provenance import RunRecord, choose_device, set_threads
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.sets import DataSet, Recording, load_data
from sed_cli.decoding.calibration import ConfidenceMap
from sed_cli.decoding.decoder import Decoder, described
from sed_cli.decoding.decoder import Scored as ScoredRecordings
from sed_cli.decoding.onsets import OnsetDecoder, of_activities, plain_decoder
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.errors import DataError, UserError
from sed_cli.metrics.curves import Curves, Scored, threshold_free
from sed_cli.metrics.detection import (
    CONFIDENCE,
    Bootstrap,
    count_frames,
    figures,
)
from sed_cli.metrics.known import linear_softmax
from sed_cli.metrics.metric import all_metrics
from sed_cli.reports.figures import RollItem, piano_rolls
from sed_cli.reports.tables import print_metrics
from sed_cli.system.distributed import share_of, summed
from sed_cli.system.files import json_text, replacing, write_text
from sed_cli.system.text import cut_short
from sed_cli.tasks.detection.calibrating import confidences_for
from sed_cli.tasks.detection.clips import write_clips
from sed_cli.tasks.detection.curves import write_curves
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.fitting import RunValidation, bound_of, collar_of, decoder_for, filled
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.tasks.detection.running import forced_probabilities, probabilities_of, run_freely
from sed_cli.tasks.detection.tally import Tally, scored_by
from sed_cli.tasks.detection.watched import Watched
from sed_cli.training.losses.bce import BinaryCrossEntropy
from sed_cli.training.task import Validation
from sed_cli.training.weighting import OutputLoss

log = logging.getLogger(__name__)

_PICTURED = 4


@dataclass(frozen=True)
class Evaluation:
    """All results of a detector on a split."""

    metrics: dict[str, Any]  # as in metrics.json
    events: dict[str, list[Event]]  # detected, by file
    recordings: list[Recording]
    curves: Curves | None = None  # over all thresholds, if requested
    # Probability of each class in each recording as a whole, by file (C,).
    clips: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def validate(
    detector: Detector,
    recordings: Sequence[Recording],
    loss: OutputLoss | None = None,
    watched: Watched | None = None,
) -> Validation:
    """Frame-wise loss, F1 and ER over whole recordings, free running, at a threshold of 0.5.

    The loss is the training loss; ``None``: binary cross-entropy. The figures of ``watched`` are
    added.

    If several processes train together, each runs over its share of the recordings.
    """
    counts = np.zeros((1 + len(detector.classes), 4), dtype=np.int64)
    loss_sum, n_values = 0.0, 0
    per_output = (loss or BinaryCrossEntropy()).per_output
    for recording, outputs in run_freely(detector, share_of(recordings)):
        logits = of_activities(outputs, len(detector.classes))
        activities = recording.activities[:]
        targets = torch.from_numpy(activities).float()
        losses, active = per_output(logits, targets), probabilities_of(logits) > PLAIN_THRESHOLD
        known = recording.known()
        if known is not None:
            losses, active = losses[torch.from_numpy(known)], active & known
        loss_sum += float(losses.sum())
        n_values += losses.numel()
        counts += count_frames(activities, active)
        if watched is not None:
            of_clip = detector.pool(probabilities_of(logits))
            watched.add(recording, probabilities_of(outputs), of_clip)
    counts = summed(torch.from_numpy(counts)).numpy()
    loss_sum, n_values = summed(torch.tensor([loss_sum, n_values], dtype=torch.float64)).tolist()
    values = figures(counts[0])
    mean_loss = loss_sum / n_values if n_values else math.nan
    more = {} if watched is None else watched.columns()
    return Validation(mean_loss, float(values["f1"]), float(values["er"]), more)


def evaluate_split(
    detector: Detector, data: DataSet, split: str, evaluation: EvaluationConfig | None = None
) -> Evaluation:
    """Score a detector on a split: by frame, segment and event; micro, macro and per class.

    Args:
        detector: its decoder finds the events.
        data: the data set.
        split: one of its splits.
        evaluation: settings of the report; ``None``: the defaults.

    Raises:
        DataError: if the data set has no such split.
    """
    recordings = data.splits.get(split)
    if not recordings:
        raise DataError(f"split={split}: not in the data set, which has {', '.join(data.splits)}")
    scored = (
        (recording, probabilities_of(logits))
        for recording, logits in tqdm(
            run_freely(detector, recordings),
            total=len(recordings),
            desc=f"evaluate {split}",
            leave=False,
            disable=None,
        )
    )
    settings = evaluation or EvaluationConfig()
    return evaluate_scored(
        scored,
        data,
        split,
        settings,
        detector.decoder,
        confidence_map=detector.confidence_map,
        pool=detector.pool,
        forced=partial(forced_probabilities, detector) if detector.model.has_feedback else None,
    )


def evaluate_scored(
    scored: ScoredRecordings,
    data: DataSet,
    split: str,
    settings: EvaluationConfig,
    decoder: Decoder,
    *,
    confidence_map: ConfidenceMap | None = None,
    decoder_of: Callable[[Recording], Decoder] | None = None,
    pool: Callable[[NDArray[np.floating]], NDArray[np.float32]] | None = None,
    forced: Callable[[Recording], NDArray[np.float32]] | None = None,
) -> Evaluation:
    """Score the events that a decoder finds in the probabilities of a split.

    Args:
        scored: its recordings, each with its probabilities, (T, C) or with onsets (T, 2C).
        data: the data set.
        split: one of its splits, which has recordings.
        settings: settings of the report.
        decoder: finds the events; described in the metrics.
        confidence_map: for the confidences of the events.
        decoder_of: returns a decoder per recording, used instead of ``decoder``.
        pool: turns probabilities of frames (T, C) into those of a clip (C,); ``None``: by linear
            softmax.
        forced: returns the teacher-forced probabilities of a recording.
    """
    recordings = data.splits[split]
    plain = plain_decoder(data.classes, data.hop_s, onsets=isinstance(decoder, OnsetDecoder))
    settings = filled(settings)
    collar_s = collar_of(settings)
    _warn_of_collar(recordings, data.classes, collar_s)
    kinds = [
        metric
        for metric in all_metrics()
        if settings.diagnostics or not metric.IN_DIAGNOSTICS
        if forced is not None or not metric.NEEDS_FORCED
    ]
    tally = Tally(data, kinds, settings, confidence_map, forced=forced)
    plain_tally = None
    if decoder != plain:
        plain_tally = Tally(data, [metric for metric in kinds if metric.IN_PLAIN], settings)
    for_curves: list[Scored] = []
    clips: dict[str, NDArray[np.float32]] = {}
    for recording, probabilities in scored:
        own = decoder if decoder_of is None else decoder_of(recording)
        of_clip = (pool or linear_softmax)(of_activities(probabilities, len(data.classes)))
        clips[recording.name] = of_clip
        tally.add(recording, probabilities, of_clip, own)
        if plain_tally is not None:
            plain_tally.add(recording, probabilities, of_clip, plain)
        if settings.psds:
            for_curves.append(scored_by(own, recording, probabilities))
    metrics = {
        "split": split,
        "n_files": len(recordings),
        **_metrics_of(tally, recordings, settings),
        **described(decoder),
        "plain": None if plain_tally is None else plain_tally.plain_figures(recordings),
    }
    _warn_of_missed(metrics)
    curves = None
    if settings.psds:
        curves = threshold_free(for_curves, data.classes, data.hop_s, collar_s)
        metrics["psds"] = curves.figures
    clips = {recording.name: clips[recording.name] for recording in recordings}
    return Evaluation(metrics, tally.events(recordings), list(recordings), curves, clips)


def _metrics_of(
    tally: Tally, recordings: Sequence[Recording], settings: EvaluationConfig
) -> dict[str, Any]:
    """Figures of all metrics, as in ``metrics.json``, and the settings behind them."""
    bootstrap = Bootstrap(settings.bootstrap, settings.bootstrap_seed)
    figures_of = tally.described(recordings, bootstrap)
    metrics: dict[str, Any] = {
        **{kind: overall for kind, (overall, _) in figures_of.items()},
        "per_class": {
            label: {
                kind: of_classes[label]
                for kind, (_, of_classes) in figures_of.items()
                if label in of_classes
            }
            for label in tally.data.classes
        },
        "collar_s": settings.collar_s,
        "bin_s": settings.bin_s,
        "bootstrap": {"samples": bootstrap.n_samples, "seed": bootstrap.seed, "level": CONFIDENCE},
    }
    calibration = tally.confidence_map
    metrics["calibration"]["method"] = "none" if calibration is None else calibration.method
    metrics["false_alarms_per_hour"]["bound"] = settings.max_false_alarms_per_hour
    return metrics


def _warn_of_collar(
    recordings: Sequence[Recording], classes: Sequence[str], collar_s: float
) -> None:
    """Warn if an event may be off by at least half of its duration, and still count as found."""
    lengths_s: dict[str, list[float]] = {label: [] for label in classes}
    for recording in recordings:
        for event in recording.events:
            lengths_s[event.label].append(event.offset_s - event.onset_s)
    medians_s = {label: float(np.median(of)) for label, of in lengths_s.items() if of}
    short_s = {
        label: median_s for label, median_s in medians_s.items() if median_s < 2 * collar_s - 1e-6
    }
    if short_s:
        log.warning(
            "event-based scores tolerate %g ms, more than half of a typical event of %s: for a "
            "stricter score set evaluation.collar_s=%.2g (seconds)",
            1000 * collar_s,
            cut_short([f"{label} ({1000 * of:.0f} ms)" for label, of in short_s.items()], 20),
            max(0.001, min(short_s.values()) / 2),
        )


def _warn_of_missed(metrics: Mapping[str, Any]) -> None:
    """Warn about annotated classes that were never detected, not even wrongly."""
    counts = {label: of["event"]["counts"] for label, of in metrics["per_class"].items()}
    missed = [label for label, n in counts.items() if n["n_ref"] and not n["n_sys"]]
    if missed:
        log.warning(
            "never found in the %s split, though annotated there: %s; annotate more such events, "
            "train longer (trainer.epochs), or leave the class out (data.classes)",
            metrics["split"],
            cut_short([f"{label} ({counts[label]['n_ref']} events)" for label in missed], 20),
        )


def write_evaluation(
    evaluation: Evaluation, detector: Detector, data: DataSet, run_dir: Path
) -> None:
    """Write metrics, events, clips, curves, and the piano rolls of a few recordings."""
    with replacing(run_dir / "events.tsv") as path:
        write_annotations(path, evaluation.events)
    write_text(run_dir / "metrics.json", json_text(evaluation.metrics))
    write_clips(run_dir / "clips.tsv", evaluation.clips, data.classes)
    if evaluation.curves is not None:
        write_curves(run_dir, evaluation.curves)
    step = max(1, len(evaluation.recordings) // _PICTURED)
    rolls = [
        RollItem(
            name=recording.name,
            log_mel=np.asarray(recording.log_mel),
            hop_s=data.hop_s,
            reference=recording.events,
            predicted=evaluation.events[recording.name],
            classes=data.classes,
            centres_hz=detector.log_mel.centres_hz,
        )
        for recording in evaluation.recordings[::step][:_PICTURED]
    ]
    piano_rolls(run_dir / "figures" / "events.png", rolls)


def whole_set(own: DataConfig, split: str, trained: DataConfig) -> DataConfig:
    """Score all recordings of another data set, if it has no splits and none is requested.

    None of them was trained on. For the data that the detector was trained on, the same split as
    then is scored.
    """
    if not isinstance(own, AnnotatedConfig) or split != "test":
        return own
    is_same = isinstance(trained, AnnotatedConfig) and (
        Path(own.root).expanduser().resolve() == Path(trained.root).expanduser().resolve()
    )
    is_divided = own.split != SPLIT_SHARES or own.folds is not None
    return own if is_same or is_divided else replace(own, train=None, validation=None)


def evaluate_checkpoint(config: EvalConfig, run_dir: Path) -> float | None:
    """Run ``sedtf eval``; return the frame-wise F1."""
    assert config.checkpoint is not None
    trained = read_config(config.checkpoint)
    own = config.data
    if own is not None and not isinstance(own, DataConfig):
        raise UserError(f"data={own.kind}: {config.checkpoint} is a detector, and needs recordings")
    with (
        RunRecord(run_dir, "eval", config, seed=trained.seed) as record,
        set_threads(config.threads),
    ):
        device = choose_device(config.device)
        detector = load(config.checkpoint, device)
        if config.evaluation.collar_s is None:
            config.evaluation.collar_s = trained.evaluation.collar_s
        if config.evaluation.bin_s is None:
            config.evaluation.bin_s = trained.evaluation.bin_s
        before = detector.decoder
        validation = RunValidation(config, trained, detector)
        detector.decoder = decoder_for(config, trained, detector, validation)
        detector.confidence_map = confidences_for(config, detector, before, validation)
        bound = bound_of(config.evaluation, trained.evaluation)
        config.evaluation.max_false_alarms_per_hour = bound
        data = load_data(
            trained.data if own is None else whole_set(own, config.split, trained.data),
            trained.feature,
            splits=[config.split],
            classes=detector.classes,
        )
        record.update(device=str(device), data_fingerprint=data.fingerprint)
        evaluation = evaluate_split(detector, data, config.split, config.evaluation)
        write_evaluation(evaluation, detector, data, run_dir)
        print_metrics(evaluation.metrics, run_dir)
    f1: float | None = evaluation.metrics["frame"]["f1"]
    return f1
