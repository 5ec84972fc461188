"""A bank: which files are clips, how it is split, and its faults."""

from __future__ import annotations

import itertools
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.config.annotations import SPLITS
from sed_cli.data.soundscapes.bank import Bank, SplitRules, scan_bank
from sed_cli.data.soundscapes.bank_splits import draw_splits, fold_splits
from sed_cli.errors import DataError
from tests.data.soundscapes.banks import fold_bank, write_bank, write_clip


def splits_of(bank: Bank) -> dict[str, str | None]:
    return {clip.file: clip.split for clip in bank.clips}


# Clips


def test_clips_are_the_audio_files_below_class_folders_however_deep(tmp_path: Path) -> None:
    write_bank(tmp_path, ["dog/a.wav", "dog/more/deep/b.flac", "cat/c.ogg", "cat/D.WAV"])
    for name in ("README.txt", "dog/notes.csv", "dog/.DS_Store", "cat/cover.jpg"):
        (tmp_path / name).write_text("nothing to hear", encoding="utf-8")
    write_bank(tmp_path, ["dog/._a.wav", ".hidden/e.wav", "dog/.trash/f.wav"])
    bank = scan_bank(tmp_path)
    assert [clip.file for clip in bank.clips] == [
        *("cat/D.WAV", "cat/c.ogg", "dog/a.wav", "dog/more/deep/b.flac"),
    ]
    assert bank.classes == ("cat", "dog")


def test_the_fingerprint_names_the_content_wherever_it_lies(tmp_path: Path) -> None:
    first = scan_bank(fold_bank(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "c")
    (tmp_path / "b" / "c" / "README").write_text("moved", encoding="utf-8")
    assert scan_bank(tmp_path / "b" / "c").fingerprint() == first.fingerprint()
    write_clip(tmp_path / "a" / "dog" / "1-101-A.flac", seed=99)
    assert scan_bank(tmp_path / "a").fingerprint() != first.fingerprint()


def test_only_chosen_classes_are_looked_at(tmp_path: Path) -> None:
    fold_bank(tmp_path)
    (tmp_path / "fox").mkdir()
    bank = scan_bank(tmp_path, classes=["owl", "dog"])
    assert bank.classes == ("dog", "owl")
    with pytest.raises(DataError, match=r"data.classes names wolf: the bank .* has cat, dog, fox"):
        scan_bank(tmp_path, classes=["wolf"])
    with pytest.raises(DataError, match="fox: no audio file in this class folder"):
        scan_bank(tmp_path, classes=["fox", "dog"], strict=False)


def test_faults_of_a_bank_come_together_and_can_be_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fold_bank(tmp_path)
    (tmp_path / "fox").mkdir()
    (tmp_path / "wolf").mkdir()
    (tmp_path / "wolf" / "howl.txt").write_text("awoo", encoding="utf-8")
    write_clip(tmp_path / "stray.wav")
    with pytest.raises(DataError) as caught:
        scan_bank(tmp_path)
    for part in ("stray.wav: is in no class", "fox: no audio", "wolf: no audio", "strict=false"):
        assert part in str(caught.value)
    assert scan_bank(tmp_path, strict=False).classes == ("cat", "dog", "owl")
    assert caplog.text.count("the class is skipped") == 2


def test_folders_that_are_no_bank_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        scan_bank(tmp_path / "nowhere")
    (tmp_path / "bare" / "dog").mkdir(parents=True)
    with pytest.raises(DataError, match="bare: no clip in its class folders"):
        scan_bank(tmp_path / "bare", strict=False)
    write_clip(tmp_path / "flat" / "a.wav")
    with pytest.raises(DataError, match="expected one folder per class"):
        scan_bank(tmp_path / "flat")


# Splits


def test_folds_in_the_file_names_are_respected(tmp_path: Path) -> None:
    bank = scan_bank(fold_bank(tmp_path))
    assert bank.split_by == "folds"
    expected = {1: "train", 2: "train", 3: "train", 4: "validation", 5: "test"}
    for file, split in splits_of(bank).items():
        assert split == expected[int(file.split("/")[1][0])]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("1-100032-A.ogg", "100032"),
        ("1-100032-A-0.wav", "100032"),  # ESC-50
        ("3-door_slam-2.wav", "door_slam"),
        ("100032-3-0-12.wav", "100032"),  # UrbanSound8K: no fold
        ("2021-05-03.wav", "dog/2021-05-03.wav"),
        ("bark-1.wav", "dog/bark-1.wav"),
    ],
)
def test_sources_are_found_in_the_file_names_of_published_sets(
    name: str, source: str, tmp_path: Path
) -> None:
    (clip,) = scan_bank(write_bank(tmp_path, [f"dog/{name}"])).clips
    assert clip.source == source


