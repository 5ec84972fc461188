"""Figures of a comparison: their content and layout, for few runs and for many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sed_cli.comparison import figures as comparison_figures
from sed_cli.comparison.figures import _aligned, _draw_band, _labels, _swept
from sed_cli.reports import style

pytestmark = pytest.mark.usefixtures("drawn")


def history_of(values: list[float]) -> dict[str, np.ndarray]:
    return {"epoch": np.arange(1.0, len(values) + 1), "validation_f1": np.array(values)}


def row_of(name: str, columns: dict[str, str], f1: float | None) -> dict[str, Any]:
    score = {"mean": f1, "low": None, "high": None, "n": 1, "by_seed": {0: f1}}
    return {"name": name, "columns": columns, "scores": {"frame": {"f1": score}}}


def test_a_line_continues_while_half_of_the_runs_do() -> None:
    runs = [history_of([0.1] * n) for n in (2, 5, 9)]

    epochs, values = _aligned(runs, "validation_f1")

    assert epochs.tolist() == [1, 2, 3, 4, 5]
    assert np.isfinite(values).sum(axis=1).tolist() == [2, 5, 5]


def test_the_band_reaches_from_the_lowest_to_the_highest_run() -> None:
    runs = [history_of([0.1, 0.5]), history_of([0.3, 0.2])]
    with style.applied():
        axes = style.new_figure(4, 3).subplots()
        _draw_band(axes, runs, "validation_f1", 0)

    (line,), (band,) = axes.lines, axes.collections
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.35])
    corners = band.get_paths()[0].vertices
    for epoch, low, high in ((1, 0.1, 0.3), (2, 0.2, 0.5)):
        own = corners[corners[:, 0] == epoch, 1]
        assert (own.min(), own.max()) == pytest.approx((low, high))


def test_rows_beyond_the_named_are_pale_and_without_a_band() -> None:
    runs = [history_of([0.1, 0.5]), history_of([0.3, 0.2])]
    with style.applied():
        axes = style.new_figure(4, 3).subplots()
        _draw_band(axes, runs, "validation_f1", comparison_figures.MAX_NAMED)

    assert axes.lines[0].get_color() == style.PALE
    assert not axes.collections


def test_a_swept_key_has_a_line_for_each_setting_of_the_others() -> None:
    rows = [
        row_of(f"{sampler} {gamma}", {"sampler": sampler, "gamma": gamma}, f1)
        for sampler, gamma, f1 in [
            ("a", "10", 0.3), ("a", "2", 0.2), ("b", "2", 0.1), ("b", "10", None),
            ("c", "2", 0.5), ("c", "4.5", 0.6), ("d", "-", 0.4),
        ]
    ]  # fmt: skip
    comparison = {"principal": {"kind": "frame", "name": "f1"}, "rows": rows}

    lines = _swept(comparison, "gamma")

    assert {name: [(p.x, p.mean) for p in points] for name, points in lines.items()} == {
        "sampler=a": [(2.0, 0.2), (10.0, 0.3)],
        "sampler=c": [(2.0, 0.5), (4.5, 0.6)],
    }
    assert _swept(comparison, "sampler") == {}  # no numbers


def test_names_that_are_cut_are_numbered_as_in_the_table() -> None:
    names = ["short", "a" * 200]

    assert _labels(["short", "other"]) == ["short", "other"]
    first, second = _labels(names)
    assert first == "1: short"
    assert second.startswith("2: aaa")
    assert len(second) < 70
