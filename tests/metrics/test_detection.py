"""Metrics against independent counts and against sed_eval called directly."""

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
from sed_cli.metrics import detection as metrics
from sed_cli.metrics.detection import (
    SUBS,
    Bootstrap,
    Counts,
    _import_sed_eval,
    count_frames,
    describe,
    figures,
)
from tests.metrics.counted import KINDS, SED_EVAL_KINDS, sed_eval_counts

CLASSES = ["cat", "dog", "rain"]
Events = Mapping[str, Sequence[Event]]

EXACT = 1e-12  # the same arithmetic in another order
AS_SED_EVAL = 1e-9  # sed_eval adds an epsilon of 2e-16 to what it divides by

rolls = arrays(np.uint8, (24, 3), elements=st.integers(0, 1))


def count(*pairs: tuple[Any, Any]) -> Counts:
    """Count pairs of rolls, (n_pairs, 4, 4)."""
    return np.stack(
        [
            count_frames(np.asarray(reference, dtype=np.uint8), np.asarray(estimate, dtype=bool))
            for reference, estimate in pairs
        ]
    )


def overall(counts: Counts) -> dict[str, Any]:
    return describe(counts, CLASSES)[0]


def scores_of(
    reference: Events, estimate: Events, durations_s: Mapping[str, float]
) -> dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    counts = sed_eval_counts(reference, estimate, durations_s, CLASSES)
    return {kind: describe(of_kind, CLASSES) for kind, of_kind in counts.items()}


# ----------------------------------------------------------------------------------- frames


def count_by_hand(
    reference: NDArray[np.uint8], estimate: NDArray[np.uint8]
) -> tuple[float | None, float | None]:
    """F1 and ER as defined by Mesaros et al. 2016: S, D and I of each frame."""
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
    score = overall(count((reference, estimate)))

    assert score["f1"] == (None if f1 is None else pytest.approx(f1, abs=EXACT))
    assert score["er"] == (None if er is None else pytest.approx(er, abs=EXACT))


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(rolls, rolls), min_size=1, max_size=3))
def test_frame_figures_equal_sed_evals_with_a_frame_for_a_segment(pairs: Any) -> None:
    hop_s = 0.125  # a power of two, so that sed_eval's rounding of times changes nothing
    metric = _import_sed_eval().sound_event.SegmentBasedMetrics(CLASSES, time_resolution=hop_s)
    for pair in pairs:
        lists = [as_dicts(activities_to_events(roll, CLASSES, hop_s)) for roll in pair]
        metric.evaluate(*lists, evaluated_length_seconds=24 * hop_s)

    compare_with_sed_eval(metric, *describe(count(*pairs), CLASSES))


def test_a_substitution_is_one_error_and_not_two() -> None:
    score, of_class = describe(count(([[1, 0, 0]], [[0, 1, 0]])), CLASSES)

    assert (score["f1"], score["er"], score["counts"]["subs"]) == (0.0, 1.0, 1)
    assert (of_class["cat"]["f1"], of_class["cat"]["er"]) == (0.0, 1.0)
    assert (of_class["dog"]["f1"], of_class["dog"]["er"]) == (0.0, None)


def test_errors_in_different_frames_are_no_substitution() -> None:
    assert overall(count(([[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]])))["er"] == 2.0


def test_micro_figures_add_up_counts_and_average_no_files() -> None:
    short = (np.eye(3)[[0]], np.eye(3)[[0]])  # a frame, found
    long = (np.eye(3)[[0] * 9], np.zeros((9, 3)))  # nine frames, missed

    score = overall(count(short, long))

    assert score["f1"] == pytest.approx(2 / 11)
    assert score["er"] == pytest.approx(0.9)
    reference = {"a": [Event(0.0, 1.0, "cat")], "b": [Event(0.0, 9.0, "cat")]}
    estimate: Events = {"a": [Event(0.0, 1.0, "cat")], "b": []}
    scores = scores_of(reference, estimate, {"a": 1.0, "b": 9.0})
    assert scores["segment"][0]["f1"] == pytest.approx(2 / 11)
    assert scores["segment"][0]["er"] == pytest.approx(0.9)
    assert scores["event"][0]["f1"] == pytest.approx(2 / 3)


