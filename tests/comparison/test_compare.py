"""Comparing runs: folds by counts, seeds with their spread, differences from a baseline."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sed_cli.cli.run import complete
from sed_cli.comparison.compare import make_comparison
from sed_cli.comparison.runs import Run, find_runs
from sed_cli.errors import UserError
from sed_cli.reports import tables
from tests.comparison.folders import counts_of, write_run
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf


def f1_of(tp: int, n_ref: int, n_sys: int) -> float:
    return 2 * (tp + 1) / (n_ref + n_sys + 2)  # the other class has one event, and it is found


def compared(place: Path, **how: Any) -> dict[str, Any]:
    return make_comparison(find_runs([place]), **how)


def write_sweep(root: Path, gammas: tuple[float, ...] = (0.1, 0.3), seeds: int = 3) -> None:
    """Two training methods, one with several gammas; higher gamma finds more, and seeds differ."""
    number = 0
    for seed in range(seeds):
        write_run(
            root / str(number),
            {"seed": seed, "sampler.p": 0.0},
            sampler="constant",
            choices={"sampler": "free_running"},
            given=["sampler", "seed"],
            counts=counts_of(40 + 3 * seed, 100, 90),
        )
        number += 1
        for gamma in gammas:
            write_run(
                root / str(number),
                {"seed": seed, "sampler.gamma": gamma},
                given=["sampler.gamma", "seed"],
                counts=counts_of(round(44 + 40 * gamma) + 3 * seed + seed % 2, 100, 90),
                history=(0.1, 0.2 + gamma / 4, 0.3 + 0.01 * seed),
            )
            number += 1


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The runs of such a sweep."""
    root = tmp_path_factory.mktemp("swept")
    write_sweep(root)
    return find_runs([root])


# ------------------------------------------------------------------------------------ numbers


def test_folds_are_joined_by_counts_and_never_by_means(tmp_path: Path) -> None:
    folds = {"1": (1, 2, 2), "2": (10, 400, 20)}
    for fold, counts in folds.items():
        write_run(tmp_path / fold, {"data.fold": fold}, counts=counts_of(*counts))

    (row,) = (comparison := compared(tmp_path))["rows"]

    mean = np.mean([f1_of(*counts) for counts in folds.values()])
    joined = 2 * 13 / (402 + 22 + 4)
    for kind in ("frame", "segment", "event"):
        assert row["scores"][kind]["f1"]["mean"] == pytest.approx(joined, abs=1e-12)
    assert abs(joined - mean) > 0.2
    assert row["seeds"] == [0]
    assert comparison["folds"] == ["1", "2"]
    assert len(row["runs"]) == 2


def test_a_row_has_mean_and_interval_over_seeds(tmp_path: Path) -> None:
    found = {0: 40, 1: 50, 2: 45, 3: 61}
    for seed, tp in found.items():
        write_run(tmp_path / str(seed), {"seed": seed}, counts=counts_of(tp, 100, 90))

    (row,) = compared(tmp_path)["rows"]

    values = [f1_of(tp, 100, 90) for tp in found.values()]
    score = row["scores"]["event"]["f1"]
    half = 3.182446305 * np.std(values, ddof=1) / 2  # t of three degrees of freedom
    assert score["mean"] == pytest.approx(np.mean(values))
    assert (score["low"], score["high"]) == pytest.approx(
        (np.mean(values) - half, np.mean(values) + half)
    )
    assert list(score["by_seed"].values()) == pytest.approx(values)
    assert row["name"] == "all runs"


