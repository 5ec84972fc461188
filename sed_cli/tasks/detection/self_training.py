"""Self-training: earlier detectors label the recordings that have no labels.

The teachers are trained before the student, on the labelled recordings alone, and do not change any
more. Their free-running probabilities on whole recordings, calibrated on the validation split and
averaged, are the student's targets.
Source: Xie et al. 2020, "Self-training with Noisy Student improves ImageNet classification"; the
average of several teachers: Hinton et al. 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed_cli.config.annotations import UNLABELLED
from sed_cli.config.identity import paths_of
from sed_cli.config.trainer import SELF_TRAINING
from sed_cli.config.training import FeatureConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.frames import Activities, quantised
from sed_cli.data.pseudo_labels import PSEUDO_LABELS, PseudoLabels
from sed_cli.data.sets import DataSet
from sed_cli.errors import CheckpointError
from sed_cli.system.distributed import agreed, rank
from sed_cli.system.files import standing
from sed_cli.system.text import counted, cut_short
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.tasks.detection.platt import fit_platt
from sed_cli.tasks.detection.running import run_freely
from sed_cli.training.checkpoint import resolve_checkpoint

log = logging.getLogger(__name__)

TEACHERS = "teachers"
"""Folder of a run with one folder for each of its own teachers."""

_SEEDS_APART = 1_000_003  # so that the teachers of neighbouring seeds differ


def with_pseudo_labels(
    config: TrainConfig,
    data: DataSet,
    device: torch.device,
    run_dir: Path,
    train: Callable[[TrainConfig, DataSet, Path], Any],
) -> DataSet:
    """The data of a run, with labels of its teachers for the unlabelled recordings.

    They are computed once and kept in the run folder: a resumed run has the same ones.

    Args:
        config: of the run.
        data: its data.
        device: for training.
        run_dir: its folder; teachers are trained in its subfolder ``teachers``.
        train: trains a detector in a folder, or resumes its training.

    Raises:
        CheckpointError: if a teacher, or a file with labels, cannot be used.
    """
    if not data.splits.get(UNLABELLED) or config.trainer.unlabelled != SELF_TRAINING:
        return data
    earlier = Path(config.resume) if config.resume else None
    found = None
    is_stored = earlier is not None and agreed((earlier / PSEUDO_LABELS).exists())
    if earlier is not None and is_stored:
        found = PseudoLabels.read(earlier / PSEUDO_LABELS)
        if config.teacher is not None:
            log.info("teacher=%s is not applied again: the run has its labels", config.teacher)
    else:
        folders = _teachers(config, data, run_dir, earlier, train)
        if not rank():
            found = _label(folders, config, data, device)
        found = agreed(found)
    assert found is not None
    labelled = found.attached_to(data, _n_kinds(config))
    is_in_place = earlier is not None and earlier.resolve() == run_dir.resolve()
    if not rank() and not (is_stored and is_in_place):
        found.write(run_dir / PSEUDO_LABELS)
    _report(labelled, found.known)
    return labelled


def _teachers(
    config: TrainConfig,
    data: DataSet,
    run_dir: Path,
    earlier: Path | None,
    train: Callable[[TrainConfig, DataSet, Path], Any],
) -> list[Path]:
    """Checkpoints of the teachers, which are trained unless the configuration names them."""
    if config.teacher is not None:
        found = find_teachers(config.teacher)
        log.info("teachers: %s", cut_short([*map(str, found)], 8))
        return found
    labelled = replace(
        data, splits={name: split for name, split in data.splits.items() if name != UNLABELLED}
    )
    folders = []
    for number in range(config.trainer.teachers):
        folder = run_dir / TEACHERS / str(number)
        before = None if earlier is None else earlier / TEACHERS / str(number)
        is_begun = before is not None and standing(before / "checkpoints" / "last").is_dir()
        log.info("teacher %d of %d: %s", number + 1, config.trainer.teachers, folder)
        own = teacher_config(config, number, folder, before if agreed(is_begun) else None)
        train(own, labelled, folder)
        folders.append(folder)
    return [resolve_checkpoint(folder) for folder in folders] if not rank() else []


def teacher_config(
    config: TrainConfig, number: int, folder: Path, resume: Path | None
) -> TrainConfig:
    """Configuration of a teacher: that of the run without unlabelled recordings.

    The first one has the same seed too: it is the detector that the labels alone would give.
    """
    train = replace(config.data.train, unlabelled=None)  # type: ignore[attr-defined]
    shares = {k: share for k, share in config.trainer.batch_shares.items() if k != UNLABELLED}
    return replace(
        config,
        seed=(config.seed + number * _SEEDS_APART) % 2**32,
        data=replace(config.data, train=train),  # type: ignore[call-arg]
        trainer=replace(config.trainer, loggers=["csv"], batch_shares=shares),
        output_dir=str(folder),
        resume=None if resume is None else str(resume),
    )


def find_teachers(path: str) -> list[Path]:
    """Checkpoints in a run, a checkpoint folder, or a folder of runs, such as a sweep.

    Raises:
        CheckpointError: if there is none.
    """
    folder = Path(path).expanduser()
    try:
        return [resolve_checkpoint(folder, key="teacher")]
    except CheckpointError as error:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        runs = [each for each in inside if standing(each / "checkpoints" / "best").is_dir()]
        if not runs:
            raise error
        return [resolve_checkpoint(each, key="teacher") for each in runs]


def _label(
    folders: Sequence[Path], config: TrainConfig, data: DataSet, device: torch.device
) -> PseudoLabels:
    """Average the probabilities of some detectors, by class, over those that detect it."""
    n_kinds = _n_kinds(config)
    n_classes = len(data.classes)
    counts = np.zeros(n_kinds * n_classes, np.int64)
    teachers = []
    for folder in folders:
        detector = _load(folder, config, data, device, has_onsets=n_kinds == 2)
        own = [label for label in data.classes if label in detector.classes]
        columns, places = _columns(own, data.classes, detector.classes, n_kinds)
        counts[columns] += 1
        teachers.append((detector, columns, places, _calibration(detector, data)))
    means = {}
    # All teachers beside each other: the sums of all recordings would be four times the labels.
    runs = [run_freely(detector, data.splits[UNLABELLED]) for detector, *_ in teachers]
    for outputs in zip(*runs, strict=True):
        recording = outputs[0][0]
        total = np.zeros((recording.n_frames, n_kinds * n_classes), np.float32)
        for (_, columns, places, calibrated), (_, logits) in zip(teachers, outputs, strict=True):
            total[:, columns] += calibrated(logits)[:, places].sigmoid().numpy()
        means[recording.name] = quantised(total / counts.clip(1))
    known = [label for label, n in zip(data.classes, counts, strict=False) if n]
    if len(known) < n_classes:
        missing = [label for label in data.classes if label not in known]
        log.warning(
            "no teacher detects %s: unknown in the recordings without labels",
            cut_short(missing, 8),
        )
    return PseudoLabels(
        by_recording=means, known=known, classes=data.classes, fingerprint=data.fingerprint
    )


def _n_kinds(config: TrainConfig) -> int:
    """Outputs of each class."""
    return 2 if getattr(config.model, "onsets", False) else 1


def _calibration(detector: Detector, data: DataSet) -> Callable[[Tensor], Tensor]:
    """Calibrate a teacher on validation recordings, if it has their classes."""
    recordings = data.splits.get("validation")
    if not recordings:
        log.warning("no validation split: the probabilities of teachers are not calibrated")
        return lambda logits: logits
    own = [
        replace(
            each,
            activities=Activities(each.events, detector.classes, each.n_frames, data.hop_s),
            unknown_frames=each.unknown_frames
            and Activities(each.unknown, detector.classes, each.n_frames, data.hop_s),
        )
        for each in recordings
    ]
    return fit_platt(detector, own)


def _columns(
    own: Sequence[str], classes: Sequence[str], of_teacher: Sequence[str], n_kinds: int
) -> tuple[list[int], list[int]]:
    """Outputs of the student, and of the teacher, for some classes."""

    def places(labels: Sequence[str]) -> list[int]:
        return [
            kind * len(labels) + labels.index(label) for kind in range(n_kinds) for label in own
        ]

    return places(classes), places(of_teacher)


def _load(
    folder: Path, config: TrainConfig, data: DataSet, device: torch.device, *, has_onsets: bool
) -> Detector:
    """Load a teacher.

    Raises:
        CheckpointError: if it has no class of the data, other features, or lacks onsets.
    """
    detector, trained = load(folder, device), read_config(folder)
    said = f"teacher {folder}"
    if not set(detector.classes) & set(data.classes):
        raise CheckpointError(
            f"{said}: detects {cut_short(detector.classes, 8)}, but the data have "
            f"{cut_short(data.classes, 8)}: name a run with some of these classes"
        )
    there, here = _content(trained.feature), _content(config.feature)
    if changed := [key for key in {**here, **there} if there.get(key) != here.get(key)]:
        raise CheckpointError(
            f"{said}: was trained on other features ({cut_short(changed, 4)}): choose the same, or "
            f"name another teacher"
        )
    if has_onsets and not detector.model.has_onsets:
        raise CheckpointError(
            f"{said}: has no outputs for onsets: train it with model.onsets=true, or drop that here"
        )
    return detector


def _content(feature: FeatureConfig) -> dict[str, Any]:
    """What features depend on: settings, and the content of files instead of their paths."""
    paths = paths_of(feature)
    values = {f"feature.{k}": value for k, value in asdict(feature).items() if k not in paths}
    return {"feature": type(feature), **values, "feature.path": feature.content()}


def _report(data: DataSet, known: Sequence[str]) -> None:
    """Log how much the teachers found, and warn of classes that they found nowhere."""
    recordings = data.splits[UNLABELLED]
    minutes = sum(each.duration_s for each in recordings) / 60
    n_frames = sum(each.n_frames for each in recordings)
    n_active = np.zeros(len(data.classes), np.int64)
    for each in recordings:
        assert each.pseudo_labels is not None
        n_active += (each.pseudo_labels[:] > 0.5).sum(0)
    log.info(
        "the teachers labelled %s, %.1f min: a class is active in %.1f%% of the frames on average",
        counted(len(recordings), "recording"),
        minutes,
        100 * n_active.mean() / n_frames,
    )
    nowhere = [
        label
        for label, n in zip(data.classes, n_active, strict=True)
        if not n and label in set(known)
    ]
    if nowhere:
        log.warning(
            "the teachers found %s nowhere in the recordings without labels, which therefore teach "
            "the student little about it; try more labels, or longer training",
            cut_short(nowhere, 8),
        )
