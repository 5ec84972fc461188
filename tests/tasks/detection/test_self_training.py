"""Teachers trained before the student label the recordings without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sed_cli.tasks.train
from sed_cli.config.annotations import UNLABELLED
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import TrainSplitConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.pseudo_labels import PSEUDO_LABELS, PseudoLabels
from sed_cli.data.sets import DataSet
from sed_cli.errors import CheckpointError
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.detection.load import build_model, load
from sed_cli.tasks.detection.platt import Platt
from sed_cli.tasks.detection.self_training import (
    find_teachers,
    teacher_config,
    with_pseudo_labels,
)
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.tasks.train import make_trainer
from sed_cli.training.checkpoint import save_checkpoint
from tests.conftest import ANNOTATED, Sedtf
from tests.training.test_distributed import make_config, make_data, with_unlabelled

STRONG, FREE = [0, 1], [6, 7]  # sequences of the two sources
CPU = torch.device("cpu")


def config_for(**trainer: Any) -> TrainConfig:
    return make_config(ConstantSchedule(p=1.0), **trainer)


def save_teacher(
    folder: Path, seed: int, classes: Sequence[str] = ("cat", "dog"), **changes: Any
) -> Path:
    """Write a run with a random detector, for which everything is often active."""
    own: dict[str, Any] = {"data": AnnotatedConfig(root="."), "output_dir": str(folder)}
    config = replace(config_for(), **own, **changes)
    torch.manual_seed(seed)
    model = build_model(config, n_mels=config.feature.n_features, n_classes=len(classes))
    with torch.no_grad():
        model.readout.weight.mul_(5)
    save_checkpoint(folder / "checkpoints" / "best", model, config, classes)
    return folder


def label(
    teacher: Path, run_dir: Path, data: DataSet | None = None, config: TrainConfig | None = None
) -> DataSet:
    config = replace(config or config_for(), teacher=str(teacher))
    data = unvalidated() if data is None else data
    return with_pseudo_labels(config, data, CPU, run_dir, lambda *_: pytest.fail("trains"))


def unvalidated() -> DataSet:
    """Data by which no teacher is calibrated."""
    data = with_unlabelled(make_data())
    return replace(data, splits={**data.splits, "validation": []})


def probabilities(run: Path, data: DataSet) -> list[np.ndarray[Any, Any]]:
    detector = load(run)
    return [
        detector.logits(torch.tensor(each.log_mel)[None])[0].sigmoid().numpy()
        for each in data.splits[UNLABELLED]
    ]


def found(data: DataSet) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(each.pseudo_labels) for each in data.splits[UNLABELLED]]


def labels_of(stored: dict[str, np.ndarray[Any, Any]], **changes: Any) -> PseudoLabels:
    """Labels for the data of :func:`unvalidated`, by teachers that know all classes."""
    data = unvalidated()
    own = {"known": data.classes, "classes": data.classes, "fingerprint": data.fingerprint}
    return PseudoLabels(by_recording=stored, **{**own, **changes})


# -------------------------------------------------------------------------------------- labels


def test_labels_are_the_mean_of_the_teachers_on_whole_recordings(tmp_path: Path) -> None:
    runs = [save_teacher(tmp_path / "runs" / str(seed), seed) for seed in (1, 2)]
    data = label(tmp_path / "runs", tmp_path / "run")
    pairs = [probabilities(run, data) for run in runs]
    assert np.abs(pairs[0][0] - pairs[1][0]).max() > 0.1
    for own, first, second in zip(found(data), *pairs, strict=True):
        # stored in bytes
        np.testing.assert_allclose(own, (first + second) / 2, atol=0.5 / 255 + 1e-6)


def test_labels_are_calibrated_on_the_validation_split(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher", 1, ("bird", "dog"))
    data = with_unlabelled(make_data())
    labelled = label(teacher, tmp_path / "run", data)
    detector, validation = load(teacher), data.splits["validation"]
    calibrate = Platt.fit(
        torch.cat([detector.logits(torch.tensor(each.log_mel)[None])[0] for each in validation]),
        torch.tensor(np.concatenate([np.asarray(each.activities) for each in validation])),
    )
    assert abs(calibrate.scale[1] - 1) > 0.1
    for own, probability in zip(found(labelled), probabilities(teacher, data), strict=True):
        expected = calibrate(torch.tensor(probability).logit()).sigmoid()[:, 1].numpy()
        # stored in bytes, and the fit sums in another order
        np.testing.assert_allclose(own[:, 1], expected, atol=0.5 / 255 + 1e-3)


def test_labels_follow_the_names_of_classes_and_others_stay_unknown(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher", 1, ("bird", "dog"))
    data = label(teacher, tmp_path / "run")
    for own, of_teacher in zip(found(data), probabilities(teacher, data), strict=True):
        np.testing.assert_allclose(own[:, 1], of_teacher[:, 1], atol=0.5 / 255 + 1e-6)
    batch = DetectionTask(config_for(), data, CPU).batch(FREE, 1)
    assert batch.known is not None
    assert batch.known[..., 1].all()
    assert not batch.known[..., 0].any()


def test_a_class_that_no_teacher_finds_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = np.zeros((33, 2), np.uint8)
    stored[:3, 1] = 200
    by_recording = {f"{n}.wav": stored[:length] for n, length in enumerate((33, 9, 7))}
    labels_of(by_recording).write(tmp_path / PSEUDO_LABELS)
    config = replace(config_for(), resume=str(tmp_path))
    data = with_unlabelled(make_data())
    with caplog.at_level("INFO"):
        with_pseudo_labels(config, data, CPU, tmp_path, lambda *_: pytest.fail("trains"))
    # 9 of 49 frames of one class of two
    assert "labelled 3 recordings, 0.0 min: a class is active in 9.2% of the" in caplog.text
    assert "found cat nowhere" in caplog.text


def test_several_teachers_need_not_know_the_same_classes(tmp_path: Path) -> None:
    runs = [
        save_teacher(tmp_path / "runs" / name, 1, classes)
        for name, classes in (("a", ("cat", "dog")), ("b", ("dog",)))
    ]
    data = label(tmp_path / "runs", tmp_path / "run")
    first, second = (probabilities(run, data) for run in runs)
    for own, both, dog in zip(found(data), first, second, strict=True):
        expected = np.stack([both[:, 0], (both[:, 1] + dog[:, 0]) / 2], axis=1)
        np.testing.assert_allclose(own, expected, atol=0.5 / 255 + 1e-6)


def test_a_teacher_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    other = save_teacher(tmp_path / "other", 1, ("frog",))
    with pytest.raises(CheckpointError, match=r"detects frog, but the data have cat, dog"):
        label(other, tmp_path / "run")
    config = config_for()
    louder = replace(config.feature, is_log=False)
    with pytest.raises(CheckpointError, match=r"other features \(feature\.is_log\): choose"):
        label(save_teacher(tmp_path / "linear", 1, feature=louder), tmp_path / "run")
    onsets = replace(config, model=replace(config.model, onsets=True))
    with pytest.raises(CheckpointError, match=r"no outputs for onsets"):
        label(save_teacher(tmp_path / "plain", 1), tmp_path / "run", config=onsets)
    broken = save_teacher(tmp_path / "broken", 1)
    (broken / "checkpoints" / "best" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: does not fit its config"):
        label(broken, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"teacher=.*nowhere: no such folder"):
        find_teachers(str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


def test_onsets_have_labels_too(tmp_path: Path) -> None:
    config = config_for(student_mixup=0.0)
    config = replace(config, model=replace(config.model, onsets=True))
    teacher = save_teacher(tmp_path / "teacher", 1, model=config.model)
    data = label(teacher, tmp_path / "run", config=config)
    task = DetectionTask(config, data, CPU)
    whole = probabilities(teacher, data)[0]  # 33 frames in sequences of 10
    batch = task.batch([7], 1)
    np.testing.assert_allclose(batch.targets[0], whole[10:20], atol=0.5 / 255 + 1e-6)


# ------------------------------------------------------------------------------------- student


def test_the_student_learns_probabilities_and_is_fed_activities(tmp_path: Path) -> None:
    data = label(save_teacher(tmp_path / "teacher", 1), tmp_path / "run")
    trainer = make_trainer(config_for(), DetectionTask(config_for(), data, CPU))
    task = trainer.task
    assert task.teacher is None
    assert trainer.average is None
    batch = task.batch(FREE, 1)
    assert batch.known is None
    seen: dict[str, Any] = {}

    def forward(log_mel: Any, targets: Any, mask: Any, **more: Any) -> Any:
        seen.update(targets=targets, mask=mask)
        return type(task.model).forward(task.model, log_mel, targets, mask, **more)

    task.model.forward = forward  # type: ignore[method-assign]
    task.model.eval()
    total, count = task.losses(batch, TeacherCoins(schedule=ConstantSchedule(p=1.0)))
    assert torch.equal(seen["targets"], (batch.targets > 0.5).float())
    assert seen["mask"].all()
    logits = type(task.model).forward(task.model, batch.log_mel, seen["targets"], seen["mask"])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, batch.targets, reduction="sum"
    )
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert int(count) == batch.targets.numel()


def test_labelled_sequences_are_mixed_into_the_others(tmp_path: Path) -> None:
    data = label(save_teacher(tmp_path / "teacher", 1), tmp_path / "run")
    plain, mixed = (
        DetectionTask(config_for(student_mixup=share), data, CPU).batch([*STRONG, *FREE], 1)
        for share in (0.0, 1.0)
    )
    assert torch.equal(mixed.log_mel[:2], plain.log_mel[:2])
    assert torch.equal(mixed.targets[:2], plain.targets[:2])
    assert (mixed.log_mel[2:] != plain.log_mel[2:]).any(2).any(1).all()
    task = DetectionTask(config_for(), data, CPU)
    labelled = [task.sequences.by_source["strong"].targets(n) for n in range(6)]
    for before, after in zip(plain.targets[2:], mixed.targets[2:], strict=True):
        raised = [torch.maximum(before[: len(each)], each) for each in labelled]
        assert any(torch.equal(after[: len(each)], each) for each in raised)


# --------------------------------------------------------------------------------------- files


def test_labels_survive_their_file(tmp_path: Path) -> None:
    stored = {"a/ä b.wav": np.arange(6, dtype=np.uint8).reshape(3, 2)}
    classes = ["cat", "a dog\nor two"]
    labels_of(stored, known=classes[1:], classes=classes).write(tmp_path / PSEUDO_LABELS)
    read = PseudoLabels.read(tmp_path / PSEUDO_LABELS)
    assert (read.known, read.classes) == (classes[1:], classes)
    assert read.fingerprint == unvalidated().fingerprint
    assert {name: each.tolist() for name, each in read.by_recording.items()} == {
        "a/ä b.wav": [[0, 1], [2, 3], [4, 5]]
    }
    (tmp_path / PSEUDO_LABELS).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"cannot be read .*: start a new run"):
        PseudoLabels.read(tmp_path / PSEUDO_LABELS)


def test_labels_of_other_recordings_are_refused() -> None:
    data = with_unlabelled(make_data())
    lengths = {each.name: each.n_frames for each in data.splits[UNLABELLED]}
    fitting = {name: np.zeros((length, 2), np.uint8) for name, length in lengths.items()}
    labels_of(fitting).attached_to(data)
    with_onsets = {name: np.zeros((length, 4), np.uint8) for name, length in lengths.items()}
    labels_of(with_onsets).attached_to(data, 2)
    for stored, n_kinds in (
        ({name: each[:4] for name, each in fitting.items()}, 1),
        (with_onsets, 1),
        (fitting, 2),
        ({}, 1),
    ):
        with pytest.raises(CheckpointError, match=r"not the labels of these recordings \(0\.wav\)"):
            labels_of(stored).attached_to(data, n_kinds)
    for changes in ({"classes": ["dog", "cat"]}, {"fingerprint": "of others"}):
        with pytest.raises(CheckpointError, match="annotations or classes have changed"):
            labels_of(fitting, **changes).attached_to(data)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_run_resumed_in_place_keeps_its_labels(tmp_path: Path, is_stored: bool) -> None:
    teacher = save_teacher(tmp_path / "teacher", 1)
    run = tmp_path / "run"
    run.mkdir()
    if is_stored:
        label(teacher, run)
        teacher = tmp_path / "nowhere"
    again = label(teacher, run, config=replace(config_for(), resume=str(run)))
    stored = PseudoLabels.read(run / PSEUDO_LABELS).by_recording
    for recording in again.splits[UNLABELLED]:
        of_run = np.asarray(recording.pseudo_labels) * 255
        np.testing.assert_allclose(stored[recording.name], of_run, atol=1e-3)


# ------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["trainer.teachers=2"], "trainer.teachers is for recordings without labels"),
        (["teacher=run"], "teacher is for recordings without labels"),
        (
            ["data.train.unlabelled=audio", "trainer.consistency_weight=3"],
            "is for trainer.unlabelled=mean_teacher, but that is self_training",
        ),
        (
            ["data.train.unlabelled=audio", "trainer.unlabelled=mean_teacher", "teacher=run"],
            "teacher is for trainer.unlabelled=self_training, but that is mean_teacher",
        ),
        (
            ["data.train.unlabelled=audio", "teacher=run", "trainer.teachers=2"],
            "trainer.teachers=2 has no effect with teacher=run",
        ),
    ],
)
def test_settings_without_effect_are_refused(
    settings: list[str], message: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", *ANNOTATED, "data.root=.", *settings) == 2
    assert message in capfd.readouterr().err


def test_teachers_have_seeds_of_their_own_and_no_recordings_without_labels(tmp_path: Path) -> None:
    split = TrainSplitConfig("train.tsv", unlabelled="audio")
    shares = {UNLABELLED: 2.0, "strong": 1.0}
    config = config_for(batch_shares=shares)
    config = replace(config, data=AnnotatedConfig(root=".", train=split))
    own = [teacher_config(config, n, tmp_path, None) for n in range(3)]
    assert own[0].seed == config.seed
    assert len({each.seed for each in own}) == 3
    assert all(each.data.train.unlabelled is None for each in own)  # type: ignore[attr-defined]
    assert config.data.train.unlabelled == "audio"  # type: ignore[attr-defined]
    assert config.trainer.batch_shares == shares
    make_trainer(own[0], DetectionTask(own[0], make_data(), CPU))  # it accepts the shares


# --------------------------------------------------------------------------------------- whole


OWN = ("data.train.unlabelled=audio", "data.train_share=0.5", "trainer.student_mixup=0.5")


def weights(run: str | Path, which: str = "last") -> dict[str, torch.Tensor]:
    return load_file(Path(run, "checkpoints", which, "model.safetensors"))


@pytest.mark.slow
def test_interrupted_anywhere_it_resumes_to_the_last_bit(
    sedtf: Sedtf, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*ANNOTATED, f"data.root={recordings}", *OWN, "trainer.teachers=2")
    settings = (*settings, "trainer.epochs=2")
    assert sedtf("train", *settings, "output_dir=at_once") == 0
    n_left = 3  # complete epochs

    def interrupted(folder: Path, *arguments: Any, **more: Any) -> None:
        nonlocal n_left
        if folder.name == "last":
            if not n_left:
                raise KeyboardInterrupt
            n_left -= 1
        save_checkpoint(folder, *arguments, **more)

    monkeypatch.setattr(sed_cli.tasks.train, "save_checkpoint", interrupted)
    assert sedtf("train", *settings, "output_dir=run") == 130
    assert Path("run/teachers/1/checkpoints/last").is_dir()
    assert not Path("run/checkpoints").exists()
    n_left = 2  # of the second teacher and the student
    assert sedtf("train", "resume=run") == 130
    assert Path("run/checkpoints/last").is_dir()
    labels = Path("run", PSEUDO_LABELS).read_bytes()
    n_left = 1
    assert sedtf("train", "resume=run", "output_dir=continued") == 0
    for name in ("teachers/0", "teachers/1"):
        torch.testing.assert_close(weights(f"run/{name}"), weights(f"at_once/{name}"))
    assert labels == Path("at_once", PSEUDO_LABELS).read_bytes()
    assert labels == Path("continued", PSEUDO_LABELS).read_bytes()
    torch.testing.assert_close(weights("continued"), weights("at_once"), rtol=0, atol=0)


@pytest.mark.slow
def test_the_first_teacher_is_the_run_without_the_others(sedtf: Sedtf, recordings: Path) -> None:
    settings = (*ANNOTATED, f"data.root={recordings}", "data.train_share=0.5")
    assert sedtf("train", *settings, "output_dir=alone") == 0
    unlabelled = ("data.train.unlabelled=audio", "trainer.teachers=1")
    assert sedtf("train", *settings, *unlabelled, "output_dir=run") == 0
    torch.testing.assert_close(
        weights("run/teachers/0", "best"), weights("alone", "best"), rtol=0, atol=0
    )
    named = ("data.train.unlabelled=audio", "teacher=alone")
    assert sedtf("train", *settings, *named, "output_dir=named") == 0
    torch.testing.assert_close(weights("named"), weights("run"), rtol=0, atol=0)


SGD = "trainer/optimizer=sgd"  # updates of Adam have the sign of even the smallest gradients


@pytest.mark.slow
def test_several_processes_train_teachers_and_student(sedtf: Sedtf, recordings: Path) -> None:
    settings = (*ANNOTATED, f"data.root={recordings}", *OWN, "trainer.teachers=2")
    settings = (*settings, "trainer.max_updates=2", "model.dropout=0", SGD)
    assert sedtf("train", *settings, "trainer.devices=2", "output_dir=both") == 0
    assert sedtf("train", *settings, "output_dir=one") == 0
    both, one = (PseudoLabels.read(Path(run, PSEUDO_LABELS)) for run in ("both", "one"))
    for name, stored in one.by_recording.items():
        # sums in another order; rounded to bytes
        np.testing.assert_allclose(both.by_recording[name].astype(int), stored, atol=1)
    for name, value in weights("one").items():
        # as above, over three trainings
        torch.testing.assert_close(weights("both")[name], value, rtol=0, atol=1e-3)
