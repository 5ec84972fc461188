"""PSDS of a class in closed form, against sed_scores_eval."""

from __future__ import annotations

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.metrics.box_areas import Axis, Found, area, judged
from sed_cli.metrics.curves import SCENARIOS, Scored, threshold_free
from tests.metrics.test_curves import library


def random_boxes(seed: int) -> tuple[list[Scored], list[str]]:
    """References, and boxes that correlate with them."""
    random = np.random.default_rng(seed)
    labels, recordings = ["a", "b", "c"], []
    for index in range(60):  # most without the class: detecting it everywhere must not pay
        reference, boxes = [], []
        for label in labels:
            for start in np.array([0.5, 6.5]) + random.uniform(0, 2):
                end = start + random.uniform(0.5, 3)
                is_there = random.random() < 0.2
                if is_there:
                    reference.append(Event(round(start, 3), round(end, 3), label))
                shift = random.normal(0, 0.3)
                if random.random() < (0.8 if is_there else 0.05):
                    box = round(start + shift, 3), round(end + shift, 3)
                    boxes.append((*box, label, round(float(random.uniform(0.1, 1)), 3)))
        nothing = np.zeros((0, 3))
        recordings.append(Scored(str(index), 12.0, sorted(reference), nothing, boxes))
    return recordings, labels


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_areas_are_those_of_the_library(scenario: str) -> None:
    library()
    recordings, labels = random_boxes(1)

    theirs = threshold_free(recordings, labels, 0.02).figures[scenario]["per_class"]

    axis = Axis.of([(each.reference, each.duration_s) for each in recordings], labels)
    for index, label in enumerate(labels):
        own = np.array(
            [
                (first + start_s, after + start_s, confidence)
                for each, start_s in zip(recordings, axis.starts_s, strict=True)
                for first, after, of, confidence in sorted(each.boxes or ())
                if of == label
            ]
        )
        of_boxes = judged(axis, index, Found(own[:, 0], own[:, 1]), scenario)
        assert area(of_boxes, own[:, 2]) == pytest.approx(theirs[label], abs=1e-6)
        assert 0.2 < theirs[label] < 0.95


def test_a_class_without_events_has_no_area() -> None:
    axis = Axis.of([([], 10.0)], ["a"])
    boxes = Found(np.array([1.0]), np.array([2.0]))

    assert area(judged(axis, 0, boxes, "psds1"), np.array([0.5])) == 0.0


def test_false_positives_up_to_a_limit_count() -> None:
    """A wrong box is more confident than the right one, which costs one false positive per hour."""
    axis = Axis.of([([Event(10.0, 20.0, "a")], 3600.0)], ["a"])
    boxes = Found(np.array([10.0, 40.0]), np.array([20.0, 50.0]))
    of_boxes = judged(axis, 0, boxes, "psds1")

    areas = [area(of_boxes, np.array([0.5, 0.9]), most) for most in (1.0, 2.0, 4.0)]

    assert areas == pytest.approx([0.0, 0.5, 0.75])
