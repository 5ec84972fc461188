"""Run a detector freely over whole recordings, and score what it finds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from sed_cli.config.data import DataConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.provenance import RunRecord, choose_device, set_threads
from sed_cli.config.verbs import EvalConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.sets import DataSet, Recording, load_data
from sed_cli.decoding.calibration import ConfidenceMap
from sed_cli.decoding.decoder import Decoder, Detection, described
from sed_cli.decoding.onsets import of_activities
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.errors import DataError, UserError
from sed_cli.metrics.curves import Curves, Scored, threshold_free
from sed_cli.metrics.detection import (
    CONFIDENCE,
    Bootstrap,
    count_frames,
    figures,
)
from sed_cli.metrics.metric import Compared, Metric, all_metrics
from sed_cli.reports.figures import RollItem, piano_rolls
from sed_cli.reports.tables import print_metrics
from sed_cli.system.distributed import share_of, summed
from sed_cli.system.files import json_text, replacing, write_text
from sed_cli.tasks.detection.calibrating import confidences_for
from sed_cli.tasks.detection.curves import write_curves
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.fitting import RunValidation, collar_of, decoder_for
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.tasks.detection.running import probabilities_of, run_freely
from sed_cli.training.task import Validation

log = logging.getLogger(__name__)

_PICTURED = 4


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known about a detector on a split."""

    metrics: dict[str, Any]  # as in metrics.json
    events: dict[str, list[Event]]  # detected, by file
    recordings: list[Recording]
    curves: Curves | None = None  # over all thresholds, where they were asked for


def validate(detector: Detector, recordings: Sequence[Recording]) -> Validation:
    """Frame-wise loss, F1 and ER over whole recordings, free running, plainly above 0.5.

    Where several processes train together, each runs over its share of the recordings.
    """
    counts = np.zeros((1 + len(detector.classes), 4), dtype=np.int64)
    loss_sum, n_values = 0.0, 0
    for recording, outputs in run_freely(detector, share_of(recordings)):
        logits = of_activities(outputs, len(detector.classes))
        activities = recording.activities[:]
        targets = torch.from_numpy(activities).float()
        loss_sum += float(F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"))
        n_values += targets.numel()
        counts += count_frames(activities, probabilities_of(logits) > PLAIN_THRESHOLD)
    counts = summed(torch.from_numpy(counts)).numpy()
    loss_sum, n_values = summed(torch.tensor([loss_sum, n_values], dtype=torch.float64)).tolist()
    values = figures(counts[0])
    loss = loss_sum / n_values if n_values else math.nan
    return Validation(loss, float(values["f1"]), float(values["er"]))


def evaluate_split(
    detector: Detector, data: DataSet, split: str, evaluation: EvaluationConfig | None = None
) -> Evaluation:
    """Score a detector on a split: frame, segment and event based, micro, macro and per class.

    Args:
        detector: its decoder makes the events.
        data: the set.
        split: one of its splits.
        evaluation: what is reported; ``None``: the defaults.

    Raises:
        DataError: if the set has no such split.
    """
    settings = evaluation or EvaluationConfig()
    recordings = data.splits.get(split)
    if not recordings:
        raise DataError(f"split={split}: the data set has none; there are {', '.join(data.splits)}")
    plain = detector.plain_decoder
    collar_s = collar_of(settings)
    _warn_of_collar(recordings, data.classes, collar_s)
    bin_s = EvaluationConfig().bin_s if settings.bin_s is None else settings.bin_s
    settings = replace(settings, collar_s=collar_s, bin_s=bin_s)
    kinds = all_metrics()
    tallies = [_Tally(detector.decoder, data, kinds, settings, detector.confidence_map)]
    if detector.decoder != plain:
        of_plain = [metric for metric in kinds if metric.IN_PLAIN]
        tallies.append(_Tally(plain, data, of_plain, settings))
    scored: list[Scored] = []
    for recording, logits in tqdm(
        run_freely(detector, recordings),
        total=len(recordings),
        desc=f"evaluate {split}",
        leave=False,
        disable=None,
    ):
        probabilities = probabilities_of(logits)
        for tally in tallies:
            tally.add(recording, probabilities)
        if settings.psds:
            scored.append(_scored(detector.decoder, recording, probabilities))
    bootstrap = Bootstrap(settings.bootstrap, settings.bootstrap_seed)
    figures_of = tallies[0].described(recordings, bootstrap)
    metrics: dict[str, Any] = {
        "split": split,
        "n_files": len(recordings),
        **{kind: overall for kind, (overall, _) in figures_of.items()},
        "per_class": {
            label: {
                kind: of_classes[label]
                for kind, (_, of_classes) in figures_of.items()
                if label in of_classes
            }
            for label in data.classes
        },
        "collar_s": collar_s,
        "bin_s": bin_s,
        "bootstrap": {"samples": bootstrap.n_samples, "seed": bootstrap.seed, "level": CONFIDENCE},
        **described(detector.decoder),
        "plain": _plain_figures(tallies[-1], recordings) if len(tallies) > 1 else None,
    }
    used = detector.confidence_map
    metrics["calibration"]["method"] = "none" if used is None else used.method
    _warn_of_missed(metrics)
    curves = threshold_free(scored, data.classes, data.hop_s, collar_s) if settings.psds else None
    if curves is not None:
        metrics["psds"] = curves.figures
    return Evaluation(metrics, tallies[0].events(recordings), list(recordings), curves)


def _scored(decoder: Decoder, recording: Recording, probabilities: NDArray[np.float32]) -> Scored:
    """What threshold-free figures are drawn from."""
    own = recording.name, recording.duration_s, recording.events
    activities = of_activities(probabilities, len(decoder.classes))
    if decoder.GIVES_BOXES:
        return Scored(*own, activities, decoder.decode(probabilities, recording.duration_s))
    return Scored(*own, decoder.scores(probabilities))


def _warn_of_collar(
    recordings: Sequence[Recording], classes: Sequence[str], collar_s: float
) -> None:
    """Warn where an event may be off by half of its length and more, and still count."""
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
            "event-based scores forgive %g ms, more than half of a typical event of %s: for a "
            "stricter score set evaluation.collar_s=%.2g (seconds)",
            1000 * collar_s,
            ", ".join(f"{label} ({1000 * of:.0f} ms)" for label, of in short_s.items()),
            max(0.001, min(short_s.values()) / 2),
        )


