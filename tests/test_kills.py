"""Training that is killed again and again ends as if nothing had happened."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

_SETTINGS = (*TINY, *TINY_SOUNDSCAPES, "trainer.epochs=12", "trainer.patience=12", "seed=3")
_KILLS = 8


def outcome(run: Path) -> dict[str, Any]:
    """All results of a run except times."""
    with (run / "history.csv").open() as file:
        history = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    weights = {
        name: (run / "checkpoints" / name / "model.safetensors").read_bytes()
        for name in ("best", "last")
    }
    return {
        "history": history,
        "metrics": json.loads((run / "metrics.json").read_text()),
        "events": (run / "events.tsv").read_text(),
        **weights,
    }


def hidden(run: Path) -> list[str]:
    """Incomplete files and folders; Hydra's have other names."""
    return [str(path) for path in run.rglob(".*") if path.name != ".hydra"]


@pytest.mark.slow
def test_a_training_that_is_killed_at_any_moment_ends_as_if_undisturbed(
    sedtf: Sedtf, tmp_path: Path
) -> None:
    assert sedtf("train", *_SETTINGS, "output_dir=undisturbed") == 0
    expected, draws = outcome(Path("undisturbed")), random.Random(0)
    run = tmp_path / "killed"
    killed = 0
    while True:
        is_begun = (run / "checkpoints").is_dir()
        if not is_begun:  # before its first epoch had ended
            shutil.rmtree(run, ignore_errors=True)
        words = [f"resume={run}"] if is_begun else [*_SETTINGS, f"output_dir={run}"]
        command = [sys.executable, "-m", "sed_cli", "train", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
            if killed < _KILLS:
                # From its first checkpoint on, most of the time.
                until = time.monotonic() + 60
                wait_for = run / "checkpoints" if draws.random() < 0.8 else tmp_path
                while not wait_for.is_dir() and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(draws.uniform(0, 4))
                process.kill()
                killed += 1
            _, said = process.communicate(timeout=300)
        if process.returncode == 0:
            break
        assert process.returncode == -9, said
    assert outcome(run) == expected
    assert hidden(run) == []
    assert json.loads((run / "run.json").read_text())["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [4_000, 20_000, 45_000])  # weights, state, metrics
def test_a_training_whose_files_may_not_grow_goes_on_as_if_undisturbed(
    sedtf: Sedtf, tmp_path: Path, n_bytes: int
) -> None:
    assert sedtf("train", *_SETTINGS, "output_dir=undisturbed") == 0
    run = tmp_path / "limited"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, -1))"
    code = f"{limit}\nfrom sed_cli.app import main\nmain()"
    command = [sys.executable, "-c", code, "train", *_SETTINGS, f"output_dir={run}"]

    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    assert "ulimit -f" in process.stderr.splitlines()[-1]
    assert sedtf("train", f"resume={run}") == 0
    assert outcome(run) == outcome(Path("undisturbed"))
    assert hidden(run) == []
