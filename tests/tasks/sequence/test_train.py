"""``task=sequence`` as a user runs it: train, resume, eval, predict, compare."""

from __future__ import annotations

import io
import json
import logging
import math
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.task import DONE
from sed_cli.cli.verbs import Flags
from sed_cli.config.tokens import TokensConfig
from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.models.kinds.language import LanguageConfig
from sed_cli.sampling.schedules.confidence import ConfidenceSchedule
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.sampling.teacher_mask import make_coins
from sed_cli.tasks.sequence.data import load_tokens
from sed_cli.tasks.sequence.task import NextToken
from sed_cli.training.losses.cross_entropy import CrossEntropy
from tests.conftest import Sedtf, trainer_config

TINY = (
    "task=sequence",
    "data.n_train=60",
    "data.n_validation=20",
    "data.n_test=20",
    "model.embedding_size=8",
    "model.rnn_hidden=12",
    "trainer.epochs=2",
    "device=cpu",
)


@pytest.fixture(scope="module")
def sentences_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run on generated sentences; must not be changed."""
    run = tmp_path_factory.mktemp("sentences") / "run"
    assert run_verb("train", [*TINY, f"output_dir={run}"], Flags()) == DONE
    return run


@pytest.fixture(scope="module")
def pairs_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run on generated pairs; must not be changed."""
    run = tmp_path_factory.mktemp("pairs") / "run"
    own = ("data=pairs", "data.generate=digits", "data.longest=3", f"output_dir={run}")
    assert run_verb("train", [*TINY, *own], Flags()) == DONE
    return run


def read_metrics(run: Path) -> dict[str, object]:
    metrics: dict[str, object] = json.loads((run / "metrics.json").read_text())
    return metrics


def test_a_run_folder_holds_what_is_promised(sentences_run: Path) -> None:
    for name in (
        "run.json", "history.csv", "metrics.json", "train.log", "figures/learning_curves.png",
        "figures/by_step.png", "checkpoints/best/model.safetensors",
        "checkpoints/last/classes.json",
    ):  # fmt: skip
        assert (sentences_run / name).is_file(), name
    header = (sentences_run / "history.csv").read_text().splitlines()[0].split(",")
    promised = (
        "epoch,update,p_teacher,train_loss,validation_loss,validation_f1,validation_er,"
        "learning_rate,seconds"
    )
    assert header[:9] == promised.split(",")
    assert "validation_perplexity" in header
    metrics = read_metrics(sentences_run)
    assert set(metrics["ngrams"]) == {"1", "2", "3"}  # type: ignore[call-overload]
    # only by chance is a model better than the grammar itself
    assert metrics["perplexity"] > metrics["best_possible_perplexity"]  # type: ignore[operator]
    losses = metrics["by_step"]["teacher_forced"]["loss"]  # type: ignore[index]
    n = metrics["by_step"]["n"]  # type: ignore[index]
    mean = sum(a * b for a, b in zip(losses, n, strict=True)) / metrics["n_targets"]
    assert math.exp(mean) == pytest.approx(metrics["perplexity"])


def test_eval_repeats_the_figures_of_the_run(sentences_run: Path, sedtf: Sedtf) -> None:
    assert sedtf("eval", f"checkpoint={sentences_run}", "output_dir=again") == 0
    assert read_metrics(Path("again")) == read_metrics(sentences_run)


def test_resuming_is_exact(sentences_run: Path, sedtf: Sedtf) -> None:
    assert sedtf("train", *TINY, "trainer.epochs=1", "output_dir=half") == 0
    assert sedtf("train", "resume=half", "trainer.epochs=2") == 0
    whole, half = (
        load_file(run / "checkpoints" / "last" / "model.safetensors")
        for run in (sentences_run, Path("half"))
    )
    assert all(whole[name].equal(half[name]) for name in whole)


def test_unknown_symbols_of_other_data_are_counted(sentences_run: Path, sedtf: Sedtf) -> None:
    Path("own.txt").write_text("this fox sleeps\nqwerty\n\nthis owl zzz\n", encoding="utf-8")
    own = ("data=tokens", "data.path=own.txt", "data.split=[1,0,0]", "split=train")
    assert sedtf("eval", f"checkpoint={sentences_run}", *own, "output_dir=own") == 0
    metrics = read_metrics(Path("own"))
    assert (metrics["n_sequences"], metrics["n_unknown"]) == (3, 2)


def test_prefixes_are_continued_from_standard_input(
    sentences_run: Path,
    sedtf: Sedtf,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("this fox\n\nété\n".encode())))
    asked = ("decoding.method=beam", "decoding.n_best=2", "decoding.max_length=6")
    assert sedtf("predict", f"checkpoint={sentences_run}", "input=-", *asked) == 0
    said = capsys.readouterr()
    header, *rows = [line.split("\t") for line in said.out.splitlines()]
    assert header == ["given", "continuation", "log_probability", "ended"]
    assert [row[0] for row in rows] == ["this fox", "this fox", "", "", "été", "été"]
    assert all(float(row[2]) < 0 for row in rows)
    assert float(rows[0][2]) >= float(rows[1][2])


