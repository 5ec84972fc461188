"""How much data are needed: the curve over training audio, its extrapolation and uncertainty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.comparison import amounts
from sed_cli.comparison.amounts import PowerLaw, amount_of, drawn_curves, fit_curve
from sed_cli.comparison.compare import make_comparison
from sed_cli.comparison.figures import draw_comparison
from sed_cli.comparison.runs import find_runs
from sed_cli.reports import style
from tests.comparison.folders import counts_of, write_run
from tests.conftest import Sedtf

MINUTES = np.repeat([2.0, 4.0, 8.0, 16.0, 32.0], 2)
KNOWN = PowerLaw(0.1, 0.8, 0.5)
SHARES = (0.125, 0.25, 0.5, 1.0)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amounts, "N_DRAWN", 20)


def write_amounts(
    root: Path, shares: tuple[float, ...] = SHARES, sampler: str = "scheduled", **changes: Any
) -> None:
    """Runs of two seeds on parts of 32 minutes, with F1 on a known curve."""
    for share in shares:
        for seed in (0, 1):
            found = 100 * (1 - KNOWN.at(np.array(32 * share))) + 2 * seed
            write_run(
                root / f"{sampler}-{share}-{seed}",
                {"seed": seed, "data.train_share": share, "data.train_seed": seed, **changes},
                sampler="linear" if sampler == "linear" else "scheduled",
                choices={"sampler": sampler},
                given=["sampler", "seed", "data.train_share"],
                counts=counts_of(round(float(found)), 100, 100),
                train_minutes=32 * share,
                train_recordings=round(200 * share),
            )


def curves_in(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = make_comparison(find_runs([root]))["amounts"]
    return found


# --------------------------------------------------------------------------------- the fit


def test_a_known_curve_is_found_again() -> None:
    for known in (KNOWN, PowerLaw(0.0, 0.9, 0.2), PowerLaw(0.3, 0.5, 1.2)):
        assert fit_curve(MINUTES, known.at(MINUTES)) == pytest.approx(known, abs=1e-3)


def test_a_score_that_does_not_grow_is_predicted_to_stay() -> None:
    curve = fit_curve(MINUTES, np.full(len(MINUTES), 0.4))

    assert curve.at(np.array([128.0])) == pytest.approx([0.4], abs=1e-4)  # where the solver stops


def test_the_spread_of_drawn_curves_is_that_of_the_runs() -> None:
    noise = np.random.default_rng(0).normal(0, 1, len(MINUTES))

    def spread(size: float) -> float:
        errors = KNOWN.at(MINUTES) + size * noise
        drawn = drawn_curves(fit_curve(MINUTES, errors), MINUTES, errors)
        return float(np.std([curve.at(np.array(128.0)) for curve in drawn]))

    assert spread(0.0) < 1e-4
    assert 0.002 < spread(0.01) < 0.05
    assert spread(0.03) > 1.5 * spread(0.01)


# ------------------------------------------------------------------------- in a comparison


def test_what_more_audio_brings_is_predicted_from_the_runs(tmp_path: Path) -> None:
    write_amounts(tmp_path)

    (curve,) = curves_in(tmp_path)

    assert [size["minutes"] for size in curve["sizes"]] == [4, 8, 16, 32]
    assert [size["n"] for size in curve["sizes"]] == [2, 2, 2, 2]
    assert [size["amount"] for size in curve["sizes"]][-2:] == ["data.train_share=0.5", "all"]
    for each, minutes in zip(curve["fit"]["predicted"], (64, 128), strict=True):
        assert each["minutes"] == minutes
        # The counts of the fabricated runs are integers, and the second seed finds 2 in 100 more.
        assert each["score"] == pytest.approx(1.01 - KNOWN.at(np.array(minutes)), abs=0.02)
        assert each["low"] <= each["score"] <= each["high"]


def test_a_curve_is_drawn_for_each_setting_of_the_rest(tmp_path: Path) -> None:
    write_amounts(tmp_path)
    write_amounts(tmp_path, SHARES[1:], sampler="linear")

    by_name = {curve["name"]: curve for curve in curves_in(tmp_path)}

    assert set(by_name) == {"sampler=scheduled", "sampler=linear"}
    assert by_name["sampler=scheduled"]["fit"] is not None
    assert by_name["sampler=linear"]["fit"] is None
    assert by_name["sampler=linear"]["why_no_fit"].startswith("3 amounts")


def test_runs_that_draw_by_their_own_seed_are_one_row_an_amount(tmp_path: Path) -> None:
    write_amounts(tmp_path)

    rows = make_comparison(find_runs([tmp_path]))["rows"]

    assert len(rows) == len(SHARES)
    assert all(row["seeds"] == [0, 1] for row in rows)
    assert all(set(row["columns"]) == {"data.train_share"} for row in rows)


def test_draws_beside_the_seed_are_runs_of_one_amount(tmp_path: Path) -> None:
    for draw in (0, 1, 2):
        for share in (0.5, 1.0):
            changes = {"data.train_share": share, "data.train_seed": draw}
            write_run(tmp_path / f"{draw}-{share}", changes, train_minutes=share * 8 + draw)

    (curve,) = curves_in(tmp_path)

    assert [(size["minutes"], size["n"]) for size in curve["sizes"]] == [(5, 3), (9, 3)]


def test_parts_of_one_folder_are_the_same_set(tmp_path: Path) -> None:
    for share, fingerprint in ((0.5, "of half"), (1.0, "of all"), (None, "of all")):
        write_run(
            tmp_path / str(share),
            {"data.train_share": share, "data.root": "/birds"},
            data_fingerprint=fingerprint,
            train_minutes=4 * (share or 1),
        )

    comparison = make_comparison(find_runs([tmp_path]))

    assert comparison["differing"] == ["data.train_share"]
    (curve,) = comparison["amounts"]
    assert [(size["amount"], size["n"]) for size in curve["sizes"]] == [
        ("data.train_share=0.5", 1),
        ("all", 2),
    ]


def test_no_curve_is_fitted_to_runs_on_the_same_amount(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / str(seed), {"seed": seed}, train_minutes=3.0)

    assert make_comparison(find_runs([tmp_path]))["amounts"] is None


def test_an_amount_in_words() -> None:
    assert amount_of({"data.train_share": 1.0}) == amount_of({}) == "all"
    assert amount_of({"data.train_minutes": 3.0}) == "data.train_minutes=3"


def test_files_hold_what_is_predicted(
    tmp_path: Path, sedtf: Sedtf, capsys: pytest.CaptureFixture[str]
) -> None:
    write_amounts(tmp_path / "sweep")

    assert sedtf("compare", "runs=[sweep]", "output_dir=out") == 0

    (curve,) = json.loads(Path("out/comparison.json").read_text())["amounts"]
    ahead = curve["fit"]["predicted"][0]
    text = Path("out/comparison.md").read_text()
    assert "## frame F1 over training audio" in text
    said = f"{ahead['score']:.3f} [{ahead['low']:.3f}, {ahead['high']:.3f}]"
    assert f"| 2 times as much, predicted | 64.0 |  | {said} |" in text
    assert f"would be {said} with 64 min (2 times as much)" in capsys.readouterr().out


def test_the_picture_reaches_as_far_as_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_amounts(tmp_path)
    figures = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: figures.append(figure))

    draw_comparison(make_comparison(find_runs([tmp_path])), tmp_path / "figures")

    ((axes,),) = [f.axes for f in figures if "minutes" in f.axes[0].get_xlabel()]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "4", "8", "16", "32", "64", "128"
    ]  # fmt: skip
    (text,) = (text.get_text() for text in axes.figure.legends[0].get_texts())
    assert text.startswith("all runs\n2 times as much: 0.8")
    assert "4 times as much: 0.8" in text
    assert not [f for f in figures if f.axes[0].get_xlabel() == "data.train_share"]
