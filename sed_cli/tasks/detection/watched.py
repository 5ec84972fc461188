"""Figures of metrics for each epoch's validation, besides loss, F1 and error rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.monitors import (
    OF_ACTIVITIES,
    PREFIX,
    PSDS,
    column_of,
    figures_of_metrics,
)
from sed_cli.data.sets import DataSet, Recording
from sed_cli.decoding.decoder import Decoder
from sed_cli.metrics.curves import Scored, psds
from sed_cli.metrics.detection import quiet
from sed_cli.metrics.metric import metric_named
from sed_cli.system.distributed import gathered
from sed_cli.tasks.detection.fitting import filled
from sed_cli.tasks.detection.tally import Tally, scored_by


class Watched:
    """Figures of a split, for events at a fixed threshold of 0.5, as for the frame-wise F1.

    Args:
        names: such as ``event_f1``; those that validation reports anyway are skipped.
        data: its classes and hop.
        decoder: with that threshold.
        evaluation: settings of the metrics.
    """

    def __init__(
        self, names: Sequence[str], data: DataSet, decoder: Decoder, evaluation: EvaluationConfig
    ) -> None:
        self._data, self._decoder = data, decoder
        self._names = names_beside(names)
        known = figures_of_metrics()
        self._figures = {name: known[name] for name in self._names if name in known}
        metrics = dict.fromkeys(figure.metric for figure in self._figures.values())
        self._metrics = [metric_named(name) for name in metrics]
        self._tally = Tally(data, self._metrics, filled(evaluation))
        self._scored: list[Scored] = []

    def add(
        self,
        recording: Recording,
        probabilities: NDArray[np.floating],
        of_clip: NDArray[np.float32],
    ) -> None:
        """Add a recording: its probabilities, (T, C) or with onsets (T, 2C), and as a whole."""
        if self._metrics:
            self._tally.add(recording, probabilities, of_clip, self._decoder)
        if len(self._figures) < len(self._names):
            self._scored.append(scored_by(self._decoder, recording, probabilities))

    def columns(self) -> dict[str, float]:
        """Columns of ``history.csv``, over the recordings of all ranks."""
        of_metrics = self._of_metrics()
        scored = gathered(self._scored) if len(self._figures) < len(self._names) else []
        return {
            column_of(name): (
                psds(scored, self._data.classes, self._data.hop_s, name)
                if name in PSDS
                else of_metrics[name]
            )
            for name in self._names
        }

    def _of_metrics(self) -> dict[str, float]:
        found = {}
        of_ranks = gathered(self._tally.totals())  # a rank without recordings has no totals
        for index, metric in enumerate(self._metrics):
            with quiet():
                figures = metric.figures(np.sum([totals[index] for totals in of_ranks], axis=0))
            for name, figure in self._figures.items():
                if figure.metric == metric.name:
                    found[name] = float(figures[figure.figure])
        return found


def names_beside(names: Sequence[str]) -> list[str]:
    """The given figures that validation does not report anyway, each once."""
    beside = dict.fromkeys(name.removeprefix(PREFIX) for name in names)
    return [name for name in beside if column_of(name) not in OF_ACTIVITIES]
