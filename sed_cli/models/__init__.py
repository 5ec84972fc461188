"""Models: plain arguments in, logits out; no configuration objects."""

from __future__ import annotations

from sed_cli.models.crnn import CRNN

__all__ = ["CRNN"]
