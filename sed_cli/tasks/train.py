"""``sedtf train``: load data, train, save checkpoints, and evaluate the best epoch."""

from __future__ import annotations

import copy
import logging
import math
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from sed_cli.config.identity import paths_of
from sed_cli.config.provenance import RunRecord, choose_device, set_threads
from sed_cli.config.registry import component_named
from sed_cli.config.trainer import TrainerConfig
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import UserError
from sed_cli.sampling.teacher_mask import make_coins
from sed_cli.system import torchrun
from sed_cli.system.distributed import rank
from sed_cli.system.pool import n_cores
from sed_cli.tasks.package import Data
from sed_cli.tasks.registry import task_named
from sed_cli.tasks.resuming import check_settings, restore, resume
from sed_cli.training.batches import Batches
from sed_cli.training.checkpoint import save_checkpoint
from sed_cli.training.history import Epoch
from sed_cli.training.initial import initialise, origin_of
from sed_cli.training.logger import LoggedRun, Logger
from sed_cli.training.loggers.csv import HistoryLogger
from sed_cli.training.loop import Trainer, warn_of_best_epoch
from sed_cli.training.memory import keep_freed_memory
from sed_cli.training.ranks import check_devices, joined, launch, own_device, own_threads
from sed_cli.training.state import Progress, save_state, seed_everything
from sed_cli.training.task import BatchT, Task

log = logging.getLogger(__name__)


def prepare_resume(config: AnyTrainConfig) -> dict[str, Any]:
    """Check whether a run can be resumed, before anything is written into its folder.

    Returns:
        Keyword arguments for :func:`train`: the data, already loaded.

    Raises:
        UserError: if device or data cannot be used, or the run cannot continue with these settings.
    """
    config = _with_absolute_paths(config)
    check_settings(config)
    device = choose_device(config.device)
    check_devices(device, config.trainer.devices or 1)
    data = task_named(config.task).load_data(config)
    restore(config, make_trainer(config, task_named(config.task).make(config, data, device)))
    return {"data": data}


def train(config: AnyTrainConfig, run_dir: Path, data: Data | None = None) -> float | None:
    """Train a model; return the best epoch's score by ``trainer.monitor`` (higher is better).

    Args:
        config: of the run.
        run_dir: its folder.
        data: if already loaded.

    Raises:
        UserError: if data, device or the run to resume cannot be used.
        SedtfError: if training diverges.
    """
    config = _with_absolute_paths(config)
    if torchrun.n_ranks() > 1:
        return _train_as_rank(config, run_dir)
    n_devices = config.trainer.devices or 1
    with (
        RunRecord(run_dir, "train", config, seed=config.seed) as record,
        set_threads(config.trainer.threads),
    ):
        device = choose_device(config.device)
        check_devices(device, n_devices)
        _note_origin(config, record)
        data = task_named(config.task).load_data(config) if data is None else data
        record.update(device=str(device), devices=n_devices, **data.facts)
        with _resumable(run_dir):
            if n_devices == 1:
                task, progress = _learn(config, data, device, run_dir)
            else:
                progress = _launch(config, run_dir, n_devices)
                task = task_named(config.task).make(config, data, device)
        return _conclude(task, progress, run_dir, record, config.trainer)


def _learn(
    config: AnyTrainConfig, data: Data, device: torch.device, run_dir: Path
) -> tuple[Task[Any], Progress]:
    """Train in this process, alone or as one of several ranks."""

    def learn(config: AnyTrainConfig, data: Data, run_dir: Path) -> tuple[Task[Any], Progress]:
        return _learn_from(config, data, device, run_dir)

    data = task_named(config.task).prepared(config, data, device, run_dir, learn)
    return learn(config, data, run_dir)


def _learn_from(
    config: AnyTrainConfig, data: Data, device: torch.device, run_dir: Path
) -> tuple[Task[Any], Progress]:
    """Train on prepared data."""
    # Seed only now: computing features may draw numbers (torchlibrosa's weights), reading does not.
    seed_everything(config.seed)
    trainer = make_trainer(config, task_named(config.task).make(config, data, device))
    _log_sizes(trainer)
    _fit(config, trainer, run_dir)
    return trainer.task, trainer.progress


def _conclude(
    task: Task[BatchT],
    progress: Progress,
    run_dir: Path,
    record: RunRecord,
    trainer: TrainerConfig,
) -> float | None:
    """Evaluate the best epoch; return and record its score by ``trainer.monitor``."""
    log.info("best epoch: %d of %d", progress.best_epoch, progress.epoch)
    if math.isfinite(progress.best_loss):
        warn_of_best_epoch(progress, trainer)
    task.evaluate_best(run_dir)
    is_known = math.isfinite(progress.best_loss) and math.isfinite(progress.best_score)
    objective = progress.best_score if is_known else None
    record.update(objective=objective)
    return objective


