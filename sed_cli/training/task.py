"""What the training loop asks of a task: whatever is learnt, it is trained in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from sed_cli.sampling.teacher_mask import TeacherCoins

BatchT = TypeVar("BatchT")


class Validation(NamedTuple):
    """Free-running figures of a split, those of a detector frame-wise; NaN without annotations."""

    loss: float
    f1: float
    er: float
    more: Mapping[str, float] = MappingProxyType({})  # of the task's own, by column of the history


class Task(Protocol[BatchT]):
    """A model, its data, its loss and its scores; the loop, its state and its files are not here.

    Nothing is drawn from torch's global generator but by the model in training (dropout). Where
    several processes train together, each has a task of its own, of the same data; then every
    weight has to take part in the losses of any batch.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    @property
    def is_sampled(self) -> bool:
        """Whether the model feeds anything back, so that a sampler acts on it."""

    @property
    def lengths(self) -> Sequence[int]:
        """Steps of each training sequence, as a batch counts them."""

    @property
    def labels(self) -> Sequence[str]:
        """What the outputs stand for, in their order."""

    @property
    def fingerprint(self) -> str:
        """Of the data: another one is another experiment."""

    @property
    def sizes(self) -> str:
        """The data in a line, for the log."""

    def batch(self, indices: Sequence[int], epoch: int) -> BatchT:
        """Join some training sequences, as an epoch hears them; one or more are asked for."""

    def losses(self, batch: BatchT, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Run the model on a batch: the sum of all losses, and how many it sums; both scalars."""

    @property
    def no_skill_loss(self) -> float:
        """Validation loss of who knows only how often each label occurs; inf: not known."""

    def validate(self) -> Validation | None:
        """Score the model on the validation split, free running; None if there is none.

        All ranks call it, and what rank 0 returns holds: they may share the work (see
        :func:`sed_cli.system.distributed.share_of` and :func:`sed_cli.system.distributed.summed`).
        """

    def describe(self, validation: Validation) -> str:
        """What the log says of an epoch's validation."""

    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves of a ``history.csv`` that has a row at least."""

    def save_extras(self, folder: Path) -> None:
        """Write into a checkpoint folder what the task keeps there beside weights and labels."""

    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch of a run on the test split, from its checkpoint; write and print."""
