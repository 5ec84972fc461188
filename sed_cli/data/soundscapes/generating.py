"""From a configuration to a data set on disk, with progress bars, for the verbs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from tqdm import tqdm

from sed_cli.config.data import EVENT_CLASSES, SoundscapesConfig
from sed_cli.data.soundscapes.bank import Bank, SplitRules, scan_bank
from sed_cli.data.soundscapes.bank_events import listen
from sed_cli.data.soundscapes.recipe import Recipe
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.transitions import read_transition
from sed_cli.data.soundscapes.workers import Progress
from sed_cli.data.soundscapes.writing import Written, write_soundscapes
from sed_cli.errors import UserError

_BYTES_A_SAMPLE = 1  # of 16 bits, which FLAC at best halves for noise

log = logging.getLogger(__name__)


def plan_soundscapes(data: SoundscapesConfig, *, format: str = "desed") -> Recipe:
    """Return the recipe of the data set in a configuration, without decoding audio.

    Raises:
        DataError: for faults in the bank or the given syntax, or if the format is unknown or cannot
            represent a class.
    """
    bank = _scan(data)
    classes = tuple(data.classes or (bank.classes if bank else EVENT_CLASSES))
    names = {field.name for field in fields(SoundscapeSettings)}
    values = {key: value for key, value in asdict(data).items() if key in names}
    values["classes"] = classes
    if data.transition is not None:
        values["transition"] = read_transition(data.transition, classes)
    values["bank"] = bank.fingerprint() if bank else None
    values["bank_pause_s"] = data.bank_pause_s if bank else None
    return Recipe(settings=SoundscapeSettings(**values), bank=bank, format=format)


def _scan(data: SoundscapesConfig) -> Bank | None:
    if data.bank is None:
        return None
    train, validation, test = data.split
    rules = SplitRules(
        table=Path(data.bank_splits).expanduser() if data.bank_splits else None,
        group=data.group,
        shares=(train, validation, test),
        seed=data.split_seed,
    )
    folder = Path(data.bank).expanduser()
    return scan_bank(folder, classes=data.classes, rules=rules, strict=data.strict)


def generate_soundscapes(
    folder: Path, recipe: Recipe, *, strict: bool = True, n_workers: int | None = None
) -> dict[tuple[str, int], Written]:
    """Decode the bank, if there is one, and write the data set.

    Args:
        folder: destination; see :func:`.write_soundscapes`.
        recipe: of the data set.
        strict: reject broken and silent clips; else skip and report them.
        n_workers: number of processes; ``None``: one per available core.

    Returns:
        The written recordings, by split and number.

    Raises:
        DataError: for faults in the bank's clips.
        UserError: if the disk has too little space for the data set.
    """
    settings, events = recipe.settings, None
    _check_room(folder, settings)
    if recipe.bank is not None:
        with _bar("clips") as progress:
            events = listen(
                recipe.bank, settings, strict=strict, n_workers=n_workers, progress=progress
            )
    total = settings.n_train + settings.n_validation + settings.n_test
    log.info("generating %d soundscapes of %g s", total, settings.duration_s)
    with _bar("soundscapes") as progress:
        return write_soundscapes(
            folder,
            settings,
            bank=events,
            format=recipe.format,
            n_workers=n_workers,
            progress=progress,
        )


def _check_room(folder: Path, settings: SoundscapeSettings) -> None:
    """Refuse early what would fill the disk after hours."""
    total = settings.n_train + settings.n_validation + settings.n_test
    n_bytes = total * settings.duration_s * settings.sample_rate * _BYTES_A_SAMPLE
    place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise UserError(
            f"{total:,} soundscapes of {settings.duration_s:g} s would take at least "
            f"{n_bytes / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free on the disk of "
            f"{place}: lower data.n_train, data.duration_s or data.sample_rate, or write elsewhere"
        )


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    with tqdm(desc=what, unit="file", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
