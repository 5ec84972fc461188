"""Each benchmark can still be imported, so the code that it measures has not moved."""

from __future__ import annotations

import importlib
import json
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
    for scale in plan.SCALES:
        made = plan.make_plan(scale, bank=Path("b"), birdsong=Path("d"), shuffled=Path("s"))
        for setting in made.settings:
            assert setting.methods[0] == plan.BASELINE
            assert set(setting.methods) <= set(known)
        folders = {setting.folder for setting in made.settings}
        assert len(folders) == len(made.settings)
        for question, (_, *shared) in plan.SHARED.items():
            if any(setting.question == question for setting in made.settings):
                assert Path(*shared) in folders
    assert {method for setting in made.settings for method in setting.methods} == set(known)


def test_a_part_of_the_study_is_chosen_by_question_setting_and_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    make_plan = importlib.import_module("benchmarks.study.plan").make_plan
    plan = make_plan("evening", bank=None, birdsong=None, shuffled=None)
    chosen = importlib.import_module("benchmarks.study.__main__").chosen
    assert chosen(plan, None, None) == plan.settings
    assert {each.question for each in chosen(plan, "noise", None)} == {"noise"}
    assert [str(each.folder) for each in chosen(plan, "syntax/0.85", None)] == ["syntax/0.85"]
    # of the one setting that has it, with the baseline of all gains
    assert [each.methods for each in chosen(plan, None, "trace")] == [["no_feedback", "trace"]]
    assert chosen(plan, "noise", "no_feedback")[0].methods == ["no_feedback"]
    for only, methods, told in (("noises", None, "noise"), ("noise", "trace", "no method trace")):
        with pytest.raises(SystemExit, match=told):
            chosen(plan, only, methods)


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
    shared = {"question": "syntax", "setting": "0", "decoder": "threshold", "runs": {}}
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


def test_a_prediction_is_that_of_a_regression_and_widens_away_from_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    fit_line = importlib.import_module("benchmarks.study.prediction").fit_line
    line = fit_line([(0, 0.0), (0, 0.02), (2, 0.03), (2, 0.05)])
    assert line.slope == pytest.approx(0.015)
    assert line.at(1)[0] == pytest.approx(0.025)
    # Residuals of 0.01 each, two degrees of freedom, t of 4.3027.
    assert line.half_slope == pytest.approx(4.3027 * (4e-4 / 2) ** 0.5 / 4**0.5, rel=1e-4)
    assert line.at(1)[1] == pytest.approx(4.3027 * (4e-4 / 2 * 1.25) ** 0.5, rel=1e-4)
    assert line.at(4)[1] > line.at(0)[1] > line.at(1)[1]


@pytest.mark.usefixtures("drawn")
def test_the_page_has_a_gain_for_each_setting_and_marks_what_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    study = importlib.import_module("benchmarks.study.page")
    for setting, bits, gains in (("0", 0.0, (-0.1, 0.1, 0.0)), ("0.98", 2.3, (0.1, 0.11, 0.12))):
        _write_comparison(tmp_path / "study", setting, gains)
        syntax = {"overall": {"syntax": {"gain_bits": bits}}}
        file = tmp_path / "study" / "data" / "syntax" / setting / "seed=0" / "data.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(syntax), encoding="utf-8")
    page = tmp_path / "docs" / "study.md"
    page.parent.mkdir()
    study.write_page(tmp_path / "study", page, "quick")
    lines = page.read_text(encoding="utf-8").splitlines()
    uncertain, certain = (
        next(line for line in lines if line.startswith(f"| {of} | scheduled"))
        for of in ("0 | 0.00", "0.98 | 2.30")
    )
    assert "+0.000 ± " in uncertain
    assert "**" not in uncertain
    assert "**+0.110 ± " in certain
    assert any(line.startswith("| scheduled | threshold | 2 | 6 | +0.055 ± ") for line in lines)
    assert (tmp_path / "docs" / "images" / "study_gain_over_bits.png").is_file()
    listed = page.with_name("study_runs.csv")
    assert len(listed.read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2 * 3
    again = page.with_name("again.md")
    study.write_page(listed, again, "quick")
    assert again.with_name("again_runs.csv").read_bytes() == listed.read_bytes()
    of_again = again.read_text(encoding="utf-8").replace("again", "study")
    assert of_again == page.read_text(encoding="utf-8")


def test_runs_of_an_earlier_list_join_those_of_the_folder_which_replace_the_same_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    results = importlib.import_module("benchmarks.study.results")
    _write_comparison(tmp_path / "old", "0", (0.1, 0.2, 0.3))
    _write_comparison(tmp_path / "old", "0.98", (0.1, 0.2))
    _write_comparison(tmp_path / "new", "0", (0.4, 0.2))
    listed = tmp_path / "old_runs.csv"
    listed.write_text(results.as_csv(results.read_rows(tmp_path / "old")), encoding="utf-8")

    rows = results.read_rows(tmp_path / "new", listed)

    found = {(row.setting, row.method): row.scores["frame F1"] for row in rows}
    assert found.keys() == {(s, m) for s in ("0", "0.98") for m in ("no_feedback", "scheduled")}
    assert found["0", "scheduled"] == pytest.approx({0: 0.9, 1: 0.7, 2: 0.8})
    assert found["0.98", "scheduled"] == pytest.approx({0: 0.6, 1: 0.7})
    assert all(row.seeds == set(row.runs) for row in rows)


def _write_comparison(output: Path, setting: str, gains: tuple[float, ...]) -> None:
    """Write what ``sedtf compare`` leaves of two methods with a seed for each gain."""
    rows = []
    for method, own in (("no_feedback", (0.0,) * len(gains)), ("scheduled", gains)):
        by_seed = {str(seed): 0.5 + each for seed, each in enumerate(own)}
        runs = []
        for seed in by_seed:
            folder = output / "syntax" / setting / f"{method},{seed}"
            folder.mkdir(parents=True)
            record = {"seed": int(seed), "config_hash": f"{method}{seed}", "commit": None}
            (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
            runs.append(str(folder))
        scores = {
            "frame": {"f1": {"by_seed": by_seed}},
            "event": {"f1": {"by_seed": by_seed}},
            "syllable_error_rate": {"rate": {"by_seed": by_seed}},
        }
        columns = {"experiment": f"study/{method}"}
        rows.append({"columns": columns, "runs": runs, "scores": scores})
    file = output / "comparisons" / "syntax" / setting / "comparison.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"rows": rows}), encoding="utf-8")


def test_the_table_of_syllables_has_means_intervals_and_each_draw(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    syllables = importlib.import_module("benchmarks.syllables")
    runs = []
    for draw, rate in enumerate((0.02, 0.04)):
        runs.append(tmp_path / str(draw))
        runs[-1].mkdir()
        metrics = {
            "syllable_error_rate": {"rate": rate},
            "bin_accuracy": {"accuracy": 0.98},
            "frame": {"f1": 0.97},
        }
        for name, values in (
            ("metrics", metrics),
            ("spent", {"cpu_s": 90.0}),
            ("run", {"train_minutes": 0.5 + draw / 10}),
        ):
            (runs[-1] / f"{name}.json").write_text(json.dumps(values))

    row = syllables.row_of(0.5, runs)

    # of two draws: their mean, and 12.706 standard errors, the t value with one degree of freedom
    assert row["syllable error"] == "0.0300 ± 0.1271"
    assert row["syllable error, each"] == "0.0200 0.0400"
    assert row["seconds of song"] == "30 to 36"
    assert row["CPU minutes"] == 1.5
