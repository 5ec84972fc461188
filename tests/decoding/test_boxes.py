"""Sound event bounding boxes: known curves, joins, PSDS in closed form, streams, tuning, files."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import events_to_activities, runs
from sed_cli.decoding.box_finder import Boxes, BoxFinder, BoxRules
from sed_cli.decoding.boxes import BoxDecoder, confidences, find
from sed_cli.decoding.saved import fit, read_decoder, save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import CheckpointError
from sed_cli.metrics.curves import SCENARIOS, Scored, threshold_free
from tests.decoding.streams import check_stream, cut
from tests.decoding.test_hysteresis_and_vote import f1_of, in_turn, made, task_of
from tests.decoding.test_tuning import CLASSES, HOP_S
from tests.metrics.test_curves import library

TWO = ("cat", "dog")
BOXES = BoxDecoder(
    classes=TWO,
    hop_s=0.1,
    step_frames=(4, 4),
    ratios=(2.0, 1.5),
    thresholds=(0.5, 0.3),
    longest_s=10.0,
    tuned_for="event",
)


def levels(*parts: tuple[int, float]) -> NDArray[np.float32]:
    """A curve of levels, each with a number of frames (T,)."""
    return np.concatenate([np.full(n, level, np.float32) for n, level in parts])


def spans(boxes: Boxes, column: int = 0) -> list[tuple[int, int]]:
    own = boxes.of(column)
    return list(zip(own.first.tolist(), own.after.tolist(), strict=True))


def rules(step: int = 4, *, ratio: float = 2.0, longest: int = 1000) -> BoxRules:
    return BoxRules(np.array([step]), np.array([ratio]), longest)


# -------------------------------------------------------------------------- known curves


def test_a_box_begins_and_ends_where_the_level_changes() -> None:
    curve = levels((10, 0.1), (20, 0.9), (15, 0.1), (8, 0.4), (12, 0.1))

    boxes = find(rules(), curve[:, None])

    assert (10, 30) in spans(boxes)
    assert (45, 53) in spans(boxes)
    assert boxes.mean[spans(boxes).index((45, 53))] == pytest.approx(0.4, abs=1e-6)


def test_events_at_the_ends_of_a_recording_are_whole() -> None:
    boxes = find(rules(), levels((12, 0.8), (20, 0.0), (9, 0.7))[:, None])

    assert spans(boxes) == [(0, 12), (32, 41)]
    assert spans(find(rules(), levels((30, 0.6))[:, None])) == [(0, 30)]


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_where_nothing_changes_there_is_no_box(level: float) -> None:
    assert spans(find(rules(), levels((50, level))[:, None])) == []
    assert spans(find(rules(), np.empty((0, 1), np.float32))) == []


def test_noise_leaves_the_ends_of_a_box_where_they_are() -> None:
    random = np.random.default_rng(0)
    curve = levels((60, 0.1), (40, 0.8), (60, 0.1)) + random.normal(0, 0.05, 160)

    boxes = find(rules(8), curve.clip(0, 1)[:, None])

    loud = boxes.mean > 0.5
    assert loud.sum() == 1
    assert abs(int(boxes.first[loud][0]) - 60) <= 1
    assert abs(int(boxes.after[loud][0]) - 100) <= 1


# --------------------------------------------------------------------------------- joins


@pytest.mark.parametrize(
    ("gap", "ratio", "joined"),
    [(0.5, 2.0, True), (0.3, 2.0, False), (0.3, 3.0, True), (0.2, 3.0, False), (0.0, 1e6, False)],
)
def test_boxes_are_joined_unless_the_gap_is_far_below_the_higher_one(
    gap: float, ratio: float, joined: bool
) -> None:
    curve = levels((10, 0.0), (10, 0.6), (10, gap), (10, 0.8), (10, 0.0))

    boxes = find(rules(ratio=ratio), curve[:, None])

    assert spans(boxes) == ([(10, 40)] if joined else [(10, 20), (30, 40)])
    if joined:
        assert boxes.mean[0] == pytest.approx((0.6 + gap + 0.8) / 3, abs=1e-6)
    assert boxes.peak[-1] == pytest.approx(0.8, abs=1e-6)


def test_boxes_that_touch_are_two_where_their_levels_are_far_apart() -> None:
    curve = levels((10, 0.0), (10, 0.3), (10, 0.9), (10, 0.0))[:, None]

    assert spans(find(rules(ratio=2.0), curve)) == [(10, 20), (20, 30)]
    assert spans(find(rules(ratio=4.0), curve)) == [(10, 30)]


def test_a_long_event_is_divided_into_boxes_that_touch() -> None:
    boxes = find(rules(longest=20), levels((5, 0.0), (70, 0.9), (5, 0.0))[:, None])

    parts = spans(boxes)
    assert parts[0][0] == 5
    assert parts[-1][1] == 75
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert max(after - first for first, after in parts) <= 20


def test_confidence_lies_between_the_mean_and_the_peak() -> None:
    none = np.array([0])

    assert confidences(Boxes(none, none, none, np.array([0.25]), np.array([1.0])))[0] == 0.5


@settings(max_examples=30, deadline=None)
@given(
    n_frames=st.integers(0, 200),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    stay=st.sampled_from([0.0, 0.8, 0.95]),
    longest=st.sampled_from([1, 7, 1000]),
)
def test_pieces_give_the_boxes_of_the_whole_and_boxes_never_overlap(
    n_frames: int, sizes: list[int], seed: int, stay: float, longest: int
) -> None:
    curve = wandering(n_frames, seed, stay)
    both = BoxRules(np.array([1, 6]), np.array([1.1, 2.5]), longest)

    finder = BoxFinder(both)
    pieces = Boxes.joined([*map(finder.push, cut(curve, sizes)), finder.finish()])
    whole = find(both, curve)

    for column in range(2):
        one, other = pieces.of(column), whole.of(column)
        for of_pieces, of_whole in zip(one, other, strict=True):
            np.testing.assert_array_equal(of_pieces, of_whole)
        assert (other.first[1:] >= other.after[:-1]).all()
        for first, after, _, mean, peak in zip(*other, strict=True):
            assert mean == pytest.approx(curve[first:after, column].mean(), abs=1e-5)
            assert peak == pytest.approx(curve[first:after, column].max(), abs=1e-5)


def wandering(n_frames: int, seed: int, stay: float) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    curve = random.random((n_frames, 2), dtype=np.float32)
    for frame in range(1, n_frames):
        stays = random.random(2) < stay
        curve[frame, stays] = curve[frame - 1, stays]
    return curve


# --------------------------------------------------------------------------------- events


def test_boxes_above_the_threshold_are_events_and_those_that_touch_are_one() -> None:
    values = np.stack(
        [
            levels((10, 0.0), (10, 0.55), (10, 0.1), (10, 0.4), (10, 0.0)),
            levels((10, 0.0), (10, 0.35), (10, 0.8), (20, 0.0)),
        ],
        axis=1,
    )

    events = BOXES.decode(values)
    boxes = BOXES.boxes(values)

    found = [(d.label, round(d.onset_s, 6), round(d.offset_s, 6)) for d in events]
    assert found == [("cat", 1.0, 2.0), ("dog", 1.0, 3.0)]
    assert events[0].confidence == pytest.approx(0.55, abs=1e-6)
    assert events[1].confidence == pytest.approx((0.35 + 0.8) / 2, abs=1e-6)
    assert [(b.label, round(b.onset_s, 6)) for b in boxes] == [
        *(("cat", 1.0), ("dog", 1.0), ("dog", 2.0), ("cat", 3.0))
    ]


def test_minimum_gaps_and_durations_act_on_events_and_not_on_boxes() -> None:
    values = levels((10, 0.0), (10, 0.7), (10, 0.0), (10, 0.8), (20, 0.0), (5, 0.9), (9, 0.0))
    values = np.stack([values, values], axis=1)

    kept = BOXES.with_least(min_gap_s=1.1, min_duration_s=0.6)

    cats = [(d.onset_s, d.offset_s) for d in kept.decode(values) if d.label == "cat"]
    assert cats == [(pytest.approx(1.0), pytest.approx(4.0))]
    assert kept.boxes(values) == BOXES.boxes(values)


def test_nothing_ends_after_the_recording() -> None:
    values = np.full((10, 2), 0.9, np.float32)

    assert {event.offset_s for event in BOXES.decode(values, 0.93)} == {0.93}
    assert {box.offset_s for box in BOXES.boxes(values, 0.93)} == {0.93}
    assert BOXES.decoded(values, 0.93).active.all()
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(T, 2\)"):
        BOXES.decode(np.zeros((5, 3)))


SHORT = st.sampled_from([0.0, 0.1, 0.5])


@settings(max_examples=30, deadline=None)
@given(
    n_frames=st.integers(0, 150),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    stay=st.sampled_from([0.0, 0.7, 0.95]),
    rest=st.floats(0, 1),
    longest_s=st.sampled_from([0.1, 0.8, 10.0]),
    least=st.tuples(SHORT, SHORT),
)
def test_a_stream_finds_the_events_of_the_whole_within_its_latency(
    n_frames: int,
    sizes: list[int],
    seed: int,
    stay: float,
    rest: float,
    longest_s: float,
    least: tuple[float, float],
) -> None:
    curve = wandering(n_frames, seed, stay)
    duration_s = (max(n_frames - 1, 0) + rest) * 0.1
    decoder = replace(
        BOXES, longest_s=longest_s, min_gap_s=least[0], min_duration_s=least[1], step_frames=(1, 5)
    )

    check_stream(decoder, curve, duration_s, sizes)


# ----------------------------------------------------------------------------------- PSDS


def test_psds_of_probabilities_that_know_all_is_1() -> None:
    library()
    scored = []
    for recording, _ in in_turn(n_files=4):
        # Whole frames, so that the reference can be met exactly.
        active = recording.activities[:]
        reference = [
            Event(first * HOP_S, after * HOP_S, label)
            for index, label in enumerate(CLASSES)
            for first, after in zip(*runs(active[:, index].astype(bool)), strict=True)
        ]
        untuned = fit(made("boxes"), task_of([], tune=False))
        boxes = untuned.boxes(0.9 * active.astype(np.float32), recording.duration_s)
        scored.append(
            Scored(recording.name, recording.duration_s, sorted(reference), active, boxes)
        )

    figures = threshold_free(scored, CLASSES, HOP_S).figures

    assert [figures[name]["psds"] for name in SCENARIOS] == [1.0, 1.0]


# ---------------------------------------------------------------------- tuned, kept, used


@pytest.mark.parametrize("metric", [pytest.param("frame", marks=pytest.mark.slow), "event"])
def test_tuning_is_better_than_a_plain_threshold_where_events_sag(
    metric: str, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = in_turn()
    with caplog.at_level(logging.INFO):
        decoder = fit(made("boxes"), task_of(pairs, metric))
    plain = ThresholdDecoder.plain(CLASSES, HOP_S)

    assert isinstance(decoder, BoxDecoder)
    assert decoder.tuned_for == metric
    assert f1_of(pairs, decoder, "event")[0] > f1_of(pairs, plain, "event")[0] + 0.1
    assert "mean area under both PSD-ROCs" in caplog.text


def test_tuning_finds_the_step_and_the_join_that_suit_the_events() -> None:
    """Long events with a level that halves repeatedly, and short events close together."""
    from tests.decoding.test_tuning import recording_of

    pairs = []
    for index in range(12):
        n_frames = 500
        curve = np.full((n_frames, 3), 0.02, np.float32)
        events = []
        for start in range(20 + index, 400, 150):
            events.append(Event(start * HOP_S, (start + 100) * HOP_S, "cat"))
            curve[start : start + 100, 0] = np.tile(levels((10, 0.9), (10, 0.4)), 5)
        for start in range(10 + index, 480, 12):
            events.append(Event(start * HOP_S, (start + 6) * HOP_S, "dog"))
            curve[start : start + 12, 1] = levels((6, 0.9), (6, 0.4))[: n_frames - start]
        active = events_to_activities(events, CLASSES, n_frames, HOP_S).astype(bool)
        duration_s = n_frames * HOP_S
        pairs.append((recording_of(f"{index}.wav", active, sorted(events), duration_s), curve))

    turned = pairs[::-1]  # in another order, as from a detector that batches by length
    decoder = fit(made("boxes"), task_of(pairs, scored=lambda: iter(turned)))

    assert isinstance(decoder, BoxDecoder)
    assert decoder.ratios[0] > 0.9 / 0.4 > decoder.ratios[1]
    cats = [box for box in decoder.boxes(pairs[0][1]) if box.label == "cat"]
    dogs = [box for box in decoder.boxes(pairs[0][1]) if box.label == "dog"]
    assert len([box for box in cats if box.confidence > 0.3]) == 3
    assert len([box for box in dogs if box.confidence > 0.8]) == 40


def test_a_class_without_events_in_validation_follows_the_others() -> None:
    decoder = fit(made("boxes"), task_of(in_turn(n_files=3)))

    assert isinstance(decoder, BoxDecoder)
    assert decoder.as_json()["tuning"]["rain"]["kept"] == "default"
    assert decoder.thresholds[CLASSES.index("rain")] == 0.5


def test_without_validation_or_tuning_nothing_is_tuned() -> None:
    for task in (task_of([]), task_of(in_turn(n_files=1), tune=False)):
        values = fit(made("boxes"), task).as_json()
        assert values["tuned_for"] is None
        assert set(values["thresholds"].values()) == {0.5}


def test_values_that_are_set_are_kept_to() -> None:
    task = task_of(in_turn(n_files=1), min_gap_s=0.1, min_duration_s=0.2)

    decoder = fit(made("boxes", threshold=0.2, longest_s=3.0), task)

    assert isinstance(decoder, BoxDecoder)
    assert set(decoder.thresholds) == {0.2}
    assert (decoder.longest_s, decoder.min_gap_s, decoder.min_duration_s) == (3.0, 0.1, 0.2)


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    save_decoder(tmp_path, BOXES)

    assert read_decoder(tmp_path, TWO, 0.1) == BOXES


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ratios", {"cat": 0.5, "dog": 2.0}, "ratios of 0.5"),
        ("step_frames", {"cat": 0, "dog": 2}, "step_frames of 0"),
        ("thresholds", {"cat": 0.5}, "thresholds"),
        ("longest_s", 0.0, "longest_s"),
        ("longest_s", None, "longest_s"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, key: str, value: object, said: str) -> None:
    save_decoder(tmp_path, BOXES)
    path = tmp_path / "postprocessing.json"
    values = json.loads(path.read_text())
    values[key] = value
    if value is None:
        del values[key]
    path.write_text(json.dumps(values))

    with pytest.raises(CheckpointError, match=said):
        read_decoder(tmp_path, TWO, 0.1)
