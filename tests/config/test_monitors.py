"""Figures for choosing the best epoch."""

from __future__ import annotations

import sys

import pytest

from sed_cli.config.monitors import (
    best_epoch,
    column_of,
    faults_of_figures,
    figures_of_metrics,
    is_lower_better,
)
from tests.conftest import Sedtf


def test_each_figure_of_each_metric_has_a_name_and_a_direction() -> None:
    found = figures_of_metrics()
    assert {"event_f1", "event_er", "segment_f1", "bin_accuracy", "syllable_error_rate"} <= set(
        found
    )
    worse = {"event_er", "syllable_error_rate", "calibration_ece", "validation_loss", "er"}
    assert all(is_lower_better(name) for name in worse)
    better = {"event_f1", "validation_f1", "psds1", "frame_map", "validation_forced_accuracy"}
    assert not any(is_lower_better(name) for name in better)


def test_of_equal_epochs_the_one_of_least_loss_is_the_best() -> None:
    history = {
        "epoch": [1.0, 2.0, 3.0, 4.0],
        "validation_f1": [0.0, 0.0, None, 0.0],
        "validation_loss": [0.3, 0.2, 0.1, 0.2],
        "validation_er": [1.0, 0.9, None, 1.0],
    }
    assert best_epoch(history, "validation_f1") == 2
    assert best_epoch(history, "er") == 2
    assert best_epoch(history, "validation_loss") == 3
    assert best_epoch(history, "event_f1") is None


def test_a_column_may_be_named_as_the_history_does() -> None:
    assert column_of("event_f1") == column_of("validation_event_f1") == "validation_event_f1"
    assert list(faults_of_figures("validation_event_f1", ["validation_loss", "f1"])) == []


def test_psds_asks_for_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    (fault,) = faults_of_figures("psds1", [])
    assert fault == ("trainer.monitor=psds1 needs sed_scores_eval: pip install 'sedtf[psds]'")


def test_what_cannot_be_monitored_is_refused_with_what_can(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "trainer.monitor=even_f1", "output_dir=run") == 2
    line = (
        "trainer.monitor=even_f1: even_f1 is not a figure of validation: "
        "expected one of validation_f1, "
    )
    text = capfd.readouterr().err
    assert line in text
    assert "event_f1" in text
    words = ("task=sequence", "trainer.monitor=event_f1", "trainer.figures=[event_f1]")
    assert sedtf("train", *words, "output_dir=run") == 2
    text = capfd.readouterr().err
    assert "trainer.monitor=event_f1: expected one of validation_f1, validation_loss, " in text
    assert "trainer.figures=['event_f1']: all metrics of task=sequence are" in text
