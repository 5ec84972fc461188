"""Calibration, the choice of files, and the excerpt of long ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import activities_to_events, events_to_activities
from sed_cli.data.sets import Recording
from sed_cli.metrics.detection import count_frames
from sed_cli.tasks.detection.examination import N_BINS, calibration_bins, examine

HOP_S = 0.032
CLASSES = ("low", "high")


def recording(
    name: str, activities: NDArray[np.uint8], duration_s: float | None = None
) -> Recording:
    length_s = len(activities) * HOP_S if duration_s is None else duration_s
    return Recording(
        name=name,
        path=Path(name),
        duration_s=length_s,
        log_mel=np.zeros((len(activities), 4), np.float32),
        activities=activities,
        events=tuple(activities_to_events(activities, CLASSES, HOP_S, length_s)),
    )


def test_bins_hold_every_value_once_with_its_sum_and_its_targets() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random((200, 2)).astype(np.float32)
    probabilities[0] = (0.0, 1.0)
    activities = (random.random((200, 2)) < probabilities).astype(np.uint8)
    bins = calibration_bins(probabilities, activities)
    assert bins.shape == (2, N_BINS, 3)
    assert bins[:, :, 0].sum(axis=1).tolist() == [200, 200]
    assert bins[:, :, 1].sum(axis=1) == pytest.approx(probabilities.sum(axis=0), rel=1e-5)
    assert bins[:, :, 2].sum(axis=1).tolist() == activities.sum(axis=0).tolist()
    inside = (probabilities[:, 1] >= 0.3) & (probabilities[:, 1] < 0.4)
    assert bins[1, 3].tolist()[0::2] == [inside.sum(), activities[inside, 1].sum()]


def test_frames_come_back_from_events_even_where_the_recording_ends_within_a_frame() -> None:
    """10 s at a hop of 32 ms are 312.5 hops, of 313 frames: the last event is cut at 10 s."""
    random = np.random.default_rng(1)
    active = np.repeat(random.random((79, 2)) < 0.5, 4, axis=0)[:313]
    active[-1] = True
    truth = np.zeros((313, 2), np.uint8)
    one = recording("a.wav", truth, duration_s=10.0)
    found = activities_to_events(active, CLASSES, HOP_S, 10.0)
    examination = examine([(one, active.astype(np.float32))], {"a.wav": found}, CLASSES, HOP_S)
    assert examination.counts.tolist() == count_frames(truth, active).tolist()


def test_the_worst_files_are_kept_worst_first() -> None:
    truth = np.zeros((100, 2), np.uint8)
    truth[20:60, 0] = 1
    run, events = [], {}
    for name, n_right in (("fair", 20), ("bad", 5), ("good", 39), ("awful", 0)):
        run.append((recording(name, truth), truth.astype(np.float32)))
        found = truth.copy()
        found[20 + n_right : 60] = 0
        events[name] = activities_to_events(found, CLASSES, HOP_S)
    kept = examine(run, events, CLASSES, HOP_S, n_kept=3)
    assert [file.recording.name for file in kept.files] == ["awful", "bad", "fair"]
    assert kept.n_files == 4
    assert kept.files[0].f1 == 0.0
    assert len(examine(run, events, CLASSES, HOP_S).files) == 4
    assert examine(run, events, CLASSES, HOP_S, n_kept=0).files == []


def test_a_file_without_events_that_stays_silent_is_no_error() -> None:
    silent = recording("silent", np.zeros((50, 2), np.uint8))
    noisy = recording("noisy", np.zeros((50, 2), np.uint8))
    run = [(one, np.zeros((50, 2), np.float32)) for one in (silent, noisy)]
    examination = examine(run, {"noisy": [Event(0.2, 0.5, "low")]}, CLASSES, HOP_S)
    assert [file.recording.name for file in examination.files] == ["noisy", "silent"]
    assert [file.f1 for file in examination.files] == [0.0, None]


def test_of_a_long_file_the_stretch_with_most_errors_is_shown() -> None:
    truth = np.zeros((1000, 2), np.uint8)
    truth[100:150, 0] = 1
    truth[700:760, 1] = 1
    found = [e for e in activities_to_events(truth, CLASSES, HOP_S) if e.label == "low"]
    probabilities = np.linspace(0, 1, 2000, dtype=np.float32).reshape(1000, 2)
    run = [(recording("long", truth), probabilities)]
    (file,) = examine(run, {"long": found}, CLASSES, HOP_S, longest_s=100 * HOP_S).files
    first, last = file.first_frame, file.first_frame + len(file.probabilities)
    assert last - first == 100
    assert first <= 700
    assert last >= 760
    assert file.window_s == pytest.approx((first * HOP_S, last * HOP_S))
    expected = np.round(255 * probabilities[first:last])
    assert file.probabilities.tolist() == expected.astype(np.uint8).tolist()
    assert events_to_activities(found, CLASSES, 1000, HOP_S).sum() == 50
