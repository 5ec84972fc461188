"""``task=sed``: a detector trained on sequences cut from recordings."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed_cli.config.annotations import SOURCES, SPLITS, UNLABELLED, WEAK
from sed_cli.config.data import RecordedConfig
from sed_cli.config.identity import paths_of
from sed_cli.config.monitors import OF_CLIPS, PREFIX
from sed_cli.config.trainer import MEAN_TEACHER
from sed_cli.config.verbs import TrainConfig
from sed_cli.data import coverage
from sed_cli.data.augment import Augmenter
from sed_cli.data.doubts import lone_classes, short_events
from sed_cli.data.leaks import check_leaks
from sed_cli.data.sequences import SequenceBatch, Sequences
from sed_cli.data.sets import DataSet, load_data
from sed_cli.data.sources import SourcedSequences
from sed_cli.data.views import Mixing, Views
from sed_cli.decoding.onsets import of_activities
from sed_cli.decoding.saved import save_decoder
from sed_cli.errors import SedtfError, UserError
from sed_cli.models import CRNN
from sed_cli.models.feedbacks import rule_in
from sed_cli.models.labels import LABELS
from sed_cli.reports.figures import learning_curves
from sed_cli.reports.tables import print_metrics
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.text import cut_short
from sed_cli.tasks.detection.calibrating import fit_confidences
from sed_cli.tasks.detection.consistency import Unknown, distances, taught, with_laid
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.evaluate import (
    evaluate_split,
    validate,
    write_evaluation,
)
from sed_cli.tasks.detection.feeding import TrainingFeedback
from sed_cli.tasks.detection.fitting import fit_decoder, kept_probabilities
from sed_cli.tasks.detection.load import build_model, load, load_crnn, read_config
from sed_cli.tasks.detection.loss import DetectorLoss, least_constant_loss
from sed_cli.tasks.detection.rarity import balanced
from sed_cli.tasks.detection.watched import Watched, names_beside
from sed_cli.tasks.language import label_model
from sed_cli.training.batches import STRONG, Source
from sed_cli.training.task import TakenPart, Task, Trained, Validation

log = logging.getLogger(__name__)

_LONG_CLIP = 8  # training sequences


def load_recordings(config: TrainConfig, *, look_for_leaks: bool = True) -> DataSet:
    """Load the training data of a detector with its features, and look for leaks between splits.

    Raises:
        UserError: if the data cannot be used.
        SedtfError: if there is no training data.
    """
    data = load_data(config.data, config.feature, splits=(*SPLITS, *SOURCES))
    if not data.splits["train"]:
        raise SedtfError("the training split contains no recording")
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
        short = short_events(data.splits["train"], config.feature)
        for doubt in (*short, *lone_classes(data.apart)):
            log.warning("%s", doubt)
    return data


def _warn_of_long_clips(data: DataSet, length: int) -> None:
    """Warn about weakly labelled recordings that take the memory of many sequences."""
    longest = max(data.splits.get(WEAK, []), key=lambda each: each.n_frames, default=None)
    if longest is not None and longest.n_frames > _LONG_CLIP * length:
        log.warning(
            "%s lasts %.0f s, %.0f times as long as a training sequence, and weakly labelled "
            "recordings are not cut: a batch takes that much more memory; cut them into clips "
            "whose labels are known, or lower trainer.batch_size",
            longest.path,
            longest.duration_s,
            longest.n_frames / length,
        )


def _by_source(data: DataSet, length: int, *, onsets: bool) -> dict[str, Sequences]:
    """Training sequences by the sources of batches; the first source always exists.

    The training split is cut into sequences of ``length`` frames. Weakly labelled clips are not:
    their labels do not hold for their parts.
    """
    strong = {STRONG: Sequences(data.splits["train"], length, onsets=onsets)}
    weak = {WEAK: Sequences(data.splits[WEAK], onsets=onsets)} if data.splits.get(WEAK) else {}
    rest = data.splits.get(UNLABELLED)
    unlabelled = {UNLABELLED: Sequences(rest, length, onsets=onsets)} if rest else {}
    return strong | weak | unlabelled


class DetectionTask(Task[SequenceBatch]):
    """The detector of a configuration, with its data.

    Args:
        config: of the run.
        data: with the splits that training needs.
        device: for training.
    """

    model: CRNN

    def __init__(self, config: TrainConfig, data: DataSet, device: torch.device) -> None:
        self._config, self._data = config, data
        mean, std = data.statistics(data.sources)
        model = build_model(config, n_mels=config.feature.n_features, n_classes=len(data.classes))
        model.normalisation.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
        heard: dict[str, Any] = {
            "feature": config.feature,
            "fill": torch.from_numpy(mean),
            "seed": config.seed,
        }
        augmenter = Augmenter(config.augment, **heard)
        self.detector = Detector(
            model,
            log_mel=config.feature.build(),
            classes=data.classes,
            feedback=rule_in(config.sampler),
            device=device,
        )
        by_source = _by_source(data, config.data.sequence_length, onsets=model.has_onsets)
        views = mixing = None
        if UNLABELLED in by_source and config.trainer.unlabelled == MEAN_TEACHER:
            views = Views(config.augment, config.trainer, by_source[STRONG], **heard)
        elif UNLABELLED in by_source:
            mixing = Mixing.of(config.augment, config.trainer, by_source[STRONG], **heard)
        self.sequences = SourcedSequences(
            by_source, augmenter if augmenter.is_active else None, views, mixing
        )
        super().__init__(
            model=self.detector.model,
            device=self.detector.device,
            is_sampled=model.has_feedback,
            lengths=self.sequences.lengths,
            labels=data.classes,
            fingerprint="-".join(filter(None, (data.fingerprint, config.feature.content()))),
            sources=self._sources(),
        )
        self._feeding = TrainingFeedback(
            model=self.model,
            rule=rule_in(config.sampler),
            is_sampled=self.is_sampled,
            target_noise=config.sampler.target_noise,
        )
        self._loss = DetectorLoss(
            config, self._strong, n_classes=len(data.classes), has_onsets=model.has_onsets
        )
        if self._loss.weights is not None:
            log.info("weights of active targets: %s", self._loss.describe_weights(data.classes))

    @property
    def _strong(self) -> Sequences:
        """Strongly labelled sequences of the training split."""
        return self.sequences.by_source[STRONG]

    def _sources(self) -> list[Source]:
        """The sources of batches; rare classes are drawn more often if requested."""
        balance = self._config.trainer.balance
        weights = balanced(self._strong, self._data.classes, balance) if balance else None
        return [
            Source(
                name,
                len(own),
                sets_epoch=name != UNLABELLED,
                weights=weights if own is self._strong else None,
            )
            for name, own in self.sequences.by_source.items()
        ]

    @property
    def sizes(self) -> str:
        """Files and minutes per split, and the classes."""
        splits = ", ".join(
            f"{name} {len(recordings)} files {sum(r.duration_s for r in recordings) / 60:.1f} min"
            for name, recordings in self._data.splits.items()
        )
        return f"{splits}; {len(self.labels)} classes: {cut_short(self.labels, 20)}"

    def batch(self, indices: Sequence[int], epoch: int) -> SequenceBatch:
        """Join sequences, augmented if requested."""
        return self.sequences.batch(indices, epoch)

    @property
    def learns_unlabelled(self) -> bool:
        """Whether a mean teacher labels recordings during training."""
        is_mean = self._config.trainer.unlabelled == MEAN_TEACHER
        return is_mean and UNLABELLED in self.sequences.by_source

    def counts(self, batch: SequenceBatch) -> Tensor:
        """Number of values in each term of the loss: see :meth:`losses`."""
        terms = [self._counted(batch).sum()]
        if WEAK in self.sequences.by_source:
            tags = batch.tags
            asked = None if tags is None else ~tags[:, : len(self.labels)].isnan()
            terms.append(torch.tensor(0) if asked is None else asked.sum())
        if self.learns_unlabelled:
            terms += Unknown.of(batch, len(self.labels)).counts()
        return _joined(terms).to(self.device)

    def _counted(self, batch: SequenceBatch) -> Tensor:
        """Where targets are valid and known, bool (B, T, C)."""
        n_classes = len(self.labels)
        valid = batch.valid[..., None]  # (B, T, 1)
        if batch.known is None:
            return valid.expand(-1, -1, n_classes)
        return valid & of_activities(batch.known, n_classes)

    def losses(self, batch: SequenceBatch, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Losses over valid frames and known classes, including those of onsets.

        Further terms, if such data exist: the loss of weakly labelled clips, and the distances of
        frames and of clips from a teacher. Where a target is unknown, the model is fed its own
        output, as if the mask were false, or the output of the teacher.
        """
        unknown, found = None, None
        if self.learns_unlabelled:
            assert self.teacher is not None
            unknown = Unknown.of(batch, len(self.labels))
            own = (self.detector.feedback, self.model.n_outputs)
            found = with_laid(taught(self.teacher, batch, unknown, *own), batch)
        logits = self._logits(self._fed(batch, found), coins)
        losses = self._loss(logits, batch.targets.to(self.device))
        valid = batch.valid.to(self.device)
        # A product, not a selection: for the size of a selection, the CPU would wait for the GPU.
        terms = [(losses * self._counted(batch).to(self.device)).sum()]
        if WEAK in self.sequences.by_source:
            terms.append(self._loss.of_clips(self.model.clip_logits(logits, valid), batch.tags))
        if self.teacher is not None and unknown is not None and found is not None:
            weight = self.teacher.weight
            kind = self._config.trainer.consistency_loss
            frames, clips = distances(self.model, logits, found, valid, unknown, kind)
            terms += [weight * frames, weight * self._loss.clip_weight * clips]
        return _joined(terms), self.counts(batch)

    def _fed(self, batch: SequenceBatch, found: Tensor | None) -> SequenceBatch:
        """The batch with targets for feedback; unknown targets come from the mean teacher.

        Unchanged without one, or if its outputs are not to be fed. Soft targets become activities.
        """
        if UNLABELLED in self.sequences.by_source and not self.learns_unlabelled:
            return batch._replace(targets=(batch.targets > 0.5).to(batch.targets))
        is_own = self._config.trainer.consistency_feedback == "own"
        if is_own or found is None or batch.known is None:
            return batch
        targets = batch.targets.to(self.device)
        targets = torch.where(batch.known.to(self.device), targets, (found > 0).to(targets))
        return batch._replace(targets=targets, known=None)

    def _logits(self, batch: SequenceBatch, coins: TeacherCoins) -> Tensor:
        """Run the model on a batch, teacher-forced where the mask says so."""
        targets = batch.targets.to(self.device)
        padded = bool((batch.lengths < batch.log_mel.shape[1]).any())
        half = self._config.trainer.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            return self._feeding.logits(
                batch.log_mel.to(self.device),
                targets,
                batch.valid.to(self.device),
                coins,
                lengths=batch.lengths.to(self.device) if padded else None,
                known=batch.known,
            )

    def state_dict(self) -> dict[str, Any]:
        """The weights of active targets, if any."""
        weights = self._loss.weights
        return {} if weights is None else {"positive_weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the weights of active targets that the run started with."""
        self._loss.weights = state["positive_weights"]

    @cached_property
    def no_skill_loss(self) -> float:
        """Lowest loss of constant outputs, one for each class, over all validation frames."""
        n_frames, n_active = np.zeros((2, len(self.labels)), dtype=np.int64)
        for recording in self._data.splits.get("validation") or []:
            known = recording.known()
            n_frames += recording.n_frames if known is None else known.sum(axis=0)
            n_active += recording.activities[:].sum(axis=0, dtype=np.int64)
        if not n_active.any():
            return math.inf
        share = torch.from_numpy(n_active / n_frames.clip(1))
        return least_constant_loss(self._loss.of_activities, share, torch.from_numpy(n_frames))

    def validate(self) -> Validation | None:
        """Frame-wise figures of the validation split."""
        recordings = self._data.splits.get("validation")
        if not recordings:
            return None
        return validate(self.detector, recordings, self._loss.of_activities, self._watched())

    def _watched(self) -> Watched | None:
        """Requested figures and, with weak labels, figures of whole recordings."""
        trainer = self._config.trainer
        names = [trainer.monitor, *trainer.figures]
        if WEAK in self._data.splits:
            names += OF_CLIPS
        if not names_beside(names):
            return None
        decoder = self.detector.plain_decoder
        return Watched(names, self._data, decoder, self._config.evaluation)

    def describe(self, validation: Validation) -> str:
        """Loss, F1, ER and the other figures watched."""
        loss, f1, er, more = validation
        line = f"validation loss {loss:.4f}  F1 {f1:.3f}  ER {er:.3f}"
        watched = (f"{name.removeprefix(PREFIX)} {value:.3f}" for name, value in more.items())
        return "  ".join((line, *watched))

    def load_trained(self, folder: Path) -> Trained:
        """Load a detector's model; warn about features that have changed."""
        config = read_config(folder)
        before, now = asdict(config.feature), asdict(self._config.feature)
        for key in sorted((before.keys() & now.keys()) - {*paths_of(config.feature)}):
            if before[key] != now[key]:
                log.warning("init: feature.%s was %s and is %s", key, before[key], now[key])
        model, classes = load_crnn(folder, config)
        return Trained(model, {LABELS: classes})

    def take_statistics(self, trained: Trained) -> Mapping[str, TakenPart]:
        """Normalise by the statistics of the training split, of the loaded model, or a mixture."""
        share = self._config.init_normalisation
        part = "normalisation"
        said = f"init_normalisation={share:g}"
        if not share:
            return {part: TakenPart(part, "", "all", f"of the new data: {said}", is_trained=False)}
        assert isinstance(trained.model, CRNN)
        there = trained.model.n_mels
        if there != self.model.n_mels:
            raise UserError(
                f"{said}, but that run normalised {there} features per frame and this one has "
                f"{self.model.n_mels}: drop it, or choose the same feature"
            )
        self.model.normalisation.blend(trained.model.normalisation, share)
        taken, fresh = (f"{each:.0%}" if each else "" for each in (share, 1 - share))
        return {part: TakenPart(part, taken, fresh, said, is_trained=False)}

    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves."""
        learning_curves(history, path, best_epoch=best_epoch)

    def save_extras(self, folder: Path) -> None:
        """Write the files that the features need beside their settings."""
        self._config.feature.keep(folder)

    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch on the test split, as ``sedtf eval`` does."""
        detector = load(run_dir, self.device)
        evaluation = self._config.evaluation
        validation = self._data.splits.get("validation") or []
        if evaluation.tune and not validation:
            log.warning("no validation split: thresholds stay at 0.5")
        scored = kept_probabilities(detector, validation)
        # Fit before the test split is touched.
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


def _joined(terms: Sequence[Tensor]) -> Tensor:
    """A scalar, or one value per term of the loss, (K,)."""
    return terms[0] if len(terms) == 1 else torch.stack(list(terms))
