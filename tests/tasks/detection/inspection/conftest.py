"""Data sets of any number of classes, drawn from a chain, without audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.data.manifest import Clip, Manifest

MakeSet = Callable[..., Manifest]


@pytest.fixture
def make_set() -> MakeSet:
    """Return a function that draws a data set: each class has a favourite successor."""

    def make(
        n_classes: int,
        *,
        splits: tuple[str, ...] = ("train", "validation", "test"),
        n_files: int = 6,
        n_events: int = 40,
        overlapping: float = 0.3,
    ) -> Manifest:
        random = np.random.default_rng(n_classes)
        labels = tuple(f"class of things {n}" for n in range(n_classes))
        drawn = {
            split: [_recording(labels, n_events, overlapping, random) for _ in range(n_files)]
            for split in splits
        }
        return Manifest(classes=labels, splits=drawn)

    return make


def _recording(
    labels: tuple[str, ...], n_events: int, overlapping: float, random: np.random.Generator
) -> Clip:
    time_s, number, events = 0.0, 0, []
    for _ in range(n_events):
        duration_s = float(random.lognormal(-1.0, 0.5))
        events.append(Event(time_s, time_s + duration_s, labels[number]))
        step_s = duration_s * (0.5 if random.random() < overlapping else 1.0)
        time_s += step_s + float(random.exponential(0.2))
        favourite = (number + 1) % len(labels)
        number = favourite if random.random() < 0.7 else int(random.integers(len(labels)))
    end_s = max((event.offset_s for event in events), default=1.0)
    return Clip(name="x.wav", path=Path("x.wav"), duration_s=end_s, events=tuple(sorted(events)))
