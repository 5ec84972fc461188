"""What a set of soundscapes is made of: plain, hashable settings with their checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sed_cli.data.soundscapes.voices import VOICES
from sed_cli.errors import ConfigError

SPLITS = ("train", "validation", "test")
"""The splits in the order in which their random streams are numbered."""

EVENT_CLASSES: tuple[str, ...] = tuple(sorted(VOICES))
"""Every class that can be synthesised, sorted."""

GENERATOR_VERSION = 1
"""Raised whenever the same settings would give other bytes, so that cached sets are not mixed."""

LOWEST_SAMPLE_RATE = 8000


@dataclass(frozen=True, kw_only=True)
class SoundscapeSettings:
    """Settings of one generated set. Durations in seconds, levels in decibel.

    Args:
        n_train: recordings of the training split, at least 0 (as for the other splits).
        n_validation: recordings of the validation split.
        n_test: recordings of the test split.
        duration_s: length of each recording, at least 1.
        sample_rate: in Hz, at least 8000.
        classes: which of :data:`EVENT_CLASSES` occur, without repetition; any sequence of names.
        polyphony: most events at once, at least 1: each recording has one to ``polyphony``
            independent chains of events, equally likely.
        snr_db: lowest and highest signal-to-noise ratio of an event: its mean power over the
            mean power of the background, both over the event's annotated interval.
        syntax_strength: 0 makes every class equally likely after every other (the past says
            nothing), 1 leaves only the two successors of each class.
        gap_s: range from which each class's typical silence after its events is drawn.
        empty_fraction: probability that a recording has no events at all, in [0, 1].
        noise_slope: range of the exponent a of each background's power spectrum f**-a: 0 is
            white, 1 pink, 2 brown.
        seed: names the set; at least 0.

    Raises:
        ConfigError: if a value cannot work; the message lists every fault.
    """

    n_train: int = 180
    n_validation: int = 40
    n_test: int = 60
    duration_s: float = 10.0
    sample_rate: int = 16000
    classes: tuple[str, ...] = EVENT_CLASSES
    polyphony: int = 2
    snr_db: tuple[float, float] = (-3.0, 15.0)
    syntax_strength: float = 0.85
    gap_s: tuple[float, float] = (0.2, 1.0)
    empty_fraction: float = 0.04
    noise_slope: tuple[float, float] = (0.0, 2.0)
    seed: int = 0

    def __post_init__(self) -> None:
        # A config file gives lists, and 10 for 10.0: both must name the same set.
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in ("snr_db", "gap_s", "noise_slope"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        for name in ("duration_s", "syntax_strength", "empty_fraction"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if faults := [*_faults_of_sizes(self), *_faults_of_classes(self), *_faults_of_ranges(self)]:
            raise ConfigError(faults)

    @property
    def n_samples(self) -> int:
        """Samples in each recording."""
        return round(self.duration_s * self.sample_rate)

    def n_recordings(self, split: str) -> int:
        """Return the number of recordings of ``split``, one of :data:`SPLITS`."""
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}[split]

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON would read them back: lists instead of tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that name the bytes these settings give."""
        named: Mapping[str, Any] = {"generator": GENERATOR_VERSION, **self.as_json()}
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


def _faults_of_sizes(settings: SoundscapeSettings) -> list[str]:
    lowest = {
        "n_train": 0,
        "n_validation": 0,
        "n_test": 0,
        "duration_s": 1.0,
        "sample_rate": LOWEST_SAMPLE_RATE,
        "polyphony": 1,
        "seed": 0,
    }
    return [
        f"{name}={getattr(settings, name)}: expected at least {bound}"
        for name, bound in lowest.items()
        # Written so that not-a-number counts as a fault.
        if not getattr(settings, name) >= bound
    ]


def _faults_of_classes(settings: SoundscapeSettings) -> list[str]:
    known = ", ".join(EVENT_CLASSES)
    if not settings.classes:
        return [f"classes is empty: name at least one of {known}"]
    faults = [
        f"classes names '{label}', which cannot be synthesised: choose from {known}"
        for label in settings.classes
        if label not in EVENT_CLASSES
    ]
    if len(set(settings.classes)) < len(settings.classes):
        faults.append(f"classes={list(settings.classes)} repeats a class: name each once")
    return faults


def _faults_of_ranges(settings: SoundscapeSettings) -> list[str]:
    faults = [
        f"{name}={getattr(settings, name)}: expected a number from 0 to 1"
        for name in ("syntax_strength", "empty_fraction")
        if not 0.0 <= getattr(settings, name) <= 1.0
    ]
    lowest = {"snr_db": -60.0, "gap_s": 0.0, "noise_slope": 0.0}
    highest = {"snr_db": 60.0, "gap_s": 60.0, "noise_slope": 4.0}
    for name, bound in lowest.items():
        pair = getattr(settings, name)
        if len(pair) != 2 or not bound <= pair[0] <= pair[1] <= highest[name]:
            faults.append(
                f"{name}={list(pair)}: expected two numbers, the lower one first, "
                f"from {bound:g} to {highest[name]:g}"
            )
    return faults
