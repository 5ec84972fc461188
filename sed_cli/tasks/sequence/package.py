"""``task=sequence``: predict the next token of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.tools import PredictConfig
from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.metrics.totals import Totals
from sed_cli.tasks.package import TaskPackage
from sed_cli.tasks.scores import Layout

if TYPE_CHECKING:
    import torch

    from sed_cli.decoding.language import LabelModel
    from sed_cli.tasks.sequence.data import TokenData
    from sed_cli.tasks.sequence.task import NextToken


class SequencePackage(TaskPackage):
    """A sequence model, trained on sequences of symbols."""

    config = SequenceTrainConfig
    predict_settings = ("decoding",)

    def load_data(self, config: SequenceTrainConfig, *, look_for_leaks: bool = True) -> TokenData:
        """Read the sequences; the same one may occur in two splits."""
        from sed_cli.tasks.sequence.data import load_tokens

        return load_tokens(config.data)

    def make(self, config: SequenceTrainConfig, data: TokenData, device: torch.device) -> NextToken:
        """Build the sequence model, with everything that training needs around it."""
        from sed_cli.tasks.sequence.task import NextToken

        return NextToken(config, data, device)

    def evaluate(self, config: EvalConfig, run_dir: Path) -> float | None:
        """Score a sequence model; return its perplexity."""
        from sed_cli.tasks.sequence.evaluate import evaluate_sequence_checkpoint

        return evaluate_sequence_checkpoint(config, run_dir)

    def predict(self, config: PredictConfig) -> None:
        """Continue the lines of a file."""
        from sed_cli.tasks.sequence.continuations import continue_lines

        continue_lines(config)

    def label_model(self, checkpoint: str, kind: str) -> LabelModel:
        """Load a model of event labels."""
        from sed_cli.tasks.sequence.next_labels import load_label_model

        return load_label_model(checkpoint, kind)

    def scores(self, metrics: Mapping[str, Any]) -> dict[str, Totals]:
        """Counts of targets, teacher-forced and free-running."""
        from sed_cli.tasks.sequence.scores import scores_in

        return scores_in(metrics)

    def layout(self, metric: str) -> Layout:
        """Perplexity first; there is only one kind of counts."""
        from sed_cli.tasks.sequence.scores import LAYOUT

        return LAYOUT

    def convergence(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Accuracy over the updates, and updates needed to reach most of it."""
        from sed_cli.tasks.sequence.convergence import convergence

        return convergence(rows)

    def draw_convergence(self, comparison: Mapping[str, Any], path: Path) -> None:
        """Draw accuracies over the updates, and the remaining gap."""
        from sed_cli.tasks.sequence.figures import draw_convergence

        draw_convergence(comparison, path)


TASK = SequencePackage()
