"""DESED, the parts with strong labels.

Layout: README of github.com/turpaultn/DESED, and ``confs/*.yaml`` of the baselines for DCASE 2021
to 2024 (github.com/DCASE-REPO/DESED_task). Parts come from several archives and may be in one
folder or in several, as ``dataset/`` and ``dataset/dcase_synth/``; any folder with ``metadata`` and
``audio`` is one::

    metadata/train/synthetic21_train/soundscapes.tsv   audio/train/synthetic21_train/soundscapes/
    metadata/train/audioset_strong.tsv                 audio/train/strong_label_real/
    metadata/validation/synthetic21_validation/...     audio/validation/synthetic21_validation/...
    metadata/validation/validation.tsv                 audio/validation/validation/
    metadata/eval/public.tsv                           audio/eval/public/

Folders ending in ``_16k``, which the baselines create, are used if the original ones are missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sed_cli.config.data import PublishedConfig
from sed_cli.data.annotations import Fault
from sed_cli.data.listing import Reading, list_recordings
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.published.parts import folders, labels_of, log, with_validation
from sed_cli.data.walking import walk
from sed_cli.errors import DataError

_WITHOUT_TIMES = ("weak", "unlabel", "duration")
_DCASE2018 = ("eval_dcase2018", "test_dcase2018")  # parts of validation.tsv


def list_desed(data: PublishedConfig, root: Path, reading: Reading) -> Manifest:
    """List DESED: trained on all strong training labels, tested on the public evaluation part.

    If that part is missing, the real validation part is the test split, as in the baselines, and
    the synthetic validation part, or a share of training, is the validation split.
    """
    tables = _tables(root)
    faults: list[Fault] = []

    def listed(kind: str) -> list[Clip]:
        found: list[Clip] = []
        for table, audio in tables.get(kind, []):
            of_table, more = list_recordings(table, audio, reading)
            prefix = audio.relative_to(root).as_posix()
            found += [replace(one, name=f"{prefix}/{_base(one.name)}") for one in of_table]
            faults.extend(more)
        return found

    train, validation, test = listed("train"), listed("validation"), listed("test")
    if not train or not (validation or test):
        raise DataError(
            f"data.root={root}: contains no desed_strong: expected strong labels for training "
            f"and real ones for testing, such as "
            f"metadata/train/synthetic21_train/soundscapes.tsv and "
            f"metadata/validation/validation.tsv with audio/ beside metadata/ (docs/data_sets.md)"
        )
    if not test:
        test, validation = validation, listed("synthetic_validation")
    train = _without(train, [*validation, *test])
    classes = labels_of(train, validation, test)
    if not validation:
        splits = with_validation(data, train, test)
    else:
        splits = {"train": train, "validation": validation, "test": test}
    return Manifest(splits=splits, faults=tuple(faults), classes=classes)


def _tables(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Tables of strong labels with their folders of recordings, by purpose."""
    found: dict[str, list[tuple[Path, Path]]] = {}
    for base in folders(root):
        metadata = base / "metadata"
        if not metadata.is_dir() or not (base / "audio").is_dir():
            continue
        for table in (path for path in walk(metadata).files if path.suffix == ".tsv"):
            kind = _kind(table.relative_to(metadata))
            audio = None if kind is None else _audio(table, base)
            if kind is not None and audio is not None:
                found.setdefault(kind, []).append((table, audio))
    return found


def _kind(table: Path) -> str | None:
    """Purpose of a table, by its path below ``metadata``."""
    stem = table.stem.lower()
    if stem in _DCASE2018 or any(word in stem for word in _WITHOUT_TIMES):
        return None
    if table.parts[0] == "train":
        return "train"
    if table.parts[0] == "validation":
        return "validation" if stem == "validation" else "synthetic_validation"
    return "test" if table.parts[0] == "eval" and stem == "public" else None


def _audio(table: Path, base: Path) -> Path | None:
    """The folder of a table's recordings; ``None`` if these were not downloaded."""
    below = table.relative_to(base / "metadata").with_suffix("")
    if table.stem == "audioset_strong":
        below = below.with_name("strong_label_real")
    # Spelling in an archive of the synthetic part.
    below = Path(below.as_posix().replace("synhtetic", "synthetic"))
    for name in (below, below.with_name(f"{below.name}_16k"), below.parent):
        audio = base / "audio" / name
        has_files = audio.is_dir() and any(path.is_file() for path in audio.iterdir())
        if has_files:
            return audio
    log.warning("%s: skipped, no recordings in %s", table, base / "audio" / below)
    return None


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _without(train: list[Clip], others: list[Clip]) -> list[Clip]:
    """Drop clips that are also in validation or test: 35 clips of AudioSet's strong labels."""
    known = {_base(one.name) for one in others}
    kept = [
        one for one in train if "strong_label_real" not in one.name or _base(one.name) not in known
    ]
    if n_left_out := len(train) - len(kept):
        log.info(
            "%d training clips left out, since they are also in validation or test", n_left_out
        )
    return kept
