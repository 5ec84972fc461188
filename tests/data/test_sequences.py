"""Recordings to sequences to batches: no frame lost or repeated, nothing in the padding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.annotations import Event
from sed_cli.data.augmentation import Draws, Item, Others, Training
from sed_cli.data.augmentations.mixup import Mixup
from sed_cli.data.augmentations.roll import Roll
from sed_cli.data.frames import Activities
from sed_cli.data.sequences import UNKNOWN, Sequences, collate
from sed_cli.data.sets import Recording


def make_recording(n_frames: int, seed: int = 0) -> Recording:
    random = np.random.default_rng(seed)
    return Recording(
        name=f"{seed}.wav",
        path=Path(f"{seed}.wav"),
        duration_s=n_frames * 0.02,
        log_mel=random.normal(1.0, 0.1, (n_frames, 4)).astype(np.float32),
        activities=random.integers(0, 2, (n_frames, 3), dtype=np.uint8),
        events=(),
    )


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    length=st.none() | st.integers(1, 40),
)
def test_every_frame_is_in_exactly_one_piece_in_order(sizes: list[int], length: int | None) -> None:
    recordings = [make_recording(n_frames, seed) for seed, n_frames in enumerate(sizes)]
    sequences = Sequences(recordings, length)

    pieces = [sequences[index] for index in range(len(sequences))]

    features = np.concatenate([recording.log_mel for recording in recordings])
    activities = np.concatenate([recording.activities for recording in recordings])
    np.testing.assert_array_equal(torch.cat([log_mel for log_mel, _ in pieces]), features)
    np.testing.assert_array_equal(torch.cat([targets for _, targets in pieces]), activities)
    assert all(len(log_mel) == len(targets) <= (length or 30) for log_mel, targets in pieces)
    assert len(pieces) == sum(-(-n // (length or n)) for n in sizes)


def test_no_piece_spans_two_recordings() -> None:
    sequences = Sequences([make_recording(5), make_recording(7, 1)], 4)

    assert [len(sequences[index][0]) for index in range(len(sequences))] == [4, 1, 4, 3]


def test_targets_with_onsets_are_activities_then_where_events_begin() -> None:
    events = [Event(0.02, 0.1, "a"), Event(0.1, 0.14, "a"), Event(0.04, 0.2, "b")]
    activities = Activities(events, ["a", "b", "c"], 10, 0.02)
    recording = replace(make_recording(10), activities=activities)
    sequences = Sequences([recording], 4, onsets=True)

    targets = torch.cat([sequences[index][1] for index in range(len(sequences))])

    np.testing.assert_array_equal(targets[:, :3], activities[:])
    assert [column.nonzero().ravel().tolist() for column in targets[:, 3:].T] == [
        [1, 2, 5, 6],
        [2, 3],
        [],
    ]
    assert targets.dtype == torch.float32


def test_a_batch_is_padded_with_zeros_at_the_end() -> None:
    items = [(torch.ones(n, 4), torch.ones(n, 3)) for n in (2, 5, 1)]

    batch = collate(items)

    assert batch.log_mel.shape == (3, 5, 4)
    assert batch.targets.shape == (3, 5, 3)
    assert batch.lengths.tolist() == [2, 5, 1]
    assert batch.valid.tolist() == [[True] * n + [False] * (5 - n) for n in (2, 5, 1)]
    for tensor in (batch.log_mel, batch.targets):
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor.amax(dim=2), batch.valid.float())
        torch.testing.assert_close(tensor.amin(dim=2), batch.valid.float())


def test_a_piece_is_a_copy_of_the_mapped_features(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", make_recording(6).log_mel)
    recording = make_recording(6)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    object.__setattr__(recording, "log_mel", mapped)

    log_mel, _ = Sequences([recording], 3)[0]
    log_mel.zero_()

    assert np.abs(mapped).min() > 0


def partly_known() -> Recording:
    """Ten frames of 20 ms; a is not annotated from 40 to 100 ms, but an event in it is known."""
    events = (Event(0.06, 0.08, "a"), Event(0.12, 0.16, "a"))
    spans = (Event(0.04, 0.1, "a"),)
    return replace(
        make_recording(10),
        events=events,
        activities=Activities(events, ["a", "b", "c"], 10, 0.02),
        unknown_frames=Activities(spans, ["a", "b", "c"], 10, 0.02),
    )


@pytest.mark.parametrize("onsets", [False, True])
def test_an_unannotated_frame_is_unknown_and_annotated_events_are_known(onsets: bool) -> None:
    whole = replace(make_recording(4), activities=Activities([], ["a", "b", "c"], 4, 0.02))
    sequences = Sequences([partly_known(), whole], onsets=onsets)

    batch = collate([sequences[0], sequences[1]])

    assert batch.known is not None
    assert batch.known.shape == batch.targets.shape
    assert (~batch.known).nonzero().tolist() == [
        [0, frame, column] for frame in (2, 4) for column in ([0, 3] if onsets else [0])
    ]
    assert not batch.targets[~batch.known].any()
    assert batch.targets[0, :, 0].nonzero().ravel().tolist() == [3, 6, 7]


def test_a_batch_that_is_all_known_has_no_mask() -> None:
    assert collate([(torch.ones(2, 4), torch.ones(2, 3))]).known is None


def test_augmentations_carry_along_what_is_unknown() -> None:
    training = Training(LogMelConfig(n_mels=4), torch.zeros(4), 0)
    items = [(torch.rand(6, 4), torch.zeros(6, 2)) for _ in range(2)]
    items[1][1][2, 0] = UNKNOWN
    items[1][1][5, 1] = 1.0
    others = Others(items, 2, 0)

    mixed = Mixup(mixup=1.0).apply(Item(*items[0]), Draws(0, 1, 0), others, training)
    rolled = Roll(roll=1.0).apply(Item(*items[1]), Draws(0, 1, 0), others, training)

    assert mixed.targets.isnan().nonzero().tolist() == [[2, 0]]
    assert mixed.targets[5, 1] == 1
    ((frame, column),) = rolled.targets.isnan().nonzero().tolist()
    assert column == 0
    assert torch.equal(rolled.log_mel[frame], items[1][0][2])


def test_a_piece_that_is_not_there_ends_the_iteration() -> None:
    with pytest.raises(IndexError):
        Sequences([make_recording(5)], 4)[2]
