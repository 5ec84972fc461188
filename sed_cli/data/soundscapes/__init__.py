"""Procedurally generated soundscapes: the default data.

The way of a recording: an events source gives isolated events (:mod:`.sources`, synthesised by
:mod:`.voices`), a first-order syntax strings them into chains and places them in time
(:mod:`.scenes`), mixing lays them over a coloured background at given signal-to-noise ratios
(:mod:`.mixing`), and writing makes files and annotations of it (:mod:`.writing`).

Nothing here imports torch, so that worker processes start fast.
"""

from __future__ import annotations

from sed_cli.data.soundscapes.mixing import Mixture, mix_scene
from sed_cli.data.soundscapes.scenes import (
    PlacedEvent,
    Scene,
    Syntax,
    compose_scene,
    draw_syntax,
)
from sed_cli.data.soundscapes.settings import EVENT_CLASSES, SPLITS, SoundscapeSettings
from sed_cli.data.soundscapes.sources import EventSource, ProceduralEvents, SourceEvent
from sed_cli.data.soundscapes.writing import (
    compose_recording,
    syntax_of,
    write_soundscapes,
)

__all__ = [
    "EVENT_CLASSES",
    "SPLITS",
    "EventSource",
    "Mixture",
    "PlacedEvent",
    "ProceduralEvents",
    "Scene",
    "SoundscapeSettings",
    "SourceEvent",
    "Syntax",
    "compose_recording",
    "compose_scene",
    "draw_syntax",
    "mix_scene",
    "syntax_of",
    "write_soundscapes",
]
