"""Published data sets as unpacked: their splits and folds, wherever the root is."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from sed_cli.config.data import PUBLISHED, PublishedConfig
from sed_cli.config.files import conf_dir
from sed_cli.data.survey import Manifest, load_manifest
from sed_cli.errors import DataError
from tests.conftest import TINY, Sedtf
from tests.data.published.worlds import MAKERS, write


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A root for each data set; must not be changed."""
    roots = {}
    for name, make in MAKERS.items():
        roots[name] = tmp_path_factory.mktemp(name)
        make(roots[name])
    return roots


def catalogue(name: str, root: Path, **values: Any) -> Manifest:
    return load_manifest(PublishedConfig(name=name, root=str(root), **values))


def stems(found: Manifest) -> dict[str, list[str]]:
    return {
        split: sorted(entry.path.stem for entry in entries)
        for split, entries in found.splits.items()
    }


def test_every_published_set_has_a_world_and_a_config() -> None:
    assert set(MAKERS) == set(PUBLISHED)
    assert set(PUBLISHED) <= {path.stem for path in (conf_dir() / "data").glob("*.yaml")}


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("tut2017", "desed_strong") else pytest.param(n, marks=pytest.mark.slow)
        for n in PUBLISHED
    ],
)
def test_each_set_is_trained_on_by_its_config(
    name: str, worlds: dict[str, Path], sedtf: Sedtf, tmp_path: Path
) -> None:
    settings = (*TINY, f"data={name}", f"data.root={worlds[name]}", "data.sequence_length=20")

    assert sedtf("train", *settings, "output_dir=run") == 0

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["n_files"] > 0
    if name == "tut2017":
        assert sedtf("eval", "checkpoint=run", "split=validation", "output_dir=scores") == 0


# ------------------------------------------------------------------------------------- TUT

TUT = ["tut2016_home", "tut2016_residential", "tut2017"]


@pytest.mark.parametrize("name", TUT)
def test_each_recording_is_tested_in_one_fold_and_never_trained_or_validated_on_there(
    name: str, worlds: dict[str, Path]
) -> None:
    folds = [stems(catalogue(name, worlds[name], fold=fold)) for fold in (1, 2, 3, 4)]

    everything = [f"a{number:03d}" for number in range(8)]
    assert sorted(stem for fold in folds for stem in fold["test"]) == everything
    for fold in folds:
        assert sorted(stem for split in fold.values() for stem in split) == everything
        assert len(fold["validation"]) == 1


@pytest.mark.parametrize("name", TUT)
def test_without_a_fold_the_evaluation_part_is_tested_on(
    name: str, worlds: dict[str, Path]
) -> None:
    found = catalogue(name, worlds[name])

    assert stems(found)["test"] == ["b001", "b002", "b003"]
    assert len(found.splits["train"]) + len(found.splits["validation"]) == 8
    # Decimal commas (2016), and rows with file and scene (2017).
    assert [(e.onset_s, e.offset_s) for e in found.splits["test"][0].events] == [
        (0.1, 0.3),
        (0.4, 0.6),
    ]


def test_the_classes_are_the_same_in_every_fold(worlds: dict[str, Path]) -> None:
    classes = {catalogue("tut2017", worlds["tut2017"], fold=fold).classes for fold in (1, 2, 3, 4)}

    assert classes == {("brakes squeaking", "car", "children")}


def test_the_root_may_be_the_unpacked_folder_itself_or_lie_above(
    worlds: dict[str, Path], tmp_path: Path
) -> None:
    above = tmp_path / "data" / "sets" / "tut"
    shutil.copytree(worlds["tut2017"], above)
    expected = stems(catalogue("tut2017", worlds["tut2017"]))

    for root in (above, above.parent, above / "TUT-sound-events-2017-development"):
        assert stems(catalogue("tut2017", root)) == expected


