"""Several processes that train as one: their results, and how they end."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.annotations import UNLABELLED
from sed_cli.config.data import DataConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.identity import config_hash
from sed_cli.config.registry import joined
from sed_cli.config.training import AugmentConfig, SamplerConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities, activities_to_events
from sed_cli.data.pseudo_labels import PseudoLabels
from sed_cli.data.sequences import SequenceBatch
from sed_cli.data.sets import DataSet, Recording
from sed_cli.errors import ConfigError, SedtfError, UserError
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.sampling.schedules.confidence import ConfidenceSchedule
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.decoding_steps import DecodingStepsSchedule
from sed_cli.sampling.schedules.linear import LinearSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.distributed import rank, summed
from sed_cli.system.files import full_disk
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.tasks.train import make_trainer
from sed_cli.training import ranks
from sed_cli.training.batches import index_batches, part_of
from sed_cli.training.state import seed_everything
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf, trainer_config

HOP_S = 0.02


class Exact(DetectionTask):
    """A task in float64, where rounding is far below any mistake."""

    def batch(self, indices: Sequence[int], epoch: int) -> SequenceBatch:
        batch = super().batch(indices, epoch)
        view = None if batch.other_view is None else batch.other_view.double()
        return batch._replace(
            log_mel=batch.log_mel.double(), targets=batch.targets.double(), other_view=view
        )


def make_config(sampler: SamplerConfig, **trainer: Any) -> TrainConfig:
    return TrainConfig(
        seed=3,
        feature=LogMelConfig(n_mels=4, window_length=512, n_fft=512),
        model=CRNNConfig(conv_channels=2, pooling=[2, 2], rnn_hidden=3, dropout=0.0),
        sampler=sampler,
        data=DataConfig(sequence_length=10),
        augment=joined(AugmentConfig)(),
        trainer=trainer_config(**{"batch_size": 5, "lr": 0.01, **trainer}),
        evaluation=EvaluationConfig(),
    )


# Six sequences, three of them shorter: batches of five and one, so that one rank has nothing to do
# in the second; and of three and three, without a remainder.
CASES = {
    "plain": make_config(ConstantSchedule(p=0.5), figures=["event_f1", "bin_accuracy"]),
    "equal parts of batches, no clipping": make_config(
        ConstantSchedule(p=0.5, coin="sequence"), batch_size=2, grad_norm=None
    ),
    "sampled": make_config(
        LinearSchedule(c=0.01, unit="time_step", coin="class", feedback="sampled")
    ),
    "along the steps": make_config(DecodingStepsSchedule(base=0.8, k=2.0)),
    "by confidence": make_config(ConfidenceSchedule(target_at_most=0.25, own_at_most=0.3)),
    "by confidence of each class": make_config(
        ConfidenceSchedule(target_at_most=0.5, own_at_most=0.55, coin="class", feedback="sampled")
    ),
    "augmented": replace(
        make_config(ConstantSchedule(p=0.0)),
        augment=joined(AugmentConfig)(mixup=0.5, time_masks=1, time_mask_frames=3),
    ),
    "accumulated": make_config(
        LinearSchedule(c=0.01, unit="time_step", coin="class", feedback="sampled"),
        batch_size=2,
        accumulate=2,
    ),
    "unlabelled": replace(
        make_config(
            ConstantSchedule(p=0.5),
            **{"batch_size": 4, "accumulate": 2, "ema": 0.7, "consistency_epochs": 2},
            **{"consistency_mixup": 0.5, "consistency_view": "clean", "consistency_loss": "bce"},
            unlabelled="mean_teacher",
        ),
        augment=joined(AugmentConfig)(roll=0.5, time_masks=1, time_mask_frames=3),
    ),
    "self-trained": make_config(ConstantSchedule(p=0.5), batch_size=4, student_mixup=0.5),
    "averaged": make_config(ConstantSchedule(p=0.5), ema=0.7),
    "without feedback": replace(
        make_config(ConstantSchedule(p=0.5)),
        model=CRNNConfig(
            conv_channels=2, pooling=[2, 2], rnn_hidden=3, dropout=0.0, feedback=False
        ),
    ),
}

WEAK_CASES = {
    # Batches of two strong sequences and three weak ones; the second rank has only weak ones.
    "weak": replace(
        make_config(
            ConstantSchedule(p=0.5), batch_shares={"strong": 2.0, "weak": 3.0}, clip_weight=0.5
        ),
        model=CRNNConfig(
            **{"conv_channels": 2, "pooling": [2, 2], "rnn_hidden": 3, "dropout": 0.0},
            clip_pooling="attention",
        ),
    ),
    # Batches of one strong sequence and one weak one.
    "alternating": make_config(ConstantSchedule(p=0.5, coin="class"), batch_size=2),
}
CASES |= WEAK_CASES


def with_weak(data: DataSet) -> DataSet:
    """The same with one partly annotated recording, and two more with one known class."""
    first, *others = data.splits["train"]
    frames = (data.classes, first.n_frames, HOP_S)
    spans = (Event(0.1, 0.3, "cat"),)
    first = replace(first, unknown=spans, unknown_frames=Activities(spans, *frames))
    weak = []
    for recording in others:
        frames = (data.classes, recording.n_frames, HOP_S)
        whole = Activities([Event(0.0, 9.0, "dog")], *frames)
        silent = Activities((), *frames)
        weak.append(
            replace(recording, activities=silent, tags=("dog",), unknown_frames=whole, held=whole)
        )
    return replace(data, splits={**data.splits, "train": [first, *others], "weak": weak})


def make_data() -> DataSet:
    random = np.random.default_rng(5)
    recordings = []
    for number, n_frames in enumerate((33, 9, 7)):
        activities = (random.random((n_frames, 2)) < 0.4).astype(np.uint8)
        events = activities_to_events(activities, ("cat", "dog"), HOP_S)
        recordings.append(
            Recording(
                name=f"{number}.wav",
                path=Path(f"{number}.wav"),
                duration_s=n_frames * HOP_S,
                log_mel=random.normal(size=(n_frames, 4)).astype(np.float32),
                activities=activities,
                events=tuple(events),
            )
        )
    splits = {"train": recordings, "validation": recordings}
    return DataSet(classes=("cat", "dog"), hop_s=HOP_S, splits=splits, fingerprint="")


def with_unlabelled(data: DataSet) -> DataSet:
    """A data set that also has its training recordings without labels."""
    rest = []
    for recording in data.splits["train"]:
        of = (data.classes, recording.n_frames, data.hop_s)
        spans = [Event(0.0, recording.duration_s, label) for label in data.classes]
        nothing: dict[str, Any] = {"events": (), "activities": Activities((), *of)}
        rest.append(replace(recording, unknown_frames=Activities(spans, *of), **nothing))
    return replace(data, splits={**data.splits, UNLABELLED: rest})


def with_pseudo_labels(data: DataSet) -> DataSet:
    """The same, with a probability for each class and frame of these."""
    random = np.random.default_rng(6)
    stored = {
        each.name: random.integers(0, 255, (each.n_frames, 2), np.uint8, endpoint=True)
        for each in data.splits["train"]
    }
    labels = PseudoLabels(
        by_recording=stored, known=data.classes, classes=data.classes, fingerprint=data.fingerprint
    )
    return labels.attached_to(with_unlabelled(data))


def learn(name: str) -> dict[str, Any]:
    """Train a case for two epochs; return the results as plain numbers."""
    config = CASES[name]
    seed_everything(config.seed)
    data = with_weak(make_data()) if name in WEAK_CASES else make_data()
    data = with_unlabelled(data) if name == UNLABELLED else data
    data = with_pseudo_labels(data) if name == "self-trained" else data
    task = Exact(config, data, torch.device("cpu"))
    task.model.double()
    trainer = make_trainer(config, task)
    losses = [float(trainer.update(parts)) for epoch in (1, 2) for parts in trainer.updates(epoch)]
    with trainer._kept():
        state, validation = dict(task.model.state_dict()), trainer._validate()
    own = torch.cat([value.double().flatten() for value in state.values()])
    apart = summed(own if rank() == 0 else -own).abs().max()
    return {
        "losses": losses,
        "update": trainer.progress.update,
        "coins": trainer.coins.state_dict()["iteration"],
        "p_teacher": trainer.coins.p_teacher,
        "next coins": trainer.coins.draw(3, 4, 2).tolist(),
        "validation": validation,
        "state": {name: value.numpy() for name, value in state.items()},
        "apart": float(apart) if ranks.torchrun.n_ranks() > 1 else 0.0,
    }


def learn_all_together() -> dict[str, dict[str, Any]]:
    torch.set_num_threads(1)
    with ranks.joined(torch.device("cpu")):
        return {name: learn(name) for name in CASES}


@pytest.mark.slow
def test_two_processes_learn_what_one_does() -> None:
    together = ranks.launch(learn_all_together, n_ranks=2, go_on="")

    for name in CASES:
        one, two = learn(name), together[name]
        assert two["apart"] == 0, name  # to the last bit
        # the loss is reported in float32
        np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6, err_msg=name)
        for key in ("update", "coins", "p_teacher", "next coins"):
            assert two[key] == one[key], (name, key)
        for key, value in one["state"].items():
            # float64; apart from validation, no sum is large
            np.testing.assert_allclose(two["state"][key], value, atol=1e-8, err_msg=f"{name} {key}")
        assert two["validation"][:3] == pytest.approx(one["validation"][:3], rel=1e-6)
        assert two["validation"].more == pytest.approx(one["validation"].more, nan_ok=True)
    assert len(together["plain"]["validation"].more) == 2
    assert len(together["plain"]["losses"]) == 4


# --------------------------------------------------------------------------- without processes


@given(
    n_sequences=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    n_ranks=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_parts_make_up_each_batch(
    n_sequences: int, batch_size: int, n_ranks: int, seed: int
) -> None:
    lengths = [10 + index for index in range(n_sequences)]
    seen = []
    for indices in index_batches(n_sequences, batch_size, seed, epoch=1):
        parts = [part_of(indices, lengths, rank, n_ranks) for rank in range(n_ranks)]
        counted = [part for part in parts if part.counts]
        assert [index for part in counted for index in part.indices] == indices
        assert max(len(p.indices) for p in parts) - min(len(p.indices) for p in counted) <= 1
        for part in parts:
            assert part.indices == indices[part.first : part.first + len(part.indices)] != []
            assert (part.n_sequences, part.n_steps) == (
                len(indices),
                max(lengths[index] for index in indices),
            )
        seen += indices
    assert sorted(seen) == list(range(n_sequences))


@pytest.mark.parametrize("coin", ["step", "sequence", "class"])
@pytest.mark.parametrize("unit", ["update", "time_step"])
def test_the_teacher_mask_of_a_part_is_that_of_the_whole(coin: Any, unit: Any) -> None:
    def draw(first: int, end: int, n_steps: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
        coins = TeacherCoins(schedule=LinearSchedule(c=0.05), unit=unit, coin=coin, seed=4)
        with coins.part_of(5, 9, first):
            mask = coins.draw(end - first, n_steps, 3)
            noise = coins.noise(end - first, n_steps, 3)
        return mask, noise, coins.state_dict()

    mask, noise, state = draw(0, 5, 9)
    for first, end, n_steps in ((0, 2, 9), (2, 5, 6), (4, 5, 1)):
        of_part = draw(first, end, n_steps)
        assert torch.equal(of_part[0], mask[first:end, :n_steps])
        assert torch.equal(of_part[1], noise[first:end, :n_steps])
        assert of_part[2]["iteration"] == state["iteration"]
        assert torch.equal(of_part[2]["generator"], state["generator"])


def test_teacher_masks_are_drawn_as_usual_after_a_part() -> None:
    coins = TeacherCoins(schedule=ConstantSchedule(p=0.5))
    with coins.part_of(5, 9, 1):
        coins.draw(2, 3, 1)
    assert coins.draw(4, 7, 1).shape == (4, 7)


def test_more_devices_than_sequences_in_a_batch_are_refused() -> None:
    assert trainer_config(devices=8, batch_size=8).faults() == []
    (fault,) = trainer_config(devices=9, batch_size=8).faults()
    assert fault.startswith("trainer.devices=9, but the trainer.batch_size=8")


def test_more_devices_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    ranks.check_devices(torch.device("cuda"), 2)
    ranks.check_devices(torch.device("cpu"), 3)
    with pytest.raises(UserError, match=r"trainer.devices=3, but this machine has 2 CUDA"):
        ranks.check_devices(torch.device("cuda"), 3)


def test_the_number_of_devices_is_no_other_experiment() -> None:
    config = make_config(ConstantSchedule(p=0.5))
    other = replace(config, trainer=replace(config.trainer, devices=4))
    assert config_hash(config) == config_hash(other)


def reason_for(folder: Path, *errors: BaseException | None) -> BaseException:
    """The error reported for ranks that left these errors, in order of time."""
    for number, error in enumerate(errors):
        if error is not None:
            ranks._leave_word(folder / str(number), error)
    return ranks._reason(folder, len(errors), "go on with: X")


LOST = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")


def test_what_a_rank_raised_is_reported_and_not_what_it_led_to(tmp_path: Path) -> None:
    error = reason_for(tmp_path, LOST, SedtfError("the loss became nan"), KeyboardInterrupt())
    assert isinstance(error, SedtfError)
    assert str(error) == "the loss became nan"
    assert "in a rank" in error.__notes__[0]


def test_a_killed_rank_is_named(tmp_path: Path) -> None:
    error = reason_for(tmp_path, LOST, None, KeyboardInterrupt())
    assert isinstance(error, SedtfError)
    assert str(error).startswith("rank 1 of the 3 processes")
    assert str(error).endswith("go on with: X")


def test_a_rank_that_was_terminated_is_named(tmp_path: Path) -> None:
    error = reason_for(tmp_path, LOST, LOST, KeyboardInterrupt())
    assert str(error) == (
        "rank 2 of the 3 processes of this training (from 0) was terminated: go on with: X"
    )


class LocalError(UserError):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def test_an_error_that_only_the_rank_knows_is_reported_as_the_nearest_kind(tmp_path: Path) -> None:
    error = reason_for(tmp_path, LocalError("no ", "data"), LOST)
    assert type(error) is UserError
    assert str(error) == "no data"


def test_faults_of_a_rank_stay_one_line_each(tmp_path: Path) -> None:
    error = reason_for(tmp_path, ConfigError(["one", "another"]))
    assert isinstance(error, ConfigError)
    assert error.faults == ["one", "another"]


def test_a_full_disk_of_a_rank_is_reported_as_such(tmp_path: Path) -> None:
    error = reason_for(tmp_path, OSError(errno.ENOSPC, "No space left", f"{tmp_path}/last"), LOST)
    assert full_disk(error) == tmp_path


def test_any_other_error_of_a_rank_keeps_its_name(tmp_path: Path) -> None:
    error = reason_for(tmp_path, LOST, ZeroDivisionError("of what?"))
    assert isinstance(error, SedtfError)
    assert str(error) == "ZeroDivisionError: of what?"


def test_nothing_that_a_rank_leaves_behind_is_run(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(pickle.dumps(SedtfError("a pickle")))
    with pytest.raises(UnicodeDecodeError):
        ranks._reason(tmp_path, 1, "go on with: X")


# ------------------------------------------------------------------------- as a user starts them

QUICK = (*TINY, *TINY_SOUNDSCAPES, "model.dropout=0", "trainer.batch_size=4")
TOGETHER = "trainer.devices=2"


def sedtf_command(*settings: str, torchrun: bool = False) -> list[str]:
    starter = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [sys.executable, *(starter * torchrun), "-m", "sed_cli.app", "train", *settings]


def start(folder: Path, *settings: str, torchrun: bool = False) -> subprocess.Popen[str]:
    """Start a training run that does not end by itself, in a separate session."""
    process = subprocess.Popen(
        sedtf_command(
            *QUICK, "trainer.epochs=5000", "trainer.patience=5000", "output_dir=run", *settings,
            torchrun=torchrun,
        ),
        cwd=folder, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    history = folder / "run" / "history.csv"
    while not (history.exists() and len(history.read_text().splitlines()) > 2):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    return process


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the ranks, in order."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == process.pid and b"resource_tracker" not in command:
            found.append(int(folder.name))
    return sorted(found)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error; soon no process of the session is left."""
    error = process.communicate(timeout=120)[1]
    deadline = time.monotonic() + 10  # Python's resource tracker ends after the others
    while left := living(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    return process.returncode, error


def living(session: int) -> list[str]:
    """Processes of a session that are not zombies, one per line."""
    command = ["ps", "-o", "stat=,args=", "-s", str(session)]
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    return [line for line in shown.splitlines() if not line.startswith("Z")]


def record(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "run.json").read_text())
    return values


