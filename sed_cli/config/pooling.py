"""Checks of pooling factors against the number of features."""

from __future__ import annotations

import math

from sed_cli.config.faults import Faults

_MOST_BLOCKS = 64


def check_pooling(pooling: list[int], n_mels: int, prefix: str = "model.") -> list[str]:
    """Faults in pooling factors, also with regard to the number of mel bands."""
    faults = Faults()
    most = max(1, n_mels)
    if len(pooling) > _MOST_BLOCKS or any(factor > most for factor in pooling):
        faults.append(
            f"{prefix}pooling of {len(pooling)} factors: expected at most {_MOST_BLOCKS}, "
            f"none above the {n_mels} features per frame"
        )
        return faults
    faults.require(
        bool(pooling) and all(p >= 1 for p in pooling),
        f"{prefix}pooling={pooling}: expected a list of factors of at least 1, one per block",
    )
    product = max(1, math.prod(pooling))
    fitting = max(1, n_mels // product) * product
    faults.require(
        n_mels % product == 0,
        f"{n_mels} features per frame (mel bands: feature.n_mels={n_mels}) are not a multiple of "
        f"{product}, the product of {prefix}pooling={pooling}: some would be dropped; set "
        f"{prefix}pooling={_fitting_pooling(n_mels, len(pooling))}, or for mel bands "
        f"feature.n_mels={fitting}",
    )
    return faults


def _fitting_pooling(n_mels: int, n_blocks: int) -> list[int]:
    """Factors without a remainder, each of a usual size."""
    factors = []
    for _ in range(n_blocks):
        factors.append(next(f for f in (5, 4, 3, 2, 1) if n_mels % f == 0))
        n_mels //= factors[-1]
    return factors