def test_a_missing_evaluation_part_is_reported(
    worlds: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = "TUT-sound-events-2017-development"
    shutil.copytree(worlds["tut2017"] / part, tmp_path / part)

    with caplog.at_level(logging.WARNING):
        found = catalogue("tut2017", tmp_path)

    assert set(found.splits) == {"train", "validation"}
    assert "choose data.fold=1,2,3,4" in caplog.text


# ------------------------------------------------------------------------------ generated


def test_mixtures_are_divided_as_published_with_or_without_the_lists(
    worlds: dict[str, Path], tmp_path: Path
) -> None:
    found = stems(catalogue("tut_synthetic_2016", worlds["tut_synthetic_2016"]))
    numbers = {
        split: [int(stem.rsplit("-", 1)[1]) for stem in of_split]
        for split, of_split in found.items()
    }
    assert numbers == {"train": [4, 5, 6, 7, 8, 9], "validation": [2, 3], "test": [0, 1]}

    root = tmp_path / "bare"
    shutil.copytree(worlds["tut_synthetic_2016"], root)
    shutil.rmtree(root / "TUT-SED-synthetic-2016" / "evaluation_setup")
    # By number the ten mixtures all belong to the test part: the others are missing.
    with pytest.raises(DataError, match="no mixture of the train and validation split"):
        catalogue("tut_synthetic_2016", root)


def test_backgrounds_of_urban_sed_are_no_events(worlds: dict[str, Path]) -> None:
    found = catalogue("urban_sed", worlds["urban_sed"])

    assert {split: len(entries) for split, entries in found.splits.items()} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    assert found.classes == ("dog_bark", "siren")


# ------------------------------------------------------------------------------------ DESED


def test_desed_trains_on_all_strong_labels_but_what_is_validated_on(
    worlds: dict[str, Path],
) -> None:
    found = stems(catalogue("desed_strong", worlds["desed_strong"]))

    assert found == {
        "train": ["0", "1", "2", "Ya_0_10"],
        "validation": ["Yb_0_10", "Yc_0_10"],
        "test": ["d_0_10", "e_0_10"],
    }


def test_desed_without_the_public_part_is_tested_as_the_baselines_are(
    worlds: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "desed"
    shutil.copytree(worlds["desed_strong"], root)
    shutil.rmtree(root / "dataset" / "audio" / "eval")

    found = stems(catalogue("desed_strong", root))

    assert (found["validation"], found["test"]) == (["0", "1"], ["Yb_0_10", "Yc_0_10"])


# ---------------------------------------------------------------------------------- MAESTRO


def test_soft_labels_are_thresholded_and_seconds_joined(worlds: dict[str, Path]) -> None:
    root = worlds["maestro_real"]

    found = catalogue("maestro_real", root, fold=1)
    strict = catalogue("maestro_real", root, fold=1, soft_threshold=0.75)

    assert found.classes == ("car", "coffee machine", "footsteps")
    (footsteps,) = [e for e in found.splits["test"][0].events if e.label == "footsteps"]
    assert (footsteps.onset_s, footsteps.offset_s) == (0.0, 2.0)
    (footsteps,) = [e for e in strict.splits["test"][0].events if e.label == "footsteps"]
    assert (footsteps.onset_s, footsteps.offset_s) == (0.0, 1.0)


def test_folds_of_maestro_are_those_published_and_files_beside_it_win(
    worlds: dict[str, Path], tmp_path: Path
) -> None:
    found = stems(catalogue("maestro_real", worlds["maestro_real"], fold=1))

    assert found["test"] == [
        "cafe_restaurant_04", "cafe_restaurant_07", "city_center_04", "city_center_11",
    ]  # fmt: skip
    assert found["validation"] == ["cafe_restaurant_08", "cafe_restaurant_11", "city_center_02"]

    root = tmp_path / "maestro"
    shutil.copytree(worlds["maestro_real"], root)
    for split, name in (("val", "city_center_07"), ("test", "city_center_02")):
        write(root / "development_folds" / f"fold2_{split}.csv", f"filename\ncity_center/{name}\n")
    found = stems(catalogue("maestro_real", root, fold=2))
    assert (found["validation"], found["test"]) == (["city_center_07"], ["city_center_02"])
    assert len(found["train"]) == 7


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_folder_that_does_not_hold_the_set_names_the_expected_files(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "something" / "else").mkdir(parents=True)

    with pytest.raises(DataError, match=f"contains no {name}: expected"):
        catalogue(name, tmp_path)


def test_a_recording_that_was_not_downloaded_is_named_or_left_out(
    worlds: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "urban"
    shutil.copytree(worlds["urban_sed"], root)
    next((root / "URBAN-SED_v2.0.0" / "audio" / "train").iterdir()).unlink()

    with pytest.raises(DataError, match="1 of 4 annotated recordings of the train split"):
        catalogue("urban_sed", root)
    assert len(catalogue("urban_sed", root, strict=False).splits["train"]) == 3


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("data=tut2017 data.fold=5", "tut2017 has folds 1 to 4"),
        ("data=urban_sed data.fold=1", "urban_sed has none"),
        ("data=tut2017 data.validation_share=1", "expected at least 0 and less than 1"),
        ("data=tut2017 data.leak_check=some", "expected one of all, copies, none"),
    ],
)
def test_settings_that_the_set_has_not_are_refused_before_the_job(
    setting: str, fault: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", *setting.split(), "data.root=.") == 2
    assert fault in capfd.readouterr().err
