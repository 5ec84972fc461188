"""Fingerprints of features, which propose pairs of recordings that may contain the same sound.

A bit is the sign of a band's difference to its neighbour in frequency and in time, which gain,
resampling and codecs rarely change (Haitsma, Kalker, "A highly robust audio
fingerprinting system", ISMIR 2002); a code of some 25 bits a frame is looked up in a sorted array,
with its least certain bits flipped as well.

No maintained library finds shifted excerpts in memory (dejavu and audfprint need a database,
and have had no release for years), hence our own code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.audio.limits import FLOOR
from sed_cli.config.training import FeatureConfig

if TYPE_CHECKING:
    from sed_cli.data.sets import Recording

# The band that any recording has, including telephone.
LOW_HZ, HIGH_HZ = 300.0, 3400.0


Bits = NDArray[np.float32]


Codes = NDArray[np.uint32]


_MAX_BANDS = 26


_FEW_BANDS = 17


_MIN_BANDS = 8


_STEP_S = 0.032  # of fingerprints; features of a shorter hop are averaged


_SMOOTH_S = 0.256


_APART_S = 0.128


_UNCERTAIN_BITS = 6  # tried both ways: 64 codes per frame


_COMMON = 50  # codes of more frames are uninformative


_MIN_DIFFERENCE = 0.05  # dB; anything below, such as digital silence, has no fingerprint


_MIN_STEPS = 8  # overlap of two fingerprints


_MAX_ERROR = 0.35  # share of differing bits for a candidate pair; by chance it is half


_MAX_QUERIES = 200_000  # steps looked up; only every n-th of a larger data set


_BLOCK = 2048  # steps looked up at once


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one recording; steps with ``has_sound`` False are unknown."""

    split: str
    recording: Recording
    codes: Codes  # (n,)
    has_sound: NDArray[np.bool_]  # (n,)


class Fingerprinter:
    """Computes fingerprints from features of these settings."""

    def __init__(self, feature: FeatureConfig) -> None:
        self.is_able = False
        if not isinstance(feature, LogMelConfig):
            return
        edges = librosa.mel_frequencies(
            feature.n_mels + 2,
            fmin=feature.f_min,
            fmax=feature.sample_rate / 2 if feature.f_max is None else feature.f_max,
        )
        bands = np.flatnonzero((edges[1:-1] >= LOW_HZ) & (edges[1:-1] <= HIGH_HZ))
        self.is_able = len(bands) >= _MIN_BANDS
        self._bands = np.array_split(bands, max(1, min(len(bands), _MAX_BANDS)))
        self._is_log = feature.is_log
        self._n_joined = max(1, round(_STEP_S / feature.hop_s))
        self.step_s = self._n_joined * feature.hop_s
        self._n_smoothed = max(2, round(_SMOOTH_S / self.step_s))
        self._n_apart = max(1, round(_APART_S / self.step_s))
        # With few bands many steps share a code: codes of two steps are joined.
        self._n_stacked = self._n_smoothed if len(self._bands) <= _FEW_BANDS else 0
        self._n_around = self._n_smoothed + self._n_apart - 1 + self._n_stacked
        self.span_s = self._n_around * self.step_s

    @property
    def n_bits(self) -> int:
        """Bits of a code."""
        return (len(self._bands) - 1) * (2 if self._n_stacked else 1)

    def fingerprint(self, split: str, recording: Recording) -> Fingerprint:
        """The fingerprint of a whole recording."""
        blocks = [(np.zeros(0, np.uint32), np.zeros(0, np.bool_))]
        blocks += [(_encode(block > 0), _has_sound(block)) for _, block in self.blocks(recording)]
        codes, has_sound = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return Fingerprint(split, recording, codes, has_sound)

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
    """Codes of each step with its least certain bits set both ways, (n, 2 ** bits)."""
    n_flipped = min(_UNCERTAIN_BITS, differences.shape[1] - 1)
    uncertain = np.argpartition(np.abs(differences), n_flipped, axis=1)[:, :n_flipped]
    weights = np.uint32(1) << uncertain.astype(np.uint32)  # (n, bits)
    choices = (np.arange(2**n_flipped)[:, None] >> np.arange(n_flipped)) & 1  # (2 ** bits, bits)
    masks = (weights[:, None, :] * choices.astype(np.uint32)).sum(axis=2, dtype=np.uint32)
    variants: Codes = _encode(differences > 0)[:, None] ^ masks
    return variants


class Pair(NamedTuple):
    """Two recordings that may contain the same sound: step ``at`` of b is ``at + offset`` of a.

    ``doubt`` falls below 0 as more bits agree.
    """

    doubt: float
    a: int
    b: int
    at: int
    offset: int
    n_steps: int


_NO_PAIR = Pair(0.0, 0, 0, 0, 0, 0)


class _Index:
    """All steps of all recordings by their codes."""

    def __init__(self, items: Sequence[Fingerprint]) -> None:
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
        """Return step looked up, recording and step found, for each hit."""
        variants = _variants(differences)
        low = np.searchsorted(self._codes, variants.ravel(), side="left")
        count = np.searchsorted(self._codes, variants.ravel(), side="right") - low
        count[count > _COMMON] = 0
        which = np.repeat(np.arange(len(count)), count)
        rank = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        found = low[which] + rank
        return which // variants.shape[1], self._owner[found], self._step[found]


def propose(items: Sequence[Fingerprint], maker: Fingerprinter) -> list[Pair]:
    """Find recordings of different splits whose fingerprints agree: the best place of each pair."""
    index = _Index(items)
    sizes: Counter[str] = Counter()
    for item in items:
        sizes[item.split] += len(item.codes)
    # The largest split is not looked up: each pair includes a recording of another one.
    rank = {split: place for place, (split, _) in enumerate(sizes.most_common())}
    ranks = np.array([rank[item.split] for item in items])
    stride = -(-(sizes.total() - max(sizes.values())) // _MAX_QUERIES) or 1
    best: dict[tuple[int, int], Pair] = {}
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
                    continue  # a known copy
                pair = _judge(items, maker.n_bits, (a, b), offset, start, last)
                if pair.doubt < best.get((a, b), _NO_PAIR).doubt:
                    best[a, b] = pair
    return sorted(best.values())


def _aligned(
    others: NDArray[np.int32], offsets: NDArray[np.intp], at: NDArray[np.intp]
) -> Iterator[tuple[int, int, int, int]]:
    """Yield recording, offset, first and last step of hits with a consistent offset."""
    order = np.lexsort((at, offsets, others))
    others, offsets, at = others[order], offsets[order], at[order]
    starts = np.flatnonzero(np.diff(others, prepend=-1) | np.diff(offsets, prepend=0))
    for start, stop in pairwise([*starts.tolist(), len(others)]):
        if at[stop - 1] > at[start]:
            yield int(others[start]), int(offsets[start]), int(at[start]), int(at[stop - 1])


def _judge(
    items: Sequence[Fingerprint],
    n_bits: int,
    pair: tuple[int, int],
    offset: int,
    first: int,
    last: int,
) -> Pair:
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
    return Pair(float(doubt), *pair, start, offset, stop - start)
