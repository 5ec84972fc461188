"""The decoder ``threshold``: thresholds, median filters, minimum gap and minimum duration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoded, FrameDecoder, Tracker
from sed_cli.decoding.postprocessing import PostProcessing, active_spans
from sed_cli.decoding.tracking import threshold_tracker


@dataclass(frozen=True, kw_only=True)
class ThresholdDecoder(FrameDecoder):
    """An event is a run of frames in which a class is above its threshold.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        postprocessing: steps from probabilities to events, with a threshold and filter per class.
    """

    NAME: ClassVar[str] = "threshold"

    postprocessing: PostProcessing

    @classmethod
    def plain(cls, classes: Sequence[str], hop_s: float, **least_s: float) -> Self:
        """0.5 for all classes, without filters."""
        plain = PostProcessing.plain(len(classes), **least_s)
        return cls(classes=tuple(classes), hop_s=hop_s, postprocessing=plain)

    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find the events, and all active frames, including runs too short to be events.

        Such a run is one frame, centred on the end of the recording.
        """
        active = self.postprocessing.activities(probabilities, self.hop_s, duration_s)
        return Decoded(self.detections(active_spans(active), probabilities, duration_s), active)

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Median-filtered probabilities (T, C)."""
        return self.postprocessing.filtered(probabilities)

    def tracker(self) -> Tracker:
        """Create a tracker that reports as early as possible."""
        return threshold_tracker(self.classes, self.postprocessing, self.hop_s)

    def with_least(self, *, min_gap_s: float | None, min_duration_s: float | None) -> Self:
        """Replace the minimum gap and the minimum duration, if given."""
        given = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
        asked: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return replace(self, postprocessing=replace(self.postprocessing, **asked))

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self:
        """Replace the thresholds of some classes; median filters stay."""
        made = self.replaced(self.postprocessing.thresholds, thresholds)
        return replace(self, postprocessing=replace(self.postprocessing, thresholds=made))

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return self.postprocessing.as_json(self.classes)
