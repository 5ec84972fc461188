"""``sedtf data`` as a user runs it: on good, faulty and nearly empty data sets."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import write_annotations
from sed_cli.data.survey import load_manifest
from sed_cli.errors import DataError
from tests.conftest import TINY_SOUNDSCAPES, Sedtf, what_it_imports


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def faulty(recordings: Path, tmp_path: Path) -> Path:
    """The recordings with missing, damaged or copied files, and faulty rows."""
    root = shutil.copytree(recordings, tmp_path / "faulty")
    (root / "audio" / "test_0.wav").unlink()
    (root / "audio" / "test_1.flac").write_bytes(b"fLaC, but no more")
    shutil.copy(root / "audio" / "train_2.ogg", root / "audio" / "validation_2.ogg")
    with (root / "train.tsv").open("a") as file:
        file.write("train_0.wav\t2.0\t1.0\tlow\n")
        file.write("train_0.wav\t2.0\t9.0\thigh\n")
    with (root / "validation.tsv").open("a") as file:
        file.write("validation_0.wav\t1.0\t2.0\tzebra\n")
    return root


def test_default_data_are_described(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str], drawn: None
) -> None:
    assert sedtf("data", *TINY_SOUNDSCAPES, "output_dir=run") == 0
    out = capfd.readouterr().out
    found = read_json(tmp_path / "run" / "data.json")

    assert found["overall"]["n_files"] == 12
    assert found["overall"]["hours"] == pytest.approx(12 * 4.0 / 3600, abs=1e-6)
    assert list(found["splits"]) == ["train", "validation", "test"]
    assert "FLAC PCM_16" in out
    assert all(label in out for label in found["classes"])
    assert read_json(tmp_path / "run" / "run.json")["status"] == "completed"
    with Image.open(tmp_path / "run" / "figures" / "data.png") as image:
        image.verify()


def test_a_part_of_the_training_split_is_described_as_it_is_trained_on(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("data", *TINY_SOUNDSCAPES, "data.train_minutes=0.1", "output_dir=run") == 0
    found = read_json(tmp_path / "run" / "data.json")

    assert found["splits"]["train"]["n_files"] == found["subset"]["n_kept"] == 2  # 4 s each
    assert found["subset"]["minutes_kept"] == pytest.approx(8 / 60)
    assert f"2 of {found['subset']['n_all']} recordings" in capfd.readouterr().out


def test_files_and_classes_are_those_of_the_tables(
    sedtf: Sedtf, recordings: Path, tmp_path: Path
) -> None:
    root = f"data.root={recordings}"
    assert sedtf("data", "data=annotated", root, "output_dir=run") == 0
    found = read_json(tmp_path / "run" / "data.json")
    files = read_csv(tmp_path / "run" / "recordings.csv")
    classes = read_csv(tmp_path / "run" / "classes.csv")

    assert [row["name"] for row in files] == [
        *(f"train_{n}.{e}" for n, e in enumerate(["wav", "flac", "ogg"] * 2)),
        *(f"validation_{n}.{e}" for n, e in enumerate(["wav", "flac", "ogg"])),
        *(f"test_{n}.{e}" for n, e in enumerate(["wav", "flac", "ogg"])),
    ]
    assert {(row["sample_rate"], row["n_channels"]) for row in files} == {
        ("8000", "1"),
        ("44100", "2"),
        ("22050", "1"),
    }
    rows = sum(
        len((recordings / f"{split}.tsv").read_text().splitlines()) - 1
        for split in ("train", "validation", "test")
    )
    assert found["overall"]["n_events"] == rows - 1  # one row is a file without events
    assert sum(int(row["n_events"]) for row in files) == rows - 1
    assert sum(int(row["n_events"]) for row in classes if row["split"] == "all") == rows - 1
    assert read_csv(tmp_path / "run" / "faults.csv") == []


def test_a_faulty_set_is_described_and_then_refused(
    sedtf: Sedtf, faulty: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], drawn: None
) -> None:
    set_of = ("data=annotated", f"data.root={faulty}")
    assert sedtf("data", *set_of, "n_faults=4", "output_dir=run") == 2
    out, err = capfd.readouterr()
    rows = read_csv(tmp_path / "run" / "faults.csv")

    assert read_json(tmp_path / "run" / "data.json")["splits"]["train"]["n_files"] == 6
    assert (tmp_path / "run" / "figures" / "data.png").is_file()
    assert len(rows) == 5
    last = len((faulty / "train.tsv").read_text().splitlines())
    assert {(Path(row["path"]).name, row["line"]) for row in rows} >= {
        ("train.tsv", str(last - 1)),
        ("train.tsv", str(last)),
    }
    assert "1 file in two splits" in out
    assert "- train_2.ogg (train), validation_2.ogg (validation)" in out
    for told in ("test_0.wav", "test_1.flac", "is not after onset", "lasts 3.000 s"):
        assert told in out
    assert "zebra" not in out  # the last in the order of files
    assert "and 1 more in faults.csv" in out
    complaints = [line for line in err.splitlines() if line.startswith("sedtf: ")]
    assert len(complaints) == 1
    assert "for 5 faults" in complaints[0]
    assert read_json(tmp_path / "run" / "run.json")["status"] == "failed"


def test_repaired_faults_are_shown_and_accepted_as_by_training(
    sedtf: Sedtf, faulty: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ("data.strict=false", "data.leak_check=none")  # one of its faults is a copied file
    assert sedtf("data", "data=annotated", f"data.root={faulty}", *settings) == 0
    assert "5 faults" in capfd.readouterr().out
    load_manifest(AnnotatedConfig(root=str(faulty), strict=False))
    with pytest.raises(DataError):
        load_manifest(AnnotatedConfig(root=str(faulty)))


def test_a_split_that_cannot_be_read_hides_no_other(
    sedtf: Sedtf, recordings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    set_of = ("data=annotated", f"data.root={recordings}", "data.train.annotations=nowhere.tsv")
    assert sedtf("data", *set_of, "output_dir=run") == 2
    assert "no such annotation file (data.train.annotations)" in capfd.readouterr().out
    found = read_json(tmp_path / "run" / "data.json")
    assert list(found["splits"]) == ["validation", "test"]
    assert found["classes"] == ["high", "low"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("data.root=nowhere",), "nowhere: no such folder"),
        (("data.root=.",), "contains no recordings"),
        (("data.root=.", "sequence_gap_s=-1"), "sequence_gap_s=-1.0: expected at least 0"),
        (("data.root=.", "sequence_gap=1"), "did you mean sequence_gap_s?"),
    ],
)
def test_nothing_to_describe_is_reported_in_one_line(
    overrides: tuple[str, ...], told: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("data", "data=annotated", *overrides) == 2
    out, err = capfd.readouterr()
    assert out == ""
    (complaint,) = err.splitlines()
    assert told in complaint


def test_a_set_without_splits_is_refused(
    sedtf: Sedtf, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    none = (f"data.{split}=null" for split in ("train", "validation", "test"))
    assert sedtf("data", "data=annotated", f"data.root={recordings}", *none) == 2
    assert "sedtf: the data set has no split" in capfd.readouterr().err


def test_a_set_that_is_divided_here_is_described(
    sedtf: Sedtf, recordings: Path, tmp_path: Path
) -> None:
    set_of = ("data=annotated", f"data.root={recordings}", "data.annotations=train.tsv")
    assert sedtf("data", *set_of, "data.audio=audio", "output_dir=run") == 0
    found = read_json(tmp_path / "run" / "data.json")
    assert list(found["splits"]) == ["train", "validation", "test"]
    assert found["overall"]["n_files"] == 6


def test_a_set_without_events_is_described_and_refused(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set" / "audio").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        soundfile.write(tmp_path / "set" / "audio" / f"{split}.wav", np.zeros(800), 8000)
        write_annotations(tmp_path / "set" / f"{split}.tsv", {f"{split}.wav": []})

    assert sedtf("data", "data=annotated", "data.root=set", "output_dir=run") == 2
    out, err = capfd.readouterr()
    assert "train contains no event" in out
    assert "no event to learn from" in err
    assert read_json(tmp_path / "run" / "data.json")["overall"]["n_empty_files"] == 3


def test_a_single_split_is_no_fault_and_a_silence_ends_sequences(
    sedtf: Sedtf, recordings: Path, tmp_path: Path
) -> None:
    set_of = ("data=annotated", f"data.root={recordings}", "data.train=null", "data.test=null")
    assert sedtf("data", *set_of, "sequence_gap_s=0", "output_dir=run") == 0
    found = read_json(tmp_path / "run" / "data.json")
    assert list(found["splits"]) == ["validation"]
    assert found["overall"] == found["splits"]["validation"]
    assert found["sequence_gap_s"] == 0
    syntax = found["overall"]["syntax"]
    assert syntax["n_transitions"] == syntax["n_overlapping"] < found["overall"]["n_events"] - 3


def test_sweep_describes_each_set(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = (*TINY_SOUNDSCAPES, "data.polyphony=1,2", "output_dir=sweep")
    assert sedtf("data", *settings, multirun=True) == 0
    assert [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()[-2:]] == [
        "done"
    ] * 2
    folders = [tmp_path / "sweep" / f"data.polyphony={n}" for n in "12"]
    alone, mixed = (read_json(folder / "data.json")["overall"] for folder in folders)
    assert len(alone["polyphony"]) == 2
    assert mixed["syntax"]["n_overlapping"] > alone["syntax"]["n_overlapping"] == 0


@pytest.mark.slow
def test_a_set_is_described_without_torch(recordings: Path, tmp_path: Path) -> None:
    arguments = ["data", "data=annotated", f"data.root={recordings}", f"output_dir={tmp_path}/run"]
    heavy = {"torch", "torchaudio", "librosa", "sed_eval", "tensorboard"}
    assert what_it_imports(arguments, heavy) == set()


def test_birdsong_has_a_strong_syntax(real_data: Path, sedtf: Sedtf, tmp_path: Path) -> None:
    root = f"data.root={real_data / 'birdsong'}"
    assert sedtf("data", "data=annotated", root, "output_dir=run") == 0
    syntax = read_json(tmp_path / "run" / "data.json")["overall"]["syntax"]
    assert syntax["n_transitions"] == 5170
    assert syntax["next_bits"] == pytest.approx(3.01, abs=0.01)
    assert syntax["conditional_bits"] == pytest.approx(1.17, abs=0.01)


def test_what_was_taken_for_labels_and_every_guess_is_printed(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    (root / "site").mkdir(parents=True)
    for name in ("a", "b", "c", "alone"):
        random = np.random.default_rng(list(name.encode()))
        soundfile.write(root / "site" / f"{name}.wav", random.normal(0, 0.1, 8000), 8000)
    for name in ("a", "b", "c"):
        (root / "site" / f"{name}_labels.txt").write_text("0.1\t0.4\tdog\n")
        (root / "site" / f"{name}.events.tsv").write_text(
            f"filename\tonset\toffset\tevent_label\n{name}.wav\t0.5\t0.6\tdog\n"
        )
    (root / "site" / "old_run").mkdir()
    (root / "site" / "old_run" / "run.json").write_text("{}")

    assert sedtf("data", "data=annotated", "data.root=set", "output_dir=run") == 0

    out = capfd.readouterr().out
    found = read_json(tmp_path / "run" / "data.json")
    for said in (
        "3 annotations (audacity",
        "a_labels.txt for a.wav",
        "3 predictions of sedtf that are skipped",
        "recordings without annotations: alone.wav",
        "folders written by sedtf that are not searched: set/site/old_run",
        "taking data.annotations=site",
    ):
        assert said in out
        assert said in "\n".join(found["notes"])
    assert [Path(one["path"]).name for one in found["annotations"]] == [
        "a_labels.txt",
        "b_labels.txt",
        "c_labels.txt",
    ]
