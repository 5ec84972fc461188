"""Figures of metrics in each epoch's validation."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.monitors import column_of, figures_of_metrics
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.tasks.detection.evaluate import evaluate_split
from sed_cli.tasks.detection.task import DetectionTask
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf
from tests.training.test_distributed import make_config, make_data


def test_each_figure_is_that_of_an_evaluation_at_a_fixed_threshold() -> None:
    known = figures_of_metrics()
    config = make_config(ConstantSchedule(p=0.5), monitor="event_f1", figures=list(known))
    torch.manual_seed(1)
    data = make_data()
    task = DetectionTask(config, data, torch.device("cpu"))
    with torch.no_grad():
        task.model.readout.bias.fill_(0.1)

    found = task.validate()

    assert found is not None
    settings = EvaluationConfig(bootstrap=0, diagnostics=True)
    expected = evaluate_split(task.detector, data, "validation", settings).metrics
    assert expected["event"]["counts"]["n_sys"] > 0
    for name, figure in known.items():
        value = expected[figure.metric][figure.figure]
        got = found.more[column_of(name)]
        assert got == pytest.approx(value, nan_ok=True) or value is None
    assert "event_f1 " in task.describe(found)


def test_nothing_more_is_worked_out_without_being_asked_for() -> None:
    config = make_config(ConstantSchedule(p=0.5), figures=["validation_er"])
    found = DetectionTask(config, make_data(), torch.device("cpu")).validate()
    assert found is not None
    assert dict(found.more) == {}


def test_psds_is_that_of_an_evaluation() -> None:
    pytest.importorskip("sed_scores_eval")
    config = make_config(ConstantSchedule(p=0.5), monitor="psds1", figures=["psds2"])
    data = make_data()
    task = DetectionTask(config, data, torch.device("cpu"))
    found = task.validate()
    assert found is not None
    settings = EvaluationConfig(bootstrap=0, psds=True)
    expected = evaluate_split(task.detector, data, "validation", settings).metrics["psds"]
    for name in ("psds1", "psds2"):
        assert found.more[f"validation_{name}"] == pytest.approx(expected[name]["psds"])


@pytest.mark.slow
def test_a_run_is_monitored_resumed_and_reported(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    own = ("trainer.monitor=segment_er", "trainer.figures=[event_f1]", "output_dir=run")
    assert sedtf("train", *TINY, *TINY_SOUNDSCAPES, *own) == 0
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    with Path("run/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert rows[0].keys() >= {"validation_segment_er", "validation_event_f1"}
    capfd.readouterr()
    assert sedtf("status", "run") == 0
    best = min(float(row["validation_segment_er"]) for row in rows)
    assert f"segment_er {best:.4g}" in capfd.readouterr().out
    assert sedtf("report", "run=run", "files=1", "output_dir=page") == 0
