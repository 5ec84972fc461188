"""Metrics against independent counts and against sed_eval itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import activities_to_events
from sed_cli.evaluation.metrics import FrameCounts, _import_sed_eval, sed_eval_scores

CLASSES = ["cat", "dog", "rain"]
Events = Mapping[str, Sequence[Event]]

# sed_eval adds an epsilon of 2e-16 to what it divides by.
EXACT = 1e-12

rolls = arrays(np.uint8, (24, 3), elements=st.integers(0, 1))


def count(*pairs: tuple[Any, Any]) -> FrameCounts:
    counts = FrameCounts.zeros(3)
    for reference, estimate in pairs:
        counts.add(np.asarray(reference, dtype=np.uint8), np.asarray(estimate, dtype=bool))
    return counts


def count_by_hand(
    reference: NDArray[np.uint8], estimate: NDArray[np.uint8]
) -> tuple[float | None, float | None]:
    """F1 and ER as Mesaros et al. 2016 write them: S, D and I of each frame."""
    tp = fp = fn = errors = n_reference = 0
    for truth, found in zip(reference.tolist(), estimate.tolist(), strict=True):
        missed = sum(t and not f for t, f in zip(truth, found, strict=True))
        inserted = sum(f and not t for t, f in zip(truth, found, strict=True))
        substitutions = min(missed, inserted)
        errors += substitutions + (missed - substitutions) + (inserted - substitutions)
        tp += sum(t and f for t, f in zip(truth, found, strict=True))
        fp, fn, n_reference = fp + inserted, fn + missed, n_reference + sum(truth)
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
    return f1, errors / n_reference if n_reference else None


@given(reference=rolls, estimate=rolls)
def test_frame_figures_equal_a_count_by_hand(
    reference: NDArray[np.uint8], estimate: NDArray[np.uint8]
) -> None:
    f1, er = count_by_hand(reference, estimate)

    assert count((reference, estimate)).overall() == {
        "f1": pytest.approx(f1, abs=EXACT) if f1 is not None else None,
        "er": pytest.approx(er, abs=EXACT) if er is not None else None,
    }


def sed_eval_frames(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """Let sed_eval take a frame of an eighth of a second for its segment."""
    hop_s = 0.125  # a power of two, so that sed_eval's own rounding of times changes nothing
    metric = _import_sed_eval().sound_event.SegmentBasedMetrics(CLASSES, time_resolution=hop_s)
    for reference, estimate in pairs:
        lists = [
            [
                {"onset": e.onset_s, "offset": e.offset_s, "event_label": e.label}
                for e in activities_to_events(roll, CLASSES, hop_s)
            ]
            for roll in (reference, estimate)
        ]
        metric.evaluate(*lists, evaluated_length_seconds=len(reference) * hop_s)
    return metric


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(rolls, rolls), min_size=1, max_size=3))
def test_frame_figures_equal_sed_evals_with_a_frame_for_a_segment(pairs: Any) -> None:
    metric = sed_eval_frames(pairs)
    counts = count(*pairs)

    score = counts.overall()
    n_true = counts.true_positives.sum()

    assert metric.overall["Ntp"] == n_true
    assert metric.overall["Nfp"] == counts.false_positives.sum()
    assert metric.overall["Nfn"] == counts.false_negatives.sum()
    assert metric.overall["S"] == counts.substitutions
    if score["er"] is not None:
        assert score["er"] == pytest.approx(metric.overall_error_rate()["error_rate"], abs=1e-9)
    if n_true:
        assert score["f1"] == pytest.approx(metric.overall_f_measure()["f_measure"], abs=1e-9)
    for label, of_class in counts.per_class(CLASSES).items():
        if metric.class_wise[label]["Nref"]:
            er = metric.class_wise_error_rate(label)["error_rate"]
            assert of_class["er"] == pytest.approx(er, abs=1e-9)
        if metric.class_wise[label]["Ntp"]:
            f1 = metric.class_wise_f_measure(label)["f_measure"]
            assert of_class["f1"] == pytest.approx(f1, abs=1e-9)


def test_a_substitution_is_one_error_and_not_two() -> None:
    counts = count(([[1, 0, 0]], [[0, 1, 0]]))

    assert counts.overall() == {"f1": 0.0, "er": 1.0}
    assert counts.per_class(CLASSES)["cat"] == {"f1": 0.0, "er": 1.0}
    assert counts.per_class(CLASSES)["dog"] == {"f1": 0.0, "er": None}


def test_errors_in_different_frames_are_no_substitution() -> None:
    assert count(([[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]])).overall()["er"] == 2.0


def test_micro_figures_add_up_counts_and_average_no_files() -> None:
    short = (np.eye(3)[[0]], np.eye(3)[[0]])  # a frame, found
    long = (np.eye(3)[[0] * 9], np.zeros((9, 3)))  # nine frames, missed

    score = count(short, long).overall()

    assert score == {"f1": pytest.approx(2 / 11), "er": pytest.approx(0.9)}
    reference = {"a": [Event(0.0, 1.0, "cat")], "b": [Event(0.0, 9.0, "cat")]}
    estimate: Events = {"a": [Event(0.0, 1.0, "cat")], "b": []}
    scores = sed_eval_scores(reference, estimate, {"a": 1.0, "b": 9.0}, CLASSES)
    assert scores["segment"]["f1"] == pytest.approx(2 / 11)
    assert scores["segment"]["er"] == pytest.approx(0.9)
    assert scores["event"]["f1"] == pytest.approx(2 / 3)


REFERENCE: Events = {
    "one.wav": [
        Event(0.0, 1.2, "cat"),
        Event(1.0, 3.0, "dog"),
        Event(4.0, 4.5, "dog"),
        Event(6.1, 9.7, "rain"),
    ],
    "two.wav": [Event(2.5, 2.9, "cat"), Event(2.6, 5.0, "dog")],
    "empty.wav": [],
}
ESTIMATE: Events = {
    "one.wav": [
        Event(0.1, 1.1, "cat"),
        Event(1.5, 3.0, "dog"),
        Event(4.1, 4.6, "dog"),
        Event(6.1, 8.1, "rain"),
        Event(9.0, 9.5, "cat"),
    ],
    "two.wav": [Event(2.5, 2.9, "dog"), Event(2.6, 5.0, "dog")],
    "empty.wav": [Event(1.0, 1.5, "rain")],
}
DURATIONS_S = {"one.wav": 10.0, "two.wav": 5.5, "empty.wav": 3.0}


def run_sed_eval(reference: Events, estimate: Events, collar_s: float) -> tuple[Any, Any]:
    sound_event = _import_sed_eval().sound_event
    segment = sound_event.SegmentBasedMetrics(CLASSES, time_resolution=1.0)
    event = sound_event.EventBasedMetrics(CLASSES, t_collar=collar_s, percentage_of_length=0.5)
    for name in reference:
        lists = [
            [
                {"filename": name, "onset": e.onset_s, "offset": e.offset_s, "event_label": e.label}
                for e in events[name]
            ]
            for events in (reference, estimate)
        ]
        segment.evaluate(*lists, evaluated_length_seconds=DURATIONS_S[name])
        event.evaluate(*lists)
    return segment, event


def test_segments_and_events_are_sed_evals_own() -> None:
    scores = sed_eval_scores(REFERENCE, ESTIMATE, DURATIONS_S, CLASSES)

    for name, metric in zip(
        ("segment", "event"), run_sed_eval(REFERENCE, ESTIMATE, 0.2), strict=True
    ):
        overall = metric.results_overall_metrics()
        assert scores[name] == {
            "f1": pytest.approx(overall["f_measure"]["f_measure"], abs=EXACT),
            "er": pytest.approx(overall["error_rate"]["error_rate"], abs=EXACT),
        }
        assert 0 < scores[name]["f1"] < 1
        for label, found in metric.results_class_wise_metrics().items():
            assert scores["per_class"][label][name] == {
                "f1": pytest.approx(np.nan_to_num(found["f_measure"]["f_measure"]), abs=EXACT),
                "er": pytest.approx(found["error_rate"]["error_rate"], abs=EXACT),
            }


@pytest.mark.parametrize("onset_s", [0.1, 0.3, 0.7, 1.1, 4.9, 7.3])
def test_an_event_exactly_at_the_collar_is_found(onset_s: float) -> None:
    reference = {"a": [Event(onset_s, onset_s + 2, "dog")]}
    for shift in (0.2, -0.2):
        if onset_s + shift >= 0:
            estimate = {"a": [Event(onset_s + shift, onset_s + 2, "dog")]}
            scores = sed_eval_scores(reference, estimate, {"a": 10.0}, CLASSES)
            assert scores["event"]["f1"] == pytest.approx(1.0)


def test_an_event_past_the_collar_is_not_found() -> None:
    reference = {"a": [Event(1.0, 2.0, "dog")]}
    estimate = {"a": [Event(1.21, 2.0, "dog")]}

    assert sed_eval_scores(reference, estimate, {"a": 10.0}, CLASSES)["event"]["f1"] == 0.0


def test_an_offset_may_differ_by_half_of_the_event() -> None:
    reference = {"a": [Event(1.0, 5.0, "dog")]}
    for offset_s, f1 in ((6.9, 1.0), (3.1, 1.0), (7.1, 0.0), (2.9, 0.0)):
        estimate = {"a": [Event(1.0, offset_s, "dog")]}
        scores = sed_eval_scores(reference, estimate, {"a": 10.0}, CLASSES)
        assert scores["event"]["f1"] == pytest.approx(f1)


@pytest.mark.parametrize(
    ("reference", "estimate", "f1", "er"),
    [
        ([], [], None, None),
        ([], [Event(0.0, 1.0, "dog")], 0.0, None),
        ([Event(0.0, 1.0, "dog")], [], 0.0, 1.0),
        ([Event(0.0, 1.0, "dog")], [Event(0.0, 1.0, "dog")], 1.0, 0.0),
    ],
    ids=["nothing at all", "nothing annotated", "nothing found", "perfect"],
)
def test_what_has_no_base_is_none_and_nothing_is_beyond_reason(
    reference: list[Event], estimate: list[Event], f1: float | None, er: float | None
) -> None:
    scores = sed_eval_scores({"a": reference}, {"a": estimate}, {"a": 3.0}, CLASSES)

    expected = {"f1": f1, "er": er if er is None else pytest.approx(er)}
    assert scores["segment"] == expected
    assert scores["event"] == expected
    assert scores["per_class"]["dog"]["event"] == expected
    assert scores["per_class"]["cat"] == {"segment": {"f1": None, "er": None}} | {
        "event": {"f1": None, "er": None}
    }
    json.dumps(scores, allow_nan=False)  # NaN and infinity would raise
    rolls = [np.zeros((9, 3)), np.zeros((9, 3))]
    for roll, events in zip(rolls, (reference, estimate), strict=True):
        roll[:3, 1] = bool(events)
    assert count(tuple(rolls)).overall() == {"f1": f1, "er": er}  # type: ignore[arg-type]


def test_no_file_at_all_has_no_figures() -> None:
    assert sed_eval_scores({}, {}, {}, CLASSES)["event"] == {"f1": None, "er": None}
    assert FrameCounts.zeros(3).overall() == {"f1": None, "er": None}


@pytest.mark.parametrize("where", ["reference", "estimate"])
def test_an_unknown_label_is_refused(where: str) -> None:
    lists: dict[str, Events] = {"reference": {"a": []}, "estimate": {"a": []}}
    lists[where] = {"a": [Event(0.0, 1.0, "whale")]}

    with pytest.raises(ValueError, match=r"'whale'.*cat, dog, rain"):
        sed_eval_scores(lists["reference"], lists["estimate"], {"a": 3.0}, CLASSES)


@pytest.mark.parametrize("label", ["none", "None", " padded ", "a,b", "été", "class 1"])
def test_any_label_can_be_scored(label: str) -> None:
    """sed_eval's container would take "none" for no label, and strip spaces."""
    reference = {"a": [Event(0.0, 1.0, label), Event(2.0, 2.5, "dog")]}

    scores = sed_eval_scores(reference, reference, {"a": 3.0}, [label, "dog"])

    assert scores["per_class"][label]["event"]["f1"] == pytest.approx(1.0)
    assert scores["segment"]["er"] == pytest.approx(0.0)


def test_a_long_tail_of_silence_counts_for_segments_only_as_true_negatives() -> None:
    reference = {"a": [Event(0.0, 1.0, "dog")]}

    short, long = (
        sed_eval_scores(reference, reference, {"a": length}, CLASSES) for length in (1.0, 100.0)
    )

    assert short == long
