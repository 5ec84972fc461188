"""Warnings about data that are valid but hard to learn from, with the remedy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from sed_cli.config.training import FeatureConfig
from sed_cli.data.manifest import Clip
from sed_cli.system.text import cut_short

_SHOWN = 6
_FEW = 0.05  # share of a class's events that may be shorter than a hop
_FRAMES_AN_EVENT = 3  # frames of a typical event


def short_events(training: Sequence[Clip], feature: FeatureConfig) -> list[str]:
    """Warn about classes with events shorter than a frame, or falling between two.

    Args:
        training: the training recordings.
        feature: settings of the features.
    """
    window_length = getattr(feature, "window_length", feature.hop_length)  # if it has one
    window_s = window_length / feature.sample_rate
    durations_s: dict[str, list[float]] = defaultdict(list)
    for clip in training:
        for event in clip.events:
            durations_s[event.label].append(event.offset_s - event.onset_s)
    short: dict[str, float] = {}
    for label, of_class in durations_s.items():
        median_s = float(np.median(of_class))
        n_missed = sum(duration_s < feature.hop_s - 1e-9 for duration_s in of_class)
        if median_s < window_s - 1e-9 or n_missed > _FEW * len(of_class):
            short[label] = median_s
    if not short:
        return []
    named = [f"{label} (typically {1000 * of:.0f} ms)" for label, of in sorted(short.items())]
    hop = max(1, round(min(short.values()) / _FRAMES_AN_EVENT * feature.sample_rate))
    hop = min(hop, feature.hop_length)
    return [
        f"events are short for frames of {1000 * window_s:.3g} ms every "
        f"{1000 * feature.hop_s:.3g} ms, which blur or miss them: "
        f"{cut_short(named, _SHOWN)}; set feature.hop_length={hop} "
        f"feature.window_length={min(2 * hop, window_length)} (samples), or less"
    ]


def lone_classes(splits: Mapping[str, Sequence[Clip]]) -> list[str]:
    """Warn about classes that occur in only one of several splits."""
    if len(splits) < 2:
        return []
    held: dict[str, set[str]] = defaultdict(set)
    for name, clips in splits.items():
        for clip in clips:
            for label in {*(event.label for event in clip.events), *(clip.tags or ())}:
                held[label].add(name)
    alone: dict[str, list[str]] = defaultdict(list)
    for label, names in sorted(held.items()):
        if len(names) == 1:
            alone[next(iter(names))].append(label)
    return [
        f"annotated only in the {name} split, and so {_MEANS.get(name, _UNLEARNT)}: "
        f"{cut_short(labels, _SHOWN)}; put recordings with it into the other splits "
        f"(data.split_seed draws again), or exclude it (data.classes)"
        for name, labels in alone.items()
    ]


_MEANS = {"train": "neither tuned nor scored"}
_UNLEARNT = "never learnt"
