"""Choices of tuning for each class, with their gain on validation, for all decoders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sed_cli.system.text import cut_short

log = logging.getLogger(__name__)

FEWEST_EVENTS = 10  # events of a class in validation; fewer give a warning


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Choice of tuning for a class, or for all classes.

    Attributes:
        what: the choice in words, such as ``threshold 0.42, filter of 5 frames``.
        reason: why it was chosen, or why the default was kept.
        n_events: of the class in validation.
        gain: gain in F1 on validation over the default, by metric; ``None``: the default was kept.
    """

    what: str
    reason: str
    n_events: int
    gain: Mapping[str, float] | None = None

    @property
    def note(self) -> dict[str, Any]:
        """Entry of ``tuning`` in a decoder's JSON."""
        gain = self.gain
        return {
            "kept": "default" if gain is None else "tuned",
            "reason": self.reason,
            "validation_events": self.n_events,
            "gain": None if gain is None else {key: round(of, 4) for key, of in gain.items()},
        }

    def __str__(self) -> str:
        """Choice, gain and reason in one line."""
        if self.gain is None:
            return f"{self.what}: {self.reason}"
        gains = ", ".join(f"{name} F1 {gain:+.3f}" for name, gain in self.gain.items())
        return f"{self.what}: {gains} on validation, {self.reason}"


def log_choices(labels: Sequence[str], choices: Sequence[Choice]) -> None:
    """Log the choice for each label, and labels with too few events for a choice."""
    for label, choice in zip(labels, choices, strict=True):
        log.info("%s: %s", label, choice)
    few = [
        label
        for label, choice in zip(labels, choices, strict=True)
        if choice.n_events < FEWEST_EVENTS
    ]
    if few:
        log.warning(
            "validation has fewer than %d events of %s: choices by F1 there, such as the best "
            "epoch and thresholds, are little better than chance; put more recordings into "
            "validation (a larger second number in data.split, or a longer validation list)",
            FEWEST_EVENTS,
            cut_short(few, 20),
        )