# --------------------------------------------------------------------------------- sed_eval

# After the example in sed_eval's documentation and the figure in Mesaros et al. 2016, with other
# times: shifted onsets, a split event, one of another class, one missed, one invented, a silence.
REFERENCE: Events = {
    "one.wav": [
        Event(0.0, 1.2, "cat"),
        Event(1.0, 3.0, "dog"),
        Event(4.0, 4.5, "dog"),
        Event(6.1, 9.7, "rain"),
    ],
    "two.wav": [Event(2.5, 2.9, "cat"), Event(2.6, 5.0, "dog"), Event(4.55, 5.45, "rain")],
    "empty.wav": [],
}
ESTIMATE: Events = {
    "one.wav": [
        Event(0.1, 1.1, "cat"),
        Event(1.5, 3.0, "dog"),
        Event(4.1, 4.6, "dog"),
        Event(6.1, 7.8, "rain"),
        Event(9.0, 9.5, "cat"),
    ],
    "two.wav": [Event(2.5, 2.9, "dog"), Event(2.6, 4.0, "dog"), Event(4.1, 5.0, "dog")],
    "empty.wav": [Event(1.0, 1.5, "rain")],
}
DURATIONS_S = {"one.wav": 10.0, "two.wav": 5.5, "empty.wav": 3.0}


def random_pair(seed: int, n_files: int = 12) -> tuple[Events, Events, dict[str, float]]:
    """Draw references and similar events on a grid of 10 ms, with many ties at the collar."""
    random = np.random.default_rng(seed)
    reference: dict[str, list[Event]] = {}
    estimate: dict[str, list[Event]] = {}
    for index in range(n_files):
        lists: tuple[list[Event], list[Event]] = ([], [])
        for label in CLASSES:
            at = 0.0
            for _ in range(random.integers(0, 5)):
                onset = at + random.integers(5, 100) / 100
                offset = onset + random.integers(10, 300) / 100
                at = offset + 0.5
                if random.random() < 0.85:
                    lists[0].append(Event(round(onset, 2), round(offset, 2), label))
                if random.random() < 0.85:
                    shifts = random.choice([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3], 2)
                    heard = str(random.choice([label, *CLASSES]))
                    onset, offset = max(0.0, onset + shifts[0]), offset + shifts[1]
                    lists[1].append(
                        Event(round(onset, 2), round(max(offset, onset + 0.1), 2), heard)
                    )
        reference[f"{index}"], estimate[f"{index}"] = sorted(lists[0]), sorted(lists[1])
    return reference, estimate, dict.fromkeys(reference, 16.25)


def as_dicts(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {"filename": "a.wav", "onset": onset_s, "offset": offset_s, "event_label": label}
        for onset_s, offset_s, label in events
    ]


