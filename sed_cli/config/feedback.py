"""What every rule of feedback has as a component."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from sed_cli.config.settings import Settings, setting


@dataclass
class FeedbackConfig(Settings, ABC):
    """A rule of feedback (:mod:`sed_cli.models.feedback`); which one, its ``name`` says."""

    KIND: ClassVar[str] = "feedback"

    name: str = setting()

    @property
    def serves_tokens(self) -> bool:
        """Whether it is a rule for tokens too."""
        return False
