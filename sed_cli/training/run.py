"""``sedtf train``: data, training, checkpoints, and the evaluation of the best epoch."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch

from sed_cli.audio import LogMel
from sed_cli.data.augment import Augmenter
from sed_cli.data.leaks import check_leaks
from sed_cli.data.sets import DataSet, Recording, load_data
from sed_cli.errors import CheckpointError, SedtfError
from sed_cli.evaluation.evaluate import evaluate_split, tuned_postprocessing, write_evaluation
from sed_cli.evaluation.runs import flattened
from sed_cli.inference import Detector, PostProcessing, load, read_config, save_detector
from sed_cli.inference.checkpoint import load_weights, make_model, read_classes, resolve_checkpoint
from sed_cli.inference.postprocessing import save_postprocessing
from sed_cli.models.recurrence import Feedback
from sed_cli.provenance import RunRecord, choose_device, set_threads
from sed_cli.reports.figures import learning_curves
from sed_cli.reports.tables import print_metrics
from sed_cli.sampling import make_coins
from sed_cli.schema import EvaluationConfig, RecordedConfig, TrainConfig
from sed_cli.training.history import Epoch, History
from sed_cli.training.loop import Trainer
from sed_cli.training.state import load_state, save_state, seed_everything

log = logging.getLogger(__name__)

# What may differ when a run is resumed: how long it goes on and where, never what is learnt; and
# evaluation.*, which acts after the last epoch.
_MAY_CHANGE = {
    "output_dir", "resume", "device", "trainer.epochs", "trainer.patience", "trainer.threads",
    "data.cache_dir", "data.cache_limit_gb", "data.leak_check",
    "data.root", "data.bank", "data.bank_splits", "data.transition",
}  # fmt: skip
_PATHS = ("root", "bank", "bank_splits", "transition")  # of the data, where they are files


def train(config: TrainConfig, run_dir: Path) -> float | None:
    """Train a detector; return the best epoch's score: validation F1, or minus the loss.

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
        data = load_data(config.data, config.feature)
        if not data.splits["train"]:
            raise SedtfError("the training split holds no recording")
        if isinstance(config.data, RecordedConfig):
            check_leaks(data.splits, config.feature, config.data.leak_check)
        # Only now: computing features may draw numbers (torchlibrosa's weights), reading does not.
        seed_everything(config.seed)
        record.update(device=str(device), data_fingerprint=data.fingerprint)
        trainer = make_trainer(config, data, device)
        _log_sizes(config, data, trainer)
        try:
            _fit(config, trainer, data, run_dir)
        except KeyboardInterrupt:
            log.warning("interrupted; go on with: sedtf train resume=%s", run_dir)
            raise
        return _evaluate_best(config.evaluation, trainer, data, run_dir)


def make_trainer(config: TrainConfig, data: DataSet, device: torch.device) -> Trainer:
    """Build model, coins and trainer; nothing is drawn from the coins' generator yet."""
    model = make_model(config.model, n_mels=config.feature.n_mels, n_classes=len(data.classes))
    mean, std = data.statistics("train")
    model.normalisation.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
    augmenter = Augmenter(
        config.augment, feature=config.feature, fill=torch.from_numpy(mean), seed=config.seed
    )
    length = config.data.sequence_length
    n_sequences = sum(-(-recording.n_frames // length) for recording in data.splits["train"])
    coins = make_coins(
        config.sampler,
        batches_per_epoch=-(-n_sequences // config.trainer.batch_size),
        seed=config.seed,
    )
    detector = Detector(
        model,
        log_mel=LogMel(**asdict(config.feature)),
        classes=data.classes,
        feedback=config.sampler.feedback,
        device=device,
    )
    return Trainer(
        detector,
        coins=coins,
        config=config.trainer,
        feedback=cast(Feedback, config.sampler.feedback),
        sequence_length=length,
        seed=config.seed,
        augmenter=augmenter if augmenter.is_active else None,
    )


def _fit(config: TrainConfig, trainer: Trainer, data: DataSet, run_dir: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    checkpoints = run_dir / "checkpoints"
    if config.resume:
        _resume(config, trainer, data, run_dir)
    history = History(run_dir / "history.csv", trainer.progress.epoch)
    saved_config = replace(config, resume=None)
    next_epoch = trainer.progress.epoch + 1
    with closing(SummaryWriter(str(run_dir / "tensorboard"), purge_step=next_epoch)) as board:

        def on_epoch(row: Epoch, is_best: bool) -> None:
            for name, value in asdict(row).items():
                board.add_scalar(name, value, row.epoch)
            arguments = (trainer.model, saved_config, data.classes)
            if is_best:
                save_detector(checkpoints / "best", *arguments)
            save_detector(
                checkpoints / "last",
                *arguments,
                extra=lambda folder: save_state(
                    folder, {**trainer.state_dict(), "data": data.fingerprint}
                ),
            )

        try:
            trainer.fit(data.splits["train"], data.splits.get("validation", []), history, on_epoch)
        finally:
            if history.epochs:
                learning_curves(
                    history.path,
                    run_dir / "figures" / "learning_curves.png",
                    best_epoch=trainer.progress.best_epoch,
                )


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


def _resume(config: TrainConfig, trainer: Trainer, data: DataSet, run_dir: Path) -> None:
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
    if tuple(read_classes(folder)) != data.classes:
        raise CheckpointError(f"resume={run}: the classes of the data have changed since")
    state = load_state(folder)
    if state.pop("data") != data.fingerprint:
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
    load_weights(trainer.model, folder)
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


def _evaluate_best(
    evaluation: EvaluationConfig, trainer: Trainer, data: DataSet, run_dir: Path
) -> float | None:
    """Score the best epoch on the test split, as ``sedtf eval`` does it: from the checkpoint."""
    progress = trainer.progress
    log.info("best epoch: %d of %d", progress.best_epoch, progress.epoch)
    detector = load(run_dir, trainer.detector.device)
    validation = data.splits.get("validation")
    _postprocess(evaluation, detector, validation or [], run_dir)
    if data.splits.get("test"):
        evaluated = evaluate_split(detector, data, "test", evaluation)
        write_evaluation(evaluated, detector, data, run_dir)
        print_metrics(evaluated.metrics, run_dir)
    else:
        log.warning("no test split: nothing to evaluate on")
    return progress.best_score if validation else None


def _postprocess(
    evaluation: EvaluationConfig,
    detector: Detector,
    validation: Sequence[Recording],
    run_dir: Path,
) -> None:
    """Give the best epoch its thresholds and filters, before the test split is touched."""
    if evaluation.tune and validation:
        detector.postprocessing = tuned_postprocessing(detector, validation, evaluation)
    else:
        if evaluation.tune:
            log.warning("no validation split: thresholds stay at 0.5")
        detector.postprocessing = PostProcessing.plain(
            len(detector.classes),
            min_gap_s=evaluation.min_gap_s or 0.0,
            min_duration_s=evaluation.min_duration_s or 0.0,
        )
    save_postprocessing(run_dir / "checkpoints" / "best", detector.postprocessing, detector.classes)


def _log_sizes(config: TrainConfig, data: DataSet, trainer: Trainer) -> None:
    hours = {
        name: sum(recording.duration_s for recording in recordings) / 3600
        for name, recordings in data.splits.items()
    }
    sizes = ", ".join(
        f"{name} {len(data.splits[name])} files {length * 60:.1f} min"
        for name, length in hours.items()
    )
    n_weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    log.info("data: %s; %d classes: %s", sizes, len(data.classes), ", ".join(data.classes))
    log.info("model: %d weights on %s", n_weights, trainer.detector.device)
