"""Each benchmark can still be imported, so the code that it measures has not moved."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "name", [*sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")), "study"]
)
def test_a_benchmark_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__


def test_the_study_knows_all_methods_and_settings_have_the_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    plan = importlib.import_module("benchmarks.study.plan")
    known = plan.methods()
    for scale in ("quick", "full"):
        made = plan.make_plan(scale, bank=Path("b"), birdsong=Path("d"), shuffled=Path("s"))
        for setting in made.settings:
            assert setting.methods[0] == plan.BASELINE
            assert set(setting.methods) <= set(known)
        assert len({setting.folder for setting in made.settings}) == len(made.settings)
    assert {method for setting in made.settings for method in setting.methods} == set(known)


def test_shuffled_notes_sound_as_before_and_lie_where_the_table_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    shuffled = importlib.import_module("benchmarks.study.shuffling").shuffled
    rate, labels = 1000, "abcdefgh"
    notes = [(0.1 + n, 0.3 + n + n / 20, label) for n, label in enumerate(labels)]
    audio = np.zeros(8000, dtype=np.float32)
    for value, (onset, offset, _) in enumerate(notes, start=1):
        audio[round(onset * rate) : round(offset * rate)] = value
    mixed, moved = shuffled(audio, rate, notes, np.random.default_rng(0))
    assert len(mixed) == len(audio)
    assert "".join(label for *_, label in moved) != labels
    assert sorted(label for *_, label in moved) == sorted(labels)
    for onset, offset, label in moved:
        within = mixed[round(onset * rate) : round(offset * rate)]
        assert (within == labels.index(label) + 1).all()
        assert len(within) == round((0.2 + labels.index(label) / 20) * rate)
    assert (mixed > 0).sum() == (audio > 0).sum()


def test_gains_are_paired_by_seed_and_their_interval_widens_with_the_comparisons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    results = importlib.import_module("benchmarks.study.results")
    shared = {"question": "syntax", "setting": "0", "decoder": "threshold", "runs": []}
    base = results.Row(
        **shared, method="no_feedback", scores={"frame F1": {0: 0.5, 1: 0.7, 2: 0.6, 3: 0.1}}
    )
    other = results.Row(
        **shared, method="scheduled", scores={"frame F1": {0: 0.52, 1: 0.73, 2: 0.61}}
    )
    found = results.gain(other, [other, base], "frame F1", 5)
    assert found.mean == pytest.approx(0.02)
    assert found.half == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)  # t table, 2 degrees
    assert found.half_of_all == pytest.approx(9.9248 * 0.01 / 3**0.5, rel=1e-4)  # at 1 %
    assert not found.is_certain
