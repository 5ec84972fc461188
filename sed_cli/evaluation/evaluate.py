"""Run a detector freely over whole recordings, and score what it finds."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.frames import activities_to_events
from sed_cli.data.sequences import Sequences, collate
from sed_cli.data.sets import DataSet, Recording, load_data
from sed_cli.errors import DataError
from sed_cli.evaluation.metrics import FrameCounts, sed_eval_scores
from sed_cli.inference import Detector, load, read_config
from sed_cli.inference.postprocessing import PLAIN_THRESHOLD
from sed_cli.provenance import RunRecord, choose_device, set_threads
from sed_cli.reports.figures import RollItem, piano_rolls
from sed_cli.reports.files import replacing
from sed_cli.reports.tables import print_metrics
from sed_cli.schema import EvalConfig

log = logging.getLogger(__name__)

_FRAMES_AT_ONCE = 16_384  # of recordings batched together, so that memory stays bounded
_PICTURED = 4


class Validation(NamedTuple):
    """Free-running figures of a split, all frame-wise; NaN where nothing is annotated."""

    loss: float
    f1: float
    er: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known about a detector on a split."""

    metrics: dict[str, Any]  # as in metrics.json
    events: dict[str, list[Event]]  # detected, by file
    recordings: list[Recording]


def validate(detector: Detector, recordings: Sequence[Recording]) -> Validation:
    """Frame-wise loss, F1 and ER over whole recordings, free running."""
    counts = FrameCounts.zeros(len(detector.classes))
    loss_sum, n_values = 0.0, 0
    for recording, logits in _run(detector, recordings):
        activities = recording.activities[:]
        targets = torch.from_numpy(activities).float()
        loss_sum += float(F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"))
        n_values += targets.numel()
        counts.add(activities, _activities(logits))
    score = counts.overall()
    nothing = math.nan
    return Validation(
        loss_sum / n_values if n_values else nothing,
        nothing if score["f1"] is None else score["f1"],
        nothing if score["er"] is None else score["er"],
    )


def evaluate_split(detector: Detector, data: DataSet, split: str) -> Evaluation:
    """Score a detector on a split: frame, segment and event based, micro and per class.

    Raises:
        DataError: if the set has no such split.
    """
    recordings = data.splits.get(split)
    if not recordings:
        raise DataError(f"split={split}: the data set has none; there are {', '.join(data.splits)}")
    counts = FrameCounts.zeros(len(data.classes))
    found: dict[str, list[Event]] = {}
    for recording, logits in tqdm(
        _run(detector, recordings),
        total=len(recordings),
        desc=f"evaluate {split}",
        leave=False,
        disable=None,
    ):
        probabilities = torch.sigmoid(logits).numpy()
        active = detector.postprocessing.activities(probabilities, data.hop_s, recording.duration_s)
        counts.add(recording.activities[:], active)
        found[recording.name] = activities_to_events(
            active, data.classes, data.hop_s, recording.duration_s
        )
    found = {recording.name: found[recording.name] for recording in recordings}
    scores = sed_eval_scores(
        {recording.name: recording.events for recording in recordings},
        found,
        {recording.name: recording.duration_s for recording in recordings},
        data.classes,
    )
    of_frames = counts.per_class(data.classes)
    metrics = {
        "split": split,
        "n_files": len(recordings),
        "frame": counts.overall(),
        "segment": scores["segment"],
        "event": scores["event"],
        "per_class": {
            label: {"frame": of_frames[label], **scores["per_class"][label]}
            for label in data.classes
        },
        **detector.postprocessing.as_json(data.classes),
    }
    return Evaluation(metrics, found, list(recordings))


def write_evaluation(
    evaluation: Evaluation, detector: Detector, data: DataSet, run_dir: Path
) -> None:
    """Write ``metrics.json``, ``events.tsv`` and the piano rolls of a few recordings."""
    with replacing(run_dir / "events.tsv") as path:
        write_annotations(path, evaluation.events)
    with replacing(run_dir / "metrics.json") as path:
        text = json.dumps(evaluation.metrics, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
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
    with (
        RunRecord(run_dir, "eval", config, seed=trained.seed) as record,
        set_threads(config.threads),
    ):
        device = choose_device(config.device)
        detector = load(config.checkpoint, device)
        data = load_data(
            config.data or trained.data,
            trained.feature,
            splits=[config.split],
            classes=detector.classes,
        )
        record.update(device=str(device), data_fingerprint=data.fingerprint)
        evaluation = evaluate_split(detector, data, config.split)
        write_evaluation(evaluation, detector, data, run_dir)
        print_metrics(evaluation.metrics, run_dir)
    f1: float | None = evaluation.metrics["frame"]["f1"]
    return f1


def _run(detector: Detector, recordings: Sequence[Recording]) -> Iterator[tuple[Recording, Tensor]]:
    """Yield each recording with its logits (T, C) on the CPU; long ones first."""
    for group in _group_by_length(recordings):
        if group[0].n_frames > _FRAMES_AT_ONCE:  # too long to share its group
            yield group[0], _logits_of_long(detector, group[0])
            continue
        sequences = Sequences(group)
        batch = collate([sequences[index] for index in range(len(sequences))])
        logits = detector.logits(batch.log_mel, batch.lengths).cpu()
        for recording, of_one in zip(group, logits, strict=True):
            yield recording, of_one[: recording.n_frames]


def _logits_of_long(detector: Detector, recording: Recording) -> Tensor:
    """Run over a recording piece by piece: (T, C) on the CPU."""
    pieces = (
        torch.from_numpy(recording.log_mel[first : first + _FRAMES_AT_ONCE])
        for first in range(0, recording.n_frames, _FRAMES_AT_ONCE)
    )
    return torch.cat([logits.cpu() for logits in detector.logits_of_blocks(pieces)])


def _group_by_length(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    group: list[Recording] = []
    for recording in sorted(recordings, key=lambda r: r.n_frames, reverse=True):
        if group and (len(group) + 1) * group[0].n_frames > _FRAMES_AT_ONCE:
            yield group
            group = []
        group.append(recording)
    if group:
        yield group


def _activities(logits: Tensor) -> NDArray[np.bool_]:
    """Threshold probabilities, not logits, at 0.5 (T, C)."""
    active: NDArray[np.bool_] = (torch.sigmoid(logits) > PLAIN_THRESHOLD).numpy()
    return active