def test_differences_are_paired_and_only_over_seeds_of_both(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    write_run(tmp_path / "extra", {"seed": 9, "sampler.gamma": 0.3}, counts=counts_of(1, 100, 90))

    comparison = compared(tmp_path, baseline="free_running")

    rows = {row["name"]: row for row in comparison["rows"]}
    assert comparison["baseline"] == "sampler=free_running"
    assert rows["sampler=free_running"]["differences"] is None
    difference = rows["sampler=scheduled, gamma=0.3"]["differences"]["frame"]["f1"]
    own = [f1_of(56 + 3 * seed + seed % 2, 100, 90) for seed in range(3)]
    other = [f1_of(40 + 3 * seed, 100, 90) for seed in range(3)]
    assert difference["n"] == 3
    assert difference["mean"] == pytest.approx(np.mean(own) - np.mean(other))
    assert difference["p"] < 0.01  # 16, 17, 16 more of them, whatever the seed does
    assert difference["low"] > 0


def test_rows_are_sorted_by_the_metric(tmp_path: Path) -> None:
    write_sweep(tmp_path, gammas=(0.1, 0.9, 0.5))

    means = [row["scores"]["event"]["f1"]["mean"] for row in compared(tmp_path)["rows"]]

    assert means == sorted(means, reverse=True)
    assert len(means) == 4


def test_a_seed_without_all_folds_is_left_out_and_reported(tmp_path: Path) -> None:
    for seed, fold in ((0, "1"), (0, "2"), (1, "1"), (1, "2"), (2, "1")):
        write_run(tmp_path / f"{seed}-{fold}", {"seed": seed, "data.fold": fold})
    write_run(tmp_path / "2-2", {"seed": 2, "data.fold": "2"}, status="failed", error="X: broken")

    comparison = compared(tmp_path)

    (row,) = comparison["rows"]
    assert row["seeds"] == [0, 1]
    assert [run["reason"] for run in comparison["left_out"]] == ["failed: X: broken"]
    (note,) = comparison["notes"]
    assert "seed 2" in note
    assert "lacks fold 2" in note


def test_a_fold_that_never_completed_is_missed(tmp_path: Path) -> None:
    """Otherwise all seeds would be joined over the same incomplete folds, silently."""
    write_run(tmp_path / "1", {"data.fold": "1"})
    write_run(tmp_path / "2", {"data.fold": "2"}, status="failed", error="X: broken")

    with pytest.raises(UserError, match=r"none of 2 runs can be compared.*broken"):
        compared(tmp_path)


def test_of_two_runs_of_the_same_seed_the_later_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "a", counts=counts_of(9, 10, 9), started="2026-02-01T00:00:00+00:00")
    write_run(tmp_path / "b", counts=counts_of(1, 10, 9), started="2026-01-01T00:00:00+00:00")

    comparison = compared(tmp_path)

    (row,) = comparison["rows"]
    assert row["runs"] == [str(tmp_path / "a")]
    assert "the later one counts" in comparison["notes"][0]


def test_rows_scored_on_other_recordings_are_pointed_out(tmp_path: Path) -> None:
    for number, n_ref in enumerate((100, 70)):
        write_run(tmp_path / str(number), {"data.n_test": n_ref}, counts=counts_of(5, n_ref, 9))

    assert "they have 71 or 101 annotated events" in compared(tmp_path)["notes"][0]


# ----------------------------------------------------------------------------------- baseline


@pytest.mark.parametrize(
    "words",
    [
        "sampler=scheduled, gamma=0.3",
        "sampler.gamma=0.3",
        "gamma=0.3",
        "0.3",
        "scheduled 0.3",
    ],
)
def test_a_baseline_is_named_by_any_words_that_stand_for_one_row(
    words: str, swept: list[Run]
) -> None:
    comparison = make_comparison(swept, baseline=words)

    assert comparison["baseline"] == "sampler=scheduled, gamma=0.3"


