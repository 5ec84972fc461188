"""Run folders in the form that ``sedtf train`` writes, without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import SoundscapesConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.registry import component_named, joined
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.metrics.detection import describe
from sed_cli.training.history import Epoch, History
from tests.conftest import trainer_config
from tests.metrics.counted import KINDS

CLASSES = ("cat", "dog")


def counts_of(tp: int, n_ref: int, n_sys: int, subs: int = 0) -> NDArray[np.int64]:
    """Create counts of one file, all for the first class except one perfect event of the other."""
    first, second = [tp, n_ref, n_sys, 0], [1, 1, 1, 0]
    return np.array([[[tp + 1, n_ref + 1, n_sys + 1, subs], first, second]], dtype=np.int64)


def settings_of(changes: Mapping[str, Any], sampler: str = "scheduled") -> dict[str, Any]:
    """Create a configuration with the schema's defaults except for ``changes`` by dotted key."""
    config = TrainConfig(
        output_dir="somewhere",
        feature=LogMelConfig(),
        model=component_named("model", "crnn")(),
        sampler=component_named("schedule", sampler)(),
        data=SoundscapesConfig(),
        augment=joined(AugmentConfig)(),
        trainer=trainer_config(min_epoch_updates=20),
        evaluation=EvaluationConfig(),
    )
    values = asdict(config)
    for key, value in changes.items():
        *parents, last = key.split(".")
        inner = values
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return values


def write_run(
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    sampler: str = "scheduled",
    choices: Mapping[str, str] | None = None,
    given: Sequence[str] = (),
    counts: NDArray[np.int64] | None = None,
    status: str = "completed",
    started: str = "2026-01-01T00:00:00+00:00",
    history: Sequence[float] = (0.1, 0.3, 0.2),
    **record: Any,
) -> Path:
    """Write the files that ``compare`` reads; ``history`` is the validation F1 by epoch."""
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    values = settings_of(changes or {}, sampler)
    (hydra / "config.yaml").write_text(yaml.safe_dump(values))
    runtime = {"choices": {"sampler": sampler, "experiment": None, **(choices or {})}}
    (hydra / "hydra.yaml").write_text(
        yaml.safe_dump({"hydra": {"runtime": runtime, "job": {"name": "train"}}})
    )
    (hydra / "overrides.yaml").write_text(yaml.safe_dump([f"{key}=x" for key in given]))
    record = {"status": status, "verb": "train", "started": started, **record}
    (folder / "run.json").write_text(json.dumps(record))
    epochs = History(folder / "history.csv")
    for number, f1 in enumerate(history, start=1):
        epochs.append(
            Epoch(
                epoch=number,
                update=10 * number,
                p_teacher=1.0 / number,
                train_loss=1.0 - f1,
                validation_loss=1.1 - f1,
                validation_f1=f1,
                validation_er=1.0 - f1,
                learning_rate=1e-3,
                seconds=1.0,
            )
        )
    if status == "completed":
        own = counts_of(6, 10, 8) if counts is None else counts
        described = {kind: describe(own, CLASSES) for kind in KINDS}
        metrics = {
            "split": "test",
            "n_files": len(own),
            **{kind: overall for kind, (overall, _) in described.items()},
            "per_class": {
                label: {kind: of[label] for kind, (_, of) in described.items()} for label in CLASSES
            },
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder
