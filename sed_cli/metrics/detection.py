"""Metrics: counts of each file, and metrics computed from their sum.

Counts of segments and events are from sed_eval; frames are counted here. All metrics are
computed from counts summed over files, never averaged over files, so that folds can be joined
and files resampled by adding counts. F1 and ER of frames must not be compared with those of
segments.

Conventions: an undefined metric is ``None`` (nothing annotated, nothing detected); if something
is annotated and nothing detected, F1 and precision are 0, as with sed_eval's
``empty_system_output_handling="zero_score"``. Macro averages are over the classes that occur in the
references.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event

COLLAR_S = 0.2  # default tolerance of onsets and offsets
# sed_eval compares floats exactly: times that are at the collar, or at the edge of a segment, but
# for rounding are treated as being there.
SLACK_S = 1e-7
OFFSET_SHARE = 0.5  # share of the event's length, if that is more than the collar
CONFIDENCE = 0.95

Counts = NDArray[np.int64]
"""(..., 1 + C, 4): of all classes together, then of each; the last axis is TP, N_REF, N_SYS, SUBS.

Everything else follows: false positives and negatives are the rest of N_SYS and N_REF,
insertions and deletions the rest of those after substitutions.
"""

TP, N_REF, N_SYS, SUBS = range(4)

_BLOCK = 100  # number of events that sed_eval matches at once; it compares all pairs
_DRAWN_AT_ONCE = 1_000_000  # file indices drawn at once
_SUMMED_AT_ONCE = 2**21  # counts summed at once, 16 MiB


# --------------------------------------------------------------------------------- counting


def count_frames(reference: NDArray[np.uint8], estimate: NDArray[np.bool_]) -> Counts:
    """Count the frames of a recording: activities (T, C), both 0 or 1, to (1 + C, 4).

    Source: Mesaros et al. 2016, "Metrics for polyphonic sound event detection", with a frame as
    the segment, as in Drossos et al. 2019.
    """
    truth, found = reference.astype(bool), estimate.astype(bool)
    counts = np.zeros((1 + truth.shape[1], 4), dtype=np.int64)
    counts[1:, TP] = (truth & found).sum(axis=0)
    counts[1:, N_REF] = truth.sum(axis=0)
    counts[1:, N_SYS] = found.sum(axis=0)
    counts[0] = counts[1:].sum(axis=0)
    # a substitution is one miss and one insertion in the same frame
    missed, inserted = (truth & ~found).sum(axis=1), (found & ~truth).sum(axis=1)
    counts[0, SUBS] = np.minimum(missed, inserted).sum()
    return counts


def count_segments(
    reference: Sequence[Event],
    detected: Sequence[Event],
    duration_s: float,
    classes: Sequence[str],
    resolution_s: float,
) -> Counts:
    """Count the segments of a recording with sed_eval, to (1 + C, 4).

    Args:
        reference: annotated events.
        detected: detected events.
        duration_s: of the recording in seconds.
        classes: labels that may occur.
        resolution_s: length of a segment in seconds.

    Raises:
        ValueError: for a label outside ``classes``, which sed_eval would miscount.
    """
    stand_ins = _stand_ins(classes, reference, detected)
    if not stand_ins:
        return np.zeros((1 + len(classes), 4), np.int64)
    metric = _import_sed_eval().sound_event.SegmentBasedMetrics(
        list(stand_ins.values()), time_resolution=resolution_s
    )
    sides = (_within_segments(each, resolution_s) for each in (reference, detected))
    lists = (_event_list(each, stand_ins) for each in sides)
    length_s = (n_segments(duration_s, resolution_s) - 0.5) * resolution_s
    metric.evaluate(*lists, evaluated_length_seconds=length_s)
    return _counts_of(metric, [stand_ins.get(label) for label in classes])


def count_events(
    reference: Sequence[Event],
    detected: Sequence[Event],
    classes: Sequence[str],
    collar_s: float = COLLAR_S,
    *,
    offsets: bool,
) -> Counts:
    """Count the events of a recording with sed_eval, to (1 + C, 4).

    Args:
        reference: annotated events.
        detected: detected events.
        classes: labels that may occur.
        collar_s: tolerance of event times in seconds.
        offsets: whether offsets have to match too.

    Raises:
        ValueError: for a label outside ``classes``, which sed_eval would miscount.
    """
    stand_ins = _stand_ins(classes, reference, detected)
    counts = np.zeros((1 + len(classes), 4), np.int64)
    if not stand_ins:
        return counts
    # Each class by itself: sed_eval would compare every event with every label.
    sides: dict[str | None, tuple[list[Event], list[Event]]] = {
        None: (list(reference), list(detected))
    }
    for index, side in enumerate((reference, detected)):
        for event in side:
            sides.setdefault(event.label, ([], []))[index].append(event)
    for row, label in enumerate((None, *classes)):
        if label not in sides:
            continue
        metric = _import_sed_eval().sound_event.EventBasedMetrics(
            [],
            t_collar=collar_s + SLACK_S,
            percentage_of_length=OFFSET_SHARE,
            evaluate_onset=True,
            evaluate_offset=offsets,
        )
        for block in _blocks(*sides[label], collar_s):
            metric.evaluate(*(_event_list(each, stand_ins) for each in block))
        counts[row] = [metric.overall[name] for name in ("Ntp", "Nref", "Nsys", "Nsubs")]
    return counts


def _stand_ins(classes: Sequence[str], *sides: Sequence[Event]) -> dict[str, str]:
    """Replacement labels: sed_eval treats a label "none" as missing, and strips spaces.

    Only labels that occur: sed_eval iterates over all events for each one, which takes minutes
    for hundreds of classes.
    """
    known, there = set(classes), {event.label for side in sides for event in side}
    for label in there:
        if label not in known:
            raise ValueError(f"label {label!r}: expected one of {', '.join(classes)}")
    return {label: f"class {index}" for index, label in enumerate(classes) if label in there}


def n_segments(length_s: float, resolution_s: float) -> int:
    """Number of segments of a recording, the last of which may be cut; at least one."""
    return max(1, math.ceil((length_s - SLACK_S) / resolution_s))


def segments_of(
    intervals: NDArray[np.float64], resolution_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First segment of each interval in seconds (n, 2), and the one after its last, both (n,)."""
    first = np.floor((intervals[:, 0] + SLACK_S) / resolution_s).astype(np.int64)
    after = np.ceil((intervals[:, 1] - SLACK_S) / resolution_s).astype(np.int64)
    return first, np.maximum(after, first + 1)


