"""Run folders, checkpoints and sweeps of version 0.1 can be read, resumed and compared."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from sed_cli.config.identity import config_hash
from sed_cli.config.plain import build_training
from tests.conftest import Sedtf

WRITTEN = Path(__file__).parent / "fixtures" / "version_0_1"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Output of version 0.1: a copy, since resuming writes into it."""
    return Path(shutil.copytree(WRITTEN, tmp_path / "written"))


@pytest.mark.parametrize("run", sorted(path.parent for path in WRITTEN.rglob("run.json")), ids=str)
def test_a_run_is_the_same_experiment_as_it_was(run: Path) -> None:
    """If this fails, a newer setting lacks its before=."""
    values = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
    recorded = json.loads((run / "run.json").read_text())["config_hash"]
    assert config_hash(build_training(values)) == recorded


def test_a_checkpoint_scores_as_it_did(sedtf: Sedtf, written: Path) -> None:
    before = json.loads((written / "detector" / "metrics.json").read_text())
    arguments = (f"checkpoint={written / 'detector'}", "output_dir=again", "device=cpu")
    assert sedtf("eval", *arguments, "evaluation.metric=null", "evaluation.bootstrap=0") == 0
    again = json.loads(Path("again/metrics.json").read_text())
    assert again["n_files"] == before["n_files"]
    for kind in ("frame", "segment", "event"):
        # Soundscapes are generated again, and transforms differ in the last bits between machines.
        assert again[kind]["f1"] == pytest.approx(before[kind]["f1"], abs=0.03)


def test_a_run_is_resumed(sedtf: Sedtf, written: Path) -> None:
    run = written / "sequence"
    assert sedtf("train", f"resume={run}", "trainer.epochs=2", f"output_dir={run}") == 0
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    with (WRITTEN / "sequence" / "history.csv").open() as file:
        assert rows[0] == next(csv.DictReader(file))


def test_a_finished_sweep_has_nothing_left_to_do(
    sedtf: Sedtf, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = written / "sweep"
    command = json.loads((sweep / "sweep.json").read_text())["command"]
    kept = [word for word in command if not word.startswith("output_dir=")]
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("model.safetensors")}
    assert sedtf("train", *kept, f"resume_sweep={sweep}", multirun=True) == 0
    assert {path: path.stat().st_mtime_ns for path in sweep.rglob("model.safetensors")} == before


def test_a_sweep_is_compared_and_its_status_is_shown(
    sedtf: Sedtf, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("compare", str(written / "sweep"), "output_dir=compared") == 0
    comparison = json.loads(Path("compared/comparison.json").read_text())
    assert len(comparison["rows"]) == 2
    assert sedtf("status", str(written / "sweep")) == 0
    assert "completed" in capsys.readouterr().out
