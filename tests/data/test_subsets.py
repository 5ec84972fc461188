"""Parts of a training split: nested, whole recordings, and the same classes as the whole."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.config.data import AnnotatedConfig, DataConfig, SoundscapesConfig
from sed_cli.config.identity import config_hash
from sed_cli.config.tools import SynthConfig
from sed_cli.data.annotations import Event
from sed_cli.data.manifest import Clip
from sed_cli.data.subsets import Subset, subset_of
from sed_cli.data.survey import load_manifest
from sed_cli.errors import DataError
from tests.data.test_sets import load_set, write_set

TABLES = {
    "train": {f"{n}.wav": [Event(0.1, 0.3, "dog" if n else "cat")] for n in range(8)},
    "validation": {"v.wav": [Event(0.1, 0.2, "dog")]},
    "test": {"t.wav": [Event(0.1, 0.2, "cat")]},
}


def clips_of(lengths_s: list[float]) -> list[Clip]:
    """Recordings of three sources, each with an event."""
    return [
        Clip(name=f"s{n % 3}_{n}.wav", path=Path(), duration_s=length, events=(Event(0, 1, "a"),))
        for n, length in enumerate(lengths_s)
    ]


def part(clips: list[Clip], group: str | None = None, **asked: float) -> Subset:
    found = subset_of(clips, DataConfig(kind="any", **asked), group)  # type: ignore[arg-type]
    assert found is not None
    return found


def names(found: Subset) -> set[str]:
    return {clip.name for clip in found.clips}


@given(
    lengths_s=st.lists(st.floats(1, 200), min_size=1, max_size=20),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    group=st.sampled_from([None, "^s[0-9]"]),
    seed=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_smaller_part_lies_within_a_larger_one(
    lengths_s: list[float], shares: list[float], group: str | None, seed: int
) -> None:
    clips = clips_of(lengths_s)
    how = {"group": group, "train_seed": seed}

    by_share = [part(clips, train_share=share, **how) for share in shares]  # type: ignore[arg-type]
    minutes = [share * sum(lengths_s) / 60 for share in shares]
    by_length = [part(clips, train_minutes=each, **how) for each in minutes]  # type: ignore[arg-type]

    for smaller, larger in (by_share, by_length):
        assert names(smaller) <= names(larger)
    for share, found in zip(shares, by_share, strict=True):
        assert len(found.clips) >= max(1, round(share * len(clips)))
        assert group or len(found.clips) == max(1, round(share * len(clips)))
    for wanted, found in zip(minutes, by_length, strict=True):
        assert sum(clip.duration_s for clip in found.clips) / 60 >= wanted - 1e-6
    if group:
        for found in (*by_share, *by_length):
            rest = {clip.name[:2] for clip in clips} - {name[:2] for name in names(found)}
            kept = {name[:2] for name in names(found)}
            assert {c.name for c in clips if c.name[:2] in kept} == names(found)
            assert not kept & rest


def test_no_more_is_kept_than_the_minutes_take() -> None:
    clips = clips_of([30.0] * 10)

    assert len(part(clips, train_minutes=2).clips) == 4
    assert len(part(clips, train_minutes=2.1).clips) == 5
    assert len(part(clips, train_minutes=0.01).clips) == 1


def test_another_seed_draws_others() -> None:
    clips = clips_of([1.0] * 20)

    drawn = {frozenset(names(part(clips, train_share=0.3, train_seed=seed))) for seed in range(5)}

    assert len(drawn) == 5


def test_more_minutes_than_there_are_keep_all_and_say_so() -> None:
    found = part(clips_of([30.0] * 4), train_minutes=5)

    assert len(found.clips) == 4
    assert found.warnings == ["data.train_minutes=5: the training split lasts only 2.0 minutes"]


def test_a_part_without_any_event_is_refused() -> None:
    clips = [Clip(name="a.wav", path=Path()), *clips_of([1.0])]
    empty = next(s for s in range(50) if names_or_fault(clips, s) is None)

    with pytest.raises(DataError, match=r"train_share=0.5 keeps 1 of 2 recordings.*no.* event"):
        part(clips, train_share=0.5, train_seed=empty)


def names_or_fault(clips: list[Clip], seed: int) -> set[str] | None:
    try:
        return names(part(clips, train_share=0.5, train_seed=seed))
    except DataError:
        return None


def test_only_the_training_split_is_cut_and_the_classes_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = write_set(tmp_path, TABLES)
    whole = load_set(root)

    for seed in range(20):
        caplog.clear()
        data = load_set(root, train_share=0.5, train_seed=seed)
        if not any("cat" in e.label for clip in data.splits["train"] for e in clip.events):
            break

    assert data.classes == whole.classes == ("cat", "dog")
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [4, 1, 1]
    assert data.facts["train_recordings"] == 4
    assert data.facts["train_minutes"] == pytest.approx(4 * 0.5 / 60)
    assert "4 of 8 recordings of the training split are kept, 0.0 of 0.1 minutes" in caplog.text
    assert "data.train_share=0.5 leaves no training event of cat" in caplog.text


def test_whoever_lists_the_training_split_alone_sees_the_same_part(tmp_path: Path) -> None:
    root = write_set(tmp_path, TABLES)
    config = AnnotatedConfig(root=str(root), train_share=0.4)
    trained = load_manifest(config)

    alone = load_manifest(config, splits=["train"], classes=trained.classes)

    assert [c.name for c in alone.splits["train"]] == [c.name for c in trained.splits["train"]]
    assert len(alone.splits["train"]) == 3


def test_both_a_share_and_minutes_are_a_fault() -> None:
    for config in (
        SoundscapesConfig(train_share=0.5, train_minutes=3),
        AnnotatedConfig(root="x", train_share=0.5, train_minutes=3),
    ):
        (fault,) = config.faults()
        assert "data.train_share=0.5 and data.train_minutes=3" in fault


def test_synth_writes_whole_splits() -> None:
    config = SynthConfig(output_dir="x", data=SoundscapesConfig(train_share=0.5))

    assert config.faults() == [
        "data.train_share set, but synth writes whole splits: lower data.n_train"
    ]


def test_what_is_trained_on_whole_keeps_its_config_hash() -> None:
    whole = config_hash(SoundscapesConfig())

    assert whole == config_hash(SoundscapesConfig(train_seed=0))
    assert whole != config_hash(SoundscapesConfig(train_share=0.5))
    assert whole != config_hash(SoundscapesConfig(train_minutes=3))
