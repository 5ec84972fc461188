"""Faults of a configuration: one line each, with the remedy."""

from __future__ import annotations

import math
from typing import Any


def is_usable(value: float) -> bool:
    """Whether a number is usable: finite, and no absurdly large count."""
    return abs(value) <= 2**53 if isinstance(value, int) else math.isfinite(value)


class Faults(list[str]):
    """A list of faults; ``group`` is the prefix of the keys, such as ``trainer.``."""

    def require(self, holds: bool, fault: str) -> None:
        """Add a fault unless a condition holds."""
        if not holds:
            self.append(fault)

    def ranges(self, group: str, config: Any, *keys: str) -> None:
        """Add a fault for each pair that is not a lower and a higher number."""
        for key in keys:
            pair = getattr(config, key)
            if not (len(pair) == 2 and -math.inf < pair[0] <= pair[1] < math.inf):
                self.append(f"{group}{key}={pair}: expected [lowest, highest]")
