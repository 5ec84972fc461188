"""``init=RUN`` as a user gives it: what is loaded, resumed and refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sed_cli.config.evaluation import SequenceEvaluationConfig
from sed_cli.config.identity import config_hash
from sed_cli.config.tokens import TokensConfig
from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.models.kinds.language import LanguageConfig
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.tasks.sequence.data import load_tokens
from sed_cli.tasks.sequence.task import NextToken
from sed_cli.training.checkpoint import read_config, save_checkpoint
from sed_cli.training.initial import initialise
from sed_cli.training.losses.cross_entropy import CrossEntropy
from tests.conftest import TINY, Sedtf, trainer_config

LOW = ("data=annotated", "data.sequence_length=50", "data.classes=[low]", "trainer.max_updates=2")
EPOCH = (*TINY, *LOW, "trainer.min_epoch_updates=1")


def weights(run: Path, checkpoint: str = "last") -> dict[str, Tensor]:
    return load_file(run / "checkpoints" / checkpoint / "model.safetensors")


def origin(run: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((run / "run.json").read_text())["init"]
    return found


def test_a_training_begins_with_what_another_has_learnt_and_continues_without_it(
    trained_run: Path, recordings: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    shutil.copytree(trained_run / "checkpoints" / "best", tmp_path / "first")
    frozen = ("trainer.freeze=[blocks,cell]", "trainer.lr_scale={readout: 0.5}")
    own = (f"data.root={recordings}", "init=first", "init_normalisation=1", "output_dir=run")
    assert sedtf("train", *EPOCH, *own, *frozen) == 0
    there, here = weights(trained_run, "best"), weights(tmp_path / "run")
    for name, value in here.items():
        if name == "cell.weight_ih":  # classes were high and low
            assert value.equal(there[name][:, [*range(value.shape[1] - 1), -1]])
        elif not name.startswith("readout"):
            assert value.equal(there[name]), name
    row = there["readout.weight"][1]
    assert 0 < (here["readout.weight"][0] - row).abs().max() < 0.01  # two updates
    log = (tmp_path / "run" / "train.log").read_text()
    assert "readout        all    -" in log
    assert "unused labels: high" in log

    digest = hashlib.sha256((tmp_path / "first" / "model.safetensors").read_bytes()).hexdigest()
    expected = {"checkpoint": str(tmp_path / "first"), "sha256": digest}
    assert origin(tmp_path / "run") == expected
    shutil.rmtree(tmp_path / "first")
    assert sedtf("train", "resume=run", "trainer.max_updates=3") == 2  # another experiment
    assert sedtf("train", "resume=run", "trainer.patience=11") == 0
    assert origin(tmp_path / "run") == expected
    log = (tmp_path / "run" / "train.log").read_text()
    assert "is not applied again" in log
    after = weights(tmp_path / "run")
    assert all(after[name].equal(value) for name, value in here.items())


def test_a_run_without_it_has_the_hash_that_it_had(trained_run: Path) -> None:
    config = read_config(trained_run)
    assert (config.init, config.trainer.freeze, config.trainer.lr_scale) == (None, [], {})
    before = config_hash(config)
    config.init = "somewhere"
    assert config_hash(config) != before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["init=nowhere"], "init=nowhere: no such folder"),
        (["init_normalisation=0.5"], "init_normalisation=0.5 has no effect without init: drop it"),
        (["init=RUN", "trainer.freeze=[blocks,head]"], "no part head: expected some of blocks"),
        (
            ["init=RUN", "model.conv_channels=3", "model.rnn_hidden=9"],
            "no part of it fits this model (blocks.0: conv.weight: (4, 1, 5, 5) in the run",
        ),
        (
            ["init=RUN", "init_normalisation=1", "feature.n_mels=80"],
            "but that run normalised 40 features per frame and this one has 80",
        ),
    ],
)
def test_what_cannot_be_begun_with_is_refused_in_a_line(
    given: list[str],
    message: str,
    trained_run: Path,
    recordings: Path,
    sedtf: Sedtf,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word.replace("RUN", str(trained_run)) for word in given]
    assert sedtf("train", *EPOCH, f"data.root={recordings}", *given, "output_dir=run") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("sedtf: ")
    assert message in last.replace(str(Path.cwd()) + "/", "")


def test_a_run_of_another_task_is_refused(
    trained_run: Path, sedtf: Sedtf, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "task=sequence", f"init={trained_run}", "output_dir=run") == 2
    assert "a detector (task=sed), whose weights do not fit" in capsys.readouterr().err


def test_symbols_keep_what_they_have_learnt(tmp_path: Path) -> None:
    def of(symbols: str) -> tuple[SequenceTrainConfig, NextToken]:
        text = tmp_path / "text.txt"
        text.write_text(symbols)
        config = SequenceTrainConfig(
            output_dir=str(tmp_path),
            data=TokensConfig(path=str(text), unit="char", split=[1.0, 0.0, 0.0]),
            model=LanguageConfig(embedding_size=3, rnn_hidden=4),
            sampler=ScheduledSampler(),
            trainer=trainer_config(loss=CrossEntropy()),
            evaluation=SequenceEvaluationConfig(),
        )
        return config, NextToken(config, load_tokens(config.data), torch.device("cpu"))

    old_config, old = of("abba")
    save_checkpoint(tmp_path / "old", old.model, old_config, old.labels, extra=old.save_extras)
    config, new = of("acca")
    config.init = str(tmp_path / "old")
    before = torch.get_rng_state()
    initialise(config, new)
    assert torch.get_rng_state().equal(before)
    there, here = old.model.embedding.weight, new.model.embedding.weight
    for symbol in ("<end>", "<unk>", "a"):
        assert here[new.labels.index(symbol)].equal(there[old.labels.index(symbol)])
    assert new.model.cell.weight_ih.equal(old.model.cell.weight_ih)


@pytest.mark.slow
def test_sweeps_and_several_processes_begin_with_it(
    trained_run: Path, recordings: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    own = (*EPOCH, f"data.root={recordings}", "trainer.freeze=[blocks]", "model.dropout=0")
    begun = f"init=null,{trained_run}"
    assert sedtf("train", *own, begun, "output_dir=sweep", multirun=True) == 0
    runs = sorted((tmp_path / "sweep").glob("*/run.json"))
    assert sorted("init" in json.loads(run.read_text()) for run in runs) == [False, True]
    one = f"init={trained_run}"
    assert sedtf("train", *own, one, "trainer.devices=2", "output_dir=both") == 0
    (alone,) = (run.parent for run in runs if "init" in json.loads(run.read_text()))
    for name, value in weights(tmp_path / "both").items():
        assert torch.allclose(value, weights(alone)[name], atol=1e-5), name
    assert origin(tmp_path / "both") == origin(alone)