def assert_same_history(one: Path, other: Path) -> None:
    """Equal to rounding in float32.

    Differences are larger in validation: Adam magnifies the rounding of gradients that are 0 except
    for it, those of biases before batch norm, which the statistics of evaluation follow with delay.
    """
    rows = [
        list(csv.DictReader((run / "history.csv").read_text().splitlines())) for run in (one, other)
    ]
    assert len(rows[0]) == len(rows[1])
    for row, same in zip(*rows, strict=True):
        assert row["update"] == same["update"]
        assert row["p_teacher"] == same["p_teacher"]
        for key, tolerance in (("train_loss", 1e-5), ("validation_loss", 1e-2)):
            assert float(row[key]) == pytest.approx(float(same[key]), rel=tolerance)


@pytest.mark.slow
def test_every_way_of_starting_gives_the_same_run(sedtf: Sedtf, tmp_path: Path) -> None:
    assert sedtf("train", *QUICK, "output_dir=one") == 0
    assert sedtf("train", *QUICK, TOGETHER, "output_dir=two") == 0
    command = sedtf_command(*QUICK, "output_dir=launched", torchrun=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 1/2") == 1

    for name in ("two", "launched"):
        run = tmp_path / name
        assert record(run)["status"] == "completed"
        assert record(run)["devices"] == 2
        assert record(run)["config_hash"] == record(tmp_path / "one")["config_hash"]
        assert_same_history(tmp_path / "one", run)
        assert (run / "metrics.json").exists()
        assert (run / "train.log").read_text().count("epoch 1/2") == 1
        assert len(list((run / "tensorboard").iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["launched", "one", "two"]


@pytest.mark.slow
def test_a_run_is_resumed_with_another_number_of_devices(sedtf: Sedtf, tmp_path: Path) -> None:
    longer = ("trainer.epochs=4", "trainer.patience=9")
    assert sedtf("train", *QUICK, *longer, "output_dir=whole") == 0
    assert sedtf("train", *QUICK, TOGETHER, "output_dir=parts") == 0
    assert sedtf("train", "resume=parts", "trainer.devices=1", *longer[1:], "trainer.epochs=3") == 0
    assert sedtf("train", "resume=parts", TOGETHER, *longer) == 0
    assert_same_history(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_run_with_dropout_resumes_exactly(sedtf: Sedtf, tmp_path: Path) -> None:
    settings = (*QUICK, TOGETHER, "model.dropout=0.5", "trainer.patience=9")
    assert sedtf("train", *settings, "trainer.epochs=3", "output_dir=whole") == 0
    assert sedtf("train", *settings, "trainer.epochs=2", "output_dir=parts") == 0
    assert sedtf("train", "resume=parts", "trainer.epochs=3") == 0
    whole, parts = (
        load_file(tmp_path / name / "checkpoints" / "last" / "model.safetensors")
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_a_sweep_of_trainings_of_several_processes(sedtf: Sedtf, tmp_path: Path) -> None:
    grid = ("seed=0,1", "output_dir=sweep")
    assert sedtf("train", *QUICK, TOGETHER, *grid, multirun=True) == 0
    records = [record(path.parent) for path in (tmp_path / "sweep").rglob("run.json")]
    assert [each["status"] for each in records] == ["completed"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_rank_ends_the_run_and_it_continues(
    lost: int, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = start(tmp_path, TOGETHER)
    os.kill(ranks_of(process)[lost], signal.SIGKILL)
    code, error = ended(process)

    assert code == 1
    lines = [line for line in error.splitlines() if line.startswith("sedtf: ")]
    assert len(lines) == 1
    assert "Traceback" not in error
    assert lines[0].startswith(f"sedtf: rank {lost} of the 2 processes of this training")
    assert record(tmp_path / "run")["status"] == "failed"
    assert f"rank {lost}" in record(tmp_path / "run")["error"]
    epochs = len((tmp_path / "run" / "history.csv").read_text().splitlines())
    assert sedtf("train", "resume=run", f"trainer.epochs={epochs + 1}", TOGETHER) == 0
    assert record(tmp_path / "run")["status"] == "completed"


@pytest.mark.slow
def test_ranks_that_were_all_terminated_end_the_run(tmp_path: Path) -> None:
    process = start(tmp_path, TOGETHER)
    for number in ranks_of(process):
        os.kill(number, signal.SIGTERM)
    code, error = ended(process)

    assert code == 1
    assert "was terminated: continue with: sedtf train resume=" in error
    assert record(tmp_path / "run")["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_ends_gracefully(number: int, tmp_path: Path) -> None:
    process = start(tmp_path, TOGETHER)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # like a terminal
    else:
        process.send_signal(number)
    code, error = ended(process)

    assert code == 130
    assert error.splitlines()[-2:] == [
        "interrupted; continue with: sedtf train resume=" + str(tmp_path / "run"),
        "sedtf: interrupted",
    ]
    assert "Traceback" not in error
    assert record(tmp_path / "run")["status"] == "interrupted"
    assert (tmp_path / "run" / "figures" / "learning_curves.png").exists()


@pytest.mark.slow
def test_no_rank_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, TOGETHER)
    process.kill()
    ended(process)


@pytest.mark.slow
def test_a_fault_of_the_user_is_reported_once_by_the_ranks(tmp_path: Path) -> None:
    settings = (*QUICK, "trainer.batch_size=1", "output_dir=run")
    for torchrun, fault in ((True, "trainer.batch_size=1"), (False, "trainer.devices=2")):
        own = () if torchrun else (TOGETHER,)
        command = sedtf_command(*settings, *own, torchrun=torchrun)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == (1 if torchrun else 2)  # torchrun has one code for all
        assert [line for line in done.stderr.splitlines() if line.startswith(f"sedtf: {fault}")]


@pytest.mark.slow
def test_an_error_in_the_ranks_is_that_of_the_run(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ("trainer.lr=1e30", "trainer.grad_norm=null", "trainer.epochs=5")
    assert sedtf("train", *QUICK, TOGETHER, *settings, "output_dir=run") == 1
    error = capfd.readouterr().err
    assert "became" in error
    assert "Traceback" not in error
    assert record(tmp_path / "run")["status"] == "failed"
    assert "in a rank" in (tmp_path / "run" / "train.log").read_text()
