"""Data sets from a bank: repeatable, named by the bank's content, reproduced by their recipe."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import SoundscapesConfig
from sed_cli.data.annotations import WRITTEN, read_annotations
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.data.soundscapes.recipe import RECIPE_FILE, check_bank, read_recipe
from sed_cli.data.soundscapes.writing import SOURCES_FILE
from sed_cli.data.survey import load_manifest
from sed_cli.errors import DataError
from tests.data.soundscapes.banks import fold_bank, write_clip
from tests.data.soundscapes.test_writing import digests

SMALL: dict[str, Any] = {
    "n_train": 4,
    "n_validation": 2,
    "n_test": 2,
    "duration_s": 2.0,
    "sample_rate": 8000,
    "polyphony": 2,
    "empty_fraction": 0.25,
}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fold_bank(tmp_path_factory.mktemp("bank") / "esc")


def config_of(folder: Path, **changes: Any) -> SoundscapesConfig:
    return SoundscapesConfig(**{**SMALL, "bank": str(folder), **changes})


@pytest.fixture(scope="module")
def written(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "set"
    generate_soundscapes(folder, plan_soundscapes(config_of(bank)), n_workers=1)
    return folder


def test_number_of_workers_does_not_change_a_byte(
    bank: Path, written: Path, tmp_path: Path
) -> None:
    generate_soundscapes(tmp_path / "set", plan_soundscapes(config_of(bank)), n_workers=2)
    assert digests(tmp_path / "set") == digests(written)


def test_sources_are_written_down_and_never_shared_by_splits(bank: Path, written: Path) -> None:
    with (written / SOURCES_FILE).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    annotated = {split: read_annotations(written / f"{split}.tsv").events for split in SPLITS}
    assert len(rows) == sum(len(e) for events in annotated.values() for e in events.values()) > 10
    sources: dict[str, set[str]] = {split: set() for split in SPLITS}
    for row in rows:
        events = annotated[row["split"]][row["filename"]]
        event = (float(row["onset"]), float(row["offset"]), row["event_label"])
        assert event in [tuple(e) for e in events]
        clip = row["source"].split("[")[0]
        assert (bank / clip).is_file()
        assert clip.startswith(row["event_label"])
        sources[row["split"]].add(clip.split("-")[1])
    assert not sources["train"] & sources["test"]
    assert not sources["train"] & sources["validation"]
    assert not sources["validation"] & sources["test"]


def test_the_recipe_rebuilds_the_same_bytes_from_a_moved_bank(
    bank: Path, written: Path, tmp_path: Path
) -> None:
    shutil.copytree(bank, tmp_path / "moved")
    write_clip(tmp_path / "moved" / "dog" / "1-999-A.wav")  # later additions change nothing
    text = (written / RECIPE_FILE).read_text(encoding="utf-8")
    moved = text.replace(str(bank), str(tmp_path / "moved"))
    (tmp_path / "recipe.json").write_text(moved, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.json")
    check_bank(recipe)
    generate_soundscapes(tmp_path / "set", recipe, n_workers=1)
    again = digests(tmp_path / "set")
    assert {**again, RECIPE_FILE: ""} == {**digests(written), RECIPE_FILE: ""}
    assert read_recipe(tmp_path / "set").sha256 == read_recipe(written).sha256


def test_a_bank_that_has_changed_is_refused_clip_by_clip(
    bank: Path, written: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(bank, tmp_path / "changed"))
    write_clip(changed / "dog" / "1-101-A.flac", seed=99)
    (changed / "cat" / "5-5-B.ogg").unlink()
    text = (written / RECIPE_FILE).read_text(encoding="utf-8")
    (tmp_path / "recipe.json").write_text(text.replace(str(bank), str(changed)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        check_bank(read_recipe(tmp_path / "recipe.json"))
    assert "1-101-A.flac: has changed (sha256 " in str(caught.value)
    assert "5-5-B.ogg: is missing" in str(caught.value)
    shutil.rmtree(changed)
    with pytest.raises(DataError, match=r"name its present folder with data.bank"):
        check_bank(read_recipe(tmp_path / "recipe.json"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: values.pop("settings"), "not a readable recipe"),
        (lambda values: values["settings"].update(polyphony=0), "polyphony=0"),
        (lambda values: values["settings"].update(poliphony=1), "poliphony"),
        (lambda values: values["bank"]["clips"].append({"file": "x"}), "not a readable recipe"),
        (lambda values: values.update(generator=99), "written by generator 99 of sedtf"),
        (lambda values: values.update(format="xyz"), "format 'xyz': expected one of desed"),
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(
    change: Any, expected: str, written: Path, tmp_path: Path
) -> None:
    values = json.loads((written / RECIPE_FILE).read_text(encoding="utf-8"))
    change(values)
    (tmp_path / "recipe.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_recipe(tmp_path / "recipe.json")
    assert expected in str(caught.value)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such recipe"):
        read_recipe(tmp_path / "nowhere.json")
    for text in ("", "[1, 2]", "null", "filename\tonset"):
        (tmp_path / "recipe.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="not a readable recipe"):
            read_recipe(tmp_path)


def test_a_set_is_named_by_the_content_of_its_bank_and_settings(bank: Path, tmp_path: Path) -> None:
    def name(**changes: Any) -> str:
        return plan_soundscapes(config_of(bank, **changes)).settings.fingerprint()

    copy = Path(shutil.copytree(bank, tmp_path / "copy"))
    assert name() == name(bank=str(copy))
    table = tmp_path / "splits.tsv"
    table.write_text("clip\tsplit\n1-1-A\ttrain\n", encoding="utf-8")
    others = {
        name(bank_pause_s=0.1),
        name(classes=["dog", "cat"]),
        name(bank_splits=str(table)),
        name(group="(.*)"),
        name(bank=None),
    }
    write_clip(copy / "dog" / "1-101-A.flac", seed=99)
    assert len({name(), name(bank=str(copy)), *others}) == 7


@pytest.mark.parametrize("format", sorted(WRITTEN))
def test_annotations_of_every_format_are_read_back_as_a_set(
    format: str, bank: Path, written: Path, tmp_path: Path
) -> None:
    recipe = plan_soundscapes(config_of(bank), format=format)
    generate_soundscapes(tmp_path / "set", recipe, n_workers=1)
    known = WRITTEN[format]
    events = {split: read_annotations(written / f"{split}.tsv").events for split in SPLITS}
    for split in SPLITS:
        for name, expected in events[split].items():
            path = tmp_path / "set" / f"{split}{known.ending}"
            if not known.names_files:
                folder = tmp_path / "set" / "annotations" / split
                path = folder / f"{Path(name).stem}{known.ending}"
                assert len(list(folder.iterdir())) == len(events[split])
            if not expected and not known.names_files:
                continue  # an empty file is of no format
            read = read_annotations(path).events
            key = next(key for key in read if Path(key).stem == Path(name).stem)
            assert [e.label for e in read[key]] == [e.label for e in expected]
            for ours, theirs in zip(read[key], expected, strict=True):
                assert ours.onset_s == pytest.approx(theirs.onset_s, abs=1e-4)
                assert ours.offset_s == pytest.approx(theirs.offset_s, abs=1e-4)


def test_training_takes_a_bank_and_generates_once(
    bank: Path, written: Path, tmp_path: Path
) -> None:
    config = config_of(bank, cache_dir=str(tmp_path))
    manifest = load_manifest(config)
    assert manifest.classes == ("cat", "dog", "owl")
    (folder,) = (tmp_path / "soundscapes").iterdir()
    assert digests(folder) == digests(written)
    audio = next(folder.rglob("*.flac"))
    before = audio.stat().st_mtime_ns
    load_manifest(config)
    assert audio.stat().st_mtime_ns == before
    assert list((tmp_path / "soundscapes").iterdir()) == [folder]


def test_sets_from_before_there_were_recipes_are_found(tmp_path: Path) -> None:
    config = SoundscapesConfig(**{**SMALL, "cache_dir": str(tmp_path)})
    load_manifest(config)
    (folder,) = (tmp_path / "soundscapes").iterdir()
    (folder / RECIPE_FILE).rename(folder / "settings.json")
    before = digests(folder)
    load_manifest(config)
    assert digests(folder) == before


def test_more_classes_than_polyphony_and_one_class_alone(bank: Path, tmp_path: Path) -> None:
    for name, changes in {"one": {"classes": ["owl"]}, "alone": {"polyphony": 1}}.items():
        generate_soundscapes(
            tmp_path / name, plan_soundscapes(config_of(bank, **changes)), n_workers=1
        )
        path = next((tmp_path / name / "audio" / "train").iterdir())
        assert soundfile.info(path).frames == 16000


def test_runs_that_start_together_generate_a_set_once(
    bank: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(bank, cache_dir=str(tmp_path / "cache"))
    # Locks belong to open files, so that threads wait for each other like processes.
    with caplog.at_level("INFO"), ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: load_manifest(config), range(3)))
    said = [record.getMessage() for record in caplog.records]
    assert sum("generating 8 soundscapes" in line for line in said) == 1
    assert made[0] == made[1] == made[2]
    assert not list((tmp_path / "cache" / "soundscapes").glob("*.lock"))
