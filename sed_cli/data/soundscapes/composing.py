"""Composition of a recording: its scene and its mixture, each from its own seed."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from sed_cli.config.annotations import SPLITS
from sed_cli.data.soundscapes.mixing import Mixture, mix_scene
from sed_cli.data.soundscapes.scenes import Scene, Syntax, compose_scene, draw_syntax
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.sources import EventSource, ProceduralEvents

# First numbers of the spawn keys. Splits have separate streams, so they share no event, and a
# larger split starts with the recordings of a smaller one.
_SYNTAX_KEY = 0
_SPLIT_KEYS = {split: 1 + number for number, split in enumerate(SPLITS)}
_SCENE_KEY, _MIX_KEY = 0, 1


def compose_recording(
    settings: SoundscapeSettings, split: str, number: int, source: EventSource | None = None
) -> tuple[Scene, Mixture]:
    """Return the composition of recording ``number`` of ``split``, without writing it.

    Args:
        settings: of the data set.
        split: one of train, validation and test.
        number: from 0.
        source: of the events; ``None``: they are synthesised.
    """
    shortest_s, _ = settings.event_duration_s or (0.0, 0.0)
    scene = compose_scene(
        source or synthesised_events(settings),
        syntax_of(settings),
        split=split,
        n_samples=settings.n_samples,
        sample_rate=settings.sample_rate,
        polyphony=settings.polyphony,
        snr_db=settings.snr_db,
        empty_fraction=settings.empty_fraction,
        stream=_stream(settings, _SPLIT_KEYS[split], number, _SCENE_KEY),
        shortest_s=shortest_s,
    )
    rng = np.random.default_rng(_stream(settings, _SPLIT_KEYS[split], number, _MIX_KEY))
    return scene, mix_scene(scene, noise_slope=settings.noise_slope, rng=rng)


def synthesised_events(settings: SoundscapeSettings) -> ProceduralEvents:
    """Return the event source of a data set without a bank."""
    return ProceduralEvents(
        classes=settings.classes,
        sample_rate=settings.sample_rate,
        event_duration_s=settings.event_duration_s,
    )


@lru_cache(maxsize=8)
def syntax_of(settings: SoundscapeSettings) -> Syntax:
    """Return the class syntax of a data set, common to all splits: given, or from its seed."""
    drawn = draw_syntax(
        settings.classes,
        strength=settings.syntax_strength,
        gap_s=settings.gap_s,
        rng=np.random.default_rng(_stream(settings, _SYNTAX_KEY)),
    )
    if settings.transition is None:
        return drawn
    return replace(drawn, transition=np.array(settings.transition))


def _stream(settings: SoundscapeSettings, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(settings.seed, spawn_key=key)