def test_folds_that_do_not_agree_with_the_sources_are_not_used(tmp_path: Path) -> None:
    fold_bank(tmp_path)
    write_clip(tmp_path / "dog" / "2-101-C.wav")  # source 101 is in fold 1
    bank = scan_bank(tmp_path)
    assert bank.split_by == "sources"
    assert len({clip.split for clip in bank.clips if clip.source == "101"}) == 1


def test_a_bank_may_be_split_into_folders(tmp_path: Path) -> None:
    write_bank(tmp_path, ["train/dog/1.wav", "val/dog/2.wav", "evaluation/dog/3.wav"])
    bank = scan_bank(tmp_path)
    assert bank.split_by == "folders"
    assert bank.classes == ("dog",)
    assert set(splits_of(bank).values()) == set(SPLITS)


def test_a_regular_expression_finds_sources(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"dog/s{number}_{take}.wav" for number in range(6) for take in range(3)]
    write_bank(tmp_path, names)
    bank = scan_bank(tmp_path, rules=SplitRules(group=r"(s\d+)_"))
    assert {clip.source for clip in bank.clips} == {f"s{number}" for number in range(6)}
    for _, of_source in itertools.groupby(bank.clips, key=lambda clip: clip.source):
        assert len({clip.split for clip in of_source}) == 1
    with pytest.raises(DataError, match=r"data.group=x.* matches no path of a clip"):
        scan_bank(tmp_path, rules=SplitRules(group="x(.*)"))


def test_a_table_assigns_clips_to_splits(tmp_path: Path) -> None:
    bank = fold_bank(tmp_path / "bank", classes=["dog"])
    table = tmp_path / "splits.csv"
    table.write_text(
        "clip,split\n./dog/1-1-A.flac,test\n1-1-B,test\n2-2-A.ogg,val\ndog/3-3-A.wav,\n",
        encoding="utf-8",
    )
    scanned = scan_bank(bank, rules=SplitRules(table=table))
    assert scanned.split_by == "table"
    splits = splits_of(scanned)
    assert splits["dog/1-1-A.flac"] == splits["dog/1-1-B.flac"] == "test"
    assert splits["dog/2-2-A.ogg"] == "validation"
    assert splits["dog/3-3-A.wav"] is None
    assert splits["dog/4-4-A.flac"] is None
    # A class that is not listed at all does not belong to the data set.
    write_clip(bank / "cat" / "a.wav")
    assert scan_bank(bank, rules=SplitRules(table=table)).classes == ("dog",)


@pytest.mark.parametrize("text", ["dog/1-1-A.flac\ttrain\n", "Split;File\ntrain;1-1-A.flac\n"])
def test_a_table_may_come_without_header_or_in_another_order(text: str, tmp_path: Path) -> None:
    bank = fold_bank(tmp_path / "bank", classes=["dog"])
    (tmp_path / "table.txt").write_text(text, encoding="utf-8")
    scanned = scan_bank(bank, rules=SplitRules(table=tmp_path / "table.txt"))
    assert splits_of(scanned)["dog/1-1-A.flac"] == "train"


