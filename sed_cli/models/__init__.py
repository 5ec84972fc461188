"""Models: plain arguments in, logits out; no configuration objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN
    from sed_cli.models.language import LanguageModel

__all__ = ["CRNN", "LanguageModel"]


def __getattr__(name: str) -> Any:
    """Import a model on access: their settings are read without torch."""
    if name == "CRNN":
        from sed_cli.models.crnn import CRNN

        return CRNN
    if name == "LanguageModel":
        from sed_cli.models.language import LanguageModel

        return LanguageModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
