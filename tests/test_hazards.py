"""The mistakes of published code, one test each; docs/method.md lists them.

1. A clamp with p_min where the formula has 1 - p_min. 2. Logits thresholded at 0.5. 3. Frame-based
figures beside segment-based ones. 4. Early stopping on the test data, batches and folds left out, a
counter that advances in evaluation. 5. Features overwritten within the loop over time.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import DataConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.registry import joined
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.annotations import Event, read_annotations, write_annotations
from sed_cli.data.frames import activities_to_events, events_to_activities
from sed_cli.data.sequences import SequenceBatch
from sed_cli.data.sets import DataSet, Recording
from sed_cli.metrics.detection import Counts, count_frames, describe, figures
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.evaluate import evaluate_split, validate
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.training.loop import Trainer
from tests.conftest import TRAINED, Sedtf, trainer_config
from tests.metrics.counted import sed_eval_counts
from tests.models.making import make_crnn

HOP_S = 512 / 16000


def make_detector() -> Detector:
    torch.manual_seed(0)
    model = make_crnn(
        n_mels=4, n_classes=2, conv_channels=3, pooling=(4,), rnn_hidden=5, dropout=0.0
    )
    log_mel = LogMelConfig(backend="torchaudio", n_mels=4).build()
    return Detector(model, log_mel=log_mel, classes=("cat", "dog"))


def make_recordings(*sizes: int) -> list[Recording]:
    recordings = []
    for seed, n_frames in enumerate(sizes):
        random = np.random.default_rng(seed)
        activities = random.integers(0, 2, (n_frames, 2), dtype=np.uint8)
        recordings.append(
            Recording(
                name=f"{seed}.wav",
                path=Path(f"{seed}.wav"),
                duration_s=n_frames * HOP_S,
                log_mel=random.normal(size=(n_frames, 4)).astype(np.float32),
                activities=activities,
                events=tuple(activities_to_events(activities, ("cat", "dog"), HOP_S)),
            )
        )
    return recordings


def make_task(*sizes: int) -> DetectionTask:
    """Small batches of sequences of 10 frames, from recordings of these lengths."""
    recordings = make_recordings(*sizes)
    config = TrainConfig(
        feature=LogMelConfig(n_mels=4, window_length=512, n_fft=512),
        model=CRNNConfig(conv_channels=2, pooling=[2, 2], rnn_hidden=3),
        sampler=ConstantSchedule(p=0.5),
        data=DataConfig(sequence_length=10),
        augment=joined(AugmentConfig)(),
        trainer=trainer_config(batch_size=4),
        evaluation=EvaluationConfig(),
    )
    splits = {"train": recordings, "validation": recordings}
    data = DataSet(classes=("cat", "dog"), hop_s=HOP_S, splits=splits, fingerprint="")
    return DetectionTask(config, data, torch.device("cpu"))


def make_trainer(task: DetectionTask, unit: str = "update") -> Trainer[SequenceBatch]:
    coins = TeacherCoins(schedule=ConstantSchedule(p=0.5), unit=unit)  # type: ignore[arg-type]
    return Trainer(task, coins=coins, config=trainer_config(batch_size=4))


# --------------------------------------------------------------------------------- hazard 1


def test_hazard_1_the_clamp_lets_the_probability_fall_to_p_min() -> None:
    sampler = ScheduledSampler(batches_per_epoch=50, gamma=0.1, p_min=0.05, p_max=0.9)

    def as_published(i: int) -> float:
        return min(0.9, 1 - min(0.05, 2 / (1 + math.exp(-0.1 * i / 50)) - 1))

    assert sampler.probability(10**6) == pytest.approx(0.05)
    assert as_published(10**6) == 0.9  # the published mistake


# --------------------------------------------------------------------------------- hazard 2


@pytest.mark.parametrize(("logit", "active"), [(0.3, 1), (-0.3, 0), (0.0, 0)])
def test_hazard_2_metrics_and_feedback_threshold_probabilities_at_a_half(
    logit: float, active: int
) -> None:
    """A logit of 0.3 is a probability of 0.57: active, although the number is below 0.5."""
    detector = make_detector()
    with torch.no_grad():
        detector.model.readout.weight.zero_()
        detector.model.readout.bias.fill_(logit)
    (recording,) = make_recordings(12)
    data = DataSet(
        classes=("cat", "dog"), hop_s=HOP_S, splits={"test": [recording]}, fingerprint=""
    )

    n_found = len(evaluate_split(detector, data, "test").events[recording.name])
    n_predicted = len(detector.predict(np.ones(6000, np.float32)))
    _, state = detector.model.decode(torch.zeros(1, 12, 3))

    assert n_found == n_predicted == 2 * active
    assert state.feedback.tolist() == [[active, active]]
    expected = count_frames(recording.activities, np.full((12, 2), bool(active)))
    assert validate(detector, [recording]).f1 == figures(expected[0])["f1"]


# --------------------------------------------------------------------------------- hazard 3


def test_hazard_3_figures_of_frames_and_of_segments_are_kept_apart() -> None:
    """Half an event is missed: by frames that is half of it, by segments of a second nothing."""
    reference = [Event(0.0, 0.8, "cat")]
    estimate = [Event(0.0, 0.4, "cat")]

    segments = sed_eval_counts({"a": reference}, {"a": estimate}, {"a": 1.0}, ["cat"])["segment"]
    rolls = [events_to_activities(events, ["cat"], 50, 0.02) for events in (reference, estimate)]
    frames = count_frames(rolls[0], rolls[1].astype(bool))

    assert describe(segments, ["cat"])[0]["f1"] == pytest.approx(1.0)
    assert figures(frames[0])["f1"] == pytest.approx(2 / 3)


def test_hazard_3_a_run_names_what_each_figure_is_of(trained_run: Path) -> None:
    metrics = json.loads((trained_run / "metrics.json").read_text())

    for kind in ("frame", "segment", "event"):
        assert set(metrics[kind]) >= {"f1", "er"}
        for of_class in metrics["per_class"].values():
            assert set(of_class[kind]) >= {"f1", "er"}
    assert "f1" not in metrics
    assert "er" not in metrics


# --------------------------------------------------------------------------------- hazard 4


def _train(sedtf: Sedtf, root: Path, run_dir: Path, *overrides: str) -> list[dict[str, str]]:
    code = sedtf(
        "train",
        *TRAINED,
        f"data.root={root}",
        f"output_dir={run_dir}",
        *overrides,
    )
    assert code == 0
    with (run_dir / "history.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def test_hazard_4_training_never_looks_at_the_test_split(
    recordings: Path, trained_run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    """Without any test annotations, every epoch and every best weight is the same."""
    with (trained_run / "history.csv").open() as file:
        expected = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    names = read_annotations(recordings / "test.tsv").events
    root = tmp_path / "changed"
    root.mkdir()
    (root / "audio").symlink_to(recordings / "audio")
    for split in ("train", "validation"):
        (root / f"{split}.tsv").write_bytes((recordings / f"{split}.tsv").read_bytes())
    write_annotations(root / "test.tsv", {name: [] for name in names})

    history = _train(sedtf, root, tmp_path / "run")

    assert history == expected
    weights = [load(run).model.state_dict() for run in (trained_run, tmp_path / "run")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_hazard_4_every_frame_is_trained_on_in_every_epoch() -> None:
    task = make_task(33, 10, 7)  # 4 + 1 + 1 sequences: 4 and 2
    trainer = make_trainer(task)
    assert (len(task.lengths), trainer.n_batches) == (6, 2)

    for epoch in (1, 2):
        batches = [batch for batch, _ in trainer.batches(epoch)]

        assert [len(batch.lengths) for batch in batches] == [4, 2]
        seen = torch.cat([batch.log_mel[batch.valid] for batch in batches])
        every = torch.cat([task.sequences.heard(index, 1)[0] for index in range(6)])
        assert sorted(seen.tolist()) == sorted(every.tolist())


def test_hazard_4_every_frame_is_validated_and_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = make_recordings(33, 10, 7, 1, 61)
    counted: list[int] = []

    def counting(reference: np.ndarray, estimate: np.ndarray) -> Counts:
        assert reference.shape == estimate.shape
        counted.append(len(reference))
        return count_frames(reference, estimate)

    for module in ("sed_cli.tasks.detection.evaluate", "sed_cli.metrics.detection"):
        monkeypatch.setattr(f"{module}.count_frames", counting)
    monkeypatch.setattr("sed_cli.tasks.detection.running._FRAMES_AT_ONCE", 70)
    data = DataSet(classes=("cat", "dog"), hop_s=HOP_S, splits={"test": recordings}, fingerprint="")

    validate(make_detector(), recordings)
    assert sorted(counted) == [1, 7, 10, 33, 61]
    counted.clear()
    evaluation = evaluate_split(make_detector(), data, "test")
    assert sorted(counted) == sorted([1, 7, 10, 33, 61, *[1] * 5])  # and each as a whole
    assert evaluation.metrics["n_files"] == len(evaluation.events) == 5


@pytest.mark.parametrize("unit", ["update", "time_step"])
def test_hazard_4_the_counter_is_constant_in_evaluation(unit: str) -> None:
    task = make_task(33, 10)
    trainer = make_trainer(task, unit)
    for batch, part in trainer.batches(1):
        trainer.step(batch, part)
    before = trainer.coins.state_dict()
    assert before["iteration"] == {"update": 2, "time_step": 20}[unit]

    assert task.validate() is not None
    task.detector.probabilities(np.ones(6000, np.float32))

    after = trainer.coins.state_dict()
    assert after["iteration"] == before["iteration"]
    assert torch.equal(after["generator"], before["generator"])


# --------------------------------------------------------------------------------- hazard 5


@pytest.mark.parametrize("feedback", [True, False])
def test_hazard_5_each_step_reads_the_features_of_its_own_frame(feedback: bool) -> None:
    """If the loop overwrote the features, those of later frames would never be read."""
    torch.manual_seed(1)
    model = make_crnn(
        n_mels=4, n_classes=2, conv_channels=3, pooling=(4,), rnn_hidden=5, feedback=feedback
    ).eval()
    features = torch.randn(2, 9, 3)
    given = features.clone().requires_grad_()

    logits, _ = model.decode(given)

    assert torch.equal(given.detach(), features)  # untouched
    for step in range(9):
        (grad,) = torch.autograd.grad(logits[:, step].sum(), given, retain_graph=True)
        assert (grad[:, step].abs().amax(dim=1) > 1e-4).all()  # its own frame
        assert not grad[:, step + 1 :].any()
