"""Faults of a configuration, gathered: each one line that says what to do."""

from __future__ import annotations

import math
from typing import Any


def is_usable(value: float) -> bool:
    """Whether a number can be computed with: finite, and not a count beyond all counts."""
    return abs(value) <= 2**53 if isinstance(value, int) else math.isfinite(value)


class Faults(list[str]):
    """Lines about what is wrong; ``group`` is the prefix of the keys, such as ``trainer.``."""

    def require(self, holds: bool, fault: str) -> None:
        """Note a fault unless a condition holds."""
        if not holds:
            self.append(fault)

    def ranges(self, group: str, config: Any, *keys: str) -> None:
        """Note pairs that are not the lower and the higher of two numbers."""
        for key in keys:
            pair = getattr(config, key)
            if not (len(pair) == 2 and -math.inf < pair[0] <= pair[1] < math.inf):
                self.append(f"{group}{key}={pair}: expected [lowest, highest]")
