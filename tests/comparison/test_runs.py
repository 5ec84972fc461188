"""Runs read back from their folders: their settings, and the differences between them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sed_cli.comparison.runs import Run, columns, differing, find_runs, group_runs
from sed_cli.errors import UserError
from tests.comparison.folders import counts_of, write_run
from tests.conftest import Sedtf


def groups_of(*places: Path) -> list[Any]:
    return group_runs(find_runs(places))


def test_runs_are_found_below_any_folder_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (0, 2, 10, 9):
        write_run(tmp_path / "sweep" / str(number), {"seed": number})
    write_run(tmp_path / "other" / "deep" / "down")
    (tmp_path / "sweep" / "multirun.yaml").touch()

    runs = find_runs([tmp_path / "sweep", tmp_path / "sweep" / "2", tmp_path])

    assert [run.seed for run in runs] == [0, 2, 9, 10, 0]  # each once
    assert runs[0].folder == tmp_path / "sweep" / "0"
    assert all(run.trouble is None for run in runs)


def test_what_a_run_scored_is_what_it_wrote(tmp_path: Path) -> None:
    write_run(tmp_path / "run", counts=counts_of(3, 7, 5, subs=2))

    (run,) = find_runs([tmp_path])

    for scores in run.scores.values():
        assert scores.overall.tolist() == [4, 8, 6, 2]
        assert {k: v.tolist() for k, v in scores.per_class.items()} == {
            "cat": [3, 7, 5, 0],
            "dog": [1, 1, 1, 0],
        }


@pytest.mark.parametrize(
    ("status", "record", "reason"),
    [
        ("failed", {"error": "SedtfError: the loss became nan"}, "failed: SedtfError: the loss"),
        ("interrupted", {}, "interrupted"),
        ("running", {}, "running"),
    ],
)
def test_runs_that_did_not_finish_say_why(
    status: str, record: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    write_run(tmp_path / "run", status=status, **record)

    (run,) = find_runs([tmp_path])

    assert run.trouble is not None
    assert run.trouble.startswith(reason)
    assert run.settings["trainer.epochs"] == 25  # its settings are still known


def spoil_json(run: Path) -> None:
    (run / "run.json").write_text("{")


def take_metrics(run: Path) -> None:
    (run / "metrics.json").unlink()


def take_counts(run: Path) -> None:
    (run / "metrics.json").write_text(json.dumps({"frame": {"f1": 0.5}, "n_files": 3}))


def spoil_config(run: Path) -> None:
    (run / ".hydra" / "config.yaml").write_text(": [")


def take_record(run: Path) -> None:
    (run / "run.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_json, "cannot be read"),
        (take_metrics, "it had no test split"),
        (take_counts, "incomplete counts"),
        (spoil_config, "cannot be read"),
        (take_record, "never started"),
    ],
)
def test_a_spoilt_run_is_listed_and_stops_no_other(spoil: Any, reason: str, tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    spoil(write_run(tmp_path / "1"))

    good, bad = find_runs([tmp_path])

    assert good.trouble is None
    assert bad.trouble is not None
    assert reason in bad.trouble
    assert "\n" not in bad.trouble


def test_runs_of_other_verbs_are_skipped(tmp_path: Path) -> None:
    write_run(tmp_path / "train")
    write_run(tmp_path / "simulation", verb="simulate")
    started = write_run(tmp_path / "comparison")  # its own folder, before run.json exists
    (started / "run.json").unlink()
    (started / ".hydra" / "hydra.yaml").write_text(
        yaml.safe_dump({"hydra": {"job": {"name": "compare"}}})
    )

    assert [run.folder.name for run in find_runs([tmp_path])] == ["train"]


def test_places_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match=r"found no run of sedtf train or eval there or below"):
        find_runs([tmp_path])


# --------------------------------------------------------------------------- configurations


def test_seeds_folds_and_places_make_no_other_configuration(tmp_path: Path) -> None:
    for number, changes in enumerate(
        [
            {"seed": 1},
            {"seed": 2, "output_dir": "elsewhere", "device": "cuda"},
            {"seed": 3, "trainer.threads": 2, "data.cache_dir": "cache"},
            {"seed": 1, "resume": "elsewhere"},
        ]
    ):
        write_run(tmp_path / str(number), changes)

    (only,) = groups_of(tmp_path)

    assert [run.seed for run in only.runs] == [1, 2, 3, 1]
    assert columns([only]) == {}
    assert "seed" not in only.settings


def test_folds_are_read_apart(tmp_path: Path) -> None:
    for fold in (1, 2):
        write_run(tmp_path / str(fold), {"data.fold": fold}, data_fingerprint=f"of {fold}")

    (only,) = groups_of(tmp_path)

    assert [run.fold for run in only.runs] == ["1", "2"]


def test_the_same_recordings_elsewhere_are_the_same_and_others_are_not(tmp_path: Path) -> None:
    for name, root, fingerprint in (
        ("a", "/one", "0123456789"),
        ("b", "/two", "0123456789"),
        ("c", "/one", "9876543210"),
    ):
        run = write_run(tmp_path / name, data_fingerprint=fingerprint)
        values = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
        values["data"] = {"kind": "annotated", "root": root}
        (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(values))

    first, second = groups_of(tmp_path)

    assert [run.folder.name for run in first.runs] == ["a", "b"]
    assert columns([first, second]) == {"data.fingerprint": ["01234567", "98765432"]}


def test_a_run_from_before_a_key_existed_had_its_default(tmp_path: Path) -> None:
    write_run(tmp_path / "new")
    old = write_run(tmp_path / "old", {"seed": 1})
    values = yaml.safe_load((old / ".hydra" / "config.yaml").read_text())
    del values["evaluation"], values["trainer"]["grad_norm"]
    (old / ".hydra" / "config.yaml").write_text(yaml.safe_dump(values))

    assert len(groups_of(tmp_path)) == 1


def test_a_chosen_option_covers_what_comes_with_it(tmp_path: Path) -> None:
    write_run(tmp_path / "0", {"sampler.p": 0.0}, sampler="constant",
              choices={"sampler": "free_running"})  # fmt: skip
    write_run(tmp_path / "1", sampler="scheduled")
    write_run(tmp_path / "2", {"sampler.p": 1.0}, sampler="constant",
              choices={"sampler": "teacher_forcing"})  # fmt: skip

    groups = groups_of(tmp_path)

    assert columns(groups) == {"sampler": ["free_running", "scheduled", "teacher_forcing"]}
    assert "sampler.gamma" in differing(groups)


def test_what_was_set_beside_the_option_is_shown_too(tmp_path: Path) -> None:
    """A hidden key that changes along with another would be a confounder."""
    for number, (sampler, gamma, rate) in enumerate(
        [("scheduled", 0.1, 1e-3), ("tutorial", 0.3, 2e-3)]
    ):
        write_run(
            tmp_path / str(number),
            {"sampler.gamma": gamma, "trainer.lr": rate},
            choices={"sampler": sampler},
            given=["sampler", "sampler.gamma"],
        )

    assert columns(groups_of(tmp_path)) == {
        "sampler": ["scheduled", "tutorial"],
        "sampler.gamma": ["0.1", "0.3"],
        "trainer.lr": ["0.001", "0.002"],
    }


def test_a_key_is_shown_that_an_option_does_not_decide(tmp_path: Path) -> None:
    for number, (sampler, gamma) in enumerate(
        [("constant", None), ("scheduled", 0.1), ("scheduled", 0.3)]
    ):
        changes = {} if gamma is None else {"sampler.gamma": gamma}
        write_run(tmp_path / str(number), changes, sampler=sampler)

    assert columns(groups_of(tmp_path)) == {
        "sampler": ["constant", "scheduled", "scheduled"],
        "sampler.gamma": ["-", "0.1", "0.3"],
    }


def test_an_experiment_covers_all_that_it_sets(tmp_path: Path) -> None:
    for name, epochs, model in (("paper", 100, "crnn_paper"), ("smoke", 2, "crnn")):
        write_run(
            tmp_path / name,
            {"trainer.epochs": epochs},
            choices={"experiment": name, "model": model},
            given=["experiment"],
        )

    assert columns(groups_of(tmp_path)) == {"experiment": ["paper", "smoke"]}


def test_labels_of_folds_are_joined_by_name() -> None:
    from sed_cli.metrics.totals import DetectionScores

    one = DetectionScores(np.array([1, 2, 3, 0]), {"cat": np.array([1, 2, 3, 0])})
    two = DetectionScores(np.array([4, 4, 4, 0]), {"dog": np.array([1, 1, 1, 0]),
                                          "cat": np.array([3, 3, 3, 0])})  # fmt: skip

    both = one + two

    assert both.overall.tolist() == [5, 6, 7, 0]
    assert {k: v.tolist() for k, v in both.per_class.items()} == {
        "cat": [4, 5, 6, 0],
        "dog": [1, 1, 1, 0],
    }


def test_an_evaluation_is_its_training_with_other_settings(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    for name, setting in (("same", "split=test"), ("plain", "evaluation.tune=false")):
        assert sedtf("eval", "checkpoint=run", setting, f"output_dir={name}") == 0

    runs = find_runs([run, Path("same"), Path("plain")])
    same, plain = group_runs(runs)

    assert [run.folder.name for run in same.runs] == ["run", "same"]
    assert columns([same, plain]) == {"evaluation.tune": ["True", "False"]}
    assert isinstance(runs[0], Run)
    for kind, scores in runs[0].scores.items():
        assert scores.figures() == runs[1].scores[kind].figures()


def test_a_choice_within_a_group_covers_its_keys(tmp_path: Path) -> None:
    for name, decoder in (("a", "threshold"), ("b", "vote")):
        run = write_run(tmp_path / name)
        for path, change in (
            (run / ".hydra" / "config.yaml", {"decoder": {"name": decoder}}),
            (run / ".hydra" / "hydra.yaml", None),
        ):
            values = yaml.safe_load(path.read_text())
            if change is None:
                values["hydra"]["runtime"]["choices"]["evaluation/decoder"] = decoder
            else:
                values["evaluation"] = {**values.get("evaluation", {}), **change}
            path.write_text(yaml.safe_dump(values))
    found = columns(groups_of(tmp_path))
    assert found == {"evaluation/decoder": ["threshold", "vote"]}