def off_edges(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shorten events by less than any difference of times."""
    return [
        {**event, "onset": event["onset"] + 1e-7, "offset": event["offset"] - 1e-7}
        for event in events
    ]


def run_sed_eval(
    reference: Events, estimate: Events, durations_s: Mapping[str, float]
) -> dict[str, Any]:
    """Call sed_eval directly, with the usual settings."""
    sound_event = _import_sed_eval().sound_event
    of = {"empty_system_output_handling": "zero_score"}
    with_collar = {"t_collar": 0.2 + 1e-7, **of}
    direct = {
        "segment": sound_event.SegmentBasedMetrics(CLASSES, time_resolution=1.0),
        "segment_100ms": sound_event.SegmentBasedMetrics(CLASSES, time_resolution=0.1),
        "event": sound_event.EventBasedMetrics(CLASSES, percentage_of_length=0.5, **with_collar),
        "event_onset": sound_event.EventBasedMetrics(CLASSES, evaluate_offset=False, **with_collar),
    }
    for kind, metric in direct.items():
        metric.empty_system_output_handling = "zero_score"  # segments have no argument for it
        for name in reference:
            lists = [as_dicts(each) for each in (reference[name], estimate[name])]
            if "seg" in kind:  # times at the edge of a segment count there, whatever their rounding
                lists = [off_edges(each) for each in lists]
            length = {"evaluated_length_seconds": durations_s[name]} if "seg" in kind else {}
            metric.evaluate(*lists, **length)
    return direct


def compare_with_sed_eval(
    metric: Any, score: dict[str, Any], of_class: dict[str, dict[str, Any]]
) -> None:
    """Compare all defined figures with those of sed_eval."""
    of_all = metric.results_overall_metrics()
    blocks = [(score, of_all, metric.overall)]
    blocks += [
        (of_class[label], found, metric.class_wise[label])
        for label, found in metric.results_class_wise_metrics().items()
    ]
    for ours, theirs, counts in blocks:
        assert ours["counts"]["tp"] == counts["Ntp"]
        assert ours["counts"]["n_ref"] == counts["Nref"]
        assert ours["counts"]["n_sys"] == counts["Nsys"]
        flat = {**theirs["f_measure"], **theirs["error_rate"]}
        for name, key in NAMES.items():
            if key not in flat:
                assert (ours["counts"]["subs"], ours[name] or 0.0) == (0, 0.0)  # of a class
            elif counts["Nref"] and counts["Nsys"]:
                assert ours[name] == pytest.approx(flat[key], abs=AS_SED_EVAL), name
        if not counts["Nref"]:
            assert ours["recall"] is ours["er"] is None


NAMES = {
    "f1": "f_measure",
    "precision": "precision",
    "recall": "recall",
    "er": "error_rate",
    "substitution_rate": "substitution_rate",
    "deletion_rate": "deletion_rate",
    "insertion_rate": "insertion_rate",
}

PAIRS = [(REFERENCE, ESTIMATE, DURATIONS_S), *(random_pair(seed) for seed in range(3))]


@pytest.mark.parametrize("pair", PAIRS, ids=["written", "drawn 0", "drawn 1", "drawn 2"])
def test_segments_and_events_are_sed_evals_own(pair: Any) -> None:
    scores = scores_of(*pair)

    assert tuple(scores) == SED_EVAL_KINDS
    for kind, metric in run_sed_eval(*pair).items():
        score, of_class = scores[kind]
        compare_with_sed_eval(metric, score, of_class)
        assert 0 < score["f1"] < 1
        macro = metric.results_class_wise_average_metrics()  # every class occurs here
        flat = {**macro["f_measure"], **macro["error_rate"]}
        for name, value in score["macro"].items():
            assert value == pytest.approx(flat[NAMES[name]], abs=AS_SED_EVAL), (kind, name)


TIMES = st.integers(0, 60).map(lambda k: k * 0.1) | st.floats(0, 6)
CROWDED = st.lists(
    st.builds(
        lambda onset_s, length_s, label: Event(onset_s, onset_s + length_s, label),
        TIMES,
        st.integers(1, 20).map(lambda k: k * 0.1) | st.floats(0.001, 3),
        st.sampled_from(["cat", "none", "a dog"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(CROWDED, CROWDED, st.booleans(), st.sampled_from([1, 3, 100]))
def test_events_counted_class_by_class_are_those_of_sed_eval_with_all_labels(
    reference: list[Event], detected: list[Event], offsets: bool, block: int
) -> None:
    labels = {"cat": "x", "none": "y", "a dog": "z"}
    metric = _import_sed_eval().sound_event.EventBasedMetrics(
        list(labels.values()),
        t_collar=0.2 + metrics.SLACK_S,
        percentage_of_length=metrics.OFFSET_SHARE,
        evaluate_onset=True,
        evaluate_offset=offsets,
    )
    if reference or detected:
        metric.evaluate(*(metrics._event_list(each, labels) for each in (reference, detected)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_BLOCK", block)
        counts = metrics.count_events(reference, detected, list(labels), offsets=offsets)
    assert (counts == metrics._counts_of(metric, labels.values())).all()


def test_the_kinds_are_distinguished() -> None:
    values = {kind: score["f1"] for kind, (score, _) in scores_of(*PAIRS[0]).items()}

    assert len(set(values.values())) == 4
    assert values["event_onset"] > values["event"]


@pytest.mark.parametrize("seed", [3, 4])
def test_a_long_file_is_matched_in_blocks_with_the_same_counts(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of birdsong has thousands of events; sed_eval compares each with each."""
    pieces, estimates, _ = random_pair(seed, n_files=40)
    long: dict[str, list[list[Event]]] = {"a": [[], []]}
    for index, name in enumerate(pieces):
        for side, events in enumerate((pieces[name], estimates[name])):
            shift = 8.0 * index  # they overlap: not every block can end where a piece does
            long["a"][side] += [Event(e[0] + shift, e[1] + shift, e[2]) for e in events]
    sides = [{"a": sorted(long["a"][side])} for side in (0, 1)]
    assert len(sides[0]["a"]) + len(sides[1]["a"]) > 300

    blocks = list(metrics._blocks(sides[0]["a"], sides[1]["a"]))
    in_blocks = sed_eval_counts(*sides, {"a": 400.0}, CLASSES)
    monkeypatch.setattr(metrics, "_BLOCK", 10_000)
    at_once = sed_eval_counts(*sides, {"a": 400.0}, CLASSES)

    assert len(blocks) > 2
    for side in (0, 1):
        assert [event for block in blocks for event in block[side]] == sides[side]["a"]
    for kind in ("event", "event_onset"):
        np.testing.assert_array_equal(in_blocks[kind], at_once[kind])


@pytest.mark.parametrize("onset_s", [0.1, 0.3, 0.7, 1.1, 4.9, 7.3])
@pytest.mark.parametrize("kind", ["event", "event_onset"])
def test_an_event_exactly_at_the_collar_is_found(onset_s: float, kind: str) -> None:
    reference = {"a": [Event(onset_s, onset_s + 2, "dog")]}
    for shift in (0.2, -0.2):
        if onset_s + shift >= 0:
            estimate = {"a": [Event(onset_s + shift, onset_s + 2, "dog")]}
            assert scores_of(reference, estimate, {"a": 10.0})[kind][0]["f1"] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["segment", "segment_100ms"])
