"""Whether recordings and features cover the same frequencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

FAR_ABOVE = 4  # times the rate of the features: 44.1 and 48 kHz at 16 kHz are usual
ULTRASOUND = 96_000  # Hz; recorders of ultrasound have higher rates
_SHARE = 0.7  # share of the features' band: recordings that end below it lack much of that band


def band_faults(
    rates: Iterable[int], sample_rate: int, f_max: float | None, *, trained_hz: float | None = None
) -> list[str]:
    """Describe recordings that lose most of their band, or leave much of the features' band empty.

    Args:
        rates: of the recordings, in Hz.
        sample_rate: of the features, in Hz.
        f_max: upper edge of their highest band, in Hz; ``None``: half their rate.
        trained_hz: highest frequency in the recordings that a model was trained on; ``None``:
            ``f_max``.

    Returns:
        One clause per direction, with the remedy; empty if the bands match.
    """
    counts = Counter(rates)
    top_hz = sample_rate / 2 if f_max is None else f_max
    heard_hz = top_hz if trained_hz is None else min(trained_hz, top_hz)
    above = [rate for rate in counts if rate > FAR_ABOVE * sample_rate]
    below = [rate for rate in counts if rate / 2 < _SHARE * heard_hz]
    beyond = [rate for rate in counts if heard_hz < _SHARE * min(rate / 2, top_hz)]
    faults = []
    if above:
        experiment = "experiment=ultrasound " if max(above) > ULTRASOUND else ""
        faults.append(
            f"{_described(above, counts)}, features at {_khz(sample_rate)}: nothing above "
            f"{_khz(top_hz)} is used; to use it, train with {experiment}"
            f"feature.sample_rate={max(above)} "
            f"(feature.window_length, n_fft and hop_length are in samples: raise them as well)"
        )
    if below:
        faults.append(
            f"{_described(below, counts)}, features up to {_khz(heard_hz)}: the mel bands above "
            f"{_khz(min(below) / 2)} are empty, so the model's output is arbitrary; train with "
            f"feature.sample_rate={min(below)}, or with recordings at a single rate"
        )
    if beyond:
        faults.append(
            f"{_described(beyond, counts)}, trained on recordings without sound above "
            f"{_khz(round(heard_hz, -2))}: the model has never seen anything above; train with "
            f"such recordings, or with feature.f_max={heard_hz:.0f} (feature.sample_rate stays)"
        )
    return faults


def _described(rates: list[int], counts: Counter[int]) -> str:
    n = sum(counts[rate] for rate in rates)
    low, high = min(rates), max(rates)
    span = _khz(low) if low == high else f"{low / 1000:g} to {_khz(high)}"
    return f"{n:,} recording{'' if n == 1 else 's'} at {span}"


def _khz(rate: float) -> str:
    return f"{rate / 1000:g} kHz"
