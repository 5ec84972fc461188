"""``sedtf report`` on real runs: the content of the page, and its notes if data are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sed_cli.config.data import AnnotatedConfig
from sed_cli.tasks.detection.report import _feeds_back, _source
from tests.conftest import Sedtf
from tests.reports.test_page import read_page


def contents(folder: Path) -> dict[str, Any]:
    page, found = read_page(folder / "report.html")
    assert page.fetched == []
    return found


def test_the_page_of_a_training_holds_what_the_run_scored(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("report", str(trained_run), "device=cpu", "output_dir=page") == 0
    assert capfd.readouterr().out.strip().endswith("page/report.html")
    found = contents(tmp_path / "page")
    content = found["content"]
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert content["metrics"] == metrics
    assert content["notes"] == []
    assert content["classes"] == ["high", "low"]
    assert len(content["history"]["p_teacher"]) == len(content["history"]["epoch"])
    counts = metrics["frame"]["counts"]
    assert sum(map(sum, content["confusions_s"])) == pytest.approx(
        counts["subs"] * content["hop_s"], rel=1e-6
    )
    annotated, detected = content["event_outcomes"]
    assert sum(of[0] for of in annotated) == metrics["event"]["counts"]["tp"]
    assert sum(map(sum, annotated)) == metrics["event"]["counts"]["n_ref"]
    assert sum(map(sum, detected)) == metrics["event"]["counts"]["n_sys"]
    assert sorted(file["name"] for file in content["files"]) == [
        "test_0.wav",
        "test_1.flac",
        "test_2.ogg",
    ]
    assert {f"recording-{index}" for index in range(3)} <= set(found)
    assert [found[f"recording-{i}"]["name"] for i in range(3)] == [
        file["name"] for file in content["files"]
    ]


def test_fewer_files_and_shorter_stretches_are_shown(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path
) -> None:
    settings = ("files=1", "longest_s=1.0", "device=cpu", "output_dir=page")
    assert sedtf("report", str(trained_run), *settings) == 0
    found = contents(tmp_path / "page")
    assert len(found["content"]["files"]) == 1
    assert found["content"]["n_files"] == 3
    start, end = found["recording-0"]["window"]
    assert end - start == pytest.approx(1.0, abs=0.05)
    assert found["recording-0"]["duration"] == pytest.approx(3.0, abs=0.05)


def test_an_evaluation_is_shown_with_the_curves_of_its_training(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained_run, tmp_path / "trained")
    settings = ("checkpoint=trained", "split=validation", "output_dir=evaluated", "device=cpu")
    assert sedtf("eval", *settings) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # where the checkpoint's relative path leads nowhere
    assert sedtf("report", "../evaluated", "device=cpu", "output_dir=page") == 0
    content = contents(tmp_path / "elsewhere" / "page")["content"]
    assert content["metrics"]["split"] == "validation"
    assert content["history"]["epoch"]
    assert content["files"][0]["name"].startswith("validation_")


def test_an_evaluation_of_other_recordings_is_shown_with_all_that_it_scored(
    trained_run: Path, tmp_path: Path
) -> None:
    (tmp_path / ".hydra").mkdir()
    values = {"checkpoint": str(trained_run), "split": "test", "data": {"kind": "annotated"}}
    values["data"]["root"] = str(tmp_path / "others")  # type: ignore[index]
    (tmp_path / ".hydra" / "config.yaml").write_text(json.dumps(values))
    source = _source(tmp_path, {"metrics": {"frame": {}}, "record": {"verb": "eval"}})
    assert isinstance(source.data, AnnotatedConfig)
    assert (source.data.train, source.data.validation) == (None, None)


def test_a_run_whose_recordings_are_gone_is_shown_without_them(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    config = tmp_path / "run" / "checkpoints" / "best" / "config.yaml"
    lines = config.read_text().splitlines()
    moved = ["  root: gone" if line.startswith("  root:") else line for line in lines]
    assert moved != lines
    config.write_text("\n".join(moved))
    assert sedtf("report", "run", "output_dir=page") == 0
    content = contents(tmp_path / "page")["content"]
    assert content["files"] == []
    (note,) = content["notes"]
    assert "data.root=gone: no such folder" in note
    said = [line for line in capfd.readouterr().err.splitlines() if "gone" in line]
    assert len(said) == 1
    assert content["metrics"]["per_class"]


def test_a_run_without_checkpoint_or_scores_keeps_its_curves(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "metrics.json").unlink()
    assert sedtf("report", "run", "output_dir=page") == 0
    content = contents(tmp_path / "page")["content"]
    assert content["metrics"] is None
    assert content["history"]["epoch"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere: no such folder"),
        (("empty",), "not the folder of a run"),
        ((), "run is not set"),
        (("empty", "run"), "takes one folder, got 2"),
        (("run", "files=-1"), "files=-1: expected at least 0"),
        (("run", "longest_s=0"), "longest_s=0.0: expected a number above 0"),
        (("run", "file=3"), "did you mean files?"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    words: tuple[str, ...],
    said: str,
    sedtf: Sedtf,
    trained_run: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").symlink_to(trained_run)
    assert sedtf("report", *words) == 2
    error = capfd.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_broken_run_is_answered_in_one_line(
    sedtf: Sedtf, trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text("{")
    assert sedtf("report", "run") == 2
    assert "metrics.json: cannot be read" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("model", "feeds_back"),
    [
        ({"feedback": True}, True),  # of a run from before models were named
        ({"feedback": False, "kind": "crnn"}, False),
        ({"kind": "crnn_bidirectional"}, False),
        ({"kind": "of_a_plugin"}, True),
        ({"kind": "crnn", "of_another_version": 3}, True),
    ],
)
def test_the_page_asks_the_model_whether_anything_was_fed_back(
    model: dict[str, Any], feeds_back: bool
) -> None:
    assert _feeds_back(model) is feeds_back