def _within_segments(events: Sequence[Event], resolution_s: float) -> list[Event]:
    """Move onsets and offsets well inside their segments, so that rounding does not matter."""
    intervals = np.array([event[:2] for event in events], dtype=np.float64).reshape(-1, 2)
    first, after = segments_of(intervals, resolution_s)
    onsets_s, offsets_s = (first + 0.25) * resolution_s, (after - 0.25) * resolution_s
    pairs = zip(onsets_s.tolist(), offsets_s.tolist(), events, strict=True)
    return [Event(onset_s, offset_s, event.label) for onset_s, offset_s, event in pairs]


_OF_CLASS = ("Ntp", "Nref", "Nsys")


def _counts_of(metric: Any, labels: Iterable[str | None]) -> Counts:
    overall = metric.overall
    subs = overall["S"] if "S" in overall else overall["Nsubs"]
    rows = [[overall["Ntp"], overall["Nref"], overall["Nsys"], subs]]
    for label in labels:
        of_class = metric.class_wise[label] if label is not None else dict.fromkeys(_OF_CLASS, 0)
        rows.append([*(of_class[each] for each in _OF_CLASS), 0])
    return np.array(rows, dtype=np.int64)


def _blocks(
    reference: Sequence[Event], estimate: Sequence[Event], collar_s: float = COLLAR_S
) -> Iterator[tuple[list[Event], list[Event]]]:
    """Split the events of a file where no onset is within the collar of one on the other side.

    Events in different blocks can neither match nor be a substitution, so the counts are the same;
    but sed_eval compares each event with each, which takes minutes for an hour of birdsong.
    """
    onsets = np.sort([event.onset_s for event in (*reference, *estimate)])
    if len(onsets) <= _BLOCK:
        yield list(reference), list(estimate)
        return
    edges = onsets[1:][
        np.diff(onsets) > 2 * collar_s + SLACK_S
    ]  # twice, so that rounding does not matter
    starts = [-np.inf]
    for edge, n_before in zip(edges, np.searchsorted(onsets, edges), strict=True):
        if n_before - np.searchsorted(onsets, starts[-1]) >= _BLOCK:
            starts.append(edge)
    for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
        yield tuple(  # type: ignore[misc]
            [event for event in events if start <= event.onset_s < end]
            for events in (reference, estimate)
        )


def _event_list(events: Sequence[Event], stand_ins: Mapping[str, str]) -> Any:
    import dcase_util

    return dcase_util.containers.MetaDataContainer(
        [
            {"onset": onset_s, "offset": offset_s, "event_label": stand_ins[label]}
            for onset_s, offset_s, label in events
        ]
    )


def _import_sed_eval() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")
        import sed_eval
    return sed_eval


# ---------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Bootstrap:
    """Number of bootstrap draws of files for confidence intervals, and the seed."""

    n_samples: int
    seed: int = 0


