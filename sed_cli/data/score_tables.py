"""Tables of frame scores, one file per recording, as in sed_scores_eval and DESED's baselines.

Columns are ``onset`` and ``offset`` in seconds, then one per class with its scores in [0, 1];
``sedtf predict probabilities=true`` writes the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event, check_faults, read_annotations
from sed_cli.data.endings import AUDIO_ENDINGS, SCORES_ENDING
from sed_cli.data.frames import Activities
from sed_cli.data.sets import DataSet, Recording
from sed_cli.errors import DataError
from sed_cli.system.structured import open_regular, read_plain, why

_ENDINGS = {".tsv": "\t", ".csv": ","}
_TIMES = ["onset", "offset"]
_NAMES = ("filename", "file", "audio_id")  # column of recordings in a table of durations


@dataclass(frozen=True)
class ScoreTable:
    """The scores of a recording: labels, edges of its frames (T + 1,), and scores (T, C)."""

    path: Path
    labels: tuple[str, ...]
    edges_s: NDArray[np.float64]
    scores: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path) -> ScoreTable:
        """Read a table.

        Raises:
            DataError: if it is invalid, or contains anything but probabilities.
        """
        delimiter = _ENDINGS[path.suffix.lower()]
        try:
            with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
                header = next(csv.reader(file, delimiter=delimiter), [])
                labels = tuple(header[len(_TIMES) :])
                if header[: len(_TIMES)] != _TIMES or not labels or len(set(labels)) < len(labels):
                    raise DataError(
                        f"{path}: a header of {', '.join(header[:4])}: expected onset, offset and "
                        "one column per class"
                    )
                values = np.loadtxt(file, delimiter=delimiter, ndmin=2, comments=None)
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path}: not a table of scores ({why(error)})") from error
        if not len(values):
            raise DataError(f"{path}: no frames")
        scores = values[:, len(_TIMES) :]
        if not (np.isfinite(values).all() and scores.min() >= 0 and scores.max() <= 1):
            raise DataError(
                f"{path}: scores from {scores.min():g} to {scores.max():g}: expected probabilities"
            )
        edges_s = np.append(values[:, 0], values[-1, 1])
        if (np.diff(edges_s) <= 0).any() or not np.allclose(
            values[:-1, 1], values[1:, 0], atol=5e-3
        ):
            raise DataError(f"{path}: frames that are not contiguous")
        return cls(path, labels, edges_s, scores.astype(np.float32))

    @property
    def name(self) -> str:
        """Name of the recording: without the ending of the table."""
        name = self.path.name
        is_ours = name.endswith(SCORES_ENDING)
        return name.removesuffix(SCORES_ENDING) if is_ours else self.path.stem


@dataclass(frozen=True)
class GivenScores:
    """A data set whose recordings are only known by their scores."""

    data: DataSet
    scores: Mapping[str, NDArray[np.float32]]  # by recording, (T, C)


def read_score_set(folder: Path, annotations: Path, durations: Path | None) -> GivenScores:
    """Read a folder of score tables and the annotations of their recordings.

    Args:
        folder: of the tables.
        annotations: a file that names recordings, with or without their endings.
        durations: a table with the columns ``filename`` and ``duration``; ``None``: recordings
            are as long as their scores.

    Raises:
        DataError: if something is missing, or does not fit the rest.
    """
    tables = [ScoreTable.read(path) for path in _tables_in(folder)]
    if not tables:
        raise DataError(f"scores={folder}: not a folder with tables (.tsv, .csv) of scores")
    labels = tables[0].labels
    for table in tables:
        if table.labels != labels:
            raise DataError(f"{table.path}: other classes than in {tables[0].path}")
    hop_s = _hop_s(tables)
    found = {table.name: table for table in tables}
    events = _events(annotations, found, labels)
    lengths_s = {} if durations is None else _durations(durations)
    recordings = []
    for name, table in found.items():
        if durations is not None and name not in lengths_s:
            raise DataError(f"{durations}: no duration of {name}, which has scores")
        duration_s = lengths_s.get(name, float(table.edges_s[-1]))
        own = tuple(
            Event(event.onset_s, min(event.offset_s, duration_s), event.label)
            for event in events.get(name, ())
            if event.onset_s < duration_s
        )
        n_frames = len(table.scores)
        recordings.append(
            Recording(
                name=name,
                path=table.path,
                duration_s=duration_s,
                events=own,
                log_mel=np.zeros((n_frames, 0), np.float32),
                activities=Activities(own, labels, n_frames, hop_s),
            )
        )
    fingerprint = _fingerprint(tables, recordings)
    data = DataSet(
        classes=labels, hop_s=hop_s, splits={"test": recordings}, fingerprint=fingerprint
    )
    return GivenScores(data, {name: table.scores for name, table in found.items()})


def _tables_in(folder: Path) -> list[Path]:
    """The tables of a folder, without events that ``sedtf predict`` wrote beside them."""
    paths = [
        path
        for path in sorted(folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in _ENDINGS and path.name[0] not in "._"
    ]
    ours = [path for path in paths if path.name.endswith(SCORES_ENDING)]
    return ours or paths


def _hop_s(tables: Sequence[ScoreTable]) -> float:
    """Seconds from one frame to the next, constant throughout."""
    spans_s = [table.edges_s[-2] - table.edges_s[0] for table in tables]
    n_hops = sum(len(table.scores) - 1 for table in tables)
    if not n_hops:
        raise DataError(f"{tables[0].path}: a single frame")
    hop_s = float(sum(spans_s)) / n_hops
    for table in tables:
        off_s = np.abs(table.edges_s[:-1] - hop_s * np.arange(len(table.scores))).max()
        if off_s > hop_s / 2:
            raise DataError(
                f"{table.path}: a frame is {off_s:.3g} s off: expected frames that start at 0 "
                f"and are {hop_s:.4g} s long, as on average in all tables"
            )
    return hop_s


def _stem(name: str) -> str:
    """A recording's name without folder and ending."""
    path = Path(name)
    return path.stem if path.suffix.lower() in AUDIO_ENDINGS else path.name


def _events(
    path: Path, found: Mapping[str, ScoreTable], labels: Sequence[str]
) -> dict[str, list[Event]]:
    annotated = read_annotations(path)
    check_faults(annotated.faults, strict=True)
    events = {_stem(name): of for name, of in annotated.events.items()}
    missing = sorted(set(events) - set(found))
    if missing:
        raise DataError(
            f"{path}: no scores of {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''} "
            f"({len(missing)} of {len(events)} recordings)"
        )
    unknown = sorted({event.label for of in events.values() for event in of} - set(labels))
    if unknown:
        raise DataError(
            f"{path}: no scores of the class {', '.join(unknown)}; there are {', '.join(labels)}"
        )
    return events


def _durations(path: Path) -> dict[str, float]:
    try:
        text = read_plain(path)
        delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
        names = [name for name in _NAMES if rows and name in rows[0]]
        return {_stem(row[names[0]]): float(row["duration"]) for row in rows}
    except (OSError, ValueError, TypeError, KeyError, IndexError, csv.Error) as error:
        raise DataError(
            f"{path}: expected the columns filename and duration ({why(error)})"
        ) from error


def _fingerprint(tables: Sequence[ScoreTable], recordings: Sequence[Recording]) -> str:
    digest = hashlib.sha256()
    for table, recording in zip(tables, recordings, strict=True):
        digest.update(repr((recording.name, recording.duration_s, recording.events)).encode())
        digest.update(table.scores.tobytes())
    return digest.hexdigest()
