"""Models: plain arguments in, logits out; no configuration objects."""

from __future__ import annotations

from sed_cli.models.crnn import CRNN
from sed_cli.models.language import LanguageModel

__all__ = ["CRNN", "LanguageModel"]
