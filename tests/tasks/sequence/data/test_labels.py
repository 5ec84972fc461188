"""Event labels as sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sed_cli.config.tokens import LabelsConfig
from sed_cli.data.annotations import WRITTEN, Event, write_annotations
from sed_cli.data.syntax import corrected_log, entropies_bits
from sed_cli.errors import DataError, UserError
from sed_cli.tasks.sequence.data import load_tokens
from sed_cli.tasks.sequence.data.labels import read_label_sequences

EVENTS = [
    Event(0.0, 1.0, "dog bark"),
    Event(0.5, 3.0, "car"),  # lasts beyond the next one
    Event(1.0, 1.2, "dog bark"),
    Event(3.5, 4.0, "bell"),  # half a second of silence before it
    Event(6.0, 6.5, "car"),  # two seconds
]


def texts_of(path: Path, **settings: object) -> dict[str, list[str]]:
    config = LabelsConfig(train=str(path), **settings)  # type: ignore[arg-type]
    return {name: list(texts.targets) for name, texts in read_label_sequences(config).items()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.tsv"
    write_annotations(path, {"a.wav": EVENTS, "b.wav": [Event(7.0, 8.0, "bell")], "c.wav": []})
    return path


@pytest.mark.parametrize(
    ("gap", "sequences"),
    [
        (None, ["dog_bark car dog_bark bell car", "bell"]),
        (0.5, ["dog_bark car dog_bark bell", "car", "bell"]),
        (0.4, ["dog_bark car dog_bark", "bell", "car", "bell"]),
    ],
)
def test_a_longer_silence_or_the_end_of_a_recording_ends_a_sequence(
    table: Path, gap: float | None, sequences: list[str]
) -> None:
    assert texts_of(table, gap=gap) == {"train": sequences}


@pytest.mark.parametrize("format", WRITTEN)
def test_sequences_are_the_same_in_every_format_without_audio(tmp_path: Path, format: str) -> None:
    for name, labels in (("x", ("car", "bell")), ("y", ("bell",))):
        events = [Event(2.0 * at, 2.0 * at + 1, label) for at, label in enumerate(labels)]
        path = tmp_path / f"{name}{WRITTEN[format].ending}"
        write_annotations(path, {f"{name}.wav": events}, format)

    assert texts_of(tmp_path) == {"train": ["car bell", "bell"]}
    assert texts_of(tmp_path, gap=0.9) == {"train": ["car", "bell", "bell"]}


def test_samples_give_an_order_and_no_gaps(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.phn").write_text("0 3050 h#\n3050 4559 sh\n")

    assert texts_of(tmp_path) == {"train": ["h# sh", "h# sh"]}
    with pytest.raises(DataError, match=r"x\.phn: times are in samples, .*gap=0\.5 needs seconds"):
        texts_of(tmp_path, gap=0.5)


def recordings(n: int) -> Iterator[tuple[str, list[Event]]]:
    for number in range(n):
        # Each recording has its own label, so that its sequences identify it.
        events = [Event(float(t), t + 0.5, f"{number:02d}" if t == 0 else "x") for t in range(5)]
        yield f"{number:02d}.wav", events


def test_no_recording_is_in_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    write_annotations(path, dict(recordings(20)))
    texts = read_label_sequences(LabelsConfig(annotations=str(path), gap=0.4))

    splits_of = Counter(
        text for one in texts.values() for text in {text for text in one.targets if text != "x"}
    )
    assert list(texts) == ["train", "validation", "test"]
    assert splits_of == Counter(f"{number:02d}" for number in range(20))


def test_a_recording_in_two_annotation_files_is_refused(tmp_path: Path) -> None:
    for name, n in (("train", 3), ("test", 1)):
        write_annotations(tmp_path / f"{name}.tsv", dict(recordings(n)))

    with pytest.raises(DataError, match=r"test\.tsv: 00\.wav is in the train split too"):
        texts_of(tmp_path / "train.tsv", test=str(tmp_path / "test.tsv"))


def test_what_cannot_be_sequences_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    write_annotations(path, {"a.wav": []})
    with pytest.raises(DataError, match="the train split contains no event"):
        texts_of(path)
    write_annotations(path, {"a.wav": [Event(0, 1, "dog bark"), Event(2, 3, "dog_bark")]})
    with pytest.raises(DataError, match="'dog bark' and 'dog_bark' differ only in white space"):
        texts_of(path)
    with pytest.raises(UserError, match="1 recordings cannot be divided"):
        read_label_sequences(LabelsConfig(annotations=str(path)))
    with pytest.raises(DataError, match="no such annotation file"):
        texts_of(tmp_path / "nowhere.tsv")
    path.write_text("filename\tonset\toffset\tevent_label\na.wav\t2\t1\tcar\n")
    with pytest.raises(DataError, match="line 2"):
        texts_of(path)


def test_labels_that_training_lacks_are_unknown(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_annotations(tmp_path / "test.tsv", {"t.wav": [Event(0, 1, "bell"), Event(1, 2, "owl")]})

    data = load_tokens(LabelsConfig(train=str(table), test=str(tmp_path / "test.tsv")))

    assert data.vocabulary.symbols[2:] == ("bell", "car", "dog_bark")
    assert data.splits["test"][0].target.tolist() == [2, 1]
    assert "test: 1 of 2 symbols of the targets are not in the vocabulary" in caplog.text
    assert "'owl'" in caplog.text


def test_bird_song_is_the_set_that_sedtf_data_describes(real_data: Path) -> None:
    """Entropies as printed by `sedtf data data.root=birdsong`."""
    folder = real_data / "birdsong"
    paths = {name: str(folder / f"{name}.tsv") for name in ("train", "validation", "test")}
    data = load_tokens(LabelsConfig(**paths))  # type: ignore[arg-type]
    every = [sentence.target for split in data.splits.values() for sentence in split]
    current, following = (
        np.concatenate([one[part] for one in every]) for part in (slice(-1), slice(1, None))
    )

    bits = entropies_bits(current, following, len(data.vocabulary), corrected_log)

    assert [round(value, 2) for value in bits] == [3.01, 1.17]
    assert len(data.vocabulary) == 2 + 9


def test_what_was_guessed_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "all.csv"
    path.write_text("filename;onset_ms;offset_ms;species\na.wav;0,5;1500,5;dog\nb.wav;NA;NA;NA\n")
    with caplog.at_level("INFO"):
        texts_of(path)

    assert (
        "onset=onset_ms (ms), offset=offset_ms, event_label=species, decimal comma" in caplog.text
    )
    assert "rows of NA, read as recordings without events: 1 in all.csv" in caplog.text
