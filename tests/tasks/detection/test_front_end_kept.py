"""A detector on the features of a network, after the network is deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.audio.small_networks import POOL, energy
from tests.conftest import TRAINED, Sedtf

pytestmark = pytest.mark.slow


def test_eval_predict_and_resume_need_nothing_but_the_run(
    sedtf: Sedtf, tmp_path: Path, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = energy(tmp_path / "energy.onnx")
    features = ("feature=onnx", f"feature.path={network}", "feature.joined=true")
    own = (f"data.root={recordings}", "model.pooling=[3,2]", "output_dir=run")
    short = ("trainer.min_epoch_updates=4", "trainer.epochs=1")
    assert sedtf("train", *TRAINED, *features, *own, *short) == 0
    network.unlink()
    shutil.move("run", "moved")
    assert sedtf("eval", "checkpoint=moved", "output_dir=eval") == 0
    metrics = [json.loads(Path(run, "metrics.json").read_text()) for run in ("moved", "eval")]
    assert metrics[0] == metrics[1]
    audio = min((recordings / "audio").glob("test_*"))
    assert sedtf("predict", "checkpoint=moved", f"input={audio}") == 0
    assert sedtf("train", "resume=moved", "trainer.epochs=2") == 0
    assert len(Path("moved/history.csv").read_text().splitlines()) == 3
    capfd.readouterr()
    other = energy(tmp_path / "other.onnx", 80 * POOL)
    again = ("resume=moved", "trainer.epochs=3", f"feature.path={other}")
    assert sedtf("train", *again) == 2
    assert "the network of the front end have changed" in capfd.readouterr().err

    kept = Path("moved/checkpoints/best/front_end.onnx")
    kept.unlink()
    capfd.readouterr()
    assert sedtf("predict", "checkpoint=moved", f"input={audio}") == 2
    error = capfd.readouterr().err
    assert "front_end.onnx: missing" in error
    assert len(error.splitlines()) == 1
