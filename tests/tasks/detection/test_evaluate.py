"""Running a detector over a split: freely, on whole recordings, without omissions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import read_annotations
from sed_cli.data.frames import activities_to_events
from sed_cli.data.sets import DataSet, Recording
from sed_cli.errors import DataError
from sed_cli.metrics.detection import _import_sed_eval, count_frames, figures
from sed_cli.metrics.metric import all_metrics
from sed_cli.tasks.detection import running
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.evaluate import (
    evaluate_split,
    validate,
    whole_set,
    write_evaluation,
)
from tests.models.making import make_crnn

CLASSES = ("cat", "dog")
HOP_S = 512 / 16000


def make_detector(seed: int = 0, feedback: bool = True) -> Detector:
    torch.manual_seed(seed)
    model = make_crnn(
        n_mels=4, n_classes=2, conv_channels=3, pooling=(2, 2), rnn_hidden=6, feedback=feedback
    )
    with torch.no_grad():
        model.readout.weight.mul_(20)  # decisive, so that some of everything is found
    log_mel = LogMelConfig(backend="torchaudio", n_mels=4).build()
    return Detector(model, log_mel=log_mel, classes=CLASSES)


def make_recording(n_frames: int, seed: int) -> Recording:
    random = np.random.default_rng(seed)
    active = np.repeat(random.integers(0, 2, (-(-n_frames // 6), 2), dtype=np.uint8), 6, axis=0)
    active = active[:n_frames]
    return Recording(
        name=f"{seed}.wav",
        path=Path(f"{seed}.wav"),
        duration_s=n_frames * HOP_S,
        log_mel=random.normal(size=(n_frames, 4)).astype(np.float32),
        activities=active,
        events=tuple(activities_to_events(active, CLASSES, HOP_S)),
    )


def make_data(sizes: tuple[int, ...] = (40, 7, 23, 1, 61)) -> DataSet:
    recordings = [make_recording(n_frames, seed) for seed, n_frames in enumerate(sizes)]
    return DataSet(classes=CLASSES, hop_s=HOP_S, splits={"test": recordings}, fingerprint="")


def one_by_one(detector: Detector, recording: Recording) -> torch.Tensor:
    detector.model.eval()
    with torch.no_grad():
        return detector.model(torch.from_numpy(recording.log_mel)[None])[0]


@pytest.mark.parametrize("frames_at_once", [1, 80, 100_000])
def test_validation_is_over_all_frames_of_all_recordings(
    frames_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_FRAMES_AT_ONCE", frames_at_once)
    detector, recordings = make_detector(), make_data().splits["test"]

    result = validate(detector, recordings)

    logits = torch.cat([one_by_one(detector, recording) for recording in recordings])
    targets = torch.cat([torch.from_numpy(r.activities).float() for r in recordings])
    loss = float(F.binary_cross_entropy_with_logits(logits, targets))
    assert result.loss == pytest.approx(loss, rel=1e-5)  # float32 sums in another order
    counts = count_frames(targets.numpy().astype(np.uint8), (torch.sigmoid(logits) > 0.5).numpy())
    assert (result.f1, result.er) == tuple(figures(counts[0])[name] for name in ("f1", "er"))
    assert 0 < result.f1 < 1


def test_figures_do_not_depend_on_the_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, data = make_detector(), make_data()
    results = []
    for frames_at_once in (1, 90, 100_000):
        monkeypatch.setattr(running, "_FRAMES_AT_ONCE", frames_at_once)
        results.append(evaluate_split(detector, data, "test"))

    assert results[0].metrics == results[1].metrics == results[2].metrics
    assert results[0].events == results[1].events == results[2].events
    assert results[0].metrics["n_files"] == 5
    assert list(results[0].events) == [f"{index}.wav" for index in range(5)]


def test_evaluation_is_free_running_and_leaves_the_model_in_its_mode() -> None:
    detector = make_detector()
    recordings = make_data().splits["test"]
    detector.model.train()
    before = {key: value.clone() for key, value in detector.model.state_dict().items()}

    first = validate(detector, recordings)

    assert detector.model.training
    for key, value in detector.model.state_dict().items():
        assert torch.equal(value, before[key]), key
    flipped = [
        Recording(**{**vars(recording), "activities": 1 - recording.activities})
        for recording in recordings
    ]
    logits = [logits for _, logits in running.run_freely(detector, recordings)]
    other = [logits for _, logits in running.run_freely(detector, flipped)]
    assert all(torch.equal(a, b) for a, b in zip(logits, other, strict=True))
    assert validate(detector, flipped).f1 != first.f1


def test_a_split_without_events_has_a_loss_and_no_error_rate() -> None:
    detector = make_detector()
    quiet = Recording(
        **{**vars(make_recording(9, 0)), "activities": np.zeros((9, 2), np.uint8), "events": ()}
    )

    result = validate(detector, [quiet])

    assert math.isfinite(result.loss)
    assert math.isnan(result.er)


def test_a_missing_split_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match=r"split=train.*test"):
        evaluate_split(make_detector(), make_data(), "train")


def test_what_is_written_is_what_was_found(tmp_path: Path, drawn: None) -> None:
    detector, data = make_detector(), make_data()
    evaluation = evaluate_split(detector, data, "test")

    write_evaluation(evaluation, detector, data, tmp_path)

    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == evaluation.metrics
    assert set(metrics) == {
        *("split", "n_files", "per_class", "bootstrap", "plain", "collar_s", "bin_s"),
        *(metric.name for metric in all_metrics() if not metric.IN_DIAGNOSTICS),
        *("thresholds", "filter_frames", "min_gap_s", "min_duration_s", "tuned_for", "decoder"),
    }
    assert metrics["thresholds"] == {"cat": 0.5, "dog": 0.5}
    events = read_annotations(tmp_path / "events.tsv").events
    assert list(events) == list(evaluation.events)
    for name, found in events.items():
        for written, expected in zip(found, evaluation.events[name], strict=True):
            assert written.label == expected.label
            # The table holds microseconds.
            assert written[:2] == pytest.approx(expected[:2], abs=1e-6)
    assert (tmp_path / "figures" / "events.png").stat().st_size > 1000


def test_who_scores_the_written_events_with_sed_eval_gets_the_written_figures(
    trained_run: Path, recordings: Path
) -> None:
    found = read_annotations(trained_run / "events.tsv").events
    reference = read_annotations(recordings / "test.tsv").events
    assert sum(len(events) for events in found.values()) > 3
    sound_event = _import_sed_eval().sound_event
    direct = {
        "segment": sound_event.SegmentBasedMetrics(["high", "low"], time_resolution=1.0),
        "segment_100ms": sound_event.SegmentBasedMetrics(["high", "low"], time_resolution=0.1),
        "event_onset": sound_event.EventBasedMetrics(
            ["high", "low"], t_collar=0.2 + 1e-7, evaluate_offset=False
        ),
    }
    metrics = json.loads((trained_run / "metrics.json").read_text())

    for kind, metric in direct.items():
        for name, events in reference.items():
            lists = [
                [
                    # What begins or ends at the edge of a segment does so whatever its rounding.
                    {"onset": e.onset_s + 1e-8, "offset": e.offset_s - 1e-8, "event_label": e.label}
                    for e in each
                ]
                for each in (events, found[name])
            ]
            length = {"evaluated_length_seconds": 3.0} if kind.startswith("segment") else {}
            metric.evaluate(*lists, **length)
        overall = metric.results_overall_metrics()
        for name in ("precision", "recall"):
            assert metrics[kind][name] == pytest.approx(overall["f_measure"][name], abs=1e-9)
        for name in ("substitution_rate", "deletion_rate", "insertion_rate"):
            assert metrics[kind][name] == pytest.approx(overall["error_rate"][name], abs=1e-9)


def test_other_recordings_are_scored_whole_and_ones_own_by_their_split() -> None:
    """The former were not trained on; most of the latter were."""
    trained = AnnotatedConfig(root="mine")
    others = AnnotatedConfig(root="others")

    whole = whole_set(others, "test", trained)

    assert isinstance(whole, AnnotatedConfig)
    assert (whole.train, whole.validation, whole.test) == (None, None, others.test)
    for own, split in (
        (AnnotatedConfig(root="./mine"), "test"),
        (others, "validation"),
        (AnnotatedConfig(root="others", split=[0.5, 0.0, 0.5]), "test"),
        (AnnotatedConfig(root="others", folds=5, fold=1), "test"),
    ):
        assert whole_set(own, split, trained) is own
