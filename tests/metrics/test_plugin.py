"""Third-party metrics, through the command line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sed_cli.config import plugins
from sed_cli.config.registry import component
from sed_cli.config.tools import CompareConfig
from sed_cli.data.annotations import read_annotations
from sed_cli.errors import ConfigError
from sed_cli.metrics.metric import Figure, Metric
from tests.conftest import Sedtf

PLUGIN = '''
from sed_cli.config import component
from sed_cli.metrics.metric import Figure, Metric, TunableMetric
from sed_cli.metrics.counting import segment_hits
from sed_cli.metrics.detection import count_segments


@component("metric", "excess")
class Excess(Metric):
    """How many events too many."""

    TITLE = "excess"
    COUNTED = "events"
    FIGURES = (Figure("ratio", "excess of events", lower_is_better=True, is_fraction=False),)

    def count(self, compared):
        return len(compared.detected), len(compared.reference)

    def figures(self, counts):
        return {"ratio": counts[..., 0] / counts[..., 1]}


@component("metric", "half_second")
class HalfSecond(TunableMetric):
    """Whether a class is active within half a second."""

    TITLE = "half second"
    COUNTED = "segments of 0.5 s"

    def count(self, compared):
        sides = compared.reference, compared.detected
        return count_segments(*sides, compared.duration_s, compared.classes, 0.5)

    def hits(self, active, of, collar_s):
        return segment_hits(active, of, 0.5)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield path
    plugins.use([])


def test_metrics_of_a_plugin_are_tuned_for_written_compared_and_shown(
    plugin: Path,
    trained_run: Path,
    recordings: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(trained_run, "run"))
    mine = f"plugins=[{plugin}]"

    words = (f"checkpoint={run}", mine, "evaluation.metric=half_second", "output_dir=new")
    assert sedtf("eval", *words) == 0

    said = capfd.readouterr().out
    metrics = json.loads(Path("new/metrics.json").read_text())
    found = read_annotations(Path("new/events.tsv")).events
    n_found = sum(map(len, found.values()))
    n_there = sum(map(len, read_annotations(recordings / "test.tsv").events.values()))
    assert metrics["excess"]["counts"] == [n_found, n_there]
    assert metrics["excess"]["ratio"] == n_found / n_there
    assert len(metrics["excess"]["interval"]["ratio"]) == 2
    assert metrics["tuned_for"] == "half_second"
    assert metrics["half_second"]["counts"]["n_ref"] > metrics["segment"]["counts"]["n_ref"]
    assert set(metrics["per_class"]["low"]["half_second"]) >= {"f1", "er", "counts"}
    assert f"excess of events {n_found / n_there:.3f}" in said
    assert re.search(r"half\W+second", said)

    assert sedtf("compare", "run", "new", mine, "metric=excess", "output_dir=table") == 0
    comparison = json.loads(Path("table/comparison.json").read_text())
    with Path("table/comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    means = [row["scores"]["excess"]["ratio"]["mean"] for row in comparison["rows"]]
    assert means == [n_found / n_there, None]  # the older run, which lacks it, comes last
    assert [row["excess_ratio_mean"] for row in rows] == [str(n_found / n_there), ""]
    assert "excess of events" in Path("table/comparison.md").read_text()
    assert sedtf("compare", "run", mine, "metric=excess", "output_dir=none") == 2
    assert "metric=excess: no run has it; expected one of frame" in capfd.readouterr().err

    assert sedtf("report", "new", mine, "files=0", "output_dir=page") == 0
    page = Path("page/report.html").read_text()
    for text in ("excess of events", "How many events too many.", "segments of 0.5 s"):
        assert text in page


def test_a_run_is_compared_without_the_plugin_of_its_metric(
    plugin: Path, trained_run: Path, sedtf: Sedtf
) -> None:
    shutil.copytree(trained_run, "run")
    assert sedtf("eval", "checkpoint=run", f"plugins=[{plugin}]", "output_dir=new") == 0
    plugins.use([])
    assert sedtf("compare", "new", "output_dir=table") == 0
    (row,) = json.loads(Path("table/comparison.json").read_text())["rows"]
    assert "frame" in row["scores"]
    assert "excess" not in row["scores"]


def test_only_what_can_be_tuned_for_is_a_choice_for_tuning(
    plugin: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("train", f"plugins=[{plugin}]", "evaluation.metric=excess", "output_dir=x")
    assert sedtf(*words) == 2
    said = capfd.readouterr().err
    assert "evaluation.metric=excess: expected one of frame, segment, segment_100ms" in said
    assert "event_onset, half_second" in said
    config = CompareConfig(runs=["x"], metric="excess", output_dir="x")
    assert not [fault for fault in config.faults() if "metric" in fault]


def test_a_metric_may_not_take_the_name_of_another_key() -> None:
    class Taken(Metric):
        """A metric that would overwrite existing entries."""

        TITLE, COUNTED, FIGURES = "x", "x", (Figure("x", "x"),)

        def count(self, compared: Any) -> Any:
            return compared

        def figures(self, counts: Any) -> Any:
            return counts

    with pytest.raises(ConfigError, match=r"per_class.*is reserved"):
        component("metric", "per_class")(Taken)
