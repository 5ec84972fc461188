"""The interface between the training loop and tasks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sed_cli.models.labels import LABELS
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.training.batches import STRONG, Source
from sed_cli.training.teacher import Teacher

BatchT = TypeVar("BatchT")


class Validation(NamedTuple):
    """Free-running metrics of a split, frame-wise for a detector; NaN without annotations."""

    loss: float
    f1: float
    er: float
    # additional ones of the task, by column of the history
    more: Mapping[str, float] = MappingProxyType({})


class Trained(NamedTuple):
    """A model, with the labels of its outputs, and of its inputs if they are symbols."""

    model: nn.Module
    labels: Mapping[str, Sequence[str]]  # by the names in sed_cli.models.labels


class TakenPart(NamedTuple):
    """What ``init`` copies of a part of the model."""

    part: str
    taken: str
    fresh: str
    why: str
    is_trained: bool = True  # the rest comes from the data


class Task(ABC, Generic[BatchT]):
    """A model, its data, its loss and its scores, without the loop, its state and its files.

    Only the model in training (dropout) draws from torch's global generator. If several processes
    train together, each has its own task, on the same data; then every weight must contribute to
    the losses of any batch.

    Args:
        model: to train.
        device: of the model.
        is_sampled: whether the model has feedback, controlled by a sampler.
        lengths: number of steps of each training sequence.
        labels: of the outputs, in order.
        fingerprint: of the data, part of the experiment's identity.
        sources: of the sequences, in order; empty: a single source.

    Attributes:
        teacher: set in training if needed.
    """

    teacher: Teacher | None = None

    def __init__(
        self,
        *,
        model: nn.Module,
        device: torch.device,
        is_sampled: bool,
        lengths: Sequence[int],
        labels: Sequence[str],
        fingerprint: str,
        sources: Sequence[Source] = (),
    ) -> None:
        self.model, self.device, self.is_sampled = model, device, is_sampled
        self.lengths, self.labels, self.fingerprint = lengths, labels, fingerprint
        self.sources = sources or (Source(STRONG, len(lengths)),)

    @property
    def learns_unlabelled(self) -> bool:
        """Whether it learns from a teacher, which is an average of the weights."""
        return False

    @property
    @abstractmethod
    def sizes(self) -> str:
        """Description of the data in one line, for the log."""

    @abstractmethod
    def batch(self, indices: Sequence[int], epoch: int) -> BatchT:
        """Join one or more training sequences, as augmented in an epoch."""

    @abstractmethod
    def losses(self, batch: BatchT, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Run the model on a batch: the sum of all losses, and their number.

        Both are scalars, or have one number per term of the loss, (K,): the loss is the sum of
        their means, each over all ranks; a term without losses is 0.
        """

    @abstractmethod
    def counts(self, batch: BatchT) -> Tensor:
        """Number of losses that :meth:`losses` sums, int64, known before computing them."""

    @property
    def no_skill_loss(self) -> float:
        """Validation loss of a model that only knows label frequencies; inf: unknown."""
        return math.inf

    @abstractmethod
    def validate(self) -> Validation | None:
        """Score the model on the validation split, free running; None if there is none.

        All ranks call it, and the result of rank 0 counts: they may share the work (see
        :func:`sed_cli.system.distributed.share_of` and :func:`sed_cli.system.distributed.summed`).
        """

    @abstractmethod
    def describe(self, validation: Validation) -> str:
        """Description of an epoch's validation, for the log."""

    @abstractmethod
    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves of a ``history.csv`` with at least one row."""

    @property
    def label_sets(self) -> Mapping[str, Sequence[str]]:
        """The labels, and other meanings of entries in the weights."""
        return {LABELS: self.labels}

    @abstractmethod
    def load_trained(self, folder: Path) -> Trained:
        """Load a model of this task from a checkpoint folder, with any labels and sizes.

        Raises:
            CheckpointError: if it cannot be used.
        """

    def take_statistics(self, trained: Trained) -> Mapping[str, TakenPart]:
        """Handle the parts of the model that come from the data; returns one row for each.

        Raises:
            UserError: if the settings need data that are missing.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State from the data, besides weights, that a resumed training needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""

    def save_extras(self, folder: Path) -> None:
        """Write the task's additional files into a checkpoint folder."""

    @abstractmethod
    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch of a run on the test split; write and print the results."""
