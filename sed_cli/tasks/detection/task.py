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
from torch.utils.data import Dataset

from sed_cli.config.data import RecordedConfig
from sed_cli.config.identity import paths_of
from sed_cli.config.training import LossConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.augment import AugmentedSequences, Augmenter
from sed_cli.data.leaks import check_leaks
from sed_cli.data.sequences import SequenceBatch, Sequences, collate
from sed_cli.data.sets import DataSet, load_data
from sed_cli.decoding.onsets import of_activities, of_onsets
from sed_cli.decoding.saved import save_decoder
from sed_cli.errors import SedtfError, UserError
from sed_cli.models import CRNN
from sed_cli.models.feedbacks import repeatable, rule_named
from sed_cli.models.labels import LABELS
from sed_cli.reports.figures import learning_curves
from sed_cli.reports.tables import print_metrics
from sed_cli.sampling import confidence
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
from sed_cli.training.task import TakenPart, Task, Trained, Validation

log = logging.getLogger(__name__)


def load_recordings(config: TrainConfig, *, look_for_leaks: bool = True) -> DataSet:
    """Read what a detector is trained on, with its features, and look for leaks between splits.

    Raises:
        UserError: if the data cannot be used.
        SedtfError: if nothing is there to train on.
    """
    data = load_data(config.data, config.feature)
    if not data.splits["train"]:
        raise SedtfError("the training split holds no recording")
    decoder = config.evaluation.decoder
    if decoder is not None:
        decoder.check([r.events for r in data.splits["train"]], config.feature.hop_s)
    if config.evaluation.language is not None:
        label_model(config.evaluation.language, "recurrent")
    if look_for_leaks and isinstance(config.data, RecordedConfig):
        check_leaks(data.splits, config.feature, config.data.leak_check)
    return data


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
        mean, std = data.statistics("train")
        model: CRNN = config.model.build(
            n_mels=config.feature.n_features, n_classes=len(data.classes)
        )
        model.normalisation.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
        augmenter = Augmenter(
            config.augment, feature=config.feature, fill=torch.from_numpy(mean), seed=config.seed
        )
        self.augmenter = augmenter if augmenter.is_active else None
        self.detector = Detector(
            model,
            log_mel=config.feature.build(),
            classes=data.classes,
            feedback=config.sampler.feedback,
            device=device,
        )
        self.sequences = Sequences(
            data.splits["train"], config.data.sequence_length, onsets=model.has_onsets
        )
        super().__init__(
            model=self.detector.model,
            device=self.detector.device,
            is_sampled=model.has_feedback,
            lengths=self.sequences.lengths,
            labels=data.classes,
            fingerprint="-".join(filter(None, (data.fingerprint, config.feature.content()))),
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
        heard: Dataset[tuple[Tensor, Tensor]] = self.sequences
        if self.augmenter is not None:
            heard = AugmentedSequences(self.sequences, self.augmenter, epoch)
        return collate([heard[index] for index in indices])

    def losses(self, batch: SequenceBatch, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Losses over valid frames and classes, those of onsets within."""
        targets = batch.targets.to(self.device)
        valid = batch.valid.to(self.device)[..., None]  # (B, T, 1)
        padded = bool((batch.lengths < batch.log_mel.shape[1]).any())
        lengths = batch.lengths.to(self.device) if padded else None
        log_mel = batch.log_mel.to(self.device)
        half = self._config.trainer.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            if self.is_sampled and coins.schedule.asks_model:
                logits = self._logits_by_confidence(log_mel, targets, valid, lengths, coins)
            else:
                logits = self.model(
                    log_mel,
                    targets,
                    self._mask(targets, coins) if self.is_sampled else None,
                    lengths=lengths,
                    feedback=self._rule,
                    noise=self._noise(targets, coins),
                )
        losses = self._per_class(logits, targets)
        # A product, not a selection: a GPU would be waited for to know how much is selected.
        return (losses * valid).sum(), valid.sum() * len(self.labels)

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

    def _mask(self, targets: Tensor, coins: TeacherCoins) -> Tensor:
        n_sequences, n_steps, _ = targets.shape
        return self._with_onsets(coins.draw(n_sequences, n_steps, len(self.labels)))

    def _logits_by_confidence(
        self,
        log_mel: Tensor,
        targets: Tensor,
        valid: Tensor,
        lengths: Tensor | None,
        coins: TeacherCoins,
    ) -> Tensor:
        """Run the recurrence twice: teacher-forced for its confidence, then fed by that."""
        features = self.model.encode(log_mel, lengths)
        with torch.no_grad():
            everywhere = torch.ones(targets.shape[:2], dtype=torch.bool)
            first, _ = self.model.decode(
                features, targets, everywhere, lengths=lengths, feedback=repeatable(self._rule)
            )
            activities = (of_activities(each, len(self.labels)) for each in (first, targets))
            sure = confidence.of_activities(*activities, each=coins.coin == "class")
            fed, mask = coins.choose(targets, sure, valid[..., 0])
        logits, _ = self.model.decode(
            features,
            fed,
            self._with_onsets(mask),
            lengths=lengths,
            feedback=self._rule,
            noise=self._noise(targets, coins),
        )
        return logits

    def _with_onsets(self, mask: Tensor) -> Tensor:
        """Let a class's onset share the draw of its activity, where each class has one."""
        return mask.repeat(1, 1, 2) if mask.ndim == 3 and self.model.has_onsets else mask

    def _noise(self, targets: Tensor, coins: TeacherCoins) -> Tensor | None:
        if not self.is_sampled or not self._rule.draws:
            return None
        return coins.noise(*targets.shape).to(targets.device)

    @cached_property
    def no_skill_loss(self) -> float:
        """Least loss of outputs that are the same in all validation frames, one for each class."""
        recordings = self._data.splits.get("validation") or []
        n_frames = sum(recording.n_frames for recording in recordings)
        n_active = np.zeros(len(self.labels), dtype=np.int64)
        for recording in recordings:
            n_active += recording.activities[:].sum(axis=0, dtype=np.int64)
        if not n_active.any():
            return math.inf
        share = torch.from_numpy(n_active / n_frames)
        return _least_constant_loss(self._config.trainer.loss, share)

    def validate(self) -> Validation | None:
        """Frame-wise figures of the validation split."""
        recordings = self._data.splits.get("validation")
        if not recordings:
            return None
        return validate(self.detector, recordings, self._config.trainer.loss)

    def describe(self, validation: Validation) -> str:
        """Loss, F1 and ER."""
        loss, f1, er, _ = validation
        return f"validation loss {loss:.4f}  F1 {f1:.3f}  ER {er:.3f}"

    def load_trained(self, folder: Path) -> Trained:
        """Load a detector's model; features that were others are told."""
        config = read_config(folder)
        before, now = asdict(config.feature), asdict(self._config.feature)
        for key in sorted((before.keys() & now.keys()) - {*paths_of(config.feature)}):
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

    def save_extras(self, folder: Path) -> None:
        """Write what the features need beside their settings."""
        self._config.feature.keep(folder)

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


def _least_constant_loss(loss: LossConfig, share: Tensor) -> float:
    """Mean over classes of the least loss of a constant output, each active for a share (C,).

    Outputs are tried in steps of 0.05 in log-odds, and that of the share itself, which is the best
    one for binary cross-entropy.
    """
    steps = torch.linspace(-15, 15, 601, dtype=share.dtype)[:, None].expand(-1, len(share))
    logits = torch.cat([steps, share.logit(1e-12)[None]])[None]  # (1, 602, C)
    if_active, if_silent = (
        loss.per_output(logits, torch.full_like(logits, target)) for target in (1.0, 0.0)
    )
    losses = share * if_active + (1 - share) * if_silent
    return float(losses.amin(dim=1).mean())
