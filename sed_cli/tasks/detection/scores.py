"""Scores of detectors, for ``sedtf compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sed_cli.metrics.metric import Metric, all_metrics, metric_named
from sed_cli.metrics.totals import Totals
from sed_cli.tasks.scores import Layout, Shown

_COUNTED = "event"  # its reference counts identify the data; every run has them


def scores_in(metrics: Mapping[str, Any]) -> dict[str, Totals]:
    """Counts in ``metrics.json``, by metric; an older run lacks newer metrics."""
    return {
        metric.name: metric.read(metrics)
        for metric in all_metrics()
        if metric.name in metrics or metric.name == _COUNTED
    }


def layout(metric: str) -> Layout:
    """Layout with the figures of ``metric`` first."""
    first, known = metric_named(metric), all_metrics()
    others = [each for each in known if each.IN_SHORT and each.name != metric]
    return Layout(
        shown=(*_shown(first), *(_shown(each)[0] for each in others)),
        reported=tuple(figure for each in (first, *others) for figure in _shown(each)),
        by_seed=tuple(dict.fromkeys(name for each in known for name in each.by_seed)),
        curves={
            "validation_loss": "validation loss",
            "validation_f1": "validation F1, frame-wise",
            "p_teacher": "p_teacher",
        },
        counted=_COUNTED,
        references="annotated events",
        items="recordings",
    )


def _shown(metric: Metric) -> list[Shown]:
    return [Shown(**asdict(figure), kind=metric.name) for figure in metric.FIGURES]
