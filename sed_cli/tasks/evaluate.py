"""``sedtf eval``: whatever a checkpoint holds, on a split."""

from __future__ import annotations

from pathlib import Path

from sed_cli.config.verbs import EvalConfig, TrainConfig
from sed_cli.tasks.checkpoint import read_any_config
from sed_cli.tasks.detection.evaluate import evaluate_checkpoint
from sed_cli.tasks.sequence.evaluate import evaluate_sequence_checkpoint


def evaluate(config: EvalConfig, run_dir: Path) -> float | None:
    """Do the work of ``sedtf eval``; return the frame-wise F1, or the perplexity of sequences."""
    if isinstance(read_any_config(config.checkpoint), TrainConfig):
        return evaluate_checkpoint(config, run_dir)
    return evaluate_sequence_checkpoint(config, run_dir)
