"""Audio that stands in two splits: equal files, and the same sound in another rate, gain or format.

Near copies are found in two steps. *Fingerprints* of the features propose pairs of recordings and
how they lie against each other: a bit is the sign of a band's difference to its neighbour in
frequency and in time, which neither gain nor resampling nor a codec changes often (Haitsma, Kalker,
"A highly robust audio fingerprinting system", ISMIR 2002); a code of some 25 bits a frame is looked
up in a sorted array, with its least certain bits flipped as well. *Waveforms* then decide: the
phases of the two excerpts are correlated (Knapp, Carter 1976, the PHAT weighting), which gives
nearly 1 for the same sound and less than 0.4 for different ones, however alike they are to the ear:
docs/data_sets.md has the measurements.

No library that finds shifted excerpts in memory and is still kept was found (dejavu and audfprint
want a database and have seen no release for years), hence own code.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from sed_cli.audio import AudioReader
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.audio.limits import FLOOR
from sed_cli.config.training import FeatureConfig
from sed_cli.data.copies import find_copies
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

if TYPE_CHECKING:
    from sed_cli.data.sets import Recording

log = logging.getLogger(__name__)

_SHOWN = 5

Bits = NDArray[np.float32]
Codes = NDArray[np.uint32]

# The band that any recording has, those of a telephone included.
_LOW_HZ, _HIGH_HZ = 300.0, 3400.0
_MAX_BANDS = 26
_FEW_BANDS = 17
_MIN_BANDS = 8
_STEP_S = 0.032  # of fingerprints; features of a shorter hop are averaged
_SMOOTH_S = 0.256
_APART_S = 0.128
_UNCERTAIN_BITS = 6  # tried both ways: 64 codes a frame
_COMMON = 50  # a code that more frames have tells nothing
_MIN_DIFFERENCE = 0.05  # dB; what is below, such as digital silence, has no fingerprint
_MIN_STEPS = 8  # that two fingerprints overlap by
_MAX_ERROR = 0.35  # share of differing bits of a pair that is looked at; by chance it is half
_MAX_QUERIES = 200_000  # steps looked up; of a larger set only every n-th
_BLOCK = 2048  # steps looked up at once
_MAX_PAIRS = 200  # pairs of recordings whose waveforms are compared
_EXCERPT_S = 8.0
_EXCERPT_RATE = 8000
_MAX_LAG_S = 0.07
_SAME = 0.5  # correlation of the phases


class Place(NamedTuple):
    """Where a sound is: in which recording of which split, from which second on."""

    split: str
    name: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A sound that stands in two splits.

    Args:
        kind: ``copy``: the files are equal; ``near``: they hold the same sound.
        first, second: where it stands.
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
    """Refuse equal files in different splits, and warn of near copies.

    Args:
        splits: of a set, with their features.
        feature: the settings of these.
        leak_check: ``all``; ``copies``: no search for near copies; ``none``: nothing.

    Raises:
        DataError: for equal files, with the first of them.
    """
    if leak_check == "none":
        return
    if copies := tuple(_copies(splits)):
        raise DataError(
            f"{cut_short(copies, _SHOWN, '; ')}: what is trained on would be tested on; take them "
            f"out of one split, or allow it with data.leak_check=none"
        )
    if leak_check == "all" and (near := find_near_copies(splits, feature)):
        log.warning(
            "%s: results on these will be too good; take them out of one split, keep sources "
            "together with data.group, or silence this with data.leak_check=copies",
            cut_short(near, _SHOWN, "; "),
        )


def find_near_copies(
    splits: Mapping[str, Sequence[Recording]], feature: FeatureConfig
) -> tuple[Leak, ...]:
    """Find the same sound in different splits, the surest first; one a pair of recordings.

    The work is bounded: in sets of more than some hours it may miss short excerpts.

    Args:
        splits: of a set, with their features.
        feature: the settings of these.
    """
    maker = _Fingerprinter(feature)
    if sum(map(bool, splits.values())) < 2 or not maker.is_able:
        return ()
    items = [
        maker.fingerprint(split, recording)
        for split, recordings in splits.items()
        for recording in recordings
    ]
    leaks = []
    for pair in _propose(items, maker)[:_MAX_PAIRS]:
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


# ------------------------------------------------------------------------- fingerprints


@dataclass(frozen=True)
class _Codes:
    """The fingerprint of one recording; of ``has_sound`` False nothing is known."""

    split: str
    recording: Recording
    codes: Codes  # (n,)
    has_sound: NDArray[np.bool_]  # (n,)


class _Fingerprinter:
    """Makes fingerprints from features of these settings."""

    def __init__(self, feature: FeatureConfig) -> None:
        self.is_able = False
        if not isinstance(feature, LogMelConfig):
            return
        edges = librosa.mel_frequencies(
            feature.n_mels + 2,
            fmin=feature.f_min,
            fmax=feature.sample_rate / 2 if feature.f_max is None else feature.f_max,
        )
        bands = np.flatnonzero((edges[1:-1] >= _LOW_HZ) & (edges[1:-1] <= _HIGH_HZ))
        self.is_able = len(bands) >= _MIN_BANDS
        self._bands = np.array_split(bands, max(1, min(len(bands), _MAX_BANDS)))
        self._is_log = feature.is_log
        self._n_joined = max(1, round(_STEP_S / feature.hop_s))
        self.step_s = self._n_joined * feature.hop_s
        self._n_smoothed = max(2, round(_SMOOTH_S / self.step_s))
        self._n_apart = max(1, round(_APART_S / self.step_s))
        # Few bands make codes that many steps have: those of two steps are joined.
        self._n_stacked = self._n_smoothed if len(self._bands) <= _FEW_BANDS else 0
        self._n_around = self._n_smoothed + self._n_apart - 1 + self._n_stacked
        self.span_s = self._n_around * self.step_s

    @property
    def n_bits(self) -> int:
        """Of a code."""
        return (len(self._bands) - 1) * (2 if self._n_stacked else 1)

    def fingerprint(self, split: str, recording: Recording) -> _Codes:
        """The fingerprint of a whole recording."""
        blocks = [(np.zeros(0, np.uint32), np.zeros(0, np.bool_))]
        blocks += [(_encode(block > 0), _has_sound(block)) for _, block in self.blocks(recording)]
        codes, has_sound = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return _Codes(split, recording, codes, has_sound)

    def blocks(self, recording: Recording) -> Iterator[tuple[int, Bits]]:
        """Yield first step and differences (n, bits) block by block: a recording may be long."""
        n_steps = recording.n_frames // self._n_joined - self._n_around
        for first in range(0, n_steps, _BLOCK):
            stop = min(first + _BLOCK, n_steps) + self._n_around
            frames = recording.log_mel[first * self._n_joined : stop * self._n_joined]
            yield first, self._differences(np.asarray(frames))

    def _differences(self, frames: NDArray[np.float32]) -> Bits:
        if not self._is_log:
            frames = (10.0 * np.log10(np.maximum(frames, FLOOR))).astype(np.float32)
        bands = np.stack([frames[:, band].mean(axis=1) for band in self._bands], axis=1)
        steps = bands.reshape(-1, self._n_joined, len(self._bands)).mean(axis=1)
        sums = np.cumsum(np.pad(steps, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
        smooth = (sums[self._n_smoothed :] - sums[: -self._n_smoothed]) / self._n_smoothed
        slope = np.diff(smooth, axis=1)
        differences = (slope[self._n_apart :] - slope[: -self._n_apart]).astype(np.float32)
        if not self._n_stacked:
            return differences
        return np.hstack([differences[: -self._n_stacked], differences[self._n_stacked :]])


def _has_sound(differences: Bits) -> NDArray[np.bool_]:
    loud: NDArray[np.bool_] = np.abs(differences).mean(axis=1) > _MIN_DIFFERENCE
    return loud


def _encode(bits: NDArray[np.bool_]) -> Codes:
    weights = np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32)
    codes: Codes = (bits * weights).sum(axis=1, dtype=np.uint32)
    return codes


def _variants(differences: Bits) -> Codes:
    """Codes of each step with its least certain bits set either way, (n, 2 ** bits)."""
    n_flipped = min(_UNCERTAIN_BITS, differences.shape[1] - 1)
    uncertain = np.argpartition(np.abs(differences), n_flipped, axis=1)[:, :n_flipped]
    weights = np.uint32(1) << uncertain.astype(np.uint32)  # (n, bits)
    choices = (np.arange(2**n_flipped)[:, None] >> np.arange(n_flipped)) & 1  # (2 ** bits, bits)
    masks = (weights[:, None, :] * choices.astype(np.uint32)).sum(axis=2, dtype=np.uint32)
    variants: Codes = _encode(differences > 0)[:, None] ^ masks
    return variants


# ------------------------------------------------------------------------------- pairs


class _Pair(NamedTuple):
    """Two recordings that may hold the same sound: step ``at`` of b is ``at + offset`` of a.

    ``doubt`` falls below 0 as more bits agree.
    """

    doubt: float
    a: int
    b: int
    at: int
    offset: int
    n_steps: int


_NO_PAIR = _Pair(0.0, 0, 0, 0, 0, 0)


class _Index:
    """All steps of all recordings by their codes."""

    def __init__(self, items: Sequence[_Codes]) -> None:
        lengths = [len(item.codes) for item in items]
        codes = np.concatenate([item.codes for item in items])
        order = np.flatnonzero(np.concatenate([item.has_sound for item in items]))
        order = order[np.argsort(codes[order], kind="stable")]
        starts = np.cumsum(lengths) - lengths
        self._codes = codes[order]
        self._owner = np.repeat(np.arange(len(items), dtype=np.int32), lengths)[order]
        self._step = (order - np.repeat(starts, lengths)[order]).astype(np.int32)

    def look_up(
        self, differences: Bits
    ) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
        """Return step looked up, recording and step found, of each hit."""
        variants = _variants(differences)
        low = np.searchsorted(self._codes, variants.ravel(), side="left")
        count = np.searchsorted(self._codes, variants.ravel(), side="right") - low
        count[count > _COMMON] = 0
        which = np.repeat(np.arange(len(count)), count)
        rank = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        found = low[which] + rank
        return which // variants.shape[1], self._owner[found], self._step[found]


def _propose(items: Sequence[_Codes], maker: _Fingerprinter) -> list[_Pair]:
    """Find recordings of different splits whose fingerprints agree: the best place of each pair."""
    index = _Index(items)
    sizes: Counter[str] = Counter()
    for item in items:
        sizes[item.split] += len(item.codes)
    # The largest split is not looked up: each pair has a recording of another one.
    rank = {split: place for place, (split, _) in enumerate(sizes.most_common())}
    ranks = np.array([rank[item.split] for item in items])
    stride = -(-(sizes.total() - max(sizes.values())) // _MAX_QUERIES) or 1
    best: dict[tuple[int, int], _Pair] = {}
    for b, item in enumerate(items):
        if ranks[b] == 0:
            continue
        for first, differences in maker.blocks(item.recording):
            at = np.flatnonzero(_has_sound(differences))[::stride]
            query, others, steps = index.look_up(differences[at])
            keep = ranks[others] < ranks[b]
            at = first + at[query[keep]]
            for a, offset, start, last in _aligned(others[keep], steps[keep] - at, at):
                if items[a].recording.content == item.recording.content != "":
                    continue  # a copy, which is known
                pair = _judge(items, maker.n_bits, (a, b), offset, start, last)
                if pair.doubt < best.get((a, b), _NO_PAIR).doubt:
                    best[a, b] = pair
    return sorted(best.values())


def _aligned(
    others: NDArray[np.int32], offsets: NDArray[np.intp], at: NDArray[np.intp]
) -> Iterator[tuple[int, int, int, int]]:
    """Yield recording, offset, first and last step of hits that agree on how two lie."""
    order = np.lexsort((at, offsets, others))
    others, offsets, at = others[order], offsets[order], at[order]
    starts = np.flatnonzero(np.diff(others, prepend=-1) | np.diff(offsets, prepend=0))
    for start, stop in pairwise([*starts.tolist(), len(others)]):
        if at[stop - 1] > at[start]:
            yield int(others[start]), int(offsets[start]), int(at[start]), int(at[stop - 1])


def _judge(
    items: Sequence[_Codes], n_bits: int, pair: tuple[int, int], offset: int, first: int, last: int
) -> _Pair:
    """Count differing bits around the steps from ``first`` to ``last`` of the second."""
    a, b = items[pair[0]], items[pair[1]]
    start = max(0, -offset, first - 2 * _MIN_STEPS)
    stop = min(len(b.codes), len(a.codes) - offset, last + 2 * _MIN_STEPS + 1)
    at_a = slice(start + offset, stop + offset)
    both = a.has_sound[at_a] & b.has_sound[start:stop]
    differing = np.bitwise_count(a.codes[at_a] ^ b.codes[start:stop])[both]
    doubt = 0.0
    if len(differing) >= _MIN_STEPS and (error := differing.mean() / n_bits) <= _MAX_ERROR:
        doubt = (error - 0.5) * math.sqrt(len(differing))  # standard deviations from chance
    return _Pair(float(doubt), *pair, start, offset, stop - start)


# --------------------------------------------------------------------------- waveforms


def _compare(a: tuple[Path, float], b: tuple[Path, float], length_s: float) -> tuple[float, float]:
    """Return how far the phases of two excerpts agree, 0 to 1, and by how much a lies later.

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
        return 0.0, 0.0  # damaged since its features were computed: not this check's business
    n = min(len(x), len(y))
    if n < 2:
        return 0.0, 0.0
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    window = np.hanning(n)
    cross = np.fft.rfft(x[:n] * window, size) * np.conj(np.fft.rfft(y[:n] * window, size))
    frequency = np.fft.rfftfreq(size, 1 / _EXCERPT_RATE)
    in_band = (frequency >= _LOW_HZ) & (frequency <= _HIGH_HZ)
    phases = np.where(in_band, cross / np.maximum(np.abs(cross), 1e-12), 0.0)
    correlation = np.abs(np.fft.irfft(phases, size)) * size / (2 * in_band.sum())
    most = int(_MAX_LAG_S * _EXCERPT_RATE)
    lags = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    best = int(np.argmax(correlation[lags]))
    return float(min(1.0, correlation[lags[best]])), float(lags[best]) / _EXCERPT_RATE


def _excerpt(path: Path, start_s: float, length_s: float) -> NDArray[np.float32]:
    with AudioReader(path, salvage=lambda _: None) as reader:  # it has been warned of already
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
