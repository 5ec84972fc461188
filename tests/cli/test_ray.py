"""``hydra/launcher=ray``: a real Ray instance, started on this machine for the tests."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TINY, TINY_SOUNDSCAPES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs sedtf[ray]"),
]


def start(folder: Path, *settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sed_cli", "train", "-m", *TINY, *TINY_SOUNDSCAPES]
    own = ("hydra/launcher=ray", f"output_dir={folder}", *settings)
    return subprocess.Popen(
        [*command, *own], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def status(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["status"])


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(path.is_file() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.2)


def test_one_failing_job_leaves_the_others_whole(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=0,1", "trainer.lr=0.002,1e30", "trainer.grad_norm=null")
    out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 1, err
    assert [line.split("\t")[0] for line in out.splitlines()] == ["done", "failed"] * 2
    for seed in (0, 1):
        assert status(folder / f"seed={seed},trainer.lr=0.002") == "completed"
        assert status(folder / f"seed={seed},trainer.lr=1e+30") == "failed"


def test_a_killed_process_costs_its_job_alone(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=0,1", "trainer.epochs=200", "trainer.patience=999")
    wait_for(folder / "seed=0" / "history.csv", folder / "seed=1" / "history.csv")
    record = json.loads((folder / "seed=0" / "run.json").read_text())
    os.kill(record["process"]["pid"], signal.SIGKILL)
    out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 1, err
    assert [line.split("\t")[0] for line in out.splitlines()] == ["interrupted", "done"]
    assert "its process was lost" in err


def test_ctrl_c_ends_the_jobs_gracefully(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=0,1,2", "trainer.epochs=9999", "trainer.patience=9999")
    wait_for(folder / "seed=0" / "history.csv", folder / "seed=1" / "history.csv")
    sweep.send_signal(signal.SIGINT)
    out, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, err
    assert [line.split("\t")[0] for line in out.splitlines()][:2] == ["interrupted"] * 2
    assert [status(folder / f"seed={seed}") for seed in (0, 1)] == ["interrupted"] * 2
