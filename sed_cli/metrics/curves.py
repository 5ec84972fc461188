"""PSDS and other metrics over all thresholds at once, by sed_scores_eval.

An optional extra, ``sedtf[psds]``: its installation needs a C compiler. Scores are the
probabilities after the median filters of the post-processing; thresholds, minimum gap and
minimum duration do not matter. Frames cover the same times as in the events. For a decoder that
gives all candidate events with confidences, the scores are these: the confidence within each
event, and 0 elsewhere.

Sources: Bilen et al. 2020, "A framework for the robust evaluation of sound event detection"; Ebbers
et al. 2022, "Threshold independent evaluation of sound event detection scores".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.errors import UserError
from sed_cli.metrics.detection import COLLAR_S, OFFSET_SHARE

# The two scenarios of DCASE 2021 to 2024, task 4: fast reaction, and few confusions.
SCENARIOS: dict[str, dict[str, Any]] = {
    "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_ct": 0.0, "alpha_st": 1.0},
    "psds2": {
        **{"dtc_threshold": 0.1, "gtc_threshold": 0.1, "alpha_ct": 0.5, "alpha_st": 1.0},
        "cttc_threshold": 0.3,
    },
}
MAX_FP_PER_HOUR = 100.0

_DECIMALS = 6  # times are compared in microseconds, so that ties at a limit are inside
_SCORE_STEP = 0.01  # resolution for the collar-based curve, which takes minutes at full resolution


class Scored(NamedTuple):
    """A recording: its name, length, reference and detections.

    Either probabilities (T, C), or ``boxes``: onset, offset, label and confidence of each event.
    """

    name: str
    duration_s: float
    reference: Sequence[Event]
    probabilities: NDArray[np.floating]
    boxes: Sequence[tuple[float, float, str, float]] | None = None


class Roc(NamedTuple):
    """True positive ratio over false positives per hour, for a class or (empty label) for all."""

    label: str
    fp_per_hour: NDArray[np.float64]
    tp_ratio: NDArray[np.float64]


class Points(NamedTuple):
    """Results of each threshold for a class, in order of the thresholds."""

    label: str
    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Results over all thresholds: metrics as in ``metrics.json``, and the curves of each."""

    figures: dict[str, Any]
    psd_roc: dict[str, list[Roc]]  # by scenario
    points: dict[str, list[Points]]  # of segments of 1 s and of events


def threshold_free(
    recordings: Sequence[Scored],
    classes: Sequence[str],
    hop_s: float,
    collar_s: float = COLLAR_S,
) -> Curves:
    """Compute PSDS1, PSDS2, and precision, recall and F1 at all thresholds.

    Args:
        recordings: of a split.
        classes: labels of the columns; those without reference events are left out.
        hop_s: seconds from one frame to the next.
        collar_s: tolerance of event times in seconds.

    Raises:
        UserError: if sed_scores_eval is not installed.
    """
    inputs = _Inputs.of(recordings, classes, hop_s)
    if not inputs.labels:
        return Curves({}, {}, {})
    library = _import()
    figures: dict[str, Any] = {}
    psd_roc = {}
    for name in SCENARIOS:
        figures[name], psd_roc[name] = _psds(inputs, name)
    of_segments = (inputs.scores, inputs.truth, inputs.durations_s)
    ap, _ = library.segment_based.average_precision(*of_segments, segment_length=1.0)
    figures["segment_average_precision"] = {
        "mean": float(ap.pop("mean")),
        "per_class": {inputs.labels[key]: float(value) for key, value in ap.items()},
    }
    points = {
        "segment": library.segment_based.fscore_curve(*of_segments, segment_length=1.0),
        "event": library.collar_based.fscore_curve(
            inputs.quantised(),
            inputs.truth,
            onset_collar=collar_s,
            offset_collar=collar_s,
            offset_collar_rate=OFFSET_SHARE,
        ),
    }
    return Curves(figures, psd_roc, {kind: inputs.named(of) for kind, of in points.items()})


def psds(recordings: Sequence[Scored], classes: Sequence[str], hop_s: float, name: str) -> float:
    """PSDS of one scenario; NaN if no class is annotated.

    Raises:
        UserError: if sed_scores_eval is not installed.
    """
    inputs = _Inputs.of(recordings, classes, hop_s)
    return float(_psds(inputs, name)[0]["psds"]) if inputs.labels else math.nan


def _psds(inputs: _Inputs, name: str) -> tuple[dict[str, Any], list[Roc]]:
    settings = dict(SCENARIOS[name])
    if len(inputs.labels) == 1:  # there are no others to confuse it with
        settings["alpha_ct"] = 0.0
        settings.pop("cttc_threshold", None)
    value, of_classes, (ratios, rates), rocs = _import().intersection_based.psds(
        inputs.scores, inputs.truth, inputs.durations_s, max_efpr=MAX_FP_PER_HOUR, **settings
    )
    figures = {
        "psds": float(value),
        "per_class": {inputs.labels[key]: float(psds) for key, psds in of_classes.items()},
    }
    of_each = [
        Roc(inputs.labels[key], fp_rates, tp_ratios)
        for key, (tp_ratios, fp_rates, _) in rocs.items()
    ]
    return figures, [Roc("", rates, ratios), *of_each]


