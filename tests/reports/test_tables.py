from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.reports.tables import print_metrics


def test_labels_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    score = {"f1": 0.5, "er": None}
    kinds = {"frame": score, "segment": score, "event": score}
    labels = ["[/music]", "[bold]", ":bell:", "Größe"]
    metrics = {"split": "test", "n_files": 1, **kinds, "per_class": dict.fromkeys(labels, kinds)}
    print_metrics(metrics, Path("run"))
    out = capsys.readouterr().out
    assert all(label in out for label in labels)
