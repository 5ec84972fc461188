from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.metrics.detection import Bootstrap, describe
from sed_cli.reports import tables
from sed_cli.reports.tables import print_metrics
from tests.metrics.counted import KINDS

LABELS = ["[/music]", "[bold]", ":bell:", "Größe"]


def metrics_of(labels: list[str], **more: Any) -> dict[str, Any]:
    counts = np.random.default_rng(0).integers(1, 9, (6, 1 + len(labels), 4))
    counts[..., 1:3] += counts[..., :1] + counts[..., 3:]  # detected events exist
    counts[:, -1] = 0  # one class never occurs
    overall, per_class = describe(counts, labels, Bootstrap(50))
    return {
        "split": "test",
        "n_files": 6,
        **dict.fromkeys(KINDS, overall),
        "per_class": {label: dict.fromkeys(KINDS, of) for label, of in per_class.items()},
        "tuned_for": "frame",
        "plain": {kind: {"f1": 0.125, "er": None} for kind in ("frame", "segment", "event")},
        **more,
    }


def test_labels_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_metrics(metrics_of(LABELS), Path("run"))

    out = capsys.readouterr().out
    assert all(label in out for label in LABELS)


def test_all_figures_fit_into_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_WIDTH", 80)
    metrics = metrics_of(["falling_chirp", "cat"])

    print_metrics(metrics, Path("run"))

    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "…" not in out
    for kind in KINDS:
        for value in (metrics[kind]["er"], metrics[kind]["macro"]["f1"]):
            assert f"{value:.3f}" in out
        assert f"{metrics[kind]['interval']['f1'][0]:.3f}" in out
    assert out.count("0.125") == 3  # the value at a threshold of 0.5
    assert "tuned for frame F1" in out


def test_what_is_not_there_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = metrics_of(["cat", "dog"], tuned_for=None, plain=None)
    for kind in KINDS:
        metrics[kind] = {k: v for k, v in metrics[kind].items() if k != "interval"}

    print_metrics(metrics, Path("run"))

    out = capsys.readouterr().out
    assert "threshold 0.5" in out
    assert "F1 at 0.5" not in out
    assert "95 %" not in out
