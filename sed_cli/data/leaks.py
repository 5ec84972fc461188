"""Audio in two splits: identical files, and the same sound at another rate, gain or format.

Near copies are found in two steps. :mod:`sed_cli.data.fingerprints` proposes pairs of recordings
and their offset. *Waveforms* then decide: the phases of the two excerpts are
correlated (Knapp, Carter 1976, the PHAT weighting), which gives nearly 1 for the same sound and
less than 0.4 for different ones, however alike they are to the ear: docs/data_sets.md has the
measurements.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio import AudioReader
from sed_cli.config.training import FeatureConfig
from sed_cli.data.copies import find_copies
from sed_cli.data.fingerprints import HIGH_HZ, LOW_HZ, Fingerprinter, propose
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

if TYPE_CHECKING:
    from sed_cli.data.sets import Recording

log = logging.getLogger(__name__)

_SHOWN = 5


_MAX_PAIRS = 200  # pairs of recordings whose waveforms are compared
_EXCERPT_S = 8.0
_EXCERPT_RATE = 8000
_MAX_LAG_S = 0.07
_SAME = 0.5  # correlation of the phases


class Place(NamedTuple):
    """Position of a sound: split, recording and start in seconds."""

    split: str
    name: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A sound that occurs in two splits.

    Args:
        kind: ``copy``: identical files; ``near``: files with the same sound.
        first, second: its positions.
        similarity: from 0 to 1; 1 for copies.
    """

    kind: Literal["copy", "near"]
    first: Place
    second: Place
    similarity: float = 1.0

    def __str__(self) -> str:
        a, b = self.first, self.second
        if self.kind == "copy":
            return f"{a.name} ({a.split}) and {b.name} ({b.split}) are the same file"
        return (
            f"{a.name} ({a.split}) from {a.at_s:.2f} s sounds the same as "
            f"{b.name} ({b.split}) from {b.at_s:.2f} s"
        )


def _copies(splits: Mapping[str, Sequence[Recording]]) -> Iterator[Leak]:
    hashed = {split: [r for r in found if r.content] for split, found in splits.items()}
    for (first_split, first), *others in find_copies(hashed, lambda recording: recording.content):
        for split, other in others:
            if split != first_split:
                place = Place(first_split, first.name, 0.0)
                yield Leak(kind="copy", first=place, second=Place(split, other.name, 0.0))


def check_leaks(
    splits: Mapping[str, Sequence[Recording]], feature: FeatureConfig, leak_check: str
) -> None:
    """Reject identical files in different splits, and warn about near copies.

    Args:
        splits: of a data set, with their features.
        feature: the settings of these.
        leak_check: ``all``; ``copies``: no search for near copies; ``none``: nothing.

    Raises:
        DataError: for identical files, with the first ones.
    """
    if leak_check == "none":
        return
    if copies := tuple(_copies(splits)):
        raise DataError(
            f"{cut_short(copies, _SHOWN, '; ')}: the test would include training data; remove "
            f"them from one split, or allow it with data.leak_check=none"
        )
    if leak_check == "all" and (near := find_near_copies(splits, feature)):
        log.warning(
            "%s: results on these will be optimistic; remove them from one split, keep sources "
            "together with data.group, or silence this with data.leak_check=copies",
            cut_short(near, _SHOWN, "; "),
        )


def find_near_copies(
    splits: Mapping[str, Sequence[Recording]], feature: FeatureConfig
) -> tuple[Leak, ...]:
    """Find the same sound in different splits, the most certain first; one per pair of recordings.

    The work is bounded: in data sets of more than some hours it may miss short excerpts.

    Args:
        splits: of a data set, with their features.
        feature: the settings of these.
    """
    maker = Fingerprinter(feature)
    if sum(map(bool, splits.values())) < 2 or not maker.is_able:
        return ()
    items = [
        maker.fingerprint(split, recording)
        for split, recordings in splits.items()
        for recording in recordings
    ]
    leaks = []
    for pair in propose(items, maker)[:_MAX_PAIRS]:
        a, b = items[pair.a], items[pair.b]
        similarity, lag_s = _compare(
            (a.recording.path, (pair.at + pair.offset) * maker.step_s),
            (b.recording.path, pair.at * maker.step_s),
            pair.n_steps * maker.step_s + maker.span_s,
        )
        if similarity >= _SAME:
            at_s = pair.at * maker.step_s
            offset_s = pair.offset * maker.step_s + lag_s
            leaks.append(
                Leak(
                    kind="near",
                    first=Place(a.split, a.recording.name, max(0.0, at_s + offset_s)),
                    second=Place(b.split, b.recording.name, at_s),
                    similarity=similarity,
                )
            )
    return tuple(sorted(leaks, key=lambda leak: -leak.similarity))


# ------------------------------------------------------------------------------- pairs


# --------------------------------------------------------------------------- waveforms


def _compare(a: tuple[Path, float], b: tuple[Path, float], length_s: float) -> tuple[float, float]:
    """Return the phase correlation of two excerpts, 0 to 1, and the lag of a.

    Args:
        a: file and second where the excerpt starts.
        b: the other.
        length_s: of both.
    """
    skipped_s = max(0.0, length_s - _EXCERPT_S) / 2
    length_s = min(length_s, _EXCERPT_S)
    try:
        x, y = (_excerpt(path, start_s + skipped_s, length_s) for path, start_s in (a, b))
    except (DataError, OSError):
        return 0.0, 0.0  # damaged since its features were computed: not checked here
    n = min(len(x), len(y))
    if n < 2:
        return 0.0, 0.0
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    window = np.hanning(n)
    cross = np.fft.rfft(x[:n] * window, size) * np.conj(np.fft.rfft(y[:n] * window, size))
    frequency = np.fft.rfftfreq(size, 1 / _EXCERPT_RATE)
    in_band = (frequency >= LOW_HZ) & (frequency <= HIGH_HZ)
    phases = np.where(in_band, cross / np.maximum(np.abs(cross), 1e-12), 0.0)
    correlation = np.abs(np.fft.irfft(phases, size)) * size / (2 * in_band.sum())
    most = int(_MAX_LAG_S * _EXCERPT_RATE)
    lags = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    best = int(np.argmax(correlation[lags]))
    return float(min(1.0, correlation[lags[best]])), float(lags[best]) / _EXCERPT_RATE


def _excerpt(path: Path, start_s: float, length_s: float) -> NDArray[np.float32]:
    with AudioReader(path, salvage=lambda _: None) as reader:  # there has been a warning already
        first = round((start_s - reader.skip(start_s)) * _EXCERPT_RATE)
        n_samples = round(length_s * _EXCERPT_RATE)
        kept, n_kept = [np.zeros(0, np.float32)], 0
        for block in reader.blocks(_EXCERPT_RATE):
            kept.append(block[first:].copy())
            first = max(0, first - len(block))
            n_kept += len(kept[-1])
            if n_kept >= n_samples:
                break
    return np.concatenate(kept)[:n_samples]
