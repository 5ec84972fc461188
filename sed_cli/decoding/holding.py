"""Thresholds given by the user, instead of those of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoder, Detection, StreamEvent, Tracker
from sed_cli.errors import UserError


def held_against(decoder: Decoder, thresholds: float | Mapping[str, float]) -> Decoder:
    """Replace thresholds; for a decoder without any, filter events by their confidence.

    Args:
        decoder: of a checkpoint.
        thresholds: for all classes, or by label; unnamed classes keep theirs.

    Raises:
        UserError: for an unknown label.
    """
    if not isinstance(thresholds, Mapping):
        thresholds = dict.fromkeys(decoder.classes, thresholds)
    thresholds = {str(label): value for label, value in thresholds.items()}  # YAML's 1 is "1"
    if unknown := sorted(set(thresholds) - set(decoder.classes)):
        raise UserError(
            f"threshold of {', '.join(unknown)}: expected classes of the checkpoint, "
            f"{', '.join(decoder.classes)}"
        )
    made = decoder.with_thresholds(thresholds)
    if made is not None:
        return made
    return LeastConfidence(
        classes=decoder.classes, hop_s=decoder.hop_s, inner=decoder, least=dict(thresholds)
    )


@dataclass(frozen=True, kw_only=True)
class LeastConfidence(Decoder):
    """Drops events with low confidence, for decoders without thresholds.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        inner: finds the events.
        least: minimum confidence of an event, by label; labels without one keep all events.
    """

    NAME: ClassVar[str] = "least_confidence"  # no checkpoint contains one

    inner: Decoder
    least: Mapping[str, float]

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset."""
        found = self.inner.decode(probabilities, duration_s)
        return [each for each in found if self.keeps(each.label, each.confidence)]

    def keeps(self, label: str, confidence: float) -> bool:
        """Whether the confidence in an event is high enough."""
        return confidence >= self.least.get(label, 0.0)

    def tracker(self) -> Tracker:
        """Create a tracker of the same event ends; all starts are reported."""
        return _ConfidentTracker(self)

    def as_json(self) -> dict[str, Any]:
        """Describe the inner decoder, and the minimum confidences."""
        return {**self.inner.as_json(), "least_confidences": dict(self.least)}


class _ConfidentTracker(Tracker):
    def __init__(self, decoder: LeastConfidence) -> None:
        self._decoder, self._tracker = decoder, decoder.inner.tracker()
        self.latency_s = self._tracker.latency_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide."""
        return self._kept(self._tracker.push(probabilities, known_s))

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports."""
        return self._kept(self._tracker.finish(duration_s))

    def _kept(self, reports: Iterable[StreamEvent]) -> list[StreamEvent]:
        return [
            report
            for report in reports
            if report.kind == "start" or self._decoder.keeps(report.label, report.confidence)
        ]
