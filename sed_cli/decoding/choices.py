"""What tuning chose for each class, and what that gained on validation: said by every decoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sed_cli.system.text import cut_short

log = logging.getLogger(__name__)

FEWEST_EVENTS = 10  # of a class in validation; fewer are warned of


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What tuning chose for a class, or for all of them together.

    Attributes:
        what: in words, such as ``threshold 0.42, filter of 5 frames``.
        reason: why; of a default why it was kept.
        n_events: of the class in validation.
        gain: F1 on validation over that of the default, by metric; ``None``: the default was kept.
    """

    what: str
    reason: str
    n_events: int
    gain: Mapping[str, float] | None = None

    @property
    def note(self) -> dict[str, Any]:
        """What ``tuning`` of a decoder's JSON holds."""
        gain = self.gain
        return {
            "kept": "default" if gain is None else "tuned",
            "reason": self.reason,
            "validation_events": self.n_events,
            "gain": None if gain is None else {key: round(of, 4) for key, of in gain.items()},
        }

    def __str__(self) -> str:
        """What was chosen, what that gained and why, in a line."""
        if self.gain is None:
            return f"{self.what}: {self.reason}"
        gains = ", ".join(f"{name} F1 {gain:+.3f}" for name, gain in self.gain.items())
        return f"{self.what}: {gains} on validation, {self.reason}"


def log_choices(labels: Sequence[str], choices: Sequence[Choice]) -> None:
    """Log what was chosen for each label, and which have too few events to choose anything by."""
    for label, choice in zip(labels, choices, strict=True):
        log.info("%s: %s", label, choice)
    few = [
        label
        for label, choice in zip(labels, choices, strict=True)
        if choice.n_events < FEWEST_EVENTS
    ]
    if few:
        log.warning(
            "validation holds fewer than %d events of %s: choices by F1 there, the best epoch and "
            "thresholds, are little better than chance; put more recordings into "
            "validation (a larger second number in data.split, or a longer validation list)",
            FEWEST_EVENTS,
            cut_short(few, 20),
        )
