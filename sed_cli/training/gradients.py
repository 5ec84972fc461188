"""The gradients of an update, computed by several ranks, in several parts each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.distributed import counted_as_nothing, n_ranks, summed
from sed_cli.training.batches import Part
from sed_cli.training.task import BatchT, Task


class Gradients(Generic[BatchT]):
    """Computes the gradients of the loss of a whole batch, for any division into parts.

    The loss is a mean over all predictions of the batch, so each part is divided by the known count
    of the whole; the teacher mask is also that of the whole batch. Only batch norm and dropout see
    one part at a time, with statistics shared between ranks.

    Args:
        task: provides the losses.
        coins: decide where the model is teacher-forced.
    """

    def __init__(self, task: Task[BatchT], coins: TeacherCoins) -> None:
        self._task, self._coins = task, coins
        self._together: DistributedDataParallel | None = None

    def add(self, parts: Sequence[tuple[BatchT, Part | None]]) -> Tensor:
        """Add the gradients of a batch to those of the weights; return its loss, detached.

        Args:
            parts: the shares of this rank, in order; without a :class:`Part` it is the whole
                batch.
        """
        counts = [self._task.counts(batch) * _is_counted(part) for batch, part in parts]
        count = summed(torch.stack(counts).sum(0)).clamp(min=1)
        before = self._coins.state_dict() if len(parts) > 1 else {}
        totals = []
        for number, (batch, part) in enumerate(parts):
            if number:  # draws are repeated for the whole batch, of which this part takes its share
                self._coins.load_state_dict(before)
            totals.append(self._add_part(batch, part, count, number == len(parts) - 1))
        if len(parts) == n_ranks() == 1:
            return (totals[0] / count).sum()
        return (summed(torch.stack(totals).double().sum(0)) / count).sum().float()

    def _add_part(self, batch: BatchT, part: Part | None, count: Tensor, is_last: bool) -> Tensor:
        """Add the gradients of a part; return the sums of its losses."""
        is_counted = _is_counted(part)
        with ExitStack() as stack:
            if part is not None and part.n_sequences > part.n_own:
                whole = (part.n_sequences, part.n_steps, part.first)
                stack.enter_context(self._coins.part_of(*whole))
            if not is_counted:
                stack.enter_context(counted_as_nothing())
            if n_ranks() > 1 and not is_last:
                stack.enter_context(self._joined.no_sync())
            losses = self._task.losses if n_ranks() == 1 else self._joined
            totals, _ = losses(batch, self._coins)
            # Gradients are averaged over ranks, but those of a sum have to be added.
            loss = (totals / count).sum()
            (loss * (n_ranks() * is_counted) if n_ranks() > 1 else loss).backward()
        return totals.detach() * is_counted

    @property
    def _joined(self) -> DistributedDataParallel:
        if self._together is None:
            self._together = DistributedDataParallel(_Losses(self._task))
        return self._together


def _is_counted(part: Part | None) -> bool:
    return part is None or part.counts


class _Losses(nn.Module):
    """The losses of a task as a module, for torch's data-parallel training.

    It has the weights of the model but no buffers, which are the same in all ranks.
    """

    def __init__(self, task: Task[BatchT]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(task.model.parameters())
        self._compute = task.losses

    def forward(self, batch: Any, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        return self._compute(batch, coins)