def test_an_event_on_the_grid_fills_whole_segments_and_no_others(kind: str) -> None:
    """0.3 / 0.1 is 2.9999999999999996 in floats, and 0.6 - 0.3 is more than 0.3."""
    step = 10 if kind == "segment" else 1
    resolution_s = {"segment": 1.0, "segment_100ms": 0.1}[kind]
    edges_s = np.arange(100_000) * step / 10
    for n in (1, 2, 3):
        first, after = metrics.segments_of(
            np.stack([edges_s[:-n], edges_s[n:]], axis=1), resolution_s
        )
        np.testing.assert_array_equal(first, np.arange(len(first)))
        np.testing.assert_array_equal(after, first + n)
    for start in (3, 6, 7, 12, 23):
        event = Event(start * step / 10, (start + 3) * step / 10, "dog")
        side = {"a": [event]}
        counts = sed_eval_counts(side, side, {"a": event.offset_s}, CLASSES, [kind])[kind]
        assert counts[0, 0].tolist() == [3, 3, 3, 0], event


def test_an_event_past_the_collar_is_not_found() -> None:
    reference = {"a": [Event(1.0, 2.0, "dog")]}
    estimate = {"a": [Event(1.21, 2.0, "dog")]}

    assert scores_of(reference, estimate, {"a": 10.0})["event"][0]["f1"] == 0.0


