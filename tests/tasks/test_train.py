"""Training as a user runs it: its files, and that it repeats, resumes and learns."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.cli.hydra import Composer
from sed_cli.cli.verbs import Flags
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.identity import config_hash
from sed_cli.config.plain import build_training
from sed_cli.config.provenance import choose_device
from sed_cli.config.registry import joined
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.annotations import read_annotations
from sed_cli.data.cache import digests, memory
from sed_cli.data.sequences import SequenceBatch
from sed_cli.data.sets import load_data
from sed_cli.system.records import at_work
from sed_cli.tasks import train as run_module
from sed_cli.tasks.detection.load import read_config
from sed_cli.tasks.detection.task import DetectionTask, load_recordings
from sed_cli.tasks.train import make_trainer
from sed_cli.training.history import Epoch, History
from sed_cli.training.loggers.tensorboard import TensorBoard
from sed_cli.training.loop import Trainer
from tests.conftest import ANNOTATED, TINY, TRAINED, Sedtf

HISTORY = (
    "epoch,update,p_teacher,train_loss,validation_loss,validation_f1,validation_er,"
    "learning_rate,seconds"
)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "history.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def on(recordings: Path) -> tuple[str, ...]:
    return (*ANNOTATED, f"data.root={recordings}")


def same_weights(a: Path, b: Path, checkpoint: str = "last") -> bool:
    one, other = (load_file(r / "checkpoints" / checkpoint / "model.safetensors") for r in (a, b))
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_run_folder_holds_what_the_interface_promises(trained_run: Path) -> None:
    for name in (
        ".hydra/config.yaml",
        "train.log",
        "run.json",
        "history.csv",
        "metrics.json",
        "events.tsv",
        "figures/learning_curves.png",
        "figures/events.png",
        *(f"checkpoints/{c}/{f}" for c in ("best", "last") for f in (
            "model.safetensors", "config.yaml", "classes.json")),
        "checkpoints/last/training_state.pt",
    ):  # fmt: skip
        assert (trained_run / name).stat().st_size > 0, name
    assert list((trained_run / "tensorboard").glob("events.*"))
    assert (trained_run / "history.csv").read_text().splitlines()[0] == HISTORY
    assert sorted(p.name for p in (trained_run / "checkpoints").iterdir()) == ["best", "last"]


def test_run_json_describes_the_run(trained_run: Path) -> None:
    run = json.loads((trained_run / "run.json").read_text())
    assert run["status"] == "completed"
    assert run["seed"] == 0
    assert run["device"] == "cpu"
    assert {"config_hash", "commit", "data_fingerprint", "started", "ended"} <= run.keys()
    assert {"sedtf", "python", "torch", "numpy"} <= run["versions"].keys()


def test_metrics_json_has_the_promised_shape(trained_run: Path) -> None:
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert (metrics["split"], metrics["n_files"]) == ("test", 3)
    for kind in ("frame", "segment", "event"):
        assert metrics[kind].keys() >= {"f1", "er", "precision", "recall", "counts"}
    assert metrics["per_class"].keys() == {"high", "low"} == metrics["thresholds"].keys()


def test_events_table_lists_every_test_file(trained_run: Path, recordings: Path) -> None:
    found = read_annotations(trained_run / "events.tsv").events
    assert found.keys() == read_annotations(recordings / "test.tsv").events.keys()


def test_eval_reproduces_what_train_wrote(trained_run: Path, sedtf: Sedtf, tmp_path: Path) -> None:
    assert sedtf("eval", f"checkpoint={trained_run}", "output_dir=eval") == 0
    for name in ("metrics.json", "events.tsv"):
        assert (tmp_path / "eval" / name).read_text() == (trained_run / name).read_text()


def test_eval_on_another_split_and_on_other_data(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    assert sedtf("eval", f"checkpoint={trained_run}", "split=validation", "output_dir=a") == 0
    other = (f"data.root={recordings}", "data.test.annotations=validation.tsv")
    assert sedtf("eval", f"checkpoint={trained_run}", "data=annotated", *other, "output_dir=b") == 0
    a, b = (json.loads((tmp_path / x / "metrics.json").read_text()) for x in "ab")
    assert (a.pop("split"), b.pop("split")) == ("validation", "test")
    assert a == b


def test_the_same_seed_repeats_exactly(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    settings = (*TRAINED, f"data.root={recordings}")
    assert sedtf("train", *settings, "output_dir=again") == 0
    assert same_weights(trained_run, tmp_path / "again")
    assert rows(trained_run) == rows(tmp_path / "again")
    assert sedtf("train", *settings, "seed=1", "output_dir=other") == 0
    assert not same_weights(trained_run, tmp_path / "other")


def test_a_run_is_the_same_whether_its_features_were_cached_or_not(
    sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    own = (f"data.cache_dir={tmp_path / 'cold'}",)
    for name in ("first", "second"):
        code = sedtf("train", *on(recordings), *own, "trainer.max_updates=2", f"output_dir={name}")
        assert code == 0

    assert same_weights(tmp_path / "first", tmp_path / "second")


@pytest.mark.parametrize(
    ("sampler", "feedback", "augment"),
    [
        pytest.param("scheduled", "hard", "none", marks=pytest.mark.slow),
        pytest.param("scheduled", "last_event", "none", marks=pytest.mark.slow),
        ("linear", "sampled", "full"),
    ],
)
def test_a_resumed_run_equals_an_undisturbed_one(
    sampler: str, feedback: str, augment: str, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    settings = (
        *on(recordings),
        f"sampler={sampler}",
        f"sampler.feedback={feedback}",
        "sampler.target_noise=0.1",
        f"augment={augment}",
        "trainer.patience=100",
    )
    assert sedtf("train", *settings, "trainer.epochs=4", "output_dir=whole") == 0
    assert sedtf("train", *settings, "trainer.epochs=2", "output_dir=parts") == 0
    assert sedtf("train", "resume=parts", "trainer.epochs=4") == 0
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert same_weights(tmp_path / "whole", tmp_path / "parts", "best")
    whole, parts = ((tmp_path / x / "metrics.json").read_text() for x in ("whole", "parts"))
    assert whole == parts


def test_resume_refuses_another_experiment(
    trained_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", f"resume={trained_run}", "sampler.gamma=0.5", "output_dir=x") == 2
    assert "sampler.gamma was 0.3 and is 0.5" in capfd.readouterr().err


def test_resume_refuses_fewer_epochs_than_are_trained(
    trained_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", f"resume={trained_run}", "trainer.epochs=1", "output_dir=x") == 2
    assert "has trained 2 epochs already" in capfd.readouterr().err


def test_augmentation_acts_on_training_and_on_nothing_else(recordings: Path) -> None:
    plain, augmented = (
        small_trainer(recordings, augment=augment, data__sequence_length=50)
        for augment in ("none", "full")
    )
    augmented.task.model.load_state_dict(plain.task.model.state_dict())

    heard = [[batch for batch, _ in trainer.batches(1)] for trainer in (plain, augmented)]

    assert [b.lengths.tolist() for b in heard[0]] == [b.lengths.tolist() for b in heard[1]]
    assert not any(torch.equal(a.log_mel, b.log_mel) for a, b in zip(*heard, strict=True))
    assert plain.task.validate() == augmented.task.validate() is not None


def test_augmentation_makes_another_experiment_and_the_cache_does_not(recordings: Path) -> None:
    data = AnnotatedConfig(root=str(recordings))
    config = TrainConfig(data=data)
    other = replace(config, augment=joined(AugmentConfig)(mixup=0.5))
    assert config_hash(config) != config_hash(other)
    limited = replace(config, data=replace(data, cache_limit_gb=3.0, cache_dir="elsewhere"))
    assert config_hash(config) == config_hash(limited)


def test_a_run_from_before_there_was_augmentation_is_loaded_and_resumed(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "old")
    for name in ("best", "last"):
        path = tmp_path / "old" / "checkpoints" / name / "config.yaml"
        config = OmegaConf.load(path)
        del config["augment"], config["data"]["cache_limit_gb"]
        OmegaConf.save(config, path)

    assert read_config(tmp_path / "old").augment == joined(AugmentConfig)()
    assert sedtf("train", "resume=old", "trainer.epochs=3") == 0
    assert len(rows(tmp_path / "old")) == 3


def test_audio_is_read_once_for_all_epochs_and_runs(
    sedtf: Sedtf, tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    read = soundfile.SoundFile.read

    def noted(self: soundfile.SoundFile, *args: object, **kwargs: object) -> object:
        if self.tell() == 0:
            decoded.append(Path(os.fsdecode(self.name)).name)
        return read(self, *args, **kwargs)

    def hash_again(path: Path) -> str:
        pytest.fail(f"{path} was hashed again")

    monkeypatch.setattr(soundfile.SoundFile, "read", noted)
    monkeypatch.setattr(memory, "SETTLED_AFTER_S", -60.0)
    settings = (
        *on(recordings),
        f"data.cache_dir={tmp_path / 'cache'}",
    )
    assert sedtf("train", *settings, "trainer.epochs=2", "output_dir=one") == 0
    assert sorted(decoded) == sorted(path.name for path in (recordings / "audio").iterdir())
    monkeypatch.setattr(digests, "file_digest", hash_again)
    assert sedtf("train", *settings, "trainer.epochs=2", "output_dir=two") == 0
    assert len(decoded) == 12
    assert same_weights(tmp_path / "one", tmp_path / "two")


def test_another_teacher_mask_changes_only_the_feedback(
    sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    """The mask has its own generator: weights, batches and dropout stay the same."""
    for name in ("step", "class"):  # the second makes as many draws for each class
        settings = ("sampler=free_running", f"sampler.coin={name}", f"output_dir={name}")
        assert sedtf("train", *on(recordings), *settings) == 0
    assert same_weights(tmp_path / "step", tmp_path / "class")


@pytest.mark.parametrize(
    "settings",
    [
        ["model=crnn_baseline"],
        pytest.param(["sampler=teacher_forcing"], marks=pytest.mark.slow),
        ["sampler=free_running", "sampler.feedback=soft"],
        ["sampler=scheduled", "sampler.unit=time_step", "sampler.coin=class"],
        pytest.param(["sampler=exponential", "sampler.coin=sequence"], marks=pytest.mark.slow),
        pytest.param(["sampler=inverse_sigmoid"], marks=pytest.mark.slow),
        pytest.param(
            ["model.onsets=true", "model.fed_outputs=onsets", "sampler.feedback=delayed"],
            marks=pytest.mark.slow,
        ),
        ["trainer.precision=bf16"],
        pytest.param(
            ["trainer.monitor=validation_loss", "trainer.grad_norm=null"], marks=pytest.mark.slow
        ),
        pytest.param(["feature=mel", "feature.backend=torchaudio"], marks=pytest.mark.slow),
        ["data.validation=null"],
        ["data.test=null"],
        ["data.classes=[low]"],
        ["augment=full", "feature=mel"],
    ],
)
def test_every_kind_of_run_completes(
    settings: list[str], sedtf: Sedtf, tmp_path: Path, recordings: Path, made: None
) -> None:
    assert sedtf("train", *on(recordings), *settings, "output_dir=run") == 0
    assert all(math.isfinite(float(row["train_loss"])) for row in rows(tmp_path / "run"))
    assert (tmp_path / "run" / "metrics.json").exists() == ("data.test=null" not in settings)


def test_a_diverging_run_fails_with_its_last_good_epoch_kept(
    sedtf: Sedtf, tmp_path: Path, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first epoch is one update with a finite loss; its weights must not be kept."""
    settings = ("trainer.lr=1e30", "trainer.grad_norm=null", "trainer.batch_size=64")
    assert sedtf("train", *on(recordings), *settings, "trainer.epochs=5", "output_dir=run") == 1
    assert "validation loss became nan" in capfd.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_resumed_elsewhere_takes_its_past_along(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    assert sedtf("train", f"resume={trained_run}", "trainer.epochs=3", "output_dir=longer") == 0
    assert [row["epoch"] for row in rows(tmp_path / "longer")] == ["1", "2", "3"]
    assert rows(tmp_path / "longer")[:2] == rows(trained_run)
    assert (tmp_path / "longer" / "checkpoints" / "best").is_dir()


def test_resume_refuses_other_recordings(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path, recordings: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(recordings, tmp_path / "edited")
    table = tmp_path / "edited" / "train.tsv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    assert sedtf("train", f"resume={trained_run}", "data.root=edited", "output_dir=x") == 2
    assert "have changed; start a new run" in capfd.readouterr().err


def test_recordings_are_found_from_another_working_folder(
    sedtf: Sedtf, tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(recordings.parent)
    assert sedtf("train", *on(Path(recordings.name)), f"output_dir={tmp_path / 'run'}") == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / recordings.name).mkdir()  # another data set, with the name that the run was given
    assert sedtf("eval", "checkpoint=run", "output_dir=eval") == 0
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    assert sedtf("train", "resume=run", "trainer.epochs=4", "data.root=nowhere") == 2
    assert "nowhere: no such folder" in capfd.readouterr().err


def test_a_run_folder_is_not_used_twice(
    trained_run: Path, sedtf: Sedtf, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (trained_run / ".hydra" / "overrides.yaml").read_text()
    assert sedtf("train", *on(recordings), "seed=7", f"output_dir={trained_run}") == 2
    assert "already holds a run" in capfd.readouterr().err
    assert (trained_run / ".hydra" / "overrides.yaml").read_text() == before


def test_broken_recordings_are_named_before_training(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    (root / "audio").mkdir(parents=True)
    (root / "audio" / "a.wav").write_text("this is no audio")
    (root / "train.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0.1\t0.2\tx\n")
    none = ("data.validation=null", "data.test=null")
    assert sedtf("train", "data=annotated", f"data.root={root}", *none) == 2
    error = capfd.readouterr().err
    assert "a.wav: cannot be read as audio" in error
    assert "Traceback" not in error


def make_epoch(n: int, *, validation_f1: float = math.nan, validation_loss: float = 1.0) -> Epoch:
    return Epoch(
        epoch=n,
        update=n,
        p_teacher=0.5,
        train_loss=1.0,
        validation_loss=validation_loss,
        validation_f1=validation_f1,
        validation_er=0.1,
        learning_rate=1e-3,
        seconds=1.0,
    )


def small_trainer(recordings: Path, **settings: object) -> Trainer[SequenceBatch]:
    overrides = [*on(recordings), *(f"{k.replace('__', '.')}={v}" for k, v in settings.items())]
    values = OmegaConf.to_container(Composer("train", Flags()).compose(overrides))
    assert isinstance(values, dict)
    plain = {str(k): v for k, v in values.items() if k != "hydra"} | {"output_dir": ""}
    config = build_training(plain)
    return make_trainer(
        config, DetectionTask(config, load_recordings(config), choose_device("cpu"))
    )


def test_padding_does_not_enter_the_loss(recordings: Path) -> None:
    """The loss of a padded batch is the mean over valid frames."""
    losses = []
    for n_padded in (0, 17):
        torch.manual_seed(0)
        trainer = small_trainer(recordings, model__dropout=0.0, sampler="free_running")
        random = torch.Generator().manual_seed(3)
        log_mel = torch.randn(2, 30, 40, generator=random)
        targets = (torch.rand(2, 30, 2, generator=random) > 0.5).float()
        pad = (0, 0, 0, n_padded)
        batch = SequenceBatch(
            torch.nn.functional.pad(log_mel, pad, value=55.0),
            torch.nn.functional.pad(targets, pad, value=1.0),
            torch.tensor([30, 30]),
        )
        losses.append([float(trainer.step(batch)) for _ in range(3)])
    # the masked batch statistics sum in another order: float32 rounding over three updates
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_normalisation_is_that_of_the_training_split(trained_run: Path, recordings: Path) -> None:
    weights = load_file(trained_run / "checkpoints" / "best" / "model.safetensors")
    feature = LogMelConfig(backend="torchaudio")
    data = load_data(AnnotatedConfig(root=str(recordings)), feature, splits=["train"])
    frames = np.concatenate([r.log_mel for r in data.splits["train"]])
    # float32 storage of numbers around 40 dB
    np.testing.assert_allclose(weights["normalisation.mean"], frames.mean(0), rtol=1e-4)
    np.testing.assert_allclose(weights["normalisation.std"], frames.std(0), rtol=1e-4)


def test_early_stopping_waits_for_its_patience(
    sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    settings = ("trainer.lr=0.1", "trainer.epochs=30", "trainer.patience=2")
    assert sedtf("train", *on(recordings), *settings, "output_dir=run") == 0
    scores = [
        (float(row["validation_f1"]), -float(row["validation_loss"]))
        for row in rows(tmp_path / "run")
    ]
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 2 < 30
    # it never waited that long before
    assert all(max(scores[e + 1 : e + 3]) > max(scores[: e + 1]) for e in range(best))


def test_a_falling_loss_counts_while_nothing_is_found_yet(recordings: Path) -> None:
    """F1 stays at 0 in the first epochs of many training runs: that is no reason to stop."""
    trainer = small_trainer(recordings)
    scores = [(0.0, 0.09), (0.0, 0.07), (0.0, 0.08), (0.2, 0.09), (0.2, 0.06), (0.1, 0.01)]
    is_best = [
        trainer._note_best(make_epoch(n, validation_f1=f1, validation_loss=loss))
        for n, (f1, loss) in enumerate(scores, start=1)
    ]
    assert is_best == [True, True, False, True, True, False]
    assert trainer.progress.best_epoch == 5


def test_max_updates_ends_a_run(sedtf: Sedtf, tmp_path: Path, recordings: Path) -> None:
    settings = ("trainer.max_updates=5", "trainer.epochs=50")
    assert sedtf("train", *on(recordings), *settings, "output_dir=run") == 0
    assert rows(tmp_path / "run")[-1]["update"] == "5"


def test_p_teacher_in_the_history_is_the_schedule_at_the_update(
    sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    settings = ("sampler.gamma=1.0", "trainer.epochs=3", "trainer.patience=9")
    assert sedtf("train", *on(recordings), *settings, "output_dir=run") == 0
    for row in rows(tmp_path / "run"):
        epochs = int(row["epoch"])
        expected = min(0.9, 1 - min(0.95, 2 / (1 + math.exp(-1.0 * epochs)) - 1))
        assert float(row["p_teacher"]) == pytest.approx(expected, abs=1e-12)


def test_history_keeps_only_the_epochs_of_the_checkpoint(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    for n in (1, 2, 3):
        history.append(make_epoch(n))
    resumed = History(tmp_path / "history.csv", n_epochs=2)
    assert [e.epoch for e in resumed.epochs] == [1, 2]
    resumed.append(make_epoch(3))
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    "damage",
    [b"", b"\0" * 200, b"epoch,update\n1,x\n", b"\xff\xfe", None],
    ids=["empty", "nul", "columns", "no text", "gone"],
)
def test_a_damaged_history_is_written_anew_from_the_checkpoint(
    damage: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "history.csv"
    before = History(path)
    for n in (1, 2, 3):
        before.append(make_epoch(n))
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    resumed = History(path, n_epochs=3, rows=before.rows)
    assert str(resumed.rows) == str(before.rows)
    assert str(History(path, n_epochs=3).rows) == str(before.rows)


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda text: "", 0),
        (lambda text: "\0" * len(text), 0),
        (lambda text: text[: len(text) - 9], 2),  # the last line is cut short
        (lambda text: text.replace("update", "more", 1), 0),
        (lambda text: text.replace("\n2,", "\n\0,"), 1),
        (lambda text: "".join(text.splitlines(keepends=True)[::3]), 0),
    ],
    ids=["empty", "nul", "cut", "column", "cell", "gap"],
)
def test_a_damaged_history_of_an_older_checkpoint_is_reported_and_kept_aside(
    damage: Callable[[str], str], kept: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.csv"
    before = History(path)
    for n in (1, 2, 3):
        before.append(make_epoch(n))
    damaged = damage(path.read_text())
    path.write_text(damaged)
    resumed = History(path, n_epochs=3)
    assert str(resumed.rows) == str(before.rows[:kept])
    assert f"of 3 epochs the rows of {3 - kept} are lost" in caplog.text
    assert (tmp_path / "history.csv.damaged").read_text() == damaged


def test_resuming_brings_back_a_history_that_was_lost(
    sedtf: Sedtf, tmp_path: Path, trained_run: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    before = rows(tmp_path / "run")
    (tmp_path / "run" / "history.csv").write_bytes(b"\0" * 300)
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    assert rows(tmp_path / "run")[:2] == before
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2", "3"]


def test_two_commands_do_not_share_a_run_folder(
    sedtf: Sedtf, tmp_path: Path, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "new").mkdir()
    for folder, command in (("new", "output_dir=./new/"), ("run", "resume=run")):
        with at_work(tmp_path / folder):
            before = {p: p.stat().st_mtime_ns for p in (tmp_path / folder).rglob("*")}
            assert sedtf("train", *TINY, command) == 2
            assert {p: p.stat().st_mtime_ns for p in (tmp_path / folder).rglob("*")} == before
        assert f"process {os.getpid()} on " in capsys.readouterr().err


def test_what_a_kill_left_is_removed_by_the_next_run_of_the_folder(
    sedtf: Sedtf, tmp_path: Path, trained_run: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / "checkpoints" / "last").rename(run / "checkpoints" / ".last-old")
    (run / "checkpoints" / ".best-new-1a2b3c4d").mkdir()
    (run / "figures" / ".learning_curves-1a2b3c4d.part.png").write_text("half")
    (run / ".at_work").write_text("{}")
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last"]
    assert not [path for path in run.rglob(".*") if path.name != ".hydra"]


def test_a_full_disk_is_reported_in_a_line_with_the_remedy(
    sedtf: Sedtf,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_module, "save_state", full)
    assert sedtf("train", *on(recordings), "output_dir=run") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sedtf: the disk of ")
    assert said.endswith(f"then: sedtf train resume={Path('run').absolute()}")
    assert json.loads(Path("run/run.json").read_text())["status"] == "failed"


def test_stopping_early_is_reported(recordings: Path, sedtf: Sedtf) -> None:
    settings = ("trainer.epochs=9", "trainer.patience=1", "trainer.lr=1e-9", "output_dir=run")
    by_loss = "trainer.monitor=validation_loss"  # F1 would wait for a first detection
    assert sedtf("train", *on(recordings), *settings, by_loss) == 0
    assert "stopped early: no better epoch in the last 1" in Path("run/train.log").read_text()


def test_a_run_folder_that_is_deleted_meanwhile_is_told_in_a_line(
    sedtf: Sedtf,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = TensorBoard.log

    def deleted(self: TensorBoard, epoch: Epoch) -> None:
        shutil.rmtree("run/tensorboard", ignore_errors=True)
        log(self, epoch)
        self._board.flush()  # where the error of the thread that writes comes up

    monkeypatch.setattr(TensorBoard, "log", deleted)
    assert sedtf("train", *on(recordings), "output_dir=run") == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "deleted or moved while the run was at work" in err.splitlines()[-1]
