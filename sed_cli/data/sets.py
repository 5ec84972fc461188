"""Data sets: from a configuration to recordings with features, activities and events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sed_cli.audio import duration_s
from sed_cli.data.annotations import Event, check_faults, read_annotations
from sed_cli.data.cache import FeatureCache, StoredArray, cache_root
from sed_cli.data.frames import events_to_activities
from sed_cli.data.soundscapes import SoundscapeSettings, write_soundscapes
from sed_cli.errors import DataError
from sed_cli.schema import (
    SPLITS,
    AnnotatedConfig,
    DataConfig,
    FeatureConfig,
    SoundscapesConfig,
    SplitConfig,
)

log = logging.getLogger(__name__)

_SHOWN_FAULTS = 10
_SLACK_S = 0.1  # onsets may pass the end of a recording by rounding, not by more


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording with its features and what is annotated in it."""

    name: str
    path: Path
    duration_s: float
    log_mel: NDArray[np.float32] | StoredArray  # (T, M)
    activities: NDArray[np.uint8]  # (T, C)
    events: tuple[Event, ...]

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.log_mel)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The splits that were asked for, with the classes they share."""

    classes: tuple[str, ...]
    hop_s: float
    splits: dict[str, list[Recording]]
    fingerprint: str  # hash of all audio and annotations

    def statistics(self, split: str = "train") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each mel band over a split, each (M,)."""
        recordings = self.splits[split]
        count = sum(recording.n_frames for recording in recordings)
        mean = sum(np.sum(r.log_mel, axis=0, dtype=np.float64) for r in recordings) / count
        square = (
            sum(np.square(np.asarray(r.log_mel) - mean).sum(axis=0) for r in recordings) / count
        )
        return np.asarray(mean, np.float32), np.asarray(np.sqrt(square), np.float32)


def load_data(
    data: DataConfig,
    feature: FeatureConfig,
    *,
    splits: Sequence[str] = SPLITS,
    classes: Sequence[str] | None = None,
) -> DataSet:
    """Load a data set: generate it where needed, read annotations, compute or map features.

    Args:
        data: the set.
        feature: settings of the features.
        splits: those wanted; one that the set does not have is left out.
        classes: labels to detect; ``None``: those the set names, else those of its training split.

    Returns:
        The data set; features come from the cache.

    Raises:
        DataError: for missing audio, faults in annotations, or labels that no class stands for.
    """
    root = cache_root(data.cache_dir)
    described = _generate(data, root) if isinstance(data, SoundscapesConfig) else data
    assert isinstance(described, AnnotatedConfig)
    return _load_annotated(described, feature, root, splits, classes)


