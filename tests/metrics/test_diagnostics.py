"""What feedback has learnt: each figure against an example counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import Bootstrap
from sed_cli.metrics.kinds.errors_after_error import ErrorsAfterError
from sed_cli.metrics.kinds.exposure_gap import ExposureGap
from sed_cli.metrics.kinds.fragmentation import Fragmentation
from sed_cli.metrics.kinds.transitions import Transitions
from sed_cli.metrics.metric import Compared, Metric, all_metrics
from tests.metrics.counted import compared

CLASSES = ("a", "b", "c")


def described(metric: Metric, *files: Compared) -> dict[str, object]:
    counts = np.stack([np.asarray(metric.count(each)) for each in files])
    return metric.describe(counts, CLASSES)[0]


def in_order(labels: str) -> list[Event]:
    """Consecutive events of a second each."""
    return [Event(float(at), at + 1.0, label) for at, label in enumerate(labels)]


# ----------------------------------------------------------------------------- fragmentation


def test_fragments_by_hand() -> None:
    """The first event is in two pieces, the second in one; the third was not found."""
    reference = [Event(0, 1, "a"), Event(2, 3, "a"), Event(0, 1, "b")]
    detected = [
        Event(0.0, 0.3, "a"),
        Event(0.5, 0.9, "a"),
        Event(2.5, 3.5, "a"),
        Event(1.0, 2.0, "b"),  # touches, without overlap
        Event(5.0, 6.0, "a"),  # overlaps nothing
        Event(0.0, 1.0, "c"),  # of a missing class
    ]
    block = described(Fragmentation(), compared(reference, detected, 7.0, CLASSES))
    assert block["counts"] == {"overlaps": 3, "n_overlapped": 2, "n_overlapping": 3}
    assert (block["fragments"], block["merged"]) == (1.5, 1.0)


def test_events_merged_into_one_by_hand() -> None:
    reference = [Event(0, 1, "a"), Event(2, 3, "a"), Event(4, 5, "a")]
    detected = [Event(0.5, 2.5, "a"), Event(4.1, 4.2, "a")]
    one = compared(reference, detected, 7.0, CLASSES)
    block = described(Fragmentation(), one)
    assert (block["fragments"], block["merged"]) == (1.0, 1.5)
    both = described(Fragmentation(), one, compared(in_order("b"), in_order("b"), 1.0, CLASSES))
    assert both["merged"] == (2 + 1 + 1) / 3  # counts are added up, not means of files


def test_where_nothing_overlaps_there_is_no_fragmentation() -> None:
    block = described(Fragmentation(), compared(in_order("a"), [], 1.0, CLASSES))
    assert (block["fragments"], block["merged"]) == (None, None)


# ------------------------------------------------------------------------------- transitions


def test_transitions_by_hand() -> None:
    """After a, b follows in both; after b only a, or a and b equally often."""
    block = described(Transitions(), compared(in_order("abab"), in_order("abba"), 4.0, CLASSES))
    assert block["counts"] == [
        [[0, 2, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 1, 0], [1, 1, 0], [0, 0, 0]],
    ]
    # P(a|b), P(b|b): (1, 0) and (1/2, 1/2), whose mean is (3/4, 1/4).
    js = (math.log2(4 / 3) + math.log2(2 / 3) / 2 + math.log2(2) / 2) / 2
    assert block["js_bits"] == pytest.approx(js / 3)
    assert block["total_variation"] == pytest.approx(0.5 / 3)


def test_transitions_that_are_alike_are_0_apart_and_those_that_share_nothing_1() -> None:
    alike = described(Transitions(), compared(in_order("abcab"), in_order("abcab"), 5.0, CLASSES))
    apart = described(Transitions(), compared(in_order("abab"), in_order("aacb"), 4.0, CLASSES))
    silent = described(Transitions(), compared(in_order("abab"), in_order("c"), 4.0, CLASSES))
    for block, expected in ((alike, 0), (silent, 1)):
        assert block["js_bits"] == block["total_variation"] == expected
    # From a: a and c instead of b. From b, which ends the recording, nothing was detected.
    assert apart["js_bits"] == pytest.approx(1)
    lone = described(Transitions(), compared(in_order("a"), in_order("ab"), 2.0, CLASSES))
    assert lone["js_bits"] is None


def test_transitions_do_not_pass_from_one_recording_to_the_next() -> None:
    files = [compared(in_order(labels), [], 2.0, CLASSES) for labels in ("ab", "ca")]
    counts = sum(Transitions().count(each) for each in files)
    assert counts[0].tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_many_classes_have_no_interval_of_transitions() -> None:
    """Each of a thousand draws would need two C x C matrices."""
    labels = [f"class {index}" for index in range(101)]
    for classes, has_interval in ((labels, False), (CLASSES, True)):
        counts = np.ones((2, 2, len(classes), len(classes)), dtype=np.int64)
        block = Transitions().describe(counts, classes, Bootstrap(10))[0]
        assert ("interval" in block) == has_interval


# ---------------------------------------------------------------------- errors after an error


def test_errors_after_a_first_error_by_hand() -> None:
    """Right, wrong, wrong, right, wrong, right, right, right: first errors at 1 and 4."""
    reference = in_order("aaaaaaaa")
    detected = [reference[at] for at in (0, 3, 5, 6, 7)]
    block = described(ErrorsAfterError(), compared(detected=detected, **_of(reference)))
    assert block["counts"] == [[8, 3], [2, 1], [2, 0], [2, 1], [1, 0], [1, 0]]
    assert block["base"] == 3 / 8
    assert block["rate"] == 2 / 8
    assert block["excess"] == 2 / 8 - 3 / 8
    assert block["by_step"] == [0.5, 0.0, 0.5, 0.0, 0.0]


def test_an_error_at_the_end_of_a_recording_has_nothing_after_it() -> None:
    reference = in_order("ab")
    block = described(ErrorsAfterError(), compared(detected=reference[:1], **_of(reference)))
    assert (block["base"], block["rate"], block["excess"]) == (0.5, None, None)
    assert described(ErrorsAfterError(), compared([], [], 1.0, CLASSES))["base"] is None


def test_independent_errors_have_no_excess() -> None:
    random = np.random.default_rng(0)
    reference = in_order("a" * 20_000)
    detected = [event for event in reference if random.random() < 0.7]
    block = described(ErrorsAfterError(), compared(detected=detected, **_of(reference)))
    # Some 4200 first errors: five standard deviations of the share of those one step after.
    assert abs(block["by_step"][0] - 0.3) < 5 * math.sqrt(0.21 / 4200)  # type: ignore[index]


def _of(reference: list[Event]) -> dict[str, object]:
    return {
        "reference": reference,
        "duration_s": float(len(reference)),
        "classes": CLASSES,
        "collar_s": 0.1,
    }


# ------------------------------------------------------------------------------ exposure gap


def test_the_exposure_gap_by_hand() -> None:
    truth, free, forced = np.array(
        [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0]], np.uint8
    )[:, :, None]
    given = replace(
        compared([], [], 1.0, ("a",)),
        reference_frames=truth,
        detected_frames=free.astype(bool),
        forced_frames=forced.astype(bool),
    )
    block = described(ExposureGap(), given)
    assert block["forced_f1"] == pytest.approx(6 / 7)
    assert block["gap"] == pytest.approx(6 / 7 - 4 / 7)


def test_diagnostics_are_asked_for() -> None:
    asked = {metric.name for metric in all_metrics() if metric.IN_DIAGNOSTICS}
    assert asked == {"exposure_gap", "fragmentation", "transitions", "errors_after_error"}
