"""The training loop: updates, validation in free-running mode, early stopping; for any task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic

import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sed_cli.config.monitors import PREFIX, column_of, is_loss, is_lower_better
from sed_cli.config.trainer import TrainerConfig
from sed_cli.errors import SedtfError
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.distributed import agreed, n_ranks, rank
from sed_cli.training.average import Average
from sed_cli.training.batches import Batches, Part, parts_of
from sed_cli.training.gradients import Gradients
from sed_cli.training.history import Epoch
from sed_cli.training.parts import freeze, keep_frozen, learning_rate, make_optimizer
from sed_cli.training.state import Progress
from sed_cli.training.task import BatchT, Task, Validation
from sed_cli.training.teacher import DECAY, Teacher

log = logging.getLogger(__name__)

_NOT_VALIDATED = Validation(math.nan, math.nan, math.nan)


class Trainer(Generic[BatchT]):
    """Trains the model of a task.

    Args:
        task: the model, its data and its scores.
        coins: decide where the model is teacher-forced.
        config: of the optimisation.
        seed: of the order of the sequences, and of the dropout of ranks above 0.

    Raises:
        UserError: if ``trainer.freeze`` or ``trainer.lr_scale`` name unknown parts of the model, or
            ``trainer.batch_shares`` an unknown source.

    Several ranks (:mod:`sed_cli.system.distributed`) are equivalent to one: a batch is divided
    among them, with teacher mask, loss and statistics of the whole batch, and each makes the same
    update. Only dropout is drawn separately in each rank.
    """

    def __init__(
        self, task: Task[BatchT], *, coins: TeacherCoins, config: TrainerConfig, seed: int = 0
    ) -> None:
        self.task = task
        self.coins = coins
        self.config = config
        self._seed = seed
        self._gradients = Gradients(task, coins)
        self._batches = Batches(task.sources, config, seed)
        self._frozen = freeze(task.model, config.freeze)
        self.optimizer = make_optimizer(task.model, config)
        schedule = config.lr_schedule
        # Any: torch's schedulers have no common signature of step.
        self.lr_schedule: Any = schedule and schedule.build(self.optimizer, self.n_updates)
        self._is_by_score = schedule is not None and schedule.BY_SCORE
        learns = task.learns_unlabelled
        decay = config.ema or (DECAY if learns else None)
        self.average = None if decay is None else Average(task.model, decay)
        if learns and self.average is not None:
            n_rising = config.consistency_epochs * self.n_batches
            task.teacher = Teacher(self.average, config.consistency_weight, n_rising)
        self.progress = Progress()

    @property
    def n_batches(self) -> int:
        """Updates per epoch, over all its passes; the last batch of a pass may be smaller."""
        return self._batches.n_updates

    @property
    def n_updates(self) -> int:
        """Number of updates of the training, unless patience ends it."""
        n_updates = self.config.epochs * self.n_batches
        return min(n_updates, self.config.max_updates or n_updates)

    def updates(self, epoch: int) -> Iterator[list[tuple[BatchT, Part]]]:
        """This rank's share of each update of an epoch: one part, or several to accumulate."""
        for number, batches in self._batches.of_epoch(epoch):
            parts = parts_of(batches, self.task.lengths, rank(), n_ranks())
            yield [(self.task.batch(part.indices, number), part) for part in parts]

    def batches(self, epoch: int) -> Iterator[tuple[BatchT, Part]]:
        """All shares of this rank in an epoch, in order."""
        for parts in self.updates(epoch):
            yield from parts

    def fit(self, on_epoch: Callable[[Epoch, bool], None]) -> None:
        """Train until the epochs, the updates or the patience run out.

        Args:
            on_epoch: called after each epoch with its row and whether it is the best so far.

        Raises:
            SedtfError: if the loss is no longer finite.
        """
        while not self._is_finished():
            started = time.perf_counter()
            loss = self._train_epoch(self.progress.epoch + 1)
            with self._kept():
                self._conclude_epoch(started, loss, on_epoch)
        waited = self._waited()
        if waited >= self.config.patience and self.progress.epoch < self.config.epochs:
            log.info(
                "stopped early: no better epoch in the last %d (trainer.patience=%d)",
                waited,
                self.config.patience,
            )

    def _conclude_epoch(
        self, started: float, loss: float, on_epoch: Callable[[Epoch, bool], None]
    ) -> None:
        """Validate the weights to save, and decide whether they are the best so far."""
        result = self._validate()
        if result is None:
            result = _NOT_VALIDATED
        elif not math.isfinite(result.loss):
            raise self._diverged(result.loss, "validation loss")
        self.progress.epoch += 1
        row = Epoch(
            epoch=self.progress.epoch,
            update=self.progress.update,
            p_teacher=self.coins.p_teacher if self.task.is_sampled else 0.0,
            train_loss=loss,
            validation_loss=result.loss,
            validation_f1=result.f1,
            validation_er=result.er,
            learning_rate=learning_rate(self.optimizer),
            seconds=round(time.perf_counter() - started, 3),
            more=result.more,
        )
        is_best = self._note_best(row)
        if self.lr_schedule is not None and self._is_by_score:
            self.lr_schedule.step(self._score(row))
        log.info(
            "epoch %d/%d  loss %.4f  p_teacher %.3f  %s%s",
            row.epoch,
            self.config.epochs,
            row.train_loss,
            row.p_teacher,
            "not validated" if result is _NOT_VALIDATED else self.task.describe(result),
            "  (best so far)" if is_best else "",
        )
        on_epoch(row, is_best)

    def _kept(self) -> AbstractContextManager[None]:
        """Use the weights in the model that are validated and saved."""
        if self.average is None or self.config.keep == "trained":
            return nullcontext()
        return self.average.in_place()

    def step(self, batch: BatchT, part: Part | None = None) -> Tensor:
        """Make one update with one batch; return its loss, as :meth:`update` does.

        Args:
            batch: share of this rank.
            part: its position in the whole batch; None: all of it, with one rank.
        """
        return self.update([(batch, part)])

    def update(self, parts: Sequence[tuple[BatchT, Part | None]]) -> Tensor:
        """Make one update; return the loss, averaged over all predictions, detached."""
        self.task.model.train()
        keep_frozen(self._frozen)
        if self.task.learns_unlabelled and self.task.teacher is not None:
            p_teacher = self.coins.p_teacher if self.task.is_sampled else 0.0
            self.task.teacher.at(self.progress.update, p_teacher)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._gradients.add(parts)
        if self.config.grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), self.config.grad_norm)
        self.optimizer.step()
        if self.lr_schedule is not None and not self._is_by_score:
            self.lr_schedule.step()
        if self.average is not None:
            self.average.update()
        self.progress.update += 1
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Everything except weights that :meth:`load_state_dict` needs to continue exactly."""
        state: dict[str, Any] = {
            "progress": vars(self.progress),
            "optimizer": self.optimizer.state_dict(),
            "coins": self.coins.state_dict(),
        }
        if self.lr_schedule is not None:
            state["lr_schedule"] = self.lr_schedule.state_dict()
        if self.average is not None:
            state["average"] = self.average.state_dict()
        if own := self.task.state_dict():
            state["task"] = own
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        # Older states lack these two; all their epochs were compared with one another.
        begun = {"has_skill": True, "has_detected": True}
        self.progress = Progress(**{**begun, **state["progress"]})
        self.optimizer.load_state_dict(state["optimizer"])
        self.coins.load_state_dict(state["coins"])
        if self.lr_schedule is not None:
            own, kept = self.lr_schedule.state_dict(), state["lr_schedule"]
            if own.keys() != kept.keys():  # torch would set any given attribute
                raise ValueError(f"a learning-rate schedule with {', '.join(sorted(kept))}")
            self.lr_schedule.load_state_dict(kept)
        if (self.average is None) != ("average" not in state):
            raise ValueError("an average of the weights in only one of the two")
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if "task" in state:
            self.task.load_state_dict(state["task"])

    def _validate(self) -> Validation | None:
        """Score the model; all ranks use the result of rank 0, to decide the same."""
        own = self.task.validate()
        found = agreed(None if own is None else (*own[:3], dict(own.more)))
        return None if found is None else Validation(*found)

    def _is_finished(self) -> bool:
        at, limit = self.progress, self.config.max_updates
        return (
            at.epoch >= self.config.epochs
            or self._waited() >= self.config.patience
            or (limit is not None and at.update >= limit)
        )

    def _waited(self) -> int:
        """Number of epochs without improvement, once the model detects anything.

        Before that, F1 at 0.5 is 0, or that of an untrained model, during epochs of much
        progress.
        """
        if not is_loss(self.config.monitor) and not self.progress.has_detected:
            return 0
        return self.progress.epoch - self.progress.best_epoch

    def _train_epoch(self, epoch: int) -> float:
        if rank():  # rank 0 continues with the generator state in the checkpoint
            torch.manual_seed((self._seed * 1_000_003 + epoch) * 1_009 + rank())
        losses: list[Tensor] = []
        with (
            logging_redirect_tqdm(),
            tqdm(
                total=self.n_batches,
                desc=f"epoch {epoch}",
                unit="batch",
                leave=False,
                disable=True if rank() else None,
            ) as bar,
        ):
            for parts in self.updates(epoch):
                losses.append(self.update(parts))
                if bar.update():  # drawn only sometimes, to avoid waiting for the GPU
                    bar.set_postfix_str(self._describe(losses[-1]), refresh=False)
                limit = self.config.max_updates
                if limit is not None and self.progress.update >= limit:
                    break
        values = torch.stack(losses).cpu()
        wrong = (~values.isfinite()).nonzero()
        if len(wrong):
            update = self.progress.update - len(values) + int(wrong[0]) + 1
            raise self._diverged(float(values[wrong[0]]), f"loss of update {update}")
        return float(values.double().mean())

    def _diverged(self, value: float, what: str) -> SedtfError:
        clip = "set" if self.config.grad_norm is None else "lower"
        return SedtfError(
            f"the {what} became {value}: lower trainer.lr or {clip} trainer.grad_norm; "
            f"the last good epoch is kept"
        )

    def _describe(self, loss: Tensor) -> str:
        text = f"loss {float(loss):.4f}, p_teacher {self.coins.p_teacher:.3f}"
        best, monitor = self.progress.best_score, self.config.monitor
        if not (math.isfinite(best) and math.isfinite(self.progress.best_loss)):
            return text
        name = column_of(monitor).removeprefix(PREFIX)
        name = "F1" if name == "f1" else name
        return f"{text}, best {name} {-best if is_lower_better(monitor) else best:.3f}"

    def _score(self, row: Epoch) -> float:
        """Score of an epoch by ``trainer.monitor``; the higher, the better."""
        if math.isnan(row.validation_loss):  # no validation split: the last epoch is kept
            return float(row.epoch)
        value = row.row.get(column_of(self.config.monitor), math.nan)
        if is_lower_better(self.config.monitor):
            return -math.inf if math.isnan(value) else -value
        return 0.0 if math.isnan(value) else value  # nothing annotated, nothing found

    def _note_best(self, row: Epoch) -> bool:
        score, at = self._score(row), self.progress
        if not at.has_skill and not row.validation_loss >= self.task.no_skill_loss:
            # An untrained model must not be kept for an F1 by chance.
            at.has_skill, at.best_epoch = True, 0
        at.has_detected |= at.has_skill and not row.validation_f1 <= 0
        # The loss breaks ties: before the first event is detected, F1 stays at 0 during epochs of
        # much progress.
        now, best = (
            (score, -row.validation_loss),
            (at.best_score, -at.best_loss),
        )
        if now <= best and at.best_epoch:
            return False
        at.best_score, at.best_loss = score, row.validation_loss
        at.best_epoch = row.epoch
        return True


def warn_of_best_epoch(progress: Progress, config: TrainerConfig) -> None:
    """Warn if the best epoch is hardly a trained model."""
    best, last = progress.best_epoch, progress.epoch
    if last < 3:
        return
    if best == 1:
        log.warning(
            "the best epoch is the first of %d: the model has hardly learnt, or has diverged "
            "early; try a lower trainer.lr, a higher trainer.patience, or more validation "
            "recordings",
            last,
        )
    elif best == last and last >= config.epochs and config.max_updates is None:
        log.warning(
            "the best epoch is the last one: longer training may be better, such as "
            "trainer.epochs=%d",
            2 * config.epochs,
        )
