"""The base of feedback rules."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from sed_cli.config.settings import Settings, setting


@dataclass
class FeedbackConfig(Settings, ABC):
    """A feedback rule (:mod:`sed_cli.models.feedback`), selected by ``name``."""

    KIND: ClassVar[str] = "feedback"

    name: str = setting()

    @property
    def serves_tokens(self) -> bool:
        """Whether it supports tokens."""
        return False
