"""Limits of plausible audio: beyond them a header or a sample counts as damaged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sed_cli.system.limits import number_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST_RATE, HIGHEST_RATE = 100, 5_000_000
"""Sample rates in Hz: infrasound loggers and ultrasound hydrophones are well within."""

_MOST_CHANNELS = 256

BLOCK_FRAMES = 64
"""Frames per transform, always the same number at the same positions: transforms of other sizes
sum in another order, and a frame would depend on how its samples arrived."""
_LONGEST_H = 200.0
_VARIABLE, _CHANNELS_VARIABLE = "SEDTF_LONGEST_H", "SEDTF_MOST_CHANNELS"

FLOOR = 1e-10
"""Floor of the mel power before the logarithm: -100 dB."""

LOUDEST = 1e6
"""Largest magnitude of a sample, 120 dB above full scale: integers written as floats without
scaling (16 bits) pass, implausible values do not."""


def fault_of_rate(sample_rate: int) -> str | None:
    """Return the fault of a sample rate in Hz, or ``None``."""
    if LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        return None
    return f"a sample rate of {sample_rate} Hz, expected {LOWEST_RATE} to {HIGHEST_RATE}"


def longest_s() -> float:
    """Maximum duration of a recording in seconds: years of silence fit into a few megabytes.

    Raises:
        UserError: if the variable is not a number above 0.
    """
    return number_of(_VARIABLE, _LONGEST_H, "hours") * 3600


def fault_of_channels(n_channels: int) -> str | None:
    """Return the fault of a number of channels, or ``None``."""
    most = round(number_of(_CHANNELS_VARIABLE, _MOST_CHANNELS, "channels"))
    if n_channels <= most:
        return None
    return (
        f"{n_channels} channels, expected at most {most} "
        f"(the variable {_CHANNELS_VARIABLE} raises this limit)"
    )


def fault_of_length(duration_s: float) -> str | None:
    """Return the fault of a length in seconds, or ``None``."""
    longest = longest_s()
    if duration_s <= longest:
        return None
    return (
        f"{duration_s / 3600:,.0f} h of audio, expected at most {longest / 3600:g} "
        f"(the variable {_VARIABLE} raises this limit)"
    )


def fault_of_samples(samples: NDArray[Any]) -> str | None:
    """Return the fault of samples of any shape, full scale at -1 and 1, or ``None``."""
    if not samples.size:
        return None
    low, high = samples.min(), samples.max()  # both are NaN if any sample is
    if low >= -LOUDEST and high <= LOUDEST:
        return None
    if not (math.isfinite(low) and math.isfinite(high)):
        return "samples that are not finite"
    most = max(abs(float(low)), abs(float(high)))
    return f"samples of up to {most:.3g}, where full scale is 1 and {LOUDEST:,.0f} the limit"


def first_fault(samples: NDArray[Any]) -> int:
    """Index of the first of samples (n, n_channels) that :func:`fault_of_samples` rejects."""
    return int((abs(samples) <= LOUDEST).all(axis=1).argmin())
