"""``task=sed``: a detector trained on cut recordings."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sed_cli.config.annotations import SOURCES, SPLITS, WEAK
from sed_cli.config.data import RecordedConfig
from sed_cli.config.training import LossConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data import coverage
from sed_cli.data.augment import Augmenter
from sed_cli.data.leaks import check_leaks
from sed_cli.data.sequences import SequenceBatch, Sequences, collate
from sed_cli.data.sets import DataSet, load_data
from sed_cli.data.sources import SourcedSequences
from sed_cli.decoding.onsets import of_activities, of_onsets
from sed_cli.decoding.saved import save_decoder
from sed_cli.errors import SedtfError, UserError
from sed_cli.models import CRNN
from sed_cli.models.feedbacks import rule_named
from sed_cli.models.labels import LABELS
from sed_cli.reports.figures import learning_curves
from sed_cli.reports.tables import print_metrics
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.detection.calibrating import fit_confidences
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.evaluate import (
    evaluate_split,
    validate,
    write_evaluation,
)
from sed_cli.tasks.detection.fitting import fit_decoder, kept_probabilities
from sed_cli.tasks.detection.load import load, load_crnn, read_config
from sed_cli.tasks.language import label_model
from sed_cli.training.batches import STRONG, Source
from sed_cli.training.task import TakenPart, Task, Trained, Validation

log = logging.getLogger(__name__)

_LONG_CLIP = 8  # training sequences


def load_recordings(config: TrainConfig, *, look_for_leaks: bool = True) -> DataSet:
    """Read what a detector is trained on, with its features, and look for leaks between splits.

    Raises:
        UserError: if the data cannot be used.
        SedtfError: if nothing is there to train on.
    """
    data = load_data(config.data, config.feature, splits=(*SPLITS, *SOURCES))
    if not data.splits["train"]:
        raise SedtfError("the training split holds no recording")
    for line in coverage.lines(data.splits, data.classes):
        log.info("%s", line)
    for line in coverage.warnings(data.splits["train"], data.classes):
        log.warning("%s", line)
    _warn_of_long_clips(data, config.data.sequence_length)
    decoder = config.evaluation.decoder
    if decoder is not None:
        decoder.check([r.events for r in data.splits["train"]], config.feature.hop_s)
    if config.evaluation.language is not None:
        label_model(config.evaluation.language, "recurrent")
    if look_for_leaks and isinstance(config.data, RecordedConfig):
        check_leaks(data.apart, config.feature, config.data.leak_check)
    return data


def _warn_of_long_clips(data: DataSet, length: int) -> None:
    """Warn of weakly labelled recordings that take the memory of many sequences."""
    longest = max(data.splits.get(WEAK, []), key=lambda each: each.n_frames, default=None)
    if longest is not None and longest.n_frames > _LONG_CLIP * length:
        log.warning(
            "%s lasts %.0f s, %.0f times as long as a training sequence, and weakly labelled "
            "recordings are not cut: a batch takes as much memory; cut them into clips whose "
            "labels are known, or lower trainer.batch_size",
            longest.path,
            longest.duration_s,
            longest.n_frames / length,
        )


def _by_source(data: DataSet, length: int, *, onsets: bool) -> dict[str, Sequences]:
    """Training sequences by what batches are composed of; the first source is there always.

    The training split is cut into sequences of ``length`` frames; what holds for a whole clip does
    not hold for its parts.
    """
    strong = {STRONG: Sequences(data.splits["train"], length, onsets=onsets)}
    weak = {WEAK: Sequences(data.splits[WEAK], onsets=onsets)} if data.splits.get(WEAK) else {}
    return strong | weak


class DetectionTask(Task[SequenceBatch]):
    """The detector of a configuration and its data.

    Args:
        config: of the run.
        data: with the splits that training needs.
        device: where the detector is trained.
    """

    model: CRNN

    def __init__(self, config: TrainConfig, data: DataSet, device: torch.device) -> None:
        self._config, self._data = config, data
        self._rule = rule_named(config.sampler.feedback)
        mean, std = data.statistics(data.sources)
        model: CRNN = config.model.build(
            n_mels=config.feature.n_features, n_classes=len(data.classes)
        )
        model.normalisation.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
        augmenter = Augmenter(
            config.augment, feature=config.feature, fill=torch.from_numpy(mean), seed=config.seed
        )
        self.detector = Detector(
            model,
            log_mel=config.feature.build(),
            classes=data.classes,
            feedback=config.sampler.feedback,
            device=device,
        )
        self.sequences = SourcedSequences(
            _by_source(data, config.data.sequence_length, onsets=model.has_onsets),
            augmenter if augmenter.is_active else None,
        )
        super().__init__(
            model=self.detector.model,
            device=self.detector.device,
            is_sampled=model.has_feedback,
            lengths=self.sequences.lengths,
            labels=data.classes,
            fingerprint=data.fingerprint,
            sources=[
                Source(name, len(of_source)) for name, of_source in self.sequences.by_source.items()
            ],
        )

    @property
    def sizes(self) -> str:
        """Files and minutes a split, and the classes."""
        splits = ", ".join(
            f"{name} {len(recordings)} files {sum(r.duration_s for r in recordings) / 60:.1f} min"
            for name, recordings in self._data.splits.items()
        )
        return f"{splits}; {len(self.labels)} classes: {', '.join(self.labels)}"

    def batch(self, indices: Sequence[int], epoch: int) -> SequenceBatch:
        """Join sequences, augmented where that is asked for."""
        return collate([self.sequences.heard(index, epoch) for index in indices])

    def losses(self, batch: SequenceBatch, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Losses over valid frames and classes that are known, those of onsets within.

        Where a target is unknown the model is fed its own output, as if the mask were not set.
        """
        targets = batch.targets.to(self.device)
        counted, n_classes = batch.valid[..., None], len(self.labels)  # (B, T, 1)
        if batch.known is not None:
            counted, n_classes = counted & of_activities(batch.known, n_classes), 1  # (B, T, C)
        counted = counted.to(self.device)
        valid = batch.valid.to(self.device)
        padded = bool((batch.lengths < batch.log_mel.shape[1]).any())
        half = self._config.trainer.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            logits = self.model(
                batch.log_mel.to(self.device),
                targets,
                self._mask(batch, coins) if self.is_sampled else None,
                lengths=batch.lengths.to(self.device) if padded else None,
                feedback=self._rule,
                noise=self._noise(targets, coins),
            )
        losses = self._per_class(logits, targets)
        # A product, not a selection: a GPU would be waited for to know how much is selected.
        frames = (losses * counted).sum(), counted.sum() * n_classes
        if WEAK not in self.sequences.by_source:
            return frames
        clips = self._clip_losses(self.model.clip_logits(logits, valid), batch.tags)
        total, count = (torch.stack(both) for both in zip(frames, clips, strict=True))
        return total, count

    def _clip_losses(self, logits: Tensor, tags: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sum of the weighted losses of weakly labelled clips (B, C), and how many it sums.

        The logits of other clips are part of it, by 0: so weights of the pooling take part in any
        batch.
        """
        if tags is None:
            tags = torch.full_like(logits, torch.nan)
        tags = tags[:, : logits.shape[1]].to(logits)
        asked = ~tags.isnan()
        config = self._config.trainer
        losses = config.loss.per_output(logits[:, None], tags.nan_to_num()[:, None])[:, 0]
        return config.clip_weight * (losses * asked).sum(), asked.sum()

    def _per_class(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each class (B, T, C), that of its onset within."""
        per_output: Callable[..., Tensor] = self._config.trainer.loss.per_output
        if not self.model.has_onsets:
            return per_output(logits, targets)
        activities, onsets = (
            per_output(*(of(each, len(self.labels)) for each in (logits, targets)))
            for of in (of_activities, of_onsets)
        )
        return activities + self._config.model.onset_loss_weight * onsets

    def _mask(self, batch: SequenceBatch, coins: TeacherCoins) -> Tensor:
        """Draw the teacher mask, and unset it where no target is known.

        A class's onset shares the draw of its activity.
        """
        n_sequences, n_steps, _ = batch.targets.shape
        mask = coins.draw(n_sequences, n_steps, len(self.labels))
        if mask.ndim == 3 and self.model.has_onsets:
            mask = mask.repeat(1, 1, 2)
        if batch.known is None:
            return mask
        return (mask if mask.ndim == 3 else mask[..., None]) & batch.known  # (B, T, C)

    def _noise(self, targets: Tensor, coins: TeacherCoins) -> Tensor | None:
        if not self.is_sampled or not self._rule.draws:
            return None
        return coins.noise(*targets.shape).to(targets.device)

    @cached_property
    def no_skill_loss(self) -> float:
        """Least loss of outputs that are the same in all validation frames, one for each class."""
        n_frames, n_active = np.zeros((2, len(self.labels)), dtype=np.int64)
        for recording in self._data.splits.get("validation") or []:
            known = recording.known()
            n_frames += recording.n_frames if known is None else known.sum(axis=0)
            n_active += recording.activities[:].sum(axis=0, dtype=np.int64)
        if not n_active.any():
            return math.inf
        share = torch.from_numpy(n_active / n_frames.clip(1))
        return _least_constant_loss(self._config.trainer.loss, share, torch.from_numpy(n_frames))

    def validate(self) -> Validation | None:
        """Frame-wise figures of the validation split."""
        recordings = self._data.splits.get("validation")
        if not recordings:
            return None
        return validate(
            self.detector, recordings, self._config.trainer.loss, clips=WEAK in self._data.splits
        )

    def describe(self, validation: Validation) -> str:
        """Loss, F1 and ER."""
        loss, f1, er, _ = validation
        return f"validation loss {loss:.4f}  F1 {f1:.3f}  ER {er:.3f}"

    def load_trained(self, folder: Path) -> Trained:
        """Load a detector's model; features that were others are told."""
        config = read_config(folder)
        before, now = asdict(config.feature), asdict(self._config.feature)
        for key in sorted(before.keys() & now.keys()):
            if before[key] != now[key]:
                log.warning("init: feature.%s was %s and is %s", key, before[key], now[key])
        model, classes = load_crnn(folder, config)
        return Trained(model, {LABELS: classes})

    def take_statistics(self, trained: Trained) -> Mapping[str, TakenPart]:
        """Normalise by the statistics of the training split, of the other one, or of a mixture."""
        share = self._config.init_normalisation
        part = "normalisation"
        said = f"init_normalisation={share:g}"
        if not share:
            return {part: TakenPart(part, "", "all", f"of the new data: {said}", is_trained=False)}
        assert isinstance(trained.model, CRNN)
        there = trained.model.n_mels
        if there != self.model.n_mels:
            raise UserError(
                f"{said}, but the run normalised {there} features a frame and here are "
                f"{self.model.n_mels}: drop it, or choose the same feature"
            )
        self.model.normalisation.blend(trained.model.normalisation, share)
        taken, fresh = (f"{each:.0%}" if each else "" for each in (share, 1 - share))
        return {part: TakenPart(part, taken, fresh, said, is_trained=False)}

    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves."""
        learning_curves(history, path, best_epoch=best_epoch)

    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch on the test split, as ``sedtf eval`` does it."""
        detector = load(run_dir, self.device)
        evaluation = self._config.evaluation
        validation = self._data.splits.get("validation") or []
        if evaluation.tune and not validation:
            log.warning("no validation split: thresholds stay at 0.5")
        scored = kept_probabilities(detector, validation)
        # Before the test split is touched.
        detector.decoder = fit_decoder(
            detector, evaluation, lambda: self._data.splits["train"], validation, scored
        )
        if validation and (evaluation.tune or evaluation.calibrate != "auto"):
            detector.confidence_map = fit_confidences(detector.decoder, evaluation, scored())
        best = run_dir / "checkpoints" / "best"
        save_decoder(best, detector.decoder, detector.confidence_map)
        if self._data.splits.get("test"):
            evaluated = evaluate_split(detector, self._data, "test", evaluation)
            write_evaluation(evaluated, detector, self._data, run_dir)
            print_metrics(evaluated.metrics, run_dir)
        else:
            log.warning("no test split: nothing to evaluate on")


def _least_constant_loss(loss: LossConfig, share: Tensor, n_frames: Tensor | None = None) -> float:
    """Mean of the least loss of a constant output, each class active in a share of its frames (C,).

    Outputs are tried in steps of 0.05 in log-odds, and that of the share itself, which is the best
    one for binary cross-entropy. Classes count by their ``n_frames`` (C,); ``None``: alike.
    """
    steps = torch.linspace(-15, 15, 601, dtype=share.dtype)[:, None].expand(-1, len(share))
    logits = torch.cat([steps, share.logit(1e-12)[None]])[None]  # (1, 602, C)
    if_active, if_silent = (
        loss.per_output(logits, torch.full_like(logits, target)) for target in (1.0, 0.0)
    )
    losses = (share * if_active + (1 - share) * if_silent).amin(dim=1)  # (1, C)
    if n_frames is not None:
        losses = losses * (n_frames / n_frames.double().mean())
    return float(losses.mean())