@pytest.mark.parametrize("kind", ["event", "event_onset"])
def test_the_collar_can_be_set(kind: str) -> None:
    reference = {"a": [Event(1.0, 1.06, "dog")]}
    estimate = {"a": [Event(1.1, 1.16, "dog")]}

    for collar_s, n_hits in ((0.2, 1), (0.1, 1), (0.09, 0)):
        counts = sed_eval_counts(
            reference, estimate, {"a": 10.0}, CLASSES, [kind], collar_s=collar_s
        )
        assert counts[kind][0, 0, metrics.TP] == n_hits


def test_an_offset_may_differ_by_half_of_the_event() -> None:
    reference = {"a": [Event(1.0, 5.0, "dog")]}
    for offset_s, f1 in ((6.9, 1.0), (3.1, 1.0), (7.1, 0.0), (2.9, 0.0)):
        estimate = {"a": [Event(1.0, offset_s, "dog")]}
        scores = scores_of(reference, estimate, {"a": 10.0})
        assert scores["event"][0]["f1"] == pytest.approx(f1)
        assert scores["event_onset"][0]["f1"] == pytest.approx(1.0)


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
    rolls = [np.zeros((9, 3)), np.zeros((9, 3))]
    for roll, events in zip(rolls, (reference, estimate), strict=True):
        roll[:3, 1] = bool(events)
    scores = {
        **scores_of({"a": reference}, {"a": estimate}, {"a": 3.0}),
        "frame": describe(count((rolls[0], rolls[1])), CLASSES),
    }

    assert set(scores) == set(KINDS)
    for score, of_class in scores.values():
        for block in (score, of_class["dog"]):
            assert (block["f1"], block["er"]) == (f1, er)
            assert block["precision"] == f1
            assert block["recall"] == (f1 if reference else None)
        assert score["macro"]["f1"] == (f1 if reference else None)
        assert of_class["cat"]["f1"] is of_class["cat"]["er"] is None
    json.dumps(scores, allow_nan=False)  # NaN and infinity would raise


def test_no_file_at_all_has_no_figures() -> None:
    assert scores_of({}, {}, {})["event"][0]["f1"] is None
    assert overall(np.zeros((0, 4, 4), np.int64))["er"] is None


@pytest.mark.parametrize("where", ["reference", "estimate"])
def test_an_unknown_label_is_refused(where: str) -> None:
    lists: dict[str, Events] = {"reference": {"a": []}, "estimate": {"a": []}}
    lists[where] = {"a": [Event(0.0, 1.0, "whale")]}

    with pytest.raises(ValueError, match=r"'whale'.*cat, dog, rain"):
        sed_eval_counts(lists["reference"], lists["estimate"], {"a": 3.0}, CLASSES)


@pytest.mark.parametrize("label", ["none", "None", " padded ", "a,b", "été", "class 1"])
def test_any_label_can_be_scored(label: str) -> None:
    """sed_eval's container would treat "none" as no label, and strip spaces."""
    reference = {"a": [Event(0.0, 1.0, label), Event(2.0, 2.5, "dog")]}

    counts = sed_eval_counts(reference, reference, {"a": 3.0}, [label, "dog"])

    assert describe(counts["event"], [label, "dog"])[1][label]["f1"] == pytest.approx(1.0)
    assert describe(counts["segment"], [label, "dog"])[0]["er"] == pytest.approx(0.0)


def test_a_long_tail_of_silence_counts_for_segments_only_as_true_negatives() -> None:
    reference = {"a": [Event(0.0, 1.0, "dog")]}

    short, long = (scores_of(reference, reference, {"a": length}) for length in (1.0, 100.0))

    assert short == long


# ----------------------------------------------------------------- what follows from counts


