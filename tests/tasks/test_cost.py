"""The output of a dry run: each distinct model once, and the total cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.tasks.cost import Speed, span
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf, trainer_config


def test_a_grid_is_measured_once_a_model_and_nothing_is_trained(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = (*TINY, *TINY_SOUNDSCAPES, "seed=0,1,2", "model.conv_channels=2,4")
    assert sedtf("train", *settings, "output_dir=sweep", multirun=True, dry_run=True) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["3", "3"]
    # 6 recordings of 4 s are 12 sequences of 64 frames, in batches of 4, for 2 epochs
    assert [line.split()[1] for line in lines[1:3]] == ["6", "6"]
    assert lines[3].startswith("6 runs: training takes ")
    assert not (tmp_path / "sweep").exists()


def test_runs_in_several_processes_are_measured_in_one_and_have_the_room_of_several(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sed_cli.cli.sweeps.local.n_cores", lambda: 2)
    settings = (*TINY, *TINY_SOUNDSCAPES, "trainer.devices=1,2", "hydra/launcher=local")
    assert sedtf("train", *settings, multirun=True, dry_run=True) == 0
    out = capfd.readouterr().out
    assert "timed in one process" in out
    assert "2 runs: training takes" in out  # one at a time


def test_only_training_has_a_dry_run(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    assert sedtf("simulate", dry_run=True) == 2
    assert "--dry-run" in capfd.readouterr().err


def test_updates_end_where_the_settings_say(sedtf: Sedtf) -> None:
    from sed_cli.config.verbs import TrainConfig

    class Config(TrainConfig):
        def __init__(self, **values: int) -> None:
            self.trainer = trainer_config(**values)  # type: ignore[arg-type]

    speed = Speed(update_s=2.0, validation_s=10.0, n_batches=4)
    assert speed.of(Config(epochs=3)) == (12, 12 * 2.0 + 3 * 10.0)
    assert speed.of(Config(epochs=3, max_updates=5)) == (5, 5 * 2.0 + 2 * 10.0)
    assert speed.of(Config(epochs=3), trained=2) == (4, 4 * 2.0 + 10.0)
    assert speed.of(Config(epochs=3, max_updates=5), trained=2) == (0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "at_once", "expected"),
    [([1, 1, 1], 1, 3), ([1, 1, 1], 2, 2), ([3, 1, 1, 1], 2, 3), ([2], 4, 2)],
)
def test_jobs_side_by_side_take_as_long_as_the_last(
    seconds: list[float], at_once: int, expected: float
) -> None:
    assert span(seconds, at_once) == expected
