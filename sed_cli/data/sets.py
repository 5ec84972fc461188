"""Data sets: from a configuration to recordings with features, activities and events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio.rates import band_faults
from sed_cli.config.annotations import SOURCES, SPLITS
from sed_cli.config.data import DataConfig, SoundscapesConfig
from sed_cli.config.training import FeatureConfig
from sed_cli.data.annotations import Event
from sed_cli.data.cache.features import FeatureCache
from sed_cli.data.cache.packs import StoredArray
from sed_cli.data.cache.upkeep import cache_root
from sed_cli.data.frames import Activities, SoftActivities
from sed_cli.data.manifest import Clip, Manifest, apart
from sed_cli.data.survey import load_manifest

log = logging.getLogger(__name__)

_BLOCK_FRAMES = 16_384  # read at once for the statistics


@dataclass(frozen=True, kw_only=True)
class Recording(Clip):
    """A clip with its features."""

    log_mel: NDArray[np.float32] | StoredArray  # (T, M)
    activities: NDArray[np.uint8] | Activities  # (T, C)
    unknown_frames: Activities | None = None  # marks unannotated frames; None: none
    held: Activities | None = None  # of a weakly labelled one: marks its classes
    pseudo_labels: SoftActivities | None = None  # targets of an unlabelled one
    content: str = ""  # hash of its file; empty without a file

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.log_mel)

    def known(self, frames: slice = slice(None)) -> NDArray[np.bool_] | None:
        """Where the activities of a range of frames are known (t, C); ``None``: everywhere.

        An annotated event is known, even if its class is not fully annotated.
        """
        if self.unknown_frames is None:
            return None
        known: NDArray[np.bool_] = (self.unknown_frames[frames] == 0) | (
            self.activities[frames] == 1
        )
        return known


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The requested splits, with their common classes."""

    classes: tuple[str, ...]
    hop_s: float
    splits: dict[str, list[Recording]]
    fingerprint: str  # hash of all audio and annotations

    @property
    def facts(self) -> dict[str, Any]:
        """Entry of ``run.json``, including the amount of training data."""
        facts: dict[str, Any] = {"data_fingerprint": self.fingerprint}
        for name in self.sources:
            recordings = self.splits[name]
            facts[f"{name}_recordings"] = len(recordings)
            facts[f"{name}_minutes"] = sum(each.duration_s for each in recordings) / 60
        return facts

    @property
    def sources(self) -> list[str]:
        """Names of the splits used for training: ``train``, and additional ones."""
        return [name for name in ("train", *SOURCES) if name in self.splits]

    @property
    def apart(self) -> dict[str, list[Recording]]:
        """The splits, with all training data as ``train``: no two may have a sound in common."""
        return apart(self.splits)

    def statistics(
        self, splits: Sequence[str] = ("train",)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each mel band over some splits, each (M,)."""
        count, mean, square = 0, np.zeros(1), np.zeros(1)
        for frames in _blocks(each for split in splits for each in self.splits[split]):
            total = count + len(frames)
            of_block = frames.mean(axis=0, dtype=np.float64)
            offset = of_block - mean
            # Sums of squares about a mean add up with the distance of the means (Chan et al. 1979).
            square = square + np.square(frames - of_block).sum(axis=0)
            square += np.square(offset) * (count * len(frames) / total)
            mean = mean + offset * (len(frames) / total)
            count = total
        return np.asarray(mean, np.float32), np.asarray(np.sqrt(square / count), np.float32)


def _blocks(recordings: Iterable[Recording]) -> Iterator[NDArray[np.float32]]:
    """Yield all frames, (t, M): long recordings in parts, short ones many at a time."""
    waiting: list[NDArray[np.float32]] = []
    n_frames = 0
    for recording in recordings:
        for first in range(0, recording.n_frames, _BLOCK_FRAMES):
            waiting.append(recording.log_mel[first : first + _BLOCK_FRAMES])
            n_frames += len(waiting[-1])
            if n_frames >= _BLOCK_FRAMES:
                yield np.concatenate(waiting)
                waiting, n_frames = [], 0
    if waiting:
        yield np.concatenate(waiting)


def load_data(
    data: DataConfig,
    feature: FeatureConfig,
    *,
    splits: Sequence[str] = SPLITS,
    classes: Sequence[str] | None = None,
) -> DataSet:
    """Load a data set: list its recordings, compute or map their features.

    Args:
        data: settings of the data set.
        feature: settings of the features.
        splits: the requested ones; missing ones are left out.
        classes: labels to detect; ``None``: those that the data set names, else those of its
            training split.

    Returns:
        The data set; features come from the cache.

    Raises:
        DataError: for missing audio, faults in annotations, or unknown labels.
    """
    manifest = load_manifest(data, splits=splits, classes=classes)
    clips = [clip for split in manifest.splits.values() for clip in split]
    rates = [clip.facts.sample_rate for clip in clips if clip.facts is not None]
    for fault in band_faults(rates, feature.sample_rate, getattr(feature, "f_max", None)):
        log.warning("%s", fault)
    return load_features(manifest, data, feature)


def load_features(manifest: Manifest, data: DataConfig, feature: FeatureConfig) -> DataSet:
    """Compute or map the features of the recordings of a manifest of ``data``.

    Raises:
        DataError: for audio that cannot be read to its end.
    """
    listed = [(split, clip) for split, clips in manifest.splits.items() for clip in clips]
    cache = FeatureCache(cache_root(data.cache_dir), feature, data.cache_limit_gb)
    # Soundscapes are generated: damaged ones must be generated again.
    salvages = not getattr(data, "strict", True) and not isinstance(data, SoundscapesConfig)
    all_stored = cache.load([clip.path for _, clip in listed], salvages=salvages)
    content = hashlib.blake2b(digest_size=16)
    loaded: dict[str, list[Recording]] = {split: [] for split in manifest.splits}
    for (split, as_listed), (log_mel, key) in zip(listed, all_stored, strict=True):
        clip = _as_decoded(as_listed, log_mel)
        frames = (manifest.classes, len(log_mel), feature.hop_s)
        loaded[split].append(
            Recording(
                **vars(clip),
                log_mel=log_mel,
                activities=Activities(clip.events, *frames),
                unknown_frames=_marked(clip.unknown, *frames) if clip.unknown else None,
                held=_held(clip, *frames),
                content=key,
            )
        )
        content.update(repr((split, clip.name, key, clip.events)).encode())
        if clip.unknown or clip.tags is not None:
            content.update(repr((clip.unknown, clip.tags)).encode())
    return DataSet(
        classes=manifest.classes,
        hop_s=feature.hop_s,
        splits=loaded,
        fingerprint=content.hexdigest(),
    )


def _marked(
    spans: Iterable[Event], classes: Sequence[str], n_frames: int, hop_s: float
) -> Activities:
    """Mark unannotated frames, including partly unannotated ones at the edges."""
    widened = (
        span._replace(onset_s=span.onset_s - hop_s, offset_s=span.offset_s + hop_s)
        for span in spans
    )
    return Activities(widened, classes, n_frames, hop_s)


def _held(clip: Clip, classes: Sequence[str], n_frames: int, hop_s: float) -> Activities | None:
    """Mark all frames of the classes of a weakly labelled recording."""
    if clip.tags is None:
        return None
    whole = (Event(0.0, clip.duration_s, tag) for tag in clip.tags)
    return _marked(whole, classes, n_frames, hop_s)


def _as_decoded(clip: Clip, log_mel: StoredArray) -> Clip:
    """Cut a recording and its events where decoding stopped within the file.

    The length by the file's structure, used for checking events, does not show this.
    """
    length_s = log_mel.heard.duration_s
    if log_mel.heard.loss is None or (clip.facts is not None and clip.facts.loss is not None):
        return clip
    log.warning("%s: %s; the decoded part is used", clip.path, log_mel.heard.loss)
    events = [
        event._replace(offset_s=min(event.offset_s, length_s))
        for event in clip.events
        if event.onset_s < length_s
    ]
    return replace(clip, duration_s=min(length_s, clip.duration_s), events=tuple(events))
