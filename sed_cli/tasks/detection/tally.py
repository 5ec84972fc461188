"""Events that decoders find in the recordings of a split, and their counts by metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.data.annotations import Event
from sed_cli.data.sets import DataSet, Recording
from sed_cli.decoding.calibration import ConfidenceMap
from sed_cli.decoding.decoder import Decoder, Detection
from sed_cli.decoding.onsets import of_activities
from sed_cli.metrics.curves import Scored
from sed_cli.metrics.detection import Bootstrap
from sed_cli.metrics.known import are_judged
from sed_cli.metrics.metric import Compared, Metric


class Tally:
    """Events that decoders find, and the counts of metrics, by recording.

    Args:
        data: its classes and hop.
        metrics: the metrics to count for.
        evaluation: settings, all of them filled in.
        confidence_map: for the confidences of events; ``None``: unchanged.
        forced: teacher-forced probabilities of a recording, for the metrics that need them;
            ``None`` if none does.
    """

    def __init__(
        self,
        data: DataSet,
        metrics: Sequence[Metric],
        evaluation: EvaluationConfig,
        confidence_map: ConfidenceMap | None = None,
        *,
        forced: Callable[[Recording], NDArray[np.float32]] | None = None,
    ) -> None:
        self.data, self.confidence_map = data, confidence_map
        self.metrics, self.evaluation = metrics, evaluation
        self.forced = forced if any(metric.NEEDS_FORCED for metric in metrics) else None
        self._events: dict[str, list[Event]] = {}
        self._counts: dict[str, list[NDArray[Any]]] = {}

    def add(
        self,
        recording: Recording,
        probabilities: NDArray[np.floating],
        of_clip: NDArray[np.float32],
        decoder: Decoder,
    ) -> None:
        """Decode the probabilities of a recording, (T, C) or with onsets (T, 2C), and count.

        ``of_clip`` (C,) are the probabilities of the recording as a whole.
        """
        found, active = decoder.decoded(probabilities, recording.duration_s)
        events = self._events[recording.name] = [_as_written(each.event) for each in found]
        known = recording.known()
        judged = are_judged(events, known, self.data.classes, self.data.hop_s)
        compared = Compared(
            classes=self.data.classes,
            duration_s=recording.duration_s,
            hop_s=self.data.hop_s,
            reference=recording.events,
            detected=list(compress(events, judged)),
            confidences=self._confidences(list(compress(found, judged))),
            reference_frames=recording.activities[:],
            detected_frames=active if known is None else active & known,
            probabilities=of_activities(probabilities, len(self.data.classes)),
            clip_probabilities=of_clip,
            evaluation=self.evaluation,
            known=known,
            all_detected=events,
            forced_frames=self._forced_frames(recording, decoder),
        )
        self._counts[recording.name] = [np.asarray(each.count(compared)) for each in self.metrics]

    def _forced_frames(self, recording: Recording, decoder: Decoder) -> NDArray[np.bool_] | None:
        if self.forced is None:
            return None
        _, active = decoder.decoded(self.forced(recording), recording.duration_s)
        known = recording.known()
        return active if known is None else active & known

    def _confidences(self, found: Sequence[Detection]) -> list[float]:
        """Confidences, rounded to the digits that ``sedtf predict`` writes."""
        values = np.array([each.confidence for each in found], np.float64)
        mapped = values if self.confidence_map is None else self.confidence_map(values)
        return [round(value, 4) for value in mapped.tolist()]

    def totals(self) -> list[list[NDArray[Any]]]:
        """Counts of each metric, summed over the recordings; [] if there are none."""
        of_metrics = zip(*self._counts.values(), strict=True)
        totals = [np.sum(np.stack(counts), axis=0) for counts in of_metrics]
        return [totals] if totals else []

    def events(self, recordings: Sequence[Recording]) -> dict[str, list[Event]]:
        """Detected events, by file."""
        return {recording.name: self._events[recording.name] for recording in recordings}

    def described(
        self, recordings: Sequence[Recording], bootstrap: Bootstrap | None = None
    ) -> dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
        """Figures over all classes and by label, for each metric."""
        of_files = [self._counts[recording.name] for recording in recordings]
        return {
            metric.name: metric.describe(np.stack(counts), self.data.classes, bootstrap)
            for metric, counts in zip(self.metrics, zip(*of_files, strict=True), strict=True)
        }

    def plain_figures(self, recordings: Sequence[Recording]) -> dict[str, Any]:
        """Only the figures of tables, such as those at 0.5 without any filter, by metric."""
        overall = self.described(recordings)
        return {
            metric.name: {
                figure.name: overall[metric.name][0][figure.name] for figure in metric.FIGURES
            }
            for metric in self.metrics
        }


def _as_written(event: Event) -> Event:
    """Round to microseconds, as ``events.tsv`` does: scoring that file gives the same figures."""
    onset_s, offset_s = round(event.onset_s, 6), round(event.offset_s, 6)
    return Event(onset_s, max(offset_s, onset_s + 1e-6), event.label)


def scored_by(
    decoder: Decoder, recording: Recording, probabilities: NDArray[np.floating]
) -> Scored:
    """The input of threshold-free figures; nothing is detected where nothing was annotated."""
    own = recording.name, recording.duration_s, recording.events
    activities = of_activities(probabilities, len(decoder.classes))
    known = recording.known()
    if decoder.GIVES_BOXES:
        boxes = decoder.boxes(probabilities, recording.duration_s)
        judged = are_judged(
            [Event(*box[:3]) for box in boxes], known, decoder.classes, decoder.hop_s
        )
        return Scored(*own, activities, list(compress(boxes, judged)))
    scores = decoder.scores(probabilities)
    return Scored(*own, scores if known is None else np.where(known, scores, 0.0))
