"""Validation metrics that can select the best epoch: columns of ``history.csv``.

Beyond loss, F1 and error rate, a detector's validation computes a metric only if
``trainer.monitor`` or ``trainer.figures`` names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sed_cli.config.registry import components
from sed_cli.system.extras import missing

PREFIX = "validation_"
PSDS = ("psds1", "psds2")
OF_CLIPS = ("clip_f1", "clip_map")  # present with weak labels

# Columns that are always present: whether lower is better. The last two are for tokens.
OF_ACTIVITIES = {"validation_f1": False, "validation_loss": True, "validation_er": True}
OF_TOKENS = {
    **OF_ACTIVITIES,
    "validation_perplexity": True,
    "validation_forced_accuracy": False,
}
# They fall before anything is detected.
_LOSSES = ("validation_loss", "validation_perplexity")


class MetricFigure(NamedTuple):
    """One figure of a metric, identified by both names."""

    metric: str
    figure: str
    lower_is_better: bool


def figures_of_metrics() -> dict[str, MetricFigure]:
    """The figures of all metrics, by names such as ``event_f1`` and ``bin_accuracy``.

    Figures that need a teacher-forced pass are left out: validation is always free running.
    """
    return {
        name if name.endswith(figure.name) else f"{name}_{figure.name}": MetricFigure(
            name, figure.name, figure.lower_is_better
        )
        for name, cls in components("metric").items()
        for figure in cls.FIGURES
        if not cls.NEEDS_FORCED
    }


def column_of(monitor: str) -> str:
    """Column of a figure in ``history.csv``."""
    return monitor if monitor.startswith(PREFIX) else f"{PREFIX}{monitor}"


def is_lower_better(monitor: str) -> bool:
    """Whether lower values of a figure are better."""
    column = column_of(monitor)
    if column in OF_TOKENS:
        return OF_TOKENS[column]
    figure = figures_of_metrics().get(column.removeprefix(PREFIX))
    return figure is not None and figure.lower_is_better


def best_epoch(history: Mapping[str, Sequence[float | None]], monitor: str) -> int | None:
    """Epoch with the best value of a figure; ties are broken by the lowest loss, as in training.

    Args:
        history: columns of ``history.csv``.
        monitor: the figure.

    Returns:
        ``None`` if the figure has no value.
    """
    sign = -1 if is_lower_better(monitor) else 1
    losses = history.get("validation_loss", ())
    ranked = [
        (sign * value, -math.inf if loss is None else -loss, -at)
        for at, (value, loss) in enumerate(
            zip(history.get(column_of(monitor), ()), losses, strict=False)
        )
        if value is not None
    ]
    epoch = history["epoch"][-max(ranked)[2]] if ranked else None
    return None if epoch is None else int(epoch)


def is_loss(monitor: str) -> bool:
    """Whether a figure shows progress before anything is detected."""
    return column_of(monitor) in _LOSSES


def faults_of_figures(monitor: str, figures: list[str], prefix: str = "trainer.") -> Iterator[str]:
    """Faults in the figures of a detector's validation."""
    known = [*OF_ACTIVITIES, *figures_of_metrics(), *PSDS]
    columns = set(map(column_of, known))
    given = [(f"monitor={monitor}", monitor), *((f"figures={figures}", each) for each in figures)]
    for setting, name in given:
        if column_of(name) not in columns:
            expected = f"expected one of {', '.join(known)}"
            yield f"{prefix}{setting}: {name} is not a figure of validation: {expected}"
        elif name.removeprefix(PREFIX) in PSDS:
            yield from missing(f"{prefix}{setting}", "sed_scores_eval", "psds")
