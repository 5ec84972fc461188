"""Models with the sizes of their settings, unless a test needs others."""

from __future__ import annotations

from typing import Any

from sed_cli.config.registry import components
from sed_cli.models import CRNN, LanguageModel
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.models.kinds.language import LanguageConfig

RULES_WITHOUT_MEMORY = tuple(
    name for name, rule in components("feedback").items() if not rule().remembers
)


def make_crnn(*, n_mels: int, n_classes: int, **settings: Any) -> CRNN:
    """Build a detector's model."""
    return CRNNConfig(**settings).build(n_mels=n_mels, n_classes=n_classes)


def make_language_model(
    *, n_tokens: int, n_source_tokens: int | None = None, **settings: Any
) -> LanguageModel:
    """Build a sequence model."""
    return LanguageConfig(**settings).build(n_tokens=n_tokens, n_source_tokens=n_source_tokens)