@dataclass(frozen=True)
class _Inputs:
    """Input of sed_scores_eval, with placeholders for labels, since ``onset`` is a column name."""

    labels: dict[str, str]
    scores: dict[str, Any]
    truth: dict[str, list[tuple[float, float, str]]]
    durations_s: dict[str, float]

    @classmethod
    def of(cls, recordings: Sequence[Scored], classes: Sequence[str], hop_s: float) -> _Inputs:
        occurring = {event.label for recording in recordings for event in recording.reference}
        columns = [index for index, label in enumerate(classes) if label in occurring]
        labels = {f"class {index}": classes[index] for index in columns}
        create = _import().base_modules.scores.create_score_dataframe
        scores, truth = {}, {}
        for recording in recordings:
            if recording.boxes is None:
                times = _frame_times(len(recording.probabilities), hop_s, recording.duration_s)
                values = recording.probabilities[: len(times) - 1, columns].astype(np.float64)
            else:
                times, values = _of_boxes(recording, list(labels.values()))
            scores[recording.name] = create(values, times, list(labels))
            truth[recording.name] = [
                (onset_s, offset_s, key)
                for key, label in labels.items()
                for onset_s, offset_s in merged(recording.reference, label)
            ]
        durations_s = {recording.name: recording.duration_s for recording in recordings}
        return cls(labels, scores, truth, durations_s)

    def quantised(self) -> dict[str, Any]:
        """Round the scores, since each value is a threshold to try."""
        rounded = {}
        for name, frame in self.scores.items():
            rounded[name] = frame.copy()
            keys = list(self.labels)
            rounded[name][keys] = (frame[keys] / _SCORE_STEP).round() * _SCORE_STEP
        return rounded

    def named(self, curves: Mapping[str, Any]) -> list[Points]:
        """With the original labels, without the point that detects nothing."""
        points = []
        for key, label in self.labels.items():
            f1, precision, recall, threshold, _ = curves[key]
            known = np.isfinite(threshold)
            points.append(Points(label, *(x[known] for x in (threshold, precision, recall, f1))))
        return points


def _frame_times(n_frames: int, hop_s: float, duration_s: float) -> NDArray[np.float64]:
    """Start of each frame, and end of the last: with the recording, like its events."""
    starts = np.arange(n_frames) * hop_s
    starts = starts[: max(1, int(np.searchsorted(starts, duration_s)))]
    end_s = min(len(starts) * hop_s, duration_s)
    return np.append(starts, max(end_s, starts[-1] + 10.0**-_DECIMALS))


def _of_boxes(
    recording: Scored, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of the boxes of a recording (n + 1,), and the scores between them (n, C)."""
    step_s = 10.0**-_DECIMALS
    starts = {(round(onset_s, _DECIMALS), label) for onset_s, _, label, _ in recording.boxes or ()}
    spans = []
    for onset_s, offset_s, label, confidence in recording.boxes or ():
        first, last = round(onset_s, _DECIMALS), round(offset_s, _DECIMALS)
        if (last, label) in starts:  # otherwise both would be one event below the lower confidence
            last = round(last - step_s, _DECIMALS)
        if label in labels:
            spans.append((first, max(last, first + step_s), labels.index(label), confidence))
    ends = (0.0, round(recording.duration_s, _DECIMALS))
    edges = np.unique(np.array([*ends, *(edge for span in spans for edge in span[:2])]).round(6))
    values = np.zeros((len(edges) - 1, len(labels)))
    for first, last, column, confidence in spans:
        inside = slice(*np.searchsorted(edges, np.round([first, last], _DECIMALS)))
        values[inside, column] = np.maximum(values[inside, column], max(confidence, step_s))
    return edges, values


def merged(events: Iterable[Event], label: str) -> list[tuple[float, float]]:
    """Merge overlapping or touching events of a class, which sed_scores_eval rejects."""
    joined: list[tuple[float, float]] = []
    for onset_s, offset_s, _ in sorted(event for event in events if event.label == label):
        first, last = round(onset_s, _DECIMALS), round(offset_s, _DECIMALS)
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, max(last, first + 10.0**-_DECIMALS)))
    return joined


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pkg_resources.*")
            import sed_scores_eval
    except ImportError as error:
        raise UserError(
            f"PSDS needs sed-scores-eval-np2, which cannot be imported ({error}): "
            f"pip install 'sedtf[psds]', or evaluation.psds=false"
        ) from error
    return sed_scores_eval
