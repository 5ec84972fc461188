"""The recipe of a data set: all inputs that determine its bytes, in one JSON file beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile

from sed_cli import __version__
from sed_cli.data.annotations import Event, Fault, check_faults, dump_annotations
from sed_cli.data.soundscapes.bank import Bank, BankClip, file_sha256
from sed_cli.data.soundscapes.composing import syntax_of
from sed_cli.data.soundscapes.settings import GENERATOR_VERSION, SoundscapeSettings
from sed_cli.errors import DataError, UserError
from sed_cli.system.records import is_inside
from sed_cli.system.structured import read_json_object, why

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The inputs of a data set.

    Args:
        settings: of the data set.
        bank: the clips of its events; ``None``: they are synthesised.
        format: of its annotations.
        sha256: hash of all audio and annotations; ``None``: not written yet.
        versions: of the libraries that wrote it.

    Raises:
        DataError: if the format is unknown or cannot represent a class.
    """

    settings: SoundscapeSettings
    bank: Bank | None = None
    format: str = "desed"
    sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=lambda: _versions())

    def __post_init__(self) -> None:
        events = [Event(0.0, 1.0, label) for label in self.settings.classes]
        dump_annotations({"recording.flac": events}, self.format)

    def with_hashes(self, hashes: Mapping[str, str]) -> Recipe:
        """Return the recipe of the files with these hashes, by name."""
        named = "\n".join(f"{hashes[name]}  {name}" for name in sorted(hashes))
        return replace(self, sha256=hashlib.sha256(named.encode()).hexdigest())

    def dump(self) -> str:
        """Return the text of the file."""
        values: dict[str, Any] = {
            "generator": GENERATOR_VERSION,
            "sha256": self.sha256,
            "format": self.format,
            "settings": self.settings.as_json(),
            "syntax": syntax_of(self.settings).as_json(),
            "versions": dict(self.versions),
        }
        if self.bank is not None:
            values["bank"] = {
                "folder": str(self.bank.folder.absolute()),
                "split_by": self.bank.split_by,
                "clips": [asdict(clip) for clip in self.bank.clips],
            }
        return json.dumps(values, indent=2) + "\n"


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        DataError: if the file is missing, is not a recipe, or was written by another generator.
    """
    if path.is_dir():
        path = path / RECIPE_FILE
    try:
        values = read_json_object(path)
        generator, versions = values["generator"], values["versions"]
        if generator == GENERATOR_VERSION:
            return Recipe(
                settings=_settings(values["settings"]),
                bank=_bank(values["bank"]) if "bank" in values else None,
                format=values["format"],
                sha256=values["sha256"],
                versions=versions,
            )
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such recipe; name the {RECIPE_FILE} of a data set that sedtf wrote"
        ) from error
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, UserError),
    ) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else why(error)
        raise DataError(
            f"{path}: not a readable recipe ({reason}); expected "
            f"the {RECIPE_FILE} of a data set that sedtf wrote"
        ) from error
    raise DataError(
        f"{path}: written by generator {generator} of sedtf {versions.get('sedtf')}, but this is "
        f"generator {GENERATOR_VERSION}, which would write different bytes: install that version"
    )


def check_bank(recipe: Recipe) -> None:
    """Verify the hashes of the files in a recipe's bank, if it has one.

    Raises:
        DataError: with all missing or changed files.
    """
    bank = recipe.bank
    if bank is None:
        return
    if not bank.folder.is_dir():
        raise DataError(
            f"{bank.folder}: the recipe's bank does not exist; name its present folder with "
            f"data.bank=FOLDER"
        )

    def look_at(clip: BankClip) -> Fault | None:
        path = bank.folder / clip.file
        try:
            found = file_sha256(path)
        except OSError:
            return Fault(path, None, "is missing")
        if found == clip.sha256:
            return None
        return Fault(path, None, f"has changed (sha256 {found[:12]}.., not {clip.sha256[:12]}..)")

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing lets other threads run
        faults = [fault for fault in threads.map(look_at, bank.clips) if fault is not None]
    try:
        check_faults(faults, strict=True)
    except DataError as error:
        raise DataError(f"{error}; the recipe needs the original bank: restore it") from error


def _settings(values: Mapping[str, Any]) -> SoundscapeSettings:
    settings = SoundscapeSettings(**values)
    for name in ("n_train", "n_validation", "n_test", "sample_rate", "polyphony", "seed"):
        if type(getattr(settings, name)) is not int:
            raise TypeError(f"{name}={getattr(settings, name)!r}: expected a whole number")
    if not all(isinstance(label, str) for label in settings.classes):
        raise TypeError(f"classes={settings.classes!r}: expected labels")
    return settings


def _bank(values: Mapping[str, Any]) -> Bank:
    clips = tuple(BankClip(**clip) for clip in values["clips"])
    for clip in clips:
        texts = (clip.file, clip.label, clip.source, clip.sha256)
        if not all(isinstance(text, str) for text in texts) or not is_inside(clip.file):
            raise ValueError(f"the clip {str(clip.file)!r} is not in the bank")
    return Bank(folder=Path(values["folder"]), clips=clips, split_by=values["split_by"])


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("numpy", "soundfile", "soxr")}
    return {"sedtf": __version__, **libraries, "libsndfile": soundfile.__libsndfile_version__}
