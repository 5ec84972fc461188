"""Pseudo-labels: the probabilities that detectors give to recordings without labels, as targets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sed_cli.config.annotations import UNLABELLED
from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities, SoftActivities
from sed_cli.data.sets import DataSet, Recording
from sed_cli.errors import CheckpointError
from sed_cli.system.files import replacing
from sed_cli.system.limits import raised_size
from sed_cli.system.structured import check_arrays, why

PSEUDO_LABELS = "pseudo_labels.safetensors"
"""File of a run folder."""

_LONGEST_HEADER = 32 * 2**20  # bytes; about 150 for each recording


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Pseudo-labels of recordings.

    Args:
        by_recording: by its name, as in :class:`SoftActivities`; the columns of unknown
            classes are arbitrary.
        known: classes that the teachers detect.
        classes: of the data; one column each, with onsets two.
        fingerprint: of the data.
    """

    by_recording: Mapping[str, NDArray[np.uint8]]
    known: Sequence[str]
    classes: Sequence[str]
    fingerprint: str

    def attached_to(self, data: DataSet, n_kinds: int = 1) -> DataSet:
        """The data set with these labels for its unlabelled recordings; other classes are unknown.

        Args:
            data: with the recordings.
            n_kinds: columns of each class; 2 with onsets.

        Raises:
            CheckpointError: if they are those of other data, or of another model.
        """
        if (*self.classes,) != data.classes or self.fingerprint != data.fingerprint:
            raise CheckpointError(
                f"{PSEUDO_LABELS}: recordings, annotations or classes have changed: start a new run"
            )
        n_columns = n_kinds * len(data.classes)
        others = [label for label in data.classes if label not in set(self.known)]
        labelled = []
        for recording in data.splits[UNLABELLED]:
            stored = self.by_recording.get(recording.name)
            if stored is None or stored.shape != (recording.n_frames, n_columns):
                raise CheckpointError(
                    f"{PSEUDO_LABELS}: not the labels of these recordings ({recording.name}): "
                    f"start a new run"
                )
            labelled.append(_labelled(recording, stored, data, others))
        return replace(data, splits={**data.splits, UNLABELLED: labelled})

    def write(self, path: Path) -> None:
        """Write them, atomically."""
        words = {"known": [*self.known], "classes": [*self.classes], "data": self.fingerprint}
        content = save(dict(self.by_recording), {"labels": json.dumps(words)})
        with replacing(path) as new:
            new.write_bytes(content)

    @classmethod
    def read(cls, path: Path) -> PseudoLabels:
        """Read what :meth:`write` wrote.

        Raises:
            CheckpointError: if it cannot be read.
        """
        try:
            check_arrays(path, raised_size(_LONGEST_HEADER))
            with safe_open(path, "numpy") as file:
                words = json.loads(file.metadata()["labels"])
                known, classes = (
                    [str(each) for each in words[key]] for key in ("known", "classes")
                )
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if any(each.dtype != np.uint8 or each.ndim != 2 for each in found.values()):
                raise ValueError("expected bytes by frame and class")
        except (
            *(OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError),
        ) as error:
            raise CheckpointError(
                f"{path}: cannot be read ({why(error)}): start a new run"
            ) from error
        return cls(
            by_recording=found, known=known, classes=classes, fingerprint=str(words.get("data"))
        )


def _labelled(
    recording: Recording, stored: NDArray[np.uint8], data: DataSet, others: Sequence[str]
) -> Recording:
    frames = (data.classes, recording.n_frames, data.hop_s)
    spans = [Event(0.0, recording.duration_s + data.hop_s, label) for label in others]
    return replace(
        recording,
        pseudo_labels=SoftActivities(stored, len(data.classes)),
        unknown_frames=Activities(spans, *frames) if spans else None,
    )
