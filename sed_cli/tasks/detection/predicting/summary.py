"""The events of all recordings in numbers: by class and recording, and by time of day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Findings
from sed_cli.reports.calls import CallRates, draw_call_rates
from sed_cli.system.tables import write_csv
from sed_cli.tasks.detection.predicting.ledger import Done
from sed_cli.tasks.detection.predicting.work import renamed

TABLE, BY_HOUR, FIGURE = "summary.csv", "summary_by_hour.csv", "summary.png"
_COLUMNS = (
    *("filename", "recorded", "duration_s", "event_label", "events", "events_s"),
    *("events_per_hour", "mean_confidence", "highest_confidence"),
)
_HOUR_COLUMNS = ("event_label", "hour", "recorded_hours", "events", "events_per_hour")
_HOUR_S = 3600.0
_HOURS = 24


class _One(NamedTuple):
    """A recording, or a channel of one."""

    name: str
    done: Done
    findings: Findings


def write_summary(folder: Path, dones: Sequence[Done], classes: Sequence[str]) -> list[Path]:
    """Write the tables and the figure of the events found; return their paths.

    Args:
        folder: for the files.
        dones: all recordings.
        classes: of the detector: classes that were never found have rows too.
    """
    ones = [_One(name, done, one) for done in dones for name, one in renamed(done).items()]
    written = [folder / TABLE]
    write_csv(written[0], _COLUMNS, (row for one in ones for row in _rows(one, classes)))
    dated = [one for one in ones if one.done.recorded is not None]
    rates = by_recording(ones, classes)
    if dated:
        rates = by_hour(dated, classes, n_undated=len(ones) - len(dated))
        written.append(folder / BY_HOUR)
        write_csv(written[1], _HOUR_COLUMNS, _hour_rows(rates))
    draw_call_rates(folder / FIGURE, rates)
    return [*written, folder / FIGURE]


def _rows(one: _One, classes: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
    recorded, duration_s = one.done.recorded, one.findings.duration_s
    when = "" if recorded is None else recorded.isoformat(sep=" ")
    for label in classes:
        own = [each for each in one.findings.detections if each.label == label]
        confidences = [each.confidence for each in own]
        yield (
            *(one.name, when, f"{duration_s:.3f}", label, len(own)),
            f"{sum(each.offset_s - each.onset_s for each in own):.3f}",
            f"{len(own) / duration_s * _HOUR_S:.2f}" if duration_s else "",
            f"{np.mean(confidences):.4f}" if own else "",
            f"{max(confidences):.4f}" if own else "",
        )


def by_recording(ones: Sequence[_One], classes: Sequence[str]) -> CallRates:
    """Events of each class in each recording."""
    counts = np.zeros((len(classes), len(ones)), np.int64)
    index = {label: row for row, label in enumerate(classes)}
    for column, one in enumerate(ones):
        for each in one.findings.detections:
            counts[index[each.label], column] += 1
    hours = np.array([one.findings.duration_s for one in ones]) / _HOUR_S
    return CallRates(
        classes=tuple(classes), counts=counts, hours=hours, names=tuple(one.name for one in ones)
    )


def by_hour(ones: Sequence[_One], classes: Sequence[str], *, n_undated: int = 0) -> CallRates:
    """Events of each class, and recorded time, in each hour of the day.

    Args:
        ones: recordings with a known start time.
        classes: labels.
        n_undated: number of recordings without one.
    """
    counts = np.zeros((len(classes), _HOURS), np.int64)
    hours = np.zeros(_HOURS)
    index = {label: row for row, label in enumerate(classes)}
    for one in ones:
        assert one.done.recorded is not None
        start = one.done.recorded
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        start_s = (start - midnight) / timedelta(seconds=1)
        hours += _in_hours(start_s, one.findings.duration_s)
        for each in one.findings.detections:
            counts[index[each.label], int((start_s + each.onset_s) // _HOUR_S) % _HOURS] += 1
    return CallRates(classes=tuple(classes), counts=counts, hours=hours, n_undated=n_undated)


def _in_hours(start_s: float, duration_s: float) -> NDArray[np.float64]:
    """Overlap of a segment with each hour of the day, in hours, (24,)."""
    hours = np.zeros(_HOURS)
    end_s = start_s + duration_s
    for hour in range(int(start_s // _HOUR_S), int(end_s // _HOUR_S) + 1):
        overlap_s = min(end_s, (hour + 1) * _HOUR_S) - max(start_s, hour * _HOUR_S)
        hours[hour % _HOURS] += max(0.0, overlap_s) / _HOUR_S
    return hours


def _hour_rows(rates: CallRates) -> Iterator[tuple[str | int, ...]]:
    for row, label in enumerate(rates.classes):
        for hour in range(_HOURS):
            yield (
                *(label, hour, f"{rates.hours[hour]:.4f}", int(rates.counts[row, hour])),
                f"{rates.rates[row, hour]:.2f}" if rates.hours[hour] else "",
            )
