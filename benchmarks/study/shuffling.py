"""Birdsong with its notes in another order: the audio of each note stays, the syntax goes."""

from __future__ import annotations

import csv
import hashlib
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

SPLITS = ("train", "validation", "test")

Note = tuple[float, float, str]  # onset and offset in seconds, label


def shuffle_notes(root: Path, target: Path) -> Path:
    """Write a data set with splits anew, each recording's notes in a random order.

    A recording is cut in the middle between the offset of a note and the onset of the next; what
    lies between two cuts, a note with half of the silence on either side, changes its place. So
    every note sounds as before, and which class follows which is chance. Cuts fade in and out over
    a millisecond. What was written before stays.

    Args:
        root: with ``train.tsv``, ``validation.tsv``, ``test.tsv`` and the folder ``audio``; one
            event at a time.
        target: new root.

    Returns:
        ``target``.
    """
    if (target / "test.tsv").is_file():  # written last
        return target
    (target / "audio").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (root / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        notes: dict[str, list[Note]] = {row["filename"]: [] for row in rows}
        for row in rows:
            if row["onset"]:
                note = (float(row["onset"]), float(row["offset"]), row["event_label"])
                notes[row["filename"]].append(note)
        lines = ["filename\tonset\toffset\tevent_label"]
        for name, of_file in notes.items():
            audio, rate = soundfile.read(root / "audio" / name, dtype="float32")
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
            mixed, moved = shuffled(audio, rate, sorted(of_file), np.random.default_rng(seed))
            soundfile.write(target / "audio" / name, mixed, rate)
            lines += [f"{name}\t{a:.6f}\t{b:.6f}\t{label}" for a, b, label in moved]
            lines += [] if moved else [f"{name}\t\t\t"]
        written = target / f"{split}.part"
        written.write_text("\n".join(lines) + "\n", encoding="utf-8")
        shutil.move(written, target / f"{split}.tsv")
    return target


def shuffled(
    audio: np.ndarray, rate: int, notes: list[Note], random: np.random.Generator
) -> tuple[np.ndarray, list[Note]]:
    """Put the notes of a recording in another order.

    Args:
        audio: (n_samples,).
        rate: in Hz.
        notes: sorted, none of which overlap.
        random: decides the order.

    Returns:
        Audio of the same length, and the notes where they are now.
    """
    if len(notes) < 2:
        return audio, notes
    between = [(a[1] + b[0]) / 2 for a, b in pairwise(notes)]
    cuts = [0, *(round(at_s * rate) for at_s in between), len(audio)]
    pieces = list(pairwise(cuts))
    order = random.permutation(len(pieces))
    parts, moved, start = [], [], 0
    for index in order:
        first, last = pieces[index]
        onset, offset, label = notes[index]
        shift_s = (start - first) / rate
        moved.append((onset + shift_s, offset + shift_s, label))
        parts.append(_faded(audio[first:last], rate))
        start += last - first
    return np.concatenate(parts), moved


def _faded(piece: np.ndarray, rate: int) -> np.ndarray:
    n = min(rate // 1000, len(piece) // 2)
    ramp = np.linspace(0, 1, n, endpoint=False, dtype=piece.dtype)
    faded = piece.copy()
    faded[:n] *= ramp
    faded[len(piece) - n :] *= ramp[::-1]
    return faded
