"""``task=sed``: sound event detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.tools import PredictConfig, ReportConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.metrics.totals import Totals
from sed_cli.tasks.package import TaskPackage
from sed_cli.tasks.scores import Layout

if TYPE_CHECKING:
    import torch

    from sed_cli.data.sets import DataSet
    from sed_cli.tasks.detection.task import DetectionTask


class DetectionPackage(TaskPackage):
    """A detector, trained on recordings with their events."""

    config = TrainConfig
    predict_settings = (
        *("format", "channels", "threshold", "min_duration_s", "min_gap_s"),
        *("probabilities", "timeline", "joined", "summary", "clips", "clip_context_s", "redo"),
        "workers",
    )

    def load_data(self, config: TrainConfig, *, look_for_leaks: bool = True) -> DataSet:
        """Read recordings, annotations and features."""
        from sed_cli.tasks.detection.task import load_recordings

        return load_recordings(config, look_for_leaks=look_for_leaks)

    def prepared(
        self,
        config: TrainConfig,
        data: DataSet,
        device: torch.device,
        run_dir: Path,
        train: Callable[[Any, Any, Path], Any],
    ) -> DataSet:
        """Label recordings without labels by teachers, which are trained first."""
        from sed_cli.tasks.detection.self_training import with_pseudo_labels

        return with_pseudo_labels(config, data, device, run_dir, train)

    def make(self, config: TrainConfig, data: DataSet, device: torch.device) -> DetectionTask:
        """Build the detector, with everything that training needs around it."""
        from sed_cli.tasks.detection.task import DetectionTask

        return DetectionTask(config, data, device)

    def evaluate(self, config: EvalConfig, run_dir: Path) -> float | None:
        """Score a detector, or the scores of another system; return the frame-wise F1."""
        if config.checkpoint is None:
            from sed_cli.tasks.detection.given_scores import evaluate_scores

            return evaluate_scores(config, run_dir)
        from sed_cli.tasks.detection.evaluate import evaluate_checkpoint

        return evaluate_checkpoint(config, run_dir)

    def predict(self, config: PredictConfig) -> None:
        """Find the events in recordings."""
        from sed_cli.tasks.detection.predict import predict

        predict(config)

    def report(self, config: ReportConfig, run_dir: Path) -> None:
        """Write the page of a run."""
        from sed_cli.tasks.detection.report import report_run

        report_run(config, run_dir)

    def scores(self, metrics: Mapping[str, Any]) -> dict[str, Totals]:
        """Counts of frames, segments and events."""
        from sed_cli.tasks.detection.scores import scores_in

        return scores_in(metrics)

    def layout(self, metric: str) -> Layout:
        """F1 and error rate of each kind."""
        from sed_cli.tasks.detection.scores import layout

        return layout(metric)


TASK = DetectionPackage()
