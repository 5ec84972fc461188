"""What the training loop asks of a task: whatever is learnt, it is trained in one way."""

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
    """Free-running figures of a split, those of a detector frame-wise; NaN without annotations."""

    loss: float
    f1: float
    er: float
    more: Mapping[str, float] = MappingProxyType({})  # of the task's own, by column of the history


class Trained(NamedTuple):
    """A model, with what its outputs, and its inputs if they are symbols, stand for."""

    model: nn.Module
    labels: Mapping[str, Sequence[str]]  # by the names in sed_cli.models.labels


class TakenPart(NamedTuple):
    """What a training that begins with other weights takes of a part of the model."""

    part: str
    taken: str
    fresh: str
    why: str
    is_trained: bool = True  # what is not comes from the data


class Task(ABC, Generic[BatchT]):
    """A model, its data, its loss and its scores; the loop, its state and its files are not here.

    Nothing is drawn from torch's global generator but by the model in training (dropout). Where
    several processes train together, each has a task of its own, of the same data; then every
    weight has to take part in the losses of any batch.

    Args:
        model: what is trained.
        device: where the model is.
        is_sampled: whether the model feeds anything back, so that a sampler acts on it.
        lengths: steps of each training sequence, as a batch counts them.
        labels: what the outputs stand for, in their order.
        fingerprint: of the data: another one is another experiment.
        sources: of the sequences, in their order; none: they are all of one.

    Attributes:
        teacher: set in training, where it is needed.
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
        """The data in a line, for the log."""

    @abstractmethod
    def batch(self, indices: Sequence[int], epoch: int) -> BatchT:
        """Join some training sequences, as an epoch hears them; one or more are asked for."""

    @abstractmethod
    def losses(self, batch: BatchT, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Run the model on a batch: the sum of all losses, and how many it sums.

        Both are scalars, or hold a number for each term of the loss, (K,): it is the sum of their
        means, each over all ranks; a term that counts nothing is 0.
        """

    @abstractmethod
    def counts(self, batch: BatchT) -> Tensor:
        """How many losses :meth:`losses` sums, int64: known before they are computed."""

    @property
    def no_skill_loss(self) -> float:
        """Validation loss of who knows only how often each label occurs; inf: not known."""
        return math.inf

    @abstractmethod
    def validate(self) -> Validation | None:
        """Score the model on the validation split, free running; None if there is none.

        All ranks call it, and what rank 0 returns holds: they may share the work (see
        :func:`sed_cli.system.distributed.share_of` and :func:`sed_cli.system.distributed.summed`).
        """

    @abstractmethod
    def describe(self, validation: Validation) -> str:
        """What the log says of an epoch's validation."""

    @abstractmethod
    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves of a ``history.csv`` that has a row at least."""

    @property
    def label_sets(self) -> Mapping[str, Sequence[str]]:
        """The labels, and what else entries of the weights stand for."""
        return {LABELS: self.labels}

    @abstractmethod
    def load_trained(self, folder: Path) -> Trained:
        """Load a model of this task from a checkpoint folder, whatever its labels and sizes.

        Raises:
            CheckpointError: if it cannot be used.
        """

    def take_statistics(self, trained: Trained) -> Mapping[str, TakenPart]:
        """Settle the parts of the model that come from the data; a row for each of them.

        Raises:
            UserError: if the settings ask for what there is not.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What of the data, beside the weights, a training that is resumed has to find again."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""

    def save_extras(self, folder: Path) -> None:
        """Write into a checkpoint folder what the task keeps there beside weights and labels."""

    @abstractmethod
    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch of a run on the test split, from its checkpoint; write and print."""