def _generate(data: SoundscapesConfig, root: Path) -> AnnotatedConfig:
    """Write the soundscapes unless they are there, and describe them as an annotated set."""
    names = {field.name for field in fields(SoundscapeSettings)}
    values = {key: value for key, value in asdict(data).items() if key in names}
    if data.classes is None:
        del values["classes"]  # all there are
    settings = SoundscapeSettings(**values)
    folder = root / "soundscapes" / settings.fingerprint()
    if not folder.is_dir():
        total = data.n_train + data.n_validation + data.n_test
        log.info("generating %d soundscapes of %g s in %s", total, data.duration_s, folder)
        with tqdm(total=total, desc="soundscapes", unit="file", leave=False, disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.update(done - bar.n)

            write_soundscapes(folder, settings, progress=progress)
    return AnnotatedConfig(
        sequence_length=data.sequence_length,
        cache_dir=data.cache_dir,
        root=str(folder),
        train=SplitConfig("train.tsv", "audio/train"),
        validation=SplitConfig("validation.tsv", "audio/validation"),
        test=SplitConfig("test.tsv", "audio/test"),
        classes=list(settings.classes),
    )


def _load_annotated(
    data: AnnotatedConfig,
    feature: FeatureConfig,
    root: Path,
    splits: Sequence[str],
    classes: Sequence[str] | None,
) -> DataSet:
    folder = Path(data.root).expanduser()
    if not folder.is_dir():
        raise DataError(f"data.root={data.root}: no such folder")
    wanted = {name: getattr(data, name) for name in splits}
    tables = {
        name: _read_table(data, folder / split.annotations)
        for name, split in wanted.items()
        if split is not None
    }
    chosen = classes or data.classes
    labels = tuple(chosen or _training_labels(data, tables))
    if not chosen:
        _refuse_unknown_labels(tables, labels)
    if classes is None and "train" in tables:
        _refuse_nothing_to_learn(tables["train"], labels)
    if classes is not None:
        _compare_labels(tables, labels)
    _refuse_missing_audio(folder, wanted, tables)
    cache = FeatureCache(root, feature)
    content = hashlib.blake2b(digest_size=16)
    loaded: dict[str, list[Recording]] = {}
    for name, table in tables.items():
        audio = folder / wanted[name].audio
        loaded[name] = []
        for filename, events in tqdm(
            table.items(), desc=f"{name} features", leave=False, disable=None
        ):
            recording, key = _load_recording(
                audio / filename, filename, events, labels, cache, feature.hop_s
            )
            loaded[name].append(recording)
            content.update(repr((name, filename, key, events)).encode())
    return DataSet(
        classes=labels, hop_s=feature.hop_s, splits=loaded, fingerprint=content.hexdigest()
    )


def _read_table(data: AnnotatedConfig, path: Path) -> dict[str, list[Event]]:
    annotations = read_annotations(
        path,
        columns=data.columns,
        event_duration_s=data.event_duration_s,
        soft_threshold=data.soft_threshold,
    )
    check_faults(annotations.faults, strict=data.strict)
    return annotations.events


def _load_recording(
    path: Path,
    name: str,
    events: list[Event],
    classes: Sequence[str],
    cache: FeatureCache,
    hop_s: float,
) -> tuple[Recording, str]:
    log_mel, content = cache.load(path)
    length_s = duration_s(path)
    late = [event for event in events if event.onset_s >= length_s + _SLACK_S]
    if late:
        raise DataError(
            f"{path}: lasts {length_s:.3f} s, but {late[0].label} is annotated at "
            f"{late[0].onset_s:.3f} s; correct the annotation"
        )
    if any(event.offset_s >= length_s + _SLACK_S for event in events):
        log.warning("%s: lasts %.3f s; events annotated beyond that are cut there", path, length_s)
    kept = [
        event._replace(offset_s=min(event.offset_s, length_s))
        for event in events
        if event.label in classes and event.onset_s < length_s
    ]
    recording = Recording(
        name=name,
        path=path,
        duration_s=length_s,
        log_mel=log_mel,
        activities=events_to_activities(kept, classes, len(log_mel), hop_s),
        events=tuple(kept),
    )
    return recording, content


def _training_labels(data: AnnotatedConfig, tables: dict[str, dict[str, list[Event]]]) -> list[str]:
    table = tables.get("train")
    if table is None:
        if data.train is None:
            raise DataError("the set has no training split: name its labels with data.classes")
        table = _read_table(data, Path(data.root).expanduser() / data.train.annotations)
    return sorted(_labels_of(table))


def _labels_of(table: dict[str, list[Event]]) -> set[str]:
    return {event.label for events in table.values() for event in events}


def _refuse_nothing_to_learn(table: dict[str, list[Event]], classes: Sequence[str]) -> None:
    found = _labels_of(table)
    if not found:
        raise DataError("the training annotations hold no event: there is nothing to learn")
    if not found & set(classes):
        raise DataError(
            f"data.classes={list(classes)}: the training annotations hold none of these, "
            f"but {', '.join(sorted(found))}"
        )


def _compare_labels(tables: dict[str, dict[str, list[Event]]], classes: Sequence[str]) -> None:
    """Say which labels a trained detector does not know; refuse a set that it knows none of."""
    for split, table in tables.items():
        found = _labels_of(table)
        if found and not found & set(classes):
            raise DataError(
                f"the {split} annotations hold {', '.join(sorted(found))}, but the detector knows "
                f"{', '.join(classes)} only: nothing could be compared"
            )
        if unknown := sorted(found - set(classes)):
            log.warning("%s: passed over, unknown to the detector: %s", split, ", ".join(unknown))


def _refuse_unknown_labels(
    tables: dict[str, dict[str, list[Event]]], classes: Sequence[str]
) -> None:
    for split, table in tables.items():
        unknown = sorted(_labels_of(table) - set(classes))
        if unknown:
            raise DataError(
                f"the {split} annotations hold {', '.join(unknown)}, which the training "
                f"annotations do not; choose with data.classes=[...] (others are passed over)"
            )


def _refuse_missing_audio(
    folder: Path, splits: dict[str, SplitConfig], tables: dict[str, dict[str, list[Event]]]
) -> None:
    paths = [folder / splits[name].audio / f for name, table in tables.items() for f in table]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN_FAULTS} more" if len(missing) > _SHOWN_FAULTS else ""
        raise DataError(
            f"{len(missing)} of {len(paths)} annotated recordings are missing: "
            f"{', '.join(missing[:_SHOWN_FAULTS])}{more}; check data.SPLIT.audio"
        )
