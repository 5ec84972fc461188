"""``sedtf synth`` from the command line: the run folder, the table, recipes, faults."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from sed_cli.cli.run import run
from sed_cli.cli.verbs import Flags
from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import SoundscapesConfig
from sed_cli.config.plain import build_training
from sed_cli.config.tools import SynthConfig
from sed_cli.data.annotations import read_annotations
from sed_cli.data.survey import load_manifest
from sed_cli.tasks.detection.load import read_config
from tests.conftest import TINY, Sedtf
from tests.data.soundscapes.banks import fold_bank, write_clip
from tests.data.soundscapes.test_writing import digests

SMALL = (
    "data.n_train=3",
    "data.n_validation=2",
    "data.n_test=2",
    "data.duration_s=2.0",
    "data.sample_rate=8000",
    "workers=1",
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fold_bank(tmp_path_factory.mktemp("bank") / "esc")


@pytest.fixture(scope="module")
def written(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a data set from the bank; must not be changed."""
    folder = tmp_path_factory.mktemp("runs") / "set"
    settings = [*SMALL, f"data.bank={bank}", f"output_dir={folder}"]
    assert run("synth", settings, Flags()) == 0
    return folder


def test_a_run_folder_is_a_set_with_its_recipe_and_a_picture(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    tables = {f"{split}.tsv" for split in SPLITS}
    run = {".hydra", "run.json", "synth.log", "figures"}
    assert names == run | tables | {"audio", "sources.tsv", "recipe.json"}
    assert json.loads((written / "run.json").read_text())["status"] == "completed"
    with Image.open(written / "figures" / "scene.png") as picture:
        assert picture.width > 600


def test_the_recipe_rebuilds_the_set_and_the_table_lists_its_contents(
    written: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = f"recipe={written / 'recipe.json'}"
    assert sedtf("synth", recipe, "workers=2", "figure=false", "output_dir=again") == 0
    ours, theirs = (
        {
            name: digest
            for name, digest in digests(folder).items()
            if name.startswith("audio") or name.endswith(("tsv", "recipe.json"))
        }
        for folder in (written, tmp_path / "again")
    )
    assert ours == theirs
    assert len(ours) == 7 + len(SPLITS) + 2
    out = capfd.readouterr().out
    assert "7 soundscapes (3 train, 2 validation, 2 test), 0.2 minutes" in out
    for word in ("cat", "dog", "owl", "sources", "bank split by its folds", "run folder: "):
        assert word in out
    n_events = [
        sum(map(len, read_annotations(written / f"{split}.tsv").events.values()))
        for split in SPLITS
    ]
    totals = next(line for line in out.splitlines() if line.startswith("│ all"))
    assert [int(cell) for cell in totals.split("│")[2:-1:2]] == n_events


def test_other_bytes_than_in_the_recipe_are_no_success(
    written: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values = json.loads((written / "recipe.json").read_text())
    values["sha256"] = "0" * 64
    values["versions"]["numpy"] = "1.0"
    (tmp_path / "old.json").write_text(json.dumps(values))
    settings = ("recipe=old.json", "workers=1", "figure=false", "output_dir=again")
    assert sedtf("synth", *settings) == 1
    assert "different bytes this time: numpy " in capfd.readouterr().err


def test_a_folder_holds_one_set(
    written: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("synth", f"output_dir={written}") == 2
    assert "already holds a run: name another folder\n" in capfd.readouterr().err


def test_the_set_is_found_by_the_command_that_is_printed(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = ("1, 2 (door)", "7", "a dog's", "null", "owl")
    bank = fold_bank(tmp_path / "bank", classes=labels)
    settings = ("data.n_test=0", "format=audacity", "figure=false", "output_dir=a set")
    assert sedtf("synth", *SMALL, *settings, f"data.bank={bank}") == 0
    line = capfd.readouterr().out.splitlines()[-1]
    assert line.startswith("train on it: sedtf train ")
    words = shlex.split(line.removeprefix("train on it: sedtf train "))
    assert sedtf("train", *words, cfg="job") == 0
    config = build_training(yaml.safe_load(capfd.readouterr().out))
    manifest = load_manifest(config.data)
    assert {split: len(there) for split, there in manifest.splits.items()} == {
        "train": 3,
        "validation": 2,
    }
    assert manifest.classes == labels


def test_training_takes_a_bank_and_remembers_where_it_lies(
    bank: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    small = [setting for setting in SMALL if setting.startswith("data")]
    size = ("data.sequence_length=20", "trainer.batch_size=2", "trainer.max_updates=1")
    (tmp_path / "esc").symlink_to(bank)
    assert sedtf("train", *TINY, *small, *size, "data.bank=esc", "output_dir=run") == 0
    config = read_config(tmp_path / "run" / "checkpoints" / "best")
    assert isinstance(config.data, SoundscapesConfig)
    assert config.data.bank == str(tmp_path / "esc")
    assert load_manifest(config.data).classes == ("cat", "dog", "owl")


def test_a_sweep_writes_a_set_a_job(bank: Path, sedtf: Sedtf, tmp_path: Path, drawn: None) -> None:
    settings = (*SMALL, f"data.bank={bank}", "data.seed=0,1", "figure=false", "output_dir=sets")
    assert sedtf("synth", *settings, multirun=True) == 0
    one, other = (tmp_path / "sets" / f"data.seed={n}" / "train.tsv" for n in "01")
    assert one.read_bytes() != other.read_bytes()
    assert not (tmp_path / "sets" / "data.seed=0" / "figures").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["data=annotated", "data.root=x"], "data: synth only writes soundscapes"),
        (["data.bank=nowhere"], "data.bank=nowhere: no such folder"),
        (["recipe=nowhere.json"], "nowhere.json: no such recipe"),
        (["recipe=x.json", "data.seed=3"], "data.seed set, but recipe=x.json fixes it"),
        (["format=xyz"], "format=xyz: expected one of desed"),
        (["data.transition={bell: 1}"], "data.transition: expected a mapping"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    settings: list[str], expected: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("synth", *settings, "output_dir=out") == 2
    out, err = capfd.readouterr()
    assert out == ""
    (complaint,) = [line for line in err.splitlines() if line.startswith("sedtf: ")]
    assert expected in complaint


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"n_train": 0, "n_validation": 0, "n_test": 0}, "nothing to write"),
        ({"classes": ["oboe"]}, "oboe cannot be synthesised"),
        ({"snr_db": [5, 1]}, "data.snr_db=[5, 1]: expected two numbers"),
        ({"event_duration_s": [0.5]}, "data.event_duration_s=[0.5]: expected two numbers"),
        ({"bank_splits": "x.tsv"}, "data.bank_splits is set, but there is no bank"),
        ({"bank": "x", "group": "("}, "data.group=(: not a valid regular expression"),
        ({"bank": "x", "split": [1.0]}, "data.split=[1.0]: expected the shares"),
        ({"bank_pause_s": -1.0}, "data.bank_pause_s=-1.0: expected at least 0"),
        ({"sample_rate": 4000}, "data.sample_rate=4000: expected a number from 8000"),
    ],
)
def test_settings_that_cannot_work_are_found_before_any_work(
    values: dict[str, Any], expected: str
) -> None:
    config = SynthConfig(output_dir="x", data=SoundscapesConfig(**values))
    (fault,) = config.faults()
    assert expected in fault


@pytest.mark.skipif(os.name != "posix", reason="SIGINT as on a terminal")
@pytest.mark.slow  # of writing in this process: test_interruption_leaves_nothing
def test_interruption_leaves_no_half_a_set(tmp_path: Path) -> None:
    bank = fold_bank(tmp_path / "bank")
    for number in range(30):
        write_clip(bank / "dog" / f"1-{1000 + number}-A.wav")
    command = [
        *(sys.executable, "-m", "sed_cli", "synth", f"data.bank={bank}", "data.n_train=20000"),
        *("workers=2", f"output_dir={tmp_path / 'set'}"),
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 100
        try:
            while not any((tmp_path / "set").glob(".*.partial/audio/train/*.flac")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()  # a failed test would wait for it forever
    assert process.returncode == 130
    assert error.splitlines()[-1] == "sedtf: interrupted"
    assert "Traceback" not in error
    left = {path.name for path in (tmp_path / "set").iterdir()}
    assert left == {".hydra", "run.json", "synth.log"}
    assert json.loads((tmp_path / "set" / "run.json").read_text())["status"] == "interrupted"
