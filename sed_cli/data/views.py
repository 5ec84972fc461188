"""Views of partly labelled sequences for a teacher and its student."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sed_cli.config.trainer import TrainerConfig
from sed_cli.config.training import AugmentConfig, FeatureConfig, PowerConfig
from sed_cli.data.augment import Augmenter
from sed_cli.data.augmentation import Item, Others
from sed_cli.data.sequences import Sequences


class Lesson(NamedTuple):
    """The views of one sequence."""

    student: Tensor  # features (T, M)
    targets: Tensor  # of the student, (T, C)
    teacher: Tensor  # features (T, M)
    laid: Tensor  # targets of the sequence mixed in for the student, 0 where inactive, (T, C)


def _partners_among(labelled: Sequences) -> Others:
    """Sequences to mix with those of another source, none of which is itself among them."""
    return Others(labelled, len(labelled) + 1, len(labelled))  # an index beyond the end


class Mixing:
    """Sequences with pseudo-labels, mixed with labelled ones: a harder task than their teacher's.

    Args:
        augmenter: mixes and does all other augmentations.
        labelled: the training split; its sequences are mixed in.
    """

    def __init__(self, augmenter: Augmenter, labelled: Sequences) -> None:
        self._others = _partners_among(labelled)
        self._augmenter = augmenter

    @classmethod
    def of(
        cls,
        config: AugmentConfig,
        trainer: TrainerConfig,
        labelled: Sequences,
        *,
        feature: FeatureConfig,
        fill: Tensor,
        seed: int,
    ) -> Mixing | None:
        """Mix as ``trainer.student_mixup`` says; arguments as for :class:`Views`."""
        if not trainer.student_mixup or not isinstance(feature, PowerConfig):
            return None
        mixed = replace(config, mixup=trainer.student_mixup)  # type: ignore[call-arg]
        return cls(Augmenter(mixed, feature=feature, fill=fill, seed=seed), labelled)

    def heard(
        self, sequences: Sequences, index: int, first: int, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """Return features (T, M) and targets of a sequence in an epoch; as :meth:`Views.lesson`."""
        item = Item(*sequences[index])
        return self._augmenter.heard(item, self._others, first + index, epoch)


class Views:
    """Two views of a sequence: augmented for the student, less so for its teacher.

    The student learns more from reliable labels of the teacher and from a harder task. Source: Sohn
    et al. 2020 (FixMatch), Xie et al. 2020 (noisy student); mixtures with the labels of both parts:
    Verma et al. 2019 (interpolation consistency).

    Args:
        config: settings of the augmentations.
        trainer: ``consistency_view`` and ``consistency_mixup``.
        labelled: the training split; its sequences may be mixed into those without labels.
        feature, fill, seed: as in :class:`.Augmenter`.
    """

    def __init__(
        self,
        config: AugmentConfig,
        trainer: TrainerConfig,
        labelled: Sequences,
        *,
        feature: FeatureConfig,
        fill: Tensor,
        seed: int,
    ) -> None:
        def augmenter(is_shared: bool, config: AugmentConfig) -> Augmenter:
            return Augmenter(config, feature=feature, fill=fill, seed=seed, is_shared=is_shared)

        self._labelled = _partners_among(labelled)
        is_clean = trainer.consistency_view == "clean"
        self._student, self._teacher = augmenter(False, config), augmenter(is_clean, config)
        self.mixes = trainer.consistency_mixup > 0 and isinstance(feature, PowerConfig)
        if self.mixes:
            mixed = replace(config, mixup=trainer.consistency_mixup)  # type: ignore[call-arg]
            alone = replace(config, mixup=0.0)  # type: ignore[call-arg]
            self._mixing = augmenter(False, mixed)
            self._unmixed = augmenter(is_clean, alone)

    @property
    def differ(self) -> bool:
        """Whether teacher and student ever get different views."""
        return self.mixes or self._student.has_views

    def lesson(
        self, sequences: Sequences, index: int, first: int, epoch: int, *, has_labels: bool
    ) -> Lesson:
        """Return the views of a sequence in an epoch.

        Args:
            sequences: all sequences of its source.
            index: of the sequence among them.
            first: number of sequences of earlier sources.
            epoch: of the training.
            has_labels: whether sequences of this source have labels.
        """
        item = Item(*sequences[index])
        own, number = Others(sequences, len(sequences), index), first + index
        if has_labels or not self.mixes:
            student = self._student.heard(item, own, number, epoch)
            nothing = torch.zeros_like(student.targets)
            if student.targets.isfinite().all():
                return Lesson(*student, student.log_mel, nothing)
            teacher = self._teacher.heard(item, own, number, epoch, view=1)
            return Lesson(*student, teacher.log_mel, nothing)
        silent = item._replace(targets=torch.zeros_like(item.targets))
        mixed, laid = self._mixing.heard(silent, self._labelled, number, epoch)
        alone = self._unmixed.heard(item, own, number, epoch, view=1)
        return Lesson(mixed, torch.maximum(alone.targets, laid), alone.log_mel, laid)
