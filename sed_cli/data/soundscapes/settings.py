"""Settings of a data set of soundscapes: plain, hashable, with their checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sed_cli.config.data import EVENT_CLASSES, SoundscapesConfig, soundscape_faults
from sed_cli.errors import ConfigError

GENERATOR_VERSION = 1
"""Increased whenever the same settings give other bytes, so that cached data sets are not mixed."""


_DEFAULT = SoundscapesConfig()


@dataclass(frozen=True, kw_only=True)
class SoundscapeSettings:
    """Settings of one generated data set. Durations in seconds, levels in decibel.

    Args:
        n_train: recordings of the training split, at least 0 (as for the other splits).
        n_validation: recordings of the validation split.
        n_test: recordings of the test split.
        duration_s: length of each recording, at least 1.
        sample_rate: in Hz, at least 8000.
        classes: which classes occur, without repetition; any sequence of names, without a bank of
            :data:`.EVENT_CLASSES`.
        polyphony: maximum number of simultaneous events, at least 1: each recording has one to
            ``polyphony`` independent chains of events, equally likely.
        snr_db: lowest and highest signal-to-noise ratio of an event: its mean power over the
            mean power of the background, both over the event's annotated interval.
        syntax_strength: 0 makes every class equally likely after every other, 1 allows only the two
            successors of each class.
        transition: rows and columns in the order of ``classes``: transition probabilities, each row
            a distribution. ``None``: random, see ``syntax_strength``.
        gap_s: range from which each class's typical silence after its events is drawn.
        event_duration_s: shortest and longest event: shorter ones are skipped, longer ones are cut
            to an excerpt. ``None``: unchanged.
        empty_fraction: probability that a recording has no events at all, in [0, 1].
        noise_slope: range of the exponent a of each background's power spectrum f**-a: 0 is
            white, 1 pink, 2 brown.
        seed: of the data set; at least 0.
        bank: fingerprint of the bank of the events; ``None``: they are synthesised.
        bank_pause_s: a longer silence within a clip ends an event.

    Raises:
        ConfigError: for invalid values; the message lists every fault.
    """

    n_train: int = _DEFAULT.n_train
    n_validation: int = _DEFAULT.n_validation
    n_test: int = _DEFAULT.n_test
    duration_s: float = _DEFAULT.duration_s
    sample_rate: int = _DEFAULT.sample_rate
    classes: tuple[str, ...] = EVENT_CLASSES
    polyphony: int = _DEFAULT.polyphony
    snr_db: tuple[float, float] = (_DEFAULT.snr_db[0], _DEFAULT.snr_db[1])
    syntax_strength: float = _DEFAULT.syntax_strength
    transition: tuple[tuple[float, ...], ...] | None = None
    gap_s: tuple[float, float] = (_DEFAULT.gap_s[0], _DEFAULT.gap_s[1])
    event_duration_s: tuple[float, float] | None = None
    empty_fraction: float = _DEFAULT.empty_fraction
    noise_slope: tuple[float, float] = (_DEFAULT.noise_slope[0], _DEFAULT.noise_slope[1])
    seed: int = _DEFAULT.seed
    bank: str | None = None
    bank_pause_s: float | None = None

    def __post_init__(self) -> None:
        # A config file gives lists, and 10 for 10.0: both must identify the same data set.
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in ("snr_db", "gap_s", "noise_slope", "event_duration_s"):
            if (pair := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(float(value) for value in pair))
        if self.transition is not None:
            rows = tuple(tuple(float(value) for value in row) for row in self.transition)
            object.__setattr__(self, "transition", rows)
        for name in ("duration_s", "syntax_strength", "empty_fraction", "bank_pause_s"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))
        if faults := soundscape_faults(self, ""):
            raise ConfigError(faults)

    @property
    def n_samples(self) -> int:
        """Samples in each recording."""
        return round(self.duration_s * self.sample_rate)

    def n_recordings(self, split: str) -> int:
        """Return the number of recordings of ``split``, one of :data:`SPLITS`."""
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}[split]

    def as_json(self) -> dict[str, Any]:
        """Return the settings as read back from JSON: lists instead of tuples.

        ``None`` is left out, so that data sets from before a setting existed keep their names.
        """
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in plain.items() if value is not None}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that identify the bytes of these settings."""
        named: Mapping[str, Any] = {"generator": GENERATOR_VERSION, **self.as_json()}
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]
