"""Recordings cut into training sequences, and sequences joined into padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from sed_cli.data.sets import Recording


class SequenceBatch(NamedTuple):
    """A batch of sequences, padded at the end to the longest of them."""

    log_mel: Tensor  # float32 (B, T, M)
    targets: Tensor  # float32 (B, T, C), 0 or 1
    lengths: Tensor  # int64 (B,), frames that are not padding

    @property
    def valid(self) -> Tensor:
        """Set on frames that are not padding, bool (B, T)."""
        return torch.arange(self.log_mel.shape[1]) < self.lengths[:, None]


class Sequences(Dataset[tuple[Tensor, Tensor]]):
    """Consecutive pieces of at most ``length`` frames; every frame is in exactly one of them.

    Args:
        recordings: of a split.
        length: frames a sequence; ``None``: whole recordings.
    """

    def __init__(self, recordings: Sequence[Recording], length: int | None = None) -> None:
        self._recordings = recordings
        self._pieces = [
            (index, first, min(first + (length or recording.n_frames), recording.n_frames))
            for index, recording in enumerate(recordings)
            for first in range(0, recording.n_frames, length or recording.n_frames)
        ]

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def lengths(self) -> list[int]:
        """Frames of each piece."""
        return [last - first for _, first, last in self._pieces]

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        """Return features (T, M) and activities (T, C) of a piece, both float32."""
        index, first, last = self._pieces[item]
        recording = self._recordings[index]
        log_mel = torch.tensor(recording.log_mel[first:last])
        return log_mel, torch.from_numpy(recording.activities[first:last]).float()


def collate(items: Sequence[tuple[Tensor, Tensor]]) -> SequenceBatch:
    """Join sequences into a batch, with zeros after the shorter ones."""
    log_mels, targets = zip(*items, strict=True)
    return SequenceBatch(
        pad_sequence(list(log_mels), batch_first=True),
        pad_sequence(list(targets), batch_first=True),
        torch.tensor([len(log_mel) for log_mel in log_mels]),
    )
