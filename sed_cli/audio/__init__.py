"""Audio files to waveforms, waveforms to features.

Names are imported lazily: settings of front ends are read without numpy, and reading files does
not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sed_cli.audio.facts import (
        AudioFacts,
        Signature,
        duration_s,
        inspect_audio,
        remember_audio,
        signature,
    )
    from sed_cli.audio.features import FrontEnd, LogMel
    from sed_cli.audio.files import AudioReader, Channels, audio_blocks, read_audio, read_excerpt
    from sed_cli.audio.limits import LOUDEST, fault_of_rate, fault_of_samples
    from sed_cli.audio.resampling import Resampler, resample
    from sed_cli.audio.stream import FeatureStream, feature_blocks

__all__ = [
    "LOUDEST",
    "AudioFacts",
    "AudioReader",
    "Channels",
    "FeatureStream",
    "FrontEnd",
    "LogMel",
    "Resampler",
    "Signature",
    "audio_blocks",
    "duration_s",
    "fault_of_rate",
    "fault_of_samples",
    "feature_blocks",
    "inspect_audio",
    "read_audio",
    "read_excerpt",
    "remember_audio",
    "resample",
    "signature",
]

_HOMES = {
    "facts": ("AudioFacts", "Signature", "duration_s", "inspect_audio", "remember_audio"),
    "features": ("FrontEnd", "LogMel"),
    "files": ("AudioReader", "Channels", "audio_blocks", "read_audio", "read_excerpt"),
    "limits": ("LOUDEST", "fault_of_rate", "fault_of_samples"),
    "resampling": ("Resampler", "resample"),
    "stream": ("FeatureStream", "feature_blocks"),
}
_LATER = {name: home for home, names in _HOMES.items() for name in names} | {"signature": "facts"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
