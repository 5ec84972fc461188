"""sedtf: train, compare and use recurrent sound event detectors from the command line."""

from __future__ import annotations

__version__ = "0.2.0"
