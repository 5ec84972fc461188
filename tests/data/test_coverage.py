"""Which classes are annotated where: by settings, a column and unknown spans."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig, TrainSplitConfig
from sed_cli.data import coverage
from sed_cli.data.annotations import Event
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.sets import load_data
from sed_cli.data.survey import load_manifest, survey
from sed_cli.errors import DataError
from tests.data.test_weak import HEADER, write_audio

TABLE = (
    "a.wav\t0.1\t0.2\tcat\na.wav\t0.2\t0.4\tdog\na.wav\t0.3\t0.45\tunknown\n"
    "b.wav\t0.0\t0.1\tcat\n"
    "c.wav\t\t\t\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_audio(tmp_path / "audio", "a.wav", "b.wav", "c.wav")
    (tmp_path / "train.tsv").write_text(HEADER + TABLE)
    return tmp_path


def manifest(root: Path, **settings: object) -> Manifest:
    config = AnnotatedConfig(root=str(root), validation=None, test=None, **settings)  # type: ignore[arg-type]
    return load_manifest(config)


def unknown(found: Manifest, split: str = "train") -> dict[str, list[tuple[float, float, str]]]:
    return {clip.name: [tuple(span) for span in clip.unknown] for clip in found.splits[split]}  # type: ignore[misc]


def test_spans_labelled_unknown_are_unknown_for_every_class_and_no_class(root: Path) -> None:
    found = manifest(root)

    assert found.classes == ("cat", "dog")
    assert unknown(found) == {
        "a.wav": [(0.3, 0.45, "cat"), (0.3, 0.45, "dog")],
        "b.wav": [],
        "c.wav": [],
    }
    assert [event.label for event in found.splits["train"][0].events] == ["cat", "dog"]
    other = manifest(root, unknown_label=None)
    assert other.classes == ("cat", "dog", "unknown")
    assert not any(unknown(other).values())
    assert not any(unknown(manifest(root, classes=["cat", "unknown"], strict=False)).values())


def test_a_class_that_is_not_annotated_everywhere_is_known_where_it_has_an_event(
    root: Path,
) -> None:
    found = unknown(manifest(root, annotated_classes=["cat"], unknown_label=None, strict=False))
    assert found["a.wav"] == []
    assert found["b.wav"] == found["c.wav"] == [(0.0, 0.5, "dog"), (0.0, 0.5, "unknown")]


def test_a_column_names_the_classes_that_a_recording_is_annotated_for(root: Path) -> None:
    (root / "train.tsv").write_text(
        "filename\tonset\toffset\tevent_label\tannotated_classes\n"
        "a.wav\t0.1\t0.2\tcat\tcat,dog\na.wav\t0.2\t0.4\tdog\t\n"
        "b.wav\t0.0\t0.1\tcat\tcat\nb.wav\t0.2\t0.3\tdog\tcat\n"
        "c.wav\t\t\t\tdog;\n"
    )
    found = manifest(root)

    assert unknown(found) == {
        "a.wav": [],
        "b.wav": [(0.0, 0.5, "dog")],
        "c.wav": [(0.0, 0.5, "cat")],
    }
    assert unknown(manifest(root, annotated_classes=["cat"])) == unknown(found)
    renamed = (root / "train.tsv").read_text().replace("annotated_classes", "looked_for")
    (root / "train.tsv").write_text(renamed)
    assert not any(unknown(manifest(root)).values())
    assert unknown(manifest(root, columns={"annotated_classes": "looked_for"})) == unknown(found)


def test_names_of_no_class_are_refused_once(root: Path) -> None:
    (root / "train.tsv").write_text(
        "filename\tonset\toffset\tevent_label\tannotated_classes\n"
        "a.wav\t0.1\t0.2\tcat\tcat,cow\nb.wav\t0.0\t0.1\tcat\tcow\n"
    )
    with pytest.raises(DataError, match=r"names ant.*line 2: annotated_classes names cow, wh") as e:
        manifest(root, annotated_classes=["ant", "cat"])
    assert str(e.value).count("cow") == 1
    assert unknown(manifest(root, strict=False)) == {"a.wav": [], "b.wav": [(0.0, 0.5, "cat")]}
    assert manifest(root, classes=["cat", "cow"]).faults == ()


def test_a_split_may_say_it_for_itself(root: Path) -> None:
    write_audio(root / "audio", "d.wav", seconds=0.75)
    (root / "test.tsv").write_text(HEADER + "d.wav\t0.1\t0.2\tcat\n")
    config = AnnotatedConfig(
        root=str(root),
        train=TrainSplitConfig("train.tsv", annotated_classes=["cat"]),
        validation=None,
        test=SplitConfig("test.tsv"),
    )
    found = load_manifest(config)
    assert unknown(found)["b.wav"] == [(0.0, 0.5, "dog")]
    assert unknown(found, "test") == {"d.wav": []}


def test_frames_are_unknown_with_their_edges_and_events_are_known(root: Path) -> None:
    feature = LogMelConfig(backend="torchaudio")
    config = AnnotatedConfig(root=str(root), validation=None, test=None)
    data = load_data(config, feature)

    recording = data.splits["train"][0]
    known = recording.known()
    assert known is not None
    times_s = np.arange(len(known)) * feature.hop_s
    inside = (times_s > 0.3) & (times_s < 0.45)
    outside = (times_s < 0.3 - 1.6 * feature.hop_s) | (times_s > 0.45 + 1.6 * feature.hop_s)
    assert not known[inside, 0].any()
    assert known[outside].all()
    assert known[recording.activities[:] == 1].all()
    assert data.splits["train"][1].known() is None


def test_coverage_counts_unannotated_time_once_and_not_the_events_in_it() -> None:
    spans = (Event(0, 4, "cat"), Event(2, 6, "cat"), Event(0, 10, "dog"))
    events = (Event(3, 5, "cat"), Event(8, 9, "cat"))
    clips = [
        Clip(name="a", path=Path("a"), duration_s=10.0, events=events, unknown=spans),
        Clip(name="b", path=Path("b"), duration_s=10.0),
    ]

    found = coverage.coverage(clips, ["cat", "cow", "dog"])

    assert set(found) == {"cat", "dog"}
    assert (found["cat"].seconds, found["cat"].share, found["cat"].n_files) == (4.0, 0.2, 1)
    assert (found["dog"].seconds, found["dog"].share) == (10.0, 0.5)
    (line,) = coverage.lines({"train": clips, "weak": clips}, ["cat", "cow", "dog"])
    assert "cat in 20.0 % of the time (1 of 2 files); dog in 50.0 % of" in line
    assert not list(coverage.warnings(clips, ["cat", "cow", "dog"]))
    (warning,) = coverage.warnings(clips[:1], ["cat", "cow", "dog"])
    assert "known to be without dog" in warning


def test_unknown_spans_are_no_label_that_is_missing_in_training(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_audio(root / "audio", "d.wav", seconds=0.75)
    (root / "test.tsv").write_text(HEADER + "d.wav\t0.1\t0.2\tunknown\nd.wav\t0\t0.1\tcat\n")
    config = AnnotatedConfig(root=str(root), validation=None)
    with caplog.at_level(logging.WARNING):
        detector = survey(config, splits=["test"], classes=["cat", "dog"])
    assert detector.faults == survey(config).faults == ()
    assert detector.labels == {"test": {"cat"}}


def test_rows_without_a_label_among_others_are_unknown_spans_once_faults_are_repaired(
    root: Path,
) -> None:
    (root / "train.tsv").write_text(HEADER + TABLE + "b.wav\t0.3\t0.4\t\n")

    with pytest.raises(DataError, match=r"line 7: onset '0.3': the label is empty"):
        manifest(root)
    found = unknown(manifest(root, strict=False))
    assert found["b.wav"] == [(0.3, 0.4, "cat"), (0.3, 0.4, "dog")]
    dropped = unknown(manifest(root, strict=False, classes=["cat", "dog", "unknown"]))
    assert dropped["b.wav"] == []


def test_rows_of_few_shot_tables_that_may_be_events_are_unknown_spans(root: Path) -> None:
    (root / "train.tsv").write_text(
        "Audiofilename,Starttime,Endtime,Q\n"
        "a.wav,0.1,0.2,POS\na.wav,0.3,0.4,UNK\nb.wav,0.1,0.3,UNK\nc.wav,0.1,0.2,NEG\n"
    )

    found = manifest(root)

    assert found.classes == ("Q",)
    assert [len(clip.events) for clip in found.splits["train"]] == [1, 0, 0]
    assert unknown(found) == {"a.wav": [(0.3, 0.4, "Q")], "b.wav": [(0.1, 0.3, "Q")], "c.wav": []}
