"""Jobs in separate processes: if one is killed, the others are unaffected."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sed_cli.cli.hydra import Composer
from sed_cli.cli.sweeps import local
from sed_cli.cli.sweeps.local import LocalLauncher
from sed_cli.cli.task import DONE, INTERRUPTED, HydraTask, Outcome
from sed_cli.cli.verbs import Flags


class Doing(HydraTask):
    """Acts as the seed says, in a process that imports this module."""

    def __call__(self, raw: DictConfig) -> Outcome:
        folder = HydraConfig.get().runtime.output_dir
        sys.stdout.write(f"said by {raw.seed}\n")
        sys.stdout.flush()
        if raw.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if raw.seed == 2:
            os._exit(3)
        return Outcome(DONE, folder, float(os.environ["OMP_NUM_THREADS"]))


@pytest.mark.parametrize(
    ("gpus", "devices", "expected"),
    [
        ([], 1, [("3", None), ("3", None)]),
        (["4", "5"], 1, [("6", "4"), ("6", "5"), ("6", "4")]),
        (["0", "1", "2", "3"], 2, [("3", "0,1"), ("3", "2,3")]),
    ],
)
def test_cores_and_gpus_are_shared_out(
    gpus: list[str],
    devices: int,
    expected: list[tuple[str, str | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "n_cores", lambda: 12)
    monkeypatch.setattr(local, "_gpus", lambda: gpus)
    launcher = LocalLauncher(workers=None if gpus else 4)
    launcher.setup(
        hydra_context=None,  # type: ignore[arg-type]
        task_function=None,  # type: ignore[arg-type]
        config=DictConfig({"device": "auto", "trainer": {"devices": devices}}),
    )
    found = [launcher.environment(place) for place in range(len(expected))]
    assert [(f["OMP_NUM_THREADS"], f.get("CUDA_VISIBLE_DEVICES")) for f in found] == expected
    assert launcher.parallel == (len(gpus) // devices or 4)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_process_costs_its_job_alone(tmp_path: Path) -> None:
    flags = Flags(multirun=True)
    composer = Composer("train", flags)
    config = composer.compose(["hydra/launcher=local", f"output_dir={tmp_path}"], RunMode.MULTIRUN)
    launcher = LocalLauncher(workers=2, threads=3)
    launcher.setup(
        hydra_context=composer.context(config),
        task_function=Doing("train", flags),
        config=config,
    )
    place = f"output_dir={tmp_path}"
    jobs = [[f"seed={seed}", place, f"hydra.sweep.subdir=s{seed}"] for seed in range(4)]
    outcomes = [ret.return_value for ret in launcher.launch(jobs, 0)]
    launcher.close()
    assert [outcome.status for outcome in outcomes] == [
        DONE,
        INTERRUPTED,
        INTERRUPTED,
        DONE,
    ]
    assert "SIGKILL" in outcomes[1].error
    assert "exit code 3" in outcomes[2].error
    assert outcomes[3].objective == 3.0  # the threads that it was given
    assert (tmp_path / "s3" / ".hydra" / "overrides.yaml").is_file()
    assert "said by" in "".join(path.read_text() for path in (tmp_path / ".local").iterdir())