def figures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """F1, precision, recall, ER and its parts of counts (..., 4); NaN if undefined."""
    tp, n_ref, n_sys, subs = (counts[..., column].astype(np.float64) for column in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * tp / (n_ref + n_sys)
        precision = np.where((n_sys == 0) & (n_ref > 0), 0.0, tp / n_sys)
        rates = {
            "substitution_rate": subs / n_ref,
            "deletion_rate": (n_ref - tp - subs) / n_ref,
            # without annotations the rate of insertions would be infinite
            "insertion_rate": np.where(n_ref > 0, (n_sys - tp - subs) / n_ref, np.nan),
        }
        recall = tp / n_ref
    er = sum(rates.values())
    return {"f1": f1, "precision": precision, "recall": recall, "er": np.asarray(er), **rates}


def macro_figures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Means over the annotated classes, of counts (..., 1 + C, 4)."""
    of_classes = counts[..., 1:, :]
    annotated = of_classes[..., N_REF] > 0
    n_annotated = annotated.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: np.where(annotated, values, 0.0).sum(axis=-1) / n_annotated
            for name, values in figures(of_classes).items()
            if name in ("f1", "precision", "recall", "er")
        }


def describe(
    counts: Counts, classes: Sequence[str], bootstrap: Bootstrap | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Convert the counts of files to entries of ``metrics.json``.

    Args:
        counts: (n_files, 1 + C, 4).
        classes: labels, in the order of the counts.
        bootstrap: for confidence intervals, which need at least two files; ``None``: none.

    Returns:
        Micro averages with ``macro``, ``counts`` and ``interval``; and the same for each class.
    """
    total = counts.sum(axis=0)  # (1 + C, 4)
    blocks = [_block(row) for row in total]
    blocks[0]["macro"] = {name: number(value) for name, value in macro_figures(total).items()}
    if bootstrap is not None and bootstrap.n_samples and len(counts) > 1:
        of_rows, of_macro = _intervals(counts, bootstrap)
        for index, block in enumerate(blocks):
            block["interval"] = {
                name: [number(bound) for bound in of_row[:, index]]
                for name, of_row in of_rows.items()
            }
        blocks[0]["macro"]["interval"] = {
            name: [number(bound) for bound in ends] for name, ends in of_macro.items()
        }
    return blocks[0], dict(zip(classes, blocks[1:], strict=True))


def _block(row: NDArray[np.int64]) -> dict[str, Any]:
    tp, n_ref, n_sys, subs = (int(count) for count in row)
    counts = {"tp": tp, "fp": n_sys - tp, "fn": n_ref - tp, "n_ref": n_ref, "n_sys": n_sys}
    counts |= {"subs": subs, "dels": n_ref - tp - subs, "ins": n_sys - tp - subs}
    values = {name: number(value) for name, value in figures(row).items()}
    return {**values, "counts": counts}


def number(value: Any) -> float | None:
    """A metric for JSON; ``None`` if it is undefined."""
    return float(value) if np.isfinite(value) else None


_BOUNDED = ("f1", "er")


def _intervals(
    counts: Counts, bootstrap: Bootstrap
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Lower and upper bounds over bootstrap draws: (2, 1 + C) of each metric, (2,) of macro."""
    of_rows = figures_of_draws(counts, bootstrap, figures)  # of (n_samples, 1 + C, 4)
    of_macro = figures_of_draws(counts, bootstrap, macro_figures)
    return (
        {name: bounds(of_rows[name]) for name in _BOUNDED},
        {name: bounds(of_macro[name]) for name in _BOUNDED},
    )


def figures_of_draws(
    counts: NDArray[Any],
    bootstrap: Bootstrap,
    figures_of: Callable[[NDArray[np.float64]], Mapping[str, Any]],
) -> dict[str, NDArray[np.float64]]:
    """Figures of the sums of the counts of resampled files (n_files, ...), each (n_samples, ...).

    Computed in blocks of draws: the counts of many classes and bins would fill the memory.
    """
    blocks = [figures_of(sums) for sums in _drawn(counts, bootstrap)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _drawn(counts: NDArray[Any], bootstrap: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """Sums of the counts of resampled files (n_files, ...): blocks of (n, ...)."""
    random = np.random.default_rng(bootstrap.seed)
    n_files = len(counts)
    flat = counts.reshape(n_files, -1).astype(np.float64)  # integers, exact in products
    at_once = max(1, min(_DRAWN_AT_ONCE // n_files, _SUMMED_AT_ONCE // max(1, flat.shape[1])))
    for first in range(0, bootstrap.n_samples, at_once):
        size = min(at_once, bootstrap.n_samples - first)
        times = random.multinomial(n_files, np.full(n_files, 1 / n_files), size=size)
        yield (times.astype(np.float64) @ flat).reshape(-1, *counts.shape[1:])


def quiet() -> np.errstate:
    """Suppress warnings about undefined metrics, which become NaN."""
    return np.errstate(divide="ignore", invalid="ignore")


def bounds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower and upper bound of the interval of metrics (n_samples, ...): (2, ...)."""
    tail = (1 - CONFIDENCE) / 2
    with warnings.catch_warnings():  # a class in no file is undefined in every sample
        warnings.filterwarnings("ignore", message="All-NaN slice", category=RuntimeWarning)
        both: NDArray[np.float64] = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return both
