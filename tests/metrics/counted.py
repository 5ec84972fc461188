"""Counts of metrics, over several files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import COLLAR_S, Counts
from sed_cli.metrics.metric import Compared, metric_named

KINDS = ("frame", "segment", "segment_100ms", "event", "event_onset")  # with F1, as promised
SED_EVAL_KINDS = KINDS[1:]


def compared(
    reference: Sequence[Event],
    detected: Sequence[Event],
    duration_s: float,
    classes: Sequence[str],
    confidences: Sequence[float] = (),
    **settings: float,
) -> Compared:
    """Compare events only; there are no frames."""
    nothing = np.zeros((0, len(classes)), dtype=np.uint8)
    return Compared(
        classes=classes,
        duration_s=duration_s,
        hop_s=0.02,
        reference=reference,
        detected=detected,
        confidences=confidences,
        reference_frames=nothing,
        detected_frames=nothing.astype(bool),
        probabilities=nothing.astype(np.float32),
        evaluation=EvaluationConfig(**settings),  # type: ignore[arg-type]
    )


def sed_eval_counts(
    reference: Mapping[str, Sequence[Event]],
    estimate: Mapping[str, Sequence[Event]],
    durations_s: Mapping[str, float],
    classes: Sequence[str],
    kinds: Iterable[str] = SED_EVAL_KINDS,
    *,
    collar_s: float = COLLAR_S,
) -> dict[str, Counts]:
    """Counts (n_files, 1 + C, 4) of segments and events by metric."""
    files = [
        compared(events, estimate[name], durations_s[name], classes, collar_s=collar_s)
        for name, events in reference.items()
    ]
    return {
        kind: np.array([metric_named(kind).count(each) for each in files], np.int64).reshape(
            len(files), 1 + len(classes), 4
        )
        for kind in kinds
    }
