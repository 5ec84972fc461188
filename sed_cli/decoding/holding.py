"""Events held against thresholds that somebody names, in the place of those of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoder, Detection, StreamEvent, Tracker
from sed_cli.errors import UserError


def held_against(decoder: Decoder, thresholds: float | Mapping[str, float]) -> Decoder:
    """Hold classes against other thresholds; where a decoder has none, its events' confidences.

    Args:
        decoder: of a checkpoint.
        thresholds: of all classes, or by label; classes that are not named keep theirs.

    Raises:
        UserError: for a label that is no class.
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
    """Drops the events of a decoder without thresholds in which it has too little confidence.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        inner: finds the events.
        least: confidence that an event needs, by label; without one any will do.
    """

    NAME: ClassVar[str] = "least_confidence"  # no checkpoint holds one

    inner: Decoder
    least: Mapping[str, float]

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset."""
        found = self.inner.decode(probabilities, duration_s)
        return [each for each in found if self.keeps(each.label, each.confidence)]

    def keeps(self, label: str, confidence: float) -> bool:
        """Whether the confidence in an event is enough."""
        return confidence >= self.least.get(label, 0.0)

    def tracker(self) -> Tracker:
        """Make a tracker of the same ends of events; of starts all are reported."""
        return _ConfidentTracker(self)

    def as_json(self) -> dict[str, Any]:
        """Describe the inner decoder, and the least confidences."""
        return {**self.inner.as_json(), "least_confidences": dict(self.least)}


class _ConfidentTracker(Tracker):
    def __init__(self, decoder: LeastConfidence) -> None:
        self._decoder, self._tracker = decoder, decoder.inner.tracker()
        self.latency_s = self._tracker.latency_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return what is decided by them."""
        return self._kept(self._tracker.push(probabilities, known_s))

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return what is left to report."""
        return self._kept(self._tracker.finish(duration_s))

    def _kept(self, reports: Iterable[StreamEvent]) -> list[StreamEvent]:
        return [
            report
            for report in reports
            if report.kind == "start" or self._decoder.keeps(report.label, report.confidence)
        ]
