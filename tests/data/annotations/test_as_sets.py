"""Data sets are the same whatever format their annotations are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data.annotations import WRITTEN, Event, read_annotations, write_annotations
from sed_cli.data.survey import Manifest, load_manifest
from sed_cli.errors import DataError
from tests.conftest import Sedtf


def annotated(root: Path, recordings: Path, format: str) -> AnnotatedConfig:
    """The same recordings with their annotations in another format."""
    (root / "audio").symlink_to(recordings / "audio")
    splits = {}
    for split in ("train", "validation", "test"):
        events = read_annotations(recordings / f"{split}.tsv").events
        splits[split] = SplitConfig(write(root, split, events, format), "audio")
    return AnnotatedConfig(root=str(root), **splits)


def write(root: Path, split: str, events: Mapping[str, list[Event]], format: str) -> str:
    known = WRITTEN[format]
    if known.names_files:
        write_annotations(root / f"{split}{known.ending}", events, format)
        return f"{split}{known.ending}"
    (root / split).mkdir()
    for name, of_file in events.items():
        path = root / split / f"{Path(name).stem}{known.ending}"
        write_annotations(path, {name: of_file}, format)
    return split


def contents(manifest: Manifest) -> dict[str, set[tuple[str, tuple[Event, ...]]]]:
    return {
        split: {(entry.path.name, entry.events) for entry in entries}
        for split, entries in manifest.splits.items()
    }


@pytest.mark.parametrize("format", WRITTEN)
def test_a_set_is_the_same_in_every_format(format: str, recordings: Path, tmp_path: Path) -> None:
    expected = load_manifest(AnnotatedConfig(root=str(recordings)))

    found = load_manifest(annotated(tmp_path, recordings, format))

    assert found.classes == expected.classes
    if format in ("rttm", "raven"):  # which know no recordings without events
        kept = {
            split: {(name, events) for name, events in entries if events}
            for split, entries in contents(expected).items()
        }
        assert contents(found) == kept != contents(expected)
    else:
        assert contents(found) == contents(expected)


def test_settings_of_a_set_reach_its_tables(recordings: Path, tmp_path: Path) -> None:
    """Column names, duration of events and handling of faults."""
    (tmp_path / "audio").symlink_to(recordings / "audio")
    names = [path.name for path in sorted((recordings / "audio").iterdir())]
    rows = [f"{name};1,5;click" for name in names]
    table = "\n".join(["where;when;what", *rows, f"{names[0]};-1;click"])
    (tmp_path / "t.csv").write_text(table)
    split = SplitConfig("t.csv", "audio")
    columns = {"filename": "where", "onset": "when", "event_label": "what"}

    def listed(strict: bool) -> Manifest:
        config = AnnotatedConfig(
            root=str(tmp_path),
            train=split,
            validation=None,
            test=None,
            columns=dict(columns),
            event_duration_s=0.25,
            strict=strict,
        )
        return load_manifest(config)

    with pytest.raises(DataError, match=rf"t\.csv: line {len(names) + 2}: "):
        listed(strict=True)
    entries = listed(strict=False).splits["train"]
    assert {entry.events for entry in entries} == {(Event(1.5, 1.75, "click"),)}
    assert len(entries) == len(names)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "ms"), (None, "samples")])
def test_times_in_another_unit_are_converted_and_reported_once(
    factor: int | None, unit: str, recordings: Path, tmp_path: Path
) -> None:
    """Times in samples use the rate of each recording."""
    (tmp_path / "audio").symlink_to(recordings / "audio")
    expected = load_manifest(AnnotatedConfig(root=str(recordings)))
    splits = {}
    for split, entries in expected.splits.items():
        rows = ["filename,onset,offset,label"]
        for entry in entries:
            scale = factor or soundfile.info(entry.path).samplerate
            rows += [
                f"{entry.name},{event.onset_s * scale:.0f},{event.offset_s * scale:.0f},{event[2]}"
                for event in entry.events
            ]
            rows += [] if entry.events else [f"{entry.name},,,"]
        (tmp_path / f"{split}.csv").write_text("\n".join(rows))
        splits[split] = SplitConfig(f"{split}.csv", "audio")
    config = AnnotatedConfig(root=str(tmp_path), **splits)

    guessed = load_manifest(config)
    found = load_manifest(replace(config, time_unit=unit))

    said = "\n".join(guessed.notes.lines())
    assert said.count(f"data.time_unit={unit}") == 1
    assert contents(guessed) == contents(found)
    with pytest.raises(DataError, match="is annotated at"):
        load_manifest(replace(config, time_unit="s"))
    for split, entries in expected.splits.items():
        for entry, read in zip(entries, found.splits[split], strict=True):
            assert [event.label for event in read.events] == [e.label for e in entry.events]
            np.testing.assert_allclose(
                [event[:2] for event in read.events],
                [event[:2] for event in entry.events],
                atol=1e-3,  # written to the millisecond or the sample
            )


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"columns": {"lable": "x", "onset": None}}, "data.columns.lable: expected filename, "),
        ({"event_duration_s": 0.0}, "data.event_duration_s=0.0: expected a number above 0"),
        ({"event_duration_s": float("inf")}, "expected a number above 0"),
        ({"soft_threshold": 1.0}, "data.soft_threshold=1.0: expected at least 0 and less than 1"),
        ({"soft_threshold": -0.1}, "data.soft_threshold=-0.1"),
        ({"time_unit": "frames"}, "data.time_unit=frames"),
        ({"decimal_mark": "."}, "data.decimal_mark=."),
        ({"time_unit": "samples", "event_duration_s": 1.0}, "need offsets or durations in samples"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting: dict[str, Any], reason: str) -> None:
    assert AnnotatedConfig(root="set").faults() == []

    (fault,) = AnnotatedConfig(root="set", **setting).faults()

    assert reason in fault


def test_columns_are_named_on_the_command_line(
    sedtf: Sedtf, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a table lacks a column, the error lists its columns."""
    code = sedtf(
        "train",
        "data=annotated",
        f"data.root={recordings}",
        "data.columns.event_label=species",
        "output_dir=run",
    )
    assert code == 2
    assert "but no 'species', set by data.columns.event_label" in capsys.readouterr().err


@pytest.mark.slow
def test_real_annotations_are_the_same_in_every_format(real_data: Path, tmp_path: Path) -> None:
    birdsong = real_data / "birdsong"
    expected = contents(load_manifest(AnnotatedConfig(root=str(birdsong))))
    assert sum(len(events) for _, events in expected["train"]) > 1000

    for format in WRITTEN:
        root = tmp_path / format
        root.mkdir()
        assert contents(load_manifest(annotated(root, birdsong, format))) == expected
