"""Calibrated confidences, from validation to eval, predict and listen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sed_cli.decoding.calibration import CalibratedTracker, ConfidenceMap
from sed_cli.decoding.saved import read_confidence_map, read_decoder
from sed_cli.errors import CheckpointError
from sed_cli.tasks.detection.load import load
from tests.conftest import Sedtf

HALVED = {"method": "isotonic", "confidences": [0.0, 1.0], "probabilities": [0.0, 0.5]}


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def calibrate(run: Path, values: object) -> None:
    path = run / "checkpoints" / "best" / "postprocessing.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": values}))


def found_by(run: Path, sedtf: Sedtf, audio: Path, capfd: pytest.CaptureFixture[str]) -> list[dict]:  # type: ignore[type-arg]
    capfd.readouterr()
    assert sedtf("predict", f"checkpoint={run}", f"input={audio}", "format=jsonl") == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_predict_and_stream_map_confidences_and_leave_events(
    run: Path, recordings: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    audio = recordings / "audio" / "test_0.wav"
    before = found_by(run, sedtf, audio, capfd)
    calibrate(run, HALVED)
    after = found_by(run, sedtf, audio, capfd)

    assert before
    for one, other in zip(before, after, strict=True):
        assert other["confidence"] == pytest.approx(one["confidence"] / 2, abs=1e-4)
        assert {**other, "confidence": 0} == {**one, "confidence": 0}
    detector = load(run)
    assert isinstance(detector.tracker(), CalibratedTracker)
    assert detector.tracker().latency_s == detector.decoder.tracker().latency_s


def test_eval_uses_the_map_of_the_checkpoint_for_its_own_events_alone(
    run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    def block(*words: str) -> dict[str, object]:
        shutil.rmtree("out", ignore_errors=True)
        assert sedtf("eval", f"checkpoint={run}", "output_dir=out", *words) == 0
        found: dict[str, object] = json.loads(Path("out/metrics.json").read_text())["calibration"]
        return found

    before = np.array(block()["counts"])
    calibrate(run, HALVED)
    kept = block()
    after = np.array(kept["counts"])
    assert kept["method"] == "isotonic"
    assert after[:, 1].sum() == pytest.approx(before[:, 1].sum() / 2, abs=1e-3)
    assert (after[:, [0, 2]].sum(axis=0) == before[:, [0, 2]].sum(axis=0)).all()
    assert block("evaluation.calibrate=none")["method"] == "none"
    assert block("evaluation.calibrate=temperature")["method"] == "temperature"
    capfd.readouterr()
    assert block("evaluation.min_duration_s=0.5")["method"] == "none"
    assert "confidences are not calibrated; evaluation.calibrate=auto" in capfd.readouterr().err


def test_what_is_set_is_kept_by_the_checkpoint(run: Path, sedtf: Sedtf) -> None:
    words = (f"resume={run}", "evaluation.calibrate=isotonic", "trainer.epochs=3")
    assert sedtf("train", *words) == 0
    best = run / "checkpoints" / "best"
    found = read_confidence_map(best)
    assert found is not None
    assert found.method == "isotonic"
    assert read_decoder(best, ["high", "low"], 0.02).NAME == "threshold"  # as without it


@pytest.mark.parametrize("values", [[], {"method": "isotonic"}, {**HALVED, "confidences": [1, 0]}])
def test_a_damaged_map_is_refused_in_a_line(run: Path, values: object) -> None:
    calibrate(run, values)
    with pytest.raises(CheckpointError, match=r"postprocessing\.json.*calibration is invalid"):
        load(run)
    assert ConfidenceMap.from_json(HALVED)(np.array([0.8])) == pytest.approx([0.4])
