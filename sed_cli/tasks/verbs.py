"""Verbs that depend on the task of a checkpoint or run: eval, predict, report."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.tools import PredictConfig, ReportConfig
from sed_cli.errors import UserError
from sed_cli.system.records import run_settings
from sed_cli.system.structured import read_json_object
from sed_cli.tasks.registry import all_tasks, task_named
from sed_cli.training.checkpoint import read_config


def evaluate(config: EvalConfig, run_dir: Path) -> float | None:
    """Run ``sedtf eval``; return the figure that its task optimises."""
    if config.checkpoint is None:  # scores of another system, always a detector
        return task_named(None).evaluate(config, run_dir)
    return task_named(read_config(config.checkpoint).task).evaluate(config, run_dir)


def predict(config: PredictConfig) -> None:
    """Run ``sedtf predict``.

    Raises:
        UserError: for settings that belong to another task and would have no effect, and for
            settings that the task refuses.
        SedtfError: if some of the input could not be read.
    """
    task = task_named(read_config(config.checkpoint).task)
    usual = {each.name: each for each in fields(PredictConfig)}
    for other in all_tasks():
        for key in () if other is task else other.predict_settings:
            factory = usual[key].default_factory
            default = usual[key].default if factory is MISSING else factory()
            if getattr(config, key) != default:
                model = other.config.MODEL
                raise UserError(f"{key} is a setting for {model}, which {config.checkpoint} is not")
    task.predict(config)


def report(config: ReportConfig, run_dir: Path) -> None:
    """Run ``sedtf report``."""
    folder = Path(config.run).expanduser()
    try:
        metrics = read_json_object(folder / "metrics.json")
    except (OSError, ValueError):  # the task reports the error
        metrics = {}
    task_named(metrics.get("task") or run_settings(folder).get("task")).report(config, run_dir)