@contextmanager
def _resumable(run_dir: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        log.warning("interrupted; continue with: %s", _how_to_go_on(run_dir))
        raise


def _how_to_go_on(run_dir: Path) -> str:
    return shlex.join(["sedtf", "train", f"resume={run_dir}"])


def _launch(config: AnyTrainConfig, run_dir: Path, n_devices: int) -> Progress:
    """Train in several processes on this machine; by now the data are in the cache."""
    go_on = f"continue with: {_how_to_go_on(run_dir)}"
    arguments = (config, run_dir, torch.get_num_threads())
    return launch(_learn_as_rank, *arguments, n_ranks=n_devices, go_on=go_on)


def _learn_as_rank(config: AnyTrainConfig, run_dir: Path, n_threads: int) -> Progress:
    return _learn_together(config, run_dir, n_threads)[2]


def _learn_together(
    config: AnyTrainConfig, run_dir: Path, n_threads: int, record: RunRecord | None = None
) -> tuple[Data, torch.device, Progress]:
    """Train as one of several ranks; each loads the data, all but one of them from the cache.

    Slow work with the same result in all ranks is left to the rank that keeps the record.
    """
    device = own_device(choose_device(config.device))
    with set_threads(own_threads(config.trainer.threads, n_threads)):
        data = task_named(config.task).load_data(config, look_for_leaks=record is not None)
        if record is not None:
            facts = {"device": device.type, "devices": torchrun.n_ranks()}
            record.update(**facts, **data.facts)
        with joined(device):
            _, progress = _learn(config, data, device, run_dir)
    return data, device, progress


def _train_as_rank(config: AnyTrainConfig, run_dir: Path) -> float | None:
    """Train as one of the ranks of ``torchrun``; rank 0 keeps the records and evaluates."""
    if config.trainer.batch_size < torchrun.n_ranks():
        raise UserError(
            f"trainer.batch_size={config.trainer.batch_size} sequences are shared by "
            f"{torchrun.n_ranks()} processes: give at least as many"
        )
    if torchrun.rank():
        origin_of(config, None)  # so that all ranks refuse the same settings
        _learn_together(config, run_dir, n_cores())
        return None
    with RunRecord(run_dir, "train", config, seed=config.seed) as record:
        with _resumable(run_dir):
            _note_origin(config, record)
            data, device, progress = _learn_together(config, run_dir, n_cores(), record)
        with set_threads(config.trainer.threads):
            task = task_named(config.task).make(config, data, device)
            return _conclude(task, progress, run_dir, record, config.trainer)


def make_trainer(config: AnyTrainConfig, task: Task[BatchT]) -> Trainer[BatchT]:
    """Build the teacher mask and the trainer; no random numbers are drawn yet."""
    keep_freed_memory()
    task.model.backend = config.trainer.recurrence  # type: ignore[assignment]
    batches = Batches(task.sources, config.trainer)
    coins = make_coins(config.sampler, batches_per_epoch=batches.n_updates, seed=config.seed)
    return Trainer(task, coins=coins, config=config.trainer, seed=config.seed)


def _fit(config: AnyTrainConfig, trainer: Trainer[BatchT], run_dir: Path) -> None:
    checkpoints, task = run_dir / "checkpoints", trainer.task
    rows = None
    if config.resume:
        rows = resume(config, trainer, run_dir)
    if config.init and trainer.progress.epoch:
        log.info("init=%s is not applied again: the run has its own weights", config.init)
    elif config.init:
        initialise(config, task)
    if rank():  # only rank 0 writes
        trainer.fit(lambda row, is_best: None)
        return
    saved_config = replace(config, resume=None)
    with _started_loggers(saved_config, run_dir, trainer.progress.epoch, rows) as loggers:
        history = next(each.history for each in loggers if isinstance(each, HistoryLogger))

        def on_epoch(row: Epoch, is_best: bool) -> None:
            for logger in loggers:
                logger.log(row)
            arguments = (task.model, saved_config, task.labels)
            if is_best:
                save_checkpoint(checkpoints / "best", *arguments, extra=task.save_extras)
            save_checkpoint(checkpoints / "last", *arguments, extra=save_extras)

        def save_extras(folder: Path) -> None:
            task.save_extras(folder)
            own = {"data": task.fingerprint, "history": history.rows}
            save_state(folder, {**trainer.state_dict(), **own})

        def draw() -> None:
            if history.epochs:
                picture = run_dir / "figures" / "learning_curves.png"
                task.draw_history(history.path, picture, trainer.progress.best_epoch)

        try:
            trainer.fit(on_epoch)
        except BaseException:
            with suppress(Exception):  # must not hide the error that ended the training
                draw()
            raise
        draw()


@contextmanager
def _started_loggers(
    config: AnyTrainConfig, run_dir: Path, n_epochs: int, rows: list[dict[str, float]] | None
) -> Iterator[list[Logger]]:
    run = LoggedRun(run_dir, asdict(config), n_epochs, rows)
    # The history comes first: a failing logger must not cost us the history.
    names = sorted(config.trainer.loggers, key=lambda name: name != "csv")
    loggers: list[Logger] = [component_named("logger", name)() for name in names]
    with ExitStack() as stack:
        for logger in loggers:
            logger.start(run)
            stack.callback(logger.close)
        yield loggers


def _with_absolute_paths(config: AnyTrainConfig) -> AnyTrainConfig:
    """Make paths of data and other files absolute, so that they work from any working folder."""
    config = copy.deepcopy(config)
    for owner in (config, config.data, getattr(config, "feature", config)):
        for key in paths_of(owner):
            value = getattr(owner, key)
            if isinstance(value, str):
                setattr(owner, key, str(Path(value).expanduser().absolute()))
    return config


def _note_origin(config: AnyTrainConfig, record: RunRecord) -> None:
    origin = origin_of(config, record.earlier.get("init"))
    if origin is not None:
        record.update(init=origin)


def _log_sizes(trainer: Trainer[BatchT]) -> None:
    n_weights = sum(parameter.numel() for parameter in trainer.task.model.parameters())
    log.info("data: %s", trainer.task.sizes)
    log.info("model: %d weights on %s", n_weights, trainer.task.device)
