"""``sedtf data``: from its configuration to tables, files and a picture of a data set."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from sed_cli.audio import AudioFacts, inspect_audio
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.audio.rates import band_faults
from sed_cli.config.annotations import SOURCES, SPLITS
from sed_cli.config.data import DataConfig
from sed_cli.config.provenance import RunRecord
from sed_cli.config.tools import DataVerbConfig
from sed_cli.data import coverage
from sed_cli.data.annotations import Fault
from sed_cli.data.copies import BY_FILE, find_copies
from sed_cli.data.doubts import lone_classes, short_events
from sed_cli.data.manifest import Manifest, apart
from sed_cli.data.statistics import SetStatistics, Spread, describe, describe_recordings
from sed_cli.data.survey import check, survey
from sed_cli.data.weak import weak_statistics
from sed_cli.errors import DataError
from sed_cli.reports.tables import results_console
from sed_cli.system.files import replacing
from sed_cli.system.tables import Rows, write_csv
from sed_cli.system.text import counted
from sed_cli.tasks.detection.inspection.audio import audio_kinds
from sed_cli.tasks.detection.inspection.figure import draw_set
from sed_cli.tasks.detection.inspection.tables import (
    print_audio,
    print_copies,
    print_faults,
    print_near_copies,
    print_notes,
    print_set,
)

if TYPE_CHECKING:
    from sed_cli.data.leaks import Leak

log = logging.getLogger(__name__)

Headers = Mapping[str, Sequence[AudioFacts]]


def inspect_data(config: DataVerbConfig, run_dir: Path) -> None:
    """Run ``sedtf data``: describe a data set including its faults, then refuse it if necessary.

    Writes ``data.json`` (all numbers), ``recordings.csv``, ``classes.csv`` and ``faults.csv``, and
    ``figures/data.png``.

    Raises:
        DataError: if nothing can be read; or, at the end, if training would refuse the data set.
    """
    with RunRecord(run_dir, "data", config, seed=None):
        manifest = survey(config.data, splits=(*SPLITS, *SOURCES))
        splits = manifest.annotated
        headers = _read_headers(manifest)
        statistics = describe(
            replace(manifest, splits=splits), sequence_gap_s=config.sequence_gap_s
        )
        weak = weak_statistics(manifest)
        kinds = audio_kinds(one for split in headers.values() for one in split)
        doubts = [*_default_notes(headers, manifest), *lone_classes(apart(manifest.splits))]
        audio_notes = [*manifest.audio_notes, *doubts]
        title = _title(config.data)
        copies = find_copies(apart(manifest.splits), *BY_FILE)
        near = _near_copies(manifest, config.data) if config.near_copies else None
        description = {
            "data": title,
            **statistics.as_json(),
            "weak": None if weak is None else weak.as_json(),
            "not_annotated": coverage.as_json(splits, manifest.classes),
            "annotations": manifest.notes.sources(),
            "notes": manifest.notes.lines(),
            "subset": None if manifest.subset is None else manifest.subset.as_json(),
            "audio": [asdict(kind) for kind in kinds],
            "copies": [
                [{"split": split, "name": entry.name} for split, entry in group] for group in copies
            ],
            "near_copies": None if near is None else [asdict(leak) for leak in near],
            "audio_notes": audio_notes,
            "faults": [dict(zip(_FAULT, _fault(fault), strict=True)) for fault in manifest.faults],
        }
        with replacing(run_dir / "data.json") as path:
            path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        write_csv(run_dir / "recordings.csv", _RECORDING, _recordings(manifest, headers))
        write_csv(run_dir / "classes.csv", _CLASS, _classes(statistics))
        write_csv(run_dir / "faults.csv", _FAULT, map(_fault, manifest.faults))
        draw_set(run_dir / "figures" / "data.png", title, statistics)
        console = results_console()
        print_set(console, title, statistics)
        if manifest.subset is not None:
            cut = [manifest.subset.line, *manifest.subset.warnings]
            print_notes(console, "part of the training split", cut)
        if weak is not None:
            print_notes(console, "weakly labelled recordings", weak.lines)
        untold = [
            *coverage.lines(splits, manifest.classes),
            *coverage.warnings(splits.get("train", ()), manifest.classes),
        ]
        print_notes(console, "classes that are not annotated everywhere", untold)
        print_notes(console, "annotations and assumptions", manifest.notes.lines())
        print_audio(console, kinds, audio_notes)
        print_copies(console, copies)
        if near is not None:
            print_near_copies(console, [str(leak) for leak in near])
        print_faults(console, manifest.faults, n_shown=config.n_faults)
        console.print(f"run folder: {run_dir}", highlight=False, soft_wrap=True)
        _refuse(manifest)
        if copies and getattr(config.data, "leak_check", "none") != "none":
            raise DataError(
                f"training would refuse this data set for {counted(len(copies), 'file')} in two "
                "splits: "
                f"remove them from one, or allow it with data.leak_check=none"
            )


def _near_copies(manifest: Manifest, data: DataConfig) -> tuple[Leak, ...] | None:
    """Find the same sound in two splits, by the default features; None if audio is damaged."""
    # These need torch; the rest does not.
    from sed_cli.data.leaks import find_near_copies
    from sed_cli.data.sets import load_features

    feature = LogMelConfig()
    try:
        splits = load_features(manifest, data, feature).apart
    except DataError as error:  # still show the rest of the data set
        log.warning("the search for near copies failed: %s", error)
        return None
    return find_near_copies(splits, feature)


def _refuse(manifest: Manifest) -> None:
    """Refuse the data that training would refuse, without repeating what has been printed."""
    if manifest.refused:
        mend = "correct it" if len(manifest.refused) == 1 else "correct them"
        repair = ", or set data.strict=false" if manifest.strict else ", as no repair is safe"
        raise DataError(
            f"training would refuse this data set for {counted(len(manifest.refused), 'fault')}, "
            f"all of them in faults.csv: {mend}{repair}"
        )
    check(manifest)


def _default_notes(headers: Headers, manifest: Manifest) -> list[str]:
    """Notes on sound that the default features would mostly miss."""
    usual = LogMelConfig()
    rates = [one.sample_rate for split in headers.values() for one in split]
    return [
        *(
            f"with the default feature.sample_rate={usual.sample_rate}: {fault}"
            for fault in band_faults(rates, usual.sample_rate, usual.f_max)
        ),
        *(
            f"with the default features: {doubt}"
            for doubt in short_events(manifest.splits.get("train", []), usual)
        ),
    ]


def _title(data: DataConfig) -> str:
    root = getattr(data, "root", None)
    return data.kind if root is None else f"{data.kind} {root}"


def _read_headers(manifest: Manifest) -> Headers:
    total = sum(map(len, manifest.splits.values()))
    with tqdm(total=total, desc="audio files", unit="file", leave=False, disable=None) as bar:
        headers: dict[str, list[AudioFacts]] = {}
        for name, entries in manifest.splits.items():
            headers[name] = []
            for entry in entries:
                headers[name].append(entry.facts or inspect_audio(entry.path))
                bar.update()
    return headers


# --------------------------------------------------------------------------------- files


_RECORDING = (
    *("split", "name", "path", "seconds", "n_events", "n_classes", "active_s"),
    *("sample_rate", "n_channels", "format"),
)
_SPREAD = ("least", "p05", "median", "p95", "most", "mean")
_CLASS = (
    *("split", "event_label", "n_events", "seconds", "n_files"),
    *(f"{quantity}_{name}" for quantity in ("duration_s", "gap_s") for name in _SPREAD),
)
_FAULT = ("path", "line", "message", "repair")


def _recordings(manifest: Manifest, headers: Headers) -> Rows:
    for split, entries in manifest.splits.items():
        described = describe_recordings(entries, manifest.classes)
        for entry, one, header in zip(entries, described, headers[split], strict=True):
            yield (
                *(split, entry.name, entry.path, f"{entry.duration_s:.6f}"),
                *(one.n_events, one.n_classes, f"{one.active_s:.6f}"),
                *(header.sample_rate, header.n_channels, header.format),
            )


def _classes(statistics: SetStatistics) -> Rows:
    for split, described in {**statistics.splits, "all": statistics.overall}.items():
        for one in described.classes:
            yield (
                *(split, one.label, one.n_events, f"{one.seconds:.6f}", one.n_files),
                *_spread(one.duration_s),
                *_spread(one.gap_s),
            )


def _spread(spread: Spread | None) -> list[str]:
    if spread is None:
        return [""] * len(_SPREAD)
    return [f"{getattr(spread, name):.6f}" for name in _SPREAD]


def _fault(fault: Fault) -> tuple[object, ...]:
    return (str(fault.path), fault.line, fault.message, fault.repair)
