"""The picture of calls holds a bar for each of many recordings no longer than these can be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from sed_cli.reports.calls import CallRates, draw_call_rates


def rates_of(n: int) -> CallRates:
    random = np.random.default_rng(0)
    return CallRates(
        classes=("cat", "dog"),
        counts=random.integers(0, 5, (2, n)),
        hours=random.uniform(0.1, 1, n),
        names=tuple(f"{number}.wav" for number in range(n)),
    )


@pytest.mark.parametrize(("n", "n_left", "n_joined"), [(10, 10, 1), (11, 6, 2), (95, 10, 10)])
def test_joined_recordings_have_all_events_and_hours(n: int, n_left: int, n_joined: int) -> None:
    rates = rates_of(n)
    joined = rates.joined(10)
    assert (len(joined.names), joined.n_joined) == (n_left, n_joined)
    assert joined.counts.sum(axis=1).tolist() == rates.counts.sum(axis=1).tolist()
    assert joined.hours.sum() == pytest.approx(rates.hours.sum())
    assert joined.counts[:, 0].tolist() == rates.counts[:, :n_joined].sum(axis=1).tolist()


def test_100_000_recordings_are_drawn_in_a_thousand_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    sizes: list[int] = []
    bar = Axes.bar

    def counted(self: Axes, places: np.ndarray, *values: object, **options: object) -> object:
        sizes.append(len(places))
        return bar(self, places[:3], values[0][:3], **options)  # type: ignore[index,arg-type]

    monkeypatch.setattr(Axes, "bar", counted)
    draw_call_rates(tmp_path / "calls.png", rates_of(100_000))
    assert sizes == [1000, 1000, 1000]
    assert (tmp_path / "calls.png").is_file()
