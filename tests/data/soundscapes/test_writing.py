"""Soundscapes on disk: the layout, repeatable bytes, and atomic writing."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.config.annotations import SPLITS
from sed_cli.data.soundscapes.composing import compose_recording, syntax_of
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.writing import write_soundscapes
from sed_cli.errors import DataError, UserError

SMALL = SoundscapeSettings(n_train=4, n_validation=2, n_test=2, duration_s=2.0, empty_fraction=0.25)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds") / "set"
    write_soundscapes(folder, SMALL, n_workers=1)
    return folder


def test_layout_is_a_table_and_a_folder_per_split(written: Path) -> None:
    names = set(digests(written))
    audio = {
        f"audio/{split}/{split}_{number:04d}.flac"
        for split in SPLITS
        for number in range(SMALL.n_recordings(split))
    }
    assert names == audio | {"train.tsv", "validation.tsv", "test.tsv", "recipe.json"}
    for split in SPLITS:
        rows = _rows(written / f"{split}.tsv")
        assert list(rows[0]) == ["filename", "onset", "offset", "event_label"]
        files = {path.name for path in (written / "audio" / split).iterdir()}
        assert {row["filename"] for row in rows} == files


def test_settings_and_syntax_can_be_read_back(written: Path) -> None:
    found = json.loads((written / "recipe.json").read_text(encoding="utf-8"))
    assert SoundscapeSettings(**found["settings"]) == SMALL
    np.testing.assert_array_equal(found["syntax"]["transition"], syntax_of(SMALL).transition)


def test_files_hold_what_was_composed(written: Path) -> None:
    for split in SPLITS:
        rows = _rows(written / f"{split}.tsv")
        for number in range(SMALL.n_recordings(split)):
            name = f"{split}_{number:04d}.flac"
            scene, mixture = compose_recording(SMALL, split, number)
            samples, sample_rate = soundfile.read(written / "audio" / split / name)
            assert sample_rate == SMALL.sample_rate
            assert samples.shape == (SMALL.n_samples,)
            assert np.abs(samples).max() < 1.0
            # 16 bit: half a step of rounding, and full scale is 32767 here, 32768 there.
            np.testing.assert_allclose(samples, mixture.waveform, atol=1.6e-5 + 3.1e-5)
            annotated = [row for row in rows if row["filename"] == name and row["onset"]]
            assert [row["event_label"] for row in annotated] == [
                event.source.label for event in scene.events
            ]
            for row, event in zip(annotated, scene.events, strict=True):
                onset_s, offset_s = float(row["onset"]), float(row["offset"])
                assert 0.0 <= onset_s < offset_s <= SMALL.duration_s
                # Written with four decimals, rounded down.
                assert onset_s == pytest.approx(event.onset / sample_rate, abs=1e-4)
                assert offset_s == pytest.approx(event.offset / sample_rate, abs=1e-4)


def test_a_file_without_events_is_a_row_with_empty_fields(tmp_path: Path) -> None:
    silent = SoundscapeSettings(
        n_train=2, n_validation=0, n_test=0, duration_s=1.0, empty_fraction=1.0
    )
    write_soundscapes(tmp_path / "set", silent)
    table = (tmp_path / "set" / "train.tsv").read_bytes()
    assert table == (
        b"filename\tonset\toffset\tevent_label\ntrain_0000.flac\t\t\t\ntrain_0001.flac\t\t\t\n"
    )
    # A split without recordings has no table: an empty one could not be read.
    assert not (tmp_path / "set" / "test.tsv").exists()


def test_number_of_workers_does_not_change_a_byte(written: Path, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    write_soundscapes(
        tmp_path / "set", SMALL, n_workers=2, progress=lambda *pair: counts.append(pair)
    )
    assert digests(tmp_path / "set") == digests(written)
    assert counts == [(done, 8) for done in range(1, 9)]


def test_another_seed_changes_every_recording(written: Path, tmp_path: Path) -> None:
    other = SoundscapeSettings(**{**SMALL.as_json(), "seed": 1})
    write_soundscapes(tmp_path / "set", other, n_workers=1)
    ours, theirs = digests(written), digests(tmp_path / "set")
    assert ours.keys() == theirs.keys()
    same = {name for name in ours if ours[name] == theirs[name]}
    assert not {name for name in same if name.endswith(".flac")}


def test_a_larger_set_begins_with_the_smaller_one(written: Path, tmp_path: Path) -> None:
    larger = SoundscapeSettings(**{**SMALL.as_json(), "n_train": 5, "n_test": 3})
    write_soundscapes(tmp_path / "set", larger, n_workers=1)
    ours, theirs = digests(written), digests(tmp_path / "set")
    audio = [name for name in ours if name.endswith(".flac")]
    assert [ours[name] for name in audio] == [theirs[name] for name in audio]


def test_a_set_that_is_there_is_left_alone(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}

    def fail(done: int, total: int) -> None:
        pytest.fail("it was written again")

    write_soundscapes(written, SMALL, progress=fail)
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*")} == before


def test_other_settings_or_other_contents_are_refused(written: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="polyphony=2 instead of 3"):
        write_soundscapes(written, SoundscapeSettings(**{**SMALL.as_json(), "polyphony": 3}))
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="new or an empty folder"):
        write_soundscapes(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="n_workers=0"):
        write_soundscapes(tmp_path / "set", SMALL, n_workers=0)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_soundscapes(tmp_path / "set", SMALL, n_workers=1)
    assert (tmp_path / "set" / "recipe.json").is_file()


def _after_recordings(n_recordings: int, action: Callable[[], None]) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == n_recordings:
            action()

    return progress


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("n_workers", [1, 2])
def test_interruption_leaves_nothing(tmp_path: Path, n_workers: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_soundscapes(
            tmp_path / "set",
            SMALL,
            n_workers=n_workers,
            progress=_after_recordings(3, _interrupt),
        )
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_writers_finds_it_done(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"

    def overtake() -> None:
        write_soundscapes(folder, SMALL, n_workers=1)

    write_soundscapes(folder, SMALL, n_workers=1, progress=_after_recordings(8, overtake))
    assert digests(folder) == digests(written)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name != "posix", reason="process groups and SIGINT as on a terminal")
def test_control_c_on_the_terminal_ends_every_process_and_leaves_nothing(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from sed_cli.data.soundscapes.settings import SoundscapeSettings
        from sed_cli.data.soundscapes.writing import write_soundscapes

        def say(done, total):
            print(done, flush=True)

        settings = SoundscapeSettings(n_train=5000, duration_s=2.0)
        write_soundscapes(Path(sys.argv[1]), settings, n_workers=2, progress=say)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "set")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    # A terminal sends it to the whole group, workers included.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    # Only ours: no worker prints its own traceback.
    assert errors.count("KeyboardInterrupt") == 1
    assert list(tmp_path.iterdir()) == []


def test_importing_soundscapes_does_not_import_torch() -> None:
    code = "import sys, sed_cli.data.soundscapes; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"