def test_counts_say_all_that_the_figures_do() -> None:
    """Folds are joined from metrics.json: its counts must be integers and consistent."""
    for score, of_class in scores_of(*PAIRS[0]).values():
        for block in (score, *of_class.values()):
            n = block["counts"]
            assert n["tp"] + n["fp"] == n["n_sys"]
            assert n["tp"] + n["fn"] == n["n_ref"]
            assert n["subs"] + n["dels"] == n["fn"]
            assert n["subs"] + n["ins"] == n["fp"]
            row = np.array([n["tp"], n["n_ref"], n["n_sys"], n["subs"]])
            for name, value in figures(row).items():
                assert block[name] == (None if np.isnan(value) else value)
        assert score["counts"]["n_ref"] == sum(b["counts"]["n_ref"] for b in of_class.values())


def test_macro_is_the_mean_over_the_classes_that_occur() -> None:
    reference = {"a": [Event(0.0, 1.0, "cat"), Event(2.0, 3.0, "dog")]}
    estimate = {"a": [Event(0.0, 1.0, "cat"), Event(4.0, 5.0, "rain")]}

    macro = scores_of(reference, estimate, {"a": 6.0})["segment"][0]["macro"]

    assert macro == pytest.approx({"f1": 0.5, "precision": 0.5, "recall": 0.5, "er": 0.5})


def file_counts(seed: int, n_files: int = 30) -> Counts:
    random = np.random.default_rng(seed)
    rolls = random.uniform(size=(n_files, 2, 40, 3)) < 0.4
    return count(*((truth, np.where(random.random(3) < 0.7, truth, f)) for truth, f in rolls))


def test_intervals_are_seeded_and_hold_the_figure() -> None:
    counts = file_counts(0)
    score, of_class = describe(counts, CLASSES, Bootstrap(400, seed=5))

    assert describe(counts, CLASSES, Bootstrap(400, seed=5)) == (score, of_class)
    assert describe(counts, CLASSES, Bootstrap(400, seed=6))[0]["interval"] != score["interval"]
    for block in (score, score["macro"], *of_class.values()):
        for name in ("f1", "er"):
            low, high = block["interval"][name]
            assert low < block[name] < high


def test_intervals_are_those_of_files_drawn_one_by_one() -> None:
    """The same resampling by indices instead of multiplicities, as in a textbook."""
    counts = file_counts(1)
    random = np.random.default_rng(9)
    f1 = [
        figures(counts[random.integers(0, len(counts), len(counts))].sum(axis=0)[0])["f1"]
        for _ in range(4000)
    ]

    low, high = describe(counts, CLASSES, Bootstrap(4000))[0]["interval"]["f1"]

    # The bounds of 4000 draws scatter by a few hundredths of the interval's width.
    assert np.quantile(f1, [0.025, 0.975]) == pytest.approx([low, high], abs=0.1 * (high - low))


def test_intervals_do_not_depend_on_how_many_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = file_counts(2)
    expected = describe(counts, CLASSES, Bootstrap(50))
    monkeypatch.setattr(metrics, "_DRAWN_AT_ONCE", 7 * len(counts))

    assert describe(counts, CLASSES, Bootstrap(50)) == expected


@pytest.mark.parametrize(("n_files", "bootstrap"), [(1, Bootstrap(10)), (5, Bootstrap(0))])
def test_one_file_or_no_draw_has_no_interval(n_files: int, bootstrap: Bootstrap) -> None:
    assert "interval" not in describe(file_counts(3, n_files), CLASSES, bootstrap)[0]


def test_a_class_without_a_base_has_an_interval_of_none() -> None:
    quiet = np.zeros((4, 4, 4), np.int64)
    quiet[:, :2, :SUBS] = 1

    of_class = describe(quiet, CLASSES, Bootstrap(20))[1]

    assert of_class["cat"]["interval"] == {"f1": [1.0, 1.0], "er": [0.0, 0.0]}
    assert of_class["dog"]["interval"] == {"f1": [None, None], "er": [None, None]}
