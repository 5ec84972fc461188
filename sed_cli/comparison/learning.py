"""Learning speed of a run and cost of an update, from its ``history.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from sed_cli.system.records import history_rows

KIND = "learning"
UPDATES, COST = "updates_to_90", "update_s"
SHARE = 0.9
"""Share of the best validation F1 to be reached."""
_ROUNDING = 1e-9

Learning = dict[str, float | None]


def learning_of(folder: Path) -> Learning:
    """Read the history of a run of training.

    Returns:
        ``updates_to_90``: updates until the epoch at whose end validation F1 (``task=sequence``:
        accuracy) first reached 90 % of the highest of the run. ``update_s``: seconds of an epoch
        per update, including validation, median over epochs. ``None`` if unavailable.
    """
    rows = history_rows(folder / "history.csv")
    updates = [_number(row, "update") for row in rows]
    f1s = [_number(row, "validation_f1") for row in rows]
    known = [(update, f1) for update, f1 in zip(updates, f1s, strict=True) if update and f1]
    wanted = SHARE * max((f1 for _, f1 in known), default=math.nan) - _ROUNDING
    costs = [
        seconds / (update - before)
        for row, before, update in zip(rows, [0.0, *updates], updates, strict=False)
        if (seconds := _number(row, "seconds")) and update > before
    ]
    return {
        UPDATES: next((update for update, f1 in known if f1 >= wanted), None),
        COST: median(costs) if costs else None,
    }


def joined_over_folds(runs: Sequence[Learning]) -> Learning:
    """Means over folds; ``None`` if a fold lacks the figure."""
    figures: Learning = {}
    for name in (UPDATES, COST):
        values = [value for value in (run.get(name) for run in runs) if value is not None]
        figures[name] = fmean(values) if len(values) == len(runs) else None
    return figures


def _number(row: Mapping[str, str], name: str) -> float:
    """A number of a row; 0 if it is missing or not finite."""
    value = float(row.get(name) or "nan")
    return value if math.isfinite(value) else 0.0
