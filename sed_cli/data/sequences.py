"""Training sequences cut from recordings, and padded batches of sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from sed_cli.data.sets import Recording

UNKNOWN = math.nan
"""Target of an unannotated frame in sequences; augmentations preserve it."""
SOMEWHERE = math.inf
"""Target of all frames of a clip with a class at unknown times; also preserved."""


class SequenceBatch(NamedTuple):
    """A batch of sequences, padded at the end to the longest of them."""

    log_mel: Tensor  # float32 (B, T, M)
    targets: Tensor  # float32 (B, T, C), 0 or 1; with onsets (B, T, 2C)
    lengths: Tensor  # int64 (B,), frames that are not padding
    # Where targets are known, bool of their shape; None: everywhere. Elsewhere they are 0, and
    # neither loss nor feedback uses them: the model's own output is fed back.
    known: Tensor | None = None
    # Classes present in weakly labelled clips, float32 (B, C), with onsets (B, 2C): 1, 0, or
    # NaN if not weakly labelled; None: there are no such clips.
    tags: Tensor | None = None
    # The teacher's view of the features for unknown targets, (B, T, M); None: the same features.
    other_view: Tensor | None = None
    # Targets of labelled sequences mixed into unlabelled ones, in the shape of ``targets``; 0
    # elsewhere, NaN where unknown; None: nothing was mixed in.
    laid: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """Set on frames that are not padding, bool (B, T)."""
        return torch.arange(self.log_mel.shape[1]) < self.lengths[:, None]


class Sequences(Dataset[tuple[Tensor, Tensor]]):
    """Consecutive pieces of at most ``length`` frames; every frame is in exactly one of them.

    Args:
        recordings: of a split.
        length: frames per sequence; ``None``: whole recordings.
        onsets: whether targets include onsets, after the activities of all classes.
    """

    def __init__(
        self, recordings: Sequence[Recording], length: int | None = None, *, onsets: bool = False
    ) -> None:
        self._recordings = recordings
        self._has_onsets = onsets
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
        """Return features (T, M) and activities (T, C), or targets (T, 2C), both float32."""
        index, first, last = self._pieces[item]
        return torch.tensor(self._recordings[index].log_mel[first:last]), self.targets(item)

    def targets(self, item: int) -> Tensor:
        """Return activities (T, C), or targets (T, 2C), float32, without reading features.

        Pseudo-labels are probabilities.

        Unannotated ones are :data:`UNKNOWN`, those of classes at unknown times in a clip
        :data:`SOMEWHERE`.
        """
        index, first, last = self._pieces[item]
        recording = self._recordings[index]
        given = recording.pseudo_labels
        activities = recording.activities if given is None else given
        targets: NDArray[Any] = activities[first:last]
        if self._has_onsets:
            assert not isinstance(activities, np.ndarray)  # which has no events
            onsets = activities.onsets(slice(first, last))
            targets = np.concatenate([targets, onsets], axis=1)
        made = torch.from_numpy(targets).float()
        known = recording.known(slice(first, last))
        if known is not None:
            _put(made, ~known, UNKNOWN)
        if recording.held is not None:
            _put(made, recording.held[first:last] == 1, SOMEWHERE)
        return made


def _put(targets: Tensor, where: NDArray[np.bool_], value: float) -> None:
    """Set targets (T, C), with onsets (T, 2C), to a value where a mask (T, C) is set."""
    n_kinds = targets.shape[1] // where.shape[1]
    targets[torch.from_numpy(where).repeat(1, n_kinds)] = value


def collate(items: Sequence[tuple[Tensor, Tensor]]) -> SequenceBatch:
    """Join sequences into a batch, with zeros after the shorter ones."""
    log_mels, all_targets = zip(*items, strict=True)
    targets = pad_sequence(list(all_targets), batch_first=True)
    known = tags = None
    if not (finite := targets.isfinite()).all():
        known, tags = finite, _tags_of(targets)
        targets = torch.where(known, targets, 0.0)
    return SequenceBatch(
        pad_sequence(list(log_mels), batch_first=True),
        targets,
        torch.tensor([len(log_mel) for log_mel in log_mels]),
        known,
        tags,
    )


def _tags_of(targets: Tensor) -> Tensor | None:
    """Classes (B, C) present in clips, from targets (B, T, C) that are not finite everywhere."""
    held = targets.isposinf().any(dim=1)
    is_weak = held.any(dim=1, keepdim=True)
    if not is_weak.any():
        return None
    asked = is_weak & ~targets.isnan().any(dim=1)
    return torch.where(asked, held.float(), torch.nan)
