"""From probabilities to events: each step by hand, all of them together, and saving."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sed_cli.data.frames import activities_to_events
from sed_cli.decoding.postprocessing import (
    PostProcessing,
    mend_runs,
    smoothed,
)
from sed_cli.decoding.saved import read_decoder, save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import CheckpointError

HOP_S = 0.1
CLASSES = ("cat", "dog")

probabilities = arrays(np.float32, (40, 2), elements=st.floats(0, 1, width=32))
activities = arrays(np.bool_, (40, 2))
TUNED = PostProcessing(
    thresholds=(0.3, 0.62),
    filter_frames=(3, 7),
    min_gap_s=0.3,
    min_duration_s=0.2,
    tuned_for="event",
)


def decoder(postprocessing: PostProcessing) -> ThresholdDecoder:
    return ThresholdDecoder(classes=CLASSES, hop_s=HOP_S, postprocessing=postprocessing)


def read(folder: Path, classes: tuple[str, ...] = CLASSES) -> PostProcessing:
    made = read_decoder(folder, classes, HOP_S)
    assert isinstance(made, ThresholdDecoder)
    assert made.classes == classes
    return made.postprocessing


def column(text: str) -> NDArray[np.bool_]:
    return np.array([[mark == "#"] for mark in text])


def drawn(active: NDArray[np.bool_]) -> str:
    return "".join("#" if value else "." for value in active[:, 0])


@given(probabilities)
def test_plain_is_a_threshold_at_a_half(values: NDArray[np.float32]) -> None:
    plain = PostProcessing.plain(2)

    np.testing.assert_array_equal(plain.activities(values, HOP_S), values > 0.5)
    assert decoder(plain).events(values) == activities_to_events(values > 0.5, CLASSES, HOP_S)


def test_each_class_has_its_own_threshold_and_filter() -> None:
    values = np.array([[0.4, 0.4]] * 6 + [[0.1, 0.1]] * 4 + [[0.4, 0.7]] + [[0.1, 0.1]] * 4)
    postprocessing = PostProcessing(thresholds=(0.3, 0.5), filter_frames=(3, 1))

    active = postprocessing.activities(values, HOP_S)

    assert active[:, 0].tolist() == [True] * 6 + [False] * 9  # the lone frame is filtered away
    assert active[:, 1].tolist() == [False] * 10 + [True] + [False] * 4


@given(values=probabilities, length=st.sampled_from([1, 3, 5, 9, 39, 41]), at=st.floats(0, 1))
def test_a_median_commutes_with_a_threshold(
    values: NDArray[np.float32], length: int, at: float
) -> None:
    """Tuning filters probabilities once and sweeps thresholds: the result must be the same."""
    first = smoothed(values[:, 0], length) > at
    half = length // 2
    mirrored = np.pad(values[:, 0] > at, half, mode="symmetric")
    majority = [mirrored[t : t + length].sum() > half for t in range(40)]

    assert first.tolist() == majority


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("..###..###..", "..########.."),  # 0.2 s of silence are less than 0.3
        ("..##...##...", "..##...##..."),  # 0.3 s are not less
        ("..#......##.", ".........##."),  # 0.1 s of sound are less than 0.2
        ("..#..#......", "..####......"),  # gaps are filled before what is short is dropped
        ("#..........#", "............"),  # the ends are not gaps
        (".##########.", ".##########."),
        ("............", "............"),
    ],
)
def test_gaps_are_filled_then_what_is_short_is_dropped(before: str, after: str) -> None:
    mended = mend_runs(column(before), HOP_S, min_gap_s=0.3, min_duration_s=0.2)

    assert drawn(mended) == after


def test_an_event_that_the_end_cuts_short_is_short() -> None:
    active = column("........##")
    of = dict[str, Any](min_gap_s=0.0, min_duration_s=0.2)

    assert drawn(mend_runs(active, HOP_S, 1.0, **of)) == "........##"
    assert drawn(mend_runs(active, HOP_S, 0.95, **of)) == ".........."


@settings(max_examples=50)
@given(values=probabilities, cut_s=st.floats(0, 0.099))
def test_no_event_or_gap_is_shorter_than_asked(values: NDArray[np.float32], cut_s: float) -> None:
    events = decoder(TUNED).events(values, 4.0 - cut_s)

    for label in CLASSES:
        own = [event for event in events if event.label == label]
        assert all(e.offset_s - e.onset_s >= 0.2 - 1e-9 for e in own)
        gaps = [b.onset_s - a.offset_s for a, b in pairwise(own)]
        assert all(gap >= 0.3 - 1e-9 for gap in gaps)


@given(active=activities)
def test_mending_leaves_its_input_alone_and_does_nothing_twice(active: NDArray[np.bool_]) -> None:
    before = active.copy()
    once = mend_runs(active, HOP_S, min_gap_s=0.25, min_duration_s=0.35)

    np.testing.assert_array_equal(active, before)
    np.testing.assert_array_equal(mend_runs(once, HOP_S, min_gap_s=0.25, min_duration_s=0.35), once)


@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_recordings_shorter_than_the_filter_are_no_fault(n_frames: int) -> None:
    assert TUNED.activities(np.ones((n_frames, 2)), HOP_S).shape == (n_frames, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": (0.5,)},
        {"thresholds": (0.5, 1.5)},
        {"thresholds": (0.5, float("nan"))},
        {"filter_frames": (1, 4)},
        {"filter_frames": (1, -1)},
        {"min_gap_s": -1.0},
        {"min_duration_s": float("inf")},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PostProcessing(**{"thresholds": (0.5, 0.5), "filter_frames": (1, 1)} | wrong)


def test_probabilities_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(T, 2\)"):
        TUNED.activities(np.zeros((5, 3)), HOP_S)


# -------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    save_decoder(tmp_path, decoder(TUNED))

    assert read(tmp_path) == TUNED
    assert [path.name for path in tmp_path.iterdir()] == ["postprocessing.json"]
    # by label, so that nothing depends on the order of the classes
    turned = read(tmp_path, CLASSES[::-1])
    assert turned.thresholds == TUNED.thresholds[::-1]
    assert turned.filter_frames == TUNED.filter_frames[::-1]


def test_a_checkpoint_without_it_means_a_half(tmp_path: Path) -> None:
    assert read(tmp_path) == PostProcessing.plain(2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("thresholds"),
        lambda values: values["thresholds"].pop("cat"),
        lambda values: values["filter_frames"].update(cat=2),
        lambda values: values["thresholds"].update(cat="high"),
        lambda values: values.update(thresholds=[0.5, 0.5]),
        lambda values: values.update(min_gap_s=None),
    ],
)
def test_a_spoilt_file_is_named(spoil: Any, tmp_path: Path) -> None:
    values = TUNED.as_json(CLASSES)
    spoil(values)
    path = tmp_path / "postprocessing.json"
    path.write_text(json.dumps(values))

    with pytest.raises(CheckpointError, match=r"postprocessing\.json: invalid"):
        read(tmp_path)
    path.write_text("[")
    with pytest.raises(CheckpointError, match=r"postprocessing\.json: invalid"):
        read(tmp_path)


def test_events_are_those_of_the_activities() -> None:
    values = np.random.default_rng(0).uniform(size=(60, 2))

    active = TUNED.activities(values, HOP_S, 5.95)

    assert decoder(TUNED).events(values, 5.95) == activities_to_events(active, CLASSES, HOP_S, 5.95)
