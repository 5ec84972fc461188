"""Convergence of sequence models: from the histories of their training, over updates and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.metrics.statistics import summarise
from sed_cli.system.records import history_rows

SHARE = 0.9
"""Level to reach, relative to the highest mean accuracy of any row."""

_COLUMNS = {"forced": "validation_forced_accuracy", "free": "validation_f1"}


def convergence(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Validation accuracy over the updates of each row of a comparison, and updates to a level.

    Args:
        rows: of ``comparison.json``; ``seeds`` and ``runs`` of each correspond.

    Returns:
        For each mode (``forced``: teacher-forced; ``free``: free-running) the ``level`` to reach;
        for each row ``updates`` (E,), and for each mode the accuracy ``mean``, ``low`` and ``high``
        (E,) over seeds (95 % t interval; with a single seed all three are equal), and ``needed``:
        updates until the level is first reached, with interval and by seed, None for a seed that
        never reaches it. None if a run has no history.
    """
    histories = [[_read(Path(run)) for run in row["runs"]] for row in rows]
    if not all(own and all(history is not None for history in own) for own in histories):
        return None
    curves = [_curves(row, own) for row, own in zip(rows, histories, strict=True)]
    levels = {
        way: SHARE * max(float(np.max(curve[way]["mean"])) for curve in curves) for way in _COLUMNS
    }
    for row, own, curve in zip(rows, histories, curves, strict=True):
        for way in _COLUMNS:
            needed = {
                seed: _first(history, way, levels[way])
                for seed, history in zip(row["seeds"], own, strict=False)
            }
            curve[way]["needed"] = {**asdict(summarise(needed)), "by_seed": needed}
    return {
        "levels": levels,
        "rows": {row["name"]: curve for row, curve in zip(rows, curves, strict=True)},
    }


def _read(run: Path) -> dict[str, NDArray[np.float64]] | None:
    rows = history_rows(run / "history.csv")
    if not rows or not set(_COLUMNS.values()) <= set(rows[0]):
        return None
    names = ("update", *_COLUMNS.values())
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def _curves(
    row: Mapping[str, Any], histories: Sequence[dict[str, NDArray[np.float64]] | None]
) -> dict[str, Any]:
    """Mean and interval at each epoch that all seeds of a row reached."""
    known = [history for history in histories if history is not None]
    n_epochs = min(len(history["update"]) for history in known)
    curve: dict[str, Any] = {"updates": known[0]["update"][:n_epochs].tolist()}
    for way, column in _COLUMNS.items():
        values = np.stack([history[column][:n_epochs] for history in known])  # (n_seeds, E)
        points = [summarise(dict(enumerate(at.tolist()))) for at in values.T]
        means = [point.mean for point in points]
        curve[way] = {
            "mean": means,
            "low": [m if p.low is None else p.low for p, m in zip(points, means, strict=True)],
            "high": [m if p.high is None else p.high for p, m in zip(points, means, strict=True)],
        }
    return curve


def _first(
    history: Mapping[str, NDArray[np.float64]] | None, way: str, level: float
) -> float | None:
    """Updates until the level is first reached, linearly interpolated between two epochs."""
    assert history is not None
    updates = np.append(0.0, history["update"])
    values = np.append(0.0, history[_COLUMNS[way]])
    reached = np.flatnonzero(values >= level)
    if not len(reached):
        return None
    at = int(reached[0])
    part = (level - values[at - 1]) / (values[at] - values[at - 1])
    return float(updates[at - 1] + part * (updates[at] - updates[at - 1]))
