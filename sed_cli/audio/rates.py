"""Whether recordings and features cover the same frequencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

FAR_ABOVE = 4  # times the rate of the features: 44.1 and 48 kHz at 16 kHz are usual


def band_faults(rates: Iterable[int], sample_rate: int, f_max: float | None) -> list[str]:
    """Describe recordings of which most of the band is dropped, or that leave most bands empty.

    Args:
        rates: of the recordings, in Hz.
        sample_rate: of the features, in Hz.
        f_max: upper edge of their highest band, in Hz; ``None``: half their rate.

    Returns:
        A clause a direction, with what to do; empty where the bands are alike.
    """
    counts = Counter(rates)
    top_hz = sample_rate / 2 if f_max is None else f_max
    above = [rate for rate in counts if rate > FAR_ABOVE * sample_rate]
    below = [rate for rate in counts if rate < top_hz]
    faults = []
    if above:
        faults.append(
            f"{_described(above, counts)}, features at {_khz(sample_rate)}: nothing above "
            f"{_khz(top_hz)} is heard; to hear it, train with feature.sample_rate={max(above)} "
            f"(feature.window_length, n_fft and hop_length are in samples: raise them as well)"
        )
    if below:
        faults.append(
            f"{_described(below, counts)}, features up to {_khz(top_hz)}: the mel bands above "
            f"{_khz(min(below) / 2)} are empty; train with feature.sample_rate={min(below)}, or "
            f"with recordings of one rate"
        )
    return faults


def _described(rates: list[int], counts: Counter[int]) -> str:
    n = sum(counts[rate] for rate in rates)
    low, high = min(rates), max(rates)
    span = _khz(low) if low == high else f"{low / 1000:g} to {_khz(high)}"
    return f"{n:,} recording{'' if n == 1 else 's'} at {span}"


def _khz(rate: float) -> str:
    return f"{rate / 1000:g} kHz"