def test_a_run_folder_names_the_row_that_it_belongs_to(swept: list[Run]) -> None:
    (fourth,) = (run.folder for run in swept if Path(run.folder).name == "4")

    comparison = make_comparison(swept, baseline=str(fourth))

    assert comparison["baseline"] == "sampler=scheduled, gamma=0.1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("scheduled", "several rows: expected one of sampler=scheduled, gamma=0.1; sampler=sched"),
        ("gamma=7", "no row: expected one of sampler=free_running; "),
    ],
)
def test_words_for_no_row_or_several_are_refused(words: str, said: str, swept: list[Run]) -> None:
    with pytest.raises(UserError, match=f"baseline={words} matches {said}"):
        make_comparison(swept, baseline=words)
    with pytest.raises(UserError, match="matches no row: there is a single row to compare; leave"):
        make_comparison(swept[:1], baseline="gamma=7")


# ------------------------------------------------------------------------- as a user meets it


@pytest.mark.slow
def test_a_sweep_of_24_runs_with_two_failed_ones(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    sweep = Path("sweep")
    write_sweep(sweep, gammas=(0.1, 0.2, 0.3, 0.5, 0.9), seeds=4)
    for number in (7, 20):
        record = json.loads((sweep / str(number) / "run.json").read_text())
        record |= {"status": "failed", "error": "SedtfError: the loss of update 2 became nan"}
        (sweep / str(number) / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr(tables, "_WIDTH", 80)

    assert sedtf("compare", "sweep", "baseline=free_running", "output_dir=out") == 0

    said = capfd.readouterr().out
    assert "2 of 24 runs left out" in said
    assert said.count("the loss of update 2 became nan") == 2
    table = said.split("mean ±")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in said
    comparison = json.loads(Path("out/comparison.json").read_text())
    assert len(comparison["rows"]) == 6
    assert sorted(len(row["seeds"]) for row in comparison["rows"]) == [3, 3, 4, 4, 4, 4]
    pictures = {path.name for path in Path("out/figures").glob("*.png")}
    assert pictures == {"learning_curves.png", "scores.png", "f1_over_sampler.gamma.png"}
    for name in pictures:
        with Image.open(Path("out/figures") / name) as picture:
            assert picture.width > 800
        assert (Path("out/figures") / name).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    record = json.loads(Path("out/run.json").read_text())
    assert (record["verb"], record["status"]) == ("compare", "completed")


def test_all_files_hold_the_same_table(sedtf: Sedtf) -> None:
    write_sweep(Path("sweep"))
    assert sedtf("compare", "sweep", "baseline=free_running", "output_dir=out") == 0
    comparison = json.loads(Path("out/comparison.json").read_text())

    with Path("out/comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    with Path("out/seeds.csv").open() as file:
        seeds = list(csv.DictReader(file))
    markdown = Path("out/comparison.md").read_text().splitlines()
    latex = Path("out/comparison.tex").read_text()

    assert len(seeds) == 9
    assert len(markdown) == 2 + 3
    assert latex.count(r"\\") == 1 + 3
    assert "free\\_running" in latex
    assert latex.count("&") == 4 * (markdown[0].count("|") - 2)
    for row, of_csv, line in zip(comparison["rows"], rows, markdown[2:], strict=True):
        assert of_csv["configuration"] == row["name"]
        # Epochs of 1 s have 10 updates.
        assert float(of_csv["learning_update_s_mean"]) == pytest.approx(0.1)
        for kind in ("frame", "event_onset"):
            score = row["scores"][kind]["er"]
            assert float(of_csv[f"{kind}_er_mean"]) == score["mean"]
            assert float(of_csv[f"{kind}_er_high"]) == score["high"]
        score = row["scores"]["frame"]["f1"]
        assert f"{score['mean']:.3f} ± {score['mean'] - score['low']:.3f}" in line
        if row["differences"]:
            difference = row["differences"]["frame"]["f1"]
            assert float(of_csv["frame_f1_difference_p"]) == difference["p"]
            assert f"{difference['mean']:+.3f}" in line
        else:
            assert of_csv["frame_f1_difference_mean"] == ""
            assert "baseline" in line
        own = [float(of["frame_f1"]) for of in seeds if of["configuration"] == row["name"]]
        assert own == list(score["by_seed"].values())


def test_more_keys_than_columns_are_listed_beneath(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["epochs", "batch_size", "lr", "patience", "grad_norm", "threads", "max_updates"]
    for number in range(3):
        changes = {f"trainer.{key}": number + 1 for key in keys}
        changes |= {f"data.{key}": number + 1 for key in ("n_train", "polyphony", "seed")}
        write_run(Path("sweep") / str(number), changes)
    monkeypatch.setattr(tables, "_WIDTH", 80)

    assert sedtf("compare", "sweep", "metric=event_onset", "output_dir=out") == 0

    out = capfd.readouterr().out
    assert max(len(line) for line in out.split("mean ±")[0].splitlines()) <= 80
    for number in (1, 2, 3):
        assert f"\n{number}: " in out
    assert "batch_size=3" in out


def test_folders_with_equals_signs_and_several_places_are_words(sedtf: Sedtf) -> None:
    for gamma in (0.1, 0.3):
        write_run(Path("sweep") / f"gamma={gamma},seed=0", {"sampler.gamma": gamma})
    write_run(Path("one run"), {"sampler.gamma": 0.9})

    places = ("sweep/gamma=0.1,seed=0", "sweep/gamma=0.3,seed=0", "one run")

    assert sedtf("compare", *places, "baseline=gamma=0.9", "output_dir=out") == 0
    rows = json.loads(Path("out/comparison.json").read_text())["rows"]
    assert {row["name"] for row in rows} == {"gamma=0.1", "gamma=0.3", "gamma=0.9"}
    assert {run for row in rows for run in row["runs"]} == set(places)


def test_the_shell_completes_folders_beside_keys(sedtf: Sedtf) -> None:
    write_run(Path("sweep") / "0")

    assert "sweep/" in complete("compare", [], "swe")
    assert "sweep/0/" in complete("compare", ["one", "metric=frame"], "sweep/")
    assert complete("compare", ["one"], "basel") == ["baseline="]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "no run is named: sedtf compare RUN"),
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "found no run of sedtf train or eval there or below"),
        (["runs", "metric=psds"], "metric=psds: expected one of frame"),
        (["runs", "baselin=x"], "did you mean baseline?"),
        (["runs", "baseline=x"], "baseline=x matches no row"),
        (["failed"], "none of 1 runs can be compared"),
    ],
)
def test_what_cannot_be_compared_is_reported_in_one_line(
    words: list[str], fault: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    write_run(Path("runs") / "0")
    write_run(Path("failed") / "0", status="interrupted")

    assert sedtf("compare", *words, "output_dir=out") == 2

    said = capfd.readouterr().err
    assert fault in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_real_sweep_with_a_failing_configuration_is_compared(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["seed=0,1", "trainer.lr=0.002,1e30", "output_dir=sweep"]
    assert sedtf("train", *TINY, *TINY_SOUNDSCAPES, *settings, multirun=True) == 1
    capfd.readouterr()

    assert sedtf("compare", "sweep", "metric=segment", "output_dir=out") == 0

    comparison = json.loads(Path("out/comparison.json").read_text())
    (row,) = comparison["rows"]
    assert row["runs"] == [f"sweep/seed={seed},trainer.lr=0.002" for seed in (0, 1)]
    left_out = [run["folder"] for run in comparison["left_out"]]
    assert left_out == [f"sweep/seed={seed},trainer.lr=1e+30" for seed in (0, 1)]
    assert all("became" in run["reason"] for run in comparison["left_out"])
    for seed, run in zip(("0", "1"), row["runs"], strict=True):
        metrics = json.loads((Path(run) / "metrics.json").read_text())
        for kind in ("frame", "segment", "event"):
            by_seed = row["scores"][kind]["f1"]["by_seed"]
            assert by_seed[seed] == metrics[kind]["f1"]