def _warn_of_missed(metrics: Mapping[str, Any]) -> None:
    """Warn of classes that are there and were never found, not even wrongly."""
    counts = {label: of["event"]["counts"] for label, of in metrics["per_class"].items()}
    missed = [label for label, n in counts.items() if n["n_ref"] and not n["n_sys"]]
    if missed:
        log.warning(
            "never found in the %s split, though annotated there: %s; annotate more events of "
            "that, train longer (trainer.epochs), or leave it out (data.classes)",
            metrics["split"],
            ", ".join(f"{label} ({counts[label]['n_ref']} events)" for label in missed),
        )


class _Tally:
    """Events that a decoder finds, and what metrics count of them, by recording."""

    def __init__(
        self,
        decoder: Decoder,
        data: DataSet,
        metrics: Sequence[Metric],
        evaluation: EvaluationConfig,
        confidence_map: ConfidenceMap | None = None,
    ) -> None:
        self.decoder, self.data, self.confidence_map = decoder, data, confidence_map
        self.metrics, self.evaluation = metrics, evaluation
        self._events: dict[str, list[Event]] = {}
        self._counts: dict[str, list[NDArray[Any]]] = {}

    def add(self, recording: Recording, probabilities: NDArray[np.float32]) -> None:
        found, active = self.decoder.decoded(probabilities, recording.duration_s)
        self._events[recording.name] = [_as_written(each.event) for each in found]
        compared = Compared(
            classes=self.data.classes,
            duration_s=recording.duration_s,
            hop_s=self.data.hop_s,
            reference=recording.events,
            detected=self._events[recording.name],
            confidences=self._confidences(found),
            reference_frames=recording.activities[:],
            detected_frames=active,
            evaluation=self.evaluation,
        )
        self._counts[recording.name] = [np.asarray(each.count(compared)) for each in self.metrics]

    def _confidences(self, found: Sequence[Detection]) -> list[float]:
        """Confidences to as many digits as ``sedtf predict`` writes."""
        values = np.array([each.confidence for each in found], np.float64)
        mapped = values if self.confidence_map is None else self.confidence_map(values)
        return [round(value, 4) for value in mapped.tolist()]

    def events(self, recordings: Sequence[Recording]) -> dict[str, list[Event]]:
        return {recording.name: self._events[recording.name] for recording in recordings}

    def described(
        self, recordings: Sequence[Recording], bootstrap: Bootstrap | None = None
    ) -> dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
        """Figures of all classes together and by label, by metric."""
        of_files = [self._counts[recording.name] for recording in recordings]
        return {
            metric.name: metric.describe(np.stack(counts), self.data.classes, bootstrap)
            for metric, counts in zip(self.metrics, zip(*of_files, strict=True), strict=True)
        }


def _as_written(event: Event) -> Event:
    """Keep microseconds, as ``events.tsv`` does: who scores that file gets the same figures."""
    onset_s, offset_s = round(event.onset_s, 6), round(event.offset_s, 6)
    return Event(onset_s, max(offset_s, onset_s + 1e-6), event.label)


def _plain_figures(tally: _Tally, recordings: Sequence[Recording]) -> dict[str, Any]:
    """Figures at 0.5 without any filter: what tuning changed, and what older runs report."""
    overall = tally.described(recordings)
    return {
        metric.name: {
            figure.name: overall[metric.name][0][figure.name] for figure in metric.FIGURES
        }
        for metric in tally.metrics
    }


def write_evaluation(
    evaluation: Evaluation, detector: Detector, data: DataSet, run_dir: Path
) -> None:
    """Write ``metrics.json``, ``events.tsv``, curves, and the piano rolls of a few recordings."""
    with replacing(run_dir / "events.tsv") as path:
        write_annotations(path, evaluation.events)
    write_text(run_dir / "metrics.json", json_text(evaluation.metrics))
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


def evaluate_checkpoint(config: EvalConfig, run_dir: Path) -> float | None:
    """Do the work of ``sedtf eval``; return the frame-wise F1."""
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
        data = load_data(
            own or trained.data,
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
