"""Training on weakly labelled clips: the loss, the feedback, and the scores of clips."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.functional import binary_cross_entropy as bce

from sed_cli.config.annotations import WEAK
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.monitors import OF_CLIPS
from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities
from sed_cli.data.sets import Recording
from sed_cli.metrics.known import linear_softmax
from sed_cli.metrics.ranking import average_precision, count_ranked
from sed_cli.tasks.detection.clips import write_clips
from sed_cli.tasks.detection.evaluate import evaluate_split, validate, write_evaluation
from sed_cli.tasks.detection.task import DetectionTask, _warn_of_long_clips
from sed_cli.tasks.detection.watched import Watched
from tests.conftest import TINY, Sedtf
from tests.tasks.detection.test_evaluate import CLASSES, HOP_S, make_data, make_detector
from tests.tasks.detection.test_partly_annotated import coins, hide
from tests.test_hazards import make_recordings, make_task
from tests.training.resumed import check_resumed


def weak(recording: Recording, *tags: str) -> Recording:
    frames = (CLASSES, recording.n_frames, HOP_S)
    held = Activities([Event(0.0, 1e3, tag) for tag in tags], *frames)
    return replace(
        recording,
        events=(),
        activities=Activities((), *frames),
        tags=tags,
        held=held,
        unknown_frames=held if tags else None,
    )


def weak_task(**model: object) -> DetectionTask:
    task = make_task(10, 10)
    data = task._data
    clips = [
        weak(each, *tags)
        for each, tags in zip(make_recordings(12, 9), (["dog"], ["cat", "dog"]), strict=True)
    ]
    splits = {**data.splits, WEAK: clips}
    config = replace(task._config, model=replace(task._config.model, **model))
    return DetectionTask(config, replace(data, splits=splits), torch.device("cpu"))


def test_losses_are_means_over_known_frames_and_over_classes_of_weak_clips() -> None:
    task = weak_task()
    task.model.eval()
    assert [(each.name, each.n_sequences) for each in task.sources] == [("strong", 2), ("weak", 2)]
    assert task.lengths == [10, 10, 12, 9]
    batch = task.batch([0, 2, 3], 1)

    total, count = task.losses(batch, coins(0.0))

    p = task.model(batch.log_mel, lengths=batch.lengths).sigmoid()
    counted = batch.valid[..., None] & batch.known
    frames = bce(p[counted], batch.targets[counted])
    clips = [(p[i, :n].square().sum(0) / p[i, :n].sum(0)) for i, n in ((1, 12), (2, 9))]
    expected = bce(torch.stack(clips), torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    torch.testing.assert_close(
        total / count, torch.stack([frames, task._config.trainer.clip_weight * expected])
    )
    assert count.tolist() == [2 * 10 + 12, 4]


def test_the_pooling_takes_part_in_batches_without_weak_clips() -> None:
    task = weak_task(clip_pooling="attention")
    total, count = task.losses(task.batch([0, 1], 1), coins(1.0))
    assert count.tolist() == [40, 0]

    (total / count.clamp(min=1)).sum().backward()

    assert all(weights.grad is not None for weights in task.model.parameters())
    (weight,) = task.model.clip_head.parameters()
    assert not weight.grad.any()


def test_weak_clips_feed_known_silence_and_else_what_the_model_finds() -> None:
    task = weak_task()
    batch = task.batch([2], 1)
    mask = task._feeding._limited(coins(1.0).draw(1, 12, 2), batch.known)
    assert mask.shape == (1, 12, 2)
    assert mask.all(dim=1).tolist() == [[True, False]]
    assert not mask[..., 1].any()


def test_clips_are_scored_by_pooled_probabilities(tmp_path: Path) -> None:
    detector, data = make_detector(), make_data((40, 7, 23, 61))
    first, *others = data.splits["test"]
    data = replace(data, splits={"test": [hide(first, Event(0.0, 9.0, "dog")), *others]})

    evaluation = evaluate_split(detector, data, "test")
    write_evaluation(evaluation, detector, data, tmp_path)

    present, found = [], []
    for recording in data.splits["test"]:
        logits = detector.logits(torch.from_numpy(recording.log_mel)[None])[0]
        p = logits.sigmoid().numpy()
        found.append((p**2).sum(0) / p.sum(0))
        present.append(recording.activities[:].any(axis=0))
    present[0][1] = False
    known = np.ones((4, 2), bool)
    known[0, 1] = False
    active = (np.stack(found) > 0.5) & known
    n_right = int((active & np.stack(present)).sum())
    f1 = 2 * n_right / (active.sum() + np.stack(present).sum())
    assert evaluation.metrics["clip"]["f1"] == pytest.approx(f1)
    with (tmp_path / "clips.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["filename"] for row in rows] == [each.name for each in data.splits["test"]]
    np.testing.assert_allclose(
        [[float(row[label]) for label in CLASSES] for row in rows], found, atol=1e-5
    )
    watched = Watched(OF_CLIPS, data, detector.plain_decoder, EvaluationConfig())
    own = validate(detector, data.splits["test"], watched=watched).more
    assert own["validation_clip_f1"] == pytest.approx(f1)
    assert own["validation_clip_map"] == pytest.approx(evaluation.metrics["clip_map"]["map"])
    assert not validate(detector, data.splits["test"]).more


def test_average_precision_of_clips_is_that_of_their_ranks() -> None:
    """Against the definition; ranks within a bin of 0.1 in log-odds count as a tie."""
    random = np.random.default_rng(3)
    present = random.random(300) < 0.3
    log_odds = random.normal(present * 1.5, 1.0)
    p = 1 / (1 + np.exp(-log_odds))

    counts = sum(
        count_ranked(np.array([[is_there]], np.uint8), np.array([[each]], np.float32))
        for is_there, each in zip(present, p, strict=True)
    )

    ranked = present[np.argsort(-p)]
    precisions = ranked.cumsum() / np.arange(1, 301)
    expected = precisions[ranked].mean()
    # About 1.5 times as many clips as bins: what a bin does not order moves it by less.
    assert float(average_precision(counts)[0]) == pytest.approx(expected, abs=0.01)
    sklearn = pytest.importorskip("sklearn.metrics")
    assert sklearn.average_precision_score(present, p) == pytest.approx(expected)


def test_a_silent_clip_has_a_small_probability_that_is_written(tmp_path: Path) -> None:
    silent = linear_softmax(np.full((5, 2), 1e-9, np.float32))
    assert (silent > 0).all()
    assert (silent < 1e-5).all()
    write_clips(tmp_path / "c.tsv", {"a.wav": np.array([0.25, 1.0], np.float32)}, ["x", "y"])
    assert (tmp_path / "c.tsv").read_text() == "filename\tx\ty\na.wav\t0.250000\t1.000000\n"
    assert not math.isnan(float(silent[0]))


@pytest.mark.slow
def test_a_resumed_training_with_weak_labels_is_as_one_without_a_break(
    sedtf: Sedtf, tmp_path: Path
) -> None:
    for name, seed in (("s.wav", 1), ("v.wav", 2), ("a.wav", 3), ("b.wav", 4), ("c.wav", 5)):
        samples = 0.1 * np.random.default_rng(seed).normal(size=8000)
        (tmp_path / "set" / "audio").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "set" / "audio" / name, samples, 16000)
    header, events = (
        "filename\tonset\toffset\tevent_label\n",
        "\t0.1\t0.2\tcat\n{}\t0.2\t0.3\tdog\n",
    )
    for split, name in (("train", "s.wav"), ("validation", "v.wav")):
        (tmp_path / "set" / f"{split}.tsv").write_text(header + name + events.format(name))
    (tmp_path / "set" / "weak.tsv").write_text(
        "filename\tevent_labels\na.wav\tcat\nb.wav\tdog,cat\nc.wav\t\n"
    )
    own = [
        *("data=annotated", f"data.root={tmp_path / 'set'}", "data.train.weak=weak.tsv"),
        *("data.test=null", "data.sequence_length=8", "trainer.batch_shares={weak: 2}"),
        *("model.clip_pooling=attention", "augment.roll=0.5", "trainer.batch_size=3"),
        *TINY,
    ]
    check_resumed(sedtf, own, epochs=3)
    with Path("run", "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert all(0 <= float(row["validation_clip_map"]) <= 1 for row in rows)
    assert json.loads(Path("run", "run.json").read_text())["weak_recordings"] == 3


def test_a_clip_as_long_as_many_sequences_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    data = weak_task()._data
    _warn_of_long_clips(data, 2)
    assert not caplog.text
    _warn_of_long_clips(data, 1)
    assert "12 times as long as a training sequence" in caplog.text
