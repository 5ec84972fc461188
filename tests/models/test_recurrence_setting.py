"""``trainer.recurrence``: how numbers are computed; the experiment stays the same."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sed_cli.comparison.runs import find_runs, group_runs
from sed_cli.config.identity import config_hash
from sed_cli.config.tokens import TokensConfig
from sed_cli.config.verbs import SequenceTrainConfig
from tests.comparison.folders import write_run
from tests.conftest import Sedtf, trainer_config

TINY = (
    "task=sequence",
    *("data.n_train=12", "data.n_validation=4", "data.n_test=4"),
    *("model.embedding_size=4", "model.rnn_hidden=6", "trainer.epochs=1", "device=cpu"),
)


def losses(run: Path) -> list[float]:
    with (run / "history.csv").open() as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def test_another_back_end_is_no_other_experiment(tmp_path: Path) -> None:
    config = SequenceTrainConfig(data=TokensConfig(), trainer=trainer_config())
    other = replace(config, trainer=trainer_config(recurrence="plain"))
    assert config_hash(config) == config_hash(other)
    for number, recurrence in enumerate(["auto", "plain"]):
        write_run(tmp_path / str(number), {"seed": number, "trainer.recurrence": recurrence})
    assert len(group_runs(find_runs([tmp_path]))) == 1


def test_a_run_resumes_on_another_back_end_and_learns_the_same(sedtf: Sedtf) -> None:
    assert sedtf("train", *TINY, "output_dir=one") == 0
    assert sedtf("train", "resume=one", "trainer.recurrence=plain", "trainer.epochs=2") == 0
    assert sedtf("train", *TINY, "trainer.epochs=2", "output_dir=two") == 0
    assert losses(Path("one")) == pytest.approx(losses(Path("two")), rel=1e-5)  # order of sums


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels would be tried")
def test_triton_without_a_gpu_is_one_line(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    assert sedtf("train", *TINY, "trainer.recurrence=triton", "output_dir=run") == 2
    assert (
        "(trainer.recurrence): expected tensors on a CUDA device, got cpu" in capfd.readouterr().err
    )
