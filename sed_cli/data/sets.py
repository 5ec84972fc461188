"""Data sets: from a configuration to recordings with features, activities and events."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sed_cli.data.annotations import Event
from sed_cli.data.cache import FeatureCache, StoredArray, cache_root
from sed_cli.data.catalogue import make_catalogue
from sed_cli.data.frames import events_to_activities
from sed_cli.schema import SPLITS, DataConfig, FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording with its features and what is annotated in it."""

    name: str
    path: Path
    duration_s: float
    log_mel: NDArray[np.float32] | StoredArray  # (T, M)
    activities: NDArray[np.uint8]  # (T, C)
    events: tuple[Event, ...]

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.log_mel)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The splits that were asked for, with the classes they share."""

    classes: tuple[str, ...]
    hop_s: float
    splits: dict[str, list[Recording]]
    fingerprint: str  # hash of all audio and annotations

    def statistics(self, split: str = "train") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each mel band over a split, each (M,)."""
        recordings = self.splits[split]
        count = sum(recording.n_frames for recording in recordings)
        mean = sum(np.sum(r.log_mel, axis=0, dtype=np.float64) for r in recordings) / count
        square = (
            sum(np.square(np.asarray(r.log_mel) - mean).sum(axis=0) for r in recordings) / count
        )
        return np.asarray(mean, np.float32), np.asarray(np.sqrt(square), np.float32)


def load_data(
    data: DataConfig,
    feature: FeatureConfig,
    *,
    splits: Sequence[str] = SPLITS,
    classes: Sequence[str] | None = None,
) -> DataSet:
    """Load a data set: list its recordings, compute or map their features.

    Args:
        data: the set.
        feature: settings of the features.
        splits: those wanted; one that the set does not have is left out.
        classes: labels to detect; ``None``: those the set names, else those of its training split.

    Returns:
        The data set; features come from the cache.

    Raises:
        DataError: for missing audio, faults in annotations, or labels that no class stands for.
    """
    catalogue = make_catalogue(data, splits=splits, classes=classes)
    cache = FeatureCache(cache_root(data.cache_dir), feature)
    content = hashlib.blake2b(digest_size=16)
    loaded: dict[str, list[Recording]] = {}
    for split, entries in catalogue.splits.items():
        loaded[split] = []
        for entry in tqdm(entries, desc=f"{split} features", leave=False, disable=None):
            log_mel, key = cache.load(entry.path)
            activities = events_to_activities(
                entry.events, catalogue.classes, len(log_mel), feature.hop_s
            )
            loaded[split].append(
                Recording(
                    name=entry.name,
                    path=entry.path,
                    duration_s=entry.duration_s,
                    log_mel=log_mel,
                    activities=activities,
                    events=entry.events,
                )
            )
            content.update(repr((split, entry.name, key, entry.events)).encode())
    return DataSet(
        classes=catalogue.classes,
        hop_s=feature.hop_s,
        splits=loaded,
        fingerprint=content.hexdigest(),
    )
