"""``sedtf train``: data, training, checkpoints, and the evaluation of the best epoch."""

from __future__ import annotations

import logging
import math
import shutil
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sed_cli.errors import CheckpointError
from sed_cli.evaluation.runs import flattened
from sed_cli.inference import read_config, save_checkpoint
from sed_cli.inference.checkpoint import load_weights, read_classes, resolve_checkpoint
from sed_cli.provenance import RunRecord, choose_device, set_threads
from sed_cli.sampling import make_coins
from sed_cli.schema import TrainConfig
from sed_cli.training.detection import Detection, load_recordings
from sed_cli.training.history import Epoch, History
from sed_cli.training.loop import Trainer
from sed_cli.training.state import load_state, save_state, seed_everything
from sed_cli.training.task import BatchT, Task

log = logging.getLogger(__name__)

# What may differ when a run is resumed: how long it goes on and where, never what is learnt; and
# evaluation.*, which acts after the last epoch.
_MAY_CHANGE = {
    "output_dir", "resume", "resume_sweep", "device",
    "trainer.epochs", "trainer.patience", "trainer.threads",
    "data.cache_dir", "data.cache_limit_gb", "data.leak_check",
    "data.root", "data.bank", "data.bank_splits", "data.transition",
}  # fmt: skip
_PATHS = ("root", "bank", "bank_splits", "transition")  # of the data, where they are files


def train(config: TrainConfig, run_dir: Path) -> float | None:
    """Train a model; return the best epoch's score: validation F1, or minus the loss.

    Raises:
        UserError: if data, device or the run to resume cannot be used.
        SedtfError: if training diverges.
    """
    config = _with_absolute_paths(config)
    with (
        RunRecord(run_dir, "train", config, seed=config.seed) as record,
        set_threads(config.trainer.threads),
    ):
        device = choose_device(config.device)
        data = load_recordings(config)
        # Only now: computing features may draw numbers (torchlibrosa's weights), reading does not.
        seed_everything(config.seed)
        record.update(device=str(device), data_fingerprint=data.fingerprint)
        trainer = make_trainer(config, Detection(config, data, device))
        _log_sizes(trainer)
        try:
            _fit(config, trainer, run_dir)
        except KeyboardInterrupt:
            log.warning("interrupted; go on with: sedtf train resume=%s", run_dir)
            raise
        progress = trainer.progress
        log.info("best epoch: %d of %d", progress.best_epoch, progress.epoch)
        trainer.task.evaluate_best(run_dir)
        objective = progress.best_score if math.isfinite(progress.best_loss) else None
        record.update(objective=objective)
        return objective


def make_trainer(config: TrainConfig, task: Task[BatchT]) -> Trainer[BatchT]:
    """Build coins and trainer; nothing is drawn from the coins' generator yet."""
    coins = make_coins(config.sampler, batches_per_epoch=task.n_batches, seed=config.seed)
    return Trainer(task, coins=coins, config=config.trainer)


def _fit(config: TrainConfig, trainer: Trainer[BatchT], run_dir: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    checkpoints, task = run_dir / "checkpoints", trainer.task
    if config.resume:
        _resume(config, trainer, run_dir)
    history = History(run_dir / "history.csv", trainer.progress.epoch)
    saved_config = replace(config, resume=None)
    next_epoch = trainer.progress.epoch + 1
    with closing(SummaryWriter(str(run_dir / "tensorboard"), purge_step=next_epoch)) as board:

        def on_epoch(row: Epoch, is_best: bool) -> None:
            for name, value in row.row.items():
                board.add_scalar(name, value, row.epoch)
            arguments = (task.model, saved_config, task.labels)
            if is_best:
                save_checkpoint(checkpoints / "best", *arguments, extra=task.save_extras)
            save_checkpoint(checkpoints / "last", *arguments, extra=save_extras)

        def save_extras(folder: Path) -> None:
            task.save_extras(folder)
            save_state(folder, {**trainer.state_dict(), "data": task.fingerprint})

        try:
            trainer.fit(history, on_epoch)
        finally:
            if history.epochs:
                picture = run_dir / "figures" / "learning_curves.png"
                task.draw_history(history.path, picture, trainer.progress.best_epoch)


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Note where the data lie so that they are found from any working folder."""
    data = replace(config.data)
    for key in _PATHS:
        value = getattr(data, key, None)
        if not isinstance(value, str):
            continue
        path = Path(value).expanduser()
        if config.resume and not path.exists():
            last = Path(config.resume) / "checkpoints" / "last"
            earlier = read_config(last).data if last.is_dir() else config.data
            path = Path(getattr(earlier, key, None) or path)
        setattr(data, key, str(path.absolute()))
    return replace(config, data=data)


def _resume(config: TrainConfig, trainer: Trainer[BatchT], run_dir: Path) -> None:
    """Go on where ``config.resume`` stopped, after a check that it is the same experiment."""
    run = Path(str(config.resume))
    last = run / "checkpoints" / "last"
    try:
        folder = resolve_checkpoint(last)
    except CheckpointError:
        log.warning("%s has no checkpoint yet: training starts from the beginning", run)
        return
    changed = _differences(flattened(asdict(read_config(folder))), flattened(asdict(config)))
    if changed:
        raise CheckpointError(
            f"resume={run} continues a run exactly, but {'; '.join(changed)}: "
            f"drop that, or start a new run"
        )
    if read_classes(folder) != list(trainer.task.labels):
        raise CheckpointError(f"resume={run}: the classes of the data have changed since")
    state = load_state(folder)
    if state.pop("data") != trainer.task.fingerprint:
        raise CheckpointError(
            f"resume={run}: recordings or annotations have changed since; start a new run"
        )
    trained = state["progress"]["epoch"]
    if trained > config.trainer.epochs:
        raise CheckpointError(
            f"resume={run} has trained {trained} epochs already, but trainer.epochs="
            f"{config.trainer.epochs}: give at least {trained}, or start a new run"
        )
    if run.resolve() != run_dir.resolve():  # what came before belongs to the run that goes on
        shutil.copytree(run / "checkpoints", run_dir / "checkpoints")
        shutil.copy(run / "history.csv", run_dir / "history.csv")
    load_weights(trainer.task.model, folder)
    trainer.load_state_dict(state)
    log.info("resumed after epoch %d, update %d", trainer.progress.epoch, trainer.progress.update)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if key not in _MAY_CHANGE
        and not key.startswith("evaluation.")
        and before.get(key) != now.get(key)
    ]


def _log_sizes(trainer: Trainer[BatchT]) -> None:
    n_weights = sum(parameter.numel() for parameter in trainer.task.model.parameters())
    log.info("data: %s", trainer.task.sizes)
    log.info("model: %d weights on %s", n_weights, trainer.task.device)