def test_faults_of_a_table_are_collected_with_their_lines(tmp_path: Path) -> None:
    fold_bank(tmp_path / "bank")
    write_bank(tmp_path / "bank", ["dog/x.wav", "cat/x.wav"])
    table = tmp_path / "splits.tsv"
    table.write_text(
        "clip\tsplit\n\n1-101-Q.flac\ttrain\nx.wav\ttest\n2-102-A.ogg\tdove\n"
        "3-103-A.wav\ttrain\n3-103-A.wav\ttest\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError) as caught:
        scan_bank(tmp_path / "bank", rules=SplitRules(table=table))
    for part in (
        "line 3: the bank has no clip 1-101-Q.flac; did you mean 1-101-",
        "line 4: x.wav may be cat/x.wav or dog/x.wav",
        "line 5: split 'dove'",
        "line 7: 3-103-A.wav is listed before",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"nowhere.csv: no such file"):
        scan_bank(tmp_path / "bank", rules=SplitRules(table=tmp_path / "nowhere.csv"))
    table.write_text("a b c\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected a header with the columns clip and split"):
        scan_bank(tmp_path / "bank", rules=SplitRules(table=table))


def test_a_source_or_content_in_two_splits_is_refused(tmp_path: Path) -> None:
    bank = fold_bank(tmp_path / "bank", classes=["dog"])
    table = tmp_path / "splits.tsv"
    table.write_text("clip\tsplit\n1-1-A.flac\ttrain\n1-1-B.flac\ttest\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"source 1 is in train \(dog/1-1-A.flac\) and in test"):
        scan_bank(bank, rules=SplitRules(table=table), strict=False)
    # The same recording under another name.
    shutil.copy(bank / "dog" / "1-1-A.flac", bank / "dog" / "5-77-A.flac")
    table.write_text("clip\tsplit\n1-1-A\ttrain\n5-77-A\ttest\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"content .* is in train"):
        scan_bank(bank, rules=SplitRules(table=table))


def test_the_same_recording_under_two_names_is_one_source_where_sources_are_drawn(
    tmp_path: Path,
) -> None:
    write_bank(tmp_path, [f"dog/{name}.wav" for name in "abcdefgh"])
    for name in "abcdefgh":
        shutil.copy(tmp_path / "dog" / f"{name}.wav", tmp_path / "dog" / f"copy_{name}.wav")
    by_content = defaultdict(set)
    for clip in scan_bank(tmp_path).clips:
        by_content[clip.sha256].add(clip.split)
    assert len(by_content) == 8
    assert all(len(splits) == 1 for splits in by_content.values())


groups = st.dictionaries(
    st.integers(0, 60).map(lambda number: f"clip{number}"),
    st.tuples(st.sampled_from("abcd"), st.integers(0, 25).map(str)),
    min_size=1,
    max_size=50,
)


@given(clips=groups, seed=st.integers(0, 99), train=st.floats(0.1, 1.0), test=st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_drawn_splits_never_divide_a_source(
    clips: dict[str, tuple[str, str]], seed: int, train: float, test: float
) -> None:
    labels = {file: label for file, (label, _) in clips.items()}
    sources = {file: source for file, (_, source) in clips.items()}
    splits = draw_splits(labels, sources, (train, 0.2, test), seed)
    assert splits.keys() == clips.keys()
    of_source = defaultdict(set)
    for file, split in splits.items():
        of_source[sources[file]].add(split)
    assert all(len(there) == 1 for there in of_source.values())
    # The order in which files are listed changes nothing.
    backwards = dict(reversed(labels.items()))
    assert draw_splits(backwards, sources, (train, 0.2, test), seed) == splits


@given(n_sources=st.integers(3, 60), seed=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_drawn_splits_have_their_shares_of_each_class(n_sources: int, seed: int) -> None:
    labels = {f"{label}{n}": label for label in "ab" for n in range(n_sources)}
    splits = draw_splits(labels, {file: file for file in labels}, (0.6, 0.2, 0.2), seed)
    for label in "ab":
        there = [split for file, split in splits.items() if labels[file] == label]
        for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
            assert there.count(split) >= 1
            # Whole sources: rounded by less than one, and each split has one first.
            assert abs(there.count(split) - share * n_sources) < 1.5


def test_another_seed_draws_other_splits_and_the_same_seed_the_same(tmp_path: Path) -> None:
    write_bank(tmp_path, [f"dog/{number}.wav" for number in range(20)])
    first, again, other = (
        splits_of(scan_bank(tmp_path, rules=SplitRules(seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again != other


@given(clips=groups, folds=st.lists(st.integers(1, 10), min_size=26, max_size=26))
@settings(max_examples=60, deadline=None)
def test_splits_by_fold_keep_sources_whole_or_are_not_made(
    clips: dict[str, tuple[str, str]], folds: list[int]
) -> None:
    sources = {file: source for file, (_, source) in clips.items()}
    by_fold = fold_splits({file: folds[int(source)] for file, source in sources.items()}, sources)
    n_folds = len({folds[int(source)] for source in sources.values()})
    assert (by_fold is None) == (n_folds < 3)
    if by_fold is not None:
        assert set(by_fold.values()) == set(SPLITS)
        assert len({(sources[f], split) for f, split in by_fold.items()}) == len(
            set(sources.values())
        )
