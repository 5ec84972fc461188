"""Partly annotated recordings: loss, feedback and scores ignore the unknown parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities, activities_to_events
from sed_cli.data.sequences import SequenceBatch
from sed_cli.data.sets import DataSet, Recording
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.metrics.detection import N_REF, N_SYS, TP
from sed_cli.metrics.known import are_judged
from sed_cli.sampling.schedules.confidence import ConfidenceSchedule
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.detection.evaluate import evaluate_scored, evaluate_split, validate
from sed_cli.tasks.detection.examination import examine
from sed_cli.tasks.detection.fitting import kept_probabilities
from sed_cli.tasks.detection.running import forced_probabilities
from sed_cli.tasks.detection.tally import scored_by
from tests.models.making import make_crnn
from tests.tasks.detection.test_evaluate import CLASSES, HOP_S, make_detector, make_recording
from tests.test_hazards import make_task


def hide(recording: Recording, *spans: Event) -> Recording:
    """The recording with these spans unannotated, and without events in them."""
    hidden = Activities(spans, CLASSES, recording.n_frames, HOP_S)
    activities = recording.activities[:] & (1 - hidden[:])
    return replace(
        recording,
        activities=activities,
        events=tuple(activities_to_events(activities, CLASSES, HOP_S)),
        unknown_frames=hidden,
        unknown=spans,
    )


def make_batch(known: torch.Tensor | None) -> SequenceBatch:
    random = torch.Generator().manual_seed(3)
    targets = (torch.rand(2, 12, 2, generator=random) > 0.5).float()
    log_mel = torch.randn(2, 12, 4, generator=random)
    return SequenceBatch(log_mel, targets, torch.tensor([12, 7]), known)


def coins(p: float) -> TeacherCoins:
    return TeacherCoins(schedule=ConstantSchedule(p=p))


def test_the_loss_is_the_mean_over_what_is_known_and_not_padded() -> None:
    task = make_task(10)
    task.model.eval()
    known = torch.rand(2, 12, 2, generator=torch.Generator().manual_seed(1)) > 0.4
    batch = make_batch(known)

    total, count = task.losses(batch, coins(0.0))

    logits = task.model(batch.log_mel, lengths=batch.lengths)
    counted = known & batch.valid[..., None]
    expected = binary_cross_entropy_with_logits(logits[counted], batch.targets[counted])
    assert int(count) == int(counted.sum())
    torch.testing.assert_close(total / count, expected)


def test_targets_that_are_unknown_change_nothing_under_teacher_forcing() -> None:
    task = make_task(10)
    task.model.eval()
    known = torch.ones(2, 12, 2, dtype=torch.bool)
    known[0, 4:, 1] = known[1, :3] = False
    batch = make_batch(known)
    other = batch._replace(targets=torch.where(known, batch.targets, 1 - batch.targets))

    losses = [task.losses(each, coins(1.0)) for each in (batch, other)]
    told = task.losses(batch._replace(known=None), coins(1.0))

    assert torch.equal(losses[0][0], losses[1][0])
    assert not torch.equal(losses[0][0], told[0])


def test_where_nothing_is_known_the_model_runs_freely_and_there_is_no_loss() -> None:
    task = make_task(10)
    task.model.eval()
    nothing = torch.zeros(2, 12, 2, dtype=torch.bool)
    seen: list[torch.Tensor] = []
    task.model.register_forward_hook(lambda module, inputs, logits: seen.append(logits))

    total, count = task.losses(make_batch(nothing), coins(1.0))
    task.model(make_batch(None).log_mel, lengths=make_batch(None).lengths)

    assert (float(total.detach()), int(count)) == (0.0, 0)
    assert torch.equal(*seen)


def test_validation_leaves_out_unannotated_frames() -> None:
    detector = make_detector()
    first, second = make_recording(40, 1), make_recording(23, 2)
    hidden = hide(first, Event(0.0, 9.0, "dog"))

    found = validate(detector, [hidden, second])

    pieces = []
    for recording, n_known in ((first, 1), (second, 2)):
        logits = detector.logits(torch.from_numpy(recording.log_mel)[None])[0]
        targets = torch.from_numpy(recording.activities[:]).float()
        pieces.append((logits[:, :n_known].ravel(), targets[:, :n_known].ravel()))
    logits, targets = (torch.cat(each) for each in zip(*pieces, strict=True))
    assert found.loss == pytest.approx(
        float(binary_cross_entropy_with_logits(logits, targets)), rel=1e-5
    )
    active, there = (logits > 0).numpy(), targets.numpy() > 0
    assert found.f1 == pytest.approx(2 * (active & there).sum() / (active.sum() + there.sum()))


def scores_of(recording: Recording, probabilities: np.ndarray) -> dict:
    data = DataSet(classes=CLASSES, hop_s=HOP_S, splits={"test": [recording]}, fingerprint="")
    decoder = ThresholdDecoder.plain(CLASSES, HOP_S)
    settings = EvaluationConfig(bootstrap=0)
    scored = [(recording, probabilities)]
    return evaluate_scored(scored, data, "test", settings, decoder).metrics


def test_a_class_not_annotated_in_a_recording_is_not_counted_there() -> None:
    recording = make_recording(80, 3)
    probabilities = np.random.default_rng(0).random((80, 2)).astype(np.float32)
    hidden = hide(recording, Event(0.0, 9.0, "dog"))
    silent = replace(
        recording,
        activities=recording.activities * np.array([1, 0], np.uint8),
        events=tuple(each for each in recording.events if each.label == "cat"),
    )

    metrics = scores_of(hidden, probabilities)
    expected = scores_of(silent, probabilities * np.array([1, 0], np.float32))

    for kind in ("frame", "segment", "segment_100ms", "event", "event_onset"):
        assert metrics[kind]["f1"] == expected[kind]["f1"] > 0, kind
        assert metrics["per_class"]["dog"][kind]["counts"]["n_sys"] == 0, kind
    assert metrics["calibration"]["counts"] == expected["calibration"]["counts"]
    assert metrics["frame_map"]["map"] == pytest.approx(
        metrics["per_class"]["cat"]["frame_map"]["ap"]
    )


def test_events_are_judged_by_most_of_their_frames_and_segments_by_all() -> None:
    """A dog from 0.64 to 1.28 s; nothing is annotated from 1.92 to 3.2 s, and from 4 s on."""
    n_frames = 160  # 5.12 s
    events = (Event(20 * HOP_S, 40 * HOP_S, "dog"), Event(130 * HOP_S, 140 * HOP_S, "dog"))
    recording = replace(
        make_recording(n_frames, 1),
        events=events,
        activities=Activities(events, CLASSES, n_frames, HOP_S),
        unknown_frames=Activities(
            [Event(1.92, 3.2, "dog"), Event(4.0, 9.0, "dog")], CLASSES, n_frames, HOP_S
        ),
    )
    probabilities = np.zeros((n_frames, 2), np.float32)
    probabilities[20:40, 1] = 0.9  # right
    probabilities[50:65, 1] = 0.9  # ten of fifteen frames are known: an insertion
    probabilities[90:105, 1] = 0.9  # five of fifteen are
    probabilities[130:140, 1] = 0.9  # an annotated event is known wherever it is
    metrics = scores_of(recording, probabilities)

    counts = {kind: metrics[kind]["counts"] for kind in ("frame", "segment", "event")}
    assert counts["frame"]["tp"] == 30
    assert counts["frame"]["fp"] == 10 + 5
    assert (counts["event"]["tp"], counts["event"]["fp"], counts["event"]["n_ref"]) == (2, 1, 2)
    # Of the seconds from 0, 1, ... the first two are active, and so is the fifth; the third and
    # the fourth are known in part.
    assert (counts["segment"]["tp"], counts["segment"]["fp"]) == (3, 0)


def test_an_event_behind_the_last_frame_is_judged_by_that_frame() -> None:
    known = np.array([[True], [False]])
    assert are_judged([Event(0.9, 1.0, "a")], known, ["a"], 0.1) == [False]
    assert are_judged([Event(0.0, 0.1, "a")], known, ["a"], 0.1) == [True]


def test_what_is_tuned_sees_silence_where_nothing_is_annotated() -> None:
    detector = make_detector()
    recording = hide(make_recording(40, 1), Event(0.0, 0.5, "cat"))

    ((_, probabilities),) = kept_probabilities(detector, [recording])()

    known = recording.known()
    assert known is not None
    assert not probabilities[~known].any()
    assert probabilities[known].all()


def test_frames_count_as_they_would_alone() -> None:
    """The counts of a recording are those of its known frames."""
    recording = make_recording(80, 3)
    probabilities = np.random.default_rng(0).random((80, 2)).astype(np.float32)
    first = hide(recording, Event(0.0, 40 * HOP_S, "cat"), Event(0.0, 40 * HOP_S, "dog"))
    metrics = scores_of(first, probabilities)

    active = probabilities[40:] > 0.5
    there = recording.activities[40:] == 1
    counts = metrics["frame"]["counts"]
    assert (counts["tp"], counts["n_ref"], counts["n_sys"]) == (
        int((active & there).sum()),
        int(there.sum()),
        int(active.sum()),
    )
    assert (TP, N_REF, N_SYS) == (0, 1, 2)


def test_a_closer_look_and_threshold_free_figures_leave_out_the_same() -> None:
    recording = hide(make_recording(80, 3), Event(0.0, 30 * HOP_S, "cat"), Event(0.0, 9.0, "dog"))
    probabilities = np.random.default_rng(0).random((80, 2)).astype(np.float32)
    data = DataSet(classes=CLASSES, hop_s=HOP_S, splits={"test": [recording]}, fingerprint="")
    decoder = ThresholdDecoder.plain(CLASSES, HOP_S)
    scored = [(recording, probabilities)]
    evaluated = evaluate_scored(scored, data, "test", EvaluationConfig(bootstrap=0), decoder)

    examined = examine(scored, evaluated.events, CLASSES, HOP_S)

    known = recording.known()
    assert known is not None
    counts = evaluated.metrics["frame"]["counts"]
    assert examined.counts[0, [TP, N_REF, N_SYS]].tolist() == [
        counts[key] for key in ("tp", "n_ref", "n_sys")
    ]
    assert examined.bins[..., 0].sum(axis=1).tolist() == known.sum(axis=0).tolist()
    assert examined.outcomes[1].sum() == evaluated.metrics["event"]["counts"]["n_sys"]
    assert len(evaluated.events[recording.name]) > examined.outcomes[1].sum()
    scores = scored_by(decoder, recording, probabilities).probabilities
    assert not scores[~known].any()
    np.testing.assert_array_equal(scores[known], decoder.scores(probabilities)[known])


def test_who_knows_how_often_classes_occur_is_recognised_by_known_frames() -> None:
    """A class without annotated frames in validation changes nothing."""
    task = make_task(40)
    (recording,) = task._data.splits["validation"]
    hidden = hide(recording, Event(0.0, 9.0, "dog"))
    only_cat = replace(recording, activities=recording.activities[:, :1])

    found = []
    for each, labels in ((hidden, CLASSES), (only_cat, CLASSES[:1])):
        splits = {"train": [recording], "validation": [each]}
        task = make_task(40)
        task._data = replace(task._data, splits=splits)
        task.labels = labels
        found.append(task.no_skill_loss)

    assert found[0] == pytest.approx(found[1])
    assert 0 < found[0] < 1


@pytest.mark.parametrize("coin", ["step", "class"])
@pytest.mark.parametrize("onsets", [False, True])
def test_confidence_neither_asks_for_nor_feeds_what_is_unknown(
    coin: str, onsets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown values are used neither for their own step nor for a random one."""
    task = make_task(10)
    if onsets:
        sizes = {"n_mels": 4, "n_classes": 2, "conv_channels": 2, "pooling": [2, 2]}
        task.detector.model = task.model = make_crnn(**sizes, rnn_hidden=3, onsets=True)
        task._feeding = replace(task._feeding, model=task.model)
    task.model.eval()
    fed: list[torch.Tensor] = []
    decode = task.model.decode

    def watched(features: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor, **rest: Any):  # type: ignore[no-untyped-def]
        fed.append(torch.where(mask, targets, 0.0))
        return decode(features, targets, mask, **rest)

    monkeypatch.setattr(task.model, "decode", watched)
    random = torch.Generator().manual_seed(1)
    n_outputs = task.model.n_outputs
    known = torch.rand(2, 12, n_outputs, generator=random) > 0.4
    targets = (torch.rand(2, 12, n_outputs, generator=random) > 0.5).float()
    log_mel = torch.randn(2, 12, 4, generator=random)
    schedule = ConfidenceSchedule(target_at_most=0.2, own_at_most=0.3)
    seen = []
    for unknown in (0.0, 1.0):
        of_batch = SequenceBatch(
            log_mel, torch.where(known, targets, unknown), torch.tensor([12, 7]), known
        )
        drawn = TeacherCoins(schedule=schedule, coin=coin)  # type: ignore[arg-type]
        logits = task._logits(of_batch, drawn)
        seen.append((logits, fed[-1], drawn.p_teacher))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])
    assert seen[0][2] == seen[1][2]


def test_a_run_fed_the_ground_truth_is_fed_its_own_output_where_that_is_unknown() -> None:
    detector = make_detector()
    span = Event(10 * HOP_S, 20 * HOP_S, "dog")
    whole = make_recording(40, 0)
    recording = hide(whole, span)
    found = forced_probabilities(detector, recording)

    targets = torch.from_numpy(recording.activities[:]).float()[None]
    mask = torch.from_numpy(recording.known())[None]
    with torch.no_grad():
        logits = detector.model.eval()(torch.from_numpy(recording.log_mel)[None], targets, mask)[0]
    np.testing.assert_allclose(found, torch.sigmoid(logits).numpy(), rtol=0, atol=1e-5)
    everywhere = forced_probabilities(detector, whole)
    assert np.abs(found - everywhere).max() > 1e-4

    data = DataSet(classes=CLASSES, hop_s=HOP_S, splits={"test": [recording]}, fingerprint="")
    asked = EvaluationConfig(bootstrap=0, diagnostics=True)
    metrics = evaluate_split(detector, data, "test", asked).metrics
    assert metrics["exposure_gap"]["forced_f1"] is not None
