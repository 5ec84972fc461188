"""Maps of confidences: the data for fitting, and when confidences are left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.decoding.calibration import METHODS, ConfidenceMap, calibrated, fitted

Events = tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]


def sharpened(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Confidences of a detector that is overconfident by a temperature."""
    odds = (probabilities / (1 - probabilities)) ** temperature
    return odds / (1 + odds)


def events_of(temperature: float, n_files: int = 40, seed: int = 0) -> Events:
    """Events that match as often as their confidences say before sharpening."""
    random = np.random.default_rng(seed)
    true = [random.uniform(0.05, 0.95, 20) for _ in range(n_files)]
    return [sharpened(p, temperature) for p in true], [random.random(20) < p for p in true]


def error_of(confidences: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidences * 10).astype(int), 9)
    gaps = np.bincount(bins, confidences, 10) - np.bincount(bins, hits, 10)
    return float(np.abs(gaps).sum() / len(hits))


@pytest.mark.parametrize("method", METHODS)
def test_a_map_makes_other_events_calibrated(method: str) -> None:
    confidences, hits = map(np.concatenate, events_of(3.0))
    others, their_hits = map(np.concatenate, events_of(3.0, seed=1))

    mapped = fitted(method, confidences, hits)(others)

    assert error_of(others, their_hits) > 0.1
    assert error_of(mapped, their_hits) < 0.05


def test_the_temperature_is_found() -> None:
    confidences, hits = map(np.concatenate, events_of(3.0, n_files=400))
    found = fitted("temperature", confidences, hits)
    for p in (0.2, 0.5, 0.8):
        assert found(sharpened(np.array(p), 3.0)) == pytest.approx(p, abs=0.03)  # 8,000 draws


def test_isotonic_steps_by_hand() -> None:
    """The lower one of 0.4 and 0.6 matches: they share a step; lines join the steps."""
    confidences = np.array([0.2, 0.4, 0.6, 0.9])
    found = fitted("isotonic", confidences, np.array([False, True, False, True]))
    assert found(confidences).tolist() == [0.0, 0.5, 0.5, 1.0]
    assert found(np.array([0.0, 0.3, 0.5, 1.0])) == pytest.approx([0.0, 0.25, 0.5, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
)
def test_no_map_turns_the_order_around(method: str, events: list[tuple[float, bool]]) -> None:
    confidences, hits = (np.array(column) for column in zip(*events, strict=True))
    found = fitted(method, confidences, hits)
    mapped = found(np.linspace(0, 1, 101))
    assert (np.diff(mapped) >= 0).all()
    assert (mapped >= 0).all()
    assert (mapped <= 1).all()
    assert ConfidenceMap.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_what_is_calibrated_or_too_little_is_left_alone() -> None:
    assert calibrated("auto", *events_of(1.0))[0] is None
    confidences, hits = events_of(3.0, n_files=2)
    assert calibrated("auto", confidences, hits)[0] is None  # 40 events
    assert (
        calibrated("auto", [np.concatenate(confidences * 9)], [np.concatenate(hits * 9)])[0] is None
    )
    assert calibrated("none", *events_of(3.0))[0] is None
    assert calibrated("temperature", [np.zeros(0)], [np.zeros(0, bool)])[0] is None


def test_what_helps_is_found_by_cross_validation() -> None:
    found, reason = calibrated("auto", *events_of(3.0))
    assert found is not None
    assert found.method in METHODS
    assert "in cross-validation" in reason
    as_set, _ = calibrated("isotonic", *events_of(1.0))
    assert as_set is not None
    assert as_set.method == "isotonic"


def test_a_map_of_one_half_alone_is_chosen_where_a_temperature_cannot_help() -> None:
    """Half of the events match whatever their confidence: no temperature reaches that at 0.99."""
    random = np.random.default_rng(0)
    confidences = [random.uniform(0.6, 0.99, 20) for _ in range(40)]
    hits = [random.random(20) < 0.2 for _ in confidences]
    found, _ = calibrated("auto", confidences, hits)
    assert found is not None
    assert found.method == "isotonic"
    assert found(np.array([0.7, 0.95])) == pytest.approx([0.2, 0.2], abs=0.1)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"method": "isotonic", "confidences": [0.1], "probabilities": [0.1, 0.2]},
        {"method": "isotonic", "confidences": [], "probabilities": []},
        {"method": "isotonic", "confidences": [0.2, 0.1], "probabilities": [0.1, 0.2]},
        {"method": "isotonic", "confidences": [0.1, 0.2], "probabilities": [0.1, 1.2]},
        {"method": "isotonic", "confidences": [0.1, "x"], "probabilities": [0.1, 0.2]},
        {"method": "isotonic", "confidences": [0.1, float("nan")], "probabilities": [0.1, 0.2]},
    ],
)
def test_what_is_no_map_is_refused(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ConfidenceMap.from_json(values)
