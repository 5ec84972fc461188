"""Units of time, inferred from column names and from durations of recordings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from sed_cli.data.annotations.events import Event

UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0}
SAMPLES = "samples"

_NAMES = {
    "s": "s sec secs second seconds",
    "ms": "ms msec msecs millis millisec millisecs millisecond milliseconds",
    "us": "us µs μs usec usecs microsecond microseconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    SAMPLES: "sample samples samp smp",
}
_UNITS = {name: unit for unit, names in _NAMES.items() for name in names.split()}
# After the name of a time: it is not a time from the start of the recording.
_NO_TIMES = {
    *("frame", "frames", "idx", "index", "tick", "ticks", "beat", "beats", "bin", "bins", "hop"),
    *("hops", "block", "blocks", "pixel", "pixels", "px", "m", "date", "datetime", "day", "days"),
    *("percent", "pct", "fraction", "ratio", "bar", "bars", "measure", "measures"),
    *("ns", "nsec", "nanosecond", "nanoseconds", "cs", "centisecond", "centiseconds", "ds"),
    *("decisecond", "deciseconds", "week", "weeks"),
}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_WORD = re.compile(r"[\W_]+")
_FITS = 0.95  # share of the recordings: a few faults do not hide a unit
_SLACK = 1.05
_LEAST_SHARE = 0.005  # share of a recording that its events span
_SURE_SHARE = 0.05  # the same if the unit is accepted; events of another recording span less


def words_of(name: str) -> list[str]:
    """Words of a column's name in lower case: ``startTime(ms)`` has start, time and ms."""
    plain = _CAMEL.sub(" ", name.replace("%", " percent ")).casefold()
    return [word for word in _NO_WORD.split(plain) if word]


def plain_name(name: str) -> str:
    """A column's name in lower case and with underscores."""
    return "_".join(word for word in _NO_WORD.split(name.casefold()) if word)


def without_unit(name: str) -> tuple[str, str | None]:
    """A column's plain name without the unit behind it, and that unit (s, ms, ...; None)."""
    words = words_of(name)
    if len(words) > 1 and words[-1] in _UNITS:
        unit = _UNITS[words.pop()]
        if len(words) > 1 and words[-1] == "in":
            words.pop()
        return "_".join(words), unit
    return "_".join(words), None


def unit_of(name: str, names: Sequence[str]) -> str | None:
    """The unit of a column of times, ``None`` if its name does not include one.

    Args:
        name: of the column.
        names: of all columns: ``t_min`` beside ``t_max`` is the lowest time, not minutes.
    """
    words = words_of(name)
    if len(words) < 2:
        return None
    if words == ["t", "min"]:
        return None
    if words[-1] == "min" and [*words[:-1], "max"] in [words_of(other) for other in names]:
        return None
    if words[-1] in _UNITS:
        return _UNITS[words[-1]]
    if len(words[0]) > 1 and words[0] not in ("min", "hour") and words[0] in _UNITS:
        return _UNITS[words[0]]
    return None


def is_no_time(name: str) -> bool:
    """Whether a column's name implies something other than time."""
    words = words_of(name)
    return bool(words) and (words[-1] in _NO_TIMES or (len(words) > 1 and words[0] in _NO_TIMES))


class OtherUnit(NamedTuple):
    """Likely unit of times that are not seconds.

    ``unit``: ms or samples; ``None``: unknown, or inconsistent between recordings.
    """

    unit: str | None
    message: str


def likely_unit(
    recordings: Sequence[Sequence[Event]], durations_s: Sequence[float], rates: Sequence[float]
) -> OtherUnit | None:
    """Infer the unit of times if events lie after the ends of their recordings.

    Args:
        recordings: events of each, read as seconds.
        durations_s: lengths of these recordings.
        rates: their sample rates in Hz.

    Returns:
        A unit or advice if at least half of the recordings with events have most of them after
        their end; else None.
    """
    ends = [
        (max(event.offset_s for event in events), duration_s, rate)
        for events, duration_s, rate in zip(recordings, durations_s, rates, strict=True)
        if any(event.offset_s < math.inf for event in events)
    ]
    n_far = sum(map(_is_far, recordings, durations_s))
    if not ends or 2 * n_far < len(ends):
        return None
    where = f"in {n_far} of {len(ends)} recordings most events start after the end"
    for unit in ("ms", SAMPLES):
        shares = [
            (end_s / rate if unit == SAMPLES else end_s * UNITS_S[unit]) / duration_s
            for end_s, duration_s, rate in ends
            if duration_s > 0 < rate
        ]
        fits = sum(share <= _SLACK for share in shares)
        if shares and fits >= _FITS * len(shares) and median(shares) >= _LEAST_SHARE:
            what = "milliseconds"
            if unit == SAMPLES:
                what = (
                    f"samples at {' or '.join(f'{rate:g}' for rate in sorted(set(rates))[:3])} Hz"
                )
            is_sure = n_far >= _FITS * len(ends) and median(shares) >= _SURE_SHARE
            likeness = f"{where}: the times look like {what}"
            return OtherUnit(unit if is_sure else None, f"{likeness}; set data.time_unit={unit}")
    return OtherUnit(
        None,
        f"{where}: the times are not seconds from the start of each recording (times of day, "
        f"or counted from the start of another file?); name the right column by "
        f"data.columns.onset=NAME, or the unit by data.time_unit=UNIT",
    )


def _is_far(events: Sequence[Event], duration_s: float) -> bool:
    n_behind = sum(event.onset_s > duration_s for event in events)
    last_s = max((event.offset_s for event in events), default=0.0)
    return 2 * n_behind > len(events) and last_s > 2 * duration_s
