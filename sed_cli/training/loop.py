"""The training loop: updates, validation in free-running mode, early stopping; for any task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic

import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sed_cli.errors import SedtfError
from sed_cli.evaluation import Validation
from sed_cli.sampling import TeacherCoins
from sed_cli.schema import TrainerConfig
from sed_cli.training.history import Epoch, History
from sed_cli.training.state import Progress
from sed_cli.training.task import BatchT, Task

log = logging.getLogger(__name__)

_NOT_VALIDATED = Validation(math.nan, math.nan, math.nan)


class Trainer(Generic[BatchT]):
    """Trains the model of a task.

    Args:
        task: what is trained, on what and how it is scored.
        coins: decide when the truth is fed.
        config: of the optimisation.
    """

    def __init__(self, task: Task[BatchT], *, coins: TeacherCoins, config: TrainerConfig) -> None:
        self.task = task
        self.coins = coins
        self.config = config
        self.optimizer = torch.optim.Adam(task.model.parameters(), lr=config.lr)
        self.progress = Progress()

    def fit(self, history: History, on_epoch: Callable[[Epoch, bool], None]) -> None:
        """Train until the epochs, the updates or the patience run out.

        Args:
            history: gets a row an epoch.
            on_epoch: called after each epoch with its row and whether it is the best so far.

        Raises:
            SedtfError: if the loss is no longer finite.
        """
        while not self._is_finished():
            started = time.perf_counter()
            epoch = self.progress.epoch + 1
            with (
                logging_redirect_tqdm(),
                tqdm(
                    total=self.task.n_batches,
                    desc=f"epoch {epoch}",
                    unit="batch",
                    leave=False,
                    disable=None,
                ) as bar,
            ):
                loss = self._train_epoch(self.task.batches(epoch), bar)
            result = self.task.validate()
            if result is None:
                result = _NOT_VALIDATED
            elif not math.isfinite(result.loss):
                raise self._diverged(result.loss, "validation loss")
            self.progress.epoch = epoch
            row = Epoch(
                epoch=epoch,
                update=self.progress.update,
                p_teacher=self.coins.p_teacher if self.task.is_sampled else 0.0,
                train_loss=loss,
                validation_loss=result.loss,
                validation_f1=result.f1,
                validation_er=result.er,
                learning_rate=self.optimizer.param_groups[0]["lr"],
                seconds=round(time.perf_counter() - started, 3),
                more=result.more,
            )
            is_best = self._note_best(row)
            history.append(row)
            log.info(
                "epoch %d/%d  loss %.4f  p_teacher %.3f  %s%s",
                epoch,
                self.config.epochs,
                row.train_loss,
                row.p_teacher,
                "not validated" if result is _NOT_VALIDATED else self.task.describe(result),
                "  (best so far)" if is_best else "",
            )
            on_epoch(row, is_best)
        waited = self.progress.epoch - self.progress.best_epoch
        if waited >= self.config.patience and self.progress.epoch < self.config.epochs:
            log.info(
                "stopped early: no better epoch in the last %d (trainer.patience=%d)",
                waited,
                self.config.patience,
            )

    def step(self, batch: BatchT) -> Tensor:
        """Make one update; return the loss, averaged over all that is predicted, detached."""
        self.task.model.train()
        total, count = self.task.losses(batch, self.coins)
        loss = total / count
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), self.config.grad_norm)
        self.optimizer.step()
        self.progress.update += 1
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights that :meth:`load_state_dict` needs to go on exactly."""
        return {
            "progress": vars(self.progress),
            "optimizer": self.optimizer.state_dict(),
            "coins": self.coins.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.progress = Progress(**state["progress"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.coins.load_state_dict(state["coins"])

    def _is_finished(self) -> bool:
        at, limit = self.progress, self.config.max_updates
        return (
            at.epoch >= self.config.epochs
            or at.epoch - at.best_epoch >= self.config.patience
            or (limit is not None and at.update >= limit)
        )

    def _train_epoch(self, batches: Iterator[BatchT], bar: tqdm[Any]) -> float:
        losses: list[Tensor] = []
        for batch in batches:
            losses.append(self.step(batch))
            if bar.update():  # it is drawn now and then; only then is a GPU waited for
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
        best = self.progress.best_score
        is_f1 = self.config.monitor == "validation_f1" and math.isfinite(self.progress.best_loss)
        return text + (f", best F1 {best:.3f}" if is_f1 else "")

    def _note_best(self, row: Epoch) -> bool:
        monitored = {
            "validation_f1": row.validation_f1,
            "validation_loss": -row.validation_loss,
            "validation_perplexity": -row.more.get("validation_perplexity", math.nan),
        }[self.config.monitor]
        if math.isnan(row.validation_loss):  # no validation split: the last epoch is kept
            score = float(row.epoch)
        elif math.isnan(monitored):  # nothing annotated there and nothing found
            score = 0.0
        else:
            score = monitored
        # On a tie the loss decides: before the first event is found, F1 stays at 0 for epochs in
        # which much is learnt.
        now, best = (
            (score, -row.validation_loss),
            (self.progress.best_score, -self.progress.best_loss),
        )
        if now <= best and self.progress.best_epoch:
            return False
        self.progress.best_score, self.progress.best_loss = score, row.validation_loss
        self.progress.best_epoch = row.epoch
        return True
