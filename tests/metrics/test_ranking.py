"""Mean average precision of frames, by hand and against scikit-learn (a librosa dependency)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from sed_cli.metrics.detection import Bootstrap
from sed_cli.metrics.metric import metric_named
from sed_cli.metrics.ranking import N_BINS, average_precision, count_ranked
from tests.metrics.counted import compared

CLASSES = ["a", "b", "c"]


def drawn(
    seed: int, n_frames: int = 4000, apart: float = 3.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Activities (T, 3), the last never active, and probabilities that correlate with them."""
    random = np.random.default_rng(seed)
    activities = (random.random((n_frames, 3)) < [0.3, 0.05, 0.0]).astype(np.uint8)
    log_odds = random.normal(-2, 1.5, (n_frames, 3)) + apart * activities
    return activities, (1 / (1 + np.exp(-log_odds))).astype(np.float32)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 8.0])
def test_it_is_scikit_learns_but_for_the_bins(apart: float) -> None:
    activities, probabilities = drawn(0, apart=apart)
    got = average_precision(count_ranked(activities, probabilities))
    for own, column in zip(got[:2], range(2), strict=True):
        expected = average_precision_score(activities[:, column], probabilities[:, column])
        assert own == pytest.approx(expected, abs=5e-3)  # bins of 0.1 in log-odds
    assert np.isnan(got[2])


@pytest.mark.parametrize(
    ("active", "probabilities", "expected"),
    [
        ([1, 0, 0], [0.9, 0.5, 0.1], 1.0),
        ([0, 1, 0], [0.9, 0.5, 0.1], 0.75),  # alone in its bin, precision rises from 0/1 to 1/2
        ([1, 1], [0.0, 1.0], 1.0),
        ([1, 0], [1.0, 1.0], 0.5),  # evenly mixed
    ],
)
def test_by_hand(active: list[int], probabilities: list[float], expected: float) -> None:
    counts = count_ranked(
        np.array(active, np.uint8)[:, None], np.array(probabilities, np.float32)[:, None]
    )
    if expected == 0.75:
        # (0 + x) / (1 + x), whose integral from 0 to 1 is 1 - log 2
        expected = 1 - np.log(2)
    assert float(average_precision(counts)[0]) == pytest.approx(expected)


def test_counts_of_recordings_add_up_to_those_of_all_frames() -> None:
    activities, probabilities = drawn(1)
    whole = count_ranked(activities, probabilities)
    cuts = [0, 100, 101, 4000]
    pieces = [count_ranked(activities[a:b], probabilities[a:b]) for a, b in pairwise(cuts)]
    assert whole.shape == (3, 2, N_BINS)
    np.testing.assert_array_equal(sum(pieces), whole)


def test_what_is_written_is_read_back_and_joined_by_label() -> None:
    metric = metric_named("frame_map")
    files = [drawn(seed, 500) for seed in range(4)]
    counts = np.array(
        [
            metric.count(replace(compared([], [], 9.0, CLASSES), reference_frames=activities,
                                 probabilities=probabilities))
            for activities, probabilities in files
        ]
    )  # fmt: skip
    block, of_classes = metric.describe(counts, CLASSES, Bootstrap(100))
    assert block["interval"]["map"][0] < block["map"] < block["interval"]["map"][1]
    assert block["map"] == pytest.approx(np.mean([of_classes[label]["ap"] for label in "ab"]))
    assert of_classes["c"]["ap"] is None

    folds = []
    for part, labels in ((slice(0, 2), "abc"), (slice(2, 4), "ab")):
        columns = ["abc".index(label) for label in labels]
        block_of, of = metric.describe(counts[part][:, columns], list(labels))
        per_class = {label: {"frame_map": values} for label, values in of.items()}
        folds.append(metric.read({"frame_map": block_of, "per_class": per_class}))
    assert (folds[0] + folds[1]).figures()["map"] == pytest.approx(block["map"])
    assert folds[0].n_references == sum(activities.sum() for activities, _ in files[:2])
    assert metric.describe(counts[:0], CLASSES)[0]["map"] is None