def test_pairs_are_translated(pairs_run: Path, sedtf: Sedtf, tmp_path: Path) -> None:
    decoded = read_metrics(pairs_run)["decoded"]
    assert set(decoded) == {"greedy", "beam"}  # type: ignore[call-overload]
    assert (pairs_run / "predictions.tsv").read_text().startswith("source\ttarget\tgreedy\tbeam\n")
    (tmp_path / "numbers.txt").write_text("17\n250\n")
    own = ("input=numbers.txt", "output_dir=out", "decoding.max_length=5")
    assert sedtf("predict", f"checkpoint={pairs_run}", *own) == 0
    rows = (tmp_path / "out" / "numbers.continuations.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["given", "17", "250"]


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("predict", ["input=nowhere.txt"], "no such file"),
        ("predict", ["input=-", "format=raven"], "format is a setting for a detector"),
        ("predict", ["input=-", "decoding.temperature=0"], "decoding.temperature=0"),
        ("predict", ["input=-", "decoding.n_best=3"], "decoding.n_best=3"),
        ("eval", ["data=soundscapes"], "expected data=tokens or pairs or labels"),
        ("eval", ["data=pairs"], "only a model that was trained on pairs accepts sources"),
        ("export", [], "but a detector is needed"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    verb: str,
    arguments: list[str],
    said: str,
    sentences_run: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert sedtf(verb, f"checkpoint={sentences_run}", *arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    assert said in lines[-1]
    assert not any(line.startswith("Traceback") for line in lines)


def test_a_page_is_refused_in_a_line(
    sentences_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("report", str(sentences_run)) == 2
    assert "a run of task=sequence, for which sedtf report makes no page" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_runs_are_compared(
    sentences_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", *TINY, "sampler=teacher_forcing", "output_dir=forced") == 0
    capfd.readouterr()
    assert sedtf("compare", str(sentences_run), "forced", "output_dir=table") == 0
    out = capfd.readouterr().out
    assert "perplexity" in out
    comparison = json.loads(Path("table/comparison.json").read_text())
    means = [row["scores"]["sequence"]["perplexity"]["mean"] for row in comparison["rows"]]
    assert means == sorted(means)
    assert Path("table/figures/convergence.png").is_file()
    rows = comparison["convergence"]["rows"]
    assert all(len(curve["updates"]) == 2 for curve in rows.values())


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_a_run_without_validation_is_trained_and_compared(
    sentences_run: Path, sedtf: Sedtf
) -> None:
    assert sedtf("train", *TINY, "data.n_validation=0", "output_dir=alone") == 0
    assert sedtf("compare", str(sentences_run), "alone", "output_dir=table") == 0
    assert Path("table/figures/learning_curves.png").is_file()


def test_training_lowers_the_perplexity(sedtf: Sedtf) -> None:
    """Two symbols that alternate: after some updates the next one is known."""
    Path("ab.txt").write_text("".join("ab" * n + "\n" for n in range(3, 40)))
    own = ("data.path=ab.txt", "data.unit=char", "trainer.epochs=12", "trainer.batch_size=4")
    assert sedtf("train", *TINY, *own, "sampler=teacher_forcing", "output_dir=run") == 0
    metrics = read_metrics(Path("run"))
    assert metrics["perplexity"] < metrics["ngrams"]["1"] / 1.5  # type: ignore[index, operator]
    config = yaml.safe_load((Path("run") / "checkpoints" / "best" / "config.yaml").read_text())
    assert config["data"]["path"] == str(Path("ab.txt").absolute())


def test_a_batch_that_takes_much_memory_is_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sed_cli.tasks.sequence.task._MUCH", 4 * 3 * 6 * 7 - 1)
    (tmp_path / "text.txt").write_text("a b c d e\na b\nb a\n")
    config = SequenceTrainConfig(
        data=TokensConfig(path=str(tmp_path / "text.txt"), split=[1.0, 0.0, 0.0]),
        model=LanguageConfig(),
        sampler=ScheduledSampler(),
        trainer=trainer_config(loss=CrossEntropy()),
    )
    with caplog.at_level(logging.WARNING):
        NextToken(config, load_tokens(config.data), torch.device("cpu"))

    assert "logits of 3 sequences of 6 targets with 7 symbols take 0.0 GB" in caplog.text


@pytest.mark.parametrize(("bound", "p"), [(1.0, 1.0), (0.0, 0.0)])
def test_confidence_at_its_bounds_is_teacher_forcing_or_free_running(
    tmp_path: Path, bound: float, p: float
) -> None:
    (tmp_path / "text.txt").write_text("a b c d e\na b\nb a\n")
    losses = []
    for sampler in (
        ConfidenceSchedule(target_at_most=bound, own_at_most=1.0),
        ConstantSchedule(p=p),
    ):
        config = SequenceTrainConfig(
            data=TokensConfig(path=str(tmp_path / "text.txt"), split=[1.0, 0.0, 0.0]),
            model=LanguageConfig(),
            sampler=sampler,
            trainer=trainer_config(loss=CrossEntropy()),
        )
        torch.manual_seed(0)
        task = NextToken(config, load_tokens(config.data), torch.device("cpu"))
        coins = make_coins(sampler, batches_per_epoch=1, seed=0)
        losses.append(float(task.losses(task.batch([0, 1, 2], 1), coins)[0].detach()))
    assert losses[0] == losses[1]
