"""Event labels of annotated recordings as sequences; no audio is needed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sed_cli.config.annotations import SPLITS
from sed_cli.config.tokens import LabelsConfig
from sed_cli.data.annotations import check_faults
from sed_cli.data.listing import Reading, list_recordings
from sed_cli.data.manifest import Clip
from sed_cli.data.splits import divide
from sed_cli.data.statistics import label_sequences
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short
from sed_cli.tasks.sequence.data.files import Texts

log = logging.getLogger(__name__)

_SHOWN = 3


def read_label_sequences(data: LabelsConfig) -> dict[str, Texts]:
    """Read the sequences of each split: labels separated by spaces.

    Events are in order of onset, whether they overlap or not, as in ``sedtf data``. White space
    within a label becomes an underscore, so that a label is one word.

    Raises:
        DataError: for missing files, faults in annotations, a recording in two splits, two labels
            that differ only in white space, or a split without any event.
    """
    reading = Reading.of(data)
    splits = _divided(data, reading) if data.annotations is not None else _given(data, reading)
    for line in reading.notes.lines():
        log.info("%s", line)
    events = {name: [_with_events(one) for one in listed] for name, listed in splits.items()}
    found = {e.label for entries in events.values() for entry in entries for e in entry.events}
    labels = sorted(found)
    words = _words(labels)
    texts = {}
    for name, entries in events.items():
        sequences = label_sequences(entries, labels, sequence_gap_s=data.gap)
        if not sequences:
            raise DataError(f"the {name} split contains no event and thus no labels")
        log.info(
            "%s: %d recordings contain %d sequences of labels", name, len(entries), len(sequences)
        )
        texts[name] = Texts([" ".join(words[label] for label in one) for one in sequences])
    return texts


def as_word(label: str) -> str:
    """A label without white space."""
    return "_".join(label.split())


def _words(labels: Sequence[str]) -> list[str]:
    words: dict[str, str] = {}
    for label in labels:
        word = as_word(label)
        if (other := words.setdefault(word, label)) != label:
            raise DataError(
                f"the labels {other!r} and {label!r} differ only in white space: rename one of "
                f"them, or both to the same"
            )
    return list(words)


# ---------------------------------------------------------------------------- recordings


def _divided(data: LabelsConfig, reading: Reading) -> dict[str, list[Clip]]:
    """Divide the recordings of one data set by shares."""
    listed = _list(data, str(data.annotations), reading)
    shares = dict(zip(SPLITS, data.split, strict=True))
    divided = divide(listed, shares, group=data.group, seed=data.split_seed)
    log.info(
        "%d recordings, divided into splits: %s (data.split)",
        len(listed),
        ", ".join(f"{name} {len(part)}" for name, part in divided.items()),
    )
    return divided


def _given(data: LabelsConfig, reading: Reading) -> dict[str, list[Clip]]:
    """Read the splits of a data set that has them."""
    paths = {name: getattr(data, name) for name in SPLITS}
    splits = {name: _list(data, path, reading) for name, path in paths.items() if path is not None}
    split_of: dict[str, str] = {}
    for name, listed in splits.items():
        if twice := [one.name for one in listed if split_of.setdefault(one.name, name) != name]:
            raise DataError(
                f"{paths[name]}: {cut_short(twice, _SHOWN)} is in the {split_of[twice[0]]} "
                f"split too, so the model would be tested on training data; remove it from one"
            )
    return splits


def _list(data: LabelsConfig, path: str, reading: Reading) -> list[Clip]:
    """List the recordings that are annotated by a file, or by the files of a folder."""
    place = Path(path).expanduser()
    listed, faults = list_recordings(place, None, reading)
    check_faults(faults, strict=data.strict)
    if not listed:
        raise DataError(f"{place}: annotates no recording")
    if data.gap is not None and (counted := [one for one in listed if one.in_samples]):
        raise DataError(
            f"{counted[0].annotations}: times are in samples, and the sample rates are not read "
            f"here: data.gap={data.gap} needs seconds; leave it out, or convert the times"
        )
    return listed


def _with_events(clip: Clip) -> Clip:
    """Let the recording end with its last event: its audio is not read."""
    events = tuple(row.event for row in clip.rows if row.event is not None)
    last_s = max((event.offset_s for event in events), default=0.0)
    return replace(clip, duration_s=last_s, events=tuple(sorted(events)), rows=())
