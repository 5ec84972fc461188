"""Metrics: frame-wise counts, and sed_eval's segment-based and event-based figures.

All are micro averages over files: counts are added up over the whole split, never averaged per
file. F1 and ER of frames are never to be compared with those of segments.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event

SEGMENT_S = 1.0
COLLAR_S = 0.2 + 1e-7  # sed_eval compares raw floats: a tie at exactly the collar counts as within
OFFSET_SHARE = 0.5  # of the event's length, where that is more than the collar

Score = dict[str, float | None]


@dataclass
class FrameCounts:
    """True positives, false positives, false negatives and substitutions, by class and in all.

    Source: Mesaros et al. 2016, "Metrics for polyphonic sound event detection", with a frame as
    the segment, as in Drossos et al. 2019.
    """

    true_positives: NDArray[np.int64]  # (C,)
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]
    substitutions: int = 0

    @classmethod
    def zeros(cls, n_classes: int) -> FrameCounts:
        """Start with nothing counted."""
        zeros = np.zeros((3, n_classes), dtype=np.int64)
        return cls(zeros[0], zeros[1], zeros[2])

    def add(self, reference: NDArray[np.uint8], estimate: NDArray[np.bool_]) -> None:
        """Count the frames of a recording: activities (T, C), both 0 or 1."""
        truth = reference.astype(bool)
        missed, inserted = truth & ~estimate, estimate & ~truth
        self.true_positives += (truth & estimate).sum(axis=0)
        self.false_positives += inserted.sum(axis=0)
        self.false_negatives += missed.sum(axis=0)
        self.substitutions += int(np.minimum(missed.sum(axis=1), inserted.sum(axis=1)).sum())

    def overall(self) -> Score:
        """Micro-averaged F1 and error rate; ``None`` where nothing is there to be found."""
        tp, fp, fn = (
            int(counts.sum())
            for counts in (self.true_positives, self.false_positives, self.false_negatives)
        )
        n_reference = tp + fn
        # substitutions + deletions + insertions, where a substitution is one miss and one insertion
        errors = fn + fp - self.substitutions
        return {"f1": _f1(tp, fp, fn), "er": errors / n_reference if n_reference else None}

    def per_class(self, classes: Sequence[str]) -> dict[str, Score]:
        """F1 and error rate (deletions and insertions alone) of each class."""
        scores = {}
        for index, label in enumerate(classes):
            tp = int(self.true_positives[index])
            fp = int(self.false_positives[index])
            fn = int(self.false_negatives[index])
            er = (fn + fp) / (tp + fn) if tp + fn else None
            scores[label] = {"f1": _f1(tp, fp, fn), "er": er}
        return scores


def _f1(tp: int, fp: int, fn: int) -> float | None:
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None


def sed_eval_scores(
    reference: Mapping[str, Sequence[Event]],
    estimate: Mapping[str, Sequence[Event]],
    durations_s: Mapping[str, float],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Segment-based (1 s) and event-based (200 ms collar) F1 and ER through sed_eval.

    Args:
        reference: annotated events of each file.
        estimate: detected events of the same files.
        durations_s: length of each file in seconds.
        classes: labels that may occur.

    Returns:
        ``{"segment": {"f1", "er"}, "event": {...}, "per_class": {label: {"segment": ..., ...}}}``.

    Raises:
        ValueError: if an event has a label outside ``classes``, which sed_eval would miscount.
    """
    sed_eval = _import_sed_eval()
    for of_file in (*reference.values(), *estimate.values()):
        for event in of_file:
            if event.label not in classes:
                raise ValueError(f"label {event.label!r}: expected one of {', '.join(classes)}")
    # sed_eval takes a label "none" for a missing one, and strips spaces: it never sees labels.
    stand_ins = {label: f"class {index}" for index, label in enumerate(classes)}
    metrics = {
        "segment": sed_eval.sound_event.SegmentBasedMetrics(
            event_label_list=list(stand_ins.values()), time_resolution=SEGMENT_S
        ),
        "event": sed_eval.sound_event.EventBasedMetrics(
            event_label_list=list(stand_ins.values()),
            t_collar=COLLAR_S,
            percentage_of_length=OFFSET_SHARE,
            evaluate_onset=True,
            evaluate_offset=True,
        ),
    }
    for name, events in reference.items():
        truth, found = _event_list(events, stand_ins), _event_list(estimate[name], stand_ins)
        metrics["segment"].evaluate(
            truth, found, evaluated_length_seconds=max(durations_s[name], SEGMENT_S / 100)
        )
        metrics["event"].evaluate(truth, found)
    scores: dict[str, Any] = {name: _overall(metric) for name, metric in metrics.items()}
    scores["per_class"] = {
        label: {name: _of_class(metric, stand_in) for name, metric in metrics.items()}
        for label, stand_in in stand_ins.items()
    }
    return scores


def _event_list(events: Sequence[Event], stand_ins: Mapping[str, str]) -> Any:
    import dcase_util

    return dcase_util.containers.MetaDataContainer(
        [
            {"onset": onset_s, "offset": offset_s, "event_label": stand_ins[label]}
            for onset_s, offset_s, label in events
        ]
    )


def _overall(metric: Any) -> Score:
    f1 = metric.overall_f_measure()["f_measure"]
    er = metric.overall_error_rate()["error_rate"]
    return _score(f1, er, metric.overall["Nref"], metric.overall["Nsys"])


def _of_class(metric: Any, label: str) -> Score:
    f1 = metric.class_wise_f_measure(label)["f_measure"]
    er = metric.class_wise_error_rate(label)["error_rate"]
    counts = metric.class_wise[label]
    return _score(f1, er, counts["Nref"], counts["Nsys"])


def _score(f1: float, er: float, n_reference: float, n_estimate: float) -> Score:
    """Leave out what has no base, where sed_eval gives NaN or divides by its epsilon."""
    if n_reference:
        # Nothing found where something is: sed_eval's precision, and so its F1, is NaN.
        return {"f1": float(f1) if np.isfinite(f1) else 0.0, "er": float(er)}
    return {"f1": 0.0 if n_estimate else None, "er": None}


def _import_sed_eval() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")
        import sed_eval
    return sed_eval
