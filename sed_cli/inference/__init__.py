"""Trained detectors: load one, apply it to audio."""

from __future__ import annotations

from sed_cli.inference.checkpoint import load, read_config, resolve_checkpoint, save_checkpoint
from sed_cli.inference.detector import Detector
from sed_cli.inference.postprocessing import PostProcessing
from sed_cli.inference.streaming import DetectorStream
from sed_cli.inference.tracking import StreamEvent

__all__ = [
    "Detector",
    "DetectorStream",
    "PostProcessing",
    "StreamEvent",
    "load",
    "read_config",
    "resolve_checkpoint",
    "save_checkpoint",
]
