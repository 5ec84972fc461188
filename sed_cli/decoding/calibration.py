"""Calibration of event confidences to probabilities, fitted on validation.

Events stay the same; only their confidences change. Maps are monotonic, so that a threshold on
confidences still drops the worst events first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import StreamEvent, Tracker

METHODS = ("temperature", "isotonic")
FEWEST_EVENTS = 50  # minimum number of events in validation
_FOLDS = 5
_SURE = 2.0  # minimum gain in standard errors
_LEAST = 1e-4  # distance of confidences from 0 and 1, since they are written with four digits
_STEEPEST = 20.0  # temperatures are between its inverse and it

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ConfidenceMap:
    """A rising, piecewise linear map of confidences.

    Args:
        method: of the fit.
        confidences: of the detector, rising, (n,).
        probabilities: that an event with them matches an annotated one, (n,).
    """

    method: str
    confidences: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        points = np.array([self.confidences, self.probabilities], dtype=np.float64)
        if points.ndim != 2 or not points.shape[1]:
            raise ValueError("a map of confidences without points, or of unequal lengths")
        in_range = np.isfinite(points).all() and points.min() >= 0 and points.max() <= 1
        if not in_range or (np.diff(points) < 0).any():
            raise ValueError("a map of confidences: expected probabilities that never fall")

    def __call__(self, confidences: Values) -> Values:
        """Map confidences of any shape."""
        mapped: Values = np.interp(confidences, self.confidences, self.probabilities)
        return mapped

    def as_json(self) -> dict[str, Any]:
        """Describe it, as in a checkpoint."""
        return {
            "method": self.method,
            "confidences": list(self.confidences),
            "probabilities": list(self.probabilities),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        points = (tuple(float(x) for x in values[key]) for key in ("confidences", "probabilities"))
        return cls(str(values["method"]), *points)


class CalibratedTracker(Tracker):
    """Reports the events of another tracker, with mapped confidences."""

    def __init__(self, tracker: Tracker, confidence_map: ConfidenceMap) -> None:
        self._tracker, self._map = tracker, confidence_map
        self.latency_s = tracker.latency_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide."""
        return [self._mapped(each) for each in self._tracker.push(probabilities, known_s)]

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports."""
        return [self._mapped(each) for each in self._tracker.finish(duration_s)]

    def _mapped(self, report: StreamEvent) -> StreamEvent:
        return replace(report, confidence=float(self._map(np.array(report.confidence))))


def fitted(method: str, confidences: Values, hits: NDArray[np.bool_]) -> ConfidenceMap:
    """Fit a map to events.

    Args:
        method: ``temperature``: log-odds divided by a number (Guo et al. 2017); ``isotonic``: the
            nearest rising step function (Zadrozny and Elkan 2002).
        confidences: of the events, (n,), at least one.
        hits: whether each matches an annotated one, (n,).
    """
    if method == "temperature":
        grid = np.concatenate([[0.0], np.geomspace(_LEAST, 0.5, 60), [1.0]])
        grid = np.unique(np.concatenate([grid, 1 - grid]).round(6))
        mapped = _tempered(grid, _temperature(confidences, hits))
        return _map_of(method, grid, mapped)
    from scipy.optimize import isotonic_regression  # half a second, for few commands

    distinct, index, n = np.unique(confidences, return_inverse=True, return_counts=True)
    shares = np.bincount(index, hits) / n
    steps = isotonic_regression(shares, weights=n).x
    first = np.concatenate([[True], np.diff(steps) > 0])
    last = np.concatenate([first[1:], [True]])  # both ends of each step are points
    return _map_of(method, distinct[first | last], steps[first | last])


def _map_of(method: str, confidences: Values, probabilities: Values) -> ConfidenceMap:
    rising = np.maximum.accumulate(probabilities.clip(0.0, 1.0).round(6))
    return ConfidenceMap(method, tuple(confidences.tolist()), tuple(rising.tolist()))


def _temperature(confidences: Values, hits: NDArray[np.bool_]) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(_losses(_tempered(confidences, np.exp(log_temperature)), hits).mean())

    bound = float(np.log(_STEEPEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def _tempered(confidences: Values, temperature: float) -> Values:
    kept = confidences.clip(_LEAST, 1 - _LEAST)
    tempered: Values = 1 / (1 + ((1 - kept) / kept) ** (1 / temperature))
    return tempered


def _losses(probabilities: Values, hits: NDArray[np.bool_]) -> Values:
    """Brier score of each event: bounded, so that no single event dominates."""
    losses: Values = (probabilities - hits) ** 2
    return losses


def calibrated(
    method: str, confidences: Sequence[Values], hits: Sequence[NDArray[np.bool_]]
) -> tuple[ConfidenceMap | None, str]:
    """Fit a map to the events of validation.

    Args:
        method: ``none``, ``temperature``, ``isotonic``; ``auto``: the one that improves the Brier
            score of held-out recordings, if any does beyond its noise.
        confidences: of the events of each recording.
        hits: whether each matches an annotated one.

    Returns:
        The map, ``None`` if confidences stay unchanged; and the reason in words.
    """
    n_events = sum(map(len, confidences))
    if method == "none":
        return None, "confidences are not calibrated"
    if n_events < (FEWEST_EVENTS if method == "auto" else 1):
        return (
            None,
            f"confidences are not calibrated: validation has only {n_events} detected events",
        )
    pooled = np.concatenate(confidences), np.concatenate(hits)
    if method != "auto":
        return fitted(method, *pooled), f"confidences are calibrated, as set: {method}"
    gains = {each: _gains(each, confidences, hits) for each in METHODS}
    best = max(gains, key=lambda each: gains[each].mean())
    gain = gains[best]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    if not gain.mean() > _SURE * error:
        return (
            None,
            "confidences are not calibrated: no method is certain to be better on validation",
        )
    better = -gain.sum() / n_events
    reason = f"{best}, Brier score {better:+.4f} per event in cross-validation"
    return fitted(best, *pooled), f"confidences are calibrated: {reason}"


def _gains(method: str, confidences: Sequence[Values], hits: Sequence[NDArray[np.bool_]]) -> Values:
    """Reduction of each recording's loss by a map fitted to the others (n_files,)."""
    n_folds = min(_FOLDS, len(confidences))
    fold_of = np.arange(len(confidences)) % n_folds
    gains = np.zeros(len(confidences))
    for fold in range(n_folds):
        others = np.flatnonzero(fold_of != fold).tolist()
        known = [confidences[i] for i in others], [hits[i] for i in others]
        if not sum(map(len, known[0])):
            continue
        mapped = fitted(method, np.concatenate(known[0]), np.concatenate(known[1]))
        for i in np.flatnonzero(fold_of == fold).tolist():
            before, after = (
                _losses(confidences[i], hits[i]),
                _losses(mapped(confidences[i]), hits[i]),
            )
            gains[i] = before.sum() - after.sum()
    return gains
